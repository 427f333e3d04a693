//! What a worker would do, through the library's store.

use std::sync::Arc;
use std::time::Duration;

use holdfast::config;
use holdfast::domain::ids::{StreamId, SubscriptionId};
use holdfast::domain::service::ServiceSettings;
use holdfast::store::connect::{Connection, FirstConnect};
use holdfast::store::events::Stream;
use holdfast::store::settle::{Outcome, RefusalLimits, Settlement, Verdict};
use holdfast::store::{Store, StoreError};

use crate::support::TestRedis;

/// Its name.
pub(super) const WORKER: &str = "worker-of-a-test";

/// The data of a deployment.
pub(super) async fn store(redis: &TestRedis) -> Store {
    let settings = config::Redis::default();
    let connection = Connection::open(&settings, &redis.url(), FirstConnect::FailFast)
        .await
        .unwrap();
    Store::open(connection, "holdfast", None).await.unwrap()
}

/// Switches publishing on or off, as an administrator does over Redfish.
pub(super) async fn publish(store: &Store, enabled: bool) {
    let edit = |settings: &mut ServiceSettings| {
        settings.enabled = enabled;
        Ok::<_, StoreError>(())
    };
    store.try_update_settings(edit).await.unwrap();
}

/// What a worker does with the next events: each is settled by `verdict` for `subscription`, or rejected.
pub(super) async fn settle(
    store: &Store,
    subscription: &str,
    verdict: Verdict,
    rejected: Option<&str>,
) -> Vec<StreamId> {
    let partition = &store.partitions()[0];
    partition.ensure_groups().await.unwrap();
    let reader = partition.reader(Stream::Events, WORKER).await.unwrap();
    let entries = reader.read(1000, Duration::from_millis(10)).await.unwrap();
    let settlements: Vec<Settlement> = entries
        .iter()
        .map(|entry| Settlement {
            id: entry.id,
            frame: Arc::new(entry.frame()),
            rejected: rejected.map(str::to_owned),
            alone: false,
            outcomes: match rejected {
                Some(_) => Vec::new(),
                None => vec![Outcome {
                    subscription: SubscriptionId::new(subscription).unwrap(),
                    verdict,
                    wait: Duration::from_secs(60),
                    floor: Duration::ZERO,
                    error: "connect: \u{1b}[31mrefused".to_owned(),
                }],
            },
        })
        .collect();
    let limits = RefusalLimits {
        bury_after: 5,
        open_after: 5,
    };
    let settled = partition.settle(WORKER, limits, &settlements).await.unwrap();
    assert!(settled.won.iter().all(|won| *won));
    partition.tell_sources().await.unwrap();
    entries.iter().map(|entry| entry.id).collect()
}
