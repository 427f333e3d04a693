//! Limits of subscriptions: the oldest beyond them leave the queue, once, and everything else stays as it was.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use holdfast::domain::ids::{Member, StreamId};
use holdfast::domain::retention::Retention;
use holdfast::domain::units::Period;
use holdfast::store::dead_letters::Replayed;
use holdfast::store::drain::{Fetched, Finished};
use holdfast::store::events::Stream;
use holdfast::store::retention::{Bounds, Moved, Offer, Overflowing};
use holdfast::store::settle::Verdict;
use rstest::rstest;

use super::{Bench, LONG, NOW, due, failure, id, names, outcome, settlement};

fn keep(subscription: &str, keep: u64) -> Bounds {
    Bounds {
        subscription: id(subscription),
        limits: Retention {
            max_parked: Some(keep),
            ..Retention::default()
        },
        keep: Some(keep),
    }
}

/// Nothing is ever that old but what has a tiny id.
fn young(subscription: &str) -> Bounds {
    Bounds {
        subscription: id(subscription),
        limits: Retention {
            max_age: Some(Period::from_secs(3_600)),
            ..Retention::default()
        },
        keep: None,
    }
}

/// Moves everything beyond the bounds; answers how much, and in how many calls.
async fn bury(bench: &Bench, bounds: &Bounds) -> (Moved, usize) {
    let (mut all, mut from, mut calls) = (Moved::default(), Some(0), 0);
    while let Some(at) = from {
        let (moved, next) = bench.partition.bury_overflow(bounds, at).await.unwrap();
        assert!(moved.total() <= 256, "a script is bounded");
        all.too_many += moved.too_many;
        all.too_old += moved.too_old;
        (from, calls) = (next, calls + 1);
    }
    (all, calls)
}

async fn offer(bench: &Bench, bounds: &Bounds, worker: &str, lease: Duration) -> Option<Vec<Overflowing>> {
    match bench.partition.offer_overflow(bounds, 0, worker, lease).await.unwrap() {
        Offer::Busy => None,
        Offer::Lines { lines, .. } => Some(lines),
    }
}

/// Dead letters of all, oldest first.
async fn dead(bench: &Bench) -> Vec<(Option<StreamId>, String, String)> {
    let letters = bench.partition.dead_letters(None, 10_000).await.unwrap();
    letters
        .into_iter()
        .map(|letter| (letter.event, letter.reason, letter.error))
        .collect()
}

fn members(queue: &[String]) -> Vec<Member> {
    queue.iter().map(|member| member.parse().unwrap()).collect()
}

/// Events with ids set by hand, parked as being behind.
async fn put_by_hand(bench: &Bench, subscription: &str, ids: &[&str], verdict: Verdict) {
    for id in ids {
        let _: String = bench.raw(&["XADD", &bench.key("events"), id, "event", "{}"]).await;
    }
    for entry in bench.read("w1", Stream::Events).await {
        let outcomes = vec![outcome(subscription, verdict, LONG)];
        bench.settle("w1", &[settlement(entry.id, outcomes)]).await;
    }
}

#[tokio::test]
async fn the_oldest_beyond_the_number_become_dead_letters_in_bounded_steps() {
    let bench = Bench::start().await;
    let all = bench.put("a", Verdict::Behind, NOW, 700).await;
    bench.put("b", Verdict::Unavailable, LONG, 3).await;
    let (moved, calls) = bury(&bench, &keep("a", 100)).await;
    assert_eq!((moved.too_many, moved.too_old), (600, 0));
    assert!(calls >= 3, "{calls} calls for 600");
    assert_eq!(members(&bench.queue("a").await), all[600..]);
    let letters = dead(&bench).await;
    assert_eq!(letters.len(), 600);
    for (letter, member) in letters.iter().zip(&all) {
        assert_eq!(letter.0, Some(member.0), "oldest first");
        assert_eq!(letter.1, "limit: more than 100 parked");
    }
    let state = bench.sound(&["a", "b"]).await;
    assert_eq!((state.total("dead_lettered"), state.parked()), (600, 103));
    assert_eq!(bury(&bench, &keep("a", 100)).await.0, Moved::default());
}

#[tokio::test]
async fn several_at_once_move_each_delivery_once() {
    let bench = Bench::start().await;
    bench.put("a", Verdict::Behind, NOW, 600).await;
    let bounds = keep("a", 10);
    let all = futures::future::join_all((0..4).map(|_| bury(&bench, &bounds))).await;
    assert_eq!(all.iter().map(|(moved, _)| moved.total()).sum::<u64>(), 590);
    assert_eq!(bench.queue("a").await.len(), 10);
    assert_eq!(dead(&bench).await.len(), 590);
    bench.sound(&["a"]).await;
}

#[tokio::test]
async fn the_last_error_is_kept_and_shared_bodies_stay_for_the_others() {
    let bench = Bench::start().await;
    let event = bench.publish("shared").await;
    let tried = bench.publish("tried").await;
    bench.read("w1", Stream::Events).await;
    let both = ["a", "b"].map(|name| outcome(name, Verdict::Behind, NOW)).to_vec();
    bench.settle("w1", &[settlement(event, both)]).await;
    let mut outcomes = vec![outcome("a", Verdict::Unavailable, LONG)];
    outcomes[0].error = "connect: refused  by host".to_owned();
    bench.settle("w1", &[settlement(tried, outcomes)]).await;
    let (moved, _) = bury(&bench, &keep("a", 0)).await;
    assert_eq!(moved.too_many, 2);
    let errors: Vec<String> = dead(&bench).await.into_iter().map(|letter| letter.2).collect();
    assert_eq!(
        errors, ["connect: refused  by host"; 2],
        "one was never tried: why its queue stood"
    );
    let state = bench.sound(&["a", "b"]).await;
    assert_eq!((state.bodies.len(), state.refs.len()), (1, 0));
    let letters = bench.partition.dead_letters(None, 9).await.unwrap();
    assert_eq!(letters.iter().map(|letter| letter.attempts).collect::<Vec<_>>(), [0, 1]);
    assert!(letters.iter().all(|letter| letter.frame.is_some()));
}

#[tokio::test]
async fn age_goes_by_the_ids_whatever_the_due_time() {
    let bench = Bench::start().await;
    put_by_hand(&bench, "a", &["1-1", "1-2", "99-1"], Verdict::Behind).await;
    let refused: Vec<String> = (100..400).map(|n| format!("{n}-1")).collect();
    let refused: Vec<&str> = refused.iter().map(String::as_str).collect();
    put_by_hand(&bench, "a", &refused[..150], Verdict::Refused).await;
    // The circuit opened at the fifth refusal; this gives each a due time of its own again, in no order.
    for (at, member) in bench.queue("a").await.iter().enumerate().skip(3) {
        let at = (bench.now().await + 1_000_000 - i64::try_from(at).unwrap() * 7 % 1_000).to_string();
        let _: i64 = bench.raw(&["ZADD", &bench.key("retry:a"), &at, member]).await;
    }
    let now = bench.put("a", Verdict::Refused, LONG, 300).await;
    put_by_hand(&bench, "a", &["99999999999999-1"], Verdict::Behind).await;
    bench.sound(&["a"]).await;
    let (moved, _) = bury(&bench, &young("a")).await;
    assert_eq!((moved.too_old, moved.too_many), (153, 0));
    assert_eq!(
        bench.queue("a").await.len(),
        now.len() + 1,
        "what is young or from the future stays"
    );
    assert!(
        dead(&bench)
            .await
            .iter()
            .all(|letter| letter.1 == "limit: older than 1h")
    );
    bench.sound(&["a"]).await;
}

#[tokio::test]
async fn the_old_leave_before_the_too_many_are_counted() {
    let bench = Bench::start().await;
    put_by_hand(&bench, "a", &["1-1", "1-2", "1-3"], Verdict::Behind).await;
    bench.put("a", Verdict::Behind, NOW, 4).await;
    let mut bounds = young("a");
    (bounds.limits.max_parked, bounds.keep) = (Some(3), Some(3));
    let (moved, _) = bury(&bench, &bounds).await;
    assert_eq!((moved.too_old, moved.too_many), (3, 1));
    bench.sound(&["a"]).await;
}

#[tokio::test]
async fn a_drain_keeps_what_it_sends_and_a_probe_does_not() {
    let bench = Bench::start().await;
    let all = bench.put("a", Verdict::Behind, NOW, 300).await;
    let redelivery = bench.take("w1").await;
    let sending = names(&due(bench.fetch(&redelivery, &[]).await));
    bury(&bench, &keep("a", 10)).await;
    let left = members(&bench.queue("a").await);
    assert!(
        sending.iter().all(|member| left.contains(member)),
        "what is being sent stays"
    );
    assert_eq!(left.len(), 128, "and no more than a drain may hold");
    assert_eq!(
        bench.partition.delivered(&redelivery, &sending).await.unwrap().left,
        100
    );
    bench.fail(&redelivery, failure(all[100], NOW, None)).await;

    let probe = bench.take("w1").await;
    let sent = names(&due(bench.fetch(&probe, &[]).await));
    assert_eq!(sent.len(), 1);
    assert_eq!(bury(&bench, &keep("a", 10)).await.0.too_many, 18);
    // The probe succeeds all the same: the books say dead letter, and a replay sends it once more.
    assert_eq!(bench.partition.delivered(&probe, &sent).await.unwrap().left, 0);
    let state = bench.sound(&["a"]).await;
    assert_eq!((state.total("delivered"), state.total("dead_lettered")), (100, 190));
}

/// Another pod's delivery, sent directly before that, was not answered.
#[tokio::test]
async fn a_drain_keeps_what_it_sends_when_the_circuit_opens_meanwhile() {
    let bench = Bench::start().await;
    bench.put("a", Verdict::Behind, NOW, 9).await;
    let redelivery = bench.take("w1").await;
    let sending = names(&due(bench.fetch(&redelivery, &[]).await));
    bench.put("a", Verdict::Unavailable, LONG, 1).await;
    assert!(bench.is_open("a").await);
    assert_eq!(bury(&bench, &keep("a", 2)).await.0, Moved::default());
    assert_eq!(bench.partition.delivered(&redelivery, &sending).await.unwrap().left, 9);
    bench.sound(&["a"]).await;
}

/// A drain that began before the limit was set holds more than one that begins under it.
#[tokio::test]
async fn a_drain_that_holds_many_keeps_all_of_them() {
    let bench = Bench::start().await;
    let all = bench.put("a", Verdict::Behind, NOW, 600).await;
    let redelivery = bench.take("w1").await;
    let mut held = Vec::new();
    for _ in 0..4 {
        held.extend(names(&due(bench.fetch(&redelivery, &held).await)));
    }
    assert_eq!(held, all[..400]);
    bury(&bench, &keep("a", 10)).await;
    let left = members(&bench.queue("a").await);
    assert_eq!(left, held, "no more and no less");
    // With fewer of them left, the next fetch says so.
    bench.partition.delivered(&redelivery, &held[..390]).await.unwrap();
    assert!(matches!(bench.fetch(&redelivery, &held[390..]).await, Fetched::Empty));
    bench.put("a", Verdict::Behind, NOW, 200).await;
    bury(&bench, &keep("a", 10)).await;
    assert_eq!(bench.queue("a").await.len(), 128);
    bench.sound(&["a"]).await;
}

#[tokio::test]
async fn a_queue_that_was_emptied_comes_to_rest_at_its_wake_up() {
    let bench = Bench::start().await;
    let all = bench.put("a", Verdict::Unavailable, Duration::from_millis(1), 3).await;
    bury(&bench, &keep("a", 0)).await;
    bench.sound(&["a"]).await;
    let redelivery = bench.take("w1").await;
    assert!(matches!(bench.fetch(&redelivery, &[]).await, Fetched::Empty));
    assert_eq!(bench.partition.finish(&redelivery).await.unwrap(), Finished::Done);
    assert!(!bench.is_behind("a").await && !bench.is_open("a").await);

    let letter = bench.partition.dead_letters(None, 1).await.unwrap().remove(0);
    assert_eq!(bench.partition.replay(letter.id).await.unwrap(), Replayed::Replayed);
    assert_eq!(members(&bench.queue("a").await), all[..1]);
    bench.sound(&["a"]).await;
    assert_eq!(
        bury(&bench, &keep("a", 0)).await.0.too_many,
        1,
        "replayed deliveries are limited again"
    );
    bench.sound(&["a"]).await;
}

#[tokio::test]
async fn suspended_queues_are_limited_and_removed_ones_left_to_their_removal() {
    let bench = Bench::start().await;
    bench.partition.set_suspended(&id("a"), 1, true).await.unwrap();
    bench.put("a", Verdict::Behind, NOW, 5).await;
    assert_eq!(bury(&bench, &keep("a", 2)).await.0.too_many, 3);
    let state = bench.sound(&["a"]).await;
    assert!(state.wakeups.is_empty(), "nothing wakes a suspended one");
    let _: i64 = bench.raw(&["ZADD", &bench.key("removed"), "1", "a"]).await;
    assert_eq!(bury(&bench, &keep("a", 0)).await.0, Moved::default());
    assert_eq!(offer(&bench, &keep("a", 0), "w1", LONG).await.unwrap().len(), 0);
}

#[tokio::test]
async fn what_is_offered_stays_until_it_is_safe_and_is_offered_to_one_worker() {
    let bench = Bench::start().await;
    let all = bench.put("a", Verdict::Unavailable, LONG, 5).await;
    let bounds = keep("a", 2);
    let lines = offer(&bench, &bounds, "w1", LONG).await.unwrap();
    assert_eq!(lines.iter().map(|line| line.member).collect::<Vec<_>>(), all[..3]);
    let line = &lines[0];
    assert_eq!((line.attempts, line.error.as_str()), (1, "HTTP 503"));
    assert_eq!(line.reason, "limit: more than 2 parked");
    assert!(line.first_failure_ms.unwrap() > 1_700_000_000_000);
    assert_eq!(line.frame.as_ref().unwrap().source, "bmc-7");
    assert_eq!(bench.sound(&["a"]).await.parked(), 5, "nothing has left");

    assert!(offer(&bench, &bounds, "w2", LONG).await.is_none(), "another one writes");
    let again = offer(&bench, &bounds, "w1", NOW).await.unwrap();
    assert_eq!(
        again.len(),
        3,
        "the writer may go on, here with a lease that is over at once"
    );
    let taken = offer(&bench, &bounds, "w2", LONG).await;
    assert_eq!(taken.unwrap().len(), 3, "a lease that is over holds up nobody");

    // Both wrote the same lines; they leave once.
    let written: Vec<Member> = lines.iter().map(|line| line.member).collect();
    let a = id("a");
    assert_eq!(bench.partition.overflowed(&a, "w1", &written).await.unwrap(), 3);
    assert_eq!(bench.partition.overflowed(&a, "w2", &written).await.unwrap(), 0);
    let state = bench.sound(&["a"]).await;
    assert_eq!((state.total("overflowed"), state.parked()), (3, 2));
    assert_eq!(bench.partition.snapshot(LONG).await.unwrap().ledger.imbalance(), 0);
    assert!(dead(&bench).await.is_empty());

    assert!(offer(&bench, &keep("a", 1), "w3", LONG).await.is_none());
    bench.partition.overflowed(&a, "w3", &[]).await.unwrap();
    assert!(
        offer(&bench, &keep("a", 1), "w3", LONG).await.is_none(),
        "only its holder ends a lease"
    );
    bench.partition.overflowed(&a, "w2", &[]).await.unwrap();
    assert_eq!(offer(&bench, &keep("a", 1), "w3", LONG).await.unwrap().len(), 1);
}

#[tokio::test]
async fn large_events_are_offered_a_few_at_a_time() {
    let bench = Bench::start().await;
    let big = "x".repeat(1 << 20);
    for _ in 0..12 {
        let event = bench.publish("small").await;
        bench.read("w1", Stream::Events).await;
        let mut parked = settlement(event, vec![outcome("a", Verdict::Behind, NOW)]);
        parked.frame = Arc::new(super::frame(&big));
        bench.settle("w1", &[parked]).await;
    }
    let mut left = 12;
    while left > 0 {
        let Offer::Lines { lines, next } = bench
            .partition
            .offer_overflow(&keep("a", 0), 0, "w1", LONG)
            .await
            .unwrap()
        else {
            panic!("nobody else writes");
        };
        assert!((1..=5).contains(&lines.len()), "{} large ones at once", lines.len());
        let written: Vec<Member> = lines.iter().map(|line| line.member).collect();
        bench.partition.overflowed(&id("a"), "w1", &written).await.unwrap();
        left -= lines.len();
        assert!(next.is_some() || left == 0, "there is more to write");
    }
    bench.sound(&["a"]).await;
}

#[tokio::test]
async fn limits_are_kept_in_a_full_redis() {
    let bench = Bench::start().await;
    bench.put("a", Verdict::Behind, NOW, 20).await;
    bench.put("b", Verdict::Behind, NOW, 20).await;
    bench.redis.config_set("maxmemory", "1");
    assert_eq!(bury(&bench, &keep("a", 5)).await.0.too_many, 15);
    let lines = offer(&bench, &keep("b", 5), "w1", LONG).await.unwrap();
    let written: Vec<Member> = lines.iter().map(|line| line.member).collect();
    assert_eq!(bench.partition.overflowed(&id("b"), "w1", &written).await.unwrap(), 15);
    let state = bench.sound(&["a", "b"]).await;
    assert_eq!((state.total("dead_lettered"), state.total("overflowed")), (15, 15));
}

/// 500 subscriptions that waited for the same 100 events became 20 times what Redis may take.
#[tokio::test]
async fn a_full_redis_makes_no_copies_of_events_that_others_wait_for() {
    let bench = Bench::start().await;
    for _ in 0..20 {
        let event = bench.publish("shared").await;
        bench.read("w1", Stream::Events).await;
        let both = ["a", "b"].map(|subscription| outcome(subscription, Verdict::Behind, NOW));
        bench.settle("w1", &[settlement(event, both.to_vec())]).await;
    }
    bench.redis.config_set("maxmemory", "1");
    assert_eq!(bury(&bench, &keep("a", 5)).await, (Moved::default(), 1));
    bench.redis.config_set("maxmemory", "0");
    assert_eq!(bury(&bench, &keep("a", 5)).await.0.too_many, 15);
    bench.redis.config_set("maxmemory", "1");
    assert_eq!(
        bury(&bench, &keep("b", 5)).await.0.too_many,
        15,
        "nobody else waits for these"
    );
    bench.sound(&["a", "b"]).await;
}

/// Each key in turn is replaced by a string; both scripts fail before they change anything.
#[rstest]
#[case("tries:a")]
#[case("bodies")]
#[case("refs")]
#[case("ledger")]
#[case("dead")]
#[tokio::test]
async fn a_key_of_the_wrong_type_fails_clearly(#[case] name: &str) {
    let bench = Bench::start().await;
    let all = bench.put("a", Verdict::Behind, NOW, 3).await;
    let key = bench.key(name);
    let _: i64 = bench.raw(&["DEL", &key]).await;
    let _: String = bench.raw(&["SET", &key, "oops"]).await;
    let bounds = keep("a", 0);
    for error in [
        bench.partition.bury_overflow(&bounds, 0).await.unwrap_err(),
        bench
            .partition
            .offer_overflow(&bounds, 0, "w1", LONG)
            .await
            .unwrap_err(),
        bench.partition.overflowed(&id("a"), "w1", &all).await.unwrap_err(),
    ] {
        assert!(
            error.to_string().contains(&format!("{key} is a string, not a")),
            "{error}"
        );
    }
    assert_eq!(bench.queue("a").await.len(), 3);
}

#[tokio::test]
async fn what_a_queue_weighs_is_estimated_from_a_few() {
    let bench = Bench::start().await;
    for size in [1_000, 2_000, 3_000] {
        let event = bench.publish("small").await;
        bench.read("w1", Stream::Events).await;
        let mut parked = settlement(event, vec![outcome("a", Verdict::Behind, NOW)]);
        parked.frame = Arc::new(super::frame(&"x".repeat(size)));
        bench.settle("w1", &[parked]).await;
    }
    let frame = u64::try_from(super::frame("").encode().len()).unwrap();
    let (_, rows) = bench.partition.weighed_census(&["a", "none"]).await.unwrap();
    assert_eq!((rows[0].parked, rows[0].parked_bytes), (3, 6_000 + 3 * frame));
    assert_eq!((rows[1].parked, rows[1].parked_bytes), (0, 0));
}

/// Asked for every limited subscription, by every worker, every few seconds: 10,000 cost Redis 186 ms each time when
/// they were weighed too, and 9 ms so.
#[tokio::test]
async fn queues_are_counted_without_being_looked_into() {
    let bench = Bench::start().await;
    bench.put("a", Verdict::Behind, NOW, 3).await;
    let names: Vec<String> = (0..1_500).map(|n| format!("s{n}")).chain(["a".to_owned()]).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let asked = async || {
        let stats: String = bench.raw(&["INFO", "commandstats"]).await;
        let lines = stats.lines().filter_map(|line| line.strip_prefix("cmdstat_"));
        let calls = lines.filter_map(|line| {
            let (name, rest) = line.split_once(":calls=")?;
            let is_read = ["zcard", "zrange", "hget", "hgetall", "hstrlen", "zscore"].contains(&name);
            let calls: u64 = rest.split(',').next()?.parse().ok()?;
            is_read.then(|| (name.to_owned(), calls))
        });
        calls.collect::<BTreeMap<String, u64>>()
    };
    let _: String = bench.raw(&["CONFIG", "RESETSTAT"]).await;
    let held = bench.partition.held(&names).await.unwrap();
    assert_eq!(
        (held.len(), held.iter().sum::<u64>(), held.last()),
        (1_501, 3, Some(&3))
    );
    assert_eq!(asked().await, BTreeMap::from([("zcard".to_owned(), 1_501)]));

    let _: String = bench.raw(&["CONFIG", "RESETSTAT"]).await;
    let (_, rows) = bench.partition.census(&["a"]).await.unwrap();
    assert_eq!((rows[0].parked, rows[0].parked_bytes), (3, 0));
    assert_eq!(asked().await.get("hstrlen"), None, "nothing is weighed for a gauge");
}
