//! The EventService itself: what it can do, and the settings that are changed while it runs.

use serde_json::{Map, Value, json};

use super::destination::COLLECTION;
use super::fields::{number, properties, truth};
use super::{SERVICE, refused, sse, wrong};
use crate::domain::account::Privilege;
use crate::domain::retry::last_attempt;
use crate::domain::service::{LONGEST_INTERVAL_SECS, MOST_RETRIES, ServiceSettings};
use crate::domain::terms::{EventFormatType, EventType, Severity};
use crate::domain::units::Period;
use crate::redfish::frame::{Answer, Call, Message, Needs, Outcome, Resource, Route, message};

const MANAGER: Needs = Needs::Any(&[Privilege::ConfigureManager]);

/// Properties that can't be set.
const READ_ONLY: [&str; 14] = [
    "Id",
    "Name",
    "Description",
    "Status",
    "Actions",
    "Subscriptions",
    "EventFormatTypes",
    "EventTypesForSubscription",
    "Severities",
    "SubordinateResourcesSupported",
    "OriginResourcesSupported",
    "ExcludeRegistryPrefix",
    "ExcludeMessageId",
    "IncludeOriginOfConditionSupported",
];

pub(super) fn routes() -> Vec<Route> {
    vec![Route::at(SERVICE).get(Needs::LOGIN, read).patch(MANAGER, change)]
}

async fn read(call: Call) -> Outcome {
    let settings = call.service.store.settings().await?;
    Ok(Answer::Resource(resource(&call, &settings)))
}

async fn change(call: Call) -> Outcome {
    let settings = call
        .service
        .store
        .try_update_settings(|settings| {
            call.check(&resource(&call, settings))?;
            patch(&call.body, settings).map_err(refused)
        })
        .await?;
    Ok(Answer::Resource(resource(&call, &settings)))
}

/// Changes what is given, all or nothing.
fn patch(body: &Map<String, Value>, to: &mut ServiceSettings) -> Result<(), Vec<Message>> {
    if properties(body).next().is_none() {
        return Err(vec![message::no_operation()]);
    }
    let changes = properties(body).map(|(property, value)| match property {
        "ServiceEnabled" => truth(property, value).map(|enabled| to.enabled = enabled),
        "DeliveryRetryAttempts" => number(property, value, 0, MOST_RETRIES.into())
            .map(|retries| to.retries = Some(u32::try_from(retries).unwrap_or(u32::MAX))),
        "DeliveryRetryIntervalSeconds" => number(property, value, 1, LONGEST_INTERVAL_SECS)
            .map(|seconds| to.interval = Some(Period::from_secs(seconds))),
        property if READ_ONLY.contains(&property) => Err(wrong::not_writable(property)),
        property => Err(wrong::unknown(property)),
    });
    let wrong: Vec<Message> = changes.filter_map(Result::err).collect();
    if wrong.is_empty() { Ok(()) } else { Err(wrong) }
}

/// The resource. It says of every capability only what works.
fn resource(call: &Call, settings: &ServiceSettings) -> Resource {
    let retry = &call.service.eventing.retry;
    let retries = settings
        .retries
        .unwrap_or_else(|| last_attempt(retry.max_attempts).saturating_sub(1));
    let interval = settings.interval.unwrap_or(retry.delay);
    let state = if settings.enabled { "Enabled" } else { "Disabled" };
    let action = |name: &str| json!({ "target": format!("{SERVICE}/Actions/EventService.{name}") });
    let service = Resource::new(SERVICE, "EventService.v1_12_0.EventService", "Event service")
        .with("ServiceEnabled", settings.enabled)
        .with("Status", json!({ "State": state, "Health": "OK" }))
        .with("DeliveryRetryAttempts", retries)
        // Less than a second is shown as one: the property has whole seconds.
        .with("DeliveryRetryIntervalSeconds", interval.millis().div_ceil(1_000).max(1))
        .with("EventFormatTypes", words(&EventFormatType::NAMES))
        .with("EventTypesForSubscription", words(&EventType::NAMES))
        .with("Severities", words(&Severity::NAMES))
        .with("SubordinateResourcesSupported", true)
        .with("OriginResourcesSupported", true)
        .with("ExcludeRegistryPrefix", true)
        .with("ExcludeMessageId", true)
        .with("IncludeOriginOfConditionSupported", false)
        .link("Subscriptions", COLLECTION)
        .with(
            "Actions",
            json!({
                "#EventService.SubmitTestEvent": action("SubmitTestEvent"),
                "#EventService.TestEventSubscription": action("TestEventSubscription"),
            }),
        );
    if !call.service.eventing.hub.is_possible() {
        return service;
    }
    service.with("ServerSentEventUri", sse::URI).with(
        "SSEFilterPropertiesSupported",
        json!({
            "EventFormatType": true,
            "EventType": true,
            "MessageId": true,
            "MetricReportDefinition": true,
            "OriginResource": true,
            "RegistryPrefix": true,
            "ResourceType": true,
            "SubordinateResources": true,
        }),
    )
}

fn words<T>(names: &[(&str, T)]) -> Value {
    names.iter().map(|(name, _)| *name).collect()
}
