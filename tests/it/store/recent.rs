//! What is remembered of settled events and of their sources, and that remembering costs no delivery.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use holdfast::store::drain::Answered;
use holdfast::store::events::Stream;
use holdfast::store::recent::{Bounds, Note};
use holdfast::store::settle::{Settlement, Verdict};

use super::{Bench, LONG, NOW, due, id, outcome, settlement};
use crate::support::TestRedis;

const PLENTY: Bounds = Bounds {
    max_age_ms: 900_000,
    max_bytes: 16 << 20,
};

impl Bench {
    /// A bench that remembers what it settles.
    pub(super) async fn remembering() -> Self {
        let bench = Self::start().await;
        bench.partition.recording.set(true);
        bench
    }

    async fn notes(&self) -> Vec<Note> {
        let found = self.partition.recent(None, 10_000).await.unwrap();
        found.map_or_else(Vec::new, |(_, notes)| notes)
    }

    async fn usage(&self) -> u64 {
        let key = self.key("recent");
        let usage: Option<u64> = self.raw(&["MEMORY", "USAGE", &key, "SAMPLES", "0"]).await;
        usage.unwrap_or(0)
    }

    /// Writes so many old notes at once, from `first` on, a second apart.
    async fn fill(&self, first: u64, count: u64) {
        let script = "for i = 0, ARGV[2] - 1 do redis.call('XADD', KEYS[1], string.format('%.0f-0', ARGV[1] + i * 1000), \
                      'm1795389052775-a0', 'Da ' .. string.rep('x', i % 400)) end";
        let (first, count) = (first.to_string(), count.to_string());
        let key = self.key("recent");
        let _: Option<String> = self.raw(&["EVAL", script, "1", &key, &first, &count]).await;
    }

    /// Publishes and reads an event of this source, and settles it as delivered.
    async fn deliver(&self, event: &str, source: &str) {
        let key = self.key("events");
        let event: String = self.raw(&["XADD", &key, event, "event", "{}", "source", source]).await;
        for entry in self.read("w1", Stream::Events).await {
            let settlement = Settlement {
                frame: Arc::new(entry.frame()),
                ..settlement(event.parse().unwrap(), vec![outcome("a", Verdict::Delivered, NOW)])
            };
            self.settle("w1", &[settlement]).await;
        }
    }

    async fn sources(&self) -> BTreeMap<String, u64> {
        self.partition.tell_sources().await.unwrap();
        let sources = self.partition.sources().await.unwrap();
        sources
            .into_iter()
            .map(|source| (source.name, source.last_ms))
            .collect()
    }
}

#[tokio::test]
async fn a_call_leaves_one_entry_with_a_note_for_each_event() {
    let bench = Bench::remembering().await;
    let mut batch = Vec::new();
    for verdicts in [
        &[Verdict::Delivered, Verdict::Unavailable][..],
        &[Verdict::Refused],
        &[],
    ] {
        let event = bench.publish("one").await;
        let outcomes = ["a", "b"].iter().zip(verdicts);
        batch.push(settlement(
            event,
            outcomes.map(|(name, verdict)| outcome(name, *verdict, NOW)).collect(),
        ));
    }
    batch.push(Settlement {
        rejected: Some("not JSON".to_owned()),
        ..settlement(bench.publish("two").await, Vec::new())
    });
    bench.read("w1", Stream::Events).await;
    bench.settle("w1", &batch).await;
    let length = async || -> u64 { bench.raw(&["XLEN", &bench.key("recent")]).await };
    assert_eq!(length().await, 1);
    let notes = bench.notes().await;
    assert_eq!(
        notes.iter().map(|note| note.event).collect::<Vec<_>>(),
        batch.iter().map(|one| one.id).collect::<Vec<_>>()
    );
    assert!(notes.iter().all(|note| note.source == "bmc-7"));
    assert_eq!(
        notes[0].outcomes,
        [(id("a"), Verdict::Delivered), (id("b"), Verdict::Unavailable)]
    );
    assert_eq!(notes[1].outcomes, [(id("a"), Verdict::Refused)]);
    assert_eq!((notes[2].outcomes.len(), notes[2].rejected), (0, false));
    assert!(notes[3].rejected);

    // Somebody else's late settlement is no news.
    bench.settle("w2", &batch).await;
    assert_eq!(length().await, 1);

    let redelivery = bench.take("w1").await;
    let parked = due(bench.fetch(&redelivery, &[]).await);
    let answered: Vec<Answered> = parked
        .iter()
        .map(|parked| Answered {
            member: parked.member,
            source: parked.source(),
        })
        .collect();
    bench.partition.delivered(&redelivery, &answered).await.unwrap();
    assert_eq!(length().await, 2);
    let last = bench.notes().await.pop().unwrap();
    assert_eq!(
        (last.event, last.source.as_str(), &last.outcomes[0]),
        (
            parked[0].member.0,
            "bmc-7",
            &(redelivery.subscription.clone(), Verdict::Delivered)
        )
    );
    bench.partition.delivered(&redelivery, &answered).await.unwrap();
    assert_eq!(length().await, 2, "what had left its queue is no news");
    bench.sound(&["a", "b"]).await;
}

#[tokio::test]
async fn paused_nothing_is_noted() {
    let bench = Bench::start().await;
    let members = bench.put("a", Verdict::Unavailable, NOW, 2).await;
    let redelivery = bench.take("w1").await;
    bench.partition.delivered(&redelivery, &members).await.unwrap();
    let exists: i64 = bench.raw(&["EXISTS", &bench.key("recent")]).await;
    assert_eq!(exists, 0);
    assert_eq!(bench.sources().await.len(), 1, "sources are known all the same");
}

#[tokio::test]
async fn what_is_remembered_can_fail_no_settlement() {
    let bench = Bench::remembering().await;
    let _: String = bench.raw(&["SET", &bench.key("recent"), "oops"]).await;
    let _: String = bench.raw(&["SET", &bench.key("sources"), "oops"]).await;
    let members = bench.put("a", Verdict::Unavailable, NOW, 2).await;
    bench.put("a", Verdict::Delivered, NOW, 1).await;
    let redelivery = bench.take("w1").await;
    let delivered = bench.partition.delivered(&redelivery, &members).await.unwrap();
    assert_eq!(delivered.left, 2);
    let state = bench.sound(&["a"]).await;
    assert_eq!((state.events.len(), state.total("delivered")), (0, 3));
    let error = bench.partition.trim(PLENTY).await.unwrap_err().to_string();
    assert!(error.contains("recent is a string, not a stream"), "{error}");

    // A stream whose next id would be beyond the last one possible.
    let _: i64 = bench.raw(&["DEL", &bench.key("recent")]).await;
    let last = format!("{0}-{0}", u64::MAX);
    let _: String = bench.raw(&["XADD", &bench.key("recent"), &last, "a", "b"]).await;
    bench.put("a", Verdict::Delivered, NOW, 1).await;
    assert_eq!(bench.sound(&["a"]).await.total("delivered"), 4);
    assert!(bench.notes().await.is_empty(), "foreign fields are passed over");
}

#[tokio::test]
async fn a_full_redis_still_settles_and_remembers() {
    let bench = Bench::remembering().await;
    let event = bench.publish("one").await;
    bench.read("w1", Stream::Events).await;
    bench.redis.config_set("maxmemory", "1");
    bench
        .settle(
            "w1",
            &[settlement(event, vec![outcome("a", Verdict::Unavailable, LONG)])],
        )
        .await;
    assert_eq!(bench.notes().await.len(), 1);
    bench.partition.trim(Bounds { max_bytes: 0, ..PLENTY }).await.unwrap();
    assert!(bench.notes().await.is_empty());
    bench.sound(&["a"]).await;
}

#[tokio::test]
async fn what_is_too_old_is_dropped() {
    let bench = Bench::remembering().await;
    let now = u64::try_from(bench.now().await).unwrap();
    bench.fill(now - 1_000_000, 101).await;
    bench.put("a", Verdict::Delivered, NOW, 1).await;
    let trimmed = bench.partition.trim(PLENTY).await.unwrap();
    // Those of 1,000 to 900 s ago: one at most is just young enough while this runs, and one was settled now.
    assert!((1..=2).contains(&trimmed.entries), "{trimmed:?}");
    assert_eq!(bench.notes().await.last().unwrap().outcomes.len(), 1);
    let none = Bounds {
        max_age_ms: 0,
        ..PLENTY
    };
    assert_eq!(bench.partition.trim(none).await.unwrap().bytes, 0);
    assert!(bench.notes().await.is_empty());
}

#[tokio::test]
async fn what_is_too_much_is_dropped_oldest_first() {
    let bench = Bench::remembering().await;
    let now = u64::try_from(bench.now().await).unwrap();
    bench.fill(now - 500_000, 400).await;
    bench.put("a", Verdict::Delivered, NOW, 1).await;
    let before = bench.usage().await;
    assert_eq!(bench.partition.trim(PLENTY).await.unwrap().bytes, before);
    assert_eq!(bench.usage().await, before, "nothing is too much");
    let half = Bounds {
        max_bytes: before / 2,
        ..PLENTY
    };
    let trimmed = bench.partition.trim(half).await.unwrap();
    assert_eq!(trimmed.bytes, bench.usage().await);
    assert!(
        trimmed.bytes <= half.max_bytes && trimmed.bytes > before / 4,
        "{trimmed:?} of {before}"
    );
    assert_eq!(bench.notes().await.len(), 1, "the newest is kept");
    let again = bench.partition.trim(half).await.unwrap();
    assert_eq!(again.bytes, trimmed.bytes, "any number of workers may do it");
}

#[tokio::test]
async fn who_may_not_measure_estimates() {
    let bench = Bench::remembering().await;
    let now = u64::try_from(bench.now().await).unwrap();
    bench.fill(now - 500_000, 400).await;
    let before = bench.usage().await;
    bench.redis.cli(&["ACL", "SETUSER", TestRedis::user(), "-memory"]);
    let estimated = bench.partition.trim(PLENTY).await.unwrap().bytes;
    assert!(
        estimated > before / 4 && estimated < before * 4,
        "{estimated} for {before}"
    );
    let half = Bounds {
        max_bytes: estimated / 2,
        ..PLENTY
    };
    bench.partition.trim(half).await.unwrap();
    bench.redis.cli(&["ACL", "SETUSER", TestRedis::user(), "+memory|usage"]);
    let left = bench.usage().await;
    assert!(left > 0 && left < before * 4 / 5, "{left} of {before}");
}

#[tokio::test]
async fn a_source_is_known_by_the_arrival_of_its_last_event() {
    let bench = Bench::start().await;
    bench.deliver("5000-0", "bmc-1").await;
    bench.deliver("6000-0", "bmc-2").await;
    bench.deliver("7000-0", "bmc-1").await;
    bench.deliver("8000-0", "").await;
    bench.deliver("9000-0", "ä\n\u{1b}[2J;{x} *").await;
    bench.deliver("9001-0", &"é".repeat(500)).await;
    let expected = [
        ("bmc-1".to_owned(), 7_000),
        ("bmc-2".to_owned(), 6_000),
        ("ä \u{1b}[2J;{x} *".to_owned(), 9_000),
        ("é".repeat(64), 9_001),
    ];
    assert_eq!(bench.sources().await, BTreeMap::from(expected));
    let order: Vec<u64> = bench
        .partition
        .sources()
        .await
        .unwrap()
        .iter()
        .map(|s| s.last_ms)
        .collect();
    assert!(order.is_sorted(), "{order:?}");

    // From the future: it would never grow silent.
    bench.deliver("99999999999999-0", "bmc-1").await;
    let last = bench.sources().await["bmc-1"];
    let now = u64::try_from(bench.now().await).unwrap();
    assert!((1_000_000_000_000..=now).contains(&last), "{last} at {now}");
}

#[tokio::test]
async fn an_older_event_that_is_settled_later_changes_nothing() {
    let bench = Bench::start().await;
    for event in ["5000-0", "6000-0"] {
        let _: String = bench.raw(&["XADD", &bench.key("events"), event, "event", "{}"]).await;
    }
    bench.read("w1", Stream::Events).await;
    for event in ["6000-0", "5000-0"] {
        let event = event.parse().unwrap();
        bench
            .settle("w1", &[settlement(event, vec![outcome("a", Verdict::Delivered, NOW)])])
            .await;
    }
    assert_eq!(bench.sources().await["bmc-7"], 6_000);
}

#[tokio::test]
async fn of_too_many_sources_the_longest_silent_fall_off() {
    let bench = Bench::start().await;
    let script = "for i = 1, 100007 do redis.call('ZADD', KEYS[1], i, 'bmc-' .. i) end";
    let key = bench.key("sources");
    let _: Option<String> = bench.raw(&["EVAL", script, "1", &key]).await;
    assert_eq!(bench.partition.trim(PLENTY).await.unwrap().sources_dropped, 7);
    let sources = bench.partition.sources().await.unwrap();
    assert_eq!((sources.len(), sources[0].name.as_str()), (100_000, "bmc-8"));
    assert_eq!(bench.partition.trim(PLENTY).await.unwrap().sources_dropped, 0);
}

#[tokio::test]
async fn much_that_is_too_old_is_dropped_in_bounded_steps() {
    let bench = Bench::remembering().await;
    let now = u64::try_from(bench.now().await).unwrap();
    // The server knows the script from here on: a call that it has to be told is counted twice.
    bench.partition.trim(PLENTY).await.unwrap();
    bench.fill(now - 30_000_000, 20_000).await;
    bench.fill(now - 60_000, 10).await;
    let _: String = bench.raw(&["CONFIG", "RESETSTAT"]).await;
    let trimmed = bench.partition.trim(PLENTY).await.unwrap();
    assert_eq!(trimmed.entries, 10, "exactly those that are young enough");
    let stats: String = bench.raw(&["INFO", "commandstats"]).await;
    let calls = stats
        .lines()
        .find_map(|line| line.strip_prefix("cmdstat_evalsha:calls="));
    let calls: u64 = calls.unwrap().split(',').next().unwrap().parse().unwrap();
    assert_eq!(calls, 3, "at most 8,192 a call");
    let few = Bounds {
        max_bytes: 1_000,
        ..PLENTY
    };
    assert!(bench.partition.trim(few).await.unwrap().bytes <= 1_000);
}

#[tokio::test]
async fn no_source_is_passed_over_while_others_are_heard_of() {
    let bench = Bench::start().await;
    let key = bench.key("sources");
    let fill = "for i = 1, 20000 do redis.call('ZADD', KEYS[1], math.floor(i / 3000), 'bmc-' .. i) end";
    let _: Option<String> = bench.raw(&["EVAL", fill, "1", &key]).await;
    let hear = "for _, s in ipairs(redis.call('ZRANGE', KEYS[1], 0, 9)) do redis.call('ZADD', KEYS[1], 9000, s) end";
    let reading = bench.partition.sources();
    tokio::pin!(reading);
    let sources = loop {
        tokio::select! {
            sources = &mut reading => break sources.unwrap(),
            () = async { let _: Option<String> = bench.raw(&["EVAL", hear, "1", &key]).await; } => {}
        }
    };
    let names: BTreeSet<&str> = sources.iter().map(|source| source.name.as_str()).collect();
    assert_eq!((sources.len(), names.len()), (20_000, 20_000), "each once");
    assert!(sources.is_sorted_by_key(|source| source.last_ms));
}
