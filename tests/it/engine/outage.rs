//! Subscribers that fail in every way: everything is kept, probed once per wait period, and drained in order
//! on the first success.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use holdfast::cli::sink::Mode;
use holdfast::domain::units::Period;
use holdfast::store::circuits::Wake;
use rstest::rstest;

use super::harness::{Deployment, SOON};
use super::subscriber::{Reply, Subscriber};
use crate::support::wait_until;

#[rstest]
#[case::refusing(Mode::Refuse(None))]
#[case::hanging(Mode::Hang)]
#[case::dripping(Mode::Drip)]
#[case::resetting(Mode::Reset)]
#[case::garbage(Mode::Garbage)]
#[case::error(Mode::Status(500))]
#[case::timeout(Mode::Status(408))]
#[case::throttled(Mode::Throttle(1))]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_the_outage_everything_is_delivered_after_it(#[case] mode: Mode) {
    let settings = [
        ("HOLDFAST_DELIVERY__TIMEOUT", "500ms"),
        ("HOLDFAST_DELIVERY__DIRECT_WAIT", "200ms"),
    ];
    let deployment = Deployment::start(2, &settings).await;
    let sink = Deployment::sink(Mode::Ok).await;
    let id = deployment.subscribe(&sink.url("/events"), |_| {}).await;
    deployment.publish(5).await;
    deployment.settled().await;
    sink.set_mode(mode).await;
    deployment.publish(40).await;
    deployment.parked(40).await;
    deployment.open(&id).await;
    wait_until("it was probed in vain", SOON, async || {
        deployment.census(&id).await.failures >= 2
    })
    .await;
    sink.set_mode(Mode::Ok).await;
    deployment.settled().await;
    assert!(deployment.dead_letters().await.is_empty());
    let after = deployment.census(&id).await;
    assert!(
        after.open_since_ms.is_none() && after.behind_since_ms.is_none(),
        "{after:?}"
    );
    assert_eq!(deployment.expect_all_at(&id, &sink), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_2xx_counts_however_long_its_body_is() {
    let deployment = Deployment::start(1, &[]).await;
    let sink = Deployment::sink(Mode::Flood).await;
    let id = deployment.subscribe(&sink.url("/events"), |_| {}).await;
    deployment.publish(40).await;
    deployment.settled().await;
    assert_eq!(deployment.expect_all_at(&id, &sink), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_subscriber_is_probed_alone_and_ever_more_rarely() {
    let settings = [
        ("HOLDFAST_RETRY__DELAY", "100ms"),
        ("HOLDFAST_RETRY__BACKOFF", "2.0"),
        ("HOLDFAST_RETRY__MAX_DELAY", "800ms"),
    ];
    let deployment = Deployment::start(2, &settings).await;
    let subscriber = Subscriber::start(|_| Reply::Status(503)).await;
    let id = deployment.subscribe(&subscriber.url(), |_| {}).await;
    deployment.publish(1).await;
    deployment.open(&id).await;
    deployment.publish(200).await;
    wait_until("it was probed seven times", SOON, async || subscriber.count() >= 7).await;
    let seen = subscriber.seen();
    assert!(seen.iter().all(|probe| probe.in_flight == 1));
    let gaps: Vec<u128> = seen
        .windows(2)
        .map(|pair| (pair[1].arrived - pair[0].arrived).as_millis())
        .collect();
    for (gap, least) in gaps.iter().zip([100, 200, 400, 800, 800, 800]) {
        // A quarter less, since a request may take longer to arrive than the next.
        assert!(*gap >= least * 3 / 4, "{gaps:?}");
    }
    assert_eq!(deployment.ledger().await.parked, 201);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_undercuts_retry_after() {
    let settings = [
        ("HOLDFAST_RETRY__DELAY", "50ms"),
        ("HOLDFAST_RETRY__RETRY_AFTER_MIN", "100ms"),
    ];
    let deployment = Deployment::start(2, &settings).await;
    let subscriber = Subscriber::start(|request| match request.attempt {
        1 => Reply::Throttle(2),
        _ => Reply::Status(200),
    })
    .await;
    let id = deployment
        .subscribe(&subscriber.url(), |subscription| subscription.max_in_flight = Some(1))
        .await;
    deployment.publish(1).await;
    deployment.open(&id).await;
    deployment.publish(10).await;
    deployment.store.wake_everywhere(&id, Wake::Due).await.unwrap();
    deployment.settled().await;
    let seen = subscriber.seen();
    let pause = seen[1].arrived - seen[0].arrived;
    assert!(pause >= Duration::from_millis(1_800), "{pause:?}");
    assert_eq!(deployment.expect_all(&id, &subscriber.accepted()), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_success_drains_everything_with_a_ramp() {
    let deployment = Deployment::start(2, &[("HOLDFAST_RETRY__DELAY", "500ms")]).await;
    let sink = Deployment::sink(Mode::Status(503)).await;
    let id = deployment.subscribe(&sink.url("/events"), |_| {}).await;
    deployment.publish(400).await;
    deployment.parked(400).await;
    // The same subscription at a new place, where answers are given one by one.
    let subscriber = Subscriber::start(|_| Reply::Hold).await;
    let url: url::Url = subscriber.url().parse().unwrap();
    deployment
        .store
        .update_subscription(&id, |subscription| subscription.destination = url.clone())
        .await
        .unwrap();
    let mut answered = 0;
    for answers in [1, 1, 2, 4, 8] {
        wait_until("one more is sent for each success", SOON, async || {
            subscriber.in_flight() == answered + 1
        })
        .await;
        subscriber.release(answers);
        answered += answers;
        wait_until("they are answered", SOON, async || {
            subscriber.accepted().len() == answered
        })
        .await;
    }
    subscriber.open();
    deployment.settled().await;
    assert_eq!(deployment.expect_all(&id, &subscriber.accepted()), 0);
    for request in subscriber.seen() {
        let allowed = request.answered_before + 1;
        assert!(
            request.in_flight <= allowed,
            "{} at once, not {allowed}",
            request.in_flight
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn order_is_kept_while_behind_also_for_what_comes_during_the_drain() {
    let deployment = Deployment::start(1, &[]).await;
    let down = Arc::new(AtomicBool::new(true));
    let is_down = down.clone();
    let subscriber = Subscriber::start(move |_| match is_down.load(Ordering::Relaxed) {
        true => Reply::Status(503),
        false => Reply::Hold,
    })
    .await;
    let id = deployment
        .subscribe(&subscriber.url(), |subscription| subscription.max_in_flight = Some(1))
        .await;
    deployment.publish(1).await;
    deployment.open(&id).await;
    deployment.publish(300).await;
    deployment.parked(301).await;
    down.store(false, Ordering::Relaxed);
    subscriber.release(100);
    wait_until("the drain is under way", SOON, async || {
        subscriber.accepted().len() == 100
    })
    .await;
    deployment.publish(100).await;
    wait_until("the new ones wait behind the old", SOON, async || {
        let now = deployment.snapshot().await;
        now.events == 0 && now.ledger.wanted == 401
    })
    .await;
    subscriber.open();
    deployment.settled().await;
    let events: Vec<_> = subscriber.accepted().iter().map(|delivery| delivery.event).collect();
    assert!(events.is_sorted() && events.len() == 401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gone_suspends_and_keeps_everything() {
    let deployment = Deployment::start(1, &[]).await;
    let sink = Deployment::sink(Mode::Status(410)).await;
    let id = deployment.subscribe(&sink.url("/events"), |_| {}).await;
    deployment.publish(1).await;
    wait_until("it is suspended", SOON, async || deployment.census(&id).await.suspended).await;
    deployment.publish(30).await;
    deployment.parked(31).await;
    let asked = sink.counts().requests;
    sink.set_mode(Mode::Ok).await;
    assert!(
        deployment
            .store
            .subscription(&id)
            .await
            .unwrap()
            .unwrap()
            .is_suspended()
    );
    assert_eq!(sink.counts().requests, asked, "nothing is sent while suspended");
    deployment.resume(&id).await;
    deployment.settled().await;
    assert_eq!(deployment.expect_all_at(&id, &sink), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redirect_is_not_followed() {
    let deployment = Deployment::start(1, &[("HOLDFAST_RETRY__REFUSED_ATTEMPTS", "2")]).await;
    let sink = Deployment::sink(Mode::Status(307)).await;
    deployment.subscribe(&sink.url("/events"), |_| {}).await;
    deployment.publish(1).await;
    wait_until("it was tried again and again", SOON, async || {
        sink.counts().requests >= 4
    })
    .await;
    assert_eq!(deployment.dead_letters().await, [], "nothing shows that it is to blame");
    sink.set_mode(Mode::Ok).await;
    deployment.settled().await;
    assert_eq!(sink.counts().distinct, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_answers_within_the_deadline_are_successes() {
    let deployment = Deployment::start(1, &[]).await;
    let sink = Deployment::sink(Mode::Slow(Period::from_millis(300))).await;
    let id = deployment.subscribe(&sink.url("/events"), |_| {}).await;
    deployment.publish(40).await;
    deployment.settled().await;
    assert_eq!(deployment.expect_all_at(&id, &sink), 0);
    assert_eq!(sink.counts().requests, 40);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscriber_that_fails_at_random_gets_everything_once() {
    let settings = [
        ("HOLDFAST_DELIVERY__TIMEOUT", "500ms"),
        ("HOLDFAST_RETRY__DELAY", "20ms"),
        ("HOLDFAST_RETRY__RETRY_AFTER_MIN", "50ms"),
        ("HOLDFAST_RETRY__RETRY_AFTER_MAX", "50ms"),
        ("HOLDFAST_RETRY__REFUSED_ATTEMPTS", "1000"),
    ];
    let deployment = Deployment::start(2, &settings).await;
    let sink = Deployment::sink(Mode::Random(7)).await;
    let id = deployment.subscribe(&sink.url("/events"), |_| {}).await;
    deployment.publish(150).await;
    deployment.settled().await;
    assert_eq!(deployment.expect_all_at(&id, &sink), 0);
}
