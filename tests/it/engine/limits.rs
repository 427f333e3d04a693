//! Limits of subscriptions as an operator meets them: what overflows is where it was asked to be, and comes back.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use holdfast::cli::sink::{Mode, Sink};
use holdfast::config::{self, Config};
use holdfast::domain::ids::{DeliveryId, StreamId, SubscriptionId};
use holdfast::domain::retention::{Overflow, Retention};
use holdfast::domain::subscription::Subscription;
use holdfast::domain::units::Period;
use holdfast::store::Store;
use holdfast::store::connect::{Connection, FirstConnect};
use holdfast::store::dead_letters::Replayed;
use holdfast::store::events::Stream;
use holdfast::store::frame::Frame;
use holdfast::store::settle::{Outcome, RefusalLimits, Settlement, Verdict};
use holdfast::worker::pod::Pod;
use holdfast::worker::registry;
use holdfast::worker::retention::Keeper;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::harness::{Deployment, SOON, accepted};
use crate::support::{TestRedis, wait_until};

const CHECK: (&str, &str) = ("HOLDFAST_LIMITS__CHECK", "100ms");

impl Deployment {
    /// Changes the limits of a subscription and waits until every pod knows it.
    async fn limit(&self, id: &SubscriptionId, limits: Retention) {
        let changed = self
            .store
            .update_subscription(id, |subscription| subscription.limits = limits);
        self.in_force(changed.await.unwrap().version).await;
    }

    /// A subscriber that is down, with so many events parked for it; answers the events in their order.
    async fn outage(&self, count: usize) -> (Sink, SubscriptionId, Vec<StreamId>) {
        let sink = Self::sink(Mode::Status(503)).await;
        let id = self
            .subscribe(&sink.url("/events"), |subscription| {
                subscription.max_in_flight = Some(1)
            })
            .await;
        let mut events = self.publish(1).await;
        self.open(&id).await;
        events.extend(self.publish(count - 1).await);
        self.parked(count).await;
        events.sort();
        (sink, id, events)
    }

    /// Replays so many dead letters.
    async fn replay(&self, count: u64) {
        for letter in self.partition().dead_letters(None, count).await.unwrap() {
            assert_eq!(self.partition().replay(letter.id).await.unwrap(), Replayed::Replayed);
        }
    }

    /// The sum over all pods of a counter.
    pub(super) async fn counted(&self, sample: &str) -> f64 {
        let mut sum = 0.0;
        for pod in &self.pods {
            let log = pod.stderr();
            let (_, rest) = log.split_once(r#""admin":""#).unwrap();
            let url = format!("http://{}/metrics", &rest[..rest.find('"').unwrap()]);
            let text = reqwest::get(&url).await.unwrap().text().await.unwrap();
            let value = text
                .lines()
                .find_map(|line| line.strip_prefix(sample)?.trim().parse::<f64>().ok());
            sum += value.unwrap_or_else(|| panic!("no {sample} in\n{text}"));
        }
        sum
    }

    /// How many lines of all logs have this text.
    fn said(&self, text: &str) -> usize {
        let logs = self.pods.iter().map(|pod| pod.stderr());
        logs.map(|log| log.lines().filter(|line| line.contains(text)).count())
            .sum()
    }
}

fn most(parked: u64, overflow: Overflow) -> Retention {
    Retention {
        max_parked: Some(parked),
        overflow,
        ..Retention::default()
    }
}

fn events(sink: &Sink) -> Vec<StreamId> {
    accepted(sink).iter().map(|delivery| delivery.event).collect()
}

/// What a subscription's file says, line by line.
fn written(dir: &Path, id: &SubscriptionId) -> Vec<Value> {
    let text = std::fs::read_to_string(dir.join(format!("{id}.jsonl"))).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn event_of(line: &Value) -> StreamId {
    let delivery: DeliveryId = line["delivery"].as_str().unwrap().parse().unwrap();
    assert_eq!(line["event_id"], delivery.event.to_string());
    delivery.event
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_oldest_become_dead_letters_the_newest_are_delivered_and_a_replay_brings_back_the_rest() {
    let deployment = Deployment::start(2, &[CHECK]).await;
    let (sink, id, all) = deployment.outage(1_000).await;
    deployment.limit(&id, most(100, Overflow::DeadLetters)).await;
    deployment.parked(100).await;
    let dead = deployment.dead_letters().await;
    let old: Vec<StreamId> = dead.iter().filter_map(|(event, _)| *event).collect();
    assert_eq!(old, all[..900], "oldest first, each once");
    assert!(dead.iter().all(|(_, reason)| reason == "limit: more than 100 parked"));
    deployment.check_ledger().await;
    assert_eq!(
        deployment.counted("holdfast_limited_total{limit=\"max_parked\"}").await,
        900.0
    );
    assert_eq!(
        deployment
            .counted("holdfast_deliveries_total{result=\"dead_lettered\"}")
            .await,
        900.0
    );

    sink.set_mode(Mode::Ok).await;
    deployment.settled().await;
    assert_eq!(events(&sink), all[900..], "the newest, in order");

    // With the limit in force, replays up to it are delivered; the rest once it is cleared.
    deployment.replay(100).await;
    deployment.settled().await;
    deployment.limit(&id, Retention::default()).await;
    deployment.replay(1_000).await;
    deployment.settled().await;
    assert_eq!(deployment.expect_all_at(&id, &sink), 0);
    assert_eq!(deployment.dead_letters().await, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn overflow_goes_to_one_file_however_many_workers_there_are() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().display().to_string();
    let deployment = Deployment::start(2, &[CHECK, ("HOLDFAST_LIMITS__OVERFLOW_DIR", &path)]).await;
    let (sink, id, all) = deployment.outage(1_000).await;
    deployment.limit(&id, most(100, Overflow::File)).await;
    deployment.parked(100).await;
    let lines = written(dir.path(), &id);
    let old: Vec<StreamId> = lines.iter().map(event_of).collect();
    assert_eq!(old, all[..900], "oldest first, each once");
    let mut numbers: Vec<usize> = lines
        .iter()
        .map(|line| {
            assert_eq!(
                (&line["source"], &line["subscription"]),
                (&"bmc-1".into(), &id.as_str().into())
            );
            assert_eq!(line["reason"], "limit: more than 100 parked");
            assert_eq!(line["last_error"], "HTTP 503");
            line["event"]["Id"].as_str().unwrap().parse().unwrap()
        })
        .collect();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(
        numbers.len(),
        899,
        "each with its own event, of which the first two have one number"
    );
    let ledger = deployment.ledger().await;
    assert_eq!(
        (ledger.overflowed, ledger.dead_lettered, ledger.imbalance()),
        (900, 0, 0)
    );
    assert_eq!(
        deployment
            .counted("holdfast_deliveries_total{result=\"overflowed\"}")
            .await,
        900.0
    );
    sink.set_mode(Mode::Ok).await;
    deployment.settled().await;
    assert_eq!(events(&sink), all[900..]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_written_stays_and_is_said_once() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("not-mounted");
    let path = dir.display().to_string();
    let deployment = Deployment::start(1, &[CHECK, ("HOLDFAST_LIMITS__OVERFLOW_DIR", &path)]).await;
    let (_sink, id, all) = deployment.outage(400).await;
    deployment.limit(&id, most(10, Overflow::File)).await;
    wait_until("it was tried again and again", SOON, async || {
        deployment.counted("holdfast_overflow_failures_total").await >= 3.0
    })
    .await;
    assert_eq!(deployment.ledger().await.parked, 400);
    assert_eq!(deployment.said("overflow can't be written"), 1);
    assert!(!dir.exists(), "a missing directory is not made");

    std::fs::create_dir(&dir).unwrap();
    deployment.parked(10).await;
    assert_eq!(written(&dir, &id).iter().map(event_of).collect::<Vec<_>>(), all[..390]);
    assert_eq!(deployment.said("overflow is written again"), 1);
    wait_until("all that moved is said at once", SOON, async || {
        deployment.said(r#""moved":390"#) == 1
    })
    .await;
    deployment.check_ledger().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_without_a_directory_moves_nothing_and_says_what_to_do() {
    let mut deployment = Deployment::start(1, &[CHECK]).await;
    let (_sink, id, _) = deployment.outage(30).await;
    deployment.limit(&id, most(10, Overflow::File)).await;
    wait_until("it was tried again and again", SOON, async || {
        deployment.counted("holdfast_overflow_failures_total").await >= 3.0
    })
    .await;
    assert_eq!(deployment.ledger().await.parked, 30);
    assert_eq!(deployment.said("HOLDFAST_LIMITS__OVERFLOW_DIR"), 1);

    // A peer that has one is not kept from writing.
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().display().to_string();
    deployment.add_pod(&[("HOLDFAST_LIMITS__OVERFLOW_DIR", &path)]).await;
    deployment.parked(10).await;
    assert_eq!(written(dir.path(), &id).len(), 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_that_is_killed_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().display().to_string();
    let deployment = Deployment::start(2, &[CHECK, ("HOLDFAST_LIMITS__OVERFLOW_DIR", &path)]).await;
    let (_sink, id, all) = deployment.outage(4_000).await;
    deployment.limit(&id, most(1, Overflow::File)).await;
    wait_until("one of them writes", SOON, async || {
        deployment.ledger().await.overflowed > 0
    })
    .await;
    let key = format!("holdfast:{{0}}:circuit:{id}");
    let writer = deployment.cli(&["HGET", &key, "writer"]);
    // Either of them when it is done already.
    let at = usize::from(writer.trim().starts_with("pod1-"));
    deployment.pods[at].sigkill();
    deployment.parked(1).await;
    let lines: BTreeSet<StreamId> = written(dir.path(), &id).iter().map(event_of).collect();
    assert!(
        all[..3_999].iter().all(|event| lines.contains(event)),
        "a line may come twice, none is missing"
    );
    assert_eq!(lines.len(), 3_999);
    let ledger = deployment.ledger().await;
    assert_eq!((ledger.overflowed, ledger.imbalance()), (3_999, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_too_old_leaves_a_suspended_subscription_too() {
    let deployment = Deployment::start(2, &[CHECK]).await;
    let sink = Deployment::sink(Mode::Ok).await;
    let id = deployment.subscribe(&sink.url("/events"), |_| {}).await;
    deployment.suspend(&id).await;
    let old = deployment.publish(300).await.len();
    deployment.parked(old).await;
    deployment
        .limit(
            &id,
            Retention {
                max_age: Some(Period::from_secs(1)),
                ..Retention::default()
            },
        )
        .await;
    deployment.parked(0).await;
    let dead = deployment.dead_letters().await;
    assert_eq!(dead.len(), old);
    assert!(dead.iter().all(|(_, reason)| reason == "limit: older than 1s"));
    assert!(deployment.census(&id).await.suspended);
    assert_eq!(sink.counts().requests, 0);
    assert_eq!(
        deployment.counted("holdfast_limited_total{limit=\"max_age\"}").await,
        300.0
    );
    deployment.limit(&id, Retention::default()).await;
    deployment.resume(&id).await;
    deployment.replay(1_000).await;
    deployment.settled().await;
    assert_eq!(deployment.expect_all_at(&id, &sink), 0);
}

/// Parks so many events in a partition.
async fn park(store: &Store, partition: usize, subscription: &SubscriptionId, count: usize) {
    let partition = &store.partitions()[partition];
    let frame = Frame {
        source: "bmc-1".to_owned(),
        received_at: String::new(),
        event: Bytes::from_static(b"{}"),
    };
    for _ in 0..count {
        partition.publish(&frame).await.unwrap();
    }
    let reader = partition.reader(Stream::Events, "w").await.unwrap();
    let entries = reader.read(1_000, Duration::from_millis(1)).await.unwrap();
    let settlements: Vec<Settlement> = entries
        .iter()
        .map(|entry| Settlement {
            id: entry.id,
            frame: Arc::new(frame.clone()),
            rejected: None,
            alone: false,
            outcomes: vec![Outcome {
                subscription: subscription.clone(),
                verdict: Verdict::Behind,
                wait: Duration::ZERO,
                floor: Duration::ZERO,
                error: String::new(),
            }],
        })
        .collect();
    let limits = RefusalLimits {
        bury_after: 5,
        open_after: 5,
    };
    partition.settle("w", limits, &settlements).await.unwrap();
}

#[tokio::test]
async fn the_limit_counts_over_all_partitions_and_the_fullest_gives_first() {
    let redis = TestRedis::start();
    let connection = Connection::open(&config::Redis::default(), &redis.url(), FirstConnect::FailFast)
        .await
        .unwrap();
    let store = Arc::new(Store::open(connection, "holdfast", Some(3)).await.unwrap());
    for partition in store.partitions() {
        partition.ensure_groups().await.unwrap();
    }
    let id = SubscriptionId::new("a").unwrap();
    let mut subscription = Subscription::new(id.clone(), "http://127.0.0.1:9/".parse().unwrap(), String::new());
    subscription.limits = most(50, Overflow::DeadLetters);
    store.add_subscription(subscription).await.unwrap();
    let pod = Pod::new(Config::default(), Arc::clone(&store), CancellationToken::new());
    registry::step(&pod).await.unwrap();
    let mut keeper = Keeper::new(pod);
    let held = async || {
        let mut held = Vec::new();
        for partition in store.partitions() {
            held.push(partition.census(&["a"]).await.unwrap().1[0].parked);
        }
        held
    };
    park(&store, 0, &id, 500).await;
    park(&store, 1, &id, 10).await;
    keeper.step().await;
    assert_eq!(held().await, [40, 10, 0]);
    park(&store, 2, &id, 30).await;
    keeper.step().await;
    assert_eq!(held().await, [20, 10, 20]);
    keeper.step().await;
    assert_eq!(held().await, [20, 10, 20], "within the limit nothing moves");
}
