//! Redis that comes back with less than a pod knows it had: said, and counted, whatever shows it.

use std::time::Duration;

use holdfast::cli::sink::Mode;

use super::harness::{Deployment, SOON};
use crate::support::{Holdfast, holds, wait_until};

/// What a pod's log says was less than before, each time.
fn said(pod: &Holdfast) -> Vec<String> {
    let log = pod.stderr();
    let lines = log.lines().filter(|line| line.contains("came back with less"));
    lines
        .map(|line| {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            assert_eq!(
                (&line["level"], &line["partition"]),
                (&"ERROR".into(), &0.into()),
                "{line}"
            );
            assert_ne!(line["from"], line["to"], "{line}");
            line["what"].as_str().unwrap().to_owned()
        })
        .collect()
}

/// What a pod shows; its log says where.
async fn metrics(pod: &Holdfast) -> String {
    let log = pod.stderr();
    let (_, rest) = log.split_once(r#""admin":""#).unwrap();
    let (admin, _) = rest.split_once('"').unwrap();
    let answer = reqwest::get(format!("http://{admin}/metrics")).await.unwrap();
    answer.text().await.unwrap()
}

/// Waits until a pod says what was less, first and just once; its metric agrees.
async fn expect(pod: &Holdfast, what: &str) {
    wait_until(&format!("{what} is said"), SOON, async || !said(pod).is_empty()).await;
    assert_eq!(said(pod), [what]);
    wait_until("it is counted", SOON, async || {
        metrics(pod).await.contains("holdfast_redis_stepped_back_total 1\n")
    })
    .await;
}

/// The last looks of a pod at Redis show what was settled.
async fn has_seen(pod: &Holdfast, settled: u64) {
    wait_until("the pod has seen it", SOON, async || {
        let line = format!("holdfast_ledger{{entry=\"settled\"}} {settled}\n");
        metrics(pod).await.contains(&line)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_that_hands_out_again_shows_it() {
    // Neither heartbeats nor gauges look in the time of this test.
    let slow = [
        ("HOLDFAST_WORKER__HEARTBEAT", "1h"),
        ("HOLDFAST_WORKER__DEAD_AFTER", "5h"),
        ("HOLDFAST_ADMIN__REFRESH", "1h"),
    ];
    let mut deployment = Deployment::start(1, &slow).await;
    let sink = Deployment::sink(Mode::Ok).await;
    let id = deployment.subscribe(&sink.url("/events"), |_| {}).await;
    deployment.publish(5).await;
    deployment.settled().await;
    deployment.pods[0].sigstop();
    deployment.publish(5).await;
    let written = deployment.redis.written();
    deployment.pods[0].sigcont();
    deployment.settled().await;
    assert!(said(&deployment.pods[0]).is_empty());
    deployment.redis.cut(written);
    expect(&deployment.pods[0], "the group's place in Events").await;
    deployment.settled().await;
    assert_eq!(deployment.expect_all_at(&id, &sink), 5, "sent again, with the same ids");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_id_that_falls_shows_it() {
    let slow = [
        ("HOLDFAST_WORKER__HEARTBEAT", "1h"),
        ("HOLDFAST_WORKER__DEAD_AFTER", "5h"),
        ("HOLDFAST_ADMIN__REFRESH", "100ms"),
    ];
    let mut deployment = Deployment::start(1, &slow).await;
    deployment.publish(5).await;
    deployment.settled().await;
    let written = deployment.redis.written();
    deployment.publish(5).await;
    deployment.settled().await;
    has_seen(&deployment.pods[0], 10).await;
    deployment.redis.cut(written);
    expect(&deployment.pods[0], "the last event's id").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_heartbeat_that_is_gone_shows_it_and_a_restart_does_not() {
    let quiet = [("HOLDFAST_ADMIN__REFRESH", "1h")];
    let mut deployment = Deployment::start(1, &quiet).await;
    let beats = async |deployment: &Deployment, count: usize| {
        let mut seen = std::collections::HashSet::new();
        wait_until("the pod's heart beats", SOON, async || {
            seen.insert(deployment.cli(&["ZRANGE", "holdfast:{0}:workers", "0", "-1", "WITHSCORES"]));
            seen.len() >= count
        })
        .await;
    };
    deployment.redis.restart();
    beats(&deployment, 3).await;
    assert!(said(&deployment.pods[0]).is_empty(), "what it had is there again");
    let written = deployment.redis.written();
    beats(&deployment, 4).await;
    deployment.redis.cut(written);
    expect(&deployment.pods[0], "this worker's heartbeat").await;
    holds("it is said once", Duration::from_secs(1), async || {
        said(&deployment.pods[0]).len() == 1
    })
    .await;
}
