//! Where events are: in the stream, parked, dead, remembered or nowhere; one by one and by source.

use bytes::Bytes;
use holdfast::domain::ids::{Member, StreamId};
use holdfast::store::events::Stream;
use holdfast::store::find::Unsettled;
use holdfast::store::frame::Frame;
use holdfast::store::settle::Verdict;

use super::{Bench, LONG, NOW, frame, id};

#[tokio::test]
async fn each_event_is_found_where_it_is() {
    let bench = Bench::remembering().await;
    let parked = bench.put("a", Verdict::Unavailable, LONG, 1).await[0].0;
    let refused = bench.put("b", Verdict::Refused, LONG, 1).await[0].0;
    // The last of more than one page.
    let dead = bench.put("b", Verdict::GivenUp, NOW, 70).await[69].0;
    let delivered = bench.put("b", Verdict::Delivered, NOW, 1).await[0].0;
    let held = bench.publish("held").await;
    bench.read("w7", Stream::Events).await;
    let unread = bench.publish("unread").await;
    let nowhere = StreamId { millis: 1, sequence: 1 };
    let all = [parked, refused, dead, delivered, held, unread, nowhere];
    let before = bench.redis.cli(&["INFO", "commandstats"]);
    let names: Vec<String> = (0..600).map(|n| format!("s{n}")).collect();
    let mut names: Vec<&str> = names.iter().map(String::as_str).collect();
    names.extend(["a", "b"]);
    let (now, found) = bench.partition.whereabouts(&all.into(), &names).await.unwrap();
    let after = bench.redis.cli(&["INFO", "commandstats"]);
    for writer in ["xadd", "zadd", "hset", "xdel", "xack", "zrem"] {
        let line = |info: &str| {
            let first = format!("cmdstat_{writer}:");
            info.lines()
                .find(|line| line.starts_with(&first))
                .map(|line| line.split(',').next().unwrap().to_owned())
        };
        assert_eq!(line(&before), line(&after), "it only reads");
    }

    assert_eq!(found[&unread].unsettled, Some(Unsettled::Unread));
    let Some(Unsettled::Held { worker, times: 1, .. }) = &found[&held].unsettled else {
        panic!("{:?}", found[&held]);
    };
    assert_eq!(worker, "w7");
    let waiting = &found[&parked].parked[0];
    assert_eq!((waiting.subscription.as_str(), waiting.attempts), ("a", 1));
    assert_eq!((waiting.error.as_str(), waiting.due_ms), ("HTTP 503", 0));
    assert!(
        waiting.open_since_ms.is_some() && waiting.next_wakeup_ms > Some(now) && waiting.first_failure_ms.is_some()
    );
    assert!(found[&refused].parked[0].due_ms > now);
    let letter = &found[&dead].dead[0];
    assert_eq!(
        (letter.subscription.as_deref(), letter.reason.as_str()),
        (Some("b"), "attempts used up")
    );
    assert_eq!(found[&delivered].notes[0].outcomes, [(id("b"), Verdict::Delivered)]);
    assert!(found[&delivered].parked.is_empty() && found[&delivered].unsettled.is_none());
    assert!(found[&nowhere].is_unknown());
    for event in [parked, refused, dead, delivered, held, unread] {
        assert_eq!(found[&event].source, "bmc-7", "{:?}", found[&event]);
    }
    let unknown = bench.partition.whereabouts(&[parked].into(), &[]).await.unwrap().1;
    assert_eq!(
        unknown[&parked].parked.len(),
        1,
        "found where it is behind, known or not"
    );
}

#[tokio::test]
async fn the_events_of_a_source_are_found_wherever_they_are() {
    let bench = Bench::remembering().await;
    // Else small bodies come all at once. Named as in Redis 6.2; later ones know that name too.
    bench.redis.config_set("hash-max-ziplist-entries", "1");
    let mut expected = Vec::new();
    for (subscription, verdict) in [
        ("a", Verdict::Delivered),
        ("a", Verdict::GivenUp),
        ("b", Verdict::Unavailable),
    ] {
        expected.extend(
            bench
                .put(subscription, verdict, LONG, 100)
                .await
                .iter()
                .map(|member| member.0),
        );
    }
    for _ in 0..100 {
        expected.push(bench.publish("unread").await);
    }
    let other = Frame {
        source: "bmc-8".to_owned(),
        event: Bytes::from_static(b"{}"),
        ..frame("")
    };
    bench.partition.publish(&other).await.unwrap();
    let found = async |source: &str, most| bench.partition.events_of(source, most).await.unwrap();
    assert_eq!(found("bmc-7", 1_000).await, expected.iter().copied().collect());
    assert_eq!(
        found("bmc-7", 150).await,
        expected[250..].iter().copied().collect(),
        "the newest"
    );
    assert_eq!(found("bmc-8", 10).await.len(), 1);
    assert!(found("bmc-9", 10).await.is_empty());
    // Without what is remembered, those that were delivered are gone, and only they.
    let _: i64 = bench.raw(&["DEL", &bench.key("recent")]).await;
    assert_eq!(found("bmc-7", 1_000).await, expected[100..].iter().copied().collect());
    assert!(bench.queue("b").await.contains(&Member(expected[200]).to_string()));
}
