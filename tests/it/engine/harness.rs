//! A deployment for one test: a private Redis, pods with short times, subscriptions, and the books to check.
//!
//! Every wait is for a state that Redis or a
//! subscriber shows, never for a time.

use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;
use holdfast::cli::sink::{Mode, Sink, SinkOptions};
use holdfast::config;
use holdfast::domain::ids::{DeliveryId, StreamId, SubscriptionId};
use holdfast::domain::subscription::{State, Subscription};
use holdfast::store::census::{Census, Ledger, Snapshot};
use holdfast::store::connect::{Connection, FirstConnect};
use holdfast::store::frame::Frame;
use holdfast::store::{Partition, Store};

pub(crate) use crate::support::DEAD_AFTER;
use crate::support::{Holdfast, SHORT_TIMES, TestRedis, exists, wait_until};

/// Far longer than anything here takes on a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(40);
pub(crate) const EVENTS: &str = "holdfast:{0}:events";
pub(crate) const REDELIVERIES: &str = "holdfast:{0}:redeliveries";

/// Redis, pods and subscriptions. Pods die before their Redis does.
pub(crate) struct Deployment {
    pub(crate) pods: Vec<Holdfast>,
    pub(crate) redis: TestRedis,
    pub(crate) store: Store,
    settings: Vec<(String, String)>,
    published: Mutex<Vec<StreamId>>,
    names: AtomicUsize,
}

impl Deployment {
    /// A fresh Redis and so many pods, with `settings` on top of the short times.
    pub(crate) async fn start(pods: usize, settings: &[(&str, &str)]) -> Self {
        let redis = TestRedis::start();
        let connection = Connection::open(&config::Redis::default(), &redis.url(), FirstConnect::FailFast)
            .await
            .unwrap();
        let store = Store::open(connection, "holdfast", Some(1)).await.unwrap();
        store.partitions()[0].ensure_groups().await.unwrap();
        let mut deployment = Self {
            pods: Vec::new(),
            redis,
            store,
            settings: settings
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            published: Mutex::default(),
            names: AtomicUsize::new(0),
        };
        for _ in 0..pods {
            deployment.add_pod(&[]).await;
        }
        deployment
    }

    /// Starts one more pod and waits for its first heartbeat; answers its place in `pods`.
    pub(crate) async fn add_pod(&mut self, more: &[(&str, &str)]) -> usize {
        let (at, name) = self.start_pod(more);
        let first = format!("{name}-");
        wait_until("the new pod lives", SOON, async || {
            let workers = self.cli(&["ZRANGE", "holdfast:{0}:workers", "0", "-1"]);
            workers.lines().any(|worker| worker.starts_with(&first))
        })
        .await;
        at
    }

    /// Starts one more pod; answers its place in `pods` and its name.
    pub(crate) fn start_pod(&mut self, more: &[(&str, &str)]) -> (usize, String) {
        let name = format!("pod{}", self.names.fetch_add(1, Ordering::Relaxed));
        let url = self.redis.url();
        let environment: Vec<(&str, &str)> = SHORT_TIMES
            .into_iter()
            .chain([("HOLDFAST_REDIS__URL", url.as_str()), ("HOLDFAST_WORKER__NAME", &name)])
            .chain(
                self.settings
                    .iter()
                    .map(|(name, value)| (name.as_str(), value.as_str())),
            )
            .chain(more.iter().copied())
            .collect();
        self.pods.push(Holdfast::start(&["serve"], &environment));
        (self.pods.len() - 1, name)
    }

    pub(crate) fn partition(&self) -> &Partition {
        &self.store.partitions()[0]
    }

    /// A subscriber that behaves as `mode` says and remembers all it got.
    pub(crate) async fn sink(mode: Mode) -> Sink {
        let options = SinkOptions {
            mode,
            keep: 50_000,
            ..SinkOptions::default()
        };
        Sink::start(options).await.unwrap()
    }

    /// Adds a subscription and waits until every pod knows it.
    pub(crate) async fn subscribe(&self, url: &str, edit: impl FnOnce(&mut Subscription)) -> SubscriptionId {
        let name = format!("s{}", self.names.fetch_add(1, Ordering::Relaxed));
        let id = SubscriptionId::new(&name).unwrap();
        let mut subscription = Subscription::new(id.clone(), url.parse().unwrap(), "2026-01-01T00:00:00Z".to_owned());
        // Each delivery in a request of its own, as most tests look at them.
        subscription.coalesce = false;
        edit(&mut subscription);
        let added = self.store.add_subscription(subscription).await.unwrap();
        self.in_force(added.version).await;
        id
    }

    pub(crate) async fn suspend(&self, id: &SubscriptionId) {
        let state = State::Suspended {
            reason: "asked for".to_owned(),
            since: "2026-01-01T00:00:00Z".to_owned(),
        };
        let changed = self.store.set_state(id, state).await.unwrap();
        self.in_force(changed.version).await;
    }

    pub(crate) async fn resume(&self, id: &SubscriptionId) {
        let changed = self.store.set_state(id, State::Enabled).await.unwrap();
        self.in_force(changed.version).await;
    }

    /// Waits until every running pod has loaded the subscriptions of this version.
    pub(crate) async fn in_force(&self, version: u64) {
        wait_until("the change is in force", SOON, async || {
            self.pods
                .iter()
                .filter(|pod| exists(pod.pid()))
                .all(|pod| loaded_version(&pod.stderr()) >= version)
        })
        .await;
    }

    /// Writes so many events straight into the stream, pipelined over several connections; answers their ids by
    /// number, which is not quite their order in the stream.
    pub(crate) async fn publish(&self, count: usize) -> Vec<StreamId> {
        let mut ids = Vec::with_capacity(count);
        for first in (0..count).step_by(1_000) {
            let numbers = first..count.min(first + 1_000);
            let written = join_all(numbers.map(|number| self.write(event(number)))).await;
            ids.extend(written.into_iter().map(Option::unwrap));
        }
        ids
    }

    /// Writes one event; `None` when Redis did not say that it has it.
    pub(crate) async fn write(&self, event: String) -> Option<StreamId> {
        let frame = Frame {
            source: "bmc-1".to_owned(),
            received_at: String::new(),
            event: Bytes::from(event),
        };
        let id = self.partition().publish(&frame).await.ok()?;
        self.published.lock().unwrap().push(id);
        Some(id)
    }

    /// Remembers an event that was written by hand.
    pub(crate) fn written(&self, id: &str) -> StreamId {
        let id = id.parse().unwrap();
        self.published.lock().unwrap().push(id);
        id
    }

    pub(crate) async fn snapshot(&self) -> Snapshot {
        self.partition().snapshot(DEAD_AFTER).await.unwrap()
    }

    pub(crate) async fn ledger(&self) -> Ledger {
        self.snapshot().await.ledger
    }

    pub(crate) async fn census(&self, id: &SubscriptionId) -> Census {
        self.partition().census(&[id.as_str()]).await.unwrap().1.remove(0)
    }

    /// Waits until exactly so many deliveries are parked and no event is waiting.
    pub(crate) async fn parked(&self, count: usize) {
        wait_until(&format!("{count} deliveries are parked"), SOON, async || {
            let now = self.snapshot().await;
            now.events == 0 && usize::try_from(now.ledger.parked).unwrap() == count
        })
        .await;
    }

    /// Waits until the circuit of a subscription is open.
    pub(crate) async fn open(&self, id: &SubscriptionId) {
        wait_until("the circuit is open", SOON, async || {
            self.census(id).await.open_since_ms.is_some()
        })
        .await;
    }

    /// Waits until nothing is left to do, then checks that the books add up.
    pub(crate) async fn settled(&self) {
        self.settled_within(SOON).await;
    }

    pub(crate) async fn settled_within(&self, timeout: Duration) {
        wait_until("everything is delivered", timeout, async || {
            let Ok(now) = self.partition().snapshot(DEAD_AFTER).await else {
                return false;
            };
            now.events == 0 && now.redeliveries == 0 && now.ledger.parked == 0
        })
        .await;
        self.check_ledger().await;
    }

    /// Every wanted delivery is accounted for.
    pub(crate) async fn check_ledger(&self) {
        let ledger = self.ledger().await;
        assert_eq!(ledger.imbalance(), 0, "{ledger:?}");
    }

    /// Fails unless a subscription got every event that was published; answers how many came twice.
    pub(crate) fn expect_all(&self, id: &SubscriptionId, accepted: &[DeliveryId]) -> usize {
        let published = self.published.lock().unwrap();
        let got: HashSet<StreamId> = accepted
            .iter()
            .filter(|delivery| delivery.subscription == *id)
            .map(|delivery| delivery.event)
            .collect();
        let lost: Vec<_> = published.iter().filter(|event| !got.contains(event)).collect();
        assert!(lost.is_empty(), "{} of {} lost: {lost:?}", lost.len(), published.len());
        accepted.iter().filter(|delivery| delivery.subscription == *id).count() - got.len()
    }

    /// The same for a sink.
    pub(crate) fn expect_all_at(&self, id: &SubscriptionId, sink: &Sink) -> usize {
        self.expect_all(id, &accepted(sink))
    }

    pub(crate) fn cli(&self, arguments: &[&str]) -> String {
        self.redis.cli(arguments)
    }

    /// Reasons of all dead letters, oldest first.
    pub(crate) async fn dead_letters(&self) -> Vec<(Option<StreamId>, String)> {
        let letters = self.partition().dead_letters(None, 1_000).await.unwrap();
        letters
            .into_iter()
            .map(|letter| (letter.event, letter.reason))
            .collect()
    }
}

/// What a sink answered with 2xx, in order.
pub(crate) fn accepted(sink: &Sink) -> Vec<DeliveryId> {
    sink.deliveries()
        .iter()
        .filter(|delivery| (200..300).contains(&delivery.status))
        .map(|delivery| delivery.id.parse().unwrap())
        .collect()
}

/// A small event that says its number.
pub(crate) fn event(number: usize) -> String {
    format!(
        r##"{{"@odata.type":"#Event.v1_7_0.Event","Id":"{number}","Name":"Event","Events":[{{"EventType":"Alert","EventId":"{number}","MemberId":"0","MessageId":"Base.1.0.GeneralError","MessageSeverity":"OK"}}]}}"##
    )
}

/// The version of the subscriptions that a pod has loaded last, by its log.
fn loaded_version(log: &str) -> u64 {
    log.lines()
        .rev()
        .find(|line| line.contains("subscriptions loaded"))
        .and_then(|line| line.split_once(r#""version":"#))
        .map(|(_, rest)| rest.chars().take_while(char::is_ascii_digit).collect::<String>())
        .and_then(|digits| digits.parse().ok())
        .unwrap_or(0)
}
