//! Suspending and resuming: versions, what is kept, and what is woken.

use holdfast::store::circuits::Wake;
use holdfast::store::drain::{Failure, Fetched, Finished};
use holdfast::store::settle::Verdict;

use crate::support::wait_until;

use super::{Bench, LONG, NOW, due, failure, id, names};

#[tokio::test]
async fn only_newer_versions_take_effect() {
    let bench = Bench::start().await;
    let set = async |version, suspended| {
        let applied = bench
            .partition
            .set_suspended(&id("a"), version, suspended)
            .await
            .unwrap();
        (applied, bench.circuit("a").await.contains_key("suspended"))
    };
    assert_eq!(set(5, true).await, (true, true));
    assert_eq!(set(5, false).await, (false, true));
    assert_eq!(set(4, false).await, (false, true));
    assert_eq!(set(6, false).await, (true, false));
    assert_eq!(
        set(5, true).await,
        (false, false),
        "a late message of a change that is over"
    );
    bench.sound(&["a"]).await;
}

#[tokio::test]
async fn since_when_it_is_suspended_is_kept_until_it_is_resumed() {
    let bench = Bench::start().await;
    let since = async || {
        let (_, rows) = bench.partition.census(&["a"]).await.unwrap();
        (
            rows[0].suspended,
            rows[0].suspended_since_ms.map(|at| i64::try_from(at).unwrap()),
        )
    };
    let before = bench.now().await;
    bench.partition.set_suspended(&id("a"), 1, true).await.unwrap();
    let (suspended, first) = since().await;
    assert!(suspended && first.is_some_and(|at| at >= before), "{first:?} {before}");
    wait_until("Redis' clock went on", LONG, async || Some(bench.now().await) > first).await;
    bench.partition.set_suspended(&id("a"), 2, true).await.unwrap();
    assert_eq!(since().await, (true, first));
    bench.partition.set_suspended(&id("a"), 3, false).await.unwrap();
    assert_eq!(since().await, (false, None));
    // As a version wrote it that did not note the time.
    bench.redis.cli(&["HSET", "holdfast:{0}:circuit:a", "suspended", "1"]);
    assert_eq!(since().await, (true, None));
}

#[tokio::test]
async fn a_suspended_subscription_keeps_what_comes_and_sends_nothing() {
    let bench = Bench::start().await;
    bench.put("a", Verdict::Unavailable, LONG, 2).await;
    bench.partition.set_suspended(&id("a"), 1, true).await.unwrap();
    bench.put("a", Verdict::Behind, NOW, 3).await;
    bench.put("a", Verdict::Delivered, NOW, 1).await;
    let state = bench.sound(&["a"]).await;
    assert_eq!((state.parked(), state.wakeups.len()), (5, 0));
    assert!(bench.is_behind("a").await, "new events are parked");

    bench.partition.set_suspended(&id("a"), 2, false).await.unwrap();
    assert!(bench.wakeup("a").await <= Some(bench.now().await));
    let redelivery = bench.take("w1").await;
    assert!(matches!(
        bench.fetch(&redelivery, &[]).await,
        Fetched::Due { probe: true, .. }
    ));
    bench.sound(&["a"]).await;
}

#[tokio::test]
async fn resuming_with_nothing_parked_ends_being_behind() {
    let bench = Bench::start().await;
    bench.partition.set_suspended(&id("a"), 1, true).await.unwrap();
    assert!(bench.is_behind("a").await);
    bench.partition.set_suspended(&id("a"), 2, false).await.unwrap();
    assert!(!bench.is_behind("a").await);
    let state = bench.sound(&["a"]).await;
    assert_eq!(state.wakeups.len(), 0);
}

#[tokio::test]
async fn resuming_with_only_later_deliveries_wakes_when_they_are_due() {
    let bench = Bench::start().await;
    bench.put("a", Verdict::Refused, LONG, 1).await;
    let at = bench.wakeup("a").await;
    bench.partition.set_suspended(&id("a"), 1, true).await.unwrap();
    assert_eq!(bench.wakeup("a").await, None);
    bench.partition.set_suspended(&id("a"), 2, false).await.unwrap();
    assert_eq!(bench.wakeup("a").await, at);
    assert!(!bench.is_behind("a").await);
    bench.sound(&["a"]).await;
}

#[tokio::test]
async fn a_redelivery_that_is_out_ends_itself_and_what_is_left_is_kept() {
    let bench = Bench::start().await;
    let members = bench.put("a", Verdict::Behind, NOW, 2).await;
    let redelivery = bench.take("w1").await;
    assert_eq!(names(&due(bench.fetch(&redelivery, &[]).await)), members);
    bench.partition.set_suspended(&id("a"), 1, true).await.unwrap();
    // The request that was under way succeeds.
    let delivered = bench.partition.delivered(&redelivery, &members[..1]).await.unwrap();
    assert_eq!(delivered.left, 1);
    assert_eq!(bench.partition.finish(&redelivery).await.unwrap(), Finished::Done);
    let state = bench.sound(&["a"]).await;
    assert_eq!(
        (state.parked(), state.wakeups.len(), state.redeliveries.len()),
        (1, 0, 0)
    );
}

#[tokio::test]
async fn resumed_while_its_redelivery_is_out_it_goes_on() {
    let bench = Bench::start().await;
    bench.put("a", Verdict::Behind, NOW, 1).await;
    let redelivery = bench.take("w1").await;
    bench.partition.set_suspended(&id("a"), 1, true).await.unwrap();
    bench.partition.set_suspended(&id("a"), 2, false).await.unwrap();
    bench.sound(&["a"]).await;
    assert!(matches!(bench.fetch(&redelivery, &[]).await, Fetched::Due { .. }));
}

#[tokio::test]
async fn a_suspended_subscription_stays_behind_when_its_last_delivery_is_buried() {
    let bench = Bench::start().await;
    let members = bench.put("a", Verdict::Behind, NOW, 1).await;
    let redelivery = bench.take("w1").await;
    bench.partition.set_suspended(&id("a"), 1, true).await.unwrap();
    let last = Failure {
        max_attempts: 1,
        ..failure(members[0], NOW, None)
    };
    assert!(bench.fail(&redelivery, last).await.buried);
    assert!(bench.is_behind("a").await, "what comes is parked, not sent");
    bench.sound(&["a"]).await;
}

#[tokio::test]
async fn older_ones_are_not_buried_while_a_drain_may_be_sending_them() {
    let bench = Bench::start().await;
    bench.put("a", Verdict::Behind, NOW, 3).await;
    let redelivery = bench.take("w1").await;
    bench.partition.set_suspended(&id("a"), 1, true).await.unwrap();
    let bury = async || bench.store.bury_older(&id("a"), NOW).await.unwrap();
    assert_eq!(bury().await, None);
    assert_eq!(bench.sound(&["a"]).await.parked(), 3);
    bench.partition.finish(&redelivery).await.unwrap();
    assert_eq!(bury().await, Some(3));
    assert_eq!(bench.sound(&["a"]).await.total("dead_lettered"), 3);
}

#[tokio::test]
async fn a_fetch_for_a_suspended_one_leaves_the_redelivery_to_what_the_drain_still_holds() {
    let bench = Bench::start().await;
    let members = bench.put("a", Verdict::Behind, NOW, 3).await;
    let redelivery = bench.take("w1").await;
    let held = bench.partition.fetch(&redelivery, 2, LONG, std::iter::empty());
    let held = names(&due(held.await.unwrap()));
    assert_eq!(held, members[..2]);
    bench.partition.set_suspended(&id("a"), 1, true).await.unwrap();
    assert!(matches!(bench.fetch(&redelivery, &held).await, Fetched::Rest));
    let bury = async || bench.store.bury_older(&id("a"), NOW).await.unwrap();
    assert_eq!(bury().await, None, "they may be on their way");
    bench.partition.set_suspended(&id("a"), 2, false).await.unwrap();
    assert!(
        bench.partition.reinject().await.unwrap().lateness.is_empty(),
        "one drain is out"
    );
    bench.partition.set_suspended(&id("a"), 3, true).await.unwrap();
    bench.partition.delivered(&redelivery, &held).await.unwrap();
    assert_eq!(bench.partition.finish(&redelivery).await.unwrap(), Finished::Done);
    assert_eq!(bury().await, Some(1));
    bench.sound(&["a"]).await;
}

#[tokio::test]
async fn what_nobody_has_taken_yet_is_no_reason_to_wait() {
    let bench = Bench::start().await;
    bench.put("a", Verdict::Behind, NOW, 3).await;
    bench.partition.reinject().await.unwrap();
    bench.partition.set_suspended(&id("a"), 1, true).await.unwrap();
    assert_eq!(bench.store.bury_older(&id("a"), NOW).await.unwrap(), Some(3));
    bench.sound(&["a"]).await;
}

#[tokio::test]
async fn resumed_or_sent_elsewhere_its_attempts_are_forgotten() {
    let bench = Bench::start().await;
    let tried = async || {
        let tries: i64 = bench.raw(&["HLEN", &bench.key("tries:a")]).await;
        tries
    };
    bench.put("a", Verdict::Unavailable, LONG, 2).await;
    bench.partition.set_suspended(&id("a"), 1, true).await.unwrap();
    assert_eq!(tried().await, 2);
    bench.partition.set_suspended(&id("a"), 2, false).await.unwrap();
    assert_eq!(tried().await, 0);
    bench.put("a", Verdict::Refused, LONG, 1).await;
    bench.partition.set_suspended(&id("a"), 3, false).await.unwrap();
    bench.partition.wake(&id("a"), Wake::PastFloor).await.unwrap();
    assert_eq!(tried().await, 1, "it was not suspended, and goes where it went");
    bench.partition.wake(&id("a"), Wake::Fresh).await.unwrap();
    assert_eq!(tried().await, 0);
    bench.sound(&["a"]).await;
}
