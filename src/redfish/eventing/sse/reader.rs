//! One stream: reads what is remembered from its place on and sends what its filter wants.
//!
//! Ends with its client, with its subscription, or with the pod; whichever it is, it takes itself out of the
//! subscriptions.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tracing::{debug, info, warn};

use super::hub::Seat;
use super::place::Place;
use super::{KEEP_ALIVE, message};
use crate::domain::event::Message;
use crate::domain::ids::{StreamId, SubscriptionId};
use crate::domain::payload;
use crate::domain::subscription::Subscription;
use crate::store::streams::Remembered;
use crate::store::{Store, StoreError};

/// Entries read at once, each of up to 256 events.
const PAGE: u64 = 4;
/// Pause after Redis could not be asked.
const PAUSE: Duration = Duration::from_secs(1);

/// One stream.
pub(super) struct Reader {
    store: Arc<Store>,
    seat: Seat,
    stream: Subscription,
    place: Place,
    /// Per partition, up to where a gap was told of.
    told: Vec<Option<StreamId>>,
    sender: mpsc::Sender<Bytes>,
}

/// Why nothing more is sent.
enum Stopped {
    /// The client is gone, or does not read.
    Client,
    /// Redis could not be asked.
    Redis(StoreError),
}

impl Reader {
    pub(super) fn new(
        store: Arc<Store>,
        seat: Seat,
        stream: Subscription,
        place: Place,
        sender: mpsc::Sender<Bytes>,
    ) -> Self {
        Self {
            told: vec![None; store.partitions().len()],
            store,
            seat,
            stream,
            place,
            sender,
        }
    }

    /// Runs to the stream's end. `gap` says that events before its first may be missing.
    pub(super) async fn run(mut self, gap: bool, linger: Duration) {
        info!(subscription = %self.stream.id, destination = %self.stream.destination, "an event stream was opened");
        let ended = self.seat.ended.clone();
        tokio::select! {
            () = self.serve(gap) => {}
            () = ended.cancelled() => {}
        }
        // The answer ends, so that the client knows before Redis does.
        let Self {
            store,
            seat,
            stream,
            sender,
            ..
        } = self;
        drop(sender);
        take_out(&store, &stream.id, linger).await;
        info!(subscription = %stream.id, "the event stream was closed");
        drop(seat);
    }

    /// Sends until the client is gone.
    async fn serve(&mut self, gap: bool) {
        let opening = message::opening(&self.place);
        if self.sender.send(opening).await.is_err() {
            return;
        }
        if gap {
            if self.sender.send(message::gap(&self.place)).await.is_err() {
                return;
            }
            // What was dropped before is told with that; where it can't be asked, it is told twice.
            for (partition, told) in self.store.partitions().iter().zip(&mut self.told) {
                *told = partition.remembered_from().await.ok().flatten();
            }
        }
        loop {
            match self.catch_up().await {
                Ok(()) => {}
                Err(Stopped::Client) => return,
                Err(Stopped::Redis(error)) => {
                    debug!(subscription = %self.stream.id, %error, "an event stream waits for Redis");
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            }
            let quiet = tokio::select! {
                changed = self.seat.news.changed() => changed.is_err(),
                () = self.sender.closed() => return,
                () = tokio::time::sleep(KEEP_ALIVE) => true,
            };
            if quiet && self.sender.send(message::keep_alive()).await.is_err() {
                return;
            }
        }
    }

    /// Sends everything that is there, in every partition.
    async fn catch_up(&mut self) -> Result<(), Stopped> {
        let store = Arc::clone(&self.store);
        for (at, partition) in store.partitions().iter().enumerate() {
            loop {
                let before = self.place.0[at];
                let page = partition.remembered(before, PAGE).await.map_err(Stopped::Redis)?;
                // Asked afterwards: what was dropped while the page was read is told of as well.
                let floor = partition.remembered_from().await.map_err(Stopped::Redis)?;
                if floor.is_some_and(|floor| before.entry < floor) && floor > self.told[at] {
                    self.told[at] = floor;
                    self.send(message::gap(&self.place)).await?;
                }
                let Some((end, events)) = page else { break };
                for event in events {
                    self.place.0[at] = event.position;
                    self.pass_on(&event).await?;
                }
                self.place.0[at] = end;
            }
        }
        Ok(())
    }

    /// Sends an event if it is wanted.
    async fn pass_on(&self, event: &Remembered) -> Result<(), Stopped> {
        let Ok(message) = Message::parse(event.event.clone()) else {
            return Ok(());
        };
        let Some(records) = self.stream.filter.select(&message) else {
            return Ok(());
        };
        for body in payload::bodies(&self.stream, &message, &records, event.id, &event.event) {
            self.send(message::data(&self.place, &body)).await?;
        }
        Ok(())
    }

    async fn send(&self, frame: Bytes) -> Result<(), Stopped> {
        self.sender.send(frame).await.map_err(|_| Stopped::Client)
    }
}

/// Takes a stream out of the subscriptions, as soon as Redis can be reached.
pub(super) async fn take_out(store: &Store, id: &SubscriptionId, linger: Duration) {
    while let Err(error) = store.close_stream(id, linger).await {
        if !error.is_transient() {
            warn!(subscription = %id, %error, "a closed event stream stays among the subscriptions");
            return;
        }
        tokio::time::sleep(PAUSE).await;
    }
}
