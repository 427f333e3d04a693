//! One typed function for each metric.
//!
//! Called from everywhere but `domain`. This file and `service.rs` are the only ones that may record one (clippy refuses
//! the macros elsewhere); the names are in `catalogue.rs`. Before [`super::install`] the functions do nothing. Counters and histograms of the hot path are
//! looked up once; gauges are not, since one that idles is dropped and a kept handle would write to nowhere.
#![expect(clippy::disallowed_macros, reason = "records metrics of the catalogue")]

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use metrics::{Counter, Histogram, counter, gauge, histogram, with_local_recorder};
use metrics_exporter_prometheus::PrometheusRecorder;

use super::catalogue::*;
use super::labels::{Certificate, DeliveryResult, IntakeRefusal, LimitKind, Outcome, Path, Reason, RedisErrorKind};
use super::service;
use super::subscriptions::Standing;
use super::tally::Traffic;

static HANDLES: OnceLock<Handles> = OnceLock::new();
static SENDING: AtomicI64 = AtomicI64::new(0);
/// When each certificate ends, by its number; 0 for those that are not in use.
static CERTIFICATES: [AtomicU64; Certificate::ALL.len()] = [const { AtomicU64::new(0) }; Certificate::ALL.len()];
/// Whether the last look at Redis was answered.
static REDIS_ANSWERS: AtomicBool = AtomicBool::new(false);
/// Forgets counters that are no longer counted on, which the recorder of all others never does.
static OF_SUBSCRIPTIONS: OnceLock<PrometheusRecorder> = OnceLock::new();

/// Counters and histograms whose labels are known; made once the recorder is in place, so that each counter
/// is there as 0 before its first increment and rates miss nothing.
struct Handles {
    accepted: Counter,
    settled: Counter,
    attempts: Vec<OnceLock<Counter>>,
    deliveries: Vec<Counter>,
    redeliveries: Counter,
    wakeups: Counter,
    reclaimed: Counter,
    missing: Counter,
    stepped_back: Counter,
    repairs: Counter,
    limited: Vec<Counter>,
    overflow_failures: Counter,
    refused: Vec<Counter>,
    blocked: Counter,
    duration: Histogram,
    latency: Vec<Histogram>,
    lateness: Histogram,
    matching: Histogram,
}

/// Looks the handles up; once, after the recorder was set. Counters of subscriptions go to one of their own.
pub(super) fn prepare(per_subscription: PrometheusRecorder) {
    OF_SUBSCRIPTIONS.get_or_init(|| per_subscription);
    service::prepare();
    HANDLES.get_or_init(|| Handles {
        accepted: counter!(EVENTS_ACCEPTED),
        settled: counter!(EVENTS_SETTLED),
        attempts: vec![OnceLock::new(); Outcome::ALL.len() * Reason::ALL.len()],
        deliveries: DeliveryResult::ALL
            .iter()
            .map(|result| counter!(DELIVERIES, "result" => result.as_str()))
            .collect(),
        redeliveries: counter!(REDELIVERIES),
        wakeups: counter!(WAKEUPS),
        reclaimed: counter!(RECLAIMED),
        missing: counter!(ENTRIES_MISSING),
        stepped_back: counter!(REDIS_STEPPED_BACK),
        repairs: counter!(AUDIT_REPAIRS),
        limited: LimitKind::ALL
            .iter()
            .map(|limit| counter!(LIMITED, "limit" => limit.as_str()))
            .collect(),
        overflow_failures: counter!(OVERFLOW_FAILURES),
        refused: IntakeRefusal::ALL
            .iter()
            .map(|reason| counter!(INTAKE_REFUSED, "reason" => reason.as_str()))
            .collect(),
        blocked: counter!(DESTINATION_BLOCKED),
        duration: histogram!(DELIVERY_DURATION),
        latency: Path::ALL
            .iter()
            .map(|path| histogram!(END_TO_END_LATENCY, "path" => path.as_str()))
            .collect(),
        lateness: histogram!(REINJECTION_LATENESS),
        matching: histogram!(MATCH_DURATION),
    });
}

fn count(pick: impl FnOnce(&'static Handles) -> Option<&'static Counter>, n: u64) {
    if let Some(counter) = HANDLES.get().and_then(pick) {
        counter.increment(n);
    }
}

fn record(pick: impl FnOnce(&'static Handles) -> Option<&'static Histogram>, took: Duration) {
    if let Some(histogram) = HANDLES.get().and_then(pick) {
        histogram.record(took);
    }
}

/// `n` events were written to the event stream.
pub fn events_accepted(n: u64) {
    count(|h| Some(&h.accepted), n);
}

/// `n` events were acknowledged.
pub fn events_settled(n: u64) {
    count(|h| Some(&h.settled), n);
}

/// One request to a subscriber ended after `took`.
pub fn delivery_attempt(outcome: Outcome, reason: Reason, took: Duration) {
    let cell = outcome as usize * Reason::ALL.len() + reason as usize;
    let name = || counter!(DELIVERY_ATTEMPTS, "outcome" => outcome.as_str(), "reason" => reason.as_str());
    count(|h| h.attempts.get(cell).map(|cell| cell.get_or_init(name)), 1);
    record(|h| Some(&h.duration), took);
}

/// `n` deliveries ended up at `result`.
pub fn deliveries(result: DeliveryResult, n: u64) {
    count(|h| h.deliveries.get(result as usize), n);
}

/// `n` due subscriptions were re-injected.
pub fn redeliveries(n: u64) {
    count(|h| Some(&h.redeliveries), n);
}

/// `n` wake-ups were made.
pub fn wakeups(n: u64) {
    count(|h| Some(&h.wakeups), n);
}

/// `n` entries of a dead worker were taken over.
pub fn reclaimed(n: u64) {
    count(|h| Some(&h.reclaimed), n);
}

/// `n` undelivered entries were gone from their stream.
pub fn entries_missing(n: u64) {
    count(|h| Some(&h.missing), n);
}

/// Redis came back with less than it had.
pub fn redis_stepped_back() {
    count(|h| Some(&h.stepped_back), 1);
}

/// The audit repaired `n` subscriptions.
pub fn audit_repairs(n: u64) {
    count(|h| Some(&h.repairs), n);
}

/// `n` parked deliveries were moved by a limit of their subscription.
pub fn limited(limit: LimitKind, n: u64) {
    count(|h| h.limited.get(limit as usize), n);
}

/// Overflow could not be written to its file.
pub fn overflow_failure() {
    count(|h| Some(&h.overflow_failures), 1);
}

/// One event was not taken in.
pub fn intake_refused(reason: IntakeRefusal) {
    count(|h| h.refused.get(reason as usize), 1);
}

/// One request was not sent because its address is not allowed.
pub fn destination_blocked() {
    count(|h| Some(&h.blocked), 1);
}

/// The Redis operation `op` (a script's or command's name) failed.
pub fn redis_error(op: &'static str, kind: RedisErrorKind) {
    counter!(REDIS_ERRORS, "op" => op, "kind" => kind.as_str()).increment(1);
}

/// The Redis operation `op` was answered after `took`.
pub fn redis_command(op: &'static str, took: Duration) {
    histogram!(REDIS_COMMAND_DURATION, "op" => op).record(took);
}

/// An event reached a subscriber `age` after it arrived.
pub fn end_to_end_latency(path: Path, age: Duration) {
    record(|h| h.latency.get(path as usize), age);
}

/// A subscription was re-injected `late` after it was due.
pub fn reinjection_lateness(late: Duration) {
    record(|h| Some(&h.lateness), late);
}

/// One event was matched against all subscriptions.
pub fn event_matched(took: Duration) {
    record(|h| Some(&h.matching), took);
}

/// Counts one more of something for as long as it is held.
#[derive(Debug)]
pub struct Held(&'static AtomicI64);

impl Held {
    pub(super) fn one_of(count: &'static AtomicI64) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A request to a subscriber starts; drop the guard when it ended, however it did.
#[must_use]
pub fn in_flight() -> Held {
    Held::one_of(&SENDING)
}

/// Events written and not yet read, over all partitions.
pub fn set_stream_lag(events: u64) {
    set(STREAM_LAG, events);
}

/// What more workers would get done sooner: events not settled yet, and deliveries parked for subscribers that answer.
pub fn set_backlog(n: u64) {
    set(BACKLOG, n);
}

/// Events read and not yet settled, over all partitions.
pub fn set_stream_pending(events: u64) {
    set(STREAM_PENDING, events);
}

/// Age of the oldest event in the stream; zero when it is empty.
pub fn set_stream_oldest_age(age: Duration) {
    gauge!(OLDEST_AGE, "stage" => "stream").set(age);
}

/// One total of the ledger, over all partitions.
pub fn set_ledger(entry: &'static str, total: i64) {
    #[expect(
        clippy::cast_precision_loss,
        reason = "a gauge is a float; totals stay far below 2^53"
    )]
    gauge!(LEDGER, "entry" => entry).set(total as f64);
}

/// Deliveries that the ledger can't account for, over all partitions.
pub fn set_ledger_imbalance(off: i64) {
    #[expect(clippy::cast_precision_loss, reason = "a gauge is a float; it is 0 or an alarm")]
    gauge!(LEDGER_IMBALANCE).set(off as f64);
}

/// Events removed from the stream before they were settled, over all partitions.
pub fn set_events_removed(events: u64) {
    set(EVENTS_REMOVED, events);
}

/// Dead letters kept, over all partitions.
pub fn set_dead_letters(letters: u64) {
    set(DEAD_LETTERS, letters);
}

/// Whether events are published.
pub fn set_publishing(published: bool) {
    set(PUBLISHING, u64::from(published));
}

/// Whether this process could read Redis when it looked last; shown until it says otherwise, also when nobody looks.
pub fn set_redis_connected(answers: bool) {
    REDIS_ANSWERS.store(answers, Ordering::Relaxed);
    set(REDIS_CONNECTED, u64::from(answers));
}

/// Used memory over the limit, 0 to 1; 0 without a limit.
pub fn set_redis_memory_ratio(ratio: f64) {
    gauge!(REDIS_MEMORY_RATIO).set(ratio);
}

/// How Redis keeps its data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Durability {
    /// Whether the append-only file is on.
    pub append_only: bool,
    /// `appendfsync`.
    pub fsync: String,
    /// `maxmemory-policy`.
    pub eviction: String,
    /// `min-replicas-to-write`.
    pub min_replicas: u32,
}

/// Tells how Redis keeps its data.
pub fn set_redis_durability(durability: &Durability) {
    gauge!(
        REDIS_DURABILITY,
        "append_only" => if durability.append_only { "yes" } else { "no" },
        "fsync" => durability.fsync.clone(),
        "eviction" => durability.eviction.clone(),
        "min_replicas" => durability.min_replicas.to_string(),
    )
    .set(1.0);
}

/// How one subscription (or `other`) stands; called by [`super::subscriptions`], which bounds the labels.
pub(super) fn set_subscription(label: &str, standing: &Standing) {
    let label = label.to_owned();
    gauge!(PARKED, "subscription" => label.clone()).set(precise(standing.parked));
    gauge!(OLDEST_AGE, "stage" => "retry", "subscription" => label.clone()).set(standing.oldest);
    gauge!(CIRCUIT_STATE, "subscription" => label.clone()).set(f64::from(standing.circuit as u32));
    gauge!(CIRCUIT_AGE, "subscription" => label.clone()).set(standing.circuit_age);
    gauge!(FAILED_PROBES, "subscription" => label.clone()).set(f64::from(standing.failed_probes));
    gauge!(NEXT_ATTEMPT, "subscription" => label.clone()).set(standing.next_attempt.unwrap_or_default());
    gauge!(SUBSCRIPTION_IN_FLIGHT, "subscription" => label.clone()).set(precise(standing.traffic.in_flight));
    if let Some(recorder) = OF_SUBSCRIPTIONS.get() {
        with_local_recorder(recorder, || count_requests(&label, &standing.traffic));
    }
}

/// Outcomes that did not happen are counted as none, so that rates miss nothing of the first that does.
fn count_requests(label: &str, traffic: &Traffic) {
    for (outcome, requests) in traffic.outcomes() {
        counter!(SUBSCRIPTION_ATTEMPTS, "subscription" => label.to_owned(), "outcome" => outcome.as_str())
            .increment(requests);
    }
    counter!(SUBSCRIPTION_DELIVERIES, "subscription" => label.to_owned()).increment(traffic.delivered);
}

/// A certificate is in use from now on; it ends so many seconds after the epoch.
pub fn certificate_ends(certificate: Certificate, end: u64) {
    CERTIFICATES[certificate as usize].store(end, Ordering::Relaxed);
}

/// Refreshes the gauges that this process owns, so that they never idle away.
pub(super) fn set_own_gauges() {
    service::set_own_gauges();
    gauge!(BUILD_INFO, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    set(REDIS_CONNECTED, u64::from(REDIS_ANSWERS.load(Ordering::Relaxed)));
    gauge!(IN_FLIGHT).set(held(&SENDING));
    for (certificate, end) in Certificate::ALL.iter().zip(&CERTIFICATES) {
        let end = end.load(Ordering::Relaxed);
        if end > 0 {
            gauge!(CERTIFICATE_NOT_AFTER, "certificate" => certificate.as_str()).set(precise(end));
        }
    }
}

/// How many are held now.
pub(super) fn held(count: &AtomicI64) -> f64 {
    precise(u64::try_from(count.load(Ordering::Relaxed)).unwrap_or(0))
}

fn set(name: &'static str, value: u64) {
    gauge!(name).set(precise(value));
}

/// Gauges are floating point: exact up to 2^53.
fn precise(value: u64) -> f64 {
    value as f64
}
