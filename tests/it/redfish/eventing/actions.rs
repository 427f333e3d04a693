//! The actions: suspend and resume with what was kept, and test events.

use serde_json::{Value, json};

use super::{SERVICE, Site, accepted, bodies, healthy, received};

/// A subscription that is suspended while so many events come.
async fn suspended(site: &Site, destination: &str, events: usize) -> String {
    let uri = site.subscribe(destination, json!({})).await;
    let action = format!("{uri}/Actions/EventDestination.SuspendSubscription");
    assert_eq!(site.post(0, &action, json!({})).await.status, 204);
    site.in_force().await;
    site.deployment.publish(events).await;
    site.deployment.parked(events).await;
    let shown = site.get(0, &uri).await.body;
    assert_eq!(shown["Status"]["State"], "Disabled");
    assert_eq!(shown["Oem"]["Holdfast"]["Parked"], events);
    uri
}

async fn resume(site: &Site, uri: &str, parameters: Value) -> u16 {
    let action = format!("{uri}/Actions/EventDestination.ResumeSubscription");
    let got = site.post(0, &action, parameters).await;
    site.in_force().await;
    got.status
}

#[tokio::test(flavor = "multi_thread")]
async fn resuming_delivers_what_was_kept() {
    let site = Site::start(1, &[]).await;
    let sink = healthy().await;
    for parameters in [json!({}), json!({ "DeliverBufferedEventDuration": "P1DT1H" })] {
        let before = accepted(&sink);
        let uri = suspended(&site, &sink.url("/"), 5).await;
        assert_eq!(resume(&site, &uri, parameters).await, 204);
        received(&sink, before + 5).await;
        assert_eq!(site.get(0, &uri).await.body["Status"]["State"], "Enabled");
        assert_eq!(site.delete(0, &uri).await.status, 204);
    }
    site.deployment.settled().await;
    assert_eq!(site.deployment.dead_letters().await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_older_than_asked_for_becomes_dead_letters() {
    let site = Site::start(1, &[]).await;
    let sink = healthy().await;
    let uri = suspended(&site, &sink.url("/"), 600).await;
    for wrong in [
        json!({ "DeliverBufferedEventDuration": "5s" }),
        json!({ "DeliverBufferedEventDuration": 5 }),
        json!({ "Now": 1 }),
    ] {
        assert_eq!(resume(&site, &uri, wrong).await, 400);
    }
    assert_eq!(
        resume(&site, &uri, json!({ "DeliverBufferedEventDuration": "PT0S" })).await,
        204
    );
    let dead = site.deployment.dead_letters().await;
    assert_eq!(dead.len(), 600, "nothing vanishes");
    assert!(
        dead.iter().all(|(_, reason)| reason == "resume: older than 0s"),
        "{:?}",
        dead[0]
    );
    site.deployment.publish(3).await;
    received(&sink, 3).await;
    site.deployment.settled().await;
    assert_eq!(accepted(&sink), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn test_events_go_the_way_of_all_events() {
    let site = Site::start(1, &[]).await;
    let sink = healthy().await;
    site.subscribe(&sink.url("/"), json!({ "Context": "c" })).await;
    let submit = format!("{SERVICE}/Actions/EventService.SubmitTestEvent");
    assert_eq!(
        site.post(0, &submit, json!({ "MessageId": "Base.1.22.Success" }))
            .await
            .status,
        204
    );
    received(&sink, 1).await;
    let event = &bodies(&sink)[0];
    let record = event["Events"][0].as_object().unwrap();
    assert_eq!(
        (&event["Context"], &record["MessageId"]),
        (&json!("c"), &json!("Base.1.22.Success"))
    );
    for absent in [
        "Message",
        "MessageArgs",
        "Severity",
        "MessageSeverity",
        "EventTimestamp",
        "OriginOfCondition",
    ] {
        assert!(!record.contains_key(absent), "{absent} was not given");
    }
    let missing = site.post(0, &submit, json!({})).await;
    assert_eq!(
        (missing.status, missing.refusals()[0].0.as_str()),
        (400, "ActionParameterMissing")
    );

    let test = format!("{SERVICE}/Actions/EventService.TestEventSubscription");
    assert_eq!(site.post(0, &test, json!({})).await.status, 204);
    received(&sink, 2).await;
    assert_eq!(
        bodies(&sink)[1]["Events"][0]["MessageId"],
        "ResourceEvent.1.4.TestMessage"
    );
}
