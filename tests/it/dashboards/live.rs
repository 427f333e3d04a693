//! The queries against what a live deployment exports, once everything has happened that makes a series.

use std::collections::BTreeSet;

use holdfast::cli::sink::Mode;
use serde_json::json;

use super::series::Series;
use super::{alerts, overview, queries};
use crate::engine::harness::{Deployment, SOON};
use crate::support::{TestRedis, free_port, wait_until};

async fn scrape(admin: &str) -> String {
    let answer = reqwest::get(format!("http://{admin}/metrics")).await.unwrap();
    answer.text().await.unwrap()
}

/// Waits until a scrape holds each of these texts; answers it.
async fn shows(admin: &str, texts: &[&str]) -> String {
    wait_until(&format!("/metrics shows {texts:?}"), SOON, async || {
        let scrape = scrape(admin).await;
        texts.iter().all(|text| scrape.contains(text))
    })
    .await;
    scrape(admin).await
}

/// A subscriber that is well, one that refuses and then recovers, a Redis that stalls, and one that would lose all.
async fn after_an_outage() -> Series {
    let settings = [("HOLDFAST_ADMIN__REFRESH", "100ms")];
    let mut deployment = Deployment::start(0, &settings).await;
    deployment.redis.config_set("maxmemory", "256mb");
    // The label `fsync` is for those who let Holdfast read the configuration.
    deployment
        .redis
        .cli(&["ACL", "SETUSER", TestRedis::user(), "+config|get"]);
    let admin = format!("127.0.0.1:{}", free_port());
    deployment.add_pod(&[("HOLDFAST_ADMIN__LISTEN", &admin)]).await;
    let (well, ill) = (
        Deployment::sink(Mode::Ok).await,
        Deployment::sink(Mode::Status(503)).await,
    );
    deployment.subscribe(&well.url("/events"), |_| {}).await;
    let late = deployment.subscribe(&ill.url("/events"), |_| {}).await;
    let mut series = Series::default();
    deployment.publish(5).await;
    deployment.parked(5).await;
    let parked = format!("holdfast_parked{{subscription=\"{late}\"}} 5");
    series.add(&shows(&admin, &[&parked, "holdfast_redis_memory_ratio"]).await);

    ill.set_mode(Mode::Ok).await;
    deployment.settled().await;
    deployment.redis.pause();
    series.add(&shows(&admin, &["holdfast_redis_errors_total{"]).await);
    deployment.redis.resume();
    let delivered = "holdfast_ledger{entry=\"delivered\"} 10";
    series.add(&shows(&admin, &[delivered, "path=\"retry\""]).await);

    for (setting, value) in [
        ("appendonly", "no"),
        ("appendfsync", "no"),
        ("maxmemory-policy", "allkeys-lru"),
    ] {
        deployment.redis.config_set(setting, value);
    }
    let admin = format!("127.0.0.1:{}", free_port());
    deployment.add_pod(&[("HOLDFAST_ADMIN__LISTEN", &admin)]).await;
    series.add(&shows(&admin, &["holdfast_redis_durability_info{append_only=\"no\""]).await);
    series
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_query_means_something_and_no_metric_is_left_out() {
    let series = after_an_outage().await;
    assert_eq!(queries::complaints(&overview(), &series), Vec::<String>::new());

    assert_eq!(
        alerts::query_complaints(&alerts::rules(), &series),
        Vec::<String>::new()
    );

    wrong_queries(&series);
    wrong_rules(&series);
    left_out(&series);
}

fn wrong_queries(series: &Series) {
    let job = r#"job="$job""#;
    for (wrong, words) in [
        ("max(holdfast_dead_letters{J}", "does not parse"),
        ("", "does not parse"),
        (
            "max(holdfast_dead_leters{J})",
            "nothing exports \"holdfast_dead_leters\"",
        ),
        ("up{J}", "nothing exports \"up\""),
        ("max(holdfast_dead_letters)", "is not limited to the job"),
        ("max(holdfast_dead_letters{job=\"$other\"})", "an unknown variable"),
        ("sum(holdfast_dead_letters{J})", "summed up wrongly: \"sum\""),
        ("holdfast_parked{J}", "summed up wrongly"),
        ("max(holdfast_in_flight{J})", "summed up wrongly"),
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
        let mut dashboard = overview();
        dashboard["panels"][1]["targets"][0]["expr"] = json!(wrong.replace("{J", &format!("{{{job}")));
        let found = queries::complaints(&dashboard, series);
        let told = found.iter().any(|complaint| complaint.contains(words));
        assert!(told, "{wrong}: no complaint with {words:?} in {found:#?}");
    }
}

fn wrong_rules(series: &Series) {
    for (wrong, words) in [
        ("max(holdfast_dead_letters) > 0", "adds all jobs up"),
        ("max by (instance) (holdfast_dead_letters) > 0", "adds all jobs up"),
        ("holdfast_dead_letters > 0", "summed up wrongly"),
        ("job:holdfast:ratio_rate9h > 0", "nothing exports"),
        (
            "max by (job, topic) (holdfast_dead_letters) > 0",
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
    let mut dashboard = overview();
    dashboard["templating"]["list"][1]["query"]["query"] = json!("label_values(holdfast_build, job)");
    dashboard["panels"]
        .as_array_mut()
        .unwrap()
        .retain(|panel| panel["title"] != "Matching");
    let found: BTreeSet<String> = queries::complaints(&dashboard, series).into_iter().collect();
    let expected = [
        "a variable: nothing exports \"label_values(holdfast_build, job)\"",
        "holdfast_match_duration_seconds is on no panel",
    ];
    assert_eq!(found, expected.map(str::to_owned).into());
}
