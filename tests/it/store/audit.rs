//! The audit: what an operator's hand broke is found, repaired and counted; what is well is left alone.

use holdfast::store::drain::Finished;
use holdfast::store::events::Stream;
use holdfast::store::settle::Verdict;

use super::{Bench, LONG, NOW, due, id, names, outcome, settlement};

async fn audit(bench: &Bench) -> u64 {
    bench.partition.audit(&[id("a"), id("b")], |_| LONG).await.unwrap()
}

/// Drains everything that is parked for `a`.
async fn drain(bench: &Bench) {
    let redelivery = bench.take("w1").await;
    while bench.partition.finish(&redelivery).await.unwrap() == Finished::More {
        let parked = names(&due(bench.fetch(&redelivery, &[]).await));
        bench.partition.delivered(&redelivery, &parked).await.unwrap();
    }
    assert_eq!(bench.sound(&["a", "b"]).await.queues["a"].len(), 0);
}

#[tokio::test]
async fn what_is_well_is_left_alone() {
    let bench = Bench::start().await;
    bench.put("a", Verdict::Unavailable, LONG, 2).await;
    bench.put("b", Verdict::Behind, NOW, 2).await;
    bench.take("w1").await;
    bench.partition.set_suspended(&id("c"), 1, true).await.unwrap();
    bench.put("c", Verdict::Behind, NOW, 1).await;
    let before = format!("{:?}", bench.sound(&["a", "b", "c"]).await);
    for _ in 0..3 {
        let repaired = bench
            .partition
            .audit(&[id("a"), id("b"), id("c"), id("d")], |_| LONG)
            .await
            .unwrap();
        assert_eq!(repaired, 0);
    }
    assert_eq!(format!("{:?}", bench.sound(&["a", "b", "c"]).await), before);
}

#[tokio::test]
async fn a_redelivery_that_nobody_read_yet_is_not_doubled() {
    let bench = Bench::start().await;
    bench.put("a", Verdict::Behind, NOW, 1).await;
    bench.partition.reinject().await.unwrap();
    for _ in 0..5 {
        // However long that takes: nothing may be published, or every drain has its hands full.
        assert_eq!(audit(&bench).await, 0);
    }
    let waiting = bench.read("w1", Stream::Redeliveries).await;
    assert_eq!(waiting.len(), 1);
    assert_eq!(audit(&bench).await, 0);
    let redelivery = super::redelivery(&waiting[0], "w1");
    assert_eq!(due(bench.fetch(&redelivery, &[]).await).len(), 1);
}

#[tokio::test]
async fn a_deleted_wake_up_is_made_again() {
    let bench = Bench::start().await;
    bench.put("a", Verdict::Unavailable, LONG, 2).await;
    let _: i64 = bench.raw(&["DEL", &bench.key("wakeups")]).await;
    assert_eq!((audit(&bench).await, audit(&bench).await), (1, 0));
    drain(&bench).await;
}

#[tokio::test]
async fn a_deleted_redelivery_is_made_again() {
    let bench = Bench::start().await;
    bench.put("a", Verdict::Behind, NOW, 2).await;
    let redelivery = bench.take("w1").await;
    let _: i64 = bench
        .raw(&["XDEL", &bench.key("redeliveries"), &redelivery.id.to_string()])
        .await;
    assert_eq!((audit(&bench).await, audit(&bench).await), (1, 0));
    drain(&bench).await;
}

#[tokio::test]
async fn an_acknowledged_redelivery_is_made_again() {
    let bench = Bench::start().await;
    bench.put("a", Verdict::Behind, NOW, 2).await;
    let redelivery = bench.take("w1").await;
    let _: i64 = bench
        .raw(&[
            "XACK",
            &bench.key("redeliveries"),
            "workers",
            &redelivery.id.to_string(),
        ])
        .await;
    assert_eq!((audit(&bench).await, audit(&bench).await), (1, 0));
    drain(&bench).await;
    assert!(bench.sound(&["a"]).await.redeliveries.is_empty());
}

#[tokio::test]
async fn a_note_of_a_redelivery_that_never_was_is_cleared() {
    let bench = Bench::start().await;
    bench.put("a", Verdict::Unavailable, LONG, 1).await;
    let _: i64 = bench.raw(&["DEL", &bench.key("wakeups")]).await;
    let _: i64 = bench.raw(&["HSET", &bench.key("circuit:a"), "entry", "oops"]).await;
    assert_eq!(audit(&bench).await, 1);
    drain(&bench).await;
}

#[tokio::test]
async fn a_deleted_circuit_is_repaired() {
    let bench = Bench::start().await;
    bench.put("a", Verdict::Behind, NOW, 2).await;
    bench.take("w1").await;
    let _: i64 = bench.raw(&["DEL", &bench.key("circuit:a")]).await;
    assert!(audit(&bench).await > 0);
    drain(&bench).await;
    assert!(!bench.is_behind("a").await);
}

#[tokio::test]
async fn being_behind_is_noted_in_both_places_again() {
    let bench = Bench::start().await;
    bench.put("a", Verdict::Unavailable, LONG, 1).await;
    let _: i64 = bench.raw(&["DEL", &bench.key("behind")]).await;
    assert_eq!(audit(&bench).await, 1);
    assert!(bench.is_behind("a").await);
    let _: i64 = bench.raw(&["HDEL", &bench.key("circuit:a"), "behind"]).await;
    assert_eq!(audit(&bench).await, 1);
    bench.sound(&["a"]).await;
}

#[tokio::test]
async fn bodies_without_holders_go_and_the_books_balance() {
    let bench = Bench::start().await;
    let mut batch = Vec::new();
    for n in 0..400 {
        let event = bench.publish(&format!("{n}")).await;
        let outcomes = ["a", "b"].map(|name| outcome(name, Verdict::Unavailable, LONG));
        let count = if n % 2 == 0 { 2 } else { 1 };
        batch.push(settlement(event, outcomes[..count].to_vec()));
    }
    bench.read("w1", Stream::Events).await;
    bench.settle("w1", &batch).await;
    let _: i64 = bench.raw(&["DEL", &bench.key("retry:a")]).await;
    assert!(audit(&bench).await > 0);
    let state = bench.sound(&["a", "b"]).await;
    assert_eq!((state.bodies.len(), state.refs.len(), state.parked()), (200, 0, 200));
    assert_eq!((state.total("dropped"), audit(&bench).await), (400, 0));

    let _: i64 = bench.raw(&["DEL", &bench.key("retry:b")]).await;
    audit(&bench).await;
    assert!(bench.sound(&["a", "b"]).await.bodies.is_empty());
}

#[tokio::test]
async fn bodies_of_subscriptions_that_the_auditor_does_not_know_are_kept() {
    let bench = Bench::start().await;
    bench.put("gone", Verdict::Behind, NOW, 1).await;
    bench.put("refused", Verdict::Refused, NOW, 1).await;
    bench.partition.reinject().await.unwrap();
    bench.put("waiting", Verdict::Refused, LONG, 1).await;
    bench.partition.set_suspended(&id("off"), 1, true).await.unwrap();
    bench.put("off", Verdict::Behind, NOW, 1).await;
    let _: i64 = bench.raw(&["DEL", &bench.key("retry:gone")]).await;
    audit(&bench).await;
    let state = bench.sound(&["refused", "waiting", "off"]).await;
    assert_eq!((state.bodies.len(), state.parked()), (3, 3));
}
