//! Taking in and delivering as processes of their own.

use holdfast::cli::sink::Mode;

use super::harness::{Deployment, SOON, event};
use crate::support::{Holdfast, wait_until};

async fn refuses(url: &str) -> bool {
    reqwest::Client::new().post(url).body("{}").send().await.is_err()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_api_takes_in_and_a_worker_delivers() {
    let deployment = Deployment::start(0, &[]).await;
    let url = deployment.redis.url();
    // The first process of a deployment: the groups are not there yet.
    deployment.cli(&["DEL", "holdfast:{0}:events", "holdfast:{0}:redeliveries"]);
    let serve = |role| {
        let environment = [
            ("HOLDFAST_REDIS__URL", url.as_str()),
            ("HOLDFAST_SERVE__ROLE", role),
            ("HOLDFAST_ADMIN__REFRESH", "50ms"),
            ("HOLDFAST_WORKER__DRAIN_DELAY", "0s"),
        ];
        Holdfast::start(&["serve"], &environment)
    };
    let mut api = serve("api");
    api.answers("/readyz", SOON).await;
    api.answers("/livez", SOON).await;
    let sink = Deployment::sink(Mode::Ok).await;
    let id = deployment.subscribe(&sink.url("/events"), |_| {}).await;
    let answer = reqwest::Client::new()
        .post(api.intake("/events/bmc-1"))
        .body(event(0))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
    wait_until("the api tells of what nobody has read", SOON, async || {
        let metrics = reqwest::get(api.admin("/metrics")).await.unwrap().text().await.unwrap();
        metrics.contains("holdfast_stream_lag 1") && metrics.contains(&format!(r#"subscription="{id}""#))
    })
    .await;
    assert_eq!(deployment.cli(&["ZCARD", "holdfast:{0}:workers"]), "0");
    assert_eq!(deployment.snapshot().await.events, 1);

    let worker = serve("worker");
    wait_until("it is delivered", SOON, async || sink.deliveries().len() == 1).await;
    deployment.settled().await;
    worker.answers("/readyz", SOON).await;
    assert!(refuses(&worker.intake("/events/bmc-1")).await, "it takes nothing in");
    assert!(refuses(&worker.redfish("/redfish")).await, "nor does it serve Redfish");

    api.sigterm();
    assert!(api.wait(SOON).success(), "{}", api.stderr());
}
