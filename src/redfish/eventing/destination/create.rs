//! Makes a subscription of what a POST to the collection asks for.

use serde_json::{Map, Value};
use url::Url;

use super::super::fields::{link, list, number, properties, text, text_or_null, truth, url, word};
use super::super::wrong;
use super::{check, patch};
use crate::domain::filter::Filter;
use crate::domain::guard::Guard;
use crate::domain::ids::SubscriptionId;
use crate::domain::subscription::Subscription;
use crate::domain::terms::{EventFormatType, EventType, Severity};
use crate::redfish::frame::Message;

/// Properties of EventDestination that only the service sets.
const READ_ONLY: [&str; 6] = [
    "Id",
    "Description",
    "Certificates",
    "ClientCertificates",
    "Status",
    "Actions",
];
/// Minutes between heartbeats where a subscriber asks for them and names no interval.
const HEARTBEAT_MINUTES: u32 = 1;
/// The longest interval that the schema allows, in minutes.
const LONGEST_HEARTBEAT: u64 = 65_535;

/// `SendHeartbeat` and `HeartbeatIntervalMinutes`, as far as they were given.
#[derive(Default)]
struct Heartbeat {
    send: Option<bool>,
    minutes: Option<u32>,
}

/// Reads a request for a new subscription, which gets this id and time of creation (RFC 3339).
///
/// # Errors
/// Everything that is wrong with the request, by property.
pub(crate) fn create(
    body: &Map<String, Value>,
    id: SubscriptionId,
    now: String,
    guard: &Guard,
) -> Result<Subscription, Vec<Message>> {
    let mut wrong = Vec::new();
    let destination = required(body, "Destination").and_then(|value| url("Destination", value));
    if let Err(problem) = required(body, "Protocol").and_then(|value| word("Protocol", value, &[("Redfish", ())])) {
        wrong.push(problem);
    }
    let destination = destination.map_err(|problem| wrong.push(problem)).ok();
    let mut subscription = Subscription::new(id, destination.clone().unwrap_or_else(nowhere), now);
    let mut heartbeat = Heartbeat::default();
    for (property, value) in properties(body) {
        let result = match property {
            "Destination" | "Protocol" => Ok(()),
            _ => set(property, value, &mut subscription, &mut heartbeat),
        };
        wrong.extend(result.err().unwrap_or_default());
    }
    match heartbeat.wanted() {
        Ok(minutes) => subscription.heartbeat_minutes = minutes,
        Err(problem) => wrong.push(problem),
    }
    if !wrong.is_empty() {
        return Err(wrong);
    }
    check(&subscription, guard)?;
    Ok(subscription)
}

fn required<'a>(body: &'a Map<String, Value>, property: &str) -> Result<&'a Value, Message> {
    body.get(property).ok_or_else(|| wrong::missing(property))
}

/// Stands for a destination that was not given, while the rest of the request is looked at.
fn nowhere() -> Url {
    const NOWHERE: &str = "http://nowhere.invalid/";
    #[expect(clippy::expect_used, reason = "a constant that is a URL")]
    Url::parse(NOWHERE).expect("a URL")
}

fn set(property: &str, value: &Value, to: &mut Subscription, heartbeat: &mut Heartbeat) -> Result<(), Vec<Message>> {
    if let Some(result) = patch::set(property, value, to) {
        return result;
    }
    let result = match property {
        "Name" => text(property, value).map(|name| to.name = Some(name)),
        "SubscriptionType" => word(property, value, &[("RedfishEvent", ())]),
        "IncludeOriginOfCondition" => without_origin(property, value),
        "SendHeartbeat" => truth(property, value).map(|send| heartbeat.send = Some(send)),
        "HeartbeatIntervalMinutes" => number(property, value, 1, LONGEST_HEARTBEAT)
            .map(|minutes| heartbeat.minutes = Some(u32::try_from(minutes).unwrap_or(u32::MAX))),
        property if READ_ONLY.contains(&property) => Err(wrong::not_writable(property)),
        property => return set_filter(property, value, &mut to.filter).map_err(|wrong| vec![wrong]),
    };
    result.map_err(|wrong| vec![wrong])
}

/// The filters; null is what an absent one is.
fn set_filter(property: &str, value: &Value, to: &mut Filter) -> Result<(), Message> {
    let null = value.is_null();
    match property {
        "EventTypes" => list(property, value, |place, value| word(place, value, &EventType::NAMES))
            .map(|types| to.event_types = types),
        "RegistryPrefixes" if !null => list(property, value, text).map(|of| to.registry_prefixes = of),
        "MessageIds" if !null => list(property, value, text).map(|of| to.message_ids = of),
        "ExcludeRegistryPrefixes" if !null => list(property, value, text).map(|of| to.exclude_registry_prefixes = of),
        "ExcludeMessageIds" if !null => list(property, value, text).map(|of| to.exclude_message_ids = of),
        "ResourceTypes" if !null => list(property, value, text).map(|of| to.resource_types = of),
        "Severities" if !null => list(property, value, |place, value| word(place, value, &Severity::NAMES))
            .map(|severities| to.severities = severities),
        "OriginResources" => list(property, value, link).map(|of| to.origin_resources = of),
        "MetricReportDefinitions" => list(property, value, link).map(|of| to.metric_report_definitions = of),
        "SubordinateResources" if !null => truth(property, value).map(|of| to.subordinate_resources = of),
        "EventFormatType" if !null => {
            word(property, value, &EventFormatType::NAMES).map(|format| to.event_format_type = format)
        }
        "RegistryPrefixes"
        | "MessageIds"
        | "ExcludeRegistryPrefixes"
        | "ExcludeMessageIds"
        | "ResourceTypes"
        | "Severities"
        | "SubordinateResources"
        | "EventFormatType" => text_or_null(property, value).map(drop),
        _ => Err(wrong::unknown(property)),
    }
}

/// The origin itself is never sent along: Holdfast has the event and not the resource.
fn without_origin(property: &str, value: &Value) -> Result<(), Message> {
    if truth(property, value)? {
        return Err(wrong::choice(property, value).advise("it is not supported; leave it out or use false"));
    }
    Ok(())
}

impl Heartbeat {
    /// Minutes between heartbeats; `None` for none.
    fn wanted(&self) -> Result<Option<u32>, Message> {
        match (self.send, self.minutes) {
            (Some(true), minutes) => Ok(Some(minutes.unwrap_or(HEARTBEAT_MINUTES))),
            (_, Some(_)) => Err(wrong::conflict("HeartbeatIntervalMinutes", "SendHeartbeat")),
            (_, None) => Ok(None),
        }
    }
}
