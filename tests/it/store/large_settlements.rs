//! Settlements and bodies at scale: an event for a thousand subscriptions, and the order of what is parked.

use holdfast::domain::ids::{Member, StreamId};
use holdfast::store::events::Stream;
use holdfast::store::settle::{Settlement, Verdict};

use super::{Bench, LONG, NOW, Redelivery, due, id, names, outcome, settlement};
use crate::support::wait_until;

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
        let redelivery = Redelivery {
            id: bench.circuit(name).await["entry"].parse().unwrap(),
            subscription: id(name),
            worker: "w1".to_owned(),
        };
        bench.read("w1", Stream::Redeliveries).await;
        let parked = due(bench.fetch(&redelivery, &[]).await);
        assert_eq!(parked[0].body, Some(settlement(event, Vec::new()).frame.encode()));
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
        names(&due(bench.fetch(&redelivery, &[]).await)),
        ids[..100].iter().copied().map(Member).collect::<Vec<_>>()
    );
}
