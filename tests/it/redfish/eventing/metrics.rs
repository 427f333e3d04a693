//! What the metrics of a pod tell of its Redfish service.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;

use super::super::{ADMIN, SESSIONS};
use super::{SUBSCRIPTIONS, Site};
use crate::engine::harness::SOON;
use crate::support::wait_until;

#[tokio::test(flavor = "multi_thread")]
async fn requests_logins_sessions_and_streams_are_counted() {
    let site = Site::start(2, &[("HOLDFAST_ADMIN__REFRESH", "100ms")]).await;
    let metrics = async |pod: usize| {
        let url = format!("http://{}/metrics", site.listener(pod, "admin").unwrap());
        reqwest::get(url).await.unwrap().text().await.unwrap()
    };
    let shows = async |pod: usize, line: &str| {
        wait_until(line, SOON, async || {
            metrics(pod).await.lines().any(|found| found == line)
        })
        .await;
    };
    let requests = |resource: &str, status: &str, n: u32| {
        format!("holdfast_redfish_requests_total{{resource=\"{resource}\",status=\"{status}\"}} {n}")
    };
    let failed = |reason: &str, n: u32| format!("holdfast_redfish_failed_logins_total{{reason=\"{reason}\"}} {n}");
    shows(0, &requests("subscriptions", "2xx", 0)).await;
    site.members(0).await;
    assert_eq!(
        site.get(0, "/redfish/v1/EventService/Subscriptions/none").await.status,
        404
    );
    assert_eq!(site.get(0, "/redfish/v1/Nothing").await.status, 404);
    assert_eq!(site.get(0, "/redfish").await.status, 200);
    assert_eq!(site.get(0, super::SERVICE).await.status, 200);
    for line in [
        requests("subscriptions", "2xx", 1),
        requests("subscriptions", "4xx", 1),
        requests("nowhere", "4xx", 1),
        requests("service", "2xx", 1),
        requests("event_service", "2xx", 1),
    ] {
        shows(0, &line).await;
    }

    let login = json!({ "UserName": ADMIN, "Password": super::super::PASSWORD });
    assert_eq!(site.post(0, SESSIONS, login).await.status, 201);
    let stream = site.request(0, Method::GET, "/redfish/v1/EventService/SSE");
    let stream = stream.send().await.unwrap();
    for pod in [0, 1] {
        shows(pod, "holdfast_redfish_sessions 1").await;
    }
    shows(0, "holdfast_redfish_streams 1").await;
    shows(1, "holdfast_redfish_streams 0").await;
    drop(stream);
    shows(0, "holdfast_redfish_streams 0").await;
    shows(0, &requests("stream", "2xx", 1)).await;

    // Five wrong ones lock the account; then the right one is refused too.
    for (name, password) in [
        (ADMIN, "wrong password"),
        (ADMIN, "wrong password"),
        (ADMIN, "wrong password"),
        (ADMIN, "wrong password"),
        (ADMIN, "wrong password"),
        (ADMIN, super::super::PASSWORD),
        ("nobody", "wrong password"),
    ] {
        let login = json!({ "UserName": name, "Password": password });
        let url = format!("https://{}{SESSIONS}", site.addr(1).unwrap());
        let answer = site
            .client
            .post(url)
            .body(login.to_string())
            .timeout(Duration::from_secs(30));
        assert_eq!(answer.send().await.unwrap().status(), 401);
    }
    for line in [
        failed("password", 5),
        failed("locked", 1),
        failed("unknown", 1),
        failed("disabled", 0),
        "holdfast_redfish_lockouts_total 1".to_owned(),
    ] {
        shows(1, &line).await;
    }
    assert!(
        metrics(0).await.contains(&failed("password", 0)),
        "each pod counts its own"
    );
    let text = metrics(1).await;
    assert!(!text.contains(ADMIN) && !text.contains("nobody"), "no name is a label");
    assert!(!text.contains(SUBSCRIPTIONS));
}
