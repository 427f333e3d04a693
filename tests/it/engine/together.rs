//! Several parked events in one message: in order, acknowledged together, and never all blamed for one.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use holdfast::domain::ids::{DeliveryId, StreamId};
use holdfast::domain::subscription::{PayloadFormat, Subscription};
use rstest::rstest;

use super::harness::{Deployment, SOON};
use super::subscriber::{Reply, Seen, Subscriber};
use crate::support::wait_until;

/// How many events travelled in a request.
fn events(seen: &Seen) -> usize {
    let told = seen.headers.get("holdfast-events");
    told.map_or(1, |events| events.to_str().unwrap().parse().unwrap())
}

fn has(seen: &Seen, number: usize) -> bool {
    let text = String::from_utf8_lossy(&seen.body).into_owned();
    text.contains(&format!(r#""EventId":"{number}""#))
}

fn ids(accepted: &[DeliveryId]) -> Vec<StreamId> {
    accepted.iter().map(|delivery| delivery.event).collect()
}

/// A subscriber that is down until so many events wait for it, and what it got when everything was settled.
async fn recover(
    count: usize,
    settings: &[(&str, &str)],
    edit: impl FnOnce(&mut Subscription),
    script: impl Fn(&Seen) -> Reply + Send + Sync + 'static,
) -> (Deployment, Subscriber, Vec<StreamId>) {
    let deployment = Deployment::start(1, settings).await;
    let up = Arc::new(AtomicBool::new(false));
    let is_up = Arc::clone(&up);
    let subscriber = Subscriber::start(move |seen| match is_up.load(Ordering::SeqCst) {
        true => script(seen),
        false => Reply::Status(503),
    })
    .await;
    let together = |to: &mut Subscription| {
        to.coalesce = true;
        edit(to);
    };
    deployment.subscribe(&subscriber.url(), together).await;
    let published = deployment.publish(count).await;
    deployment.parked(count).await;
    up.store(true, Ordering::SeqCst);
    (deployment, subscriber, published)
}

#[tokio::test]
async fn a_backlog_travels_together_and_in_order() {
    let in_order = |to: &mut Subscription| to.max_in_flight = Some(1);
    let (deployment, subscriber, mut published) = recover(600, &[], in_order, |_| Reply::Status(200)).await;
    deployment.settled().await;
    published.sort_unstable();
    assert_eq!(ids(&subscriber.accepted()), published, "each once, oldest first");
    let seen = subscriber.seen();
    let sizes: Vec<usize> = seen.iter().map(events).collect();
    assert!(sizes.contains(&256), "{sizes:?}");
    let probes = seen.iter().filter(|seen| seen.answered_before == 0);
    assert!(probes.clone().count() > 1 && probes.map(events).all(|events| events == 1));
    let several: Vec<&Seen> = seen.iter().filter(|seen| events(seen) > 1).collect();
    let distinct: HashSet<_> = several.iter().map(|seen| seen.headers["webhook-id"].clone()).collect();
    assert_eq!(distinct.len(), several.len(), "each message has an id of its own");
    let ledger = deployment.ledger().await;
    assert_eq!(
        (ledger.delivered, ledger.dead_lettered),
        (600, 0),
        "deliveries are counted, not requests"
    );
}

#[rstest]
#[case::refused(400)]
#[case::failed(500)]
#[tokio::test]
async fn one_bad_event_is_found_among_many(#[case] status: u16) {
    let script = move |seen: &Seen| Reply::Status(if has(seen, 137) { status } else { 200 });
    let few = [("HOLDFAST_RETRY__REFUSED_ATTEMPTS", "2")];
    let (deployment, subscriber, published) = recover(300, &few, |_| {}, script).await;
    wait_until("one is given up", SOON, async || {
        deployment.ledger().await.dead_lettered == 1
    })
    .await;
    deployment.settled().await;
    let letters = deployment.dead_letters().await;
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].0, Some(published[137]), "the one to blame");
    let mut accepted = ids(&subscriber.accepted());
    accepted.sort_unstable();
    let mut others = published.clone();
    others.remove(137);
    others.sort_unstable();
    assert_eq!(accepted, others, "the others once each");
    assert!(
        subscriber.seen().iter().any(|seen| events(seen) > 1 && has(seen, 137)),
        "it travelled with others"
    );
}

#[tokio::test]
async fn a_subscriber_that_takes_few_at_once_gets_few() {
    let script = |seen: &Seen| Reply::Status(if events(seen) > 8 { 413 } else { 200 });
    let (deployment, subscriber, published) = recover(400, &[], |to| to.max_in_flight = Some(1), script).await;
    deployment.settled().await;
    assert_eq!(ids(&subscriber.accepted()).len(), published.len());
    let ledger = deployment.ledger().await;
    assert_eq!(
        (ledger.delivered, ledger.dead_lettered),
        (400, 0),
        "the number was to blame, nobody else"
    );
    let refused = subscriber.seen().iter().filter(|seen| events(seen) > 8).count();
    assert_eq!(refused, 1, "once is enough to know");
    assert!(
        subscriber
            .seen()
            .iter()
            .rev()
            .skip(1)
            .take(20)
            .all(|seen| events(seen) == 8)
    );
}

/// Who has no room for a large message may know no other way to say so than to break the connection.
#[tokio::test]
async fn a_subscriber_that_breaks_the_connection_on_many_gets_few() {
    let script = |seen: &Seen| {
        if events(seen) > 8 {
            Reply::Break
        } else {
            Reply::Status(200)
        }
    };
    let deployment = Deployment::start(1, &[]).await;
    let subscriber = Subscriber::start(script).await;
    let id = deployment
        .subscribe(&subscriber.url(), |to| {
            (to.coalesce, to.max_in_flight) = (true, Some(1))
        })
        .await;
    deployment.suspend(&id).await;
    let published = deployment.publish(400).await;
    deployment.parked(400).await;
    deployment.resume(&id).await;
    deployment.settled().await;
    assert_eq!(ids(&subscriber.accepted()).len(), published.len());
    let broken = subscriber.seen().iter().filter(|seen| events(seen) > 8).count();
    assert_eq!(broken, 1, "once is enough to know");
    assert!(!deployment.pods[0].stderr().contains("subscriber unavailable"));
}

#[rstest]
#[case::off(|to: &mut Subscription| to.coalesce = false)]
#[case::raw(|to: &mut Subscription| to.payload = PayloadFormat::Raw)]
#[tokio::test]
async fn each_goes_alone_where_that_is_asked_for(#[case] edit: fn(&mut Subscription)) {
    let (deployment, subscriber, published) = recover(100, &[], edit, |_| Reply::Status(200)).await;
    deployment.settled().await;
    assert_eq!(subscriber.accepted().len(), published.len());
    assert!(subscriber.seen().iter().all(|seen| events(seen) == 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_dies_with_many_on_their_way_loses_none() {
    let script = |seen: &Seen| {
        if events(seen) > 16 {
            Reply::Hold
        } else {
            Reply::Status(200)
        }
    };
    let (mut deployment, subscriber, published) = recover(400, &[], |_| {}, script).await;
    wait_until("many are on their way", SOON, async || {
        subscriber.in_flight() > 0 && subscriber.seen().iter().any(|seen| events(seen) > 16)
    })
    .await;
    deployment.pods[0].sigkill();
    let before = subscriber.accepted().len();
    deployment.add_pod(&[]).await;
    subscriber.open();
    deployment.settled().await;
    let accepted = ids(&subscriber.accepted());
    let distinct: HashSet<_> = accepted.iter().copied().collect();
    assert_eq!(distinct, published.iter().copied().collect(), "all of them");
    assert!(before < 400, "it died in the middle");
    assert_eq!(deployment.ledger().await.delivered, 400);
}
