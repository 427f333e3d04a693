//! Removing a subscription: in bounded steps, for good, and with the books in balance.

use std::time::Duration;

use holdfast::store::circuits::Wake;
use holdfast::store::events::Stream;
use holdfast::store::settle::Verdict;

use super::{Bench, LONG, NOW, failure, id, outcome, settlement};

#[tokio::test]
async fn all_that_is_parked_goes_and_is_counted() {
    let bench = Bench::start().await;
    let mut batch = Vec::new();
    for n in 0..1_000 {
        let event = bench.publish(&format!("{n}")).await;
        let outcomes = ["a", "b"]
            .map(|name| outcome(name, Verdict::Unavailable, LONG))
            .to_vec();
        batch.push(settlement(event, outcomes));
    }
    bench.read("w1", Stream::Events).await;
    bench.settle("w1", &batch).await;
    bench.partition.remove(&id("a")).await.unwrap();
    let state = bench.sound(&["a", "b"]).await;
    assert_eq!(
        (state.total("dropped"), state.parked(), state.bodies.len()),
        (1_000, 1_000, 1_000)
    );
    assert!(state.circuits["a"].is_empty() && !state.behind.contains(&"a".to_owned()));
    assert_eq!(state.wakeups.len(), 1);
    assert_eq!(bench.partition.tombstones().await.unwrap(), ["a"]);

    bench.partition.remove(&id("b")).await.unwrap();
    let state = bench.sound(&["a", "b"]).await;
    assert_eq!((state.parked(), state.bodies.len(), state.refs.len()), (0, 0, 0));
}

#[tokio::test]
async fn nothing_is_parked_for_a_removed_subscription() {
    let bench = Bench::start().await;
    bench.partition.remove(&id("a")).await.unwrap();
    for verdict in [
        Verdict::Unavailable,
        Verdict::NotTried,
        Verdict::Behind,
        Verdict::WaitedTooLong,
        Verdict::Refused,
        Verdict::GivenUp,
    ] {
        bench.put("a", verdict, NOW, 1).await;
    }
    bench.put("a", Verdict::Delivered, NOW, 1).await;
    let state = bench.sound(&["a"]).await;
    let total = |name| state.total(name);
    assert_eq!((total("wanted"), total("dropped"), total("delivered")), (7, 6, 1));
    assert!(state.circuits["a"].is_empty() && state.queues["a"].is_empty() && state.dead.is_empty());
    assert!(!bench.partition.set_suspended(&id("a"), 9, true).await.unwrap());
    assert!(!bench.partition.wake(&id("a"), Wake::Fresh).await.unwrap().reinjected);
    assert!(bench.sound(&["a"]).await.circuits["a"].is_empty());
}

#[tokio::test]
async fn a_drain_that_is_under_way_leaves_nothing_behind() {
    let bench = Bench::start().await;
    let members = bench.put("a", Verdict::Behind, NOW, 2).await;
    let redelivery = bench.take("w1").await;
    bench.partition.remove(&id("a")).await.unwrap();
    bench.sound(&["a"]).await;
    assert_eq!(bench.partition.delivered(&redelivery, &members).await.unwrap().left, 0);
    bench.fail(&redelivery, failure(members[0], NOW, None)).await;
    bench.partition.remove(&id("a")).await.unwrap();
    let state = bench.sound(&["a"]).await;
    assert!(state.circuits["a"].is_empty() && state.redeliveries.is_empty() && state.wakeups.is_empty());
}

#[tokio::test]
async fn tombstones_are_swept_by_age() {
    let bench = Bench::start().await;
    bench.partition.remove(&id("a")).await.unwrap();
    let now = bench.now().await;
    assert_eq!(bench.partition.sweep_tombstones(now - 60_000).await.unwrap(), 0);
    assert_eq!(bench.partition.sweep_tombstones(now + 60_000).await.unwrap(), 1);
    assert!(bench.partition.tombstones().await.unwrap().is_empty());
}

#[tokio::test]
async fn the_whole_removal_takes_one_call() {
    let bench = Bench::start().await;
    let destination = "http://127.0.0.1:9/".parse().unwrap();
    let subscription =
        holdfast::domain::subscription::Subscription::new(id("a"), destination, "2026-11-23T04:00:00Z".to_owned());
    bench.store.add_subscription(subscription).await.unwrap();
    bench.put("a", Verdict::Unavailable, Duration::from_secs(5), 3).await;
    assert!(bench.store.remove_subscription(&id("a")).await.unwrap());
    assert!(
        !bench.store.remove_subscription(&id("a")).await.unwrap(),
        "a repeat finds none"
    );
    assert!(bench.store.registry().await.unwrap().subscriptions.is_empty());
    assert_eq!(bench.sound(&["a"]).await.total("dropped"), 3);
}
