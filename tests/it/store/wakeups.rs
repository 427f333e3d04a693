//! Wake-ups: who may set them, who may make them earlier, and that each is moved exactly once.

use std::time::Duration;

use holdfast::domain::ids::{Member, SubscriptionId};
use holdfast::store::circuits::Wake;
use holdfast::store::events::Stream;
use holdfast::store::settle::{Outcome, Settlement, Verdict};
use tokio::task::JoinSet;

use super::{Bench, LONG, NOW, due, failure, id, names, outcome, settlement};

const SHORT: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_further_failure_changes_no_wake_up() {
    let bench = Bench::start().await;
    bench.put("a", Verdict::Unavailable, SHORT, 1).await;
    let first = bench.wakeup("a").await;
    bench.put("a", Verdict::Unavailable, LONG, 1).await;
    bench.put("a", Verdict::Unavailable, NOW, 1).await;
    bench.put("a", Verdict::Behind, NOW, 1).await;
    bench.put("a", Verdict::WaitedTooLong, NOW, 1).await;
    bench.put("a", Verdict::Refused, NOW, 1).await;
    assert_eq!(bench.wakeup("a").await, first);
    assert_eq!(bench.sound(&["a"]).await.parked(), 6);
}

#[tokio::test]
async fn a_refusal_that_is_due_sooner_makes_the_wake_up_sooner_and_never_later() {
    let bench = Bench::start().await;
    bench.put("a", Verdict::Refused, LONG, 1).await;
    let late = bench.wakeup("a").await;
    bench.put("a", Verdict::Refused, SHORT, 1).await;
    let soon = bench.wakeup("a").await;
    assert!(soon < late);
    bench.put("a", Verdict::Refused, LONG, 1).await;
    assert_eq!(bench.wakeup("a").await, soon);
}

#[tokio::test]
async fn a_success_wakes_whoever_is_behind_but_never_below_the_floor() {
    let bench = Bench::start().await;
    bench.put("a", Verdict::Unavailable, LONG, 1).await;
    bench.put("a", Verdict::Delivered, NOW, 1).await;
    assert!(bench.wakeup("a").await <= Some(bench.now().await));

    let event = bench.publish("one").await;
    bench.read("w1", Stream::Events).await;
    let floor = Outcome {
        floor: SHORT,
        ..outcome("b", Verdict::Unavailable, NOW)
    };
    let start = bench.now().await;
    bench.settle("w1", &[settlement(event, vec![floor])]).await;
    let sixty = i64::try_from(SHORT.as_millis()).unwrap();
    assert!(bench.wakeup("b").await >= Some(start + sixty), "Retry-After");
    bench.put("b", Verdict::Delivered, NOW, 1).await;
    assert!(!bench.partition.wake(&id("b"), Wake::Due).await.unwrap().reinjected);
    assert!(bench.wakeup("b").await >= Some(start + sixty), "nothing undercuts it");
    bench.sound(&["a", "b"]).await;

    let told = bench.partition.wake(&id("b"), Wake::Due).await.unwrap();
    assert!(told.due_in_ms.is_some_and(|wait| wait > 0), "{told:?}");
    let circuit = "holdfast:{0}:circuit:b";
    bench.redis.cli(&["HSET", circuit, "failures", "7", "refusals", "3"]);
    let told = bench.partition.wake(&id("b"), Wake::PastFloor).await.unwrap();
    assert!(told.reinjected, "but an operator may");
    let kept = ["failures", "refusals"].map(|field| bench.redis.cli(&["HGET", circuit, field]));
    assert_eq!(kept, ["7", "3"], "and the back-off stays");
    assert_eq!(bench.sound(&["a", "b"]).await.redeliveries.len(), 1);
}

#[tokio::test]
async fn the_longest_of_several_floors_holds() {
    let bench = Bench::start().await;
    for floor in [LONG, SHORT] {
        let event = bench.publish("one").await;
        bench.read("w1", Stream::Events).await;
        let told = Outcome {
            floor,
            ..outcome("a", Verdict::Unavailable, NOW)
        };
        bench.settle("w1", &[settlement(event, vec![told])]).await;
    }
    let not_before: i64 = bench.circuit("a").await["not_before"].parse().unwrap();
    assert!(not_before > bench.now().await + i64::try_from(SHORT.as_millis()).unwrap());
}

#[tokio::test]
async fn nothing_is_armed_for_the_empty_the_suspended_or_those_with_a_redelivery_out() {
    let bench = Bench::start().await;
    assert!(
        !bench
            .partition
            .wake(&id("empty"), Wake::Fresh)
            .await
            .unwrap()
            .reinjected
    );
    assert_eq!(bench.wakeup("empty").await, None);

    bench.partition.set_suspended(&id("off"), 1, true).await.unwrap();
    for verdict in [
        Verdict::Unavailable,
        Verdict::Behind,
        Verdict::WaitedTooLong,
        Verdict::Refused,
    ] {
        bench.put("off", verdict, NOW, 1).await;
    }
    assert!(!bench.partition.wake(&id("off"), Wake::Fresh).await.unwrap().reinjected);
    assert_eq!(bench.wakeup("off").await, None);

    bench.put("out", Verdict::Unavailable, NOW, 1).await;
    let redelivery = bench.take("w1").await;
    assert_eq!(redelivery.subscription, id("out"));
    for verdict in [
        Verdict::Unavailable,
        Verdict::Behind,
        Verdict::WaitedTooLong,
        Verdict::Refused,
    ] {
        bench.put("out", verdict, NOW, 1).await;
    }
    bench.put("out", Verdict::Delivered, NOW, 1).await;
    assert!(!bench.partition.wake(&id("out"), Wake::Fresh).await.unwrap().reinjected);
    assert_eq!(bench.wakeup("out").await, None);
    bench.sound(&["empty", "off", "out"]).await;
}

#[tokio::test]
async fn ten_schedulers_move_each_wake_up_once() {
    let bench = Bench::start().await;
    let names: Vec<String> = (0..500).map(|n| format!("s{n}")).collect();
    let all: Vec<&str> = names.iter().map(String::as_str).collect();
    let events = [bench.publish("x").await, bench.publish("y").await];
    bench.read("w1", Stream::Events).await;
    let batch: Vec<Settlement> = events
        .iter()
        .zip(names.chunks(250))
        .map(|(event, names)| {
            let outcomes = names
                .iter()
                .map(|name| outcome(name, Verdict::WaitedTooLong, NOW))
                .collect();
            settlement(*event, outcomes)
        })
        .collect();
    bench.settle("w1", &batch).await;

    let mut schedulers = JoinSet::new();
    for _ in 0..10 {
        let partition = std::sync::Arc::clone(&bench.partition);
        schedulers.spawn(async move {
            let mut moved = 0;
            for _ in 0..5 {
                moved += partition.reinject().await.unwrap().lateness.len();
            }
            moved
        });
    }
    let moved: usize = schedulers.join_all().await.into_iter().sum();
    let state = bench.sound(&all).await;
    assert_eq!((moved, state.redeliveries.len(), state.wakeups.len()), (500, 500, 0));
    let out: std::collections::BTreeSet<&String> = state.redeliveries.values().collect();
    assert_eq!(out.len(), 500, "one each");
}

#[tokio::test]
async fn the_scheduler_is_told_when_to_come_again() {
    let bench = Bench::start().await;
    let idle = bench.partition.reinject().await.unwrap();
    assert_eq!((idle.next_in, idle.waiting), (None, 0));
    bench.put("a", Verdict::Unavailable, SHORT, 1).await;
    bench.put("b", Verdict::Unavailable, LONG, 1).await;
    bench.put("c", Verdict::Behind, LONG, 1).await;
    let step = bench.partition.reinject().await.unwrap();
    assert_eq!((step.lateness.len(), step.waiting), (1, 2));
    assert!(step.next_in.is_some_and(|ms| ms > 30_000 && ms <= 60_000), "{step:?}");
}

#[tokio::test]
async fn a_wake_re_injects_in_the_same_step() {
    let bench = Bench::start().await;
    assert!(
        !bench.partition.wake(&id("a"), Wake::Due).await.unwrap().reinjected,
        "not behind"
    );
    bench.put("a", Verdict::Unavailable, LONG, 1).await;
    assert!(bench.partition.wake(&id("a"), Wake::Due).await.unwrap().reinjected);
    let state = bench.sound(&["a"]).await;
    assert_eq!((state.redeliveries.len(), state.wakeups.len()), (1, 0));
    assert!(
        !bench.partition.wake(&id("a"), Wake::Due).await.unwrap().reinjected,
        "one is out already"
    );
    assert_eq!(bench.sound(&["a"]).await.redeliveries.len(), 1);
}

#[tokio::test]
async fn a_new_destination_starts_without_back_off() {
    let bench = Bench::start().await;
    bench.put("a", Verdict::Unavailable, NOW, 1).await;
    let redelivery = bench.take("w1").await;
    let member = names(&due(bench.fetch(&redelivery, &[]).await))[0];
    let told = holdfast::store::drain::Failure {
        floor: LONG,
        ..failure(member, LONG, Some(503))
    };
    bench.fail(&redelivery, told).await;
    assert!(bench.partition.wake(&id("a"), Wake::Fresh).await.unwrap().reinjected);
    let circuit = bench.circuit("a").await;
    assert!(
        !circuit.contains_key("failures") && !circuit.contains_key("not_before"),
        "{circuit:?}"
    );
}

#[tokio::test]
async fn one_broken_circuit_holds_up_nobody_else() {
    let bench = Bench::start().await;
    bench.put("a", Verdict::Behind, NOW, 1).await;
    bench.put("b", Verdict::Behind, NOW, 1).await;
    let key = bench.key("circuit:a");
    let _: i64 = bench.raw(&["DEL", &key]).await;
    let _: String = bench.raw(&["SET", &key, "oops"]).await;
    let error = bench.partition.reinject().await.unwrap_err().to_string();
    assert!(error.contains("circuit:a is a string, not a hash"), "{error}");
    let entries = bench.read("w1", Stream::Redeliveries).await;
    let moved: Vec<SubscriptionId> = entries
        .iter()
        .map(|entry| super::redelivery(entry, "w1").subscription)
        .collect();
    assert_eq!(moved, [id("b")]);
    let _: i64 = bench.raw(&["DEL", &key]).await;
    assert_eq!(bench.partition.reinject().await.unwrap().lateness.len(), 1);
}

#[tokio::test]
async fn waiting_on_its_own_wakes_a_queue_that_is_behind_but_was_empty() {
    let bench = Bench::start().await;
    // A zombie's 2xx emptied the queue, and the wake-up that was left went by.
    let members: Vec<Member> = bench.put("a", Verdict::Behind, NOW, 1).await;
    let redelivery = bench.take("w1").await;
    bench.rob(&redelivery, "w2").await;
    bench.partition.delivered(&redelivery, &members).await.unwrap();
    assert!(bench.is_behind("a").await);
    let _: i64 = bench.raw(&["HDEL", &bench.key("circuit:a"), "entry"]).await;
    bench.put("a", Verdict::WaitedTooLong, NOW, 1).await;
    assert!(bench.wakeup("a").await.is_some());
}
