//! Heartbeats of subscriptions: one a period however many pods there are, and no trace of them elsewhere.

use holdfast::cli::sink::{Mode, Sink};
use holdfast::domain::service::ServiceSettings;
use holdfast::store::StoreError;
use serde_json::Value;

use super::harness::{Deployment, SOON};
use crate::support::wait_until;

/// A minute of these tests.
const MINUTE: &str = "200ms";

fn heartbeats(sink: &Sink) -> Vec<String> {
    let deliveries = sink.deliveries();
    let beats = deliveries.iter().filter(|delivery| delivery.id.contains(".heartbeat-"));
    beats.map(|delivery| delivery.id.clone()).collect()
}

#[tokio::test]
async fn one_of_many_pods_sends_each() {
    let deployment = Deployment::start(3, &[("HOLDFAST_DELIVERY__HEARTBEAT_MINUTE", MINUTE)]).await;
    let (sink, quiet) = (Deployment::sink(Mode::Ok).await, Deployment::sink(Mode::Ok).await);
    let started = std::time::Instant::now();
    deployment
        .subscribe(&sink.url("/a"), |to| {
            to.heartbeat_minutes = Some(1);
            to.context = Some("rack 7".to_owned());
        })
        .await;
    deployment.subscribe(&quiet.url("/a"), |_| {}).await;
    wait_until("ten heartbeats came", SOON, async || heartbeats(&sink).len() >= 10).await;
    let periods = started.elapsed().as_millis() / 200;
    let beats = heartbeats(&sink);
    assert!(
        beats.len() as u128 <= periods,
        "{} in {periods} periods: {beats:?}",
        beats.len()
    );
    let message: Value = serde_json::from_slice(&sink.deliveries()[0].body).unwrap();
    assert_eq!(message["Context"], "rack 7");
    assert_eq!(
        message["Events"][0]["MessageId"],
        "HeartbeatEvent.1.1.RedfishServiceFunctional"
    );
    assert_eq!(quiet.counts().requests, 0, "nobody else gets any");
    let ledger = deployment.ledger().await;
    assert_eq!((ledger.wanted, ledger.delivered, ledger.parked), (0, 0, 0));
}

#[tokio::test]
async fn one_that_fails_opens_no_circuit_and_one_who_is_behind_gets_none() {
    let settings = [
        ("HOLDFAST_DELIVERY__HEARTBEAT_MINUTE", MINUTE),
        ("HOLDFAST_RETRY__DELAY", "60s"),
        ("HOLDFAST_RETRY__MAX_DELAY", "60s"),
    ];
    let deployment = Deployment::start(1, &settings).await;
    let sink = Deployment::sink(Mode::Status(503)).await;
    let id = deployment
        .subscribe(&sink.url("/a"), |to| to.heartbeat_minutes = Some(1))
        .await;
    wait_until("three heartbeats failed", SOON, async || heartbeats(&sink).len() >= 3).await;
    assert_eq!(deployment.census(&id).await.open_since_ms, None);
    assert_eq!(deployment.snapshot().await.ledger.parked, 0);

    deployment.publish(1).await;
    deployment.open(&id).await;
    // What was under way when the circuit opened has come to its end once the next but one is due.
    two_more(&deployment, id.as_str()).await;
    let before = heartbeats(&sink).len();
    two_more(&deployment, id.as_str()).await;
    assert_eq!(heartbeats(&sink).len(), before);
}

/// Waits until two more heartbeats of a subscription were due.
async fn two_more(deployment: &Deployment, id: &str) {
    let due = || {
        let score = deployment.cli(&["ZSCORE", "holdfast:{0}:pulses", id]);
        score.trim().parse::<f64>().unwrap()
    };
    let before = due();
    wait_until("two more were due", SOON, async || due() >= before + 400.0).await;
}

#[tokio::test]
async fn none_are_sent_while_the_service_is_disabled() {
    let deployment = Deployment::start(1, &[("HOLDFAST_DELIVERY__HEARTBEAT_MINUTE", MINUTE)]).await;
    let sink = Deployment::sink(Mode::Ok).await;
    let id = deployment
        .subscribe(&sink.url("/a"), |to| to.heartbeat_minutes = Some(1))
        .await;
    wait_until("one came", SOON, async || !heartbeats(&sink).is_empty()).await;
    let enable = async |enabled: bool| {
        let edit = |settings: &mut ServiceSettings| {
            settings.enabled = enabled;
            Ok::<_, StoreError>(())
        };
        deployment.store.try_update_settings(edit).await.unwrap();
    };
    enable(false).await;
    wait_until("nobody has asked for five minutes", SOON, async || {
        let due = deployment.cli(&["ZSCORE", "holdfast:{0}:pulses", id.as_str()]);
        let now = deployment.store.partitions()[0].clock_ms().await.unwrap();
        due.trim().parse::<u64>().unwrap() + 1_000 < now
    })
    .await;
    let before = heartbeats(&sink).len();
    enable(true).await;
    wait_until("they go on", SOON, async || heartbeats(&sink).len() > before).await;
}
