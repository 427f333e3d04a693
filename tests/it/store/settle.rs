//! Settlements: each verdict's effects, first wins, chunks, shared bodies and the order of what is parked.

use std::time::Duration;

use holdfast::store::events::Stream;
use holdfast::store::settle::{Settlement, Verdict};
use rstest::rstest;

use super::{Bench, LIMITS, LONG, NOW, due, id, outcome, settlement};

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
#[case(Verdict::NotTried, true, true, true, false)]
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
