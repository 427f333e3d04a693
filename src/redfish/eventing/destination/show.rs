//! A subscription as an EventDestination, with a Status that tells the truth.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{COLLECTION, POLICIES, oem};
use crate::domain::subscription::{State, Subscription};
use crate::domain::terms::EventFormatType;
use crate::report::Circuit;
use crate::store::census::Census;

const TYPE: &str = "#EventDestination.v1_16_0.EventDestination";

/// What changes by itself, as JSON pointers.
pub(crate) const RESTLESS: &[&str] = &[
    "/Oem/Holdfast/Parked",
    "/Oem/Holdfast/OldestParkedSeconds",
    "/Oem/Holdfast/NextAttempt",
];

/// A subscription and how its deliveries are going.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Showing<'a> {
    /// What it asked for.
    pub(crate) subscription: &'a Subscription,
    /// What is parked for it, and its circuit.
    pub(crate) census: &'a Census,
    /// Redis' clock when that was read, ms since the epoch.
    pub(crate) now_ms: u64,
}

/// The resource. Header values, keys and the signing secret are never in it.
pub(crate) fn show(showing: Showing) -> Value {
    let of = showing.subscription;
    let uri = format!("{COLLECTION}/{}", of.id);
    let filter = &of.filter;
    let stream = of.is_stream();
    let mut shown = json!({
        "@odata.id": uri,
        "@odata.type": TYPE,
        "Id": of.id.as_str(),
        "Name": of.name.clone().unwrap_or_else(|| format!("Subscription {}", of.id)),
        "Destination": of.destination.as_str(),
        "Protocol": "Redfish",
        "SubscriptionType": if stream { "SSE" } else { "RedfishEvent" },
        "Context": of.context,
        "EventFormatType": filter.event_format_type.to_string(),
        "RegistryPrefixes": filter.registry_prefixes,
        "MessageIds": filter.message_ids,
        "ExcludeRegistryPrefixes": filter.exclude_registry_prefixes,
        "ExcludeMessageIds": filter.exclude_message_ids,
        "ResourceTypes": filter.resource_types,
        "OriginResources": links(&filter.origin_resources),
        "SubordinateResources": filter.subordinate_resources,
        "Severities": filter.severities,
        "Status": status(showing, &uri),
    });
    let Value::Object(members) = &mut shown else {
        return shown;
    };
    // Deprecated; where nobody asked for types it would only seem to say something.
    if !filter.event_types.is_empty() {
        members.insert("EventTypes".to_owned(), json!(filter.event_types));
    }
    if filter.event_format_type == EventFormatType::MetricReport || !filter.metric_report_definitions.is_empty() {
        let definitions = links(&filter.metric_report_definitions);
        members.insert("MetricReportDefinitions".to_owned(), definitions);
    }
    if !stream {
        delivery(of, &uri, members);
        members.insert("Oem".to_owned(), oem::show(of, state(showing)));
    }
    shown
}

/// What only those have that requests are sent to.
fn delivery(of: &Subscription, uri: &str, members: &mut Map<String, Value>) {
    let policy = POLICIES.iter().find(|(_, policy)| *policy == of.retry_policy);
    let action = |name: &str| json!({ "target": format!("{uri}/Actions/EventDestination.{name}") });
    let Value::Object(more) = json!({
        "HttpHeaders": [],
        "DeliveryRetryPolicy": policy.map(|(word, _)| *word),
        "VerifyCertificate": of.verify_certificate,
        "BackupDestinations": of.backup_destinations,
        "SendHeartbeat": of.heartbeat_minutes.is_some(),
        "Certificates": { "@odata.id": format!("{uri}/Certificates") },
        "ClientCertificates": { "@odata.id": format!("{uri}/ClientCertificates") },
        "Actions": {
            "#EventDestination.SuspendSubscription": action("SuspendSubscription"),
            "#EventDestination.ResumeSubscription": action("ResumeSubscription"),
        },
    }) else {
        return;
    };
    members.extend(more);
    if let Some(minutes) = of.heartbeat_minutes {
        members.insert("HeartbeatIntervalMinutes".to_owned(), json!(minutes));
    }
}

/// `Status`: disabled while it is suspended; critical while it can't be reached, a warning while anything waits.
fn status(showing: Showing, uri: &str) -> Value {
    let Showing {
        subscription, census, ..
    } = showing;
    let health = if census.open_since_ms.is_some() {
        "Critical"
    } else if census.parked > 0 {
        "Warning"
    } else {
        "OK"
    };
    let mut conditions = Vec::new();
    if let State::Suspended { reason, since } = &subscription.state {
        conditions.push(condition(
            uri,
            "ResourcePaused",
            &[&format!("{uri} ({reason})")],
            "Warning",
            since,
        ));
    }
    if let Some(since) = census.open_since_ms {
        let args = ["Destination", census.error.as_str()];
        conditions.push(condition(
            uri,
            "ResourceErrorsDetected",
            &args,
            "Critical",
            &time(since),
        ));
    }
    let state = if subscription.is_suspended() {
        "Disabled"
    } else {
        "Enabled"
    };
    let mut status = json!({ "State": state, "Health": health });
    if let (Value::Object(status), false) = (&mut status, conditions.is_empty()) {
        status.insert("Conditions".to_owned(), Value::Array(conditions));
    }
    status
}

/// A condition in the words of the ResourceEvent registry.
fn condition(uri: &str, key: &str, args: &[&str], severity: &str, since: &str) -> Value {
    json!({
        "MessageId": format!("ResourceEvent.1.4.{key}"),
        "MessageArgs": args,
        "Message": match key {
            "ResourcePaused" => format!("The resource '{}' was paused.", args.concat()),
            _ => format!("The resource property {} has detected errors of type '{}'.", args[0], args[1]),
        },
        "Severity": severity,
        "Timestamp": since,
        "OriginOfCondition": { "@odata.id": uri },
    })
}

/// The OEM properties about the deliveries.
fn state(showing: Showing) -> Map<String, Value> {
    let of = showing.subscription;
    let circuit = Circuit::new(of.is_suspended(), showing.census, showing.now_ms);
    let next = circuit.next_attempt_in_ms.filter(|_| !of.is_suspended());
    let reason = match &of.state {
        State::Suspended { reason, .. } => Some(reason),
        State::Enabled => None,
    };
    let Value::Object(state) = json!({
        "Delivery": word(circuit.delivery),
        "Parked": circuit.parked,
        "OldestParkedSeconds": circuit.oldest_age_ms.map(|age| age / 1_000),
        "NextAttempt": next.map(|wait| time(showing.now_ms.saturating_add(wait))),
        "LastError": Some(circuit.last_error).filter(|error| !error.is_empty()),
        "SuspendedBecause": reason,
    }) else {
        return Map::new();
    };
    state
}

/// The word of `holdfast status` as an enumeration of the schema spells it.
fn word(delivery: &str) -> &'static str {
    match delivery {
        "delivering" => "Delivering",
        "behind" => "Behind",
        "unavailable" => "Unavailable",
        _ => "Suspended",
    }
}

fn links(uris: &[String]) -> Value {
    uris.iter().map(|uri| json!({ "@odata.id": uri })).collect()
}

/// A time of Redis' clock, RFC 3339 in UTC to the second.
fn time(millis: u64) -> String {
    let seconds = i64::try_from(millis / 1_000).unwrap_or(i64::MAX);
    Timestamp::from_second(seconds).unwrap_or_default().to_string()
}
