//! The streams of this pod: who has a place among them, and who is told when there is something to read or the end is
//! near. [`look`] is what finds that out.

mod look;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::domain::account::{Account, Privilege};
use crate::domain::ids::SubscriptionId;
use crate::domain::subscription::Subscription;
use crate::store::registry::new_id;
use crate::store::{Store, StoreError};
use crate::telemetry::metrics::Held;
use crate::telemetry::service::open_stream;

/// Streams that one pod serves at once.
const MOST: usize = 64;
/// Streams of one account that one pod serves at once: nobody takes the places of all others.
const MOST_OF_ONE: usize = 8;

/// The streams that this pod serves.
#[derive(Debug)]
pub(in crate::redfish::eventing) struct Hub {
    /// The name of this pod, under which it says that it serves its streams.
    pub(super) name: String,
    /// How long events are remembered for a stream that was closed.
    pub(super) linger: Duration,
    dead_after: Duration,
    refresh: Duration,
    room: Arc<Semaphore>,
    streams: Mutex<Streams>,
    news: watch::Sender<u64>,
    closing: CancellationToken,
}

#[derive(Debug, Default)]
struct Streams {
    /// Those that are entered among the subscriptions, or about to be.
    open: HashMap<SubscriptionId, Open>,
    looking: bool,
}

/// Whose a stream is.
#[derive(Debug, Clone)]
pub(super) struct Owner {
    /// The account that opened it.
    pub(super) account: String,
    /// The generation of the account then; the stream ends when that changes.
    pub(super) generation: String,
}

impl Owner {
    /// Whether the account, as it is now, is the one that opened the stream and may read it.
    fn may_read_as(&self, account: &Account) -> bool {
        account.enabled
            && !account.password_change_required
            && account.role.may(Privilege::Login)
            && account.generation == self.generation
    }
}

/// What the pod knows of one stream.
#[derive(Debug)]
struct Open {
    /// The registry's version since when it is entered; `None` before.
    entered: Option<u64>,
    owner: Owner,
    /// Ends it.
    ended: CancellationToken,
}

/// One stream's place among those of the pod, until it is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    hub: Arc<Hub>,
    id: SubscriptionId,
    _room: OwnedSemaphorePermit,
    _counted: Held,
    /// Changes when there may be something to read.
    pub(super) news: watch::Receiver<u64>,
    /// The stream is to end.
    pub(super) ended: CancellationToken,
}

impl Hub {
    pub(in crate::redfish::eventing) fn new(linger: Duration, dead_after: Duration, refresh: Duration) -> Arc<Self> {
        Arc::new(Self {
            name: new_id().to_string(),
            linger,
            dead_after,
            refresh,
            room: Arc::new(Semaphore::new(MOST)),
            streams: Mutex::default(),
            news: watch::Sender::new(0),
            closing: CancellationToken::new(),
        })
    }

    /// Whether settled events are remembered at all: without that there are no streams.
    pub(in crate::redfish::eventing) fn is_possible(&self) -> bool {
        !self.linger.is_zero()
    }

    fn room(&self) -> Option<OwnedSemaphorePermit> {
        if !self.is_possible() || self.closing.is_cancelled() {
            return None;
        }
        Arc::clone(&self.room).try_acquire_owned().ok()
    }

    /// Takes in a stream that is about to be entered among the subscriptions: one that is entered there under this
    /// pod's name and has no seat is served by nobody. `None` where there is no room for it, or the pod is stopping.
    pub(super) fn seat(self: &Arc<Self>, id: &SubscriptionId, owner: Owner, store: &Arc<Store>) -> Option<Seat> {
        let room = self.room()?;
        let mut streams = self.lock();
        let others = streams.open.values().filter(|of| of.owner.account == owner.account);
        if others.count() >= MOST_OF_ONE {
            return None;
        }
        let ended = self.closing.child_token();
        let open = Open {
            entered: None,
            owner,
            ended: ended.clone(),
        };
        streams.open.insert(id.clone(), open);
        if !std::mem::replace(&mut streams.looking, true) {
            tokio::spawn(Arc::clone(self).look(Arc::clone(store)));
        }
        Some(Seat {
            hub: Arc::clone(self),
            id: id.clone(),
            _room: room,
            _counted: open_stream(),
            news: self.news.subscribe(),
            ended,
        })
    }

    /// Ends all streams, and waits until each has taken itself out of the subscriptions.
    pub(in crate::redfish::eventing) async fn close(&self, until: Instant) {
        self.closing.cancel();
        let mut news = self.news.subscribe();
        while !self.lock().open.is_empty() {
            if tokio::time::timeout_at(until, news.changed()).await.is_err() {
                return;
            }
        }
    }

    /// Takes streams out, of those subscriptions, that no living pod serves.
    ///
    /// # Errors
    /// When Redis can't be reached.
    pub(in crate::redfish::eventing) async fn sweep(
        &self,
        store: &Store,
        known: &[Arc<Subscription>],
    ) -> Result<(), StoreError> {
        let swept = store.sweep_streams(known, self.dead_after, self.linger).await?;
        if swept > 0 {
            info!(streams = swept, "removed: the pod that served them is gone");
        }
        Ok(())
    }

    fn wake(&self) {
        self.news.send_modify(|count| *count = count.wrapping_add(1));
    }

    fn lock(&self) -> MutexGuard<'_, Streams> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    /// The stream has been entered, at that version of the registry.
    pub(super) fn entered(&self, version: u64) {
        if let Some(open) = self.hub.lock().open.get_mut(&self.id) {
            open.entered = Some(version);
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.hub.lock().open.remove(&self.id);
        self.hub.wake();
    }
}
