//! Mirrors Redis into the gauges that all pods share: backlog, retry queues, circuits, dead letters, ledger.
//!
//! One loop a process, started by `app`. Everything is read from Redis and published anew each time, so the
//! gauges are true on an idle pod and after a restart; while Redis is away they go stale and then vanish.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use super::sessions::Sessions;
use super::standings::{age, standings, workable};
use crate::config::Config;
use crate::domain::ids::SubscriptionId;
use crate::report::{History, Sample};
use crate::store::census::{Ledger, Snapshot};
use crate::store::memory::Memory;
use crate::store::probe::ServerFacts;
use crate::store::{Store, StoreError};
use crate::telemetry::metrics::{self, Durability};

use crate::telemetry::subscriptions::SubscriptionGauges;
use crate::telemetry::tally::Traffic;

/// How long `appendfsync` and `min-replicas-to-write`, which INFO does not tell, are believed.
const BELIEVED: Duration = Duration::from_secs(60);

/// What this pod knows of whom it delivers to.
#[derive(Debug)]
pub struct Audience {
    /// The subscriptions there are now, with this pod's requests since it was asked last.
    pub subscriptions: Vec<(SubscriptionId, Traffic)>,
    /// Whether events are published to them.
    pub publishes: bool,
}

/// Asks for it.
type AskAudience = Box<dyn Fn() -> Audience + Send + Sync>;

/// Publishes the gauges.
pub struct Gauges {
    store: Arc<Store>,
    audience: AskAudience,
    facts: ServerFacts,
    /// `redis.confirm_replicas`.
    confirming: u32,
    /// When `appendfsync` and `min-replicas-to-write` were read; `None` when that is to be done again.
    settings_read: Option<Instant>,
    refresh: Duration,
    dead_after: Duration,
    /// `None` in a process that does not serve Redfish.
    sessions: Option<Sessions>,
    labels: SubscriptionGauges,
    history: Arc<History>,
    /// Removed events that were there at the last look; `None` before the first.
    removed: Option<u64>,
}

impl fmt::Debug for Gauges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gauges")
            .field("store", &self.store)
            .finish_non_exhaustive()
    }
}

/// What all partitions hold together.
#[derive(Debug, Default)]
struct Totals {
    now_ms: u64,
    events: u64,
    pending: u64,
    dead_letters: u64,
    /// Subscriptions that may have something parked, counted once for each reason.
    troubled: u64,
    oldest: Duration,
    ledger: Ledger,
    removed: u64,
}

impl Gauges {
    /// Reads from `store`; `audience` names all subscriptions, for those without any trouble have gauges too. What was
    /// learnt of Redis at the start (`facts`) is kept true and published along, and each reading remembered in
    /// `history`.
    #[must_use]
    pub fn new(
        config: &Config,
        store: Arc<Store>,
        facts: ServerFacts,
        audience: impl Fn() -> Audience + Send + Sync + 'static,
        history: Arc<History>,
    ) -> Self {
        Self {
            store,
            audience: Box::new(audience),
            facts,
            confirming: config.redis.confirm_replicas,
            settings_read: Some(Instant::now()),
            refresh: config.admin.refresh.0,
            dead_after: config.worker.dead_after.0,
            sessions: (config.redfish.enabled && config.serve.role.takes_in())
                .then(|| Sessions::new(config.redfish.session_timeout.0)),
            labels: SubscriptionGauges::new(config.admin.max_subscription_labels),
            history,
            removed: None,
        }
    }

    /// Publishes every `admin.refresh` until `shutdown`.
    pub async fn run(mut self, shutdown: CancellationToken) {
        let mut ticks = tokio::time::interval(self.refresh);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let publishing = async {
            loop {
                ticks.tick().await;
                if let Err(error) = self.step().await {
                    debug!(%error, "the gauges were not refreshed");
                }
            }
        };
        shutdown.run_until_cancelled(publishing).await;
    }

    /// Reads everything once and publishes it. Without trouble that is one script a partition and one `INFO`
    /// a server.
    ///
    /// # Errors
    /// When Redis can't be reached; nothing but that is published then.
    pub async fn step(&mut self) -> Result<(), StoreError> {
        let read = self.read().await;
        metrics::set_redis_connected(read.is_ok());
        if read.is_err() {
            // It may come back as another server.
            self.settings_read = None;
        }
        read
    }

    async fn read(&mut self) -> Result<(), StoreError> {
        let mut totals = Totals::default();
        for partition in self.store.partitions() {
            totals.add(&partition.snapshot(self.dead_after).await?);
        }
        let (now_ms, troubled) = match totals.troubled {
            0 => (0, BTreeMap::new()),
            _ => self.store.troubled().await?,
        };
        let memory = self.look_at_the_servers().await?;
        if memory.limit > 0 {
            metrics::set_redis_memory_ratio(memory.ratio());
        }
        metrics::set_redis_durability(&durability(&self.facts));
        if let Some(sessions) = &mut self.sessions {
            sessions.publish(&self.store, totals.now_ms).await?;
        }
        totals.publish();
        self.history
            .record(Sample::new(totals.now_ms, &totals.ledger, totals.events));
        self.note_removed(totals.removed);
        let audience = (self.audience)();
        let standings = standings(audience.subscriptions, now_ms, &troubled);
        metrics::set_publishing(audience.publishes);
        metrics::set_backlog(match audience.publishes {
            true => totals.events.saturating_add(workable(&standings)),
            // No worker can do anything about what waits until it is switched on again.
            false => 0,
        });
        self.labels.publish(standings);
        Ok(())
    }

    /// How full Redis is; along with it what is known of how it keeps its data is brought up to date, and what is wrong
    /// with that said when it begins.
    async fn look_at_the_servers(&mut self) -> Result<Memory, StoreError> {
        let Some(vitals) = self.store.vitals().await? else {
            return Ok(Memory::default());
        };
        let before = self.facts.warnings(self.confirming);
        self.facts.renew(&vitals);
        // A user who could not read them at the start is not asked for again and again: each refusal is an error in
        // Redis' statistics.
        let readable = self.facts.fsync.is_some() || self.facts.min_replicas.is_some();
        if readable && self.settings_read.is_none_or(|read| read.elapsed() >= BELIEVED) {
            (self.facts.fsync, self.facts.min_replicas) = self.store.durability_settings().await?;
            self.settings_read = Some(Instant::now());
        }
        let now = self.facts.warnings(self.confirming);
        for warning in now.iter().filter(|warning| !before.contains(warning)) {
            warn!("durability: {warning}");
        }
        if now.is_empty() && !before.is_empty() {
            info!("durability: what was weak in Redis' settings is mended");
        }
        Ok(vitals.memory)
    }

    /// Says that events were removed since the last look: nobody can deliver them.
    fn note_removed(&mut self, removed: u64) {
        let new = removed.saturating_sub(self.removed.replace(removed).unwrap_or(removed));
        if new > 0 {
            error!(
                events = new,
                "events were deleted or trimmed from the stream before they were delivered; find out who ran XDEL, \
                 XTRIM or XADD with MAXLEN on it"
            );
        }
    }
}

impl Totals {
    fn add(&mut self, partition: &Snapshot) {
        self.now_ms = self.now_ms.max(partition.now_ms);
        self.events += partition.events;
        self.pending += partition.pending;
        self.dead_letters += partition.dead_letters;
        self.troubled += partition.waiting + partition.behind + partition.redeliveries;
        self.oldest = self.oldest.max(age(partition.now_ms, partition.oldest));
        self.ledger = self.ledger.plus(partition.ledger);
        self.removed += partition.removed;
    }

    fn publish(&self) {
        // Settled events leave the stream at once: what is there and not pending was not read yet.
        metrics::set_stream_lag(self.events.saturating_sub(self.pending));
        metrics::set_stream_pending(self.pending);
        metrics::set_stream_oldest_age(self.oldest);
        metrics::set_dead_letters(self.dead_letters);
        metrics::set_events_removed(self.removed);
        let ledger = &self.ledger;
        for (entry, total) in [
            ("settled", ledger.settled),
            ("unwanted", ledger.unwanted),
            ("rejected", ledger.rejected),
            ("wanted", ledger.wanted),
            ("delivered", ledger.delivered),
            ("parked", ledger.parked),
            ("dead_lettered", ledger.dead_lettered),
            ("overflowed", ledger.overflowed),
            ("replayed", ledger.replayed),
            ("dropped", ledger.dropped),
        ] {
            metrics::set_ledger(entry, total);
        }
        metrics::set_ledger_imbalance(ledger.imbalance());
    }
}

/// How Redis keeps its data, as the labels say it.
fn durability(facts: &ServerFacts) -> Durability {
    Durability {
        append_only: facts.append_only,
        fsync: facts.fsync.clone().unwrap_or_else(|| "unknown".to_owned()),
        eviction: facts.policy.clone(),
        min_replicas: facts.min_replicas.and_then(|n| u32::try_from(n).ok()).unwrap_or(0),
    }
}
