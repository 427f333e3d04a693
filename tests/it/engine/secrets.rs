//! Secrets at rest: a worker without the key keeps everything and sends nothing, and nothing shows a secret anywhere.

use holdfast::config::Secrets;
use holdfast::domain::ids::SubscriptionId;
use holdfast::domain::subscription::{DeliveryRetryPolicy, RetryOverrides, Secret, Subscription};
use holdfast::store::seal::Sealer;

use super::harness::{Deployment, SOON};
use super::subscriber::{Reply, Subscriber};
use crate::support::wait_until;

const OLD: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
const NEW: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
const SIGNING: &str = "whsec_Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5";
const REGISTRY: &str = "holdfast:subscriptions";

/// A deployment without pods whose own store seals with this key.
async fn sealed_by(key: &str) -> Deployment {
    let mut deployment = Deployment::start(0, &[]).await;
    let settings = Secrets {
        key: Some(key.to_owned().into()),
        ..Secrets::default()
    };
    deployment.store = deployment.store.sealed_by(Sealer::load(&settings).unwrap());
    deployment
}

/// With secrets, and a policy that would end it at the first failed attempt.
fn impatient(subscription: &mut Subscription) {
    subscription.headers = vec![("x-api-key".to_owned(), Secret::new("theirs"))];
    subscription.secret = Some(Secret::new(SIGNING));
    subscription.retry_policy = DeliveryRetryPolicy::TerminateAfterRetries;
    subscription.retry = RetryOverrides {
        max_attempts: Some(1),
        ..RetryOverrides::default()
    };
}

/// Waits until so many probes have failed, and answers the circuit's error.
async fn probed(deployment: &Deployment, id: &SubscriptionId, times: u32) -> String {
    wait_until("it was probed", SOON, async || {
        deployment.census(id).await.failures >= times
    })
    .await;
    deployment.census(id).await.error
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_key_everything_is_kept_and_with_it_everything_is_sent() {
    let mut deployment = sealed_by(OLD).await;
    let subscriber = Subscriber::start(|_| Reply::Status(200)).await;
    let id = deployment.subscribe(&subscriber.url(), impatient).await;
    deployment.add_pod(&[]).await;
    deployment.publish(5).await;
    deployment.parked(5).await;
    let error = probed(&deployment, &id, 3).await;
    let key = deployment.store.sealer().key_id().unwrap().to_owned();
    for word in ["header x-api-key", &key, "secrets.previous_keys"] {
        assert!(error.contains(word), "no {word:?} in {error}");
    }
    assert!(deployment.pods[0].stderr().contains("nothing can be sent to it"));
    assert_eq!(subscriber.seen().len(), 0, "nothing goes out without its key");

    deployment.pods[0].sigkill();
    deployment
        .add_pod(&[("HOLDFAST_SECRETS__KEY", NEW), ("HOLDFAST_SECRETS__PREVIOUS_KEYS", OLD)])
        .await;
    deployment.settled().await;
    assert_eq!(deployment.expect_all(&id, &subscriber.accepted()), 0);
    for request in subscriber.seen() {
        assert_eq!(
            (request.attempt, request.headers["x-api-key"].as_bytes()),
            (1, &b"theirs"[..])
        );
        assert!(request.headers.contains_key("webhook-signature"));
    }
    assert!(deployment.dead_letters().await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_that_was_moved_to_another_subscription_is_not_sent() {
    let mut deployment = sealed_by(OLD).await;
    let subscriber = Subscriber::start(|_| Reply::Status(200)).await;
    let rich = deployment.subscribe(&subscriber.url(), impatient).await;
    let poor = deployment.subscribe(&subscriber.url(), |_| {}).await;
    let stored = |id: &SubscriptionId| -> serde_json::Value {
        serde_json::from_str(&deployment.cli(&["HGET", REGISTRY, id.as_str()])).unwrap()
    };
    let mut thief = stored(&poor);
    thief["headers"] = stored(&rich)["headers"].clone();
    assert!(thief["headers"][0][1]["sealed"].is_string(), "{thief}");
    deployment.cli(&["HSET", REGISTRY, poor.as_str(), &thief.to_string()]);
    deployment.add_pod(&[("HOLDFAST_SECRETS__KEY", OLD)]).await;
    deployment.publish(1).await;
    let error = probed(&deployment, &poor, 2).await;
    assert!(error.contains("copied from elsewhere"), "{error}");
    wait_until("the other one gets its event", SOON, async || {
        subscriber.accepted().len() == 1
    })
    .await;
    assert_eq!(subscriber.accepted()[0].subscription, rich);

    deployment
        .store
        .update_subscription(&poor, |it| it.headers.clear())
        .await
        .unwrap();
    deployment.settled().await;
    assert_eq!(deployment.expect_all(&poor, &subscriber.accepted()), 0);
}
