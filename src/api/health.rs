//! Whether this process lives, and whether it should be sent work.
//!
//! Alive is what its own loops say, never Redis or a subscriber: a restart would not mend those. Ready needs
//! a finished start, a Redis that answers with both groups in place, and no shutdown.

use std::fmt;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures::future::join_all;
use tokio::time::timeout;

use crate::store::Store;

/// With no loop turning for this long the process is stuck.
const STUCK: Duration = Duration::from_secs(30);
/// Redis has this long to answer a readiness probe.
const PATIENCE: Duration = Duration::from_secs(1);

const STARTING: u8 = 0;
const READY: u8 = 1;
const STOPPING: u8 = 2;

/// How long no loop has turned.
type SilentFor = Box<dyn Fn() -> Duration + Send + Sync>;

/// The health of this process.
#[derive(Default)]
pub(super) struct Health {
    phase: AtomicU8,
    parts: OnceLock<(Arc<Store>, SilentFor)>,
}

impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Health")
            .field("phase", &self.phase)
            .finish_non_exhaustive()
    }
}

impl Health {
    /// What to ask from now on; only the first call counts.
    pub(super) fn attach(&self, store: Arc<Store>, silent_for: SilentFor) {
        self.parts.get_or_init(|| (store, silent_for));
    }

    /// The start is finished.
    pub(super) fn set_ready(&self) {
        // A shutdown that began meanwhile stands.
        let _stopping = self
            .phase
            .compare_exchange(STARTING, READY, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// The shutdown begins.
    pub(super) fn set_stopping(&self) {
        self.phase.store(STOPPING, Ordering::Relaxed);
    }

    /// Fails with the reason for which the process should be restarted. During the start no loop turns yet.
    pub(super) fn alive(&self) -> Result<(), String> {
        let Some((_, silent_for)) = self.parts.get() else {
            return Ok(());
        };
        let silent = silent_for();
        if silent < STUCK || self.phase.load(Ordering::Relaxed) == STARTING {
            return Ok(());
        }
        Err(format!("no loop has turned for {} s", silent.as_secs()))
    }

    /// Fails with the reason for which the process should not be sent work.
    pub(super) async fn ready(&self) -> Result<(), String> {
        match (self.phase.load(Ordering::Relaxed), self.parts.get()) {
            (STOPPING, _) => Err("shutting down".to_owned()),
            (READY, Some((store, _))) => timeout(PATIENCE, redis_is_ready(store))
                .await
                .unwrap_or_else(|_| Err("Redis does not answer in time".to_owned())),
            _ => Err("starting".to_owned()),
        }
    }
}

async fn redis_is_ready(store: &Store) -> Result<(), String> {
    if !store.connection().is_connected() {
        return Err("not connected to Redis".to_owned());
    }
    let partitions = store.partitions();
    let answers = join_all(partitions.iter().map(|partition| partition.has_groups())).await;
    for (partition, answer) in partitions.iter().zip(answers) {
        match answer {
            Ok(true) => {}
            Ok(false) => {
                let reason = "a consumer group is missing, and is being made again";
                return Err(format!("partition {}: {reason}", partition.index));
            }
            Err(error) => return Err(error.to_string()),
        }
    }
    Ok(())
}
