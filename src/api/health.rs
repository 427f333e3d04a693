//! Whether this process lives, and whether it should be sent work.
//!
//! Alive is what its own loops say, never Redis or a subscriber: a restart would not mend those. Ready needs
//! a finished start, a Redis that answers with both groups in place, and no shutdown; without Redis a pod that takes
//! events in stays ready to refuse them when no other can take them in either (`peers`).

use std::fmt;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures::future::join_all;
use tokio::time::timeout;

use super::peers::Peers;
use crate::store::Store;

/// With no loop turning for this long the process is stuck.
const STUCK: Duration = Duration::from_secs(30);
/// Redis has this long to answer a readiness probe.
const PATIENCE: Duration = Duration::from_secs(1);
/// And this long where a peer asks, which has less than a second for the whole answer.
const PATIENCE_FOR_PEERS: Duration = Duration::from_millis(500);

const STARTING: u8 = 0;
const READY: u8 = 1;
const STOPPING: u8 = 2;

/// How long no loop has turned.
type SilentFor = Box<dyn Fn() -> Duration + Send + Sync>;

/// What is asked once there is a store.
struct Parts {
    store: Arc<Store>,
    silent_for: SilentFor,
    takes_in: bool,
}

/// The health of this process.
pub(super) struct Health {
    phase: AtomicU8,
    parts: OnceLock<Parts>,
    peers: Option<Peers>,
    /// Tells this process from its peers.
    pub(super) pod: String,
}

impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Health")
            .field("phase", &self.phase)
            .finish_non_exhaustive()
    }
}

impl Health {
    /// That of a process that starts; `peers` are asked while Redis is away.
    pub(super) fn new(peers: Option<Peers>) -> Self {
        Self {
            phase: AtomicU8::new(STARTING),
            parts: OnceLock::new(),
            peers,
            pod: format!("{:016x}", rand::random::<u64>()),
        }
    }

    /// What to ask from now on, and whether events are taken in here; only the first call counts.
    pub(super) fn attach(&self, store: Arc<Store>, takes_in: bool, silent_for: SilentFor) {
        self.parts.get_or_init(|| Parts {
            store,
            silent_for,
            takes_in,
        });
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
        let Some(Parts { silent_for, .. }) = self.parts.get() else {
            return Ok(());
        };
        let silent = silent_for();
        if silent < STUCK || self.phase.load(Ordering::Relaxed) == STARTING {
            return Ok(());
        }
        Err(format!("no loop has turned for {} s", silent.as_secs()))
    }

    /// Fails with the reason for which the process should not be sent work. Where it should only because nobody else
    /// can do better, that is the answer.
    pub(super) async fn ready(&self) -> Result<Option<String>, String> {
        let parts = self.started()?;
        let Err(reason) = parts.redis_is_ready(PATIENCE).await else {
            return Ok(None);
        };
        match &self.peers {
            Some(peers) if parts.takes_in && peers.leave_it_to(&self.pod).await => Ok(Some(format!(
                "{reason}, nor does another pod take events in: they are refused here with 503"
            ))),
            _ => Err(reason),
        }
    }

    /// Fails with the reason for which this process takes no events in.
    pub(super) async fn takes_in(&self) -> Result<(), String> {
        let parts = self.started()?;
        match parts.takes_in {
            true => parts.redis_is_ready(PATIENCE_FOR_PEERS).await,
            false => Err("this pod takes no events in".to_owned()),
        }
    }

    fn started(&self) -> Result<&Parts, String> {
        match (self.phase.load(Ordering::Relaxed), self.parts.get()) {
            (STOPPING, _) => Err("shutting down".to_owned()),
            (READY, Some(parts)) => Ok(parts),
            _ => Err("starting".to_owned()),
        }
    }
}

impl Parts {
    async fn redis_is_ready(&self, patience: Duration) -> Result<(), String> {
        timeout(patience, redis_is_ready(&self.store))
            .await
            .unwrap_or_else(|_| Err("Redis does not answer in time".to_owned()))
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
