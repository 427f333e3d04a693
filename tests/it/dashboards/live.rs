//! The queries against what a live deployment exports, once everything has happened that makes a series.

use std::collections::BTreeSet;

use holdfast::cli::sink::Mode;
use holdfast::domain::ids::SubscriptionId;
use serde_json::json;

use super::series::Series;
use super::{alerts, dashboards, queries};
use crate::engine::harness::{Deployment, SOON, event};
use crate::support::{TestRedis, free_port, free_ports, wait_until};

async fn scrape(admin: &str) -> String {
    let answer = reqwest::get(format!("http://{admin}/metrics")).await.unwrap();
    answer.text().await.unwrap()
}

/// A deployment that had an outage, and what it exported meanwhile.
pub(super) struct Story {
    pub(super) series: Series,
    /// The subscriber that was away.
    pub(super) late: SubscriptionId,
    _deployment: Deployment,
}

/// A subscriber that is well, one that refuses and then recovers, a Redis that stalls, and one that would lose all.
/// Its two pods export their metrics at these addresses. Each state stands until `seen` has had a look at that pod.
pub(super) async fn after_an_outage(admins: &[String; 2], seen: impl AsyncFn(&str)) -> Story {
    // A wait that is seen: some scrapes fall between two probes.
    let settings = [("HOLDFAST_ADMIN__REFRESH", "100ms"), ("HOLDFAST_RETRY__DELAY", "5s")];
    let mut deployment = Deployment::start(0, &settings).await;
    deployment.redis.config_set("maxmemory", "256mb");
    // The label `fsync` is for those who let Holdfast read the configuration.
    deployment
        .redis
        .cli(&["ACL", "SETUSER", TestRedis::user(), "+config|get"]);
    let [admin, of_another] = admins;
    let intake = format!("127.0.0.1:{}", free_port());
    let listeners = [
        ("HOLDFAST_ADMIN__LISTEN", admin.as_str()),
        ("HOLDFAST_INTAKE__LISTEN", &intake),
    ];
    deployment.add_pod(&listeners).await;
    let (well, ill) = (
        Deployment::sink(Mode::Ok).await,
        Deployment::sink(Mode::Status(503)).await,
    );
    deployment.subscribe(&well.url("/events"), |_| {}).await;
    let late = deployment.subscribe(&ill.url("/events"), |_| {}).await;
    let mut series = Series::default();
    let nothing = format!("holdfast_parked{{subscription=\"{late}\"}} 0");
    series.add(&shows(admin, &[&nothing], &seen).await);
    take_in(&intake).await;
    deployment.publish(5).await;
    deployment.parked(6).await;
    let parked = format!("holdfast_parked{{subscription=\"{late}\"}} 6");
    series.add(&shows(admin, &[&parked, "holdfast_redis_memory_ratio"], &seen).await);

    ill.set_mode(Mode::Ok).await;
    deployment.settled().await;
    deployment.redis.pause();
    series.add(&shows(admin, &["holdfast_redis_errors_total{"], &seen).await);
    deployment.redis.resume();
    let delivered = "holdfast_ledger{entry=\"delivered\"} 12";
    series.add(&shows(admin, &[delivered, "path=\"retry\""], &seen).await);
    deployment.publish(5).await;
    let delivered = "holdfast_ledger{entry=\"delivered\"} 22";
    series.add(&shows(admin, &[delivered], &seen).await);

    for (setting, value) in [
        ("appendonly", "no"),
        ("appendfsync", "no"),
        ("maxmemory-policy", "allkeys-lru"),
    ] {
        deployment.redis.config_set(setting, value);
    }
    deployment.add_pod(&[("HOLDFAST_ADMIN__LISTEN", of_another)]).await;
    let weak = "holdfast_redis_durability_info{append_only=\"no\"";
    series.add(&shows(of_another, &[weak], &seen).await);
    Story {
        series,
        late,
        _deployment: deployment,
    }
}

/// Waits until a scrape holds each of these texts, and until it was seen; answers it.
async fn shows(admin: &str, texts: &[&str], seen: &impl AsyncFn(&str)) -> String {
    wait_until(&format!("/metrics shows {texts:?}"), SOON, async || {
        let scrape = scrape(admin).await;
        texts.iter().all(|text| scrape.contains(text))
    })
    .await;
    let scrape = scrape(admin).await;
    seen(admin).await;
    scrape
}

/// One event over HTTP.
async fn take_in(intake: &str) {
    let client = reqwest::Client::new();
    let answer = client
        .post(format!("http://{intake}/events/bmc-9"))
        .body(event(9))
        .send();
    assert_eq!(answer.await.unwrap().status(), 200);
}

/// Addresses for the metrics of two pods.
pub(super) fn two_addresses() -> [String; 2] {
    free_ports::<2>().map(|port| format!("127.0.0.1:{port}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_query_means_something_and_no_metric_is_left_out() {
    let series = after_an_outage(&two_addresses(), async |_| {}).await.series;
    assert_eq!(
        queries::complaints(dashboards().values(), &series),
        Vec::<String>::new()
    );

    assert_eq!(
        alerts::query_complaints(&alerts::rules(), &series),
        Vec::<String>::new()
    );

    wrong_queries(&series);
    wrong_rules(&series);
    left_out(&series);
}

fn wrong_queries(series: &Series) {
    let job = r#"namespace="$namespace", job="$job""#;
    for (wrong, words) in [
        ("max(holdfast_dead_letters{J}", "does not parse"),
        ("", "does not parse"),
        (
            "max(holdfast_dead_leters{J})",
            "nothing exports \"holdfast_dead_leters\"",
        ),
        ("up{J}", "nothing exports \"up\""),
        ("max(holdfast_dead_letters)", "is not limited to the job"),
        (
            "max(holdfast_dead_letters{job=\"$job\"})",
            "is not limited to the namespace",
        ),
        ("max(holdfast_dead_letters{job=\"$other\"})", "an unknown variable"),
        (
            "max(holdfast_parked{J, subscription=\"subscription\"})",
            "no series of holdfast_parked",
        ),
        ("sum(holdfast_dead_letters{J})", "summed up wrongly: \"sum\""),
        ("holdfast_parked{J}", "summed up wrongly"),
        ("max(holdfast_in_flight{J})", "summed up wrongly"),
        ("max(holdfast_certificate_not_after_seconds{J})", "summed up wrongly"),
        ("max(holdfast_redfish_streams{J})", "summed up wrongly"),
        ("max(holdfast_subscription_in_flight{J})", "summed up wrongly"),
        ("sum(holdfast_events_settled_total{J})", "summed up wrongly"),
        ("max(rate(holdfast_events_settled_total{J}[5m]))", "summed up wrongly"),
        (
            "histogram_quantile(0.9, holdfast_match_duration_seconds_bucket{J})",
            "summed up wrongly",
        ),
        (
            "sum by (reasons) (rate(holdfast_delivery_attempts_total{J}[5m]))",
            "no series has the label reasons",
        ),
        (
            "max by (subscription) (holdfast_oldest_age_seconds{J, stage=\"parked\"})",
            "no series of holdfast_oldest_age",
        ),
        (
            "sum(rate(holdfast_intake_refused_total{J, reason=~\"full|none\"}[5m]))",
            "no series of holdfast_intake_refused",
        ),
        (
            "max(holdfast_ledger{J, entrance=\"parked\"})",
            "no series of holdfast_ledger",
        ),
    ] {
        let mut all = dashboards();
        let dashboard = all.get_mut("overview").unwrap();
        dashboard["panels"][1]["targets"][0]["expr"] = json!(wrong.replace("{J", &format!("{{{job}")));
        let found = queries::complaints(all.values(), series);
        let told = found.iter().any(|complaint| complaint.contains(words));
        assert!(told, "{wrong}: no complaint with {words:?} in {found:#?}");
    }
}

fn wrong_rules(series: &Series) {
    for (wrong, words) in [
        ("max(holdfast_dead_letters) > 0", "adds all jobs up"),
        ("max by (instance) (holdfast_dead_letters) > 0", "adds all jobs up"),
        ("max by (job) (holdfast_dead_letters) > 0", "adds all namespaces up"),
        ("holdfast_dead_letters > 0", "summed up wrongly"),
        ("namespace_job:holdfast:ratio_rate9h > 0", "nothing exports"),
        (
            "max by (namespace, job, topic) (holdfast_dead_letters) > 0",
            "no series has the label topic",
        ),
    ] {
        let mut rules = alerts::rules();
        rules.last_mut().unwrap()["expr"] = json!(wrong);
        let found = alerts::query_complaints(&rules, series);
        let told = found.iter().any(|complaint| complaint.contains(words));
        assert!(told, "{wrong}: no complaint with {words:?} in {found:#?}");
    }
}

fn left_out(series: &Series) {
    let mut all = dashboards();
    let dashboard = all.get_mut("overview").unwrap();
    dashboard["templating"]["list"][2]["query"]["query"] = json!("label_values(holdfast_build, job)");
    dashboard["panels"]
        .as_array_mut()
        .unwrap()
        .retain(|panel| panel["title"] != "Matching");
    let subscription = all.get_mut("subscription").unwrap();
    subscription["templating"]["list"][3]["query"]["query"] =
        json!("label_values(holdfast_circuit_state{namespace=\"$namespace\", job=\"$job\"}, subscriber)");
    subscription["panels"]
        .as_array_mut()
        .unwrap()
        .retain(|panel| panel["title"] != "In flight by pod");
    let found: BTreeSet<String> = queries::complaints(all.values(), series).into_iter().collect();
    let expected = [
        "a variable: nothing exports \"label_values(holdfast_build, job)\"",
        "a variable: nothing exports \"label_values(holdfast_circuit_state{namespace=\\\"$namespace\\\", job=\\\"$job\\\"}, subscriber)\"",
        "holdfast_match_duration_seconds is on no panel",
        "holdfast_subscription_in_flight is on no panel",
    ];
    assert_eq!(found, expected.map(str::to_owned).into());
}
