//! What a receiver sees: an id that never changes, the attempt, a signature that verifies, a length.

use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use holdfast::domain::subscription::Secret;

use super::harness::Deployment;
use super::subscriber::{Reply, Seen, Subscriber};

const KEY: &[u8; 32] = b"0123456789abcdef0123456789abcdef";

fn header<'a>(request: &'a Seen, name: &str) -> &'a str {
    request.headers[name].to_str().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_attempt_is_signed_counted_and_has_the_same_id() {
    let deployment = Deployment::start(2, &[]).await;
    let subscriber = Subscriber::start(|request| Reply::Status(if request.attempt < 4 { 503 } else { 204 })).await;
    let id = deployment
        .subscribe(&subscriber.url(), |subscription| {
            subscription.secret = Some(Secret::new(format!("whsec_{}", STANDARD.encode(KEY))));
            subscription.context = Some("rack 7".to_owned());
            subscription.headers = vec![
                ("x-api-key".to_owned(), Secret::new("theirs")),
                ("webhook-id".to_owned(), Secret::new("forged")),
            ];
        })
        .await;
    let event = deployment.publish(1).await[0];
    deployment.settled().await;

    let seen = subscriber.seen();
    let attempts: Vec<u32> = seen.iter().map(|request| request.attempt).collect();
    assert_eq!(attempts, [1, 2, 3, 4]);
    let key = hmac::Key::new(hmac::HMAC_SHA256, KEY);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    for request in &seen {
        assert_eq!(header(request, "webhook-id"), format!("{id}.0.{event}"));
        assert_eq!(header(request, "content-type"), "application/json");
        assert_eq!(header(request, "content-length"), request.body.len().to_string());
        assert!(!request.headers.contains_key("transfer-encoding"));
        assert_eq!(header(request, "x-api-key"), "theirs");
        assert_eq!(request.body, seen[0].body);
        assert!(request.body.windows(8).any(|part| part == b"\"rack 7\""));

        let sent: u64 = header(request, "webhook-timestamp").parse().unwrap();
        assert!(now.abs_diff(sent) < 60);
        let signature = header(request, "webhook-signature").strip_prefix("v1,").unwrap();
        let mut signed = format!("{id}.0.{event}.{sent}.").into_bytes();
        signed.extend_from_slice(&request.body);
        hmac::verify(&key, &signed, &STANDARD.decode(signature).unwrap()).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_subscriptions_with_one_destination_get_different_ids() {
    let deployment = Deployment::start(1, &[]).await;
    let subscriber = Subscriber::start(|_| Reply::Status(200)).await;
    let first = deployment.subscribe(&subscriber.url(), |_| {}).await;
    let second = deployment.subscribe(&subscriber.url(), |_| {}).await;
    deployment.publish(20).await;
    deployment.settled().await;
    let accepted = subscriber.accepted();
    assert_eq!(accepted.len(), 40);
    assert_eq!(deployment.expect_all(&first, &accepted), 0);
    assert_eq!(deployment.expect_all(&second, &accepted), 0);
}
