//! The event that tells a subscriber that the service lives, at the interval it asked for
//! (EventDestination 1.16, `SendHeartbeat`; registry HeartbeatEvent 1.1).

use bytes::Bytes;
use serde_json::json;

/// A heartbeat for a subscription with this `Context`; `at` is an RFC 3339 time and `id` names the event.
#[must_use]
pub fn event(context: Option<&str>, id: &str, at: &str) -> Bytes {
    let mut event = json!({
        "@odata.type": "#Event.v1_13_0.Event",
        "Id": id,
        "Name": "Heartbeat",
        "Events": [{
            "MemberId": "0",
            "EventType": "Other",
            "EventId": id,
            "EventTimestamp": at,
            "MessageId": "HeartbeatEvent.1.1.RedfishServiceFunctional",
            "MessageSeverity": "OK",
            "Severity": "OK",
            "Message": "Redfish service is functional.",
            "MessageArgs": [],
        }],
    });
    if let Some(context) = context {
        event["Context"] = json!(context);
    }
    Bytes::from(event.to_string())
}
