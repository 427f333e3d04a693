//! Changes a subscription as a PATCH asks.

use serde_json::{Map, Value};

use super::super::fields::{list, properties, text_or_null, truth, url, word};
use super::super::wrong;
use super::headers::headers;
use super::{POLICIES, check, oem};
use crate::domain::guard::Guard;
use crate::domain::subscription::Subscription;
use crate::redfish::frame::{Message, message};

/// Properties that are set at creation and stay, or that the service alone sets.
const FIXED: [&str; 27] = [
    "Id",
    "Name",
    "Description",
    "Destination",
    "Protocol",
    "SubscriptionType",
    "EventFormatType",
    "EventTypes",
    "RegistryPrefixes",
    "MessageIds",
    "ExcludeRegistryPrefixes",
    "ExcludeMessageIds",
    "ResourceTypes",
    "OriginResources",
    "OriginResources@odata.count",
    "SubordinateResources",
    "Severities",
    "MetricReportDefinitions",
    "MetricReportDefinitions@odata.count",
    "IncludeOriginOfCondition",
    "SendHeartbeat",
    "HeartbeatIntervalMinutes",
    "Certificates",
    "ClientCertificates",
    "Status",
    "Actions",
    "Links",
];

/// Changes what is given. All or nothing: where one property is wrong, `to` is to be thrown away.
///
/// # Errors
/// Everything that is wrong with the request, by property.
pub(crate) fn patch(body: &Map<String, Value>, to: &mut Subscription, guard: &Guard) -> Result<(), Vec<Message>> {
    if properties(body).next().is_none() {
        return Err(vec![message::no_operation()]);
    }
    let mut wrong = Vec::new();
    for (property, value) in properties(body) {
        // A stream is what its client opened, for as long as it reads.
        let settable = if to.is_stream() { None } else { set(property, value, to) };
        match settable {
            Some(result) => wrong.extend(result.err().unwrap_or_default()),
            None if to.is_stream() || FIXED.contains(&property) => wrong.push(wrong::not_writable(property)),
            None => wrong.push(wrong::unknown(property)),
        }
    }
    if wrong.is_empty() { check(to, guard) } else { Err(wrong) }
}

/// Sets a property that may be changed at any time; `None` where it is none of those.
pub(super) fn set(property: &str, value: &Value, to: &mut Subscription) -> Option<Result<(), Vec<Message>>> {
    let one = |result: Result<(), Message>| Some(result.map_err(|wrong| vec![wrong]));
    match property {
        "Context" => one(text_or_null(property, value).map(|context| to.context = context)),
        "HttpHeaders" => one(headers(value).map(|headers| to.headers = headers)),
        "DeliveryRetryPolicy" => one(word(property, value, &POLICIES).map(|policy| to.retry_policy = policy)),
        "VerifyCertificate" => one(truth(property, value).map(|verify| to.verify_certificate = verify)),
        "BackupDestinations" if value.is_null() => one(Ok(to.backup_destinations.clear())),
        "BackupDestinations" => one(list(property, value, url).map(|backups| to.backup_destinations = backups)),
        "Oem" => Some(oem::set(value, to)),
        _ => None,
    }
}
