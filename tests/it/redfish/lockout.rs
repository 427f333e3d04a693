//! Wrong passwords lock an account for a while, on every pod; nobody else is bothered.

use reqwest::Method;
use serde_json::json;

use super::{ADMIN, PASSWORD, Pod, account, given, messages, settings};
use crate::support::TestRedis;

const LOCKOUT: &str = "holdfast:{redfish}:lockout";

#[tokio::test]
async fn wrong_passwords_lock_an_account_on_every_pod() {
    let redis = TestRedis::start();
    let (one, other) = tokio::join!(Pod::start(&redis), Pod::start(&redis));
    one.add("bob", "Operator").await;
    let (token, session) = one.session("bob").await;
    assert_eq!(other.with_password("bob", &given("bob")).await, 200);
    for n in 0..settings().lockout_threshold {
        let pod = if n % 2 == 0 { &one } else { &other };
        let answer = pod.login("bob", "wrong password").await;
        assert_eq!(answer.status(), 401);
        assert_eq!(messages(answer).await, ["AccessUnauthorized"]);
    }
    for pod in [&one, &other] {
        assert_eq!(
            pod.login("bob", &given("bob")).await.status(),
            401,
            "the right password, too late"
        );
        assert_eq!(
            pod.with_password("bob", &given("bob")).await,
            401,
            "also where it is known"
        );
        assert_eq!(pod.get(&account("bob")).await["Locked"], true);
        assert_eq!(pod.with_token(&token, &session).await, 200, "who is in stays in");
        assert_eq!(pod.with_password(ADMIN, PASSWORD).await, 200, "others are not locked");
    }
    assert_eq!(one.patch(&account("bob"), json!({"Locked": true})).await.status(), 400);
    let unlocked = one.patch(&account("bob"), json!({"Locked": false})).await;
    assert_eq!(unlocked.status(), 200);
    assert_eq!(other.get(&account("bob")).await["Locked"], false);
    assert_eq!(other.login("bob", &given("bob")).await.status(), 201);
}

#[tokio::test]
async fn a_lock_ends_by_itself_and_a_count_is_forgotten() {
    let redis = TestRedis::start();
    let pod = Pod::start(&redis).await;
    pod.add("bob", "Operator").await;
    let most = settings().lockout_threshold;
    for _ in 0..most {
        pod.login("bob", "wrong password").await;
    }
    assert_eq!(pod.login("bob", &given("bob")).await.status(), 401);
    let kept = redis.cli(&["HGET", LOCKOUT, "bob"]);
    let kept: Vec<u64> = kept.split_whitespace().map(|number| number.parse().unwrap()).collect();
    assert_eq!(kept[2] - kept[1], settings().lockout_duration.millis());
    // The lock is over.
    redis.cli(&["HSET", LOCKOUT, "bob", "0 1000 1001"]);
    assert_eq!(pod.login("bob", &given("bob")).await.status(), 201);
    assert_eq!(redis.cli(&["HLEN", LOCKOUT]).trim(), "0", "success forgets");
    // One short of the threshold, but long ago.
    redis.cli(&["HSET", LOCKOUT, "bob", &format!("{} 1000 0", most - 1)]);
    assert_eq!(pod.login("bob", "wrong password").await.status(), 401);
    assert!(redis.cli(&["HGET", LOCKOUT, "bob"]).starts_with("1 "));
    assert_eq!(pod.login("bob", &given("bob")).await.status(), 201);
}

#[tokio::test]
async fn guessing_while_it_is_locked_does_not_lock_it_longer() {
    let redis = TestRedis::start();
    let pod = Pod::start(&redis).await;
    pod.add("bob", "Operator").await;
    for _ in 0..settings().lockout_threshold {
        pod.login("bob", "wrong password").await;
    }
    let kept = redis.cli(&["HGET", LOCKOUT, "bob"]);
    for _ in 0..3 {
        assert_eq!(pod.login("bob", "wrong password").await.status(), 401);
    }
    assert_eq!(redis.cli(&["HGET", LOCKOUT, "bob"]), kept);
}

#[tokio::test]
async fn names_that_are_no_accounts_leave_nothing_behind() {
    let redis = TestRedis::start();
    let pod = Pod::start(&redis).await;
    for n in 0..8 {
        let answer = pod.login(&format!("nobody-{n}"), "wrong password").await;
        assert_eq!(answer.status(), 401);
        assert_eq!(
            messages(answer).await,
            ["AccessUnauthorized"],
            "as for a wrong password"
        );
    }
    assert_eq!(redis.cli(&["EXISTS", LOCKOUT]).trim(), "0");
    // A field beside the accounts, and what else no account can be called.
    for name in [":version", "", "a b", "\u{0}"] {
        assert_eq!(pod.login(name, "wrong password").await.status(), 401, "{name:?}");
    }
    for method in [Method::GET, Method::PATCH, Method::DELETE] {
        let request = pod.admin(method.clone(), &account(":version")).body("{}");
        assert_eq!(request.send().await.unwrap().status(), 404, "{method}");
    }
}

#[tokio::test]
async fn a_threshold_of_zero_never_locks() {
    let redis = TestRedis::start();
    let mut never = settings();
    never.lockout_threshold = 0;
    let pod = Pod::with(&redis, &never).await;
    pod.add("bob", "Operator").await;
    for _ in 0..8 {
        assert_eq!(pod.login("bob", "wrong password").await.status(), 401);
    }
    assert_eq!(pod.login("bob", &given("bob")).await.status(), 201);
}
