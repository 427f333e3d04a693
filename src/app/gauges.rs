//! Mirrors Redis into the gauges that all pods share: backlog, retry queues, circuits, dead letters, ledger.
//!
//! One loop a process, started by `app`. Everything is read from Redis and published anew each time, so the
//! gauges are true on an idle pod and after a restart; while Redis is away they go stale and then vanish.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error};

use crate::config::Config;
use crate::domain::ids::{StreamId, SubscriptionId};
use crate::report::{History, Sample};
use crate::store::census::{Census, Ledger, Snapshot};
use crate::store::{Store, StoreError};
use crate::telemetry::labels::CircuitState;
use crate::telemetry::metrics::{self, Durability};
use crate::telemetry::service;
use crate::telemetry::subscriptions::{Standing, SubscriptionGauges};
use crate::telemetry::tally::Traffic;

/// The subscriptions there are now, with this pod's requests since the last call.
type Subscriptions = Box<dyn Fn() -> Vec<(SubscriptionId, Traffic)> + Send + Sync>;

/// Publishes the gauges.
pub struct Gauges {
    store: Arc<Store>,
    subscriptions: Subscriptions,
    durability: Option<Durability>,
    refresh: Duration,
    dead_after: Duration,
    /// When a session of the Redfish service is over; `None` in a process that does not serve it.
    sessions: Option<Duration>,
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
    /// Reads from `store`; `subscriptions` names all there are, for those without any trouble have gauges too, with
    /// this pod's requests since it was called last. What is known of Redis' durability is published along, and each reading remembered in `history`.
    #[must_use]
    pub fn new(
        config: &Config,
        store: Arc<Store>,
        durability: Option<Durability>,
        subscriptions: impl Fn() -> Vec<(SubscriptionId, Traffic)> + Send + Sync + 'static,
        history: Arc<History>,
    ) -> Self {
        Self {
            store,
            subscriptions: Box::new(subscriptions),
            durability,
            refresh: config.admin.refresh.0,
            dead_after: config.worker.dead_after.0,
            sessions: (config.redfish.enabled && config.serve.role.takes_in())
                .then_some(config.redfish.session_timeout.0),
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
    /// When Redis can't be reached; nothing is published then.
    pub async fn step(&mut self) -> Result<(), StoreError> {
        let mut totals = Totals::default();
        for partition in self.store.partitions() {
            totals.add(&partition.snapshot(self.dead_after).await?);
        }
        let (now_ms, troubled) = match totals.troubled {
            0 => (0, BTreeMap::new()),
            _ => self.store.troubled().await?,
        };
        let memory = self.store.memory().await?;
        if memory.limit > 0 {
            metrics::set_redis_memory_ratio(memory.ratio());
        }
        if let Some(durability) = &self.durability {
            metrics::set_redis_durability(durability);
        }
        if let Some(timeout) = self.sessions {
            service::set_sessions(self.store.session_count(timeout, totals.now_ms).await?);
        }
        totals.publish();
        self.history
            .record(Sample::new(totals.now_ms, &totals.ledger, totals.events));
        self.note_removed(totals.removed);
        let standings = self.standings(now_ms, &troubled);
        metrics::set_backlog(totals.events.saturating_add(workable(&standings)));
        self.labels.publish(standings);
        Ok(())
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

    /// Every subscription with how it stands: those in trouble, and all others as healthy.
    fn standings(&self, now_ms: u64, troubled: &BTreeMap<String, Census>) -> Vec<(String, Standing)> {
        let mut all: BTreeMap<String, Traffic> = (self.subscriptions)()
            .into_iter()
            .map(|(id, traffic)| (id.as_str().to_owned(), traffic))
            .collect();
        for id in troubled.keys() {
            all.entry(id.clone()).or_default();
        }
        let healthy = Census::default();
        all.into_iter()
            .map(|(id, traffic)| {
                let standing = standing(now_ms, troubled.get(&id).unwrap_or(&healthy), traffic);
                (id, standing)
            })
            .collect()
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

/// Deliveries parked for subscribers that answer: no worker can do anything for one that is down or suspended.
fn workable(standings: &[(String, Standing)]) -> u64 {
    let answering = standings
        .iter()
        .filter(|(_, standing)| matches!(standing.circuit, CircuitState::Closed | CircuitState::Draining));
    answering.map(|(_, standing)| standing.parked).sum()
}

fn standing(now_ms: u64, census: &Census, traffic: Traffic) -> Standing {
    let circuit = match census {
        Census { suspended: true, .. } => CircuitState::Suspended,
        Census {
            open_since_ms: Some(_), ..
        } => CircuitState::Open,
        Census {
            behind_since_ms: Some(_),
            ..
        } => CircuitState::Draining,
        _ => CircuitState::Closed,
    };
    Standing {
        parked: census.parked,
        oldest: age(now_ms, census.oldest),
        circuit,
        failed_probes: census.failures,
        next_attempt: census
            .next_wakeup_ms
            .map(|due| Duration::from_millis(due.saturating_sub(now_ms))),
        traffic,
    }
}

/// The age of an event by Redis' clock, which also made its id; an id from the future is of age zero.
fn age(now_ms: u64, event: Option<StreamId>) -> Duration {
    event.map_or(Duration::ZERO, |id| {
        Duration::from_millis(now_ms.saturating_sub(id.millis))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_of_a_circuit_is_shown() {
        let circuit = |census: &Census| standing(0, census, Traffic::default()).circuit;
        let mut census = Census::default();
        assert_eq!(circuit(&census), CircuitState::Closed);
        census.behind_since_ms = Some(1);
        assert_eq!(circuit(&census), CircuitState::Draining);
        census.open_since_ms = Some(1);
        assert_eq!(circuit(&census), CircuitState::Open);
        census.suspended = true;
        assert_eq!(circuit(&census), CircuitState::Suspended);
    }

    #[test]
    fn a_wake_up_that_is_overdue_is_due_now() {
        let next = |due| {
            let census = Census {
                next_wakeup_ms: due,
                ..Census::default()
            };
            standing(5_000, &census, Traffic::default()).next_attempt
        };
        assert_eq!(next(Some(6_500)), Some(Duration::from_millis(1_500)));
        assert_eq!(next(Some(4_000)), Some(Duration::ZERO));
        assert_eq!(next(None), None);
    }

    #[test]
    fn a_subscriber_that_is_down_is_no_work() {
        let parked = |circuit| {
            let standing = Standing {
                parked: 10,
                circuit,
                ..standing(0, &Census::default(), Traffic::default())
            };
            ("s".to_owned(), standing)
        };
        let all = [
            CircuitState::Closed,
            CircuitState::Draining,
            CircuitState::Open,
            CircuitState::Suspended,
        ];
        assert_eq!(workable(&all.map(parked)), 20);
    }

    #[test]
    fn an_id_from_the_future_has_no_age() {
        let event = |millis| Some(StreamId { millis, sequence: 0 });
        assert_eq!(age(5_000, event(3_500)), Duration::from_millis(1500));
        assert_eq!(age(5_000, event(u64::MAX)), Duration::ZERO);
        assert_eq!(age(5_000, None), Duration::ZERO);
    }
}
