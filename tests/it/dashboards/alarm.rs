//! An outage as an operator on call hears of it: Holdfast, Prometheus with its alerts, Alertmanager, a webhook.

use std::ffi::OsString;
use std::path::Path;

use holdfast::cli::sink::{Mode, Sink};
use serde_json::Value;

use super::servers::{Server, now, program};
use super::{alerts, servers};
use crate::engine::harness::{Deployment, SOON};
use crate::support::{free_port, wait_until};

/// How long the circuit is made to have been open. The alert is for an hour.
const HOURS: u64 = 2;

/// The rules with nothing but their patience shortened.
fn impatient_rules() -> String {
    let rules = alerts::read("alerts.yaml");
    let lines = rules.lines().map(|line| match line.split_once("for: ") {
        Some((indent, _)) if indent.trim().is_empty() => format!("{indent}for: 1s\n"),
        _ => format!("{line}\n"),
    });
    let impatient: String = lines.collect();
    let patient = alerts::rules().iter().filter(|rule| rule["for"].is_string()).count();
    assert!(patient > 5);
    assert_eq!(impatient.matches("for: 1s\n").count(), patient);
    impatient
}

/// Alertmanager that tells a webhook at once.
async fn alertmanager(program: &[OsString], webhook: &Sink) -> Server {
    let url = webhook.url("/alerts");
    let configuration = format!(
        "route: {{receiver: on-call, group_by: [alertname], group_wait: 1s, group_interval: 1s, repeat_interval: 1h}}\n\
         receivers: [{{name: on-call, webhook_configs: [{{url: '{url}', send_resolved: true}}]}}]\n"
    );
    Server::alertmanager(program, &configuration).await
}

async fn prometheus(program: &Path, rules: &Path, admin: &str, alertmanager: &Server) -> Server {
    std::fs::write(rules, impatient_rules()).unwrap();
    let configuration = format!(
        "global: {{scrape_interval: 500ms, scrape_timeout: 500ms, evaluation_interval: 500ms}}\n\
         rule_files: ['{}']\n\
         scrape_configs: [{{job_name: holdfast, static_configs: [{{targets: ['{admin}']}}]}}]\n\
         alerting: {{alertmanagers: [{{static_configs: [{{targets: ['{}']}}]}}]}}\n",
        rules.display(),
        alertmanager.address(),
    );
    Server::prometheus(program, &configuration).await
}

/// What the webhook was told last about an alert whose label has this value; `None` when it was told nothing.
fn told(webhook: &Sink, (label, value): (&str, &str)) -> Option<Value> {
    let calls = webhook.deliveries().into_iter().rev();
    calls
        .filter_map(|call| serde_json::from_slice::<Value>(&call.body).ok())
        .find_map(|mut call| {
            let alerts = call["alerts"].as_array_mut()?.iter_mut();
            let mut about = alerts.filter(|alert| alert["labels"][label] == value);
            Some(about.next()?.take())
        })
}

/// Waits until the webhook was told so.
async fn hears(webhook: &Sink, about: (&str, &str), status: &str) -> Value {
    wait_until(
        &format!("the webhook hears that {about:?} is {status}"),
        SOON,
        async || told(webhook, about).is_some_and(|alert| alert["status"] == status),
    )
    .await;
    told(webhook, about).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscriber_that_goes_away_and_comes_back_is_told_to_a_webhook() {
    let Some(prometheus_program) = program(&["prometheus"]) else {
        return;
    };
    let Some(alertmanager_program) = servers::alertmanager() else {
        return;
    };
    let mut deployment = Deployment::start(0, &[("HOLDFAST_ADMIN__REFRESH", "200ms")]).await;
    let admin = format!("127.0.0.1:{}", free_port());
    deployment.add_pod(&[("HOLDFAST_ADMIN__LISTEN", &admin)]).await;
    let (webhook, well, ill) = (
        Deployment::sink(Mode::Ok).await,
        Deployment::sink(Mode::Ok).await,
        Deployment::sink(Mode::Refuse(None)).await,
    );
    let spared = deployment.subscribe(&well.url("/events"), |_| {}).await;
    let down = deployment.subscribe(&ill.url("/events"), |_| {}).await;
    let scratch = tempfile::tempdir().unwrap();
    let alertmanager = alertmanager(&alertmanager_program, &webhook).await;
    let rules = scratch.path().join("alerts.yaml");
    let _prometheus = prometheus(&prometheus_program, &rules, &admin, &alertmanager).await;

    deployment.publish(1).await;
    deployment.parked(1).await;
    let since = ((now() - HOURS * 3_600) * 1_000).to_string();
    let circuit = format!("holdfast:{{0}}:circuit:{down}");
    // Nothing of that is young or old but the circuit itself.
    assert_eq!(deployment.redis.cli(&["HSET", &circuit, "open", &since]), "0");
    let about = ("subscription", down.as_str());
    let firing = hears(&webhook, about, "firing").await;
    assert_eq!(firing["labels"]["alertname"], "HoldfastSubscriberDown", "{firing}");
    assert_eq!(firing["labels"]["severity"], "warning", "{firing}");
    let description = firing["annotations"]["description"].as_str().unwrap();
    assert!(
        description.contains(down.as_str()) && description.contains("2h 0m"),
        "{description}"
    );
    assert_eq!(
        firing["annotations"]["runbook"],
        "dashboards/RUNBOOK.md#holdfastsubscriberdown"
    );

    ill.set_mode(Mode::Ok).await;
    deployment.settled().await;
    deployment.expect_all_at(&down, &ill);
    let resolved = hears(&webhook, about, "resolved").await;
    assert_eq!(resolved["fingerprint"], firing["fingerprint"]);
    assert_eq!(told(&webhook, ("subscription", spared.as_str())), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_goes_away_and_comes_back_is_told_to_a_webhook() {
    let Some(prometheus_program) = program(&["prometheus"]) else {
        return;
    };
    let Some(alertmanager_program) = servers::alertmanager() else {
        return;
    };
    let mut deployment = Deployment::start(0, &[("HOLDFAST_ADMIN__REFRESH", "200ms")]).await;
    let admin = format!("127.0.0.1:{}", free_port());
    deployment.add_pod(&[("HOLDFAST_ADMIN__LISTEN", &admin)]).await;
    // Not before: a pod that has not reached Redis yet is one that does not.
    wait_until("the pod says that it reaches Redis", SOON, async || {
        let metrics = reqwest::get(format!("http://{admin}/metrics")).await.unwrap();
        metrics.text().await.unwrap().contains("holdfast_redis_connected 1")
    })
    .await;
    let webhook = Deployment::sink(Mode::Ok).await;
    let scratch = tempfile::tempdir().unwrap();
    let alertmanager = alertmanager(&alertmanager_program, &webhook).await;
    let rules = scratch.path().join("alerts.yaml");
    let _prometheus = prometheus(&prometheus_program, &rules, &admin, &alertmanager).await;

    let about = ("alertname", "HoldfastRedisUnreachable");
    deployment.redis.kill9();
    let firing = hears(&webhook, about, "firing").await;
    assert_eq!(firing["labels"]["severity"], "critical", "{firing}");
    deployment.redis.restart();
    let resolved = hears(&webhook, about, "resolved").await;
    assert_eq!(resolved["fingerprint"], firing["fingerprint"]);
}
