//! The Prometheus recorder: installed once at the start, rendered for each scrape.
//!
//! `app` installs it and runs its upkeep; the admin listener renders it. A gauge that nobody refreshes
//! disappears, so a removed subscription leaves no series behind; histograms and counters stay, but for those that
//! have a subscription's label: they have a recorder of their own.

use std::time::Duration;

use metrics::{Unit, set_global_recorder, with_local_recorder};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use metrics_util::MetricKindMask;

use super::catalogue::{CATALOGUE, Kind, PER_SUBSCRIPTION};
use super::metrics::{prepare, set_own_gauges};
use crate::config::Admin;

/// How often [`Metrics::run_upkeep`] wants to be called.
pub const UPKEEP_PERIOD: Duration = Duration::from_secs(5);

/// Why metrics could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum MetricsError {
    /// A histogram has no valid buckets.
    #[error("the metrics can't be set up: {0}")]
    Build(#[from] BuildError),
    /// A recorder was set before.
    #[error("metrics are already set up in this process")]
    Twice,
}

/// The metrics of this process.
#[derive(Clone)]
pub struct Metrics {
    handle: PrometheusHandle,
    per_subscription: PrometheusHandle,
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Metrics")
    }
}

impl Metrics {
    /// All metrics in Prometheus' text format.
    #[must_use]
    pub fn render(&self) -> String {
        set_own_gauges();
        self.handle.render() + &self.per_subscription.render()
    }

    /// Folds recorded samples into their buckets. Call every [`UPKEEP_PERIOD`], or they pile up while nobody
    /// scrapes.
    pub fn run_upkeep(&self) {
        set_own_gauges();
        self.handle.run_upkeep();
        self.per_subscription.run_upkeep();
    }
}

/// Installs the recorder of this process. Gauges, and counters of subscriptions, that were not refreshed for six
/// refresh periods, and at least 30 s, are dropped.
///
/// # Errors
/// When a recorder is installed already.
pub fn install(admin: &Admin) -> Result<Metrics, MetricsError> {
    let idle = admin.refresh.0.saturating_mul(6).max(Duration::from_secs(30));
    let main = recorder(MetricKindMask::GAUGE, idle)?;
    let per_subscription = recorder(MetricKindMask::COUNTER, idle)?;
    let metrics = Metrics {
        handle: main.handle(),
        per_subscription: per_subscription.handle(),
    };
    set_global_recorder(main).map_err(|_| MetricsError::Twice)?;
    describe(&per_subscription);
    prepare(per_subscription);
    Ok(metrics)
}

/// A recorder that forgets metrics of these kinds.
fn recorder(forgets: MetricKindMask, idle: Duration) -> Result<PrometheusRecorder, BuildError> {
    let mut builder = PrometheusBuilder::new().idle_timeout(forgets, Some(idle));
    for (name, kind, ..) in CATALOGUE {
        if let Kind::Histogram(buckets) = kind {
            builder = builder.set_buckets_for_metric(Matcher::Full((*name).to_owned()), buckets)?;
        }
    }
    Ok(builder.build_recorder())
}

/// Registers meaning and unit of every metric.
#[expect(clippy::disallowed_macros, reason = "takes the names from the catalogue")]
fn describe(per_subscription: &PrometheusRecorder) {
    for (name, kind, unit, meaning) in CATALOGUE {
        let unit: Unit = *unit;
        match kind {
            Kind::Counter if PER_SUBSCRIPTION.contains(name) => with_local_recorder(per_subscription, || {
                metrics::describe_counter!(*name, unit, *meaning);
            }),
            Kind::Counter => metrics::describe_counter!(*name, unit, *meaning),
            Kind::Gauge => metrics::describe_gauge!(*name, unit, *meaning),
            Kind::Histogram(_) => metrics::describe_histogram!(*name, unit, *meaning),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::OnceLock;
    use std::time::Instant;

    use super::super::labels::*;
    use super::super::metrics::{self as m, Durability};
    use super::super::service;
    use super::super::subscriptions::{Standing, SubscriptionGauges};
    use super::super::tally::Tally;
    use super::*;

    fn installed() -> &'static Metrics {
        static METRICS: OnceLock<Metrics> = OnceLock::new();
        METRICS.get_or_init(|| install(&Admin::default()).expect("the only recorder of this process"))
    }

    fn touch_everything() {
        let millis = Duration::from_millis;
        m::events_accepted(1);
        m::events_settled(1);
        m::delivery_attempt(Outcome::Unavailable, Reason::ServerError, millis(20));
        m::deliveries(DeliveryResult::Parked, 3);
        m::redeliveries(1);
        m::wakeups(1);
        m::reclaimed(1);
        m::intake_refused(IntakeRefusal::Memory);
        m::redis_error("settle", RedisErrorKind::OutOfMemory);
        m::destination_blocked();
        m::redis_command("settle", millis(1));
        m::end_to_end_latency(Path::Retry, millis(5));
        m::reinjection_lateness(millis(5));
        m::event_matched(Duration::from_micros(15));
        m::set_stream_lag(4);
        m::set_stream_pending(5);
        m::set_backlog(8);
        m::set_stream_oldest_age(millis(1500));
        m::set_publishing(false);
        m::set_redis_connected(true);
        m::set_dead_letters(6);
        m::set_ledger("wanted", 7);
        m::set_ledger_imbalance(0);
        m::set_events_removed(0);
        m::set_redis_memory_ratio(0.5);
        m::set_redis_durability(&Durability {
            append_only: true,
            fsync: "everysec".to_owned(),
            eviction: "noeviction".to_owned(),
            min_replicas: 1,
        });
        service::request(RedfishResource::Stream, StatusClass::ClientError);
        service::failed_login(FailedLogin::Locked);
        service::lockout();
        service::set_sessions(9);
        m::certificate_ends(Certificate::Intake, 1_795_392_000);
        let tally = Tally::default();
        tally.begin().ended(Outcome::Unavailable, 1);
        tally.begin().ended(Outcome::Delivered, 5);
        let _under_way = tally.begin();
        let standing = Standing {
            parked: 7,
            oldest: millis(2500),
            circuit: CircuitState::Open,
            circuit_age: millis(61_500),
            failed_probes: 3,
            next_attempt: Some(millis(500)),
            traffic: tally.take(),
        };
        SubscriptionGauges::new(10).publish([("s1".to_owned(), standing)]);
    }

    #[test]
    fn every_metric_is_rendered_with_meaning_and_type() {
        let metrics = installed();
        touch_everything();
        let (flying, stream) = (m::in_flight(), service::open_stream());
        let text = metrics.render();
        drop((flying, stream));
        for (name, kind, ..) in CATALOGUE {
            let (kind, sample) = match kind {
                Kind::Counter => ("counter", format!("\n{name}")),
                Kind::Gauge => ("gauge", format!("\n{name}")),
                Kind::Histogram(_) => ("histogram", format!("\n{name}_bucket{{")),
            };
            assert!(text.contains(&format!("# HELP {name} ")), "{name}\n{text}");
            assert!(text.contains(&format!("# TYPE {name} {kind}\n")), "{name}\n{text}");
            assert!(text.contains(&sample), "{name}\n{text}");
        }
        for line in [
            "holdfast_in_flight 1",
            "holdfast_redfish_requests_total{resource=\"stream\",status=\"4xx\"} 1",
            "holdfast_redfish_requests_total{resource=\"stream\",status=\"2xx\"} 0",
            "holdfast_redfish_failed_logins_total{reason=\"locked\"} 1",
            "holdfast_redfish_lockouts_total 1",
            "holdfast_redfish_sessions 9",
            "holdfast_redfish_streams 1",
            "holdfast_certificate_not_after_seconds{certificate=\"intake\"} 1795392000",
            "holdfast_delivery_attempts_total{outcome=\"unavailable\",reason=\"http_5xx\"} 1",
            "holdfast_deliveries_total{result=\"parked\"} 3",
            "holdfast_oldest_age_seconds{stage=\"stream\"} 1.5",
            "holdfast_circuit_state{subscription=\"s1\"} 2",
            "holdfast_circuit_age_seconds{subscription=\"s1\"} 61.5",
            "holdfast_publishing 0",
            "holdfast_redis_connected 1",
            "holdfast_failed_probes{subscription=\"s1\"} 3",
            "holdfast_next_attempt_seconds{subscription=\"s1\"} 0.5",
            "holdfast_subscription_in_flight{subscription=\"s1\"} 1",
            "holdfast_subscription_attempts_total{subscription=\"s1\",outcome=\"unavailable\"} 1",
            "holdfast_subscription_attempts_total{subscription=\"s1\",outcome=\"delivered\"} 1",
            "holdfast_subscription_attempts_total{subscription=\"s1\",outcome=\"refused\"} 0",
            "holdfast_subscription_deliveries_total{subscription=\"s1\"} 5",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }

    #[test]
    fn a_gauge_that_nobody_refreshes_disappears_and_a_counter_stays() {
        let recorder = recorder(MetricKindMask::GAUGE, Duration::from_millis(40)).expect("buckets are valid");
        let handle = recorder.handle();
        ::metrics::with_local_recorder(&recorder, || {
            m::set_dead_letters(1);
            m::redis_error("fetch", RedisErrorKind::Timeout);
        });
        assert!(handle.render().contains("holdfast_dead_letters 1"));
        let deadline = Instant::now() + Duration::from_secs(10);
        while handle.render().contains("holdfast_dead_letters") {
            assert!(Instant::now() < deadline, "the gauge stays for ever");
            std::thread::yield_now();
        }
        assert!(handle.render().contains("holdfast_redis_errors_total"));
    }

    #[test]
    fn a_counter_of_a_subscription_stays_while_it_is_counted_on_and_then_disappears() {
        let recorder = recorder(MetricKindMask::COUNTER, Duration::from_millis(200)).expect("buckets are valid");
        let handle = recorder.handle();
        let counted = |subscription: &str, n| {
            let attempts = ::metrics::Key::from_parts(
                PER_SUBSCRIPTION[0],
                vec![::metrics::Label::new("subscription", subscription.to_owned())],
            );
            let metadata = ::metrics::Metadata::new("", ::metrics::Level::INFO, None);
            ::metrics::Recorder::register_counter(&recorder, &attempts, &metadata).increment(n);
            handle.render()
        };
        counted("removed", 1);
        counted("idle", 1);
        let deadline = Instant::now() + Duration::from_secs(10);
        let mut shown = counted("idle", 0);
        while shown.contains("removed") {
            assert!(Instant::now() < deadline, "the counter stays for ever");
            std::thread::yield_now();
            shown = counted("idle", 0);
        }
        assert!(shown.contains("{subscription=\"idle\"} 1"), "{shown}");
    }
}
