//! Workers that die or freeze at the worst moments: nothing is lost, and what is sent twice is only what was
//! in flight.

use holdfast::cli::sink::Mode;

use super::harness::{DEAD_AFTER, Deployment, EVENTS, REDELIVERIES, SOON};
use super::subscriber::{Reply, Subscriber};
use crate::support::{Proxy, wait_until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_in_the_middle_of_requests() {
    let mut deployment = Deployment::start(1, &[("HOLDFAST_DELIVERY__DIRECT_WAIT", "1h")]).await;
    let subscriber = Subscriber::start(|_| Reply::Hold).await;
    let id = deployment.subscribe(&subscriber.url(), |_| {}).await;
    deployment.publish(60).await;
    subscriber.release(10);
    wait_until("ten are answered, more are in flight", SOON, async || {
        subscriber.accepted().len() == 10 && subscriber.in_flight() >= 8
    })
    .await;
    deployment.pods[0].sigkill();
    deployment.add_pod(&[]).await;
    subscriber.open();
    deployment.settled().await;
    // Ten were answered; whether each was settled before the end nobody can know.
    assert!(deployment.expect_all(&id, &subscriber.accepted()) <= 10);
    assert!(deployment.dead_letters().await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_between_answer_and_settlement() {
    let mut deployment = Deployment::start(0, &[]).await;
    let proxy = Proxy::to(deployment.redis.port()).await;
    deployment.add_pod(&[("HOLDFAST_REDIS__URL", &proxy.url())]).await;
    let subscriber = Subscriber::start(|_| Reply::Hold).await;
    let id = deployment.subscribe(&subscriber.url(), |_| {}).await;
    deployment.publish(1).await;
    wait_until("it is in flight", SOON, async || subscriber.in_flight() == 1).await;
    proxy.freeze();
    proxy.refuse(true);
    subscriber.open();
    wait_until("it is answered", SOON, async || subscriber.accepted().len() == 1).await;
    deployment.pods[0].sigkill();
    assert_eq!(deployment.ledger().await.delivered, 0);
    deployment.add_pod(&[]).await;
    deployment.settled().await;
    assert_eq!(
        deployment.expect_all(&id, &subscriber.accepted()),
        1,
        "sent again, with the same id"
    );
    assert_eq!(deployment.ledger().await.delivered, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_in_the_middle_of_a_drain() {
    let mut deployment = Deployment::start(1, &[]).await;
    let subscriber = Subscriber::start(|_| Reply::Hold).await;
    let id = deployment.subscribe(&subscriber.url(), |_| {}).await;
    deployment.suspend(&id).await;
    deployment.publish(200).await;
    deployment.parked(200).await;
    deployment.resume(&id).await;
    subscriber.release(40);
    wait_until("the drain is under way", SOON, async || {
        subscriber.accepted().len() == 40 && subscriber.in_flight() >= 8
    })
    .await;
    deployment.pods[0].sigkill();
    deployment.add_pod(&[]).await;
    subscriber.open();
    deployment.settled().await;
    assert!(deployment.expect_all(&id, &subscriber.accepted()) <= 40);
    let after = deployment.census(&id).await;
    assert!(after.behind_since_ms.is_none() && !after.draining, "{after:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn died_right_after_it_injected_a_redelivery() {
    let mut deployment = Deployment::start(1, &[]).await;
    let sink = Deployment::sink(Mode::Status(503)).await;
    let id = deployment.subscribe(&sink.url("/events"), |_| {}).await;
    deployment.publish(20).await;
    deployment.parked(20).await;
    deployment.pods[0].sigkill();
    deployment.pods[0].wait(SOON);
    // This process is the scheduler that dies now.
    wait_until("one is injected", SOON, async || {
        deployment.partition().reinject().await.unwrap();
        deployment.cli(&["XLEN", REDELIVERIES]) == "1"
    })
    .await;
    assert_eq!(deployment.snapshot().await.waiting, 0);
    sink.set_mode(Mode::Ok).await;
    deployment.add_pod(&[]).await;
    deployment.settled().await;
    assert_eq!(deployment.expect_all_at(&id, &sink), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn died_before_its_first_heartbeat() {
    let mut deployment = Deployment::start(0, &[]).await;
    let sink = Deployment::sink(Mode::Ok).await;
    let id = deployment.subscribe(&sink.url("/events"), |_| {}).await;
    deployment.publish(10).await;
    let read = [
        "XREADGROUP",
        "GROUP",
        "workers",
        "ghost",
        "COUNT",
        "7",
        "STREAMS",
        EVENTS,
        ">",
    ];
    assert!(!deployment.cli(&read).is_empty());
    deployment.add_pod(&[]).await;
    deployment.settled().await;
    assert_eq!(deployment.expect_all_at(&id, &sink), 0);
    wait_until("nothing is left of it", SOON, async || {
        let names = deployment.partition().consumers().await.unwrap();
        let beat = deployment.cli(&["ZSCORE", "holdfast:{0}:workers", "ghost"]);
        names.iter().all(|name| name != "ghost") && beat.is_empty()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frozen_past_its_takeover_and_thawed() {
    let mut deployment = Deployment::start(1, &[("HOLDFAST_DELIVERY__DIRECT_WAIT", "1h")]).await;
    let subscriber = Subscriber::start(|_| Reply::Hold).await;
    let id = deployment
        .subscribe(&subscriber.url(), |subscription| subscription.max_in_flight = Some(1))
        .await;
    deployment.publish(40).await;
    wait_until("one is in flight, the others wait", SOON, async || {
        subscriber.in_flight() == 1 && deployment.snapshot().await.pending == 40
    })
    .await;
    deployment.pods[0].sigstop();
    deployment.add_pod(&[]).await;
    subscriber.open();
    deployment.settled().await;
    let before = subscriber.count();
    deployment.pods[0].sigcont();
    wait_until("it has found out", SOON, async || {
        deployment.pods[0].stderr().contains("settled by another worker")
    })
    .await;
    // It is alive: what is new is delivered, by whichever of the two.
    deployment.publish(40).await;
    deployment.settled().await;
    assert_eq!(
        deployment.expect_all(&id, &subscriber.accepted()),
        1,
        "only what was in flight"
    );
    assert_eq!(subscriber.count(), before + 40);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frozen_in_a_drain_and_thawed() {
    let mut deployment = Deployment::start(1, &[]).await;
    let subscriber = Subscriber::start(|_| Reply::Hold).await;
    let id = deployment
        .subscribe(&subscriber.url(), |subscription| subscription.max_in_flight = Some(4))
        .await;
    deployment.suspend(&id).await;
    deployment.publish(100).await;
    deployment.parked(100).await;
    deployment.resume(&id).await;
    subscriber.release(20);
    wait_until("the drain is under way", SOON, async || {
        subscriber.accepted().len() == 20 && subscriber.in_flight() == 4
    })
    .await;
    deployment.pods[0].sigstop();
    deployment.add_pod(&[]).await;
    subscriber.open();
    deployment.settled().await;
    deployment.pods[0].sigcont();
    deployment.publish(20).await;
    deployment.settled().await;
    // Four in flight; as many may have been answered and not reported yet.
    assert!(deployment.expect_all(&id, &subscriber.accepted()) <= 8);
    let after = deployment.census(&id).await;
    assert!(after.behind_since_ms.is_none() && !after.draining, "{after:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_takes_longer_than_dead_after_is_not_robbed() {
    let deployment = Deployment::start(2, &[]).await;
    let subscriber = Subscriber::start(|_| Reply::Hold).await;
    let id = deployment
        .subscribe(&subscriber.url(), |subscription| subscription.max_in_flight = Some(1))
        .await;
    deployment.publish(1).await;
    wait_until("it is in flight", SOON, async || subscriber.in_flight() == 1).await;
    tokio::time::sleep(2 * DEAD_AFTER).await;
    subscriber.open();
    deployment.settled().await;
    assert_eq!(deployment.expect_all(&id, &subscriber.accepted()), 0);
    assert_eq!(subscriber.count(), 1);
}
