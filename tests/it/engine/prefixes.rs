//! Crashes of Redis at every kind of point, survived by the real service: the append-only file of a run of all
//! scripts, with settlements, claims and removals that take several calls, is cut, a server starts on what is left
//! and a pod on the server. Every event that was accepted before the cut reaches all who want it.
//!
//! `store/walk/prefixes.rs` cuts at every command; here a seeded sample is cut, mostly between the calls.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use futures::future::join_all;
use holdfast::cli::sink::Mode;
use holdfast::config;
use holdfast::domain::ids::{Member, StreamId, SubscriptionId};
use holdfast::domain::retention::Retention;
use holdfast::domain::subscription::{State, Subscription};
use holdfast::domain::terms::Severity;
use holdfast::store::circuits::Wake;
use holdfast::store::connect::{Connection, FirstConnect};
use holdfast::store::drain::{Failure, Fetched, Redelivery};
use holdfast::store::events::{Entry, Stream};
use holdfast::store::frame::Frame;
use holdfast::store::recent;
use holdfast::store::retention::{Bounds, Offer};
use holdfast::store::settle::{Outcome, RefusalLimits, Settlement, Verdict};
use holdfast::store::{Partition, Store};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use super::harness::{DEAD_AFTER, Deployment, SOON, accepted, event};
use crate::support::{Aof, Holdfast, SHORT_TIMES, TestRedis, wait_until};

/// More than one settlement call takes.
const SUBSCRIPTIONS: usize = 300;
const LIMITS: RefusalLimits = RefusalLimits {
    bury_after: 1,
    open_after: 50,
};
/// Wants what the others don't; suspended, then removed with more than one call can drop.
const GONE: &str = "gone";

/// What happened, and by how much of the file it had.
struct Recording {
    aof: Aof,
    /// Accepted events, and whether they are for the many or for the one that is removed.
    events: BTreeMap<StreamId, bool>,
    /// Deliveries that were answered 2xx, or stood in a worker's file, once so many bytes were written.
    received: BTreeMap<(StreamId, SubscriptionId), usize>,
}

/// Drives the store as two workers would.
struct Recorder {
    redis: TestRedis,
    store: Store,
    partition: Arc<Partition>,
    many: Vec<SubscriptionId>,
    events: BTreeMap<StreamId, bool>,
    received: BTreeMap<(StreamId, SubscriptionId), usize>,
}

async fn store(redis: &TestRedis) -> Store {
    let connection = Connection::open(&config::Redis::default(), &redis.url(), FirstConnect::FailFast).await;
    Store::open(connection.unwrap(), "holdfast", Some(1)).await.unwrap()
}

fn id(name: &str) -> SubscriptionId {
    SubscriptionId::new(name).unwrap()
}

fn body(critical: bool) -> Frame {
    let text = event(1);
    Frame {
        source: "bmc-1".to_owned(),
        received_at: String::new(),
        event: Bytes::from(if critical {
            text.replace("\"OK\"", "\"Critical\"")
        } else {
            text
        }),
    }
}

fn settlement(id: StreamId, critical: bool, outcomes: Vec<(SubscriptionId, Verdict)>) -> Settlement {
    let outcome = |(subscription, verdict)| Outcome {
        subscription,
        verdict,
        wait: Duration::ZERO,
        floor: Duration::ZERO,
        error: "HTTP 503".to_owned(),
    };
    Settlement {
        id,
        frame: Arc::new(body(critical)),
        rejected: None,
        alone: false,
        outcomes: outcomes.into_iter().map(outcome).collect(),
    }
}

impl Recorder {
    async fn start() -> Self {
        let redis = TestRedis::with(&["--auto-aof-rewrite-percentage", "0"]);
        let store = store(&redis).await;
        let partition = Arc::clone(&store.partitions()[0]);
        partition.ensure_groups().await.unwrap();
        partition.recording.set(true);
        let many: Vec<_> = (0..SUBSCRIPTIONS).map(|n| id(&format!("s{n}"))).collect();
        let recorder = Self {
            redis,
            store,
            partition,
            many,
            events: BTreeMap::new(),
            received: BTreeMap::new(),
        };
        for name in recorder.many.iter().cloned().chain([id(GONE)]) {
            let mut subscription = Subscription::new(
                name.clone(),
                "http://sink.invalid/".parse().unwrap(),
                "2026-01-01T00:00:00Z".to_owned(),
            );
            let wanted = if name == id(GONE) {
                Severity::Ok
            } else {
                Severity::Critical
            };
            subscription.filter.severities = vec![wanted];
            recorder.store.add_subscription(subscription).await.unwrap();
        }
        recorder
    }

    async fn publish(&mut self, critical: bool) -> StreamId {
        let id = self.partition.publish(&body(critical)).await.unwrap();
        self.events.insert(id, critical);
        id
    }

    async fn read(&self, worker: &str, stream: Stream) -> Vec<Entry> {
        let reader = self.partition.reader(stream, worker).await.unwrap();
        reader.read(10_000, Duration::from_millis(1)).await.unwrap()
    }

    fn receive(&mut self, event: StreamId, subscription: &SubscriptionId) {
        let written = self.redis.written();
        self.received.entry((event, subscription.clone())).or_insert(written);
    }

    async fn suspend(&self, name: &str, suspended: bool) {
        let state = State::Suspended {
            reason: "asked for".to_owned(),
            since: "2026-01-01T00:00:00Z".to_owned(),
        };
        let state = if suspended { state } else { State::Enabled };
        self.store.set_state(&id(name), state).await.unwrap();
    }

    /// Events for one that is suspended: everything is parked, in settlements of many events.
    async fn park_for_one(&mut self) {
        self.suspend(GONE, true).await;
        let mut settlements = Vec::new();
        for _ in 0..SUBSCRIPTIONS {
            let event = self.publish(false).await;
            settlements.push(settlement(event, false, vec![(id(GONE), Verdict::Behind)]));
        }
        self.read("w1", Stream::Events).await;
        self.partition.settle("w1", LIMITS, &settlements).await.unwrap();
    }

    /// One event for many, settled in two calls, and one that is read and left alone.
    async fn settle_for_many(&mut self) {
        let (settled, left) = (self.publish(true).await, self.publish(true).await);
        self.read("w1", Stream::Events).await;
        self.partition.mark_alone("w1", left).await.unwrap();
        let verdicts = [Verdict::Delivered, Verdict::Unavailable, Verdict::WaitedTooLong];
        let outcomes: Vec<_> = self.many.iter().cloned().zip(verdicts.into_iter().cycle()).collect();
        for (subscription, verdict) in &outcomes {
            if *verdict == Verdict::Delivered {
                self.receive(settled, subscription);
            }
        }
        let settlements = [settlement(settled, true, outcomes)];
        self.partition.settle("w1", LIMITS, &settlements).await.unwrap();
    }

    /// Drains of every kind of end.
    async fn drain(&mut self) {
        while self.partition.reinject().await.unwrap().waiting > 0 {}
        for (n, entry) in self.read("w1", Stream::Redeliveries).await.iter().enumerate() {
            let subscription = entry.field("subscription").unwrap();
            let redelivery = Redelivery {
                id: entry.id,
                subscription: id(std::str::from_utf8(subscription).unwrap()),
                worker: "w1".to_owned(),
            };
            // The last thirty stay with the worker.
            if n < 170 {
                self.end(n % 6, &redelivery).await;
            }
        }
    }

    async fn end(&mut self, how: usize, redelivery: &Redelivery) {
        let fetched = self
            .partition
            .fetch(redelivery, 10, DEAD_AFTER, std::iter::empty())
            .await;
        let Fetched::Due { parked, .. } = fetched.unwrap() else {
            return;
        };
        let (partition, member) = (Arc::clone(&self.partition), parked[0].member);
        match how {
            0 | 1 => {
                self.receive(member.0, &redelivery.subscription);
                partition.delivered(redelivery, &[member]).await.unwrap();
                partition.finish(redelivery).await.unwrap();
            }
            2 => {
                let wait = Duration::from_secs(1);
                let refused = partition.refused(redelivery, member, wait, LIMITS, "HTTP 404");
                refused.await.unwrap();
                partition.finish(redelivery).await.unwrap();
            }
            3 => partition.leave_drain(redelivery).await.unwrap(),
            4 => {
                partition
                    .bury(redelivery, member, "poison", "killed workers")
                    .await
                    .unwrap();
                partition.finish(redelivery).await.unwrap();
            }
            _ => {
                let failure = Failure {
                    member,
                    wait: Duration::from_millis(10),
                    floor: Duration::ZERO,
                    status: Some(500),
                    tried: true,
                    max_attempts: 0,
                    error: "HTTP 500".to_owned(),
                };
                partition.failed(redelivery, &failure).await.unwrap();
            }
        }
    }

    /// Some of what is too much becomes dead letters, some goes to a file.
    async fn keep_limits(&mut self) {
        let gone = id(GONE);
        let bounds = |keep| Bounds {
            subscription: gone.clone(),
            limits: Retention::default(),
            keep: Some(keep),
        };
        let held = SUBSCRIPTIONS as u64;
        let (moved, _) = self.partition.bury_overflow(&bounds(held - 20), 0).await.unwrap();
        assert_eq!(moved.too_many, 20);
        let offered = self
            .partition
            .offer_overflow(&bounds(held - 40), 0, "w1", DEAD_AFTER)
            .await;
        let Offer::Lines { lines, .. } = offered.unwrap() else {
            panic!("nobody else writes")
        };
        let members: Vec<Member> = lines.iter().map(|line| line.member).collect();
        assert_eq!(members.len(), 20);
        for member in &members {
            self.receive(member.0, &gone);
        }
        for most in [&members[..], &[]] {
            self.partition.overflowed(&gone, "w1", most).await.unwrap();
        }
    }

    /// What is only looked at, and what is kept for that alone.
    async fn look(&self) {
        let names: Vec<&str> = self.many.iter().map(SubscriptionId::as_str).take(200).collect();
        self.partition.weighed_census(&names).await.unwrap();
        self.partition.held(&names).await.unwrap();
        self.partition.snapshot(DEAD_AFTER).await.unwrap();
        let letters = self.partition.obituaries(10).await.unwrap();
        assert!(!letters.is_empty());
        let events: BTreeSet<StreamId> = self.events.keys().take(2).copied().collect();
        self.partition.whereabouts(&events, &names).await.unwrap();
        let bounds = recent::Bounds {
            max_age_ms: 60_000,
            max_bytes: 16_384,
        };
        let trimmed = self.partition.trim(bounds).await.unwrap();
        assert!(trimmed.bytes <= 16_384, "{trimmed:?}");
    }

    /// What is left to an operator and to a peer.
    async fn operate(&mut self) {
        for letter in self.partition.dead_letters(None, 3).await.unwrap() {
            self.partition.replay(letter.id).await.unwrap();
        }
        self.suspend("s5", true).await;
        self.suspend("s5", false).await;
        self.partition.wake(&id("s1"), Wake::Fresh).await.unwrap();
        self.partition.heartbeat("w1").await.unwrap();
        self.partition.leave("w1").await.unwrap();
        for _ in 0..3 {
            self.partition.claim("w2", "w1", 0.0, Duration::ZERO, 20).await.unwrap();
        }
        self.partition.audit(&self.many).await.unwrap();
        self.store.remove_subscription(&id(GONE)).await.unwrap();
    }

    /// Fails where a script was never called. Their hashes come from a second server that loads them.
    fn check_scripts(&self) {
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store/lua");
        let text = |name: &str| std::fs::read_to_string(scripts.join(name)).unwrap();
        let other = TestRedis::start();
        for file in std::fs::read_dir(&scripts).unwrap() {
            let name = file.unwrap().file_name().into_string().unwrap();
            let script = match name.as_str() {
                "prelude.lua" => continue,
                "register.lua" => text(&name),
                _ => text("prelude.lua") + &text(&name),
            };
            let hash = other.cli(&["SCRIPT", "LOAD", &script]);
            assert_eq!(
                self.redis.cli(&["SCRIPT", "EXISTS", &hash]),
                "1",
                "{name} was never called"
            );
        }
    }
}

async fn record() -> Recording {
    let mut recorder = Recorder::start().await;
    recorder.park_for_one().await;
    recorder.settle_for_many().await;
    recorder.drain().await;
    recorder.keep_limits().await;
    recorder.look().await;
    recorder.operate().await;
    recorder.check_scripts();
    Recording {
        aof: recorder.redis.aof(),
        events: recorder.events,
        received: recorder.received,
    }
}

impl Recording {
    /// Mostly between two calls; some within the effects of one, some in the middle of a command.
    fn cuts(&self, seed: u64) -> Vec<usize> {
        let mut random = StdRng::seed_from_u64(seed);
        let commands = self.aof.commands(self.aof.len());
        let added = |words: &[&[u8]]| words[0].eq_ignore_ascii_case(b"XADD") && words[1].ends_with(b":events");
        let first = commands.iter().position(|command| added(&command.words)).unwrap();
        let later = &commands[first..];
        let calls = later
            .iter()
            .filter(|command| command.words[0].eq_ignore_ascii_case(b"EXEC"));
        let calls: Vec<usize> = calls.map(|command| command.end).collect();
        let within: Vec<usize> = later.iter().map(|command| command.end).collect();
        let mut cuts: Vec<usize> = calls.choose_multiple(&mut random, 8).copied().collect();
        cuts.extend(within.choose_multiple(&mut random, 3));
        cuts.extend((0..2).map(|_| random.random_range(within[0]..self.aof.len())));
        cuts
    }

    async fn survive(&self, at: usize) {
        let redis = TestRedis::on(&self.aof.cut(at), &[]);
        let store = store(&redis).await;
        let sink = Deployment::sink(Mode::Ok).await;
        let partition = Arc::clone(&store.partitions()[0]);
        let known = store.registry().await.unwrap().subscriptions;
        join_all(known.iter().map(|subscription| async {
            let url = sink.url("/").parse::<url::Url>().unwrap();
            let moved = |subscription: &mut Subscription| subscription.destination = url.clone();
            store.update_subscription(&subscription.id, moved).await.unwrap();
            store.set_state(&subscription.id, State::Enabled).await.unwrap();
        }))
        .await;
        let url = redis.url();
        // A removal that was cut short is the audit's to finish.
        let more = [
            ("HOLDFAST_REDIS__URL", url.as_str()),
            ("HOLDFAST_WORKER__AUDIT", "500ms"),
        ];
        let environment: Vec<(&str, &str)> = SHORT_TIMES.into_iter().chain(more).collect();
        let _pod = Holdfast::start(&["serve"], &environment);
        wait_until(&format!("all is delivered after a cut at {at}"), SOON, async || {
            let now = partition.snapshot(DEAD_AFTER).await.unwrap();
            now.workers > 0 && now.events == 0 && now.redeliveries == 0 && now.ledger.parked == 0
        })
        .await;
        let now = partition.snapshot(DEAD_AFTER).await.unwrap();
        assert_eq!(now.ledger.imbalance(), 0, "cut at {at}: {:?}", now.ledger);

        let mut has: BTreeSet<(StreamId, String)> = BTreeSet::new();
        has.extend(
            accepted(&sink)
                .into_iter()
                .map(|got| (got.event, got.subscription.to_string())),
        );
        let before = self.received.iter().filter(|(_, written)| **written <= at);
        has.extend(before.map(|((event, name), _)| (*event, name.to_string())));
        let dead = partition.dead_letters(None, 1_000).await.unwrap();
        has.extend(
            dead.into_iter()
                .filter_map(|letter| Some((letter.event?, letter.subscription?))),
        );
        let mut wanted = 0;
        for (event, critical) in self.accepted(at) {
            let takers = known.iter().filter(|known| (known.id != id(GONE)) == critical);
            for taker in takers {
                wanted += 1;
                assert!(
                    has.contains(&(event, taker.id.to_string())),
                    "cut at {at}: {event} for {}",
                    taker.id
                );
            }
        }
        println!("cut at {at} of {}: {wanted} deliveries are there", self.aof.len());
    }

    fn accepted(&self, at: usize) -> Vec<(StreamId, bool)> {
        let commands = self.aof.commands(at);
        let words = commands.iter().map(|command| &command.words);
        let added = words.filter(|words| words[0].eq_ignore_ascii_case(b"XADD") && words[1].ends_with(b":events"));
        let ids = added.map(|words| std::str::from_utf8(words[2]).unwrap().parse().unwrap());
        ids.map(|id: StreamId| (id, self.events[&id])).collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_service_survives_a_crash_of_redis_at_any_point() {
    let recording = record().await;
    let cuts = recording.cuts(7);
    futures::stream::iter(cuts)
        .for_each_concurrent(3, |at| recording.survive(at))
        .await;
}
