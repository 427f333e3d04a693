//! Changes at the same moment, over two pods: each counts once, none is lost, no rule is broken in between.

use reqwest::Method;
use reqwest::header::{ETAG, IF_MATCH};
use serde_json::json;
use tokio::task::JoinSet;

use super::{ACCOUNTS, Pod, account, client, given};
use crate::support::TestRedis;

/// Statuses of requests that were all sent at once.
async fn at_once(requests: Vec<reqwest::RequestBuilder>) -> Vec<u16> {
    let mut running = JoinSet::new();
    for request in requests {
        running.spawn(async move { request.send().await.unwrap().status().as_u16() });
    }
    let mut statuses = running.join_all().await;
    statuses.sort_unstable();
    statuses
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_changes_with_one_etag_exactly_one_is_made() {
    let redis = TestRedis::start();
    let (one, other) = tokio::join!(Pod::start(&redis), Pod::start(&redis));
    one.add("bob", "Operator").await;
    for round in 0..5 {
        let read = one.admin(Method::GET, &account("bob")).send().await.unwrap();
        let etag = read.headers()[ETAG].clone();
        let requests = (0..12).map(|n| {
            let pod = if n % 2 == 0 { &one } else { &other };
            let role = if (n + round) % 3 == 0 { "ReadOnly" } else { "Operator" };
            let change = json!({"RoleId": role}).to_string();
            pod.admin(Method::PATCH, &account("bob"))
                .header(IF_MATCH, &etag)
                .body(change)
        });
        let statuses = at_once(requests.collect()).await;
        assert_eq!(statuses, [vec![200], vec![412; 11]].concat(), "round {round}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn changes_without_an_etag_are_all_made() {
    let redis = TestRedis::start();
    let (one, other) = tokio::join!(Pod::start(&redis), Pod::start(&redis));
    one.add("bob", "Operator").await;
    let requests = (0..12).map(|n| {
        let pod = if n % 2 == 0 { &one } else { &other };
        let change = if n < 6 {
            json!({"RoleId": "ReadOnly"})
        } else {
            json!({"Enabled": false})
        };
        pod.admin(Method::PATCH, &account("bob")).body(change.to_string())
    });
    assert_eq!(at_once(requests.collect()).await, [200; 12]);
    let bob = one.get(&account("bob")).await;
    assert_eq!(
        (&bob["RoleId"], &bob["Enabled"]),
        (&json!("ReadOnly"), &json!(false)),
        "no change undid another"
    );
    let stored = redis.cli(&["HGET", "holdfast:{redfish}:accounts", "bob"]);
    assert!(stored.contains("\"revision\":13"), "{stored}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_accounts_with_one_name_one_is_made() {
    let redis = TestRedis::start();
    let (one, other) = tokio::join!(Pod::start(&redis), Pod::start(&redis));
    let requests = (0..6).map(|n| {
        let pod = if n % 2 == 0 { &one } else { &other };
        let new = json!({"UserName": "bob", "Password": given("bob"), "RoleId": "ReadOnly"});
        pod.admin(Method::POST, ACCOUNTS).body(new.to_string())
    });
    assert_eq!(at_once(requests.collect()).await, [201, 400, 400, 400, 400, 400]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn administrators_who_remove_each_other_leave_one() {
    let redis = TestRedis::start();
    let (one, other) = tokio::join!(Pod::start(&redis), Pod::start(&redis));
    let names = ["ann", "bob", "cid", "dee"];
    for name in names {
        one.add(name, "Administrator").await;
    }
    // The first administrator steps down, so that these four are all there are.
    assert_eq!(
        one.patch(&account("admin"), json!({"RoleId": "ReadOnly"}))
            .await
            .status(),
        200
    );
    let mut requests = Vec::new();
    for (n, name) in names.into_iter().enumerate() {
        let victim = names[(n + 1) % names.len()];
        let pod = if n % 2 == 0 { &one } else { &other };
        let request = client().request(Method::DELETE, pod.url(&account(victim)));
        requests.push(request.basic_auth(name, Some(given(name))));
    }
    let statuses = at_once(requests).await;
    assert!(
        statuses.iter().all(|status| [204, 400, 401, 403].contains(status)),
        "{statuses:?}"
    );
    let left = redis.cli(&["HGETALL", "holdfast:{redfish}:accounts"]);
    let left = left.matches("\"role\":\"Administrator\"").count();
    let removed = statuses.iter().filter(|status| **status == 204).count();
    assert!(left >= 1, "{statuses:?}");
    assert_eq!(left + removed, names.len(), "{statuses:?}");
}

#[tokio::test]
async fn the_last_administrator_stays_one() {
    let redis = TestRedis::start();
    let pod = Pod::start(&redis).await;
    pod.add("bob", "Operator").await;
    for change in [json!({"Enabled": false}), json!({"RoleId": "Operator"})] {
        assert_eq!(pod.patch(&account("admin"), change).await.status(), 400);
    }
    assert_eq!(
        pod.admin(Method::DELETE, &account("admin"))
            .send()
            .await
            .unwrap()
            .status(),
        400
    );
    pod.add("ann", "Administrator").await;
    pod.patch(&account("ann"), json!({"Enabled": false})).await;
    let removed = pod.admin(Method::DELETE, &account("admin")).send().await.unwrap();
    assert_eq!(removed.status(), 400, "one that is disabled does not count");
    pod.patch(&account("ann"), json!({"Enabled": true})).await;
    assert_eq!(
        pod.admin(Method::DELETE, &account("admin"))
            .send()
            .await
            .unwrap()
            .status(),
        204
    );
}
