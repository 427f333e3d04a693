//! The one loop of the hub, which runs only while a stream is open.
//!
//! It looks for new entries several times a second, and at the subscriptions' version as often as a worker does: a
//! stream that was deleted, on whichever pod, ends here, and so does that of an account that may not read it any more.
//! As often it says that this pod lives.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{Hub, Owner};
use crate::domain::ids::{StreamId, SubscriptionId};
use crate::store::registry::Registry;
use crate::store::{Store, StoreError};

/// How often it looks for new entries.
const LOOK: Duration = Duration::from_millis(200);
/// Before every entry.
const NONE: StreamId = StreamId { millis: 0, sequence: 0 };

/// What one look after another knows.
struct Look {
    newest: Vec<StreamId>,
    version: Option<u64>,
    refreshed: Instant,
}

impl Hub {
    /// Looks until no stream is left.
    pub(super) async fn look(self: Arc<Self>, store: Arc<Store>) {
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
}
