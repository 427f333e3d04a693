use rstest::rstest;

use super::*;
use crate::domain::ids::SubscriptionId;
use crate::domain::subscription::Secret;

const CANARY: &str = "hunter2";

fn to(url: &str) -> Subscription {
    let id = SubscriptionId::new("k7m2q9xw4a").expect("an id");
    Subscription::new(id, url.parse().expect("a URL"), "2026-11-23T04:00:00Z".to_owned())
}

fn with(edit: impl FnOnce(&mut Subscription)) -> Subscription {
    let mut subscription = to("https://example.com/events");
    edit(&mut subscription);
    subscription
}

fn header(name: &str, value: &str) -> Subscription {
    with(|s| s.headers = vec![(name.to_owned(), Secret::new(value))])
}

#[rstest]
#[case("http://10.0.0.1:9000/a?b=c")]
#[case("https://[2001:db8::1]/")]
#[case("https://example.com")]
fn ordinary_destinations_pass(#[case] url: &str) {
    assert_eq!(to(url).validate(&Guard::default()), Ok(()));
}

#[rstest]
#[case("ftp://example.com/", "http:// or https://")]
#[case("mailto:a@b", "http:// or https://")]
#[case("https://bob:hunter2@example.com/", "Authorization")]
#[case("https://hunter2@example.com/", "Authorization")]
#[case("https://example.com/#top", "fragment")]
#[case("https://example.com:0/", "port 0")]
#[case("https://0x7f.1:9000/", "loopback")]
fn odd_destinations_do_not(#[case] url: &str, #[case] word: &str) {
    let problems = to(url).validate(&Guard::default()).expect_err(url);
    assert_eq!(problems[0].property, "Destination");
    assert!(problems[0].text.contains(word), "{problems:?}");
    assert!(!format!("{problems:?}").contains(CANARY), "{problems:?}");
}

#[rstest]
#[case(header("Content-Type", CANARY))]
#[case(header("webhook-id", CANARY))]
#[case(header("Holdfast-Attempt", CANARY))]
#[case(header("a b", CANARY))]
#[case(header("", CANARY))]
#[case(header("X-Token", "hunter2\r\nX-Evil: 1"))]
#[case(header("X-Token", "hunter2é"))]
#[case(header("X-Token", &CANARY.repeat(2000)))]
fn headers_that_cannot_be_sent_are_refused_without_their_value(#[case] subscription: Subscription) {
    let problems = subscription.validate(&Guard::default()).expect_err("refused");
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert_eq!(problems[0].property, "HttpHeaders");
    assert!(!problems[0].text.contains(CANARY), "{problems:?}");
}

#[rstest]
#[case("Secret", with(|s| s.secret = Some(Secret::new("whsec_hunter2"))))]
#[case("MaxInFlight", with(|s| s.max_in_flight = Some(0)))]
#[case("MaxInFlight", with(|s| s.max_in_flight = Some(1025)))]
#[case("MaxParked", with(|s| s.limits.max_parked = Some(0)))]
#[case("MaxParked", with(|s| s.limits.max_parked = Some(1_000_000_001)))]
#[case("MaxAge", with(|s| s.limits.max_age = Some(Period::from_millis(999))))]
#[case("MaxAge", with(|s| s.limits.max_age = Some(Period::from_secs(3651 * 24 * 3600))))]
#[case("Timeout", with(|s| s.timeout = Some(Period::from_millis(99))))]
#[case("Timeout", with(|s| s.timeout = Some(Period::from_secs(301))))]
#[case("RetryBackoff", with(|s| s.retry.backoff = Some(f64::NAN)))]
#[case("RetryBackoff", with(|s| s.retry.backoff = Some(0.5)))]
#[case("RetryDelay", with(|s| s.retry.delay = Some(Period::from_secs(0))))]
#[case("RetryMaxDelay", with(|s| (s.retry.delay, s.retry.max_delay) = (Some(Period::from_secs(2)), Some(Period::from_secs(1)))))]
#[case("RetryBackoff", with(|s| (s.retry_policy, s.retry.backoff) = (DeliveryRetryPolicy::RetryForever, Some(2.0))))]
#[case("CaFile", with(|s| s.ca_file = Some("ca.pem".into())))]
#[case("CaFile", with(|s| (s.ca_file, s.verify_certificate) = (Some("/ca.pem".into()), false)))]
#[case("Context", with(|s| s.context = Some("x".repeat(4097))))]
#[case("OriginResources", with(|s| s.filter.origin_resources = vec!["Systems/1".to_owned()]))]
fn each_rule_names_its_property(#[case] property: &str, #[case] subscription: Subscription) {
    let problems = subscription.validate(&Guard::default()).expect_err(property);
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert_eq!(problems[0].property, property);
    assert!(PROPERTIES.contains(&problems[0].property));
    assert!(!problems[0].text.contains(CANARY), "{problems:?}");
}

#[test]
fn all_problems_are_found_at_once() {
    let mut subscription = header("Host", "a");
    subscription.max_in_flight = Some(0);
    subscription.secret = Some(Secret::new("x"));
    assert_eq!(subscription.validate(&Guard::default()).expect_err("refused").len(), 3);
}

#[test]
fn a_subscription_stored_before_there_were_limits_has_none() {
    let stored = r#"{"id":"k7m2","destination":"http://h/","created_at":"2026-11-23T04:00:00Z"}"#;
    let read: Subscription = serde_json::from_str(stored).expect("a subscription");
    assert!(!read.limits.is_limited() && read.limits.is_default());
    assert!(!serde_json::to_string(&read).expect("JSON").contains("limits"));
}
