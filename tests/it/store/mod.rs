//! The store against a real Redis: every script's effects, and what must hold after each step.
//!
//! Each test has a private server. [`Bench`] drives the public API as workers would and reads the keys raw;
//! [`state::State`] is what a partition holds, with the invariants that hold at every moment.

mod audit;
mod dead_letters;
mod drain;
mod find;
mod large_settlements;
mod limits;
mod recent;
mod refusals;
mod registry;
mod removal;
mod retention;
mod settle;
mod state;
mod streams;
mod suspension;
mod takeover;
mod wakeups;
mod walk;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fred::prelude::{ClientLike, FromValue};
use fred::types::{ClusterHash, CustomCommand};
use holdfast::config;
use holdfast::domain::ids::{Member, StreamId, SubscriptionId};
use holdfast::store::connect::{Connection, FirstConnect};
use holdfast::store::drain::{Failed, Failure, Fetched, Parked, Redelivery, RefusedAs};
use holdfast::store::events::{Entry, Stream};
use holdfast::store::frame::Frame;
use holdfast::store::settle::{Outcome, RefusalLimits, Settled, Settlement, Verdict};
use holdfast::store::{Partition, Store};

use self::state::State;
use crate::support::TestRedis;

const LIMITS: RefusalLimits = RefusalLimits {
    bury_after: 5,
    open_after: 5,
};
/// Longer than any test runs.
const LONG: Duration = Duration::from_secs(600);
const NOW: Duration = Duration::ZERO;

/// A store on a server of its own, with one partition.
struct Bench {
    redis: TestRedis,
    /// The test's own hands.
    admin: Connection,
    store: Store,
    partition: Arc<Partition>,
}

impl Bench {
    async fn start() -> Self {
        let redis = TestRedis::start();
        let admin = open(&redis.admin_url()).await;
        let connection = open(&redis.url()).await;
        let store = Store::open(connection, "holdfast", Some(1)).await.unwrap();
        let partition = Arc::clone(&store.partitions()[0]);
        partition.ensure_groups().await.unwrap();
        Self {
            redis,
            admin,
            store,
            partition,
        }
    }

    /// The full name of one of the partition's keys.
    fn key(&self, name: &str) -> String {
        format!("{}{name}", self.partition.keys().events.trim_end_matches("events"))
    }

    /// One command as it stands, with the answer in the type asked for.
    async fn raw<R: FromValue>(&self, words: &[&str]) -> R {
        raw(&self.admin, words).await
    }

    async fn publish(&self, event: &str) -> StreamId {
        self.partition.publish(&frame(event)).await.unwrap()
    }

    /// Everything new, read by a worker.
    async fn read(&self, worker: &str, stream: Stream) -> Vec<Entry> {
        let reader = self.partition.reader(stream, worker).await.unwrap();
        reader.read(10_000, Duration::from_millis(1)).await.unwrap()
    }

    async fn settle(&self, worker: &str, settlements: &[Settlement]) -> Settled {
        self.partition.settle(worker, LIMITS, settlements).await.unwrap()
    }

    /// Publishes so many events, and settles each with the same verdict for one subscription.
    async fn put(&self, subscription: &str, verdict: Verdict, wait: Duration, count: usize) -> Vec<Member> {
        let mut members = Vec::new();
        for n in 0..count {
            let id = self.publish(&format!("event {n}")).await;
            members.push(Member(id));
        }
        self.read("w1", Stream::Events).await;
        for member in &members {
            let outcome = outcome(subscription, verdict, wait);
            self.settle("w1", &[settlement(member.0, vec![outcome])]).await;
        }
        members
    }

    /// Re-injects what is due and takes the first redelivery that this makes.
    async fn take(&self, worker: &str) -> Redelivery {
        self.partition.reinject().await.unwrap();
        let entries = self.read(worker, Stream::Redeliveries).await;
        redelivery(entries.first().expect("a redelivery is due"), worker)
    }

    /// Moves a redelivery to another worker, as a takeover does.
    async fn rob(&self, redelivery: &Redelivery, by: &str) -> Redelivery {
        let (key, id) = (self.key("redeliveries"), redelivery.id.to_string());
        let _: Vec<String> = self.raw(&["XCLAIM", &key, "workers", by, "0", &id, "JUSTID"]).await;
        Redelivery {
            worker: by.to_owned(),
            ..redelivery.clone()
        }
    }

    async fn fetch(&self, redelivery: &Redelivery, held: &[Member]) -> Fetched {
        let held = held.iter().copied();
        self.partition.fetch(redelivery, 100, LONG, held).await.unwrap()
    }

    async fn refuse(&self, redelivery: &Redelivery, member: Member, wait: Duration) -> (RefusedAs, bool) {
        let refused = self.partition.refused(redelivery, member, wait, LIMITS, "HTTP 404");
        refused.await.unwrap()
    }

    async fn fail(&self, redelivery: &Redelivery, failure: Failure) -> Failed {
        self.partition.failed(redelivery, &failure).await.unwrap()
    }

    /// The members of a retry queue in their order.
    async fn queue(&self, subscription: &str) -> Vec<String> {
        let key = self.partition.keys().retry(subscription);
        self.raw(&["ZRANGE", &key, "0", "-1"]).await
    }

    async fn wakeup(&self, subscription: &str) -> Option<i64> {
        let at: Option<f64> = self.raw(&["ZSCORE", &self.key("wakeups"), subscription]).await;
        #[expect(clippy::cast_possible_truncation, reason = "milliseconds since the epoch fit")]
        at.map(|at| at as i64)
    }

    async fn circuit(&self, subscription: &str) -> HashMap<String, String> {
        self.raw(&["HGETALL", &self.key(&format!("circuit:{subscription}"))])
            .await
    }

    async fn is_open(&self, subscription: &str) -> bool {
        self.circuit(subscription).await.contains_key("open")
    }

    async fn is_behind(&self, subscription: &str) -> bool {
        let behind = self.partition.behind().await.unwrap();
        behind.iter().any(|id| id == subscription)
    }

    async fn now(&self) -> i64 {
        let now = self.partition.snapshot(LONG).await.unwrap().now_ms;
        i64::try_from(now).unwrap()
    }

    /// Everything that the partition holds; fails where an invariant is broken.
    async fn sound(&self, subscriptions: &[&str]) -> State {
        let state = State::read(&self.admin, &self.partition, subscriptions).await;
        assert_eq!(state.faults(), Vec::<String>::new());
        state
    }
}

async fn open(url: &str) -> Connection {
    let settings = config::Redis::default();
    Connection::open(&settings, url, FirstConnect::FailFast).await.unwrap()
}

async fn raw<R: FromValue>(admin: &Connection, words: &[&str]) -> R {
    let command = CustomCommand::new(words[0].to_owned(), ClusterHash::FirstKey, false);
    let answer: Result<R, _> = admin.client().custom(command, words[1..].to_vec()).await;
    answer.unwrap_or_else(|error| panic!("{words:?}: {error}"))
}

fn id(subscription: &str) -> SubscriptionId {
    SubscriptionId::new(subscription).unwrap()
}

fn frame(event: &str) -> Frame {
    Frame {
        source: "bmc-7".to_owned(),
        received_at: "2026-11-23T04:00:00Z".to_owned(),
        event: Bytes::copy_from_slice(event.as_bytes()),
    }
}

fn redelivery(entry: &Entry, worker: &str) -> Redelivery {
    let subscription = entry.field("subscription").unwrap();
    Redelivery {
        id: entry.id,
        subscription: id(std::str::from_utf8(subscription).unwrap()),
        worker: worker.to_owned(),
    }
}

fn outcome(subscription: &str, verdict: Verdict, wait: Duration) -> Outcome {
    Outcome {
        subscription: id(subscription),
        verdict,
        wait,
        floor: Duration::ZERO,
        error: "HTTP 503".to_owned(),
    }
}

fn settlement(id: StreamId, outcomes: Vec<Outcome>) -> Settlement {
    Settlement {
        id,
        frame: Arc::new(frame(&format!("event {id}"))),
        rejected: None,
        alone: false,
        outcomes,
    }
}

fn failure(member: Member, wait: Duration, status: Option<u16>) -> Failure {
    Failure {
        member,
        wait,
        floor: Duration::ZERO,
        status,
        tried: true,
        max_attempts: 0,
        error: "refused".to_owned(),
    }
}

/// What a fetch gave, or a failure with what came in its place.
fn due(fetched: Fetched) -> Vec<Parked> {
    match fetched {
        Fetched::Due { parked, .. } => parked,
        other => panic!("nothing due: {other:?}"),
    }
}

fn names(parked: &[Parked]) -> Vec<Member> {
    parked.iter().map(|parked| parked.member).collect()
}
