//! `subscriptions retry-now`: whichever worker makes the probe, and what the operator is told of it.

use std::time::Duration;

use holdfast::cli::sink::Mode;
use holdfast::domain::ids::SubscriptionId;

use super::harness::Deployment;
use super::subscriber::{Reply, Subscriber};
use crate::support::wait_until;

/// No probe comes by itself while a test runs.
const NEVER: [(&str, &str); 2] = [("HOLDFAST_RETRY__DELAY", "1h"), ("HOLDFAST_RETRY__MAX_DELAY", "1h")];

/// The verb's exit code and what it said, on standard output and error.
async fn retry_now(deployment: &Deployment, arguments: &[&str]) -> (Option<i32>, String) {
    let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_holdfast"))
        .args([&["subscriptions", "retry-now"], arguments].concat())
        .env("HOLDFAST_REDIS__URL", deployment.redis.url())
        .output()
        .await
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(said).unwrap())
}

#[track_caller]
fn expect((code, said): (Option<i32>, String), expected: i32, words: &[&str]) {
    assert_eq!(code, Some(expected), "{said}");
    for word in words {
        assert!(said.contains(word), "no {word:?} in {said}");
    }
}

async fn failures(deployment: &Deployment, id: &SubscriptionId) -> u32 {
    deployment.census(id).await.failures
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_probe_comes_at_once_and_its_end_is_told() {
    let deployment = Deployment::start(2, &NEVER).await;
    let sink = Deployment::sink(Mode::Status(500)).await;
    let id = deployment.subscribe(&sink.url("/"), |_| {}).await;
    let name = id.as_str();
    expect(retry_now(&deployment, &[name]).await, 0, &["is not behind"]);
    expect(
        retry_now(&deployment, &["--all"]).await,
        0,
        &["no subscription is behind"],
    );
    expect(
        retry_now(&deployment, &["absent"]).await,
        1,
        &["no subscription absent"],
    );

    deployment.publish(5).await;
    deployment.parked(5).await;
    deployment.open(&id).await;
    let (before, requests) = (failures(&deployment, &id).await, sink.counts().requests);
    let said = retry_now(&deployment, &[name]).await;
    expect(
        said,
        1,
        &["still fails: HTTP 500; 5 parked deliveries kept", "subscriptions test"],
    );
    assert_eq!(
        failures(&deployment, &id).await,
        before + 1,
        "the back-off goes on from where it was"
    );
    assert_eq!(sink.counts().requests, requests + 1, "one probe");

    sink.set_mode(Mode::Ok).await;
    expect(retry_now(&deployment, &["--all"]).await, 0, &[name, "is back"]);
    deployment.settled().await;
    assert_eq!(deployment.expect_all_at(&id, &sink), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_after_stands_unless_the_operator_says_otherwise() {
    let deployment = Deployment::start(1, &NEVER).await;
    let subscriber = Subscriber::start(|request| match request.attempt {
        1 => Reply::Throttle(600),
        _ => Reply::Status(200),
    })
    .await;
    let id = deployment.subscribe(&subscriber.url(), |_| {}).await;
    deployment.publish(1).await;
    deployment.open(&id).await;
    let said = retry_now(&deployment, &[id.as_str()]).await;
    expect(said, 1, &["Retry-After asked for", "--ignore-retry-after"]);
    assert_eq!(subscriber.seen().len(), 1, "left alone");
    let said = retry_now(&deployment, &[id.as_str(), "--ignore-retry-after"]).await;
    expect(said, 0, &["is back"]);
    deployment.settled().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_can_not_be_probed_is_said() {
    let mut deployment = Deployment::start(1, &NEVER).await;
    let sink = Deployment::sink(Mode::Refuse(None)).await;
    let id = deployment.subscribe(&sink.url("/"), |_| {}).await;
    deployment.publish(1).await;
    deployment.open(&id).await;
    sink.set_mode(Mode::Hang).await;
    expect(
        retry_now(&deployment, &[id.as_str(), "--no-wait"]).await,
        0,
        &["is probed now"],
    );
    wait_until("the probe is out", Duration::from_secs(20), async || {
        deployment.census(&id).await.draining
    })
    .await;
    deployment.suspend(&id).await;
    expect(
        retry_now(&deployment, &[id.as_str()]).await,
        1,
        &["is suspended", "resume"],
    );

    let other = Deployment::sink(Mode::Refuse(None)).await;
    let second = deployment.subscribe(&other.url("/"), |_| {}).await;
    deployment.publish(1).await;
    deployment.open(&second).await;
    deployment.pods[0].sigkill();
    deployment.pods[0].wait(Duration::from_secs(20));
    wait_until("its heartbeat is old", Duration::from_secs(60), async || {
        deployment
            .partition()
            .snapshot(Duration::from_secs(10))
            .await
            .unwrap()
            .workers
            == 0
    })
    .await;
    expect(
        retry_now(&deployment, &[second.as_str()]).await,
        1,
        &["as soon as a worker runs", "holdfast serve"],
    );
}
