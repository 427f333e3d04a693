//! A run in which every script and every path of several calls occurs, and what was true at each byte of its
//! append-only file.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
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

use crate::engine::harness::{DEAD_AFTER, SOON, event};
use crate::support::{Aof, TestRedis};

/// How much of everything there is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scale {
    subscriptions: usize,
    /// Events that one suspended subscription waits for.
    parked: usize,
    /// Redeliveries that come to an end; the others stay with their worker.
    drained: usize,
    /// What is too much for a limit, and what a takeover claims at once.
    few: usize,
}

/// So little that every cut of it can be tried.
pub(crate) const COMPACT: Scale = Scale {
    subscriptions: 12,
    parked: 9,
    drained: 6,
    few: 2,
};

/// More than one call settles, claims or removes.
pub(crate) const LARGE: Scale = Scale {
    subscriptions: 300,
    parked: 300,
    drained: 170,
    few: 20,
};

/// Where deliveries go: of the length of any other listener's address, which takes its place.
pub(crate) const SINK: &str = "http://127.0.0.1:65535/";
const LIMITS: RefusalLimits = RefusalLimits {
    bury_after: 1,
    open_after: 50,
};
/// Wants what the others don't; suspended, then removed with more than one call can drop.
pub(crate) const GONE: &str = "gone";

/// What happened, and by how much of the file it had.
pub(crate) struct Recording {
    pub(crate) aof: Aof,
    /// Accepted events, and whether they are for the many or for the one that is removed.
    pub(crate) events: BTreeMap<StreamId, bool>,
    /// Deliveries that were answered 2xx, or stood in a worker's file, once so many bytes were written.
    pub(crate) received: BTreeMap<(StreamId, SubscriptionId), usize>,
    pub(crate) calls: Vec<Call>,
}

/// What a call of the store wrote, which several calls of its script may have done.
pub(crate) struct Call {
    /// The name of the script, or of the command where it is none.
    pub(crate) name: &'static str,
    pub(crate) from: usize,
    pub(crate) to: usize,
}

/// Drives the store as two workers would.
struct Recorder {
    scale: Scale,
    redis: TestRedis,
    store: Store,
    partition: Arc<Partition>,
    many: Vec<SubscriptionId>,
    events: BTreeMap<StreamId, bool>,
    received: BTreeMap<(StreamId, SubscriptionId), usize>,
    calls: Vec<Call>,
    /// One whose circuit is open.
    failed: Option<SubscriptionId>,
}

pub(crate) async fn store(redis: &TestRedis) -> Store {
    let connection = Connection::open(&config::Redis::default(), &redis.url(), FirstConnect::FailFast).await;
    Store::open(connection.unwrap(), "holdfast", Some(1)).await.unwrap()
}

pub(crate) fn id(name: &str) -> SubscriptionId {
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
    async fn start(scale: Scale) -> Self {
        // A write never waits for a fsync: what was answered is in the file.
        let redis = TestRedis::with(&["--auto-aof-rewrite-percentage", "0", "--appendfsync", "no"]);
        let store = store(&redis).await;
        let partition = Arc::clone(&store.partitions()[0]);
        partition.ensure_groups().await.unwrap();
        partition.recording.set(true);
        let many: Vec<_> = (0..scale.subscriptions).map(|n| id(&format!("s{n}"))).collect();
        let mut recorder = Self {
            scale,
            redis,
            store,
            partition,
            many,
            events: BTreeMap::new(),
            received: BTreeMap::new(),
            calls: Vec::new(),
            failed: None,
        };
        recorder.did("groups");
        let names: Vec<_> = recorder.many.iter().cloned().chain([id(GONE)]).collect();
        for name in names {
            let mut subscription =
                Subscription::new(name.clone(), SINK.parse().unwrap(), "2026-01-01T00:00:00Z".to_owned());
            let wanted = if name == id(GONE) {
                Severity::Ok
            } else {
                Severity::Critical
            };
            subscription.filter.severities = vec![wanted];
            recorder.store.add_subscription(subscription).await.unwrap();
            recorder.did("register");
        }
        recorder
    }

    /// What was written since the last call is this one's.
    fn did(&mut self, name: &'static str) {
        let from = self.calls.last().map_or(0, |call| call.to);
        let to = self.redis.written();
        self.calls.push(Call { name, from, to });
    }

    /// The last call ran this script as well.
    fn did_too(&mut self, name: &'static str) {
        let last = self.calls.last().unwrap();
        let (from, to) = (last.from, last.to);
        self.calls.push(Call { name, from, to });
    }

    async fn publish(&mut self, critical: bool) -> StreamId {
        let id = self.partition.publish(&body(critical)).await.unwrap();
        self.events.insert(id, critical);
        self.did("XADD");
        id
    }

    async fn read(&mut self, worker: &str, stream: Stream) -> Vec<Entry> {
        let reader = self.partition.reader(stream, worker).await.unwrap();
        let entries = reader.read(10_000, Duration::from_millis(1)).await.unwrap();
        self.did("XREADGROUP");
        entries
    }

    fn receive(&mut self, event: StreamId, subscription: &SubscriptionId) {
        let written = self.redis.written();
        self.received.entry((event, subscription.clone())).or_insert(written);
    }

    async fn suspend(&mut self, name: &str, suspended: bool) {
        let state = State::Suspended {
            reason: "asked for".to_owned(),
            since: "2026-01-01T00:00:00Z".to_owned(),
        };
        let state = if suspended { state } else { State::Enabled };
        self.store.set_state(&id(name), state).await.unwrap();
        self.did("suspend");
    }

    /// Events for one that is suspended: everything is parked, in settlements of many events.
    async fn park_for_one(&mut self) {
        self.suspend(GONE, true).await;
        let mut settlements = Vec::new();
        for _ in 0..self.scale.parked {
            let event = self.publish(false).await;
            settlements.push(settlement(event, false, vec![(id(GONE), Verdict::Behind)]));
        }
        self.read("w1", Stream::Events).await;
        self.partition.settle("w1", LIMITS, &settlements).await.unwrap();
        self.did("settle");
    }

    /// One event for many, settled in two calls, and one that is read and left alone.
    async fn settle_for_many(&mut self) {
        let (settled, left) = (self.publish(true).await, self.publish(true).await);
        self.read("w1", Stream::Events).await;
        self.partition.mark_alone("w1", left).await.unwrap();
        self.did("alone");
        let verdicts = [Verdict::Delivered, Verdict::Unavailable, Verdict::WaitedTooLong];
        let outcomes: Vec<_> = self.many.iter().cloned().zip(verdicts.into_iter().cycle()).collect();
        for (subscription, verdict) in &outcomes {
            if *verdict == Verdict::Delivered {
                self.receive(settled, subscription);
            }
        }
        let settlements = [settlement(settled, true, outcomes)];
        self.partition.settle("w1", LIMITS, &settlements).await.unwrap();
        self.did("settle");
    }

    /// Drains of every kind of end.
    async fn drain(&mut self) {
        while self.partition.reinject().await.unwrap().waiting > 0 {}
        self.did("reinject");
        for (n, entry) in self.read("w1", Stream::Redeliveries).await.iter().enumerate() {
            let subscription = entry.field("subscription").unwrap();
            let redelivery = Redelivery {
                id: entry.id,
                subscription: id(std::str::from_utf8(subscription).unwrap()),
                worker: "w1".to_owned(),
            };
            if n < self.scale.drained {
                self.end(n % 6, &redelivery).await;
            } else if n == self.scale.drained {
                self.find_suspended(&redelivery).await;
            }
        }
    }

    /// A drain whose subscription was suspended in the meantime ends where it begins.
    async fn find_suspended(&mut self, redelivery: &Redelivery) {
        let name = redelivery.subscription.as_str();
        self.suspend(name, true).await;
        let fetched = self
            .partition
            .fetch(redelivery, 10, DEAD_AFTER, std::iter::empty())
            .await;
        assert!(!matches!(fetched.unwrap(), Fetched::Due { .. }));
        self.did("fetch");
        self.suspend(name, false).await;
    }

    async fn end(&mut self, how: usize, redelivery: &Redelivery) {
        let fetched = self
            .partition
            .fetch(redelivery, 10, DEAD_AFTER, std::iter::empty())
            .await;
        self.did("fetch");
        let Fetched::Due { parked, .. } = fetched.unwrap() else {
            return;
        };
        let (partition, member) = (Arc::clone(&self.partition), parked[0].member);
        match how {
            0 | 1 => {
                self.receive(member.0, &redelivery.subscription);
                partition.delivered(redelivery, &[member]).await.unwrap();
                self.did("delivered");
                self.finish(redelivery).await;
            }
            2 => {
                let wait = Duration::from_secs(1);
                let refused = partition.refused(redelivery, member, wait, LIMITS, "HTTP 404");
                refused.await.unwrap();
                self.did("refused");
                self.finish(redelivery).await;
            }
            3 => {
                partition.leave_drain(redelivery).await.unwrap();
                self.did("leave");
            }
            4 => {
                partition
                    .bury(redelivery, member, "poison", "killed workers")
                    .await
                    .unwrap();
                self.did("bury");
                self.finish(redelivery).await;
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
                self.did("failed");
                self.failed = Some(redelivery.subscription.clone());
            }
        }
    }

    async fn finish(&mut self, redelivery: &Redelivery) {
        self.partition.finish(redelivery).await.unwrap();
        self.did("finish");
    }

    /// Some of what is too much becomes dead letters, some goes to a file.
    async fn keep_limits(&mut self) {
        let gone = id(GONE);
        let bounds = |keep| Bounds {
            subscription: gone.clone(),
            limits: Retention::default(),
            keep: Some(keep),
        };
        let (held, few) = (self.scale.parked as u64, self.scale.few as u64);
        let (moved, _) = self.partition.bury_overflow(&bounds(held - few), 0).await.unwrap();
        self.did("retain");
        assert_eq!(moved.too_many, few);
        let offered = self
            .partition
            .offer_overflow(&bounds(held - 2 * few), 0, "w1", DEAD_AFTER)
            .await;
        self.did("retain");
        let Offer::Lines { lines, .. } = offered.unwrap() else {
            panic!("nobody else writes")
        };
        let members: Vec<Member> = lines.iter().map(|line| line.member).collect();
        assert_eq!(members.len(), self.scale.few);
        for member in &members {
            self.receive(member.0, &gone);
        }
        for most in [&members[..], &[]] {
            self.partition.overflowed(&gone, "w1", most).await.unwrap();
            self.did("overflowed");
        }
    }

    /// What is only looked at, and what is kept for that alone.
    async fn look(&mut self) {
        self.partition.tell_sources().await.unwrap();
        self.did("heard");
        let many = self.many.clone();
        let names: Vec<&str> = many.iter().map(SubscriptionId::as_str).take(200).collect();
        self.partition.weighed_census(&names).await.unwrap();
        self.did("census");
        self.partition.held(&names).await.unwrap();
        self.did("held");
        self.partition.snapshot(DEAD_AFTER).await.unwrap();
        self.did("snapshot");
        let letters = self.partition.obituaries(10).await.unwrap();
        self.did("obituaries");
        assert!(!letters.is_empty());
        let events: BTreeSet<StreamId> = self.events.keys().take(2).copied().collect();
        self.partition.whereabouts(&events, &names).await.unwrap();
        self.did("parked");
        let bounds = recent::Bounds {
            max_age_ms: 60_000,
            max_bytes: 16_384,
        };
        let trimmed = self.partition.trim(bounds).await.unwrap();
        self.did("trim");
        assert!(trimmed.bytes <= 16_384, "{trimmed:?}");
    }

    /// What is left to an operator and to a peer.
    async fn operate(&mut self) {
        for letter in self.partition.dead_letters(None, 3).await.unwrap() {
            self.partition.replay(letter.id).await.unwrap();
            self.did("replay");
        }
        let failed = self.failed.clone().unwrap();
        self.partition.wake(&failed, Wake::Fresh).await.unwrap();
        self.did("wake");
        self.damage().await;
        let known: Vec<_> = self.many.iter().cloned().chain([id(GONE)]).collect();
        assert_eq!(self.partition.audit(&known, |_| SOON).await.unwrap(), 2);
        self.did("audit");
        self.did_too("orphans");
        self.partition.heartbeat("w1").await.unwrap();
        self.did("heartbeat");
        self.partition.leave("w1").await.unwrap();
        self.did("ZADD");
        for _ in 0..3 {
            let claimed = self.partition.claim("w2", "w1", 0.0, Duration::ZERO, self.scale.few);
            claimed.await.unwrap();
            self.did("claim");
        }
        self.partition.pulses(&[(id("s1"), Duration::ZERO)]).await.unwrap();
        self.did("pulse");
        self.partition.tell_sources().await.unwrap();
        self.did("heard");
        self.store.remove_subscription(&id(GONE)).await.unwrap();
        self.did("remove");
    }

    /// What an audit finds: a wake-up is gone, and so is the queue of one that nobody knows.
    async fn damage(&mut self) {
        const WAKEUPS: &str = "holdfast:{0}:wakeups";
        let event = self.publish(true).await;
        self.read("w1", Stream::Events).await;
        let mut outcomes: Vec<_> = self
            .many
            .iter()
            .map(|name| (name.clone(), Verdict::Delivered))
            .collect();
        for (subscription, _) in &outcomes {
            self.receive(event, subscription);
        }
        outcomes.push((id("stray"), Verdict::Behind));
        let settlements = [settlement(event, true, outcomes)];
        self.partition.settle("w1", LIMITS, &settlements).await.unwrap();
        self.did("settle");
        let waiting = self.redis.cli(&["ZRANGE", WAKEUPS, "0", "-1"]);
        let one = waiting.lines().find(|name| *name != "stray").unwrap();
        assert_eq!(self.redis.cli(&["ZREM", WAKEUPS, one]), "1");
        self.did("ZREM");
        assert_eq!(self.redis.cli(&["UNLINK", "holdfast:{0}:retry:stray"]), "1");
        self.did("UNLINK");
    }

    /// Fails where a script was never called, or is not among the calls. Their hashes come from a second server that
    /// loads them.
    fn check_scripts(&self) {
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store/lua");
        let text = |name: &str| std::fs::read_to_string(scripts.join(name)).unwrap();
        let other = TestRedis::start();
        for file in std::fs::read_dir(&scripts).unwrap() {
            let name = file.unwrap().file_name().into_string().unwrap();
            let script = match name.as_str() {
                "prelude.lua" => continue,
                // They move no events.
                other if ["login", "session_", "stream_"].iter().any(|of| other.starts_with(of)) => continue,
                "register.lua" => text(&name),
                _ => text("prelude.lua") + &text(&name),
            };
            let hash = other.cli(&["SCRIPT", "LOAD", &script]);
            assert_eq!(
                self.redis.cli(&["SCRIPT", "EXISTS", &hash]),
                "1",
                "{name} was never called"
            );
            let stem = name.trim_end_matches(".lua");
            assert!(
                self.calls.iter().any(|call| call.name == stem),
                "{name}: not among the calls"
            );
        }
    }
}

pub(crate) async fn record(scale: Scale) -> Recording {
    let mut recorder = Recorder::start(scale).await;
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
        calls: recorder.calls,
    }
}
