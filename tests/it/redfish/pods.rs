//! Every pod answers the same: what one was told, all know.

use reqwest::Method;
use serde_json::json;

use super::{ACCOUNTS, Pod, account, certificate, given};
use crate::support::TestRedis;

#[tokio::test]
async fn what_one_pod_was_told_the_other_knows() {
    let redis = TestRedis::start();
    let (one, other) = tokio::join!(Pod::start(&redis), Pod::start(&redis));
    one.add("bob", "Operator").await;
    assert_eq!(other.with_password("bob", &given("bob")).await, 200);
    let (token, session) = one.session("bob").await;
    assert_eq!(other.with_token(&token, &session).await, 200);
    for path in [
        "/redfish/v1/",
        ACCOUNTS,
        &account("bob"),
        "/redfish/v1/AccountService",
        &session,
    ] {
        assert_eq!(one.get(path).await, other.get(path).await, "{path}");
    }
    let changed = other
        .patch(&account("bob"), json!({"Password": "another password"}))
        .await;
    assert_eq!(changed.status(), 200);
    assert_eq!(one.with_password("bob", &given("bob")).await, 401, "the old password");
    assert_eq!(one.with_password("bob", "another password").await, 200);
    assert_eq!(
        one.with_token(&token, &session).await,
        401,
        "a session of the old password"
    );
    let removed = other.admin(Method::DELETE, &account("bob")).send().await.unwrap();
    assert_eq!(removed.status(), 204);
    assert_eq!(one.with_password("bob", "another password").await, 401);
}

#[tokio::test]
async fn sessions_end_with_what_they_were_opened_by() {
    let redis = TestRedis::start();
    let (one, other) = tokio::join!(Pod::start(&redis), Pod::start(&redis));
    let bob = account("bob");
    one.add("bob", "Operator").await;
    let kept = || redis.cli(&["HLEN", "holdfast:{redfish}:sessions"]).trim().to_owned();
    // A role is that of the moment.
    let (token, session) = one.session("bob").await;
    let accounts = |token: &str| {
        let request = one
            .request(Method::POST, ACCOUNTS)
            .header("X-Auth-Token", token.to_owned());
        request.body(json!({"UserName": "eve", "Password": "password of eve", "RoleId": "ReadOnly"}).to_string())
    };
    assert_eq!(accounts(&token).send().await.unwrap().status(), 403);
    assert_eq!(
        other.patch(&bob, json!({"RoleId": "Administrator"})).await.status(),
        200
    );
    assert_eq!(accounts(&token).send().await.unwrap().status(), 201);
    assert_eq!(other.patch(&bob, json!({"RoleId": "ReadOnly"})).await.status(), 200);
    assert_eq!(accounts(&token).send().await.unwrap().status(), 403);
    assert_eq!(one.with_token(&token, &session).await, 200);
    // Enabling the account again brings none back.
    assert_eq!(other.patch(&bob, json!({"Enabled": false})).await.status(), 200);
    assert_eq!(one.with_token(&token, &session).await, 401);
    assert_eq!(kept(), "0", "its place is free");
    assert_eq!(other.patch(&bob, json!({"Enabled": true})).await.status(), 200);
    assert_eq!(one.with_token(&token, &session).await, 401);
    // Nor does an account of the same name.
    let (token, session) = one.session("bob").await;
    let (_, eve) = one.session("eve").await;
    assert_eq!(other.admin(Method::DELETE, &bob).send().await.unwrap().status(), 204);
    one.add("bob", "Operator").await;
    assert_eq!(one.with_token(&token, &session).await, 401);
    let listed = one.get(super::SESSIONS).await;
    assert_eq!(listed["Members"], json!([{ "@odata.id": eve }]), "nobody else's");
    assert_eq!(kept(), "1");
    // One that somebody else's pod left behind is not shown.
    let account = redis.cli(&["HGET", "holdfast:{redfish}:accounts", "eve"]);
    let renewed = account.replace("\"generation\":\"", "\"generation\":\"0");
    redis.cli(&["HSET", "holdfast:{redfish}:accounts", "eve", &renewed]);
    assert_eq!(one.get(super::SESSIONS).await["Members@odata.count"], 0);
    assert_eq!(kept(), "1");
}

#[tokio::test]
async fn all_pods_show_one_certificate() {
    let redis = TestRedis::start();
    let (one, other) = tokio::join!(Pod::start(&redis), Pod::start(&redis));
    let shown = certificate(&one.url("/redfish")).await;
    assert_eq!(shown, certificate(&other.url("/redfish")).await);
    let later = Pod::start(&redis).await;
    assert_eq!(shown, certificate(&later.url("/redfish")).await);
}

#[tokio::test]
async fn an_account_that_is_made_again_has_none_of_the_old_sessions() {
    let redis = TestRedis::start();
    let pod = Pod::start(&redis).await;
    pod.add("bob", "Operator").await;
    let (token, session) = pod.session("bob").await;
    let removed = pod.admin(Method::DELETE, &account("bob")).send().await.unwrap();
    assert_eq!(removed.status(), 204);
    pod.add("bob", "Operator").await;
    assert_eq!(pod.with_token(&token, &session).await, 401);
    assert_eq!(pod.with_password("bob", &given("bob")).await, 200);
}
