//! Heartbeats and taking over from the dead: who is, who is not, and what is counted.

use std::time::Duration;

use holdfast::store::events::{Entry, Stream};
use holdfast::store::settle::Verdict;
use holdfast::store::workers::Claim;

use super::{Bench, LONG, NOW, outcome, settlement};

const AT_ONCE: Duration = Duration::ZERO;

/// The score of a worker's heartbeat, as a peer sees it.
async fn beat(bench: &Bench, worker: &str) -> f64 {
    let workers = bench.partition.heartbeat("observer").await.unwrap();
    workers.into_iter().find(|(name, _)| name == worker).unwrap().1
}

/// Takes over everything at once from a worker that is dead.
async fn claim(bench: &Bench, me: &str, dead: &str) -> (bool, u64, Vec<(Stream, Entry)>) {
    let observed = beat(bench, dead).await;
    match bench.partition.claim(me, dead, observed, AT_ONCE, 64).await.unwrap() {
        Claim::Claimed {
            finished,
            gone,
            entries,
        } => (finished, gone, entries),
        other => panic!("{dead} is dead, but {other:?}"),
    }
}

#[tokio::test]
async fn a_live_worker_is_not_robbed() {
    let bench = Bench::start().await;
    bench.publish("one").await;
    bench.read("w1", Stream::Events).await;
    bench.partition.heartbeat("w1").await.unwrap();
    let observed = beat(&bench, "w1").await;
    let fresh = bench.partition.claim("w2", "w1", observed, LONG, 64).await.unwrap();
    assert!(matches!(fresh, Claim::Alive));
    let moved = bench
        .partition
        .claim("w2", "w1", observed - 1.0, AT_ONCE, 64)
        .await
        .unwrap();
    assert!(
        matches!(moved, Claim::Alive),
        "its heartbeat moved since it was observed"
    );
    let left = bench.partition.claim("w2", "w1", 0.0, AT_ONCE, 64).await.unwrap();
    assert!(matches!(left, Claim::Alive), "it came back after it left");
    assert_eq!(bench.sound(&[]).await.events_pending[0].1, "w1");
}

#[tokio::test]
async fn a_worker_without_a_heartbeat_is_watched_first() {
    let bench = Bench::start().await;
    bench.publish("one").await;
    bench.read("w1", Stream::Events).await;
    assert!(bench.partition.consumers().await.unwrap().contains(&"w1".to_owned()));
    let ghost = bench.partition.claim("w2", "w1", 0.0, AT_ONCE, 64).await.unwrap();
    assert!(
        matches!(ghost, Claim::Alive),
        "somebody else took over: it is not brought back"
    );
    let first = bench.partition.claim("w2", "w1", -1.0, AT_ONCE, 64).await.unwrap();
    assert!(matches!(first, Claim::Watch));
    let second = bench.partition.claim("w2", "w1", 0.0, AT_ONCE, 64).await.unwrap();
    assert!(matches!(second, Claim::Alive), "a heartbeat was made for it");
    assert_eq!(claim(&bench, "w2", "w1").await.2.len(), 1);
}

#[tokio::test]
async fn the_entries_of_both_streams_are_taken_over_in_steps() {
    let bench = Bench::start().await;
    bench.put("a", Verdict::Behind, NOW, 1).await;
    bench.take("w1").await;
    for n in 0..5 {
        bench.publish(&format!("{n}")).await;
    }
    bench.read("w1", Stream::Events).await;
    bench.partition.leave("w1").await.unwrap();
    let step = async || match bench.partition.claim("w2", "w1", 0.0, LONG, 2).await.unwrap() {
        Claim::Claimed { finished, entries, .. } => (finished, entries),
        other => panic!("it left: {other:?}"),
    };
    let mut all = Vec::new();
    for expected in [(false, 3), (false, 2), (true, 1)] {
        let (finished, entries) = step().await;
        assert_eq!((finished, entries.len()), expected);
        all.extend(entries);
    }
    assert!(
        all.iter().all(|(_, entry)| entry.times == 1),
        "it left: they killed nobody"
    );
    assert_eq!(
        all.iter().filter(|(stream, _)| *stream == Stream::Redeliveries).count(),
        1
    );
    let event = &all.iter().find(|(stream, _)| *stream == Stream::Events).unwrap().1;
    assert_eq!(event.frame(), super::frame("0"), "with their fields");
    assert_eq!(bench.partition.consumers().await.unwrap(), ["w2"]);
    let workers = bench.partition.heartbeat("w2").await.unwrap();
    assert_eq!(
        workers.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(),
        ["w2"]
    );
    assert!(
        bench
            .sound(&["a"])
            .await
            .events_pending
            .iter()
            .all(|(_, owner)| owner == "w2")
    );
}

#[tokio::test]
async fn a_consumer_that_still_holds_something_is_never_deleted() {
    let bench = Bench::start().await;
    for _ in 0..3 {
        bench.publish("x").await;
    }
    bench.read("w1", Stream::Events).await;
    bench.partition.leave("w1").await.unwrap();
    bench.partition.claim("w2", "w1", 0.0, LONG, 1).await.unwrap();
    assert!(bench.partition.consumers().await.unwrap().contains(&"w1".to_owned()));
    assert_eq!(bench.sound(&[]).await.events_pending.len(), 3);
    let observed = bench.partition.heartbeat("w2").await.unwrap();
    assert!(observed.iter().any(|(name, _)| name == "w1"), "it goes on being seen");
}

#[tokio::test]
async fn an_entry_that_is_gone_from_its_stream_is_acknowledged_and_counted() {
    let bench = Bench::start().await;
    let (lost, kept) = (bench.publish("lost").await, bench.publish("kept").await);
    bench.read("w1", Stream::Events).await;
    bench.partition.heartbeat("w1").await.unwrap();
    let _: i64 = bench.raw(&["XDEL", &bench.key("events"), &lost.to_string()]).await;
    let (finished, gone, entries) = claim(&bench, "w2", "w1").await;
    assert_eq!((finished, gone, entries.len()), (true, 1, 1));
    assert_eq!(entries[0].1.id, kept);
    assert_eq!(bench.sound(&[]).await.events_pending.len(), 1);
}

#[tokio::test]
async fn a_count_rises_past_three_only_for_an_entry_that_was_alone_when_its_worker_died() {
    let bench = Bench::start().await;
    bench.publish("suspect").await;
    let entry = bench.read("w0", Stream::Events).await.remove(0);
    let mut seen = vec![entry.times];
    // Not alone: 2, 3 and no further; alone: one more each time.
    for (n, alone) in [false, false, false, true, true, false, true].into_iter().enumerate() {
        let (dead, next) = (format!("w{n}"), format!("w{}", n + 1));
        bench.partition.heartbeat(&dead).await.unwrap();
        if alone {
            bench.partition.mark_alone(&dead, entry.id).await.unwrap();
        }
        seen.push(claim(&bench, &next, &dead).await.2[0].1.times);
    }
    assert_eq!(seen, [1, 2, 3, 3, 4, 5, 5, 6]);
    let marks: i64 = bench.raw(&["HLEN", &bench.key("alone")]).await;
    assert_eq!(marks, 0, "a mark goes with the takeover");
}

#[tokio::test]
async fn leaving_is_not_dying() {
    let bench = Bench::start().await;
    bench.publish("suspect").await;
    let entry = bench.read("w0", Stream::Events).await.remove(0);
    let mut seen = Vec::new();
    for n in 0..5 {
        let (leaver, next) = (format!("w{n}"), format!("w{}", n + 1));
        bench.partition.mark_alone(&leaver, entry.id).await.unwrap();
        bench.partition.leave(&leaver).await.unwrap();
        seen.push(claim(&bench, &next, &leaver).await.2[0].1.times);
    }
    assert_eq!(seen, [1, 1, 1, 1, 1]);
}

#[tokio::test]
async fn a_mark_goes_with_the_settlement() {
    let bench = Bench::start().await;
    let event = bench.publish("suspect").await;
    bench.read("w1", Stream::Events).await;
    bench.partition.mark_alone("w1", event).await.unwrap();
    let mut done = settlement(event, vec![outcome("a", Verdict::Delivered, NOW)]);
    done.alone = true;
    bench.settle("w1", &[done]).await;
    let marks: i64 = bench.raw(&["HLEN", &bench.key("alone")]).await;
    assert_eq!(marks, 0);
}

#[tokio::test]
async fn a_clock_that_jumped_back_hides_no_dead_worker() {
    let bench = Bench::start().await;
    bench.publish("one").await;
    bench.read("w1", Stream::Events).await;
    let future = (bench.now().await + 3_600_000).to_string();
    let _: i64 = bench.raw(&["ZADD", &bench.key("workers"), &future, "w1"]).await;
    let observed = beat(&bench, "w1").await;
    let claimed = bench.partition.claim("w2", "w1", observed, LONG, 64).await.unwrap();
    assert!(matches!(claimed, Claim::Claimed { .. }), "{claimed:?}");
}

#[tokio::test]
async fn own_entries_that_were_lost_sight_of_are_found() {
    let bench = Bench::start().await;
    let ids = [
        bench.publish("1").await,
        bench.publish("2").await,
        bench.publish("3").await,
    ];
    bench.read("w1", Stream::Events).await;
    let partition = &bench.partition;
    let page = partition.pending_of(Stream::Events, "w1", NOW, None, 2).await.unwrap();
    assert_eq!(page, [(ids[0], 1), (ids[1], 1)]);
    let rest = partition
        .pending_of(Stream::Events, "w1", NOW, Some(ids[1]), 2)
        .await
        .unwrap();
    assert_eq!(rest, [(ids[2], 1)]);
    assert!(
        partition
            .pending_of(Stream::Events, "w1", LONG, None, 9)
            .await
            .unwrap()
            .is_empty()
    );
    assert!(partition.owns(Stream::Events, ids[0], "w1").await.unwrap());
    assert!(!partition.owns(Stream::Events, ids[0], "w2").await.unwrap());
    let entry = partition.entry(Stream::Events, ids[1], 1).await.unwrap().unwrap();
    assert_eq!(entry.frame(), super::frame("2"));
    let _: i64 = bench.raw(&["XDEL", &bench.key("events"), &ids[2].to_string()]).await;
    assert!(partition.entry(Stream::Events, ids[2], 1).await.unwrap().is_none());
    partition.forget(Stream::Events, ids[2]).await.unwrap();
    assert_eq!(bench.sound(&[]).await.events_pending.len(), 2);
}
