//! Subscriptions that change while deliveries are under way, and what their retry policies do.

use std::time::Duration;

use holdfast::cli::sink::Mode;
use holdfast::domain::ids::SubscriptionId;
use holdfast::domain::subscription::{DeliveryRetryPolicy, RetryOverrides, Subscription};
use holdfast::domain::units::Period;

use super::harness::{Deployment, SOON};
use super::subscriber::{Reply, Subscriber};
use crate::support::wait_until;

fn after_attempts(subscription: &mut Subscription, policy: DeliveryRetryPolicy, attempts: u32) {
    subscription.retry_policy = policy;
    subscription.retry = RetryOverrides {
        max_attempts: Some(attempts),
        ..RetryOverrides::default()
    };
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_is_in_force_on_every_pod_without_a_restart() {
    let defaults = [("HOLDFAST_WORKER__REGISTRY_REFRESH", "750ms")];
    let deployment = Deployment::start(2, &defaults).await;
    let sink = Deployment::sink(Mode::Ok).await;
    let started = std::time::Instant::now();
    let id = deployment.subscribe(&sink.url("/first"), |_| {}).await;
    // Promised is a second; the bound is wide for a busy machine.
    assert!(started.elapsed() < Duration::from_secs(5));
    deployment.publish(100).await;
    deployment.settled().await;
    assert_eq!(deployment.expect_all_at(&id, &sink), 0);

    let url: url::Url = sink.url("/second").parse().unwrap();
    let changed = deployment
        .store
        .update_subscription(&id, |subscription| subscription.destination = url.clone())
        .await
        .unwrap();
    deployment.in_force(changed.version).await;
    deployment.publish(100).await;
    deployment.settled().await;
    let at_second = sink
        .deliveries()
        .iter()
        .filter(|delivery| delivery.path == "/second")
        .count();
    assert_eq!(at_second, 100);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn suspended_it_keeps_everything_and_resumed_it_gets_it_in_order() {
    let deployment = Deployment::start(2, &[]).await;
    let sink = Deployment::sink(Mode::Ok).await;
    let id = deployment
        .subscribe(&sink.url("/events"), |subscription| {
            subscription.max_in_flight = Some(1)
        })
        .await;
    deployment.publish(50).await;
    deployment.settled().await;
    deployment.suspend(&id).await;
    deployment.publish(50).await;
    deployment.parked(50).await;
    assert_eq!(sink.counts().requests, 50);
    assert!(deployment.census(&id).await.next_wakeup_ms.is_none());
    deployment.resume(&id).await;
    deployment.settled().await;
    assert_eq!(deployment.expect_all_at(&id, &sink), 0);
}

/// Two pods, and a subscriber that has taken ten of 300 parked deliveries and holds the next.
async fn drain_under_way() -> (Deployment, Subscriber, SubscriptionId) {
    let deployment = Deployment::start(2, &[]).await;
    let subscriber = Subscriber::start(|_| Reply::Hold).await;
    let id = deployment
        .subscribe(&subscriber.url(), |subscription| subscription.max_in_flight = Some(2))
        .await;
    deployment.suspend(&id).await;
    deployment.publish(300).await;
    deployment.parked(300).await;
    deployment.resume(&id).await;
    subscriber.release(10);
    wait_until("the drain is under way", SOON, async || {
        subscriber.accepted().len() == 10
    })
    .await;
    (deployment, subscriber, id)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn suspended_in_the_middle_of_a_drain_it_stops_there() {
    let (deployment, subscriber, id) = drain_under_way().await;
    deployment.suspend(&id).await;
    subscriber.open();
    wait_until("the drain has ended and everything is reported", SOON, async || {
        let now = deployment.census(&id).await;
        let parked = usize::try_from(now.parked).unwrap();
        !now.draining && subscriber.in_flight() == 0 && subscriber.accepted().len() + parked == 300
    })
    .await;
    let sent = subscriber.accepted().len();
    assert!(sent < 100, "{sent} were sent");
    deployment.resume(&id).await;
    deployment.settled().await;
    assert_eq!(deployment.expect_all(&id, &subscriber.accepted()), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn removed_in_the_middle_of_a_drain_it_leaves_nothing() {
    let (deployment, subscriber, id) = drain_under_way().await;
    assert!(deployment.store.remove_subscription(&id).await.unwrap());
    subscriber.open();
    deployment.settled().await;
    nothing_left(&deployment, &id).await;
    let ledger = deployment.ledger().await;
    assert_eq!(ledger.delivered + ledger.dropped, 300, "{ledger:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_that_has_not_noticed_parks_nothing_for_a_removed_one() {
    let settings = [
        ("HOLDFAST_WORKER__REGISTRY_REFRESH", "1h"),
        ("HOLDFAST_DELIVERY__DIRECT_WAIT", "1h"),
        // What was parked would stay, for no drain would find it out.
        ("HOLDFAST_RETRY__DELAY", "10m"),
        ("HOLDFAST_RETRY__MAX_DELAY", "1h"),
    ];
    let mut deployment = Deployment::start(0, &[]).await;
    let (gone, kept) = (
        Subscriber::start(|_| Reply::HoldThen(503)).await,
        Deployment::sink(Mode::Ok).await,
    );
    let removed = deployment.subscribe(&gone.url(), |_| {}).await;
    let other = deployment.subscribe(&kept.url("/events"), |_| {}).await;
    deployment.add_pod(&settings).await;
    deployment.publish(40).await;
    // The pod has begun with all of them, since the other one has them: it goes on with what it knew then.
    wait_until("one is in flight, the others wait", SOON, async || {
        gone.in_flight() == 1 && kept.deliveries().len() == 40
    })
    .await;
    assert!(deployment.store.remove_subscription(&removed).await.unwrap());
    gone.open();
    deployment.settled().await;
    assert_eq!(deployment.expect_all_at(&other, &kept), 0);
    assert_eq!(deployment.ledger().await.dropped, 40);
    nothing_left(&deployment, &removed).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_destination_is_tried_at_once() {
    let deployment = Deployment::start(
        2,
        &[("HOLDFAST_RETRY__DELAY", "10m"), ("HOLDFAST_RETRY__MAX_DELAY", "1h")],
    )
    .await;
    let (old, new) = (
        Deployment::sink(Mode::Throttle(600)).await,
        Deployment::sink(Mode::Ok).await,
    );
    let id = deployment.subscribe(&old.url("/events"), |_| {}).await;
    deployment.publish(30).await;
    deployment.parked(30).await;
    let url: url::Url = new.url("/events").parse().unwrap();
    deployment
        .store
        .update_subscription(&id, |subscription| subscription.destination = url.clone())
        .await
        .unwrap();
    deployment.settled().await;
    assert_eq!(deployment.expect_all_at(&id, &new), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn suspend_retries_suspends_after_its_attempts() {
    let deployment = Deployment::start(1, &[("HOLDFAST_RETRY__DELAY", "100ms")]).await;
    let sink = Deployment::sink(Mode::Status(503)).await;
    let id = deployment
        .subscribe(&sink.url("/events"), |subscription| {
            after_attempts(subscription, DeliveryRetryPolicy::SuspendRetries, 3);
        })
        .await;
    deployment.publish(1).await;
    wait_until("it is suspended", SOON, async || deployment.census(&id).await.suspended).await;
    assert_eq!(sink.counts().requests, 3);
    sink.set_mode(Mode::Ok).await;
    deployment.publish(9).await;
    deployment.parked(10).await;
    assert_eq!(sink.counts().requests, 3);
    deployment.resume(&id).await;
    deployment.settled().await;
    assert_eq!(deployment.expect_all_at(&id, &sink), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn terminate_after_retries_removes_after_its_attempts() {
    let deployment = Deployment::start(1, &[("HOLDFAST_RETRY__DELAY", "100ms")]).await;
    let sink = Deployment::sink(Mode::Status(503)).await;
    let id = deployment
        .subscribe(&sink.url("/events"), |subscription| {
            after_attempts(subscription, DeliveryRetryPolicy::TerminateAfterRetries, 3);
        })
        .await;
    deployment.publish(20).await;
    wait_until("it is removed", SOON, async || {
        deployment.store.subscription(&id).await.unwrap().is_none()
    })
    .await;
    deployment.settled().await;
    assert_eq!(deployment.ledger().await.dropped, 20);
    nothing_left(&deployment, &id).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_maximum_of_attempts_deliveries_become_dead_letters_and_can_be_replayed() {
    let deployment = Deployment::start(1, &[("HOLDFAST_RETRY__DELAY", "50ms")]).await;
    let sink = Deployment::sink(Mode::Status(503)).await;
    let id = deployment
        .subscribe(&sink.url("/events"), |subscription| {
            after_attempts(subscription, DeliveryRetryPolicy::RetryForever, 3);
            subscription.retry.delay = Some(Period::from_millis(50));
        })
        .await;
    deployment.publish(4).await;
    wait_until("all are given up", SOON, async || {
        deployment.dead_letters().await.len() == 4
    })
    .await;
    deployment.settled().await;
    assert_eq!(deployment.ledger().await.dead_lettered, 4);
    sink.set_mode(Mode::Ok).await;
    for letter in deployment.partition().dead_letters(None, 10).await.unwrap() {
        assert_eq!((letter.attempts, letter.reason.as_str()), (3, "attempts used up"));
        deployment.partition().replay(letter.id).await.unwrap();
    }
    wait_until("the replayed ones arrived", SOON, async || sink.counts().distinct == 4).await;
    deployment.settled().await;
    assert_eq!(deployment.expect_all_at(&id, &sink), 0);
    assert!(deployment.dead_letters().await.is_empty());
}

/// Its last attempt was made at the destination that was wrong, and ends when that was corrected already.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_whose_destination_was_corrected_is_not_removed_for_the_old_one() {
    let deployment = Deployment::start(1, &[("HOLDFAST_RETRY__DELAY", "100ms")]).await;
    let good = Deployment::sink(Mode::Ok).await;
    let wrong = Subscriber::start(|seen| match seen.attempt {
        1 => Reply::Status(503),
        _ => Reply::HoldThen(503),
    })
    .await;
    let id = deployment
        .subscribe(&wrong.url(), |subscription| {
            after_attempts(subscription, DeliveryRetryPolicy::TerminateAfterRetries, 2);
        })
        .await;
    deployment.publish(1).await;
    wait_until("the last attempt is on its way", SOON, async || {
        wrong.count() == 2 && wrong.in_flight() == 1
    })
    .await;
    deployment.publish(9).await;
    deployment.parked(10).await;
    let url: url::Url = good.url("/events").parse().unwrap();
    deployment
        .store
        .update_subscription(&id, |subscription| subscription.destination = url.clone())
        .await
        .unwrap();
    wrong.open();
    deployment.settled().await;
    assert_eq!(deployment.expect_all_at(&id, &good), 0);
    assert!(deployment.store.subscription(&id).await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_resumed_subscription_has_all_its_attempts_again() {
    let deployment = Deployment::start(1, &[("HOLDFAST_RETRY__DELAY", "100ms")]).await;
    let sink = Deployment::sink(Mode::Status(503)).await;
    let id = deployment
        .subscribe(&sink.url("/events"), |subscription| {
            after_attempts(subscription, DeliveryRetryPolicy::SuspendRetries, 3);
        })
        .await;
    deployment.publish(1).await;
    let suspended = async || {
        let known = deployment.store.subscription(&id).await.unwrap().unwrap();
        known.is_suspended() && deployment.census(&id).await.suspended
    };
    wait_until("it is suspended", SOON, suspended).await;
    assert_eq!(sink.counts().requests, 3);
    deployment.resume(&id).await;
    wait_until("it is suspended again", SOON, suspended).await;
    assert_eq!(sink.counts().requests, 6);
}

/// The drain of before holds what it sends: nothing of it is sent a second time by another one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn suspended_and_resumed_while_requests_are_out_nothing_is_sent_twice() {
    let deployment = Deployment::start(2, &[]).await;
    let subscriber = Subscriber::start(|_| Reply::Hold).await;
    let id = deployment
        .subscribe(&subscriber.url(), |subscription| subscription.max_in_flight = Some(2))
        .await;
    deployment.suspend(&id).await;
    deployment.publish(40).await;
    deployment.parked(40).await;
    deployment.resume(&id).await;
    subscriber.release(4);
    wait_until("four are through and more are out", SOON, async || {
        subscriber.accepted().len() == 4 && subscriber.in_flight() >= 2
    })
    .await;
    let out = subscriber.in_flight();
    deployment.suspend(&id).await;
    subscriber.release(1);
    wait_until("what was answered is reported", SOON, async || {
        deployment.census(&id).await.parked == 35
    })
    .await;
    assert!(subscriber.in_flight() >= out - 1, "the others are still out");
    assert!(deployment.census(&id).await.draining, "and so is their drain");
    let bury = deployment.store.bury_older(&id, Duration::ZERO);
    assert_eq!(bury.await.unwrap(), None, "they are not made dead letters meanwhile");
    deployment.resume(&id).await;
    subscriber.open();
    deployment.settled().await;
    assert_eq!(deployment.expect_all(&id, &subscriber.accepted()), 0);
    assert_eq!(subscriber.count(), 40, "each was sent once");
}

async fn nothing_left(deployment: &Deployment, id: &SubscriptionId) {
    wait_until("nothing is left of it", SOON, async || {
        ["retry", "tries", "circuit"]
            .iter()
            .all(|kind| deployment.cli(&["EXISTS", &format!("holdfast:{{0}}:{kind}:{id}")]) == "0")
    })
    .await;
    assert_eq!(deployment.cli(&["SISMEMBER", "holdfast:{0}:behind", id.as_str()]), "0");
    assert_eq!(deployment.cli(&["HLEN", "holdfast:{0}:bodies"]), "0");
}

/// The removal died between the registry and the first partition, of a subscription that no drain looks at.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removal_that_was_cut_short_before_its_tombstone_is_finished() {
    let mut deployment = Deployment::start(1, &[]).await;
    let sink = Deployment::sink(Mode::Ok).await;
    let id = deployment.subscribe(&sink.url("/events"), |_| {}).await;
    deployment.suspend(&id).await;
    deployment.publish(5).await;
    deployment.parked(5).await;
    let registry = "holdfast:subscriptions";
    assert_eq!(deployment.cli(&["HDEL", registry, id.as_str()]), "1");
    deployment.cli(&["HINCRBY", registry, ":version", "1"]);
    deployment.add_pod(&[("HOLDFAST_WORKER__AUDIT", "200ms")]).await;
    deployment.settled().await;
    assert_eq!(deployment.ledger().await.dropped, 5);
    assert!(deployment.cli(&["SMEMBERS", "holdfast:{0}:behind"]).is_empty());
}
