//! This worker's work on one partition: what the partition's loops share, and where entries come in.
//!
//! An entry comes from a read, from a dead peer, or from the own sweep; all three end in [`Lane::start`],
//! which starts each at most once.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt;
use tokio::sync::{Notify, Semaphore, mpsc, watch};
use tokio::time::Instant;
use tracing::warn;

use super::behind::Behind;
use super::direct;
use super::drain;
use super::in_flight::{Guard, InFlight};
use super::lease::Lease;
use super::persist::persist;
use super::pod::Pod;
use super::settler::Finished;
use crate::domain::ids::{StreamId, SubscriptionId};
use crate::store::Partition;
use crate::store::events::{Entry, Stream};
use crate::store::settle::Settlement;

/// From this many times handed out an entry is processed alone.
pub(super) const ALONE_FROM: u32 = 3;
/// From this many, an entry that was alone each time its worker died is a dead letter.
pub(super) const POISON_FROM: u32 = 6;

/// One partition, as this worker sees it.
#[derive(Debug)]
pub struct Lane {
    /// The process.
    pub pod: Arc<Pod>,
    /// The partition.
    pub partition: Arc<Partition>,
    /// Who is behind.
    pub behind: Behind,
    /// What is being worked on.
    pub in_flight: InFlight,
    /// Whether peers may have taken over.
    pub lease: Lease,
    /// Room for events that were read and not settled yet, in shares of 8 KiB.
    pub events: Arc<Semaphore>,
    /// Room for drains.
    pub drains: Arc<Semaphore>,
    /// All workers of the partition with their last heartbeat, from this worker's last one.
    pub peers: watch::Sender<Vec<(String, f64)>>,
    trouble: Notify,
    settler: mpsc::UnboundedSender<Finished>,
}

impl Lane {
    /// A lane, and the receiving end of its settler.
    #[must_use]
    pub fn new(pod: Arc<Pod>, partition: Arc<Partition>) -> (Arc<Self>, mpsc::UnboundedReceiver<Finished>) {
        let (settler, finished) = mpsc::unbounded_channel();
        let lane = Self {
            behind: Behind::default(),
            in_flight: InFlight::default(),
            lease: Lease::new(pod.dead_after()),
            events: Arc::new(Semaphore::new(pod.config.worker.max_events)),
            drains: Arc::new(Semaphore::new(pod.config.worker.max_drains)),
            peers: watch::Sender::default(),
            trouble: Notify::new(),
            settler,
            pod,
            partition,
        };
        (Arc::new(lane), finished)
    }

    /// Takes entries into the in-flight map; those that are being worked on already are left out.
    #[must_use]
    pub fn enter(&self, entries: impl Iterator<Item = (Stream, Entry)>) -> Vec<Admitted> {
        entries
            .filter_map(|(stream, entry)| {
                let guard = self.in_flight.enter(stream, entry.id)?;
                Some(Admitted { stream, entry, guard })
            })
            .collect()
    }

    /// Starts work on entries, each as soon as there is room for it.
    pub async fn start(self: &Arc<Self>, admitted: Vec<Admitted>) {
        for Admitted { stream, entry, guard } in admitted {
            let (room, share) = match stream {
                Stream::Events => (&self.events, share(&entry)),
                Stream::Redeliveries => (&self.drains, 1),
            };
            let room = Arc::clone(room).acquire_many_owned(share).await.ok();
            let lane = Arc::clone(self);
            self.pod.tasks.spawn(async move {
                match stream {
                    Stream::Events => process(&lane, entry, guard).await,
                    Stream::Redeliveries => redeliver(&lane, entry, guard).await,
                }
                drop(room);
            });
        }
    }

    /// Takes entries up and starts work on them; answers how many were not being worked on already.
    pub async fn admit(self: &Arc<Self>, entries: Vec<(Stream, Entry)>) -> usize {
        let admitted = self.enter(entries.into_iter());
        let count = admitted.len();
        self.start(admitted).await;
        count
    }

    /// Asks for a sweep: a reply may have been lost.
    pub(super) fn sweep_soon(&self) {
        self.trouble.notify_one();
    }

    /// Waits until a sweep was asked for.
    pub(super) async fn trouble(&self) {
        self.trouble.notified().await;
    }

    /// Hands a processed event to the settler.
    pub(super) fn settle(&self, finished: Finished) {
        if self.settler.send(finished).is_err() {
            warn!(
                partition = self.partition.index,
                "the settler has ended; peers will take this event over"
            );
        }
    }

    /// Whether an entry is still ours. Free while heartbeats are fresh; else Redis is asked, for as long as
    /// that takes: nothing may be sent on a guess.
    pub(super) async fn still_owns(&self, stream: Stream, id: StreamId) -> bool {
        if self.lease.is_fresh(Instant::now()) {
            return true;
        }
        let worker = &self.pod.name;
        Box::pin(persist("checking ownership", &self.partition, || {
            self.partition.owns(stream, id, worker)
        }))
        .await
    }
}

/// An entry that was taken into the in-flight map.
#[derive(Debug)]
pub struct Admitted {
    stream: Stream,
    entry: Entry,
    guard: Guard,
}

/// An event takes one share of the room for every 8 KiB, so that large ones do not fill the memory.
fn share(entry: &Entry) -> u32 {
    let bytes: usize = entry.fields.iter().map(|(_, value)| value.len()).sum();
    u32::try_from(bytes.div_ceil(8 << 10)).unwrap_or(u32::MAX).clamp(1, 256)
}

/// Processes an event. Should that panic, the event itself is the likely cause: it becomes a dead letter, to be
/// replayed once that is mended.
async fn process(lane: &Arc<Lane>, entry: Entry, guard: Guard) {
    let (stream, id) = (Stream::Events, entry.id);
    let settlement = Settlement::rejected(&entry, "the worker panicked while it processed this event");
    if AssertUnwindSafe(direct::process(lane, entry, guard))
        .catch_unwind()
        .await
        .is_err()
        && let Some(guard) = lane.in_flight.enter(stream, id)
    {
        lane.settle(Finished {
            settlement,
            failing: Vec::new(),
            guard,
        });
    }
}

/// Drains the subscription that a redelivery entry names.
async fn redeliver(lane: &Arc<Lane>, entry: Entry, guard: Guard) {
    let named = entry
        .field("subscription")
        .and_then(|name| std::str::from_utf8(name).ok());
    let Some(subscription) = named.and_then(|name| SubscriptionId::new(name).ok()) else {
        warn!(entry = %entry.id, "a redelivery names no subscription; dropped (someone wrote to the stream by hand)");
        persist("dropping a redelivery", &lane.partition, || {
            lane.partition.forget(Stream::Redeliveries, entry.id)
        })
        .await;
        return;
    };
    drain::run(lane, entry.id, entry.times, subscription).await;
    drop(guard);
}
