//! What is known of a deployment at one moment, gathered from all partitions.
//!
//! `holdfast status` prints it and the admin listener's page shows it: composed here, once, for both.

mod circuit;
mod dead_letters;
mod history;
mod largest;
mod workers;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

pub use self::circuit::{Circuit, MASK, backups, destination};
pub use self::dead_letters::{DeadLetterRow, latest_dead_letters};
pub use self::history::{History, Sample};
pub use self::largest::Holder;
pub use self::workers::{WorkerRow, workers};
use crate::domain::service::ServiceSettings;
use crate::domain::subscription::Subscription;
use crate::store::census::{Census, Ledger};
use crate::store::memory::Memory;
use crate::store::{Store, StoreError};

/// The state of everything at one moment of Redis' clock.
#[derive(Debug)]
pub struct Report {
    now_ms: u64,
    subscriptions: Vec<(Arc<Subscription>, Census)>,
    unreadable: usize,
    settings: ServiceSettings,
    waiting: u64,
    pending: u64,
    oldest_ms: Option<u64>,
    dead_letters: u64,
    workers: u64,
    ledger: Ledger,
    memory: Memory,
}

/// A report as programs and people read it.
#[derive(Debug, Serialize)]
pub struct View<'a> {
    /// Redis' clock, ms since the epoch.
    pub now_ms: u64,
    /// Those in trouble first.
    pub subscriptions: Vec<Row<'a>>,
    /// The deployment as a whole.
    pub totals: Totals,
}

/// One subscription.
#[derive(Debug, Serialize)]
pub struct Row<'a> {
    /// Its id.
    pub id: &'a str,
    /// Where its events go, with what may be secret left out.
    pub destination: String,
    /// How its deliveries are going.
    #[serde(flatten)]
    pub circuit: Circuit<'a>,
    /// By how much the parked deliveries grow each second; only where there was an earlier report.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parked_per_second: Option<i64>,
}

/// The deployment as a whole.
#[derive(Debug, Serialize)]
pub struct Totals {
    /// Whether events are published (Redfish's `ServiceEnabled`).
    pub service_enabled: bool,
    /// Redfish's `DeliveryRetryAttempts`, where it was set at run time.
    pub delivery_retry_attempts: Option<u32>,
    /// Redfish's `DeliveryRetryIntervalSeconds`, where it was set at run time.
    pub delivery_retry_interval_seconds: Option<u64>,
    /// Subscriptions whose stored JSON can't be read.
    pub unreadable_subscriptions: usize,
    /// Events that were ever accepted: settled, or in the stream.
    pub events_accepted: i64,
    /// Events in the stream that no worker has taken yet.
    pub events_waiting: u64,
    /// Events that workers hold.
    pub events_in_progress: u64,
    /// Age of the oldest event in the stream.
    pub oldest_event_age_ms: Option<u64>,
    /// Deliveries given up and neither replayed nor purged yet.
    pub dead_letters: u64,
    /// Workers whose heartbeat is recent.
    pub workers_alive: u64,
    /// What the fullest server has in use.
    pub memory_used_bytes: u64,
    /// Its limit; 0 where none is known.
    pub memory_limit_bytes: u64,
    /// Who holds the most, the largest first; three at most.
    pub largest: Vec<Holder>,
    /// The totals.
    pub ledger: Books,
    /// Deliveries answered 2xx each second; only where there was an earlier report.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivered_per_second: Option<i64>,
}

/// The ledger's totals since the deployment began.
#[derive(Debug, Serialize)]
pub struct Books {
    /// Deliveries that were settled.
    pub wanted: i64,
    /// Dead letters put back to work.
    pub replayed: i64,
    /// Deliveries answered 2xx.
    pub delivered: i64,
    /// Deliveries parked now.
    pub parked: i64,
    /// Deliveries given up by policy.
    pub dead_lettered: i64,
    /// Deliveries written to a file beyond their subscription's limit.
    pub overflowed: i64,
    /// Deliveries dropped with their subscription.
    pub dropped: i64,
    /// Events that nobody wanted.
    pub unwanted_events: i64,
    /// Events that could not be read.
    pub rejected_events: i64,
    /// 0 when every wanted delivery is accounted for.
    pub imbalance: i64,
}

impl Report {
    /// Asks Redis.
    ///
    /// # Errors
    /// When Redis can't be reached.
    pub async fn take(store: &Store, dead_after: Duration) -> Result<Self, StoreError> {
        let registry = store.registry().await?;
        let ids: Vec<&str> = registry.subscriptions.iter().map(|s| s.id.as_str()).collect();
        let (_, rows) = store.census(&ids).await?;
        let mut report = Self {
            now_ms: 0,
            subscriptions: registry.subscriptions.iter().cloned().zip(rows).collect(),
            unreadable: registry.unreadable.len(),
            settings: registry.settings,
            waiting: 0,
            pending: 0,
            oldest_ms: None,
            dead_letters: 0,
            workers: 0,
            ledger: Ledger::default(),
            memory: store.memory().await?,
        };
        for partition in store.partitions() {
            let part = partition.snapshot(dead_after).await?;
            report.now_ms = report.now_ms.max(part.now_ms);
            report.waiting += part.events.saturating_sub(part.pending);
            report.pending += part.pending;
            let oldest = part.oldest.map(|id| id.millis);
            report.oldest_ms = report.oldest_ms.into_iter().chain(oldest).min();
            report.dead_letters += part.dead_letters;
            // Every worker serves every partition.
            report.workers = report.workers.max(part.workers);
            report.ledger = report.ledger.plus(part.ledger);
        }
        Ok(report)
    }

    /// Redis' clock when it was taken, ms since the epoch.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        self.now_ms
    }

    /// Changes whenever a dead letter came or went, but for a coincidence.
    #[must_use]
    pub fn dead_letters_mark(&self) -> [i64; 4] {
        let ledger = &self.ledger;
        let count = i64::try_from(self.dead_letters).unwrap_or(i64::MAX);
        [count, ledger.dead_lettered, ledger.rejected, ledger.replayed]
    }

    /// What is shown, with rates where there is an earlier report.
    #[must_use]
    pub fn view<'a>(&'a self, before: Option<&Self>) -> View<'a> {
        let parked_before: HashMap<&str, u64> = before
            .into_iter()
            .flat_map(|before| &before.subscriptions)
            .map(|(of, census)| (of.id.as_str(), census.parked))
            .collect();
        let per_second = |change: i64| {
            let millis = before.map(|before| self.now_ms.saturating_sub(before.now_ms))?;
            change.saturating_mul(1_000).checked_div(i64::try_from(millis).ok()?)
        };
        let mut subscriptions: Vec<Row> = self
            .subscriptions
            .iter()
            .map(|(of, census)| Row {
                id: of.id.as_str(),
                destination: destination(of),
                circuit: Circuit::new(of.is_suspended(), census, self.now_ms),
                parked_per_second: parked_before
                    .get(of.id.as_str())
                    .and_then(|parked| per_second(difference(census.parked, *parked))),
            })
            .collect();
        subscriptions.sort_by_key(|row| (row.circuit.rank(), std::cmp::Reverse(row.circuit.parked)));
        let ledger = self.ledger;
        let delivered = before.map(|before| ledger.delivered - before.ledger.delivered);
        View {
            now_ms: self.now_ms,
            subscriptions,
            totals: Totals {
                service_enabled: self.settings.enabled,
                delivery_retry_attempts: self.settings.retries,
                delivery_retry_interval_seconds: self.settings.interval.map(|interval| interval.0.as_secs()),
                unreadable_subscriptions: self.unreadable,
                events_accepted: history::accepted(&self.ledger, self.waiting + self.pending),
                events_waiting: self.waiting,
                events_in_progress: self.pending,
                oldest_event_age_ms: self.oldest_ms.map(|then| self.now_ms.saturating_sub(then)),
                dead_letters: self.dead_letters,
                workers_alive: self.workers,
                memory_used_bytes: self.memory.used,
                memory_limit_bytes: self.memory.limit,
                largest: largest::holders(&self.subscriptions),
                ledger: Books {
                    wanted: ledger.wanted,
                    replayed: ledger.replayed,
                    delivered: ledger.delivered,
                    parked: ledger.parked,
                    dead_lettered: ledger.dead_lettered,
                    overflowed: ledger.overflowed,
                    dropped: ledger.dropped,
                    unwanted_events: ledger.unwanted,
                    rejected_events: ledger.rejected,
                    imbalance: ledger.imbalance(),
                },
                delivered_per_second: delivered.and_then(per_second),
            },
        }
    }
}

fn difference(now: u64, before: u64) -> i64 {
    let signed = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    signed(now) - signed(before)
}
