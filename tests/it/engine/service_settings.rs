//! What is set for the whole service at run time: in force on every pod, and nothing is lost meanwhile.

use holdfast::cli::sink::{Mode, Sink};
use holdfast::domain::service::ServiceSettings;
use holdfast::domain::subscription::{DeliveryRetryPolicy, RetryOverrides, State};
use holdfast::domain::units::Period;
use holdfast::store::StoreError;

use super::harness::{Deployment, SOON, accepted};
use crate::support::wait_until;

/// Changes the settings and waits until every pod has them.
async fn set(deployment: &Deployment, edit: impl Fn(&mut ServiceSettings)) {
    deployment
        .store
        .try_update_settings(|settings| {
            edit(settings);
            Ok::<_, StoreError>(())
        })
        .await
        .unwrap();
    deployment
        .in_force(deployment.store.registry_version().await.unwrap())
        .await;
}

/// How many deliveries were answered 2xx.
fn got(sink: &Sink) -> usize {
    accepted(sink).len()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disabled_service_publishes_nothing_and_loses_nothing() {
    let mut deployment = Deployment::start(2, &[]).await;
    let (healthy, away) = (
        Deployment::sink(Mode::Ok).await,
        Deployment::sink(Mode::Status(503)).await,
    );
    deployment.subscribe(&healthy.url("/"), |_| {}).await;
    deployment.subscribe(&away.url("/"), |_| {}).await;
    deployment.publish(10).await;
    deployment.parked(10).await;
    set(&deployment, |settings| settings.enabled = false).await;

    away.set_mode(Mode::Ok).await;
    deployment.publish(50).await;
    // The wake-up of the one that was away is re-injected, and nobody takes it.
    wait_until("the redelivery waits", SOON, async || {
        deployment.snapshot().await.redeliveries == 1
    })
    .await;
    // A pod that comes and one that goes change nothing.
    deployment.add_pod(&[]).await;
    let mut first = deployment.pods.remove(0);
    first.sigterm();
    assert!(first.wait(SOON).success());
    let before = deployment.snapshot().await;
    assert_eq!((before.events, before.ledger.delivered), (50, 10));
    assert_eq!((got(&healthy), got(&away)), (10, 0));

    set(&deployment, |settings| settings.enabled = true).await;
    deployment.settled().await;
    assert_eq!((got(&healthy), got(&away)), (60, 60));
}

#[tokio::test(flavor = "multi_thread")]
async fn retries_and_interval_reach_every_pod_and_a_subscription_overrides_them() {
    // Without them the first retry would come after an hour, and after so many attempts nothing would end.
    let mut deployment = Deployment::start(
        1,
        &[("HOLDFAST_RETRY__DELAY", "1h"), ("HOLDFAST_RETRY__MAX_DELAY", "1h")],
    )
    .await;
    set(&deployment, |settings| {
        settings.retries = Some(1);
        settings.interval = Some(Period::from_millis(200));
    })
    .await;
    deployment.add_pod(&[]).await;
    let away = Deployment::sink(Mode::Status(503)).await;
    let policy = |policy, retry: RetryOverrides| {
        move |of: &mut holdfast::domain::subscription::Subscription| {
            of.retry_policy = policy;
            of.retry = retry;
        }
    };
    let none = RetryOverrides::default();
    let own = RetryOverrides {
        max_attempts: Some(1_000),
        ..none.clone()
    };
    let suspended = deployment
        .subscribe(
            &away.url("/"),
            policy(DeliveryRetryPolicy::SuspendRetries, none.clone()),
        )
        .await;
    let removed = deployment
        .subscribe(
            &away.url("/"),
            policy(DeliveryRetryPolicy::TerminateAfterRetries, none.clone()),
        )
        .await;
    let forever = deployment
        .subscribe(&away.url("/"), policy(DeliveryRetryPolicy::RetryForever, none))
        .await;
    let patient = deployment
        .subscribe(&away.url("/"), policy(DeliveryRetryPolicy::SuspendRetries, own))
        .await;
    deployment.publish(1).await;

    let store = &deployment.store;
    wait_until("the policies act after one retry", SOON, async || {
        let suspended = store.subscription(&suspended).await.unwrap().unwrap();
        suspended.is_suspended() && store.subscription(&removed).await.unwrap().is_none()
    })
    .await;
    let State::Suspended { reason, .. } = store.subscription(&suspended).await.unwrap().unwrap().state else {
        panic!("suspended");
    };
    assert_eq!(reason, "2 attempts failed (SuspendRetries)");
    for id in [&forever, &patient] {
        wait_until("attempts go on", SOON, async || {
            deployment.census(id).await.failures > 4
        })
        .await;
        assert!(!store.subscription(id).await.unwrap().unwrap().is_suspended());
    }
}
