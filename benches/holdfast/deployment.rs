//! A deployment to measure: a private Redis (append-only file, everysec), subscriptions, and workers with the
//! default settings unless a benchmark says otherwise.

use std::sync::OnceLock;
use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;
use holdfast::config;
use holdfast::domain::ids::{DeliveryId, StreamId, SubscriptionId};
use holdfast::domain::subscription::{Secret, Subscription};
use holdfast::store::census::Snapshot;
use holdfast::store::connect::{Connection, FirstConnect};
use holdfast::store::frame::Frame;
use holdfast::store::{Partition, Store};

use crate::sink;
use crate::support::{Holdfast, TestRedis, wait_until};
use crate::{SOON, events};

/// What every subscription signs with, as a careful subscriber would ask.
pub(crate) const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYqrTwjU";

/// The wait period of a subscriber that is down, where a benchmark waits for it.
pub(crate) const WAIT: Duration = Duration::from_secs(1);

/// The settings that make every wait that long.
pub(crate) const WAITING: [(&str, &str); 3] = [
    ("HOLDFAST_RETRY__DELAY", "1s"),
    ("HOLDFAST_RETRY__BACKOFF", "1.0"),
    ("HOLDFAST_RETRY__JITTER", "0"),
];

/// What was set for every worker on the command line.
static FOR_ALL: OnceLock<Vec<(String, String)>> = OnceLock::new();

/// Sets that, once.
pub(crate) fn set_for_all(settings: Vec<(String, String)>) {
    FOR_ALL.set(settings).unwrap();
}

/// `NAME=VALUE …`, empty where nothing was set.
pub(crate) fn settings_for_all() -> String {
    let settings = FOR_ALL.get().into_iter().flatten();
    settings.map(|(name, value)| format!("{name}={value} ")).collect()
}

/// Workers die before their Redis does.
pub(crate) struct Deployment {
    pub(crate) workers: Vec<Holdfast>,
    pub(crate) redis: TestRedis,
    pub(crate) store: Store,
}

impl Deployment {
    /// A fresh Redis with so many partitions and no worker yet.
    pub(crate) async fn start(partitions: u16) -> Self {
        let redis = TestRedis::with(&["--appendfsync", "everysec"]);
        let settings = config::Redis::default();
        let connection = Connection::open(&settings, &redis.url(), FirstConnect::FailFast)
            .await
            .unwrap();
        let store = Store::open(connection, "holdfast", Some(partitions)).await.unwrap();
        for partition in store.partitions() {
            partition.ensure_groups().await.unwrap();
        }
        Self {
            workers: Vec::new(),
            redis,
            store,
        }
    }

    /// Starts a worker on this Redis, or on what passes its commands on.
    pub(crate) fn add_worker(&mut self, url: &str, settings: &[(&str, &str)]) -> &Holdfast {
        let mut environment = vec![("HOLDFAST_REDIS__URL", url), ("HOLDFAST_WORKER__DRAIN_DELAY", "0s")];
        environment.extend_from_slice(settings);
        let for_all = FOR_ALL.get().into_iter().flatten();
        environment.extend(for_all.map(|(name, value)| (name.as_str(), value.as_str())));
        self.workers.push(Holdfast::start(&["serve"], &environment));
        &self.workers[self.workers.len() - 1]
    }

    /// Waits until the latest worker is ready.
    pub(crate) async fn lives(&self) {
        let worker = self.workers.last().expect("a worker");
        worker.answers("/readyz", SOON).await;
    }

    /// Stops all workers, as a shutdown does.
    pub(crate) fn stop_workers(&mut self) {
        for mut worker in self.workers.drain(..) {
            worker.sigterm();
            assert!(worker.wait(SOON).success());
        }
    }

    /// Adds a subscription.
    pub(crate) async fn subscribe(&self, name: &str, url: &str, edit: impl FnOnce(&mut Subscription)) {
        let id = SubscriptionId::new(name).unwrap();
        let mut subscription = Subscription::new(id, url.parse().unwrap(), "2026-01-01T00:00:00Z".to_owned());
        subscription.secret = Some(Secret::new(SECRET));
        // One POST a delivery, as the bare loop makes them.
        subscription.coalesce = false;
        edit(&mut subscription);
        self.store.add_subscription(subscription).await.unwrap();
    }

    pub(crate) fn partition(&self) -> &Partition {
        &self.store.partitions()[0]
    }

    /// Writes so many events as fast as Redis takes them.
    pub(crate) async fn publish(&self, count: usize) {
        for first in (0..count).step_by(1_000) {
            let numbers = first..count.min(first + 1_000);
            join_all(numbers.map(|number| self.write(events::event(number)))).await;
        }
    }

    /// Writes one event.
    pub(crate) async fn write(&self, event: Bytes) -> StreamId {
        let frame = Frame {
            source: "bmc-1".to_owned(),
            received_at: String::new(),
            event,
        };
        self.partition().publish(&frame).await.unwrap()
    }

    pub(crate) async fn snapshot(&self) -> Snapshot {
        let dead_after = config::Worker::default().dead_after.0;
        self.partition().snapshot(dead_after).await.unwrap()
    }

    /// Waits until so many deliveries are parked and no event waits.
    pub(crate) async fn parked(&self, count: usize) {
        wait_until(&format!("{count} deliveries are parked"), SOON, async || {
            let now = self.snapshot().await;
            now.events == 0 && usize::try_from(now.ledger.parked) == Ok(count)
        })
        .await;
    }

    /// Waits until nothing is left to do; fails unless the ledger says that exactly so many were delivered.
    pub(crate) async fn settled(&self, delivered: usize) {
        wait_until("everything is settled", SOON, async || {
            let now = self.snapshot().await;
            now.events == 0 && now.redeliveries == 0 && now.ledger.parked == 0
        })
        .await;
        let ledger = self.snapshot().await.ledger;
        assert_eq!(ledger.imbalance(), 0, "{ledger:?}");
        assert_eq!(usize::try_from(ledger.delivered), Ok(delivered), "{ledger:?}");
    }
}

/// What a sink remembers of the delivery of an event to a subscription.
pub(crate) fn delivery(subscription: &str, event: StreamId) -> u64 {
    let delivery = DeliveryId {
        subscription: SubscriptionId::new(subscription).unwrap(),
        partition: 0,
        event,
    };
    sink::hash(&delivery.to_string())
}
