//! Many workers share the work, nothing is sent twice, and they come and go without a trace.

use std::time::Duration;

use holdfast::cli::sink::Mode;
use rstest::rstest;

use super::harness::{Deployment, SOON};
use super::subscriber::{Reply, Subscriber};
use crate::support::wait_until;

#[rstest]
#[case::two(2)]
#[case::ten(10)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_send_nothing_twice(#[case] workers: usize) {
    let deployment = Deployment::start(workers, &[("HOLDFAST_RETRY__DELAY", "100ms")]).await;
    let (well, ill) = (
        Deployment::sink(Mode::Ok).await,
        Subscriber::start(|_| Reply::Status(503)).await,
    );
    let healthy = deployment.subscribe(&well.url("/events"), |_| {}).await;
    let dead = deployment.subscribe(&ill.url(), |_| {}).await;
    deployment.publish(1).await;
    deployment.open(&dead).await;
    deployment.publish(600).await;
    deployment.parked(601).await;
    // Each wake-up is injected once, however many schedulers there are: probes never meet.
    wait_until("it was probed ten times", SOON, async || ill.count() >= 10).await;
    let probes = ill.seen();
    assert!(probes.iter().all(|probe| probe.in_flight == 1));
    assert!(
        probes
            .windows(2)
            .all(|pair| pair[1].arrived - pair[0].arrived >= Duration::from_millis(75))
    );
    let back = Deployment::sink(Mode::Ok).await;
    let url: url::Url = back.url("/events").parse().unwrap();
    deployment
        .store
        .update_subscription(&dead, |subscription| subscription.destination = url.clone())
        .await
        .unwrap();
    deployment.publish(400).await;
    deployment.settled().await;
    assert_eq!(deployment.expect_all_at(&healthy, &well), 0);
    assert_eq!(deployment.expect_all_at(&dead, &back), 0);
    let ledger = deployment.ledger().await;
    assert_eq!(ledger.delivered, 2_002);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_under_load_loses_nothing() {
    let mut deployment = Deployment::start(3, &[]).await;
    let (well, ill) = (
        Deployment::sink(Mode::Ok).await,
        Deployment::sink(Mode::Status(503)).await,
    );
    let healthy = deployment.subscribe(&well.url("/events"), |_| {}).await;
    let flaky = deployment.subscribe(&ill.url("/events"), |_| {}).await;
    deployment.publish(200).await;
    // Kept, so that their logs are shown when the test fails.
    let mut gone = Vec::new();
    for _ in 0..3 {
        ill.set_mode(Mode::Ok).await;
        deployment.publish(300).await;
        deployment.pods[0].sigterm();
        deployment.publish(300).await;
        let mut old = deployment.pods.remove(0);
        assert!(old.wait(SOON).success());
        gone.push(old);
        deployment.add_pod(&[]).await;
    }
    deployment.settled().await;
    let twice = deployment.expect_all_at(&healthy, &well) + deployment.expect_all_at(&flaky, &ill);
    assert!(twice <= 5, "{twice} duplicates");
    assert!(
        deployment.pods.iter().all(|pod| !pod.stderr().contains("took over")),
        "they left nothing behind"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_graceful_stop_finishes_what_is_in_flight() {
    let settings = [
        ("HOLDFAST_DELIVERY__DIRECT_WAIT", "1h"),
        ("HOLDFAST_WORKER__SHUTDOWN_DEADLINE", "10m"),
    ];
    let mut deployment = Deployment::start(1, &settings).await;
    let subscriber = Subscriber::start(|_| Reply::Hold).await;
    let id = deployment.subscribe(&subscriber.url(), |_| {}).await;
    deployment.publish(30).await;
    wait_until("one is in flight, the others wait", SOON, async || {
        subscriber.in_flight() == 1 && deployment.snapshot().await.pending == 30
    })
    .await;
    deployment.pods[0].sigterm();
    wait_until("it is stopping", SOON, async || {
        deployment.pods[0].stderr().contains("stopping")
    })
    .await;
    subscriber.open();
    assert!(deployment.pods[0].wait(SOON).success());
    assert_eq!(deployment.snapshot().await.events, 0);
    assert_eq!(deployment.expect_all(&id, &subscriber.accepted()), 0);
    deployment.check_ledger().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_is_handed_over_at_once_when_its_worker_stops() {
    let mut deployment = Deployment::start(1, &[("HOLDFAST_WORKER__DEAD_AFTER", "10m")]).await;
    let subscriber = Subscriber::start(|_| Reply::Hold).await;
    let id = deployment.subscribe(&subscriber.url(), |_| {}).await;
    deployment.suspend(&id).await;
    deployment.publish(200).await;
    deployment.parked(200).await;
    deployment.resume(&id).await;
    subscriber.release(20);
    wait_until("the drain is under way", SOON, async || {
        subscriber.accepted().len() == 20 && subscriber.in_flight() >= 8
    })
    .await;
    deployment.pods[0].sigterm();
    wait_until("it is stopping", SOON, async || {
        deployment.pods[0].stderr().contains("stopping")
    })
    .await;
    subscriber.release(100);
    assert!(deployment.pods[0].wait(SOON).success());
    assert!(
        deployment.ledger().await.parked > 0,
        "it did not stay to drain everything"
    );
    deployment.check_ledger().await;
    subscriber.open();
    deployment.add_pod(&[]).await;
    deployment.settled().await;
    assert_eq!(deployment.expect_all(&id, &subscriber.accepted()), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn past_the_shutdown_deadline_peers_take_over_at_once() {
    let settings = [
        ("HOLDFAST_WORKER__DEAD_AFTER", "10m"),
        ("HOLDFAST_WORKER__SHUTDOWN_DEADLINE", "200ms"),
    ];
    let mut deployment = Deployment::start(1, &settings).await;
    let subscriber = Subscriber::start(|_| Reply::Hold).await;
    let id = deployment.subscribe(&subscriber.url(), |_| {}).await;
    deployment.publish(1).await;
    wait_until("it is in flight", SOON, async || subscriber.in_flight() == 1).await;
    deployment.pods[0].sigterm();
    assert!(deployment.pods[0].wait(SOON).success());
    subscriber.open();
    deployment.add_pod(&[]).await;
    deployment.settled().await;
    assert_eq!(deployment.expect_all(&id, &subscriber.accepted()), 0);
}
