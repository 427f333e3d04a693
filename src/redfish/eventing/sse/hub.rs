//! The streams of this pod: it wakes them when there is something to read, and ends those that are to end.
//!
//! Its one loop runs only while a stream is open. It looks for new entries several times a second, and at the
//! subscriptions' version as often as a worker does: a stream that was deleted, on whichever pod, ends here. As often
//! it says that this pod lives.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::domain::account::{Account, Privilege};
use crate::domain::ids::{StreamId, SubscriptionId};
use crate::domain::subscription::Subscription;
use crate::store::registry::{Registry, new_id};
use crate::store::{Store, StoreError};
use crate::telemetry::service::{OpenStream, open_stream};

/// Streams that one pod serves at once.
const MOST: usize = 64;
/// How often it looks for new entries.
const LOOK: Duration = Duration::from_millis(200);
/// Before every entry.
const NONE: StreamId = StreamId { millis: 0, sequence: 0 };
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
    _counted: OpenStream,
    /// Changes when there may be something to read.
    pub(super) news: watch::Receiver<u64>,
    /// The stream is to end.
    pub(super) ended: CancellationToken,
}

/// What one look after another knows.
struct Look {
    newest: Vec<StreamId>,
    version: Option<u64>,
    refreshed: Instant,
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

    /// Looks until no stream is left.
    async fn look(self: Arc<Self>, store: Arc<Store>) {
        let mut look = Look {
            newest: vec![NONE; store.partitions().len()],
            version: None,
            refreshed: Instant::now(),
        };
        let mut failing = false;
        loop {
            tokio::time::sleep(LOOK).await;
            {
                let mut streams = self.lock();
                if streams.open.is_empty() {
                    streams.looking = false;
                    return;
                }
            }
            match self.step(&store, &mut look).await {
                Ok(refreshed) => failing &= !refreshed,
                Err(error) => {
                    if !failing && !error.is_disconnected() {
                        warn!(%error, "event streams can't be served; they go on when Redis does");
                    }
                    failing = true;
                }
            }
        }
    }

    /// Looks once; true when everything was looked at, not only the entries.
    async fn step(&self, store: &Store, look: &mut Look) -> Result<bool, StoreError> {
        let refresh = look.refreshed.elapsed() >= self.refresh;
        if refresh {
            look.refreshed = Instant::now();
            // Before anything else can fail: a pod that is not heard of loses its streams.
            store.beat_streams(&self.name).await?;
        }
        for (partition, known) in store.partitions().iter().zip(&mut look.newest) {
            if let Some(newest) = partition.newest_behind(*known).await? {
                *known = newest;
                self.wake();
            }
        }
        if !refresh {
            return Ok(false);
        }
        self.end_disowned(store).await?;
        let version = store.registry_version().await?;
        if look.version == Some(version) {
            return Ok(true);
        }
        let registry = store.registry().await?;
        // One that was entered after the registry was read is newer than its version, and looked at next time.
        for (id, open) in &self.lock().open {
            let was_entered = open.entered.is_some_and(|version| version <= registry.version);
            let deleted = was_entered && registry.get(id).is_none();
            if !registry.settings.enabled || deleted {
                open.ended.cancel();
            }
        }
        for id in self.unserved(&registry) {
            warn!(subscription = %id, "removed: an event stream that this pod does not serve");
            store.close_stream(&id, self.linger).await?;
        }
        look.version = Some(version);
        self.sweep(store, &registry.subscriptions).await?;
        Ok(true)
    }

    /// Ends the streams whose account might not open them any more: it is gone or disabled, has another password
    /// since, or must change it. The end of a session ends none.
    async fn end_disowned(&self, store: &Store) -> Result<(), StoreError> {
        // Taken before the accounts are read: one that is opened meanwhile is looked at next time.
        let seated: Vec<(Owner, CancellationToken)> = {
            let streams = self.lock();
            let open = streams.open.values();
            open.map(|open| (open.owner.clone(), open.ended.clone())).collect()
        };
        let accounts = store.accounts().await?;
        for (owner, ended) in seated {
            let account = accounts.get(&owner.account);
            if !account.is_some_and(|account| owner.may_read_as(account)) {
                ended.cancel();
            }
        }
        Ok(())
    }

    /// The streams that are entered under this pod's name and have no seat here.
    fn unserved(&self, registry: &Registry) -> Vec<SubscriptionId> {
        let streams = self.lock();
        let own = registry
            .subscriptions
            .iter()
            .filter(|of| of.stream.as_deref() == Some(self.name.as_str()));
        own.filter(|of| !streams.open.contains_key(&of.id))
            .map(|of| of.id.clone())
            .collect()
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
