//! A registry that was lost, or that lost its newest write: nothing is given up on the word of what is not there.

use holdfast::cli::sink::Mode;

use super::harness::{Deployment, SOON};
use super::subscriber::{Reply, Subscriber};
use crate::support::wait_until;

const REGISTRY: &str = "holdfast:subscriptions";
const AUDITED: (&str, &str) = ("HOLDFAST_WORKER__AUDIT", "200ms");
const TOMBSTONES: &str = "holdfast:{0}:removed";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_registry_that_is_gone_purges_nothing_and_ends_no_delivery() {
    let mut deployment = Deployment::start(1, &[AUDITED]).await;
    let sink = Deployment::sink(Mode::Status(503)).await;
    let id = deployment.subscribe(&sink.url("/events"), |_| {}).await;
    deployment.publish(50).await;
    deployment.parked(50).await;

    assert_eq!(deployment.cli(&["RENAME", REGISTRY, "saved"]), "OK");
    wait_until("it says what to do", SOON, async || {
        deployment.pods[0].stderr().contains("restore the key")
    })
    .await;
    let probes = sink.counts().requests;
    wait_until("the subscription is served as before", SOON, async || {
        sink.counts().requests >= probes + 5
    })
    .await;
    deployment.publish(5).await;
    deployment.parked(55).await;
    // One that is started meanwhile knows nobody, and takes nothing for unwanted.
    let (late, _) = deployment.start_pod(&[]);
    wait_until("it waits for the subscriptions", SOON, async || {
        deployment.pods[late].stderr().contains("restore the key")
    })
    .await;
    assert_eq!(deployment.cli(&["EXISTS", TOMBSTONES]), "0");

    assert_eq!(deployment.cli(&["RENAME", "saved", REGISTRY]), "OK");
    sink.set_mode(Mode::Ok).await;
    deployment.settled().await;
    deployment.expect_all_at(&id, &sink);
    let ledger = deployment.ledger().await;
    assert_eq!((ledger.dropped, ledger.unwanted), (0, 0), "{ledger:?}");
    wait_until("the late one works, and both say so", SOON, async || {
        deployment.pods[late].stderr().contains("worker started")
            && deployment
                .pods
                .iter()
                .all(|pod| pod.stderr().contains("in Redis again"))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tombstone_of_a_subscription_that_is_there_is_taken_away() {
    let deployment = Deployment::start(1, &[AUDITED]).await;
    let sink = Deployment::sink(Mode::Status(503)).await;
    let id = deployment.subscribe(&sink.url("/events"), |_| {}).await;
    let now = deployment.snapshot().await.now_ms.to_string();
    assert_eq!(deployment.cli(&["ZADD", TOMBSTONES, &now, id.as_str()]), "1");
    wait_until("it is taken away", SOON, async || {
        deployment.cli(&["EXISTS", TOMBSTONES]) == "0"
    })
    .await;
    assert!(deployment.pods[0].stderr().contains("marked as removed"));
    deployment.publish(10).await;
    deployment.parked(10).await;
    sink.set_mode(Mode::Ok).await;
    deployment.settled().await;
    assert_eq!(deployment.expect_all_at(&id, &sink), 0);
}

/// As after a failover of the registry's master, which had not passed on its last write.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_suspension_that_only_the_circuit_kept_ends() {
    let deployment = Deployment::start(1, &[AUDITED]).await;
    let sink = Deployment::sink(Mode::Ok).await;
    let id = deployment.subscribe(&sink.url("/events"), |_| {}).await;
    assert_eq!(deployment.cli(&["COPY", REGISTRY, "saved"]), "1");
    deployment.suspend(&id).await;
    deployment.publish(10).await;
    deployment.parked(10).await;
    assert_eq!(deployment.cli(&["RENAME", "saved", REGISTRY]), "OK");
    deployment.settled().await;
    assert_eq!(deployment.expect_all_at(&id, &sink), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_can_not_be_read_holds_up_nothing_and_loses_nothing() {
    let mut deployment = Deployment::start(1, &[AUDITED]).await;
    let sink = Deployment::sink(Mode::Status(503)).await;
    let id = deployment.subscribe(&sink.url("/events"), |_| {}).await;
    let cut = deployment.subscribe(&sink.url("/cut"), |_| {}).await;
    deployment.suspend(&cut).await;
    deployment.publish(10).await;
    deployment.parked(20).await;
    let json = deployment.cli(&["HGET", REGISTRY, id.as_str()]);
    deployment.cli(&["HSET", REGISTRY, id.as_str(), "{bad"]);
    deployment.cli(&["HDEL", REGISTRY, cut.as_str()]);
    deployment.cli(&["HINCRBY", REGISTRY, ":version", "1"]);
    wait_until("its drain has ended, to be tried again", SOON, async || {
        deployment.pods[0].stderr().contains("its deliveries wait")
            && deployment.census(&id).await.next_wakeup_ms.is_some()
    })
    .await;
    wait_until("the audit finishes the removal of the one after it", SOON, async || {
        deployment.ledger().await.dropped == 10
    })
    .await;
    let mut pod = deployment.pods.remove(0);
    pod.sigterm();
    assert!(pod.wait(SOON).success());
    assert!(!pod.stderr().contains("the shutdown deadline passed"));

    deployment.cli(&["HSET", REGISTRY, id.as_str(), &json]);
    deployment.cli(&["HINCRBY", REGISTRY, ":version", "1"]);
    sink.set_mode(Mode::Ok).await;
    deployment.add_pod(&[]).await;
    deployment.settled().await;
    assert_eq!(deployment.expect_all_at(&id, &sink), 0);
}

/// Between the registry and the first partition of a removal: the drain that is out finishes it, not an audit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_whose_subscription_is_gone_from_the_registry_ends() {
    let deployment = Deployment::start(1, &[]).await;
    let subscriber = Subscriber::start(|_| Reply::Hold).await;
    let id = deployment
        .subscribe(&subscriber.url(), |subscription| subscription.max_in_flight = Some(2))
        .await;
    deployment.suspend(&id).await;
    deployment.publish(100).await;
    deployment.parked(100).await;
    deployment.resume(&id).await;
    wait_until("the drain is under way", SOON, async || subscriber.in_flight() > 0).await;
    assert_eq!(deployment.cli(&["HDEL", REGISTRY, id.as_str()]), "1");
    let version = deployment.cli(&["HINCRBY", REGISTRY, ":version", "1"]);
    deployment.in_force(version.parse().unwrap()).await;
    subscriber.open();
    deployment.settled().await;
    let ledger = deployment.ledger().await;
    assert_eq!(ledger.delivered + ledger.dropped, 100, "{ledger:?}");
    assert!(ledger.dropped > 0, "{ledger:?}");
}
