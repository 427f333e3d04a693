//! The direct path: healthy subscribers get every event once, at once, and nobody waits for a slow one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use holdfast::cli::sink::Mode;
use holdfast::domain::terms::EventType;

use super::harness::{Deployment, EVENTS, SOON, event};
use super::subscriber::{Reply, Subscriber};
use crate::support::wait_until;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everybody_gets_what_they_want_once_and_at_the_first_attempt() {
    let deployment = Deployment::start(1, &[]).await;
    let (all, also_all, none) = (
        Deployment::sink(Mode::Ok).await,
        Deployment::sink(Mode::Ok).await,
        Deployment::sink(Mode::Ok).await,
    );
    let first = deployment.subscribe(&all.url("/all"), |_| {}).await;
    let second = deployment.subscribe(&also_all.url("/all"), |_| {}).await;
    deployment
        .subscribe(&none.url("/none"), |subscription| {
            subscription.filter.event_types = vec![EventType::StatusChange];
        })
        .await;
    deployment.publish(500).await;
    deployment.settled().await;
    assert_eq!(deployment.expect_all_at(&first, &all), 0);
    assert_eq!(deployment.expect_all_at(&second, &also_all), 0);
    let (requests, ledger) = (all.counts().requests, deployment.ledger().await);
    assert_eq!((requests, none.counts().requests), (500, 0));
    assert_eq!((ledger.settled, ledger.wanted, ledger.delivered), (500, 1_000, 1_000));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_written_while_nobody_ran_are_delivered() {
    let mut deployment = Deployment::start(0, &[]).await;
    let sink = Deployment::sink(Mode::Ok).await;
    let id = deployment.subscribe(&sink.url("/events"), |_| {}).await;
    deployment.publish(50).await;
    let bare = deployment.cli(&["XADD", EVENTS, "*", "event", &event(50)]);
    deployment.written(&bare);
    deployment.add_pod(&[]).await;
    deployment.settled().await;
    assert_eq!(deployment.expect_all_at(&id, &sink), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscriber_that_hangs_holds_nobody_up() {
    let settings = [
        ("HOLDFAST_DELIVERY__TIMEOUT", "10m"),
        ("HOLDFAST_DELIVERY__DIRECT_WAIT", "100ms"),
    ];
    let deployment = Deployment::start(1, &settings).await;
    let healthy = Deployment::sink(Mode::Ok).await;
    let hanging = Subscriber::start(|_| Reply::Hold).await;
    let well = deployment.subscribe(&healthy.url("/events"), |_| {}).await;
    let ill = deployment.subscribe(&hanging.url(), |_| {}).await;
    deployment.publish(300).await;
    wait_until("the healthy one has everything", SOON, async || {
        healthy.counts().distinct == 300
    })
    .await;
    assert!(hanging.accepted().is_empty());
    hanging.open();
    deployment.settled().await;
    assert_eq!(deployment.expect_all_at(&well, &healthy), 0);
    assert_eq!(deployment.expect_all(&ill, &hanging.accepted()), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_at_once_rise_to_the_limit_and_never_beyond() {
    let deployment = Deployment::start(1, &[("HOLDFAST_DELIVERY__DIRECT_WAIT", "1h")]).await;
    let subscriber = Subscriber::start(|_| Reply::Hold).await;
    let id = deployment
        .subscribe(&subscriber.url(), |subscription| subscription.max_in_flight = Some(3))
        .await;
    deployment.publish(60).await;
    for answered in 0..60 {
        let expected = (answered + 1).min(3).min(60 - answered);
        wait_until("every free slot is used", SOON, async || {
            subscriber.in_flight() == expected
        })
        .await;
        subscriber.release(1);
        wait_until("the answer is on its way", SOON, async || {
            subscriber.accepted().len() == answered + 1
        })
        .await;
    }
    deployment.settled().await;
    assert_eq!(deployment.expect_all(&id, &subscriber.accepted()), 0);
    assert!(subscriber.seen().iter().all(|request| request.in_flight <= 3));
}

/// The room of every bound is so small that those who hang would take all of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn however_many_hang_the_healthy_one_gets_every_event_at_once() {
    const HANGING: usize = 60;
    let settings = [
        ("HOLDFAST_DELIVERY__TIMEOUT", "10m"),
        ("HOLDFAST_DELIVERY__DIRECT_WAIT", "100s"),
        ("HOLDFAST_DELIVERY__POD_MAX_IN_FLIGHT", "128"),
        ("HOLDFAST_WORKER__MAX_EVENTS", "128"),
    ];
    let deployment = Deployment::start(1, &settings).await;
    let hangs = Arc::new(AtomicBool::new(false));
    let now = Arc::clone(&hangs);
    let hanging = Subscriber::start(move |_| match now.load(Ordering::Relaxed) {
        true => Reply::Hold,
        false => Reply::Status(200),
    })
    .await;
    let healthy = Deployment::sink(Mode::Ok).await;
    let well = deployment.subscribe(&healthy.url("/events"), |_| {}).await;
    let mut ill = Vec::new();
    for _ in 0..HANGING {
        ill.push(deployment.subscribe(&hanging.url(), |_| {}).await);
    }
    // All answer at first, so that each may have as many requests at once as it ever may.
    for count in 1..=20 {
        deployment.publish(1).await;
        deployment.settled().await;
        assert_eq!(healthy.counts().distinct, count);
    }
    hangs.store(true, Ordering::Relaxed);
    for count in 21..=620 {
        deployment.publish(1).await;
        if count % 5 == 0 {
            wait_until("the healthy one has them", SOON, async || {
                healthy.counts().distinct == count
            })
            .await;
        }
    }
    assert!(hanging.in_flight() >= HANGING);
    assert_eq!(deployment.census(&well).await.parked, 0);
    let retried = "holdfast_end_to_end_latency_seconds_count{path=\"retry\"}";
    assert_eq!(
        deployment.counted(retried).await,
        0.0,
        "none of it was parked meanwhile"
    );
    hanging.open();
    deployment.settled_within(3 * SOON).await;
    assert_eq!(deployment.expect_all_at(&well, &healthy), 0);
    for id in &ill {
        assert_eq!(deployment.expect_all(id, &hanging.accepted()), 0);
    }
}
