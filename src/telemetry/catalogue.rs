//! Every metric's name, kind, unit and meaning.
//!
//! The only file with metric names: `metrics.rs` records them, `exporter.rs` registers them, and a
//! test renders each. Names end in their unit; labels are those of [`super::labels`].

use metrics::Unit;

pub(super) const EVENTS_ACCEPTED: &str = "holdfast_events_accepted_total";
pub(super) const EVENTS_SETTLED: &str = "holdfast_events_settled_total";
pub(super) const DELIVERY_ATTEMPTS: &str = "holdfast_delivery_attempts_total";
pub(super) const DELIVERIES: &str = "holdfast_deliveries_total";
pub(super) const REDELIVERIES: &str = "holdfast_redeliveries_total";
pub(super) const WAKEUPS: &str = "holdfast_wakeups_total";
pub(super) const RECLAIMED: &str = "holdfast_reclaimed_total";
pub(super) const INTAKE_REFUSED: &str = "holdfast_intake_refused_total";
pub(super) const REDIS_ERRORS: &str = "holdfast_redis_errors_total";
pub(super) const DESTINATION_BLOCKED: &str = "holdfast_destination_blocked_total";
pub(super) const DELIVERY_DURATION: &str = "holdfast_delivery_duration_seconds";
pub(super) const END_TO_END_LATENCY: &str = "holdfast_end_to_end_latency_seconds";
pub(super) const REINJECTION_LATENESS: &str = "holdfast_reinjection_lateness_seconds";
pub(super) const REDIS_COMMAND_DURATION: &str = "holdfast_redis_command_duration_seconds";
pub(super) const MATCH_DURATION: &str = "holdfast_match_duration_seconds";
pub(super) const STREAM_LAG: &str = "holdfast_stream_lag";
pub(super) const STREAM_PENDING: &str = "holdfast_stream_pending";
pub(super) const BACKLOG: &str = "holdfast_backlog";
pub(super) const PARKED: &str = "holdfast_parked";
pub(super) const OLDEST_AGE: &str = "holdfast_oldest_age_seconds";
pub(super) const CIRCUIT_STATE: &str = "holdfast_circuit_state";
pub(super) const CIRCUIT_AGE: &str = "holdfast_circuit_age_seconds";
pub(super) const FAILED_PROBES: &str = "holdfast_failed_probes";
pub(super) const NEXT_ATTEMPT: &str = "holdfast_next_attempt_seconds";
pub(super) const SUBSCRIPTION_ATTEMPTS: &str = "holdfast_subscription_attempts_total";
pub(super) const SUBSCRIPTION_DELIVERIES: &str = "holdfast_subscription_deliveries_total";
pub(super) const SUBSCRIPTION_IN_FLIGHT: &str = "holdfast_subscription_in_flight";
pub(super) const IN_FLIGHT: &str = "holdfast_in_flight";
pub(super) const DEAD_LETTERS: &str = "holdfast_dead_letters";
pub(super) const PUBLISHING: &str = "holdfast_publishing";
pub(super) const REDIS_CONNECTED: &str = "holdfast_redis_connected";
pub(super) const REDIS_MEMORY_RATIO: &str = "holdfast_redis_memory_ratio";
pub(super) const REDIS_DURABILITY: &str = "holdfast_redis_durability_info";
pub(super) const ENTRIES_MISSING: &str = "holdfast_entries_missing_total";
pub(super) const EVENTS_REMOVED: &str = "holdfast_events_removed";
pub(super) const REDIS_STEPPED_BACK: &str = "holdfast_redis_stepped_back_total";
pub(super) const AUDIT_REPAIRS: &str = "holdfast_audit_repairs_total";
pub(super) const LIMITED: &str = "holdfast_limited_total";
pub(super) const OVERFLOW_FAILURES: &str = "holdfast_overflow_failures_total";
pub(super) const LEDGER: &str = "holdfast_ledger";
pub(super) const LEDGER_IMBALANCE: &str = "holdfast_ledger_imbalance";
pub(super) const CERTIFICATE_NOT_AFTER: &str = "holdfast_certificate_not_after_seconds";
pub(super) const REDFISH_REQUESTS: &str = "holdfast_redfish_requests_total";
pub(super) const REDFISH_FAILED_LOGINS: &str = "holdfast_redfish_failed_logins_total";
pub(super) const REDFISH_LOCKOUTS: &str = "holdfast_redfish_lockouts_total";
pub(super) const REDFISH_SESSIONS: &str = "holdfast_redfish_sessions";
pub(super) const REDFISH_STREAMS: &str = "holdfast_redfish_streams";
pub(super) const BUILD_INFO: &str = "holdfast_build_info";

/// Counters with a subscription's label: kept by a recorder that forgets those of subscriptions that are gone.
pub(super) const PER_SUBSCRIPTION: [&str; 2] = [SUBSCRIPTION_ATTEMPTS, SUBSCRIPTION_DELIVERIES];

/// What a metric is; a histogram with its buckets in seconds.
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram(&'static [f64]),
}

use Kind::{Counter as C, Gauge as G, Histogram as H};

/// One subscriber's answer: a fast local one to the longest deadline.
const REQUEST: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];
/// From milliseconds on the direct path to an outage of days.
const LATENCY: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0,
    14_400.0, 86_400.0,
];
const LATENESS: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];
const REDIS: &[f64] = &[
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0,
];
const MATCH: &[f64] = &[
    0.000_001,
    0.000_002_5,
    0.000_005,
    0.000_01,
    0.000_02,
    0.000_05,
    0.0001,
    0.001,
    0.01,
];

/// Name, kind, unit and meaning of every metric.
pub(super) const CATALOGUE: &[(&str, Kind, Unit, &str)] = &[
    (
        EVENTS_ACCEPTED,
        C,
        Unit::Count,
        "Events taken in and written to the event stream by this pod.",
    ),
    (
        EVENTS_SETTLED,
        C,
        Unit::Count,
        "Events acknowledged by this pod after each delivery was sent, parked or given up.",
    ),
    (
        DELIVERY_ATTEMPTS,
        C,
        Unit::Count,
        "Requests to subscribers, by what they came to and why.",
    ),
    (
        DELIVERIES,
        C,
        Unit::Count,
        "Deliveries that reached a resting place: delivered, parked, dead-lettered or overflowed to a file.",
    ),
    (
        REDELIVERIES,
        C,
        Unit::Count,
        "Due subscriptions re-injected into the redelivery stream by this pod.",
    ),
    (
        WAKEUPS,
        C,
        Unit::Count,
        "Wake-ups made by this pod: a wait began, or a success cut one short.",
    ),
    (
        ENTRIES_MISSING,
        C,
        Unit::Count,
        "Undelivered entries that were gone from their stream: someone trimmed or deleted them.",
    ),
    (
        EVENTS_REMOVED,
        G,
        Unit::Count,
        "Events that someone trimmed or deleted before they were settled, ever; growth is an alert. Use max.",
    ),
    (
        REDIS_STEPPED_BACK,
        C,
        Unit::Count,
        "Times that this pod found Redis with less than it knew it had, each partition by itself. Any is an alert.",
    ),
    (
        AUDIT_REPAIRS,
        C,
        Unit::Count,
        "Subscriptions that nothing would have woken, repaired by the audit.",
    ),
    (
        LIMITED,
        C,
        Unit::Count,
        "Parked deliveries moved by this pod because of a subscription's limit, by limit.",
    ),
    (
        OVERFLOW_FAILURES,
        C,
        Unit::Count,
        "Times that overflow could not be written to its file: nothing was lost, the queue grows. Any is an alert.",
    ),
    (
        LEDGER,
        G,
        Unit::Count,
        "Totals that the scripts keep, exact through every crash, by entry; the same on every pod.",
    ),
    (
        LEDGER_IMBALANCE,
        G,
        Unit::Count,
        "Deliveries that the ledger can't account for; anything but 0 is an alert.",
    ),
    (RECLAIMED, C, Unit::Count, "Entries taken over from dead workers."),
    (
        INTAKE_REFUSED,
        C,
        Unit::Count,
        "Events not taken in, by reason; the sender was told.",
    ),
    (
        REDIS_ERRORS,
        C,
        Unit::Count,
        "Redis commands that failed, by operation and kind.",
    ),
    (
        DESTINATION_BLOCKED,
        C,
        Unit::Count,
        "Requests not sent because the destination's address is not allowed.",
    ),
    (
        DELIVERY_DURATION,
        H(REQUEST),
        Unit::Seconds,
        "Time of one request to a subscriber, from connect to the last byte.",
    ),
    (
        END_TO_END_LATENCY,
        H(LATENCY),
        Unit::Seconds,
        "Time from an event's arrival to its delivery, by path.",
    ),
    (
        REINJECTION_LATENESS,
        H(LATENESS),
        Unit::Seconds,
        "Time between a wake-up's due time and its re-injection.",
    ),
    (
        REDIS_COMMAND_DURATION,
        H(REDIS),
        Unit::Seconds,
        "Time of one Redis operation, by operation.",
    ),
    (
        MATCH_DURATION,
        H(MATCH),
        Unit::Seconds,
        "Time to match one event against all subscriptions.",
    ),
    (
        STREAM_LAG,
        G,
        Unit::Count,
        "Events written and not yet read. The same on every pod: use max, not sum.",
    ),
    (
        STREAM_PENDING,
        G,
        Unit::Count,
        "Events read and not yet settled, on all pods. Use max, not sum.",
    ),
    (
        BACKLOG,
        G,
        Unit::Count,
        "Work for workers now: events not settled and what is parked for subscribers that answer; 0 while nothing is \
         published. Use max, not sum.",
    ),
    (
        PARKED,
        G,
        Unit::Count,
        "Deliveries in a subscription's retry queue. Use max over pods, not sum.",
    ),
    (
        OLDEST_AGE,
        G,
        Unit::Seconds,
        "Age of the oldest undelivered event, in the stream or a retry queue. Use max.",
    ),
    (
        CIRCUIT_STATE,
        G,
        Unit::Count,
        "0 closed, 1 draining, 2 open, 3 suspended. Use max over pods.",
    ),
    (
        CIRCUIT_AGE,
        G,
        Unit::Seconds,
        "How long a subscription has been unavailable or suspended; 0 while it is neither. Use max over pods.",
    ),
    (
        FAILED_PROBES,
        G,
        Unit::Count,
        "Probes of a subscription that failed in a row. Use max over pods.",
    ),
    (
        NEXT_ATTEMPT,
        G,
        Unit::Seconds,
        "Time until a subscription's queue is tried next; 0 when it is due or nothing is planned. Use max.",
    ),
    (
        SUBSCRIPTION_ATTEMPTS,
        C,
        Unit::Count,
        "Requests to one subscriber by what they came to, counted by this pod.",
    ),
    (
        SUBSCRIPTION_DELIVERIES,
        C,
        Unit::Count,
        "Deliveries that one subscriber took from this pod: a request may carry several.",
    ),
    (
        SUBSCRIPTION_IN_FLIGHT,
        G,
        Unit::Count,
        "Requests to one subscriber in flight in this pod.",
    ),
    (
        IN_FLIGHT,
        G,
        Unit::Count,
        "Requests to subscribers in flight in this pod.",
    ),
    (
        DEAD_LETTERS,
        G,
        Unit::Count,
        "Dead letters kept. Use max over pods, not sum.",
    ),
    (
        PUBLISHING,
        G,
        Unit::Count,
        "1 while events are published, 0 while that is switched off (Redfish's ServiceEnabled). Use max over pods.",
    ),
    (
        REDIS_CONNECTED,
        G,
        Unit::Count,
        "1 while this pod reads Redis, 0 when its last look failed or none has worked yet. Max over pods: whether any does.",
    ),
    (
        REDIS_MEMORY_RATIO,
        G,
        Unit::Count,
        "Redis' used memory over its limit, 0 to 1; 0 without a limit. Use max.",
    ),
    (
        REDIS_DURABILITY,
        G,
        Unit::Count,
        "Always 1; the labels say how Redis keeps its data.",
    ),
    (
        CERTIFICATE_NOT_AFTER,
        G,
        Unit::Seconds,
        "When a certificate that this pod uses ends, in seconds since the epoch. Use min.",
    ),
    (
        REDFISH_REQUESTS,
        C,
        Unit::Count,
        "Requests that the Redfish service of this pod answered, by kind of resource and class of status.",
    ),
    (
        REDFISH_FAILED_LOGINS,
        C,
        Unit::Count,
        "Logins that the Redfish service of this pod refused, by reason; with a token that is over: none.",
    ),
    (
        REDFISH_LOCKOUTS,
        C,
        Unit::Count,
        "Accounts of the Redfish service that this pod locked after too many wrong passwords.",
    ),
    (
        REDFISH_SESSIONS,
        G,
        Unit::Count,
        "Sessions of the Redfish service that are open, on all pods. Use max, not sum.",
    ),
    (
        REDFISH_STREAMS,
        G,
        Unit::Count,
        "Event streams of the Redfish service that this pod serves.",
    ),
    (BUILD_INFO, G, Unit::Count, "Always 1; the labels say what runs."),
];
