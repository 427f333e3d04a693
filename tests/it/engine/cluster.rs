//! The whole service on a Redis Cluster: partitions on every master, one subscription over all of them.

use std::time::Duration;

use holdfast::cli::sink::Mode;
use holdfast::config;
use holdfast::domain::ids::SubscriptionId;
use holdfast::domain::subscription::Subscription;
use holdfast::store::Store;
use holdfast::store::connect::{Connection, FirstConnect};
use holdfast::store::frame::Frame;

use super::harness::{Deployment, SOON, event};
use crate::support::{Holdfast, SHORT_TIMES, cluster, wait_until};

const PARTITIONS: u16 = 4;

/// Events and parked deliveries that wait, over all partitions.
async fn waiting(store: &Store) -> (u64, i64) {
    let (mut events, mut parked) = (0, 0);
    for partition in store.partitions() {
        let snapshot = partition.snapshot(Duration::ZERO).await.unwrap();
        assert_eq!(snapshot.ledger.imbalance(), 0);
        events += snapshot.events;
        parked += snapshot.ledger.parked;
    }
    (events, parked)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_cluster_an_outage_loses_nothing() {
    let (nodes, url) = cluster(0).await;
    let connection = Connection::open(&config::Redis::default(), &url, FirstConnect::FailFast)
        .await
        .unwrap();
    let store = Store::open(connection, "holdfast", Some(PARTITIONS)).await.unwrap();
    let sink = Deployment::sink(Mode::Ok).await;
    let id = SubscriptionId::new("s1").unwrap();
    let destination = sink.url("/events").parse().unwrap();
    let subscription = Subscription::new(id.clone(), destination, "2026-01-01T00:00:00Z".to_owned());
    store.add_subscription(subscription).await.unwrap();
    let more = [
        ("HOLDFAST_REDIS__URL", url.as_str()),
        ("HOLDFAST_REDIS__PARTITIONS", "4"),
    ];
    let environment: Vec<(&str, &str)> = SHORT_TIMES.into_iter().chain(more).collect();
    let pods = [(); 2].map(|()| Holdfast::start(&["serve"], &environment));

    let publish = async |from: usize| {
        for number in from..from + 100 {
            let source = format!("bmc-{}", number % 20);
            let frame = Frame {
                event: event(number).into(),
                source: source.clone(),
                received_at: String::new(),
            };
            store.partition_of(&source).publish(&frame).await.unwrap();
        }
    };
    publish(0).await;
    wait_until("all are delivered directly", SOON, async || {
        sink.counts().distinct == 100 && waiting(&store).await == (0, 0)
    })
    .await;
    assert!(
        nodes.iter().all(|node| node.cli(&["DBSIZE"]) != "0"),
        "every master takes part"
    );
    for node in &nodes {
        let weak = format!(r#""server":"127.0.0.1:{}""#, node.port());
        let log = pods[0].stderr();
        let told = log
            .lines()
            .any(|line| line.contains(&weak) && line.contains("maxmemory is 0"));
        assert!(told, "no warning about {weak} in {log}");
    }

    for number in 0..20 {
        let source = format!("bmc-{number}");
        let found = store.partition_of(&source).events_of(&source, 100).await.unwrap();
        assert_eq!(
            found.len(),
            5,
            "what was delivered is remembered in the partition of {source}"
        );
    }

    sink.set_mode(Mode::Refuse(None)).await;
    publish(100).await;
    wait_until("all are parked", SOON, async || waiting(&store).await == (0, 100)).await;
    sink.set_mode(Mode::Ok).await;
    wait_until("all are drained", SOON, async || {
        sink.counts().distinct == 200 && waiting(&store).await == (0, 0)
    })
    .await;
    assert_eq!(sink.counts().duplicates, 0);
    assert!(store.remove_subscription(&id).await.unwrap());
    assert!(pods.iter().all(|pod| !pod.stderr().contains("can't be trimmed")));
}
