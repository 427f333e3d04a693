//! Every property: created, shown, changed, refused.

use serde_json::{Map, Value, json};

use super::*;
use crate::domain::guard::Guard;
use crate::domain::ids::SubscriptionId;
use crate::domain::subscription::State;
use crate::store::census::Census;

fn body(value: Value) -> Map<String, Value> {
    value.as_object().cloned().expect("an object")
}

/// A request for a subscription with these properties on top of those it must have.
fn request(more: Value) -> Map<String, Value> {
    let mut request = body(json!({ "Destination": "https://siem.example/events", "Protocol": "Redfish" }));
    request.extend(body(more));
    request
}

fn id() -> SubscriptionId {
    SubscriptionId::new("k7m2").expect("an id")
}

fn make(more: Value) -> Result<Subscription, Vec<Message>> {
    create(
        &request(more),
        id(),
        "2026-11-25T21:00:00Z".to_owned(),
        &Guard::default(),
    )
}

/// What was said: the message's key and the property.
fn found(wrong: &[Message]) -> Vec<(String, String)> {
    let of = |message: &Message| {
        let json = message.json();
        let key = json["MessageId"].as_str().unwrap_or_default().replace("Base.1.22.", "");
        let about = json["RelatedProperties"][0].as_str().unwrap_or_default();
        (key, about.trim_start_matches("#/").to_owned())
    };
    wrong.iter().map(of).collect()
}

fn said(key: &str, property: &str) -> (String, String) {
    (key.to_owned(), property.to_owned())
}

fn shown(subscription: &Subscription) -> Value {
    show(Showing {
        subscription,
        census: &Census::default(),
        now_ms: 1_000,
    })
}

/// The part of `value` that stands at the same places as in `like`.
fn like(value: &Value, like_this: &Value) -> Value {
    match like_this {
        Value::Object(members) => members
            .iter()
            .map(|(name, inner)| (name.clone(), like(&value[name], inner)))
            .collect::<Map<_, _>>()
            .into(),
        _ => value.clone(),
    }
}

/// What can be asked for at creation and is shown again as it was given.
fn created() -> Vec<Value> {
    vec![
        json!({ "Name": "SIEM of site 2" }),
        json!({ "Context": "rack-7" }),
        json!({ "Context": null }),
        json!({ "Protocol": "Redfish", "SubscriptionType": "RedfishEvent" }),
        json!({ "EventTypes": ["Alert", "StatusChange", "Other"] }),
        json!({ "RegistryPrefixes": ["Base", "ResourceEvent"] }),
        json!({ "MessageIds": ["Base.Success"] }),
        json!({ "ExcludeRegistryPrefixes": ["TaskEvent"] }),
        json!({ "ExcludeMessageIds": ["Base.GeneralError"] }),
        json!({ "ResourceTypes": ["Drive", "Fan"] }),
        json!({ "OriginResources": [{ "@odata.id": "/redfish/v1/Systems/1" }], "SubordinateResources": true }),
        json!({ "Severities": ["OK", "Warning", "Critical"] }),
        json!({ "EventFormatType": "Event" }),
        json!({
            "EventFormatType": "MetricReport",
            "MetricReportDefinitions": [{ "@odata.id": "/redfish/v1/TelemetryService/MetricReportDefinitions/P" }]
        }),
        json!({ "DeliveryRetryPolicy": "TerminateAfterRetries" }),
        json!({ "DeliveryRetryPolicy": "SuspendRetries" }),
        json!({ "DeliveryRetryPolicy": "RetryForever" }),
        json!({ "DeliveryRetryPolicy": "RetryForeverWithBackoff" }),
        json!({ "VerifyCertificate": false }),
        json!({ "BackupDestinations": ["https://b.example/1", "http://c.example/2?x=y"] }),
        json!({ "SendHeartbeat": true, "HeartbeatIntervalMinutes": 7 }),
        json!({ "SendHeartbeat": false }),
        json!({ "Oem": { "Holdfast": { "Payload": "Raw", "Coalesce": false } } }),
        json!({ "Oem": { "Holdfast": { "MaxParked": 100, "MaxAgeSeconds": 60, "Overflow": "File", "MaxInFlight": 3 } } }),
    ]
}

#[test]
fn what_is_asked_for_is_shown_as_it_was_given() {
    for asked in created() {
        let subscription = make(asked.clone()).unwrap_or_else(|wrong| panic!("{asked}: {wrong:?}"));
        assert_eq!(like(&shown(&subscription), &asked), asked);
    }
    let plain = shown(&make(json!({ "@odata.type": "#EventDestination.v1_16_0.EventDestination" })).expect("one"));
    for property in [
        "Context",
        "SubscriptionType",
        "HttpHeaders",
        "Status",
        "Protocol",
        "Destination",
    ] {
        assert!(plain.get(property).is_some(), "{property} is always there");
    }
    assert_eq!(plain["DeliveryRetryPolicy"], "RetryForeverWithBackoff");
    assert_eq!(plain["Name"], "Subscription k7m2");
    assert!(plain.get("HeartbeatIntervalMinutes").is_none());
}

#[test]
fn what_can_not_be_done_is_refused_by_name() {
    let table = [
        (json!({ "Protocol": "SyslogTLS" }), "PropertyValueNotInList", "Protocol"),
        (json!({ "Protocol": 3 }), "PropertyValueTypeError", "Protocol"),
        (
            json!({ "Destination": "not a URL" }),
            "PropertyValueError",
            "Destination",
        ),
        (json!({ "Destination": 7 }), "PropertyValueTypeError", "Destination"),
        (
            json!({ "Destination": "mailto:a@b.example" }),
            "PropertyValueError",
            "Destination",
        ),
        (
            json!({ "SubscriptionType": "SSE" }),
            "PropertyValueNotInList",
            "SubscriptionType",
        ),
        (
            json!({ "SubscriptionType": "SNMPTrap" }),
            "PropertyValueNotInList",
            "SubscriptionType",
        ),
        (
            json!({ "IncludeOriginOfCondition": true }),
            "PropertyValueNotInList",
            "IncludeOriginOfCondition",
        ),
        (json!({ "SNMP": {} }), "PropertyUnknown", "SNMP"),
        (json!({ "SyslogFilters": [] }), "PropertyUnknown", "SyslogFilters"),
        (json!({ "OEMProtocol": "x" }), "PropertyUnknown", "OEMProtocol"),
        (json!({ "Colour": "red" }), "PropertyUnknown", "Colour"),
        (json!({ "context": "wrong case" }), "PropertyUnknown", "context"),
        (json!({ "Id": "mine" }), "PropertyNotWritable", "Id"),
        (json!({ "Status": {} }), "PropertyNotWritable", "Status"),
        (json!({ "Certificates": {} }), "PropertyNotWritable", "Certificates"),
        (json!({ "Context": 5 }), "PropertyValueTypeError", "Context"),
        (json!({ "Name": null }), "PropertyValueTypeError", "Name"),
        (
            json!({ "EventTypes": ["Log"] }),
            "PropertyValueNotInList",
            "EventTypes/0",
        ),
        (json!({ "EventTypes": "Alert" }), "PropertyValueTypeError", "EventTypes"),
        (
            json!({ "Severities": ["OK", "ok"] }),
            "PropertyValueNotInList",
            "Severities/1",
        ),
        (
            json!({ "RegistryPrefixes": ["Base", 4] }),
            "PropertyValueTypeError",
            "RegistryPrefixes/1",
        ),
        (
            json!({ "RegistryPrefixes": [" "] }),
            "PropertyValueError",
            "RegistryPrefixes",
        ),
        (
            json!({ "OriginResources": ["/redfish/v1"] }),
            "PropertyValueTypeError",
            "OriginResources/0",
        ),
        (
            json!({ "OriginResources": [{}] }),
            "PropertyMissing",
            "OriginResources/0/@odata.id",
        ),
        (
            json!({ "OriginResources": [{ "@odata.id": "/a", "x": 1 }] }),
            "PropertyUnknown",
            "OriginResources/0/x",
        ),
        (
            json!({ "EventFormatType": "Log" }),
            "PropertyValueNotInList",
            "EventFormatType",
        ),
        (
            json!({ "MetricReportDefinitions": [{ "@odata.id": "/a" }] }),
            "PropertyValueError",
            "MetricReportDefinitions",
        ),
        (
            json!({ "SubordinateResources": "yes" }),
            "PropertyValueTypeError",
            "SubordinateResources",
        ),
        (
            json!({ "DeliveryRetryPolicy": "Never" }),
            "PropertyValueNotInList",
            "DeliveryRetryPolicy",
        ),
        (
            json!({ "VerifyCertificate": null }),
            "PropertyValueTypeError",
            "VerifyCertificate",
        ),
        (
            json!({ "BackupDestinations": ["x"] }),
            "PropertyValueError",
            "BackupDestinations/0",
        ),
        (
            json!({ "BackupDestinations": ["ftp://b.example/"] }),
            "PropertyValueError",
            "BackupDestinations",
        ),
        (
            json!({ "SendHeartbeat": true, "HeartbeatIntervalMinutes": 0 }),
            "PropertyValueOutOfRange",
            "HeartbeatIntervalMinutes",
        ),
        (
            json!({ "SendHeartbeat": true, "HeartbeatIntervalMinutes": 65_536 }),
            "PropertyValueOutOfRange",
            "HeartbeatIntervalMinutes",
        ),
        (
            json!({ "SendHeartbeat": true, "HeartbeatIntervalMinutes": 1.5 }),
            "PropertyValueTypeError",
            "HeartbeatIntervalMinutes",
        ),
        (
            json!({ "HeartbeatIntervalMinutes": 5 }),
            "PropertyValueConflict",
            "HeartbeatIntervalMinutes",
        ),
        (json!({ "Oem": { "Acme": {} } }), "PropertyUnknown", "Oem/Acme"),
        (
            json!({ "Oem": { "Holdfast": { "Fast": true } } }),
            "PropertyUnknown",
            "Oem/Holdfast/Fast",
        ),
        (
            json!({ "Oem": { "Holdfast": { "Parked": 0 } } }),
            "PropertyNotWritable",
            "Oem/Holdfast/Parked",
        ),
        (
            json!({ "Oem": { "Holdfast": { "Payload": "XML" } } }),
            "PropertyValueNotInList",
            "Oem/Holdfast/Payload",
        ),
        (
            json!({ "Oem": { "Holdfast": { "MaxParked": -1 } } }),
            "PropertyValueOutOfRange",
            "Oem/Holdfast/MaxParked",
        ),
        (
            json!({ "Oem": { "Holdfast": { "MaxInFlight": 5_000 } } }),
            "PropertyValueError",
            "Oem/Holdfast/MaxInFlight",
        ),
    ];
    for (asked, key, property) in table {
        let wrong = make(asked.clone()).expect_err(&asked.to_string());
        assert_eq!(found(&wrong), [said(key, property)], "{asked}");
    }
}

#[test]
fn everything_that_is_wrong_is_said_at_once() {
    let wrong = create(
        &body(json!({ "Colour": 1, "EventTypes": 2 })),
        id(),
        String::new(),
        &Guard::default(),
    )
    .expect_err("four");
    let keys: Vec<String> = found(&wrong).into_iter().map(|(key, _)| key).collect();
    assert_eq!(
        keys,
        [
            "PropertyMissing",
            "PropertyMissing",
            "PropertyUnknown",
            "PropertyValueTypeError"
        ]
    );
}

#[test]
fn a_change_is_whole_or_refused_by_name() {
    let before = make(json!({ "Severities": ["Critical"], "Context": "a" })).expect("one");
    for asked in [
        json!({ "Context": "b" }),
        json!({ "Context": null }),
        json!({ "DeliveryRetryPolicy": "RetryForever" }),
        json!({ "VerifyCertificate": false }),
        json!({ "BackupDestinations": ["https://b.example/"] }),
        json!({ "BackupDestinations": [] }),
        json!({ "Oem": { "Holdfast": { "Payload": "Raw", "Coalesce": false, "MaxParked": 5 } } }),
    ] {
        let mut after = before.clone();
        patch(&body(asked.clone()), &mut after, &Guard::default()).unwrap_or_else(|wrong| panic!("{asked}: {wrong:?}"));
        assert_eq!(like(&shown(&after), &asked), asked);
        assert_eq!(after.filter, before.filter, "the rest stays");
    }
    for (asked, key, property) in [
        (json!({}), "NoOperation", ""),
        (json!({ "@odata.type": "x" }), "NoOperation", ""),
        (
            json!({ "Destination": "https://other.example/" }),
            "PropertyNotWritable",
            "Destination",
        ),
        (json!({ "Severities": ["OK"] }), "PropertyNotWritable", "Severities"),
        (json!({ "Name": "other" }), "PropertyNotWritable", "Name"),
        (json!({ "SendHeartbeat": true }), "PropertyNotWritable", "SendHeartbeat"),
        (json!({ "Context": "b", "Colour": "red" }), "PropertyUnknown", "Colour"),
        (
            json!({ "HttpHeaders": [{ "Host": "x" }] }),
            "PropertyValueError",
            "HttpHeaders",
        ),
    ] {
        let wrong = patch(&body(asked.clone()), &mut before.clone(), &Guard::default()).expect_err(&asked.to_string());
        assert_eq!(found(&wrong), [said(key, property)], "{asked}");
    }
}

#[test]
fn secrets_are_taken_and_never_shown_nor_quoted() {
    let key = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let of = make(json!({
        "HttpHeaders": [{ "Authorization": "Bearer canary" }, { "X-A": "canary-2", "X-B": "canary-3" }],
        "Oem": { "Holdfast": { "SigningSecret": key } },
    }))
    .expect("one");
    let names: Vec<&str> = of.headers.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["Authorization", "X-A", "X-B"]);
    let text = shown(&of).to_string();
    assert!(
        !text.contains("canary") && !text.contains(key) && !text.contains("Authorization"),
        "{text}"
    );
    assert_eq!(shown(&of)["HttpHeaders"], json!([]));
    assert_eq!(shown(&of)["Oem"]["Holdfast"]["SigningSecretSet"], true);
    let mut without = of.clone();
    patch(
        &body(json!({ "Oem": { "Holdfast": { "SigningSecret": null } }, "HttpHeaders": [] })),
        &mut without,
        &Guard::default(),
    )
    .expect("a change");
    assert!(without.secret.is_none() && without.headers.is_empty());
    for asked in [
        json!({ "HttpHeaders": "canary" }),
        json!({ "HttpHeaders": ["canary"] }),
        json!({ "HttpHeaders": [{ "X": ["canary"] }] }),
        json!({ "HttpHeaders": [{ "X": "canary\n" }] }),
        json!({ "Oem": { "Holdfast": { "SigningSecret": "canary" } } }),
        json!({ "Oem": { "Holdfast": { "SigningSecret": ["canary"] } } }),
        json!({ "Destination": "https://u:canary@h.example/" }),
        json!({ "Destination": "canary" }),
        json!({ "BackupDestinations": ["canary"] }),
    ] {
        let wrong = make(asked.clone()).expect_err(&asked.to_string());
        assert!(!format!("{wrong:?}").contains("canary"), "{asked}: {wrong:?}");
    }
}

#[test]
fn the_status_tells_the_truth() {
    let mut subscription = make(json!({})).expect("one");
    let mut census = Census::default();
    let status = |subscription: &Subscription, census: &Census| {
        let shown = show(Showing {
            subscription,
            census,
            now_ms: 1_000_000,
        });
        (shown["Status"].clone(), shown["Oem"]["Holdfast"].clone())
    };
    assert_eq!(
        status(&subscription, &census).0,
        json!({ "State": "Enabled", "Health": "OK" })
    );
    census.parked = 3;
    census.oldest = "940000-0".parse().ok();
    let (shown, oem) = status(&subscription, &census);
    assert_eq!(shown, json!({ "State": "Enabled", "Health": "Warning" }));
    assert_eq!(
        (&oem["Delivery"], &oem["Parked"], &oem["OldestParkedSeconds"]),
        (&json!("Behind"), &json!(3), &json!(60))
    );
    census.open_since_ms = Some(900_000);
    census.next_wakeup_ms = Some(1_005_000);
    "HTTP 503".clone_into(&mut census.error);
    let (shown, oem) = status(&subscription, &census);
    assert_eq!(
        (&shown["State"], &shown["Health"]),
        (&json!("Enabled"), &json!("Critical"))
    );
    assert_eq!(
        shown["Conditions"][0]["MessageArgs"],
        json!(["Destination", "HTTP 503"])
    );
    assert_eq!(shown["Conditions"][0]["Timestamp"], "1970-01-01T00:15:00Z");
    assert_eq!(
        (&oem["NextAttempt"], &oem["LastError"]),
        (&json!("1970-01-01T00:16:45Z"), &json!("HTTP 503"))
    );
    subscription.state = State::Suspended {
        reason: "maintenance".to_owned(),
        since: "2026-11-25T21:00:00Z".to_owned(),
    };
    let (shown, oem) = status(&subscription, &census);
    assert_eq!(
        (&shown["State"], &oem["NextAttempt"]),
        (&json!("Disabled"), &Value::Null)
    );
    assert_eq!(oem["SuspendedBecause"], "maintenance");
    assert_eq!(shown["Conditions"][0]["MessageId"], "ResourceEvent.1.4.ResourcePaused");
}
