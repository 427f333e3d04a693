//! The gauges that mirror Redis: true on an idle pod, after a restart, and for every subscription.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use holdfast::app::gauges::{Audience, Gauges};
use holdfast::config::Config;
use holdfast::domain::ids::SubscriptionId;
use holdfast::store::Store;
use holdfast::store::connect::{Connection, FirstConnect};
use holdfast::store::frame::Frame;
use holdfast::store::probe::probe;
use holdfast::telemetry::tally::Traffic;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

use crate::support::{TestRedis, wait_until};

const PREFIX: &str = "holdfast:{0}:";

/// Gauges with a recorder of this test's thread alone.
struct Bench {
    redis: TestRedis,
    store: Arc<Store>,
    gauges: Gauges,
    shown: PrometheusHandle,
    /// Whether events are published.
    publishes: Arc<AtomicBool>,
}

async fn gauges(store: &Arc<Store>, publishes: &Arc<AtomicBool>) -> Gauges {
    let facts = probe(store.connection(), "holdfast").await.unwrap();
    let publishes = Arc::clone(publishes);
    let audience = move || Audience {
        subscriptions: ["calm", "down"]
            .map(|id| (SubscriptionId::new(id).unwrap(), Traffic::default()))
            .to_vec(),
        publishes: publishes.load(Ordering::Relaxed),
    };
    Gauges::new(&Config::default(), Arc::clone(store), facts, audience, Arc::default())
}

async fn open(redis: &TestRedis) -> Arc<Store> {
    let config = Config::default();
    let connection = Connection::open(&config.redis, &redis.url(), FirstConnect::FailFast)
        .await
        .unwrap();
    Arc::new(Store::open(connection, "holdfast", Some(2)).await.unwrap())
}

impl Bench {
    async fn new(shown: PrometheusHandle) -> Self {
        Self::on(TestRedis::start(), shown).await
    }

    async fn on(redis: TestRedis, shown: PrometheusHandle) -> Self {
        let store = open(&redis).await;
        for partition in store.partitions() {
            partition.ensure_groups().await.unwrap();
        }
        let publishes = Arc::new(AtomicBool::new(true));
        let gauges = gauges(&store, &publishes).await;
        Self {
            redis,
            store,
            gauges,
            shown,
            publishes,
        }
    }

    async fn publish(&self, source: &str) {
        let frame = Frame {
            source: source.to_owned(),
            received_at: String::new(),
            event: Bytes::from_static(b"{}"),
        };
        self.store.partitions()[0].publish(&frame).await.unwrap();
    }

    fn key(name: &str) -> String {
        format!("{PREFIX}{name}")
    }

    /// Takes a step, and answers the value of one sample.
    async fn value(&mut self, sample: &str) -> f64 {
        self.gauges.step().await.unwrap();
        let text = self.shown.render();
        let found = text
            .lines()
            .find_map(|line| line.strip_prefix(sample)?.strip_prefix(' ')?.parse().ok());
        found.unwrap_or_else(|| panic!("no {sample} in\n{text}"))
    }

    /// Asserts several samples after one step each.
    async fn shows(&mut self, samples: &[(&str, f64)]) {
        for (sample, expected) in samples {
            let value = self.value(sample).await;
            assert!(
                (value - expected).abs() < f64::EPSILON,
                "{sample} is {value}, not {expected}"
            );
        }
    }
}

#[tokio::test]
async fn an_idle_pod_shows_all_of_them() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let shown = recorder.handle();
    let _mine = metrics::set_default_local_recorder(&recorder);
    let mut bench = Bench::new(shown).await;
    bench
        .shows(&[
            ("holdfast_stream_lag", 0.0),
            ("holdfast_stream_pending", 0.0),
            ("holdfast_dead_letters", 0.0),
            ("holdfast_oldest_age_seconds{stage=\"stream\"}", 0.0),
            ("holdfast_ledger{entry=\"wanted\"}", 0.0),
            ("holdfast_ledger_imbalance", 0.0),
            ("holdfast_parked{subscription=\"calm\"}", 0.0),
            ("holdfast_circuit_state{subscription=\"calm\"}", 0.0),
            ("holdfast_circuit_state{subscription=\"down\"}", 0.0),
            (
                "holdfast_oldest_age_seconds{stage=\"retry\",subscription=\"calm\"}",
                0.0,
            ),
        ])
        .await;
    assert!(bench.value("holdfast_redis_memory_ratio").await > 0.0);
    assert!(
        bench
            .shown
            .render()
            .contains("holdfast_redis_durability_info{append_only=\"yes\"")
    );

    let processed = || {
        let info = bench.redis.cli(&["INFO", "commandstats"]);
        let calls = |command: &str| {
            let line = info
                .lines()
                .find(|line| line.starts_with(&format!("cmdstat_{command}:")));
            line.and_then(|line| line.split(['=', ',']).nth(1)?.parse::<u64>().ok())
                .unwrap_or(0)
        };
        [calls("evalsha"), calls("zrange"), calls("smembers")]
    };
    let before = processed();
    bench.gauges.step().await.unwrap();
    let after = processed();
    assert_eq!(
        [after[0] - before[0], after[1] - before[1], after[2] - before[2]],
        [2, 0, 0]
    );
}

#[tokio::test]
async fn backlog_and_circuits_are_shown_and_survive_a_restart_of_the_pod() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let shown = recorder.handle();
    let _mine = metrics::set_default_local_recorder(&recorder);
    let mut bench = Bench::new(shown).await;
    let now: u64 = bench.redis.cli(&["TIME"]).lines().next().unwrap().parse().unwrap();
    let old = format!("{}-0", (now - 100) * 1000);
    bench.redis.cli(&["XADD", &Bench::key("events"), &old, "event", "{}"]);
    bench.publish("a").await;
    bench.publish("a").await;
    bench.redis.cli(&[
        "XREADGROUP",
        "GROUP",
        "workers",
        "w",
        "COUNT",
        "1",
        "STREAMS",
        &Bench::key("events"),
        ">",
    ]);
    bench
        .shows(&[
            ("holdfast_stream_lag", 2.0),
            ("holdfast_stream_pending", 1.0),
            ("holdfast_backlog", 3.0),
        ])
        .await;
    let age = bench.value("holdfast_oldest_age_seconds{stage=\"stream\"}").await;
    assert!((99.0..160.0).contains(&age), "{age}");

    // What the scripts leave behind for a subscriber that is away.
    let members = [(now - 50) * 1000, (now - 40) * 1000].map(|millis| format!("m{millis}-a0"));
    for member in &members {
        bench.redis.cli(&["ZADD", &Bench::key("retry:down"), "0", member]);
    }
    bench.redis.cli(&["SADD", &Bench::key("behind"), "down"]);
    bench.redis.cli(&[
        "HSET",
        &Bench::key("circuit:down"),
        "behind",
        "1",
        "since",
        "5",
        "open",
        "5",
    ]);
    bench.redis.cli(&[
        "HSET",
        &Bench::key("ledger"),
        "wanted",
        "7",
        "delivered",
        "4",
        "parked",
        "2",
        "settled",
        "6",
    ]);
    bench.redis.cli(&["XADD", &Bench::key("dead"), "*", "body", ""]);
    let stored: &[(&str, f64)] = &[
        ("holdfast_parked{subscription=\"down\"}", 2.0),
        ("holdfast_parked{subscription=\"calm\"}", 0.0),
        ("holdfast_circuit_state{subscription=\"down\"}", 2.0),
        ("holdfast_circuit_state{subscription=\"calm\"}", 0.0),
        ("holdfast_ledger{entry=\"settled\"}", 6.0),
        ("holdfast_ledger{entry=\"parked\"}", 2.0),
        ("holdfast_ledger_imbalance", 1.0),
        ("holdfast_dead_letters", 1.0),
    ];
    bench.shows(stored).await;
    let open_for = "holdfast_circuit_age_seconds{subscription=\"down\"}";
    let age = bench.value(open_for).await;
    assert!(age > 1e9, "open since the fifth millisecond, {age} s");
    let retry_age = "holdfast_oldest_age_seconds{stage=\"retry\",subscription=\"down\"}";
    let age = bench.value(retry_age).await;
    assert!((49.0..110.0).contains(&age), "{age}");

    // Another pod that comes up and does nothing shows the same.
    let recorder = PrometheusBuilder::new().build_recorder();
    bench.shown = recorder.handle();
    let _fresh = metrics::set_default_local_recorder(&recorder);
    bench.store = open(&bench.redis).await;
    bench.gauges = gauges(&bench.store, &bench.publishes).await;
    bench.shows(stored).await;

    // Switched off, nothing of that is work for anybody.
    bench.publishes.store(false, Ordering::Relaxed);
    bench
        .shows(&[
            ("holdfast_publishing", 0.0),
            ("holdfast_backlog", 0.0),
            ("holdfast_stream_lag", 2.0),
        ])
        .await;
    bench.publishes.store(true, Ordering::Relaxed);
    bench
        .shows(&[("holdfast_publishing", 1.0), ("holdfast_backlog", 3.0)])
        .await;

    // Draining, then with its redelivery out only, then suspended.
    bench.redis.cli(&["HDEL", &Bench::key("circuit:down"), "open"]);
    bench
        .shows(&[("holdfast_circuit_state{subscription=\"down\"}", 1.0)])
        .await;
    bench
        .redis
        .cli(&["HDEL", &Bench::key("circuit:down"), "behind", "since"]);
    bench.redis.cli(&["SREM", &Bench::key("behind"), "down"]);
    bench
        .redis
        .cli(&["XADD", &Bench::key("redeliveries"), "*", "subscription", "down"]);
    bench
        .shows(&[
            ("holdfast_circuit_state{subscription=\"down\"}", 0.0),
            ("holdfast_parked{subscription=\"down\"}", 2.0),
        ])
        .await;
    bench
        .redis
        .cli(&["HSET", &Bench::key("circuit:down"), "suspended", "1"]);
    bench
        .shows(&[("holdfast_circuit_state{subscription=\"down\"}", 3.0)])
        .await;
}

#[tokio::test]
async fn while_redis_is_away_nothing_is_made_up() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let shown = recorder.handle();
    let _mine = metrics::set_default_local_recorder(&recorder);
    let mut bench = Bench::new(shown).await;
    bench.publish("a").await;
    bench
        .shows(&[("holdfast_stream_lag", 1.0), ("holdfast_redis_connected", 1.0)])
        .await;
    bench.redis.kill9();
    let away = tokio::time::timeout(Duration::from_secs(20), bench.gauges.step())
        .await
        .unwrap();
    away.unwrap_err();
    let shown = bench.shown.render();
    assert!(shown.contains("holdfast_stream_lag 1"));
    assert!(shown.contains("holdfast_redis_connected 0"), "{shown}");
}

#[tokio::test]
async fn events_that_somebody_removed_are_counted() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let shown = recorder.handle();
    let _mine = metrics::set_default_local_recorder(&recorder);
    let mut bench = Bench::new(shown).await;
    if !bench
        .redis
        .cli(&["XINFO", "STREAM", &Bench::key("events")])
        .contains("entries-added")
    {
        eprintln!("SKIPPED: this Redis does not count what was added to a stream");
        return;
    }
    for _ in 0..5 {
        bench.publish("bmc-1").await;
    }
    bench.shows(&[("holdfast_events_removed", 0.0)]).await;
    bench.redis.cli(&["XTRIM", &Bench::key("events"), "MAXLEN", "2"]);
    bench
        .shows(&[("holdfast_events_removed", 3.0), ("holdfast_stream_lag", 2.0)])
        .await;
}

/// What the labels say after one more look.
async fn durability(bench: &mut Bench) -> Vec<String> {
    // Each change is a series of its own, so the recorder is a new one for each look.
    let recorder = PrometheusBuilder::new().build_recorder();
    let shown = recorder.handle();
    let _mine = metrics::set_default_local_recorder(&recorder);
    bench.gauges.step().await.unwrap();
    let text = shown.render();
    let series = text
        .lines()
        .filter_map(|line| line.strip_prefix("holdfast_redis_durability_info"));
    series.map(str::to_owned).collect()
}

fn labels(append_only: &str, fsync: &str, eviction: &str) -> Vec<String> {
    vec![format!(
        "{{append_only=\"{append_only}\",fsync=\"{fsync}\",eviction=\"{eviction}\",min_replicas=\"0\"}} 1"
    )]
}

#[tokio::test]
async fn what_is_changed_in_a_running_redis_is_seen_by_a_pod_that_may_not_read_its_configuration() {
    let mut bench = Bench::on(
        TestRedis::with(&["--appendonly", "no"]),
        PrometheusBuilder::new().build_recorder().handle(),
    )
    .await;
    assert_eq!(durability(&mut bench).await, labels("no", "unknown", "noeviction"));
    bench.redis.config_set("appendonly", "yes");
    assert_eq!(durability(&mut bench).await, labels("yes", "unknown", "noeviction"));
    bench.redis.config_set("maxmemory-policy", "allkeys-lru");
    assert_eq!(durability(&mut bench).await, labels("yes", "unknown", "allkeys-lru"));
}

#[tokio::test]
async fn a_redis_that_comes_back_with_other_settings_is_seen_as_it_is() {
    let redis = TestRedis::start();
    redis.cli(&["ACL", "SETUSER", TestRedis::user(), "+config|get"]);
    let mut bench = Bench::on(redis, PrometheusBuilder::new().build_recorder().handle()).await;
    assert_eq!(durability(&mut bench).await, labels("yes", "everysec", "noeviction"));
    // Not in INFO, and believed for a minute: only that Redis was away makes the pod ask again.
    bench.redis.config_set("appendfsync", "always");
    assert_eq!(durability(&mut bench).await, labels("yes", "everysec", "noeviction"));
    bench.redis.pause();
    bench.gauges.step().await.unwrap_err();
    bench.redis.resume();
    wait_until("Redis answers again", Duration::from_secs(60), async || {
        bench.gauges.step().await.is_ok()
    })
    .await;
    assert_eq!(durability(&mut bench).await, labels("yes", "always", "noeviction"));
}
