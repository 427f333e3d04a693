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
