//! The demo's events: a small data centre with hot inlets, failing drives and opening doors.

use serde_json::json;

const BMCS: usize = 40;

/// What can happen: message id, severity, message, the part of the server that it is about.
const HAPPENINGS: [(&str, &str, &str, &str); 6] = [
    (
        "Environmental.1.0.TemperatureAboveUpperCautionThreshold",
        "Warning",
        "Inlet temperature is high",
        "Chassis/1/Sensors/Inlet",
    ),
    (
        "StorageDevice.1.1.DriveFailurePredicted",
        "Critical",
        "A drive is about to fail",
        "Systems/1/Storage/1/Drives/3",
    ),
    (
        "ResourceEvent.1.3.ResourceStatusChangedOK",
        "OK",
        "The power supply is healthy again",
        "Chassis/1/PowerSubsystem/PowerSupplies/2",
    ),
    (
        "ResourceEvent.1.3.ResourceChanged",
        "OK",
        "The boot order was changed",
        "Systems/1",
    ),
    (
        "Power.1.0.PowerLost",
        "Critical",
        "Power supply 1 has no input",
        "Chassis/1/PowerSubsystem/PowerSupplies/1",
    ),
    (
        "Platform.1.0.IntrusionDetected",
        "Warning",
        "The chassis was opened",
        "Chassis/1",
    ),
];

/// The BMC that sends event `number`.
pub(super) fn source(number: usize) -> String {
    format!("bmc-{:02}", number % BMCS)
}

/// A Redfish event message.
pub(super) fn event(number: usize) -> String {
    let (message_id, severity, message, part) = HAPPENINGS[number % HAPPENINGS.len()];
    json!({
        "@odata.type": "#Event.v1_7_0.Event",
        "Id": number.to_string(),
        "Name": "Event Array",
        "Events": [{
            "EventType": "Alert",
            "EventId": format!("{number}"),
            "MemberId": "0",
            "EventTimestamp": "2026-01-01T00:00:00+00:00",
            "MessageId": message_id,
            "MessageSeverity": severity,
            "Message": format!("{message} ({})", source(number)),
            "OriginOfCondition": {"@odata.id": format!("/redfish/v1/{part}")},
        }],
    })
    .to_string()
}
