//! Dead letters: replaying one puts it back exactly once, unchanged; purging is for good.

use std::sync::Arc;

use holdfast::domain::ids::{Member, StreamId};
use holdfast::store::dead_letters::Replayed;
use holdfast::store::events::Stream;
use holdfast::store::settle::{Settlement, Verdict};

use super::{Bench, LONG, NOW, due, frame, id, settlement};

async fn only_letter(bench: &Bench) -> StreamId {
    let letters = bench.partition.dead_letters(None, 10).await.unwrap();
    assert_eq!(letters.len(), 1);
    letters[0].id
}

#[tokio::test]
async fn a_delivery_is_replayed_once_and_sent_as_it_was() {
    let bench = Bench::start().await;
    let members = bench.put("a", Verdict::GivenUp, NOW, 1).await;
    let letter = only_letter(&bench).await;
    let (one, other) = tokio::join!(bench.partition.replay(letter), bench.partition.replay(letter));
    let mut both = [one.unwrap(), other.unwrap()];
    both.sort_by_key(|replayed| *replayed == Replayed::Gone);
    assert_eq!(both, [Replayed::Replayed, Replayed::Gone]);
    let state = bench.sound(&["a"]).await;
    assert_eq!((state.parked(), state.total("replayed"), state.dead.len()), (1, 1, 0));

    let redelivery = bench.take("w1").await;
    let parked = due(bench.fetch(&redelivery, &[]).await);
    assert_eq!(parked[0].member, members[0]);
    assert_eq!(
        parked[0].body,
        Some(settlement(members[0].0, Vec::new()).frame.encode())
    );
    assert_eq!(parked[0].attempts, 0, "it starts anew");
}

#[tokio::test]
async fn a_replay_for_an_open_circuit_waits_with_the_rest() {
    let bench = Bench::start().await;
    bench.put("a", Verdict::GivenUp, NOW, 1).await;
    bench.put("a", Verdict::Unavailable, LONG, 1).await;
    let at = bench.wakeup("a").await;
    assert_eq!(
        bench.partition.replay(only_letter(&bench).await).await.unwrap(),
        Replayed::Replayed
    );
    assert_eq!(bench.wakeup("a").await, at);
    assert_eq!(bench.sound(&["a"]).await.parked(), 2);
}

#[tokio::test]
async fn what_is_parked_again_already_is_not_doubled() {
    let bench = Bench::start().await;
    let members = bench.put("a", Verdict::GivenUp, NOW, 1).await;
    let letter = only_letter(&bench).await;
    let text = letter.to_string();
    let dead = bench.key("dead");
    let _: i64 = bench.raw(&["COPY", &dead, "kept"]).await;
    bench.partition.replay(letter).await.unwrap();
    let _: i64 = bench.raw(&["COPY", "kept", &dead, "REPLACE"]).await;
    assert_eq!(
        bench.partition.replay(letter).await.unwrap(),
        Replayed::Replayed,
        "{text}"
    );
    let state = bench.sound(&["a"]).await;
    assert_eq!((state.parked(), state.total("replayed")), (1, 1));
    assert!(state.queues["a"].contains_key(&members[0].to_string()));
}

#[tokio::test]
async fn a_rejected_event_goes_back_to_the_stream_byte_for_byte() {
    let bench = Bench::start().await;
    let garbage = "\u{0}{\"half\": \n\n \"r\\n";
    let event = bench.publish(garbage).await;
    let entry = bench.read("w1", Stream::Events).await.remove(0);
    let rejected = Settlement {
        rejected: Some("not JSON".to_owned()),
        frame: Arc::new(entry.frame()),
        ..settlement(event, Vec::new())
    };
    bench.settle("w1", &[rejected]).await;
    assert_eq!(bench.sound(&[]).await.total("rejected"), 1);
    let letter = bench.partition.dead_letters(None, 1).await.unwrap().remove(0);
    assert_eq!(
        (letter.reason.as_str(), letter.frame),
        ("not JSON", Some(frame(garbage)))
    );
    assert_eq!(bench.partition.replay(letter.id).await.unwrap(), Replayed::Replayed);
    let again = bench.read("w1", Stream::Events).await.remove(0);
    assert_eq!(again.frame(), frame(garbage));
    let state = bench.sound(&[]).await;
    assert_eq!((state.total("rejected"), state.dead.len()), (0, 0));
}

#[tokio::test]
async fn an_event_that_can_not_be_added_stays_a_dead_letter() {
    let bench = Bench::start().await;
    let event = bench.publish("garbage").await;
    bench.read("w1", Stream::Events).await;
    let rejected = Settlement {
        rejected: Some("not JSON".to_owned()),
        ..settlement(event, Vec::new())
    };
    bench.settle("w1", &[rejected]).await;
    // The last id there is: nothing can be added after it.
    let last = format!("{max}-{max}", max = u64::MAX);
    let _: String = bench.raw(&["XADD", &bench.key("events"), &last, "event", "x"]).await;
    assert!(bench.partition.replay(only_letter(&bench).await).await.is_err());
    only_letter(&bench).await;
}

#[tokio::test]
async fn a_removed_subscription_is_told_of_and_keeps_its_letter() {
    let bench = Bench::start().await;
    bench.put("a", Verdict::GivenUp, NOW, 1).await;
    bench.partition.remove(&id("a")).await.unwrap();
    let letter = only_letter(&bench).await;
    assert_eq!(
        bench.partition.replay(letter).await.unwrap(),
        Replayed::SubscriptionRemoved
    );
    assert_eq!(only_letter(&bench).await, letter);
    assert!(bench.sound(&["a"]).await.queues["a"].is_empty());
}

#[tokio::test]
async fn a_foreign_entry_can_only_be_purged() {
    let bench = Bench::start().await;
    let id: String = bench.raw(&["XADD", &bench.key("dead"), "*", "hello", "world"]).await;
    let id: StreamId = id.parse().unwrap();
    let error = bench.partition.replay(id).await.unwrap_err().to_string();
    assert!(error.contains("can only be purged"), "{error}");
    assert_eq!(bench.partition.purge(&[id]).await.unwrap(), 1);
}

#[tokio::test]
async fn letters_are_read_in_pages_and_purged_by_id() {
    let bench = Bench::start().await;
    let members: Vec<Member> = bench.put("a", Verdict::GivenUp, NOW, 5).await;
    let first = bench.partition.dead_letters(None, 2).await.unwrap();
    let rest = bench.partition.dead_letters(Some(first[1].id), 10).await.unwrap();
    let events: Vec<_> = first
        .iter()
        .chain(&rest)
        .map(|letter| letter.event.map(Member))
        .collect();
    assert_eq!(events, members.into_iter().map(Some).collect::<Vec<_>>());
    let letter = bench.partition.dead_letter(first[0].id).await.unwrap().unwrap();
    assert_eq!((letter.error.as_str(), letter.attempts), ("HTTP 503", 1));
    let ids: Vec<StreamId> = rest.iter().map(|letter| letter.id).collect();
    assert_eq!(bench.partition.purge(&ids).await.unwrap(), 3);
    assert!(bench.partition.dead_letter(ids[0]).await.unwrap().is_none());
    assert_eq!(bench.partition.replay(ids[0]).await.unwrap(), Replayed::Gone);
    assert_eq!(bench.sound(&["a"]).await.dead.len(), 2);
}
