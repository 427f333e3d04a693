//! `redis.confirm_replicas` on real deployments: what was answered 200 survives the death of the master that took it.

use std::collections::HashSet;

use futures::future::join_all;
use reqwest::{Client, StatusCode};

use super::harness::{EVENTS, SOON, event};
use crate::support::{Holdfast, Proxy, SHORT_TIMES, Sentinel, TestRedis, cluster, login, wait_until};

/// A pod that takes events in and delivers none, so that they stay where they can be looked for.
async fn pod(url: &str, more: &[(&str, &str)]) -> Holdfast {
    let settings = [
        ("HOLDFAST_REDIS__URL", url),
        ("HOLDFAST_REDIS__CONFIRM_REPLICAS", "1"),
        // A replica that is held back is waited for until its master dies.
        ("HOLDFAST_REDIS__CONFIRM_TIMEOUT", "5s"),
        ("HOLDFAST_SERVE__ROLE", "api"),
    ];
    let environment: Vec<(&str, &str)> = SHORT_TIMES
        .into_iter()
        .filter(|(name, _)| !name.ends_with("LISTEN"))
        .chain(settings)
        .chain(more.iter().copied())
        .collect();
    let pod = Holdfast::start(&["serve"], &environment);
    pod.answers("/readyz", SOON).await;
    pod
}

/// Sends an event; whether it was accepted.
async fn post(client: &Client, pod: &Holdfast, number: usize) -> bool {
    let url = pod.intake(&format!("/events/bmc-{}", number % 20));
    let answer = client.post(url).body(event(number)).send().await;
    answer.is_ok_and(|answer| answer.status() == StatusCode::OK)
}

/// Sends events one after the other until so many were accepted, each with a number of its own from `first` on.
async fn accepted(client: &Client, pod: &Holdfast, first: usize, count: usize) -> HashSet<usize> {
    let mut accepted = HashSet::new();
    let mut next = first..;
    wait_until("events are accepted", SOON, async || {
        while accepted.len() < count {
            let number = next.next().unwrap_or_default();
            if !post(client, pod, number).await {
                return false;
            }
            accepted.insert(number);
        }
        true
    })
    .await;
    accepted
}

/// The numbers of the events that a server has.
fn held(server: &TestRedis, stream: &str) -> HashSet<usize> {
    let entries = server.cli(&["XRANGE", stream, "-", "+"]);
    let texts = entries.split(r#""EventId":""#).skip(1);
    texts.filter_map(|text| text.split('"').next()?.parse().ok()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_throws_nothing_accepted_away() {
    let (mut master, replica) = (TestRedis::start(), TestRedis::start());
    let link = Proxy::to(master.port()).await;
    replica.follow(link.port()).await;
    let sentinel = Sentinel::watch(master.port(), 1);
    wait_until("the sentinel knows the replica", SOON, async || {
        let known = sentinel.ask(&["SENTINEL", "replicas", "main"]);
        known.contains(&replica.port().to_string())
    })
    .await;
    let url = format!(
        "redis-sentinel://{}127.0.0.1:{}?sentinelServiceName=main",
        login(),
        sentinel.port()
    );
    let pod = pod(&url, &[]).await;
    let client = Client::builder().no_proxy().timeout(SOON).build().unwrap();
    let mut owed = accepted(&client, &pod, 0, 20).await;

    // What its replica can't get any more, and so may not be accepted. Stopping the replica would not do: its system
    // would take it in meanwhile.
    master.confirmed_by(1).await;
    link.freeze();
    let late = 1_000..1_040;
    let (answers, ()) = tokio::join!(
        join_all(late.clone().map(|number| post(&client, &pod, number))),
        async {
            wait_until("some of it is on the master", SOON, async || {
                held(&master, EVENTS).iter().any(|number| late.contains(number))
            })
            .await;
            master.kill9();
            replica.resume();
        }
    );
    wait_until("the replica is master", SOON, async || {
        replica.cli(&["ROLE"]).starts_with("master")
    })
    .await;
    owed.extend(
        late.zip(answers)
            .filter(|(_, accepted)| *accepted)
            .map(|(number, _)| number),
    );

    // It has no replica: nothing is accepted until the old master follows it.
    assert!(!post(&client, &pod, 2_000).await);
    wait_until("the sentinel is done", SOON, async || {
        let state = sentinel.ask(&["SENTINEL", "master", "main"]);
        !state.contains("failover_in_progress") && !state.contains("o_down")
    })
    .await;
    master.restart();
    owed.extend(accepted(&client, &pod, 3_000, 20).await);
    let held = held(&replica, EVENTS);
    let lost: Vec<_> = owed.difference(&held).collect();
    assert!(
        lost.is_empty(),
        "of {} that were accepted {lost:?} are gone",
        owed.len()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_partition_of_a_cluster_asks_its_own_master() {
    let (mut nodes, url) = cluster(1).await;
    let pod = pod(&url, &[("HOLDFAST_REDIS__PARTITIONS", "4")]).await;
    let client = Client::builder().no_proxy().timeout(SOON).build().unwrap();
    let mut owed = accepted(&client, &pod, 0, 100).await;
    let slot = nodes[0].cli(&["CLUSTER", "KEYSLOT", EVENTS]);
    let owner = nodes.iter().position(|node| {
        let keys = node.cli(&["CLUSTER", "COUNTKEYSINSLOT", &slot]);
        keys != "0" && node.cli(&["ROLE"]).starts_with("master")
    });
    nodes[owner.unwrap()].kill9();
    // Two or three sources in each partition; without its replica the killed one's partition accepts nothing.
    wait_until("three masters serve all slots", SOON, async || {
        let alive = nodes
            .iter()
            .enumerate()
            .filter(|(place, _)| Some(*place) != owner)
            .map(|(_, node)| node);
        let masters = alive.clone().filter(|node| node.cli(&["ROLE"]).starts_with("master"));
        masters.count() == 3
            && alive
                .clone()
                .all(|node| node.cli(&["CLUSTER", "INFO"]).contains("cluster_state:ok"))
    })
    .await;
    nodes[owner.unwrap()].restart();
    owed.extend(accepted(&client, &pod, 1_000, 100).await);
    let mut found = HashSet::new();
    for node in nodes.iter().filter(|node| node.cli(&["ROLE"]).starts_with("master")) {
        for partition in 0..4 {
            let tag = holdfast::store::keys::tag(partition);
            found.extend(held(node, &format!("holdfast:{{{tag}}}:events")));
        }
    }
    let lost: Vec<_> = owed.difference(&found).collect();
    assert!(
        lost.is_empty(),
        "of {} that were accepted {lost:?} are gone",
        owed.len()
    );
    let wrote = nodes
        .iter()
        .filter(|node| node.cli(&["INFO", "commandstats"]).contains("cmdstat_wait:"));
    assert!(wrote.count() >= 3, "each master was asked for its replicas");
}
