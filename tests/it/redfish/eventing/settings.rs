//! The EventService's settings: one pod is told, all act on it.

use holdfast::cli::sink::Mode;
use serde_json::json;

use super::{SERVICE, Site, accepted, healthy, received};
use crate::engine::harness::{Deployment, SOON};
use crate::support::wait_until;

#[tokio::test(flavor = "multi_thread")]
async fn retries_set_on_one_pod_end_a_subscription_on_another() {
    let slow = [("HOLDFAST_RETRY__DELAY", "1h"), ("HOLDFAST_RETRY__MAX_DELAY", "1h")];
    let site = Site::start(2, &slow).await;
    let service = site.get(1, SERVICE).await;
    assert_eq!(service.body["DeliveryRetryAttempts"], 3);
    assert_eq!(service.body["DeliveryRetryIntervalSeconds"], 3600);
    let changed = site
        .patch(
            0,
            SERVICE,
            json!({ "DeliveryRetryAttempts": 1, "DeliveryRetryIntervalSeconds": 1 }),
        )
        .await;
    assert_eq!(
        (changed.status, &changed.body["DeliveryRetryAttempts"]),
        (200, &json!(1))
    );
    assert_eq!(site.get(1, SERVICE).await.body["DeliveryRetryIntervalSeconds"], 1);
    assert!(
        site.holdfast(&["status"])
            .contains("first retry after 1s; 1 retry before")
    );

    let away = Deployment::sink(Mode::Status(503)).await;
    let policy = |policy: &str| json!({ "DeliveryRetryPolicy": policy });
    let suspended = site.subscribe(&away.url("/"), policy("SuspendRetries")).await;
    let removed = site.subscribe(&away.url("/"), policy("TerminateAfterRetries")).await;
    let forever = site.subscribe(&away.url("/"), policy("RetryForever")).await;
    site.deployment.publish(1).await;
    wait_until("both policies act", SOON, async || {
        let state = site.get(1, &suspended).await.body["Status"]["State"].clone();
        state == "Disabled" && site.get(1, &removed).await.status == 404
    })
    .await;
    let shown = site.get(0, &forever).await.body;
    assert_eq!(
        (&shown["Status"]["State"], &shown["Status"]["Health"]),
        (&json!("Enabled"), &json!("Critical"))
    );
    assert_eq!(shown["Oem"]["Holdfast"]["LastError"], "HTTP 503");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disabled_service_keeps_its_events_until_it_is_enabled() {
    let site = Site::start(2, &[]).await;
    let sink = healthy().await;
    site.subscribe(&sink.url("/"), json!({})).await;
    let stopped = site.patch(0, SERVICE, json!({ "ServiceEnabled": false })).await;
    assert_eq!(
        (stopped.status, &stopped.body["Status"]["State"]),
        (200, &json!("Disabled"))
    );
    site.in_force().await;
    site.deployment.publish(20).await;
    assert!(site.holdfast(&["status"]).contains("STOPPED (ServiceEnabled is false)"));
    assert_eq!(
        site.get(1, &format!("{SERVICE}/SSE")).await.status,
        503,
        "no stream is opened"
    );
    assert_eq!(site.deployment.snapshot().await.events, 20);
    assert_eq!(accepted(&sink), 0);
    assert_eq!(
        site.patch(1, SERVICE, json!({ "ServiceEnabled": true })).await.status,
        200
    );
    received(&sink, 20).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_are_checked_and_compared() {
    let site = Site::start(1, &[]).await;
    for (change, key, property) in [
        (
            json!({ "DeliveryRetryAttempts": -1 }),
            "PropertyValueOutOfRange",
            "DeliveryRetryAttempts",
        ),
        (
            json!({ "DeliveryRetryAttempts": "3" }),
            "PropertyValueTypeError",
            "DeliveryRetryAttempts",
        ),
        (
            json!({ "DeliveryRetryIntervalSeconds": 0 }),
            "PropertyValueOutOfRange",
            "DeliveryRetryIntervalSeconds",
        ),
        (
            json!({ "ServiceEnabled": null }),
            "PropertyValueTypeError",
            "ServiceEnabled",
        ),
        (json!({ "Status": {} }), "PropertyNotWritable", "Status"),
        (json!({ "SMTP": {} }), "PropertyUnknown", "SMTP"),
        (json!({}), "NoOperation", ""),
    ] {
        let refused = site.patch(0, SERVICE, change.clone()).await;
        let property = if property.is_empty() {
            String::new()
        } else {
            format!("#/{property}")
        };
        assert_eq!(refused.status, 400, "{change}");
        assert_eq!(refused.refusals(), [(key.to_owned(), property)], "{change}");
    }
    let etag = site.get(0, SERVICE).await.header("etag");
    let patch = |retries: u64| {
        let request = site
            .request(0, reqwest::Method::PATCH, SERVICE)
            .header("If-Match", etag.clone());
        super::got(request.body(json!({ "DeliveryRetryAttempts": retries }).to_string()))
    };
    assert_eq!(patch(5).await.status, 200);
    assert_eq!(patch(6).await.status, 412);
    assert_eq!(site.get(0, SERVICE).await.body["DeliveryRetryAttempts"], 5);
}
