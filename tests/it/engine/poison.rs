//! Events and deliveries that are themselves the problem: they end as dead letters, they alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use holdfast::cli::sink::Mode;
use holdfast::domain::ids::StreamId;
use rstest::rstest;

use super::harness::{Deployment, EVENTS, REDELIVERIES, SOON, event};
use super::subscriber::{Reply, Subscriber};
use crate::support::wait_until;

/// Whether this is the third event.
fn is_third(body: &[u8]) -> bool {
    body.windows(8).any(|part| part == br#""Id":"2""#)
}

/// Other events succeed all the time, so the failures of `bad` are its own: it, and only it, is given up.
async fn given_up_among_others(deployment: &Deployment, bad: StreamId) {
    wait_until("it is given up", SOON, async || {
        deployment.write(event(7)).await.unwrap();
        !deployment.dead_letters().await.is_empty()
    })
    .await;
    assert_eq!(deployment.dead_letters().await, [(Some(bad), "refused".to_owned())]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_event_becomes_a_dead_letter_and_stops_nobody() {
    let deployment = Deployment::start(1, &[]).await;
    let sink = Deployment::sink(Mode::Ok).await;
    let id = deployment.subscribe(&sink.url("/events"), |_| {}).await;
    deployment.publish(5).await;
    let deep = "[".repeat(100_000);
    let odd: [&[&str]; 6] = [
        &["event", "this is no JSON"],
        &["payload", "{}"],
        &["event", ""],
        &["event", "[1, 2, 3]"],
        &["event", &deep],
        &["event", r#"{"Events": "none"}"#],
    ];
    for fields in odd {
        let mut command = vec!["XADD", EVENTS, "*"];
        command.extend(fields);
        assert!(deployment.cli(&command).contains('-'));
    }
    deployment.publish(5).await;
    deployment.settled().await;
    assert_eq!(deployment.expect_all_at(&id, &sink), 0);
    let reasons = deployment.dead_letters().await;
    let ledger = deployment.ledger().await;
    assert_eq!(usize::try_from(ledger.rejected).unwrap(), reasons.len());
    assert!(reasons.len() >= 5, "{reasons:?}");
    assert!(reasons.iter().all(|(_, reason)| !reason.is_empty()), "{reasons:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_event_that_gets_500_among_good_ones_is_refused_alone() {
    let settings = [
        ("HOLDFAST_RETRY__DELAY", "50ms"),
        ("HOLDFAST_RETRY__REFUSED_ATTEMPTS", "3"),
    ];
    let deployment = Deployment::start(2, &settings).await;
    let subscriber = Subscriber::start(|request| match is_third(&request.body) {
        true => Reply::Status(500),
        false => Reply::Status(200),
    })
    .await;
    let id = deployment.subscribe(&subscriber.url(), |_| {}).await;
    let events = deployment.publish(100).await;
    given_up_among_others(&deployment, events[2]).await;
    deployment.settled().await;
    let published = deployment.ledger().await.settled;
    let accepted = subscriber.accepted();
    assert_eq!(i64::try_from(accepted.len()).unwrap(), published - 1);
    assert!(
        accepted
            .iter()
            .all(|delivery| delivery.event != events[2] && delivery.subscription == id)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_oldest_that_gets_500_does_not_stop_those_behind_it() {
    let settings = [
        ("HOLDFAST_RETRY__DELAY", "50ms"),
        ("HOLDFAST_RETRY__REFUSED_ATTEMPTS", "3"),
    ];
    let deployment = Deployment::start(1, &settings).await;
    let subscriber = Subscriber::start(|request| match is_third(&request.body) {
        true => Reply::Status(500),
        false => Reply::Status(200),
    })
    .await;
    let id = deployment
        .subscribe(&subscriber.url(), |subscription| subscription.max_in_flight = Some(1))
        .await;
    // Parked before anything is sent, with the bad one as the oldest.
    deployment.suspend(&id).await;
    let bad = deployment.write(event(2)).await.unwrap();
    for number in 10..40 {
        deployment.write(event(number)).await.unwrap();
    }
    deployment.parked(31).await;
    deployment.resume(&id).await;
    wait_until("those behind it are delivered", SOON, async || {
        subscriber.accepted().len() == 30
    })
    .await;
    given_up_among_others(&deployment, bad).await;
    deployment.settled().await;
}

/// Two bad ones in front, whatever they get: the good ones pass, so do those that come later, and in the end the
/// bad ones are dead letters.
#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_bad_events_hold_up_nobody(#[values(500, 422)] status: u16, #[values(1, 16)] at_once: u32) {
    let settings = [
        ("HOLDFAST_RETRY__DELAY", "50ms"),
        ("HOLDFAST_RETRY__MAX_DELAY", "100ms"),
        ("HOLDFAST_RETRY__REFUSED_ATTEMPTS", "3"),
    ];
    let deployment = Deployment::start(1, &settings).await;
    let bad = [event(1_001), event(1_002)];
    let refused = bad.clone();
    let subscriber =
        Subscriber::start(
            move |request| match refused.iter().any(|event| event.as_bytes() == request.body) {
                true => Reply::Status(status),
                false => Reply::Status(200),
            },
        )
        .await;
    deployment
        .subscribe(&subscriber.url(), |subscription| {
            subscription.max_in_flight = Some(at_once);
        })
        .await;
    for event in &bad {
        deployment.write(event.clone()).await.unwrap();
    }
    deployment.publish(20).await;
    wait_until("the good ones pass", SOON, async || subscriber.accepted().len() == 20).await;
    deployment.publish(5).await;
    wait_until("so do later ones", SOON, async || subscriber.accepted().len() == 25).await;
    deployment.settled().await;
    assert_eq!(deployment.dead_letters().await.len(), 2);
    assert_eq!(subscriber.accepted().len(), 25);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_event_that_gets_404_is_tried_a_few_times_then_dead() {
    let settings = [
        ("HOLDFAST_RETRY__DELAY", "50ms"),
        ("HOLDFAST_RETRY__REFUSED_ATTEMPTS", "4"),
    ];
    let deployment = Deployment::start(1, &settings).await;
    let subscriber = Subscriber::start(|request| match is_third(&request.body) {
        true => Reply::Status(404),
        false => Reply::Status(200),
    })
    .await;
    deployment.subscribe(&subscriber.url(), |_| {}).await;
    let bad = deployment.write(event(2)).await.unwrap();
    given_up_among_others(&deployment, bad).await;
    deployment.settled().await;
    let tries = subscriber
        .seen()
        .iter()
        .filter(|request| is_third(&request.body))
        .count();
    assert_eq!(tries, 4);
}

/// Refused once, then nothing works any more: no success since shows that it is to blame.
#[rstest]
#[case(500)]
#[case(502)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_was_refused_before_an_outage_is_kept_through_it(#[case] status: u16) {
    let settings = [
        ("HOLDFAST_RETRY__DELAY", "50ms"),
        ("HOLDFAST_RETRY__REFUSED_ATTEMPTS", "3"),
    ];
    let deployment = Deployment::start(1, &settings).await;
    let up = Arc::new(AtomicBool::new(false));
    let is_up = Arc::clone(&up);
    let subscriber = Subscriber::start(move |seen| match seen.attempt {
        1 => Reply::Status(404),
        _ if is_up.load(Ordering::SeqCst) => Reply::Status(200),
        _ => Reply::Status(status),
    })
    .await;
    let id = deployment.subscribe(&subscriber.url(), |_| {}).await;
    deployment.publish(1).await;
    wait_until("it was tried many times", SOON, async || subscriber.count() >= 12).await;
    assert!(deployment.dead_letters().await.is_empty());
    up.store(true, Ordering::SeqCst);
    deployment.settled().await;
    assert_eq!(deployment.expect_all(&id, &subscriber.accepted()), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscriber_that_answers_404_to_everything_loses_none() {
    let settings = [
        ("HOLDFAST_RETRY__DELAY", "50ms"),
        ("HOLDFAST_RETRY__REFUSED_ATTEMPTS", "5"),
    ];
    let deployment = Deployment::start(2, &settings).await;
    let sink = Deployment::sink(Mode::Status(404)).await;
    let id = deployment.subscribe(&sink.url("/events"), |_| {}).await;
    deployment.publish(60).await;
    deployment.open(&id).await;
    let asked = sink.counts().requests;
    wait_until("it was probed many times", SOON, async || {
        sink.counts().requests >= asked + 12
    })
    .await;
    deployment.parked(60).await;
    assert!(deployment.dead_letters().await.is_empty());
    sink.set_mode(Mode::Ok).await;
    deployment.settled().await;
    assert_eq!(deployment.expect_all_at(&id, &sink), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_killed_its_workers_is_processed_alone_then_dead() {
    let mut deployment = Deployment::start(0, &[]).await;
    let sink = Deployment::sink(Mode::Ok).await;
    deployment.subscribe(&sink.url("/events"), |_| {}).await;
    let events = deployment.publish(3).await;
    let read = ["XREADGROUP", "GROUP", "workers", "ghost", "STREAMS", EVENTS, ">"];
    assert!(!deployment.cli(&read).is_empty());
    // The first was alone when its fifth worker died; the second died five times too, but never alone.
    for (id, times) in [(events[0], "5"), (events[1], "5"), (events[2], "1")] {
        let claim = [
            "XCLAIM",
            EVENTS,
            "workers",
            "ghost",
            "0",
            &id.to_string(),
            "RETRYCOUNT",
            times,
            "JUSTID",
        ];
        assert!(!deployment.cli(&claim).is_empty());
    }
    deployment.cli(&["HSET", "holdfast:{0}:alone", &events[0].to_string(), "ghost"]);
    deployment.add_pod(&[]).await;
    deployment.settled().await;
    let letters = deployment.dead_letters().await;
    assert_eq!(letters.len(), 1, "{letters:?}");
    assert_eq!(letters[0].0, Some(events[0]));
    assert!(letters[0].1.contains("died"), "{letters:?}");
    assert_eq!(sink.counts().distinct, 2);
    assert_eq!(deployment.cli(&["HLEN", "holdfast:{0}:alone"]), "0");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redelivery_that_killed_its_workers_costs_its_oldest_delivery_only() {
    let mut deployment = Deployment::start(1, &[]).await;
    let sink = Deployment::sink(Mode::Status(503)).await;
    let id = deployment.subscribe(&sink.url("/events"), |_| {}).await;
    deployment.suspend(&id).await;
    let oldest = deployment.publish(10).await.into_iter().min();
    deployment.parked(10).await;
    deployment.pods[0].sigkill();
    deployment.pods[0].wait(SOON);
    deployment
        .store
        .set_state(&id, holdfast::domain::subscription::State::Enabled)
        .await
        .unwrap();
    wait_until("one is injected", SOON, async || {
        deployment.partition().reinject().await.unwrap();
        deployment.cli(&["XLEN", REDELIVERIES]) == "1"
    })
    .await;
    let read = ["XREADGROUP", "GROUP", "workers", "ghost", "STREAMS", REDELIVERIES, ">"];
    assert!(!deployment.cli(&read).is_empty());
    let listed = deployment.cli(&["XPENDING", REDELIVERIES, "workers", "-", "+", "1"]);
    let entry = listed.lines().next().unwrap();
    deployment.cli(&[
        "XCLAIM",
        REDELIVERIES,
        "workers",
        "ghost",
        "0",
        entry,
        "RETRYCOUNT",
        "5",
        "JUSTID",
    ]);
    deployment.cli(&["HSET", "holdfast:{0}:alone", entry, "ghost"]);
    sink.set_mode(Mode::Ok).await;
    deployment.add_pod(&[]).await;
    deployment.settled().await;
    assert_eq!(deployment.dead_letters().await, [(oldest, "poison".to_owned())]);
    assert_eq!(sink.counts().distinct, 9);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_operator_deletes_or_writes_by_hand_stops_nobody() {
    let deployment = Deployment::start(1, &[]).await;
    let sink = Deployment::sink(Mode::Status(503)).await;
    let id = deployment.subscribe(&sink.url("/events"), |_| {}).await;
    deployment.publish(20).await;
    deployment.parked(20).await;
    let body = deployment.cli(&["HKEYS", "holdfast:{0}:bodies"]);
    deployment.cli(&["HDEL", "holdfast:{0}:bodies", body.lines().next().unwrap()]);
    deployment.cli(&["XADD", REDELIVERIES, "*", "subscription", "nobody"]);
    deployment.cli(&["XADD", REDELIVERIES, "*", "what", "is this"]);
    deployment.cli(&["XADD", REDELIVERIES, "*", "subscription", id.as_str()]);
    sink.set_mode(Mode::Ok).await;
    deployment.settled().await;
    assert_eq!(sink.counts().distinct, 19);
    assert_eq!(deployment.dead_letters().await.len(), 1);
}
