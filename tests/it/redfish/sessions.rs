//! Sessions: how they begin, how long they live, and all the ways they end.

use reqwest::Method;
use serde_json::json;

use super::{ADMIN, PASSWORD, Pod, SESSIONS, account, messages, settings};
use crate::support::TestRedis;

const USED: &str = "holdfast:{redfish}:used";

/// Makes all sessions look as if they had been used last so long before now.
fn age(redis: &TestRedis, milliseconds: u64) -> u64 {
    let now = redis.cli(&["TIME"]);
    let mut parts = now.split_whitespace().map(|part| part.parse::<u64>().unwrap());
    let then = parts.next().unwrap() * 1000 + parts.next().unwrap() / 1000 - milliseconds;
    for id in redis.cli(&["ZRANGE", USED, "0", "-1"]).split_whitespace() {
        redis.cli(&["ZADD", USED, &then.to_string(), id]);
    }
    then
}

#[tokio::test]
async fn a_session_ends_when_it_is_not_used() {
    let redis = TestRedis::start();
    let pod = Pod::start(&redis).await;
    pod.add("bob", "Operator").await;
    let timeout = settings().session_timeout.millis();
    let (token, session) = pod.session("bob").await;
    let then = age(&redis, timeout / 2);
    assert_eq!(pod.with_token(&token, &session).await, 200);
    let used: f64 = redis
        .cli(&["ZSCORE", USED, session.rsplit('/').next().unwrap()])
        .trim()
        .parse()
        .unwrap();
    #[expect(
        clippy::cast_precision_loss,
        reason = "milliseconds since 1970 are exact in a double"
    )]
    let then = then as f64;
    assert!(used > then, "using it keeps it alive: {used} {then}");
    age(&redis, timeout);
    let listed = pod.get(SESSIONS).await;
    assert_eq!(listed["Members@odata.count"], 0, "{listed}");
    assert_eq!(pod.with_token(&token, &session).await, 401);
    assert_eq!(
        redis.cli(&["HLEN", "holdfast:{redfish}:sessions"]).trim(),
        "0",
        "and is gone"
    );
}

#[tokio::test]
async fn sessions_that_nobody_ended_are_swept_by_the_next_login() {
    let redis = TestRedis::start();
    let pod = Pod::start(&redis).await;
    pod.add("bob", "Operator").await;
    for _ in 0..3 {
        pod.session("bob").await;
    }
    age(&redis, settings().session_timeout.millis());
    pod.session("bob").await;
    assert_eq!(redis.cli(&["HLEN", "holdfast:{redfish}:sessions"]).trim(), "1");
    assert_eq!(redis.cli(&["ZCARD", USED]).trim(), "1");
}

#[tokio::test]
async fn there_is_an_end_to_sessions() {
    let redis = TestRedis::start();
    let pod = Pod::start(&redis).await;
    pod.add("bob", "Operator").await;
    pod.session("bob").await;
    for n in 0..255 {
        redis.cli(&["ZADD", USED, "9999999999999", &format!("other-{n}")]);
    }
    let answer = pod.login(ADMIN, PASSWORD).await;
    assert_eq!(answer.status(), 503);
    assert_eq!(messages(answer).await, ["SessionLimitExceeded"]);
}

#[tokio::test]
async fn a_session_ends_with_what_it_stands_on() {
    let redis = TestRedis::start();
    let pod = Pod::start(&redis).await;
    pod.add("bob", "Operator").await;
    let (token, session) = pod.session("bob").await;
    let changed = pod.patch(&account("bob"), json!({"Enabled": false})).await;
    assert_eq!(changed.status(), 200);
    assert_eq!(pod.with_token(&token, &session).await, 401, "the account is disabled");
    pod.patch(&account("bob"), json!({"Enabled": true})).await;
    assert_eq!(
        pod.with_token(&token, &session).await,
        401,
        "enabled again, it brings none back"
    );
    let (token, session) = pod.session("bob").await;
    assert_eq!(pod.with_token(&token, &account(ADMIN)).await, 403);
    pod.patch(&account("bob"), json!({"RoleId": "Administrator"})).await;
    assert_eq!(
        pod.with_token(&token, &account(ADMIN)).await,
        200,
        "a role is that of the moment, not of the login"
    );
    let ended = pod
        .request(Method::DELETE, &session)
        .header("X-Auth-Token", &token)
        .send()
        .await
        .unwrap();
    assert_eq!(ended.status(), 204);
    assert_eq!(pod.with_token(&token, &session).await, 401, "it was ended");
    let again = pod.admin(Method::DELETE, &session).send().await.unwrap();
    assert_eq!(again.status(), 404);
}

#[tokio::test]
async fn no_other_token_will_do() {
    let redis = TestRedis::start();
    let pod = Pod::start(&redis).await;
    pod.add("bob", "Operator").await;
    let (token, session) = pod.session("bob").await;
    let id = session.rsplit('/').next().unwrap();
    let flipped = token.chars().rev().collect::<String>();
    let changed = format!("{}{}", &token[..79], if token.ends_with('0') { '1' } else { '0' });
    for wrong in [
        "",
        id,
        &flipped,
        &changed,
        &token[1..],
        &format!("{token}0"),
        &token.to_uppercase(),
    ] {
        // An upper-case token may be the same one, where it has no letters; never in practice.
        assert_eq!(pod.with_token(wrong, &session).await, 401, "{wrong}");
    }
    assert_eq!(pod.with_token(&token, &session).await, 200, "guessing ends no session");
    let stored = redis.cli(&["HGETALL", "holdfast:{redfish}:sessions"]);
    assert!(
        !stored.contains(&token) && !stored.contains(&token[16..]),
        "the token is not kept"
    );
}

#[tokio::test]
async fn a_password_that_must_be_changed_is_good_for_nothing_else() {
    let redis = TestRedis::start();
    let pod = Pod::start(&redis).await;
    pod.add("bob", "Administrator").await;
    pod.patch(&account("bob"), json!({"PasswordChangeRequired": true}))
        .await;
    let (token, session) = pod.session("bob").await;
    let as_bob = |method: Method, path: &str| pod.request(method, path).header("X-Auth-Token", &token);
    for path in [SESSIONS, "/redfish/v1/AccountService", &account(ADMIN)] {
        let answer = as_bob(Method::GET, path).send().await.unwrap();
        assert_eq!(
            (answer.status().as_u16(), messages(answer).await),
            (403, vec!["PasswordChangeRequired".to_owned()])
        );
    }
    let root = as_bob(Method::GET, "/redfish/v1/?$expand=*").send().await.unwrap();
    assert_eq!(
        super::body(root).await["AccountService"].as_object().unwrap().len(),
        1,
        "nor by a detour"
    );
    let escape = json!({"PasswordChangeRequired": false}).to_string();
    let answer = as_bob(Method::PATCH, &account("bob"))
        .body(escape)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 403, "the flag alone can't be taken away");
    assert_eq!(as_bob(Method::GET, &account("bob")).send().await.unwrap().status(), 200);
    let change = json!({"Password": "a new password"}).to_string();
    assert_eq!(
        as_bob(Method::PATCH, &account("bob"))
            .body(change)
            .send()
            .await
            .unwrap()
            .status(),
        200
    );
    assert_eq!(pod.with_password("bob", "a new password").await, 200);
    assert_eq!(
        pod.with_token(&token, &session).await,
        401,
        "the session was the old password's"
    );
}

#[tokio::test]
async fn logging_in_works_at_the_memory_limit() {
    let redis = TestRedis::start();
    let pod = Pod::start(&redis).await;
    pod.add("bob", "Operator").await;
    redis.config_set("maxmemory", "1mb");
    assert!(redis.cli(&["SET", "x", "y"]).contains("OOM"));
    let (token, session) = pod.session("bob").await;
    assert_eq!(pod.with_token(&token, &session).await, 200);
    assert_eq!(pod.login("bob", "wrong password").await.status(), 401);
    assert_eq!(
        pod.patch(&account("bob"), json!({"RoleId": "ReadOnly"})).await.status(),
        200
    );
}
