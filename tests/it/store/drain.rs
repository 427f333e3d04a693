//! Drains: what a fetch gives, how each answer changes queue and circuit, and what zombies can not do.

use holdfast::domain::ids::Member;
use holdfast::store::circuits::Wake;
use holdfast::store::drain::{Failure, Fetched, Finished, Redelivery, RefusedAs};
use holdfast::store::settle::Verdict;

use super::{Bench, LONG, NOW, due, failure, id, names};

/// A subscription with so many parked and its circuit open, and the redelivery that probes it.
pub(super) async fn probing(bench: &Bench, count: usize) -> (Redelivery, Vec<Member>) {
    let members = bench.put("a", Verdict::Unavailable, NOW, count).await;
    (bench.take("w1").await, members)
}

/// The same, with its circuit closed.
pub(super) async fn draining(bench: &Bench, count: usize) -> (Redelivery, Vec<Member>) {
    let members = bench.put("a", Verdict::Behind, NOW, count).await;
    (bench.take("w1").await, members)
}

#[tokio::test]
async fn of_many_that_are_held_most_are_counted_rather_than_named() {
    let bench = Bench::start().await;
    let (redelivery, members) = draining(&bench, 350).await;
    let next = due(bench.fetch(&redelivery, &members[..300]).await);
    assert_eq!(names(&next), members[300..], "beyond what is held");
    assert!(matches!(bench.fetch(&redelivery, &members).await, Fetched::Empty));
    bench.partition.delivered(&redelivery, &members[..200]).await.unwrap();
    let next = due(bench.fetch(&redelivery, &members[200..340]).await);
    assert_eq!(names(&next), members[340..]);
}

#[tokio::test]
async fn an_open_circuit_gives_one_probe_and_a_2xx_frees_the_rest() {
    let bench = Bench::start().await;
    let (redelivery, members) = probing(&bench, 5).await;
    let Fetched::Due {
        probe,
        parked,
        failures,
        suspects,
        ..
    } = bench.fetch(&redelivery, &[]).await
    else {
        panic!("a probe is due");
    };
    assert_eq!(
        (probe, names(&parked), failures, suspects),
        (true, members[..1].to_vec(), 1, Vec::new())
    );
    assert_eq!(parked[0].attempts, 1);

    let delivered = bench.partition.delivered(&redelivery, &members[..1]).await.unwrap();
    assert!(delivered.closed && !delivered.lost && delivered.left == 1);
    assert!(bench.is_behind("a").await && !bench.is_open("a").await, "draining");
    let parked = due(bench.fetch(&redelivery, &members[1..3]).await);
    assert_eq!(names(&parked), members[3..], "beyond what is held");
    assert!(matches!(bench.fetch(&redelivery, &members).await, Fetched::Empty));

    let delivered = bench.partition.delivered(&redelivery, &members).await.unwrap();
    assert!(!delivered.closed && delivered.left == 4);
    assert_eq!(bench.partition.finish(&redelivery).await.unwrap(), Finished::Done);
    let state = bench.sound(&["a"]).await;
    assert!(!bench.is_behind("a").await);
    assert_eq!(
        (state.parked(), state.redeliveries.len(), state.total("delivered")),
        (0, 0, 5)
    );
}

#[tokio::test]
async fn workers_that_live_are_counted() {
    let bench = Bench::start().await;
    let (redelivery, _) = draining(&bench, 1).await;
    for worker in ["w1", "w2", "w3"] {
        bench.partition.heartbeat(worker).await.unwrap();
    }
    bench.partition.leave("w3").await.unwrap();
    let Fetched::Due { workers, .. } = bench.fetch(&redelivery, &[]).await else {
        panic!("something is due");
    };
    assert_eq!(workers, 2);
}

#[tokio::test]
async fn a_redelivery_that_is_not_ours_or_not_the_last_gives_nothing() {
    let bench = Bench::start().await;
    let (redelivery, members) = draining(&bench, 2).await;
    let peer = bench.rob(&redelivery, "w2").await;
    assert!(matches!(bench.fetch(&redelivery, &[]).await, Fetched::Lost));
    assert_eq!(names(&due(bench.fetch(&peer, &[]).await)), members);

    // A hand removed the note of it and woke the subscription: a second redelivery is out.
    let _: i64 = bench.raw(&["HDEL", &bench.key("circuit:a"), "entry"]).await;
    assert!(bench.partition.wake(&id("a"), Wake::Fresh).await.unwrap().reinjected);
    assert!(matches!(bench.fetch(&peer, &[]).await, Fetched::Done), "stale");
    let state = bench.sound(&["a"]).await;
    assert_eq!((state.redeliveries.len(), state.redeliveries_pending.len()), (1, 0));
}

#[tokio::test]
async fn a_suspended_or_removed_subscription_ends_its_redelivery() {
    let bench = Bench::start().await;
    let (redelivery, _) = draining(&bench, 2).await;
    bench.partition.set_suspended(&id("a"), 1, true).await.unwrap();
    bench.sound(&["a"]).await;
    assert!(matches!(bench.fetch(&redelivery, &[]).await, Fetched::Done));
    assert!(bench.sound(&["a"]).await.redeliveries.is_empty());

    bench.partition.set_suspended(&id("a"), 2, false).await.unwrap();
    let redelivery = bench.take("w1").await;
    bench.partition.remove(&id("a")).await.unwrap();
    assert!(matches!(bench.fetch(&redelivery, &[]).await, Fetched::Done));
    let state = bench.sound(&["a"]).await;
    assert!(state.redeliveries.is_empty() && state.circuits["a"].is_empty());
}

#[tokio::test]
async fn the_floor_holds_for_a_redelivery_that_is_out_already() {
    let bench = Bench::start().await;
    let (redelivery, _) = probing(&bench, 1).await;
    let until = (bench.now().await + 600_000).to_string();
    let _: i64 = bench
        .raw(&["HSET", &bench.key("circuit:a"), "not_before", &until])
        .await;
    assert!(matches!(bench.fetch(&redelivery, &[]).await, Fetched::Done));
    assert_eq!(bench.wakeup("a").await.map(|at| at.to_string()), Some(until));
    bench.sound(&["a"]).await;
}

#[tokio::test]
async fn a_floor_that_comes_during_a_drain_leaves_the_redelivery_to_what_it_holds() {
    let bench = Bench::start().await;
    let (redelivery, members) = draining(&bench, 4).await;
    let until = (bench.now().await + 600_000).to_string();
    let _: i64 = bench
        .raw(&["HSET", &bench.key("circuit:a"), "open", "1", "not_before", &until])
        .await;
    assert!(matches!(bench.fetch(&redelivery, &members[..2]).await, Fetched::Rest));
    assert_eq!(bench.circuit("a").await["entry"], redelivery.id.to_string());
    assert!(
        matches!(bench.fetch(&redelivery, &[]).await, Fetched::Done),
        "it holds nothing more"
    );
    assert_eq!(bench.wakeup("a").await.map(|at| at.to_string()), Some(until));
    bench.sound(&["a"]).await;
}

#[tokio::test]
async fn a_probe_with_nothing_due_waits_for_what_is_due_first() {
    let bench = Bench::start().await;
    let (redelivery, members) = probing(&bench, 1).await;
    let later = (bench.now().await + 300_000).to_string();
    let _: i64 = bench
        .raw(&["ZADD", &bench.key("retry:a"), "XX", &later, &members[0].to_string()])
        .await;
    assert!(matches!(bench.fetch(&redelivery, &[]).await, Fetched::Done));
    assert_eq!(bench.wakeup("a").await.map(|at| at.to_string()), Some(later));
    bench.sound(&["a"]).await;
}

#[tokio::test]
async fn a_failure_opens_the_circuit_and_only_it_makes_the_wait_longer() {
    let bench = Bench::start().await;
    let (redelivery, members) = draining(&bench, 3).await;
    let failed = bench.fail(&redelivery, failure(members[0], LONG, Some(500))).await;
    assert!(failed.opened && !failed.lost && !failed.buried);
    assert_eq!(failed.attempts, 1);
    assert!(failed.next_in.is_some_and(|ms| ms > 500_000));
    let state = bench.sound(&["a"]).await;
    assert_eq!((state.parked(), state.redeliveries.len()), (3, 0));
    assert_eq!(state.circuits["a"]["failures"], "1");

    let again = bench.fail(&redelivery, failure(members[0], NOW, Some(500))).await;
    assert!(again.lost, "a repeat after a lost reply changes nothing");
    assert_eq!(bench.sound(&["a"]).await.circuits["a"]["failures"], "1");
}

#[tokio::test]
async fn attempts_are_used_up_where_a_limit_was_set() {
    let bench = Bench::start().await;
    let (redelivery, members) = draining(&bench, 1).await;
    let limited = |max_attempts| Failure {
        max_attempts,
        ..failure(members[0], NOW, None)
    };
    assert!(!bench.fail(&redelivery, limited(2)).await.buried);
    let redelivery = bench.take("w1").await;
    let failed = bench.fail(&redelivery, limited(2)).await;
    assert!(failed.buried && failed.attempts == 2 && failed.next_in.is_none());
    let state = bench.sound(&["a"]).await;
    assert_eq!((state.parked(), state.dead.len()), (0, 1));
    assert!(!bench.is_behind("a").await, "an empty queue closes the circuit");
}

#[tokio::test]
async fn zombies_change_nothing_but_report_what_was_delivered() {
    let bench = Bench::start().await;
    let (redelivery, members) = draining(&bench, 4).await;
    bench.rob(&redelivery, "w2").await;
    let before = format!("{:?}", bench.sound(&["a"]).await);
    assert!(bench.fail(&redelivery, failure(members[0], NOW, None)).await.lost);
    assert_eq!(
        bench.refuse(&redelivery, members[0], NOW).await,
        (RefusedAs::Lost, false)
    );
    assert_eq!(bench.partition.finish(&redelivery).await.unwrap(), Finished::Lost);
    bench.partition.leave_drain(&redelivery).await.unwrap();
    assert!(!bench.partition.bury(&redelivery, members[0], "x", "y").await.unwrap());
    assert_eq!(format!("{:?}", bench.sound(&["a"]).await), before);

    let delivered = bench.partition.delivered(&redelivery, &members[..2]).await.unwrap();
    assert!(delivered.lost && !delivered.closed && delivered.left == 2);
    assert_eq!(bench.sound(&["a"]).await.parked(), 2);
    let repeated = bench.partition.delivered(&redelivery, &members[..2]).await.unwrap();
    assert_eq!(repeated.left, 0);
    assert_eq!(bench.sound(&["a"]).await.total("delivered"), 2);
}

#[tokio::test]
async fn a_zombies_2xx_wakes_those_behind() {
    let bench = Bench::start().await;
    let (redelivery, members) = probing(&bench, 2).await;
    let peer = bench.rob(&redelivery, "w2").await;
    bench.fail(&peer, failure(members[0], LONG, None)).await;
    assert!(bench.wakeup("a").await > Some(bench.now().await));
    bench.partition.delivered(&redelivery, &members[..1]).await.unwrap();
    assert!(bench.wakeup("a").await <= Some(bench.now().await));
    bench.sound(&["a"]).await;
}

#[tokio::test]
async fn finishing_sees_what_was_parked_in_between() {
    let bench = Bench::start().await;
    let (redelivery, members) = draining(&bench, 1).await;
    bench.partition.delivered(&redelivery, &members).await.unwrap();
    assert!(matches!(bench.fetch(&redelivery, &[]).await, Fetched::Empty));
    let late = bench.put("a", Verdict::Behind, NOW, 1).await;
    assert_eq!(bench.partition.finish(&redelivery).await.unwrap(), Finished::More);
    assert_eq!(names(&due(bench.fetch(&redelivery, &[]).await)), late);
    bench.partition.delivered(&redelivery, &late).await.unwrap();
    let refused = bench.put("a", Verdict::Refused, LONG, 1).await;
    assert_eq!(bench.partition.finish(&redelivery).await.unwrap(), Finished::Done);
    let state = bench.sound(&["a"]).await;
    assert!(!bench.is_behind("a").await);
    let due_at = state.queues["a"][&refused[0].to_string()];
    assert!((state.wakeups["a"] - due_at).abs() < 1.0, "woken when the rest is due");
}

#[tokio::test]
async fn leaving_makes_what_is_due_due_for_the_others() {
    let bench = Bench::start().await;
    let (redelivery, members) = draining(&bench, 1).await;
    bench.partition.leave_drain(&redelivery).await.unwrap();
    assert!(bench.wakeup("a").await <= Some(bench.now().await));
    assert!(bench.sound(&["a"]).await.redeliveries.is_empty());

    let redelivery = bench.take("w2").await;
    bench.partition.delivered(&redelivery, &members).await.unwrap();
    bench.partition.leave_drain(&redelivery).await.unwrap();
    let state = bench.sound(&["a"]).await;
    assert!(!bench.is_behind("a").await && state.wakeups.is_empty());
}

#[tokio::test]
async fn what_can_not_be_sent_is_buried_alone() {
    let bench = Bench::start().await;
    let (redelivery, members) = draining(&bench, 2).await;
    let _: i64 = bench
        .raw(&["HDEL", &bench.key("bodies"), &members[0].to_string()])
        .await;
    let parked = due(bench.fetch(&redelivery, &[]).await);
    assert_eq!((parked[0].body.is_none(), parked[1].body.is_some()), (true, true));
    assert!(
        bench
            .partition
            .bury(&redelivery, members[0], "undeliverable", "no body")
            .await
            .unwrap()
    );
    assert!(
        !bench
            .partition
            .bury(&redelivery, members[0], "undeliverable", "no body")
            .await
            .unwrap()
    );
    let state = bench.sound(&["a"]).await;
    assert_eq!((state.parked(), state.dead.len()), (1, 1));
}
