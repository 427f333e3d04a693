//! The subscriptions: versions, concurrent changes, and partitions that only grow.

use holdfast::config;
use holdfast::domain::ids::SubscriptionId;
use holdfast::domain::service::ServiceSettings;
use holdfast::domain::subscription::{State, Subscription};
use holdfast::store::connect::{Connection, FirstConnect};
use holdfast::store::settle::Verdict;
use holdfast::store::{Store, StoreError};
use tokio::task::JoinSet;

use super::{Bench, LONG, NOW, id};

fn subscription(id: SubscriptionId) -> Subscription {
    let destination = "http://127.0.0.1:9/".parse().unwrap();
    Subscription::new(id, destination, "2026-11-23T04:00:00Z".to_owned())
}

async fn open(bench: &Bench, partitions: Option<u16>) -> Result<Store, StoreError> {
    let settings = config::Redis::default();
    let connection = Connection::open(&settings, &bench.redis.url(), FirstConnect::FailFast).await?;
    Store::open(connection, "holdfast", partitions).await
}

#[tokio::test]
async fn every_change_has_a_version_of_its_own() {
    let bench = Bench::start().await;
    assert_eq!(bench.store.registry_version().await.unwrap(), 0);
    let added = bench.store.add_subscription(subscription(id("a"))).await.unwrap();
    assert!(added.version > 1_600_000_000_000, "versions begin with the clock");
    let taken = bench.store.add_subscription(subscription(id("a"))).await.unwrap_err();
    assert!(matches!(taken, StoreError::Taken(_)), "{taken}");
    let changed = bench
        .store
        .update_subscription(&id("a"), |subscription| {
            subscription.context = Some("rack 7".to_owned())
        })
        .await
        .unwrap();
    assert_eq!(changed.version, added.version + 1);
    let registry = bench.store.registry().await.unwrap();
    assert_eq!((registry.version, registry.subscriptions.len()), (changed.version, 1));
    assert_eq!(registry.get(&id("a")).map(AsRef::as_ref), Some(&changed));
    assert_eq!(bench.store.subscription(&id("a")).await.unwrap(), Some(changed));
    let unknown = bench.store.update_subscription(&id("b"), |_| {}).await.unwrap_err();
    assert!(matches!(unknown, StoreError::Unknown(_)), "{unknown}");
}

#[tokio::test]
async fn concurrent_changes_are_all_kept() {
    let bench = Bench::start().await;
    let added = bench.store.add_subscription(subscription(id("a"))).await.unwrap();
    let store = std::sync::Arc::new(open(&bench, None).await.unwrap());
    let mut writers = JoinSet::new();
    for n in 0..20 {
        let store = std::sync::Arc::clone(&store);
        writers.spawn(async move {
            let header = (format!("x-{n}"), holdfast::domain::subscription::Secret::new("s"));
            store
                .update_subscription(&id("a"), |subscription| subscription.headers.push(header.clone()))
                .await
                .unwrap();
        });
    }
    writers.join_all().await;
    let stored = bench.store.subscription(&id("a")).await.unwrap().unwrap();
    assert_eq!((stored.headers.len(), stored.version), (20, added.version + 20));
}

#[tokio::test]
async fn the_settings_share_the_version_and_hide_no_subscription() {
    let bench = Bench::start().await;
    let added = bench.store.add_subscription(subscription(id("a"))).await.unwrap();
    assert_eq!(bench.store.settings().await.unwrap(), ServiceSettings::default());
    let disable = |settings: &mut ServiceSettings| {
        settings.enabled = false;
        Ok::<_, StoreError>(())
    };
    bench.store.try_update_settings(disable).await.unwrap();
    let registry = bench.store.registry().await.unwrap();
    assert_eq!(registry.version, added.version + 1);
    assert_eq!((registry.subscriptions.len(), registry.unreadable.len()), (1, 0));
    assert!(!registry.settings.enabled);
    let refuse = |_: &mut ServiceSettings| Err(StoreError::Unknown(id("a")));
    bench.store.try_update_settings(refuse).await.unwrap_err();
    assert_eq!(bench.store.registry_version().await.unwrap(), registry.version);

    let _: i64 = bench
        .raw(&["HSET", "holdfast:subscriptions", ":settings", "{oops"])
        .await;
    let spoilt = bench.store.registry().await.unwrap();
    assert!(spoilt.spoilt_settings.is_some() && spoilt.settings.enabled && spoilt.unreadable.is_empty());
    let mended = bench.store.try_update_settings(disable).await.unwrap();
    assert_eq!(bench.store.settings().await.unwrap(), mended);
}

#[tokio::test]
async fn one_that_can_not_be_read_hides_no_other() {
    let bench = Bench::start().await;
    bench.store.add_subscription(subscription(id("a"))).await.unwrap();
    let _: i64 = bench.raw(&["HSET", "holdfast:subscriptions", "b", "{oops"]).await;
    let registry = bench.store.registry().await.unwrap();
    assert_eq!((registry.subscriptions.len(), registry.unreadable.len()), (1, 1));
    let error = bench.store.subscription(&id("b")).await.unwrap_err();
    assert!(matches!(error, StoreError::Subscription { .. }), "{error}");
}

#[tokio::test]
async fn suspending_and_resuming_reach_every_partition() {
    let bench = Bench::start().await;
    let store = open(&bench, Some(3)).await.unwrap();
    store.add_subscription(subscription(id("a"))).await.unwrap();
    let suspended = State::Suspended {
        reason: "an operator asked".to_owned(),
        since: "2026-11-23T04:00:00Z".to_owned(),
    };
    store.set_state(&id("a"), suspended).await.unwrap();
    for partition in store.partitions() {
        assert_eq!(partition.behind().await.unwrap(), ["a"]);
    }
    let resumed = store.set_state(&id("a"), State::Enabled).await.unwrap();
    for partition in store.partitions() {
        assert!(partition.behind().await.unwrap().is_empty());
        assert!(!partition.set_suspended(&id("a"), resumed.version, true).await.unwrap());
    }
}

/// The registry lost its newest writes, a circuit kept what they said.
#[tokio::test]
async fn a_state_of_which_only_the_circuit_knows_gives_way_to_the_registry() {
    let bench = Bench::start().await;
    bench.store.add_subscription(subscription(id("a"))).await.unwrap();
    bench.put("a", Verdict::Behind, NOW, 1).await;
    let suspend = || State::Suspended {
        reason: "an operator asked".to_owned(),
        since: "2026-11-23T04:00:00Z".to_owned(),
    };
    for after in ["apply", "resume"] {
        let _: i64 = bench.raw(&["COPY", "holdfast:subscriptions", "saved", "REPLACE"]).await;
        for _ in 0..5 {
            bench.store.set_state(&id("a"), suspend()).await.unwrap();
        }
        let _: String = bench.raw(&["RENAME", "saved", "holdfast:subscriptions"]).await;
        let known = bench.store.subscription(&id("a")).await.unwrap().unwrap();
        assert!(!known.is_suspended() && bench.circuit("a").await.contains_key("suspended"));
        match after {
            "apply" => drop(bench.store.apply_state(&known).await.unwrap()),
            _ => drop(bench.store.set_state(&id("a"), State::Enabled).await.unwrap()),
        }
        let circuit = bench.circuit("a").await;
        assert!(!circuit.contains_key("suspended"), "{after}: {circuit:?}");
        let now = bench.store.subscription(&id("a")).await.unwrap().unwrap();
        assert_eq!(circuit["version"], now.version.to_string(), "{after}");
        assert_eq!(bench.store.registry_version().await.unwrap(), now.version, "{after}");
        bench.sound(&["a"]).await;
    }
    let now = bench.store.subscription(&id("a")).await.unwrap().unwrap();
    bench.store.apply_state(&now).await.unwrap();
    let again = bench.store.subscription(&id("a")).await.unwrap().unwrap();
    assert_eq!(again.version, now.version, "where they agree nothing is written");
}

#[tokio::test]
async fn what_follows_from_an_answer_is_done_only_where_requests_still_go_there() {
    let bench = Bench::start().await;
    let (store, name) = (&bench.store, id("a"));
    let added = store.add_subscription(subscription(name.clone())).await.unwrap();
    let (here, elsewhere) = (added.destination, "http://127.0.0.1:8/".parse().unwrap());
    assert!(!store.suspend_at(&name, &elsewhere, "it said 410").await.unwrap());
    assert!(!store.remove_at(&name, &elsewhere).await.unwrap());
    assert_eq!(store.registry_version().await.unwrap(), added.version);
    assert!(bench.partition.tombstones().await.unwrap().is_empty());

    assert!(store.suspend_at(&name, &here, "it said 410").await.unwrap());
    assert!(bench.circuit("a").await.contains_key("suspended"));
    assert!(!store.suspend_at(&name, &here, "it said so again").await.unwrap());
    let known = store.subscription(&name).await.unwrap().unwrap();
    assert!(matches!(known.state, State::Suspended { reason, .. } if reason == "it said 410"));
    assert!(store.remove_at(&name, &here).await.unwrap());
    assert!(store.subscription(&name).await.unwrap().is_none());
    assert_eq!(bench.partition.tombstones().await.unwrap(), ["a"]);
    assert!(!store.remove_at(&name, &here).await.unwrap(), "a repeat finds none");
}

#[tokio::test]
async fn one_that_can_not_be_read_can_be_removed() {
    let bench = Bench::start().await;
    bench.store.add_subscription(subscription(id("a"))).await.unwrap();
    let _: i64 = bench.raw(&["HSET", "holdfast:subscriptions", "b", "{oops"]).await;
    assert!(bench.store.remove_subscription(&id("b")).await.unwrap());
    assert!(
        !bench.store.remove_subscription(&id("b")).await.unwrap(),
        "a repeat finds none"
    );
    let registry = bench.store.registry().await.unwrap();
    assert_eq!((registry.subscriptions.len(), registry.unreadable.len()), (1, 0));
}

#[tokio::test]
async fn a_new_destination_wakes_what_waits() {
    let bench = Bench::start().await;
    bench.store.add_subscription(subscription(id("a"))).await.unwrap();
    bench.put("a", Verdict::Unavailable, LONG, 1).await;
    bench
        .store
        .update_subscription(&id("a"), |subscription| subscription.context = Some("x".to_owned()))
        .await
        .unwrap();
    assert!(bench.sound(&["a"]).await.redeliveries.is_empty());
    bench
        .store
        .update_subscription(&id("a"), |subscription| {
            subscription.destination = "http://127.0.0.1:8/".parse().unwrap();
        })
        .await
        .unwrap();
    assert_eq!(bench.sound(&["a"]).await.redeliveries.len(), 1);
}

#[tokio::test]
async fn partitions_grow_and_shrink_only_when_empty() {
    let bench = Bench::start().await;
    let store = open(&bench, Some(3)).await.unwrap();
    store.partitions()[2].publish(&super::frame("{}")).await.unwrap();
    let Err(error) = open(&bench, Some(1)).await else {
        panic!("partition 2 holds an event");
    };
    let text = error.to_string();
    assert!(text.contains("HOLDFAST_REDIS__PARTITIONS=3"), "{text}");
    assert_eq!(open(&bench, None).await.unwrap().partitions().len(), 3);
    let key = store.partitions()[2].keys().events.clone();
    let _: i64 = bench.raw(&["DEL", &key]).await;
    assert_eq!(open(&bench, Some(1)).await.unwrap().partitions().len(), 1);
    assert_eq!(
        open(&bench, None).await.unwrap().partitions().len(),
        1,
        "the number is stored"
    );
}
