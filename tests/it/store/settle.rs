//! Settlements: each verdict's effects, first wins, chunks, shared bodies and the order of what is parked.

use std::time::Duration;

use holdfast::domain::ids::{Member, StreamId};
use holdfast::store::events::Stream;
use holdfast::store::settle::{Settlement, Verdict};
use rstest::rstest;

use super::{Bench, LIMITS, LONG, NOW, due, id, outcome, settlement};
use crate::support::wait_until;

#[tokio::test]
async fn each_event_is_settled_once_and_the_first_is_complete() {
    let bench = Bench::start().await;
    let event = bench.publish("one").await;
    bench.read("w1", Stream::Events).await;
    let first = settlement(event, vec![outcome("a", Verdict::Unavailable, LONG)]);
    assert_eq!(bench.settle("w1", &[first]).await.won, [true]);
    let before = format!("{:?}", bench.sound(&["a", "b"]).await);

    let second = settlement(
        event,
        vec![
            outcome("a", Verdict::Delivered, NOW),
            outcome("b", Verdict::Unavailable, NOW),
        ],
    );
    let settled = bench.settle("w2", &[second]).await;
    assert_eq!((settled.won, settled.opened.len()), (vec![false], 0));
    assert_eq!(format!("{:?}", bench.sound(&["a", "b"]).await), before);
}

#[tokio::test]
async fn what_was_never_read_is_not_settled() {
    let bench = Bench::start().await;
    let event = bench.publish("one").await;
    let settled = bench
        .settle(
            "w1",
            &[settlement(event, vec![outcome("a", Verdict::Unavailable, LONG)])],
        )
        .await;
    assert_eq!(settled.won, [false]);
    let state = bench.sound(&["a"]).await;
    assert_eq!((state.events.len(), state.parked(), state.ledger.len()), (1, 0, 0));
}

/// verdict; then what is expected: parked, behind, open, woken now
#[rstest]
#[case(Verdict::Delivered, false, false, false, false)]
#[case(Verdict::Unavailable, true, true, true, false)]
#[case(Verdict::Behind, true, true, false, true)]
#[case(Verdict::WaitedTooLong, true, false, false, true)]
#[case(Verdict::Refused, true, false, false, false)]
#[case(Verdict::GivenUp, false, false, false, false)]
#[tokio::test]
async fn each_verdict_leaves_its_own_state(
    #[case] verdict: Verdict,
    #[case] parked: bool,
    #[case] behind: bool,
    #[case] open: bool,
    #[case] now: bool,
) {
    let bench = Bench::start().await;
    let members = bench.put("a", verdict, LONG, 1).await;
    let state = bench.sound(&["a"]).await;
    let score = state.queues["a"].get(&members[0].to_string()).copied();
    assert_eq!(score.is_some(), parked);
    assert_eq!(score.unwrap_or(0.0) > 0.0, verdict == Verdict::Refused, "{score:?}");
    assert_eq!(bench.is_behind("a").await, behind);
    assert_eq!(bench.is_open("a").await, open);
    let clock = bench.now().await;
    let wakeup = bench.wakeup("a").await;
    assert_eq!(wakeup.is_some(), parked);
    assert_eq!(wakeup.is_some_and(|at| at <= clock), now, "{wakeup:?} at {clock}");
    assert_eq!(state.events.len() + state.events_pending.len(), 0);
    let total = |name| state.total(name);
    assert_eq!(
        (
            total("settled"),
            total("wanted"),
            total("delivered"),
            total("dead_lettered")
        ),
        (
            1,
            1,
            i64::from(verdict == Verdict::Delivered),
            i64::from(verdict == Verdict::GivenUp)
        )
    );
    assert_eq!(state.dead.len(), usize::from(verdict == Verdict::GivenUp));
}

#[tokio::test]
async fn an_event_that_nobody_wants_or_nobody_can_read_is_accounted_for() {
    let bench = Bench::start().await;
    let (unwanted, unreadable) = (bench.publish("{}").await, bench.publish("garbage").await);
    bench.read("w1", Stream::Events).await;
    let rejected = Settlement {
        rejected: Some(String::new()),
        ..settlement(unreadable, Vec::new())
    };
    bench.settle("w1", &[settlement(unwanted, Vec::new()), rejected]).await;
    let state = bench.sound(&[]).await;
    assert_eq!((state.total("unwanted"), state.total("rejected")), (1, 1));
    let letters = bench.partition.dead_letters(None, 10).await.unwrap();
    assert_eq!(letters.len(), 1);
    assert_eq!((letters[0].event, &letters[0].subscription), (Some(unreadable), &None));
}

#[tokio::test]
async fn a_success_after_a_failure_in_one_call_wakes() {
    let bench = Bench::start().await;
    let mut batch = Vec::new();
    for verdict in [Verdict::Delivered, Verdict::Unavailable, Verdict::Delivered] {
        let event = bench.publish("one").await;
        batch.push(settlement(event, vec![outcome("a", verdict, LONG)]));
    }
    bench.read("w1", Stream::Events).await;
    bench.settle("w1", &batch).await;
    bench.sound(&["a"]).await;
    assert!(bench.wakeup("a").await.is_some_and(|at| at > 0));
    assert!(bench.wakeup("a").await <= Some(bench.now().await));
}

#[tokio::test]
async fn a_thousand_subscriptions_are_parked_for_in_steps() {
    let bench = Bench::start().await;
    let names: Vec<String> = (0..1_000).map(|n| format!("s{n}")).collect();
    let all: Vec<&str> = names.iter().map(String::as_str).collect();
    let event = bench.publish("for all").await;
    bench.read("w1", Stream::Events).await;
    let outcomes = names
        .iter()
        .enumerate()
        .map(|(n, name)| {
            let verdict = if n % 3 == 0 {
                Verdict::Delivered
            } else {
                Verdict::Behind
            };
            outcome(name, verdict, NOW)
        })
        .collect();
    let settled = bench.settle("w1", &[settlement(event, outcomes)]).await;
    assert_eq!(settled.won, [true]);
    let state = bench.sound(&all).await;
    assert_eq!(
        (state.parked(), state.total("delivered"), state.total("wanted")),
        (666, 334, 1_000)
    );
    assert_eq!(
        (state.bodies.len(), state.refs[&Member(event).to_string()].as_str()),
        (1, "665")
    );
}

#[tokio::test]
async fn a_settlement_in_steps_that_lost_its_event_acknowledges_nothing() {
    let bench = Bench::start().await;
    let names: Vec<String> = (0..1_000).map(|n| format!("s{n}")).collect();
    let all: Vec<&str> = names.iter().map(String::as_str).collect();
    let (event, next) = (bench.publish("for all").await, bench.publish("next").await);
    bench.read("w1", Stream::Events).await;
    let outcomes: Vec<_> = names.iter().map(|name| outcome(name, Verdict::Behind, NOW)).collect();
    let whole = settlement(event, outcomes);
    let (key, claimed) = (bench.key("events"), event.to_string());
    let _: Vec<String> = bench
        .raw(&["XCLAIM", &key, "workers", "w2", "0", &claimed, "JUSTID"])
        .await;
    let other = settlement(next, vec![outcome("s1", Verdict::Delivered, NOW)]);
    let settled = bench.settle("w1", &[whole.clone(), other]).await;
    assert_eq!(settled.won, [false, true], "the other event is settled all the same");
    let state = bench.sound(&all).await;
    assert_eq!(state.events, [event.to_string()]);
    assert_eq!(state.events_pending, [(event.to_string(), "w2".to_owned())]);

    assert_eq!(bench.settle("w2", &[whole]).await.won, [true]);
    let state = bench.sound(&all).await;
    assert_eq!((state.parked(), state.events.len()), (1_000, 0));
}

#[tokio::test]
async fn an_event_that_is_taken_over_between_two_steps_loses_nothing() {
    let bench = Bench::start().await;
    let names: Vec<String> = (0..2_000).map(|n| format!("s{n}")).collect();
    let all: Vec<&str> = names.iter().map(String::as_str).collect();
    let event = bench.publish("for all").await;
    bench.read("w1", Stream::Events).await;
    let outcomes = names.iter().map(|name| outcome(name, Verdict::Behind, NOW)).collect();
    let whole = [settlement(event, outcomes)];
    let (key, claimed) = (bench.key("events"), event.to_string());
    let (_, ()) = tokio::join!(bench.settle("w1", &whole), async {
        wait_until("the first step is done", LONG, async || {
            !bench.queue("s0").await.is_empty()
        })
        .await;
        let _: Vec<String> = bench
            .raw(&["XCLAIM", &key, "workers", "w2", "0", &claimed, "JUSTID"])
            .await;
    });
    bench.settle("w2", &whole).await;
    let state = bench.sound(&all).await;
    assert_eq!((state.parked(), state.events.len()), (2_000, 0));
}

#[tokio::test]
async fn a_body_is_kept_once_and_goes_with_its_last_holder() {
    let bench = Bench::start().await;
    let subscribers = ["a", "b", "c"];
    let event = bench.publish("shared").await;
    bench.read("w1", Stream::Events).await;
    let outcomes = subscribers
        .map(|name| outcome(name, Verdict::WaitedTooLong, NOW))
        .to_vec();
    bench.settle("w1", &[settlement(event, outcomes)]).await;
    for left in [2, 1, 0] {
        let state = bench.sound(&subscribers).await;
        assert_eq!((state.bodies.len(), state.parked()), (1, left + 1));
        bench.partition.reinject().await.unwrap();
        let name = subscribers[left];
        let redelivery = super::Redelivery {
            id: bench.circuit(name).await["entry"].parse().unwrap(),
            subscription: id(name),
            worker: "w1".to_owned(),
        };
        bench.read("w1", Stream::Redeliveries).await;
        let parked = due(bench.fetch(&redelivery, &[]).await);
        assert_eq!(parked[0].body, Some(settlement(event, Vec::new()).body));
        bench.partition.delivered(&redelivery, &[Member(event)]).await.unwrap();
        bench.partition.finish(&redelivery).await.unwrap();
    }
    let state = bench.sound(&subscribers).await;
    assert_eq!(
        (state.bodies.len(), state.refs.len(), state.total("delivered")),
        (0, 0, 3)
    );
}

#[tokio::test]
async fn parked_deliveries_keep_the_order_of_their_events() {
    let bench = Bench::start().await;
    let key = bench.key("events");
    let mut ids: Vec<StreamId> = Vec::new();
    // 14- and 15-digit times, and one of the far future after which every later id is of the future too.
    let times = [
        1_795_389_052_775,
        99_999_999_999_999,
        100_000_000_000_000,
        17_000_000_000_000_000_000_u64,
    ];
    for millis in times {
        for sequence in 0..if millis == times[0] { 1_000 } else { 12 } {
            ids.push(StreamId { millis, sequence });
        }
    }
    for id in &ids {
        let text = id.to_string();
        let _: String = bench.raw(&["XADD", &key, &text, "event", "{}"]).await;
    }
    for _ in 0..12 {
        ids.push(bench.publish("{}").await);
    }
    bench.read("w1", Stream::Events).await;
    // Settled out of order, as concurrent workers do.
    let batch: Vec<Settlement> = ids
        .iter()
        .rev()
        .map(|id| settlement(*id, vec![outcome("a", Verdict::WaitedTooLong, NOW)]))
        .collect();
    bench.settle("w1", &batch).await;
    let expected: Vec<String> = ids.iter().map(|id| Member(*id).to_string()).collect();
    assert_eq!(bench.queue("a").await, expected);
    let redelivery = bench.take("w1").await;
    assert_eq!(
        super::names(&due(bench.fetch(&redelivery, &[]).await)),
        ids[..100].iter().copied().map(Member).collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn the_set_of_those_behind_has_a_version() {
    let bench = Bench::start().await;
    let version = async || bench.partition.behind_version().await.unwrap();
    let start = version().await;
    bench.put("a", Verdict::Unavailable, LONG, 1).await;
    let opened = version().await;
    assert!(opened > start);
    bench.put("a", Verdict::Behind, LONG, 3).await;
    assert_eq!(version().await, opened, "it was behind already");
    bench.put("b", Verdict::Behind, LONG, 1).await;
    assert!(version().await > opened);
    let with_b = version().await;
    let redelivery = bench.take("w1").await;
    let parked = super::names(&due(bench.fetch(&redelivery, &[]).await));
    bench.partition.delivered(&redelivery, &parked).await.unwrap();
    bench.partition.finish(&redelivery).await.unwrap();
    assert!(!bench.is_behind("b").await && version().await > with_b);
    bench.sound(&["a", "b"]).await;
}

#[tokio::test]
async fn refusals_in_a_row_are_the_subscribers_fault_and_bury_nothing() {
    let bench = Bench::start().await;
    bench.put("a", Verdict::Refused, LONG, 4).await;
    assert!(!bench.is_open("a").await);
    bench.put("a", Verdict::Delivered, NOW, 1).await;
    bench.put("a", Verdict::Refused, LONG, 4).await;
    assert!(!bench.is_open("a").await, "a success in between starts the count anew");
    let members = bench.put("a", Verdict::Refused, LONG, 1).await;
    assert!(bench.is_open("a").await && bench.is_behind("a").await);
    let state = bench.sound(&["a"]).await;
    assert_eq!((state.parked(), state.dead.len()), (9, 0));
    let last = members[0].to_string();
    assert!(state.queues["a"][&last].abs() < f64::EPSILON, "due with the rest");
}

#[tokio::test]
async fn a_refused_delivery_is_buried_when_one_refusal_is_enough() {
    let bench = Bench::start().await;
    let event = bench.publish("one").await;
    bench.read("w1", Stream::Events).await;
    let limits = super::RefusalLimits {
        bury_after: 1,
        ..LIMITS
    };
    let settlements = [settlement(event, vec![outcome("a", Verdict::Refused, LONG)])];
    bench.partition.settle("w1", limits, &settlements).await.unwrap();
    let state = bench.sound(&["a"]).await;
    assert_eq!((state.parked(), state.dead.len(), state.wakeups.len()), (0, 1, 0));
}

#[tokio::test]
async fn an_open_circuit_is_reported_once() {
    let bench = Bench::start().await;
    let mut batch = Vec::new();
    for _ in 0..3 {
        let event = bench.publish("one").await;
        batch.push(settlement(
            event,
            vec![outcome("a", Verdict::Unavailable, Duration::from_secs(5))],
        ));
    }
    bench.read("w1", Stream::Events).await;
    assert_eq!(bench.settle("w1", &batch).await.opened, [id("a")]);
}
