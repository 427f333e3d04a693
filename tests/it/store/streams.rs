//! What event streams read of settled events, and how they learn what was dropped before they read it.

use std::sync::Arc;
use std::time::Duration;

use holdfast::domain::ids::StreamId;
use holdfast::domain::subscription::Subscription;
use holdfast::store::StoreError;
use holdfast::store::events::Stream;
use holdfast::store::recent::Bounds;
use holdfast::store::settle::{Settlement, Verdict};
use holdfast::store::streams::Position;

use super::{Bench, NOW, id, outcome, settlement};

const START: Position = Position {
    entry: StreamId { millis: 0, sequence: 0 },
    within: None,
};

/// Subscriptions that there may be.
const MOST: usize = 100;

/// Publishes, reads and settles so many events in one call.
async fn settle(bench: &Bench, count: usize) {
    for number in 0..count {
        bench.publish(&format!("{{\"n\":\n{number}}}")).await;
    }
    let settlements: Vec<Settlement> = bench
        .read("w1", Stream::Events)
        .await
        .into_iter()
        .map(|entry| Settlement {
            frame: Arc::new(entry.frame()),
            ..settlement(entry.id, vec![outcome("a", Verdict::Delivered, NOW)])
        })
        .collect();
    bench.settle("w1", &settlements).await;
}

#[tokio::test]
async fn events_are_remembered_only_where_a_stream_needs_them() {
    let bench = Bench::remembering().await;
    settle(&bench, 2).await;
    let (end, events) = bench.partition.remembered(START, 10).await.unwrap().unwrap();
    assert_eq!(events.len(), 0, "only their notes");
    bench.partition.recording.keep_events(true);
    settle(&bench, 3).await;
    let (last, events) = bench.partition.remembered(end, 10).await.unwrap().unwrap();
    let texts: Vec<&[u8]> = events.iter().map(|event| event.event.as_ref()).collect();
    assert_eq!(texts, [b"{\"n\":\n0}", b"{\"n\":\n1}", b"{\"n\":\n2}"]);
    // From within an entry on.
    let (_, rest) = bench
        .partition
        .remembered(events[1].position, 10)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(rest.len(), 1);
    assert_eq!(rest[0].id, events[2].id);
    assert!(bench.partition.remembered(last, 10).await.unwrap().is_none());
}

#[tokio::test]
async fn who_has_read_all_that_was_dropped_has_missed_nothing() {
    let bench = Bench::remembering().await;
    let old = |millis: u64, sequence: u64| format!("{millis}-{sequence}");
    for entry in [old(1_000, 0), old(2_000, 5)] {
        let _: String = bench
            .raw(&["XADD", &bench.key("recent"), &entry, "m1-a1", "Da\nx\n{}"])
            .await;
    }
    let floor = async || {
        bench
            .partition
            .remembered_from()
            .await
            .unwrap()
            .map(|id| id.to_string())
    };
    let bounds = Bounds {
        max_age_ms: 900_000,
        max_bytes: 16 << 20,
    };
    assert_eq!(floor().await, None);
    settle(&bench, 1).await;
    let newest = bench.partition.newest_behind(START.entry).await.unwrap().unwrap();
    assert_eq!(bench.partition.newest_behind(newest).await.unwrap(), None);
    bench.partition.trim(bounds).await.unwrap();
    assert_eq!(floor().await.as_deref(), Some("2000-5"), "the last that was too old");
    bench.partition.trim(bounds).await.unwrap();
    assert_eq!(floor().await.as_deref(), Some("2000-5"), "nothing more was dropped");
    bench.partition.trim(Bounds { max_bytes: 1, ..bounds }).await.unwrap();
    assert_eq!(floor().await, Some(newest.to_string()), "the last that was too much");
    let now = bench.partition.clock_ms().await.unwrap();
    bench.partition.trim(Bounds { max_bytes: 0, ..bounds }).await.unwrap();
    let floor = bench.partition.remembered_from().await.unwrap().unwrap();
    assert!(
        floor.millis > now,
        "while nothing is remembered, everything may be missing"
    );
}

#[tokio::test]
async fn streams_of_a_pod_that_is_silent_are_swept() {
    let bench = Bench::start().await;
    let stream = |name: &str, holder: &str| {
        let mut stream = Subscription::new(id(name), "redfish-sse://h:1".parse().unwrap(), String::new());
        stream.stream = Some(holder.to_owned());
        stream
    };
    let store = &bench.store;
    let linger = Duration::from_secs(900);
    store.beat_streams("lives").await.unwrap();
    let (_, since) = store.open_stream(stream("a", "lives"), MOST).await.unwrap();
    let (_, again) = store.open_stream(stream("b", "gone"), MOST).await.unwrap();
    assert_eq!(since, again, "without a break");
    let known = store.registry().await.unwrap().subscriptions;
    let swept = store.sweep_streams(&known, Duration::from_secs(60), linger);
    assert_eq!(swept.await.unwrap(), 1);
    let left = store.registry().await.unwrap();
    assert_eq!(
        left.subscriptions.iter().map(|of| of.id.clone()).collect::<Vec<_>>(),
        [id("a")]
    );
    assert!(
        left.settings.streams.until_ms > since + 800_000,
        "its client may resume"
    );
    store.close_stream(&id("a"), Duration::ZERO).await.unwrap();
    let (_, resumed) = store.open_stream(stream("c", "lives"), MOST).await.unwrap();
    assert_eq!(resumed, since, "within the time for which events are remembered");
}

#[tokio::test]
async fn a_pod_with_streams_is_heard_of_at_the_memory_limit() {
    let bench = Bench::start().await;
    bench.redis.config_set("maxmemory", "1");
    bench.store.beat_streams("lives").await.unwrap();
    let beat: f64 = bench.raw(&["ZSCORE", "holdfast:{redfish}:streams", "lives"]).await;
    assert!(beat > 1e12, "{beat}");
}

#[tokio::test]
async fn streams_that_come_and_go_change_no_settings() {
    let bench = Bench::start().await;
    let store = &bench.store;
    let come_and_go = async |name: &str| {
        let mut stream = Subscription::new(id(name), "redfish-sse://h:1".parse().unwrap(), String::new());
        stream.stream = Some("pod".to_owned());
        store.open_stream(stream, MOST).await.unwrap();
        store.close_stream(&id(name), Duration::from_secs(900)).await.unwrap();
        store.registry_version().await.unwrap()
    };
    let before = come_and_go("a").await;
    let changes = come_and_go("b").await - before;
    assert!(
        changes <= 3,
        "{changes}: entered, taken out, and once a minute the end of remembering"
    );
    store.try_update_settings(|_| Ok::<_, StoreError>(())).await.unwrap();
    assert_eq!(store.registry_version().await.unwrap(), before + changes);
}
