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
use super::commons::Commons;
use super::direct;
use super::drain;
use super::in_flight::{Guard, InFlight};
use super::lease::Lease;
use super::persist::persist;
use super::pod::Pod;
use super::registry;
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

    /// Takes entries that were this worker's at `since` into the in-flight map; those that are being worked on
    /// already are left out.
    #[must_use]
    pub fn enter(&self, entries: impl Iterator<Item = (Stream, Entry)>, since: Instant) -> Vec<Admitted> {
        entries
            .filter_map(|(stream, entry)| {
                let guard = self.in_flight.enter(stream, entry.id, since)?;
                Some(Admitted { stream, entry, guard })
            })
            .collect()
    }

    /// Starts work on entries, each as soon as there is room for it.
    pub async fn start(self: &Arc<Self>, admitted: Vec<Admitted>) {
        for Admitted { stream, entry, guard } in admitted {
            let (room, share) = match stream {
                Stream::Events => (&self.events, self.share(&entry)),
                Stream::Redeliveries => (&self.drains, 1),
            };
            let Ok(room) = Arc::clone(room).acquire_many_owned(share).await else {
                return;
            };
            let (lane, guard) = (Arc::clone(self), guard.with_room(room));
            // A task each: in one, an event would take the thirty times larger room of a drain.
            match stream {
                Stream::Events => self.pod.tasks.spawn(process(lane, entry, guard)),
                Stream::Redeliveries => self.pod.tasks.spawn(redeliver(lane, entry, guard)),
            };
        }
    }

    /// Takes entries up that were this worker's at `since` and starts work on them; answers how many were not
    /// being worked on already.
    pub async fn admit(self: &Arc<Self>, entries: Vec<(Stream, Entry)>, since: Instant) -> usize {
        let admitted = self.enter(entries.into_iter(), since);
        let count = admitted.len();
        self.refresh_views(&admitted).await;
        self.start(admitted).await;
        count
    }

    /// Brings two views up to date before any of these events is sent: who is behind, so that nothing overtakes
    /// what is parked, and who subscribed, so that a change counts from the next event on.
    pub async fn refresh_views(&self, admitted: &[Admitted]) {
        if admitted.iter().all(|admitted| admitted.stream != Stream::Events) {
            return;
        }
        persist("reading who is behind and who subscribed", &self.partition, || async {
            let views = (self.behind.refresh(&self.partition), registry::step(&self.pod));
            let (behind, subscriptions) = tokio::join!(views.0, views.1);
            behind.and(subscriptions)
        })
        .await;
    }

    /// An event takes one share of the room for every 8 KiB, so that large ones do not fill the memory; one that
    /// is larger than the whole room takes all of it.
    fn share(&self, entry: &Entry) -> u32 {
        let bytes: usize = entry.fields.iter().map(|(_, value)| value.len()).sum();
        let shares = bytes.div_ceil(8 << 10).clamp(1, self.pod.config.worker.max_events);
        u32::try_from(shares).unwrap_or(u32::MAX)
    }

    /// What all subscribers share.
    pub(super) fn commons(&self) -> Commons<'_> {
        Commons {
            pod: &self.pod.slots,
            room: &self.events,
            most_room: self.pod.config.worker.max_events,
        }
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

    /// Waits while nothing is published, for what was read just before that or taken over since; false when this pod
    /// ends meanwhile: then it is a peer's.
    async fn may_publish(&self) -> bool {
        // Boxed: rare, and in the future of every event otherwise.
        self.pod.publishes() || Box::pin(self.pod.publishing()).await
    }

    /// Whether an entry that was ours at `since` still is. Free while heartbeats have been unbroken since then;
    /// else Redis is asked, for as long as that takes: nothing may be sent on a guess.
    pub(super) async fn still_owns(&self, stream: Stream, id: StreamId, since: Instant) -> bool {
        if self.lease.covers(since, Instant::now()) {
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

/// Processes an event. Should that panic, the event itself is the likely cause: it becomes a dead letter, to be
/// replayed once that is mended.
async fn process(lane: Arc<Lane>, entry: Entry, guard: Guard) {
    if !lane.may_publish().await {
        return;
    }
    let (id, times, frame) = (entry.id, entry.times, Arc::new(entry.frame()));
    if AssertUnwindSafe(direct::process(&lane, id, times, Arc::clone(&frame), guard))
        .catch_unwind()
        .await
        .is_err()
        && let Some(guard) = lane.in_flight.enter(Stream::Events, id, Instant::now())
    {
        let settlement = Settlement::rejected(id, frame, "the worker panicked while it processed this event");
        lane.settle(Finished::new(settlement, guard));
    }
}

/// Drains the subscription that a redelivery entry names.
async fn redeliver(lane: Arc<Lane>, entry: Entry, guard: Guard) {
    if !lane.may_publish().await {
        return;
    }
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
    drain::run(&lane, entry.id, entry.times, subscription, guard.since).await;
    drop(guard);
}
