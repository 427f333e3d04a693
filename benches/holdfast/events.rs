//! The benchmark's events: Redfish alerts of about 700 bytes, no two alike.

use bytes::Bytes;

/// Message id, severity, message, and the part of the chassis that it is about.
const HAPPENINGS: [(&str, &str, &str, &str); 5] = [
    (
        "Environmental.1.0.TemperatureAboveUpperCautionThreshold",
        "Warning",
        "The reading of the inlet sensor is above its upper caution threshold",
        "Sensors/InletTemp",
    ),
    (
        "StorageDevice.1.1.DriveFailurePredicted",
        "Critical",
        "A failure of the drive is predicted; replace it at the next opportunity",
        "Drives/3",
    ),
    (
        "ResourceEvent.1.3.ResourceStatusChangedOK",
        "OK",
        "The health of the power supply has changed to OK",
        "PowerSubsystem/PowerSupplies/2",
    ),
    (
        "NetworkDevice.1.0.ConnectionDropped",
        "Warning",
        "The port of the network adapter lost its link",
        "NetworkAdapters/7/Ports/1",
    ),
    (
        "Power.1.0.PowerSupplyInputLost",
        "Critical",
        "The power supply has no input any more",
        "PowerSubsystem/PowerSupplies/1",
    ),
];

/// The length that every event is padded to, about.
pub(crate) const LENGTH: usize = 700;

/// The URI of a chassis.
pub(crate) fn chassis(chassis: usize) -> String {
    format!("/redfish/v1/Chassis/{chassis}")
}

/// Event number `number`, about something in a chassis.
pub(crate) fn about(number: usize, in_chassis: usize) -> Bytes {
    let (message_id, severity, message, part) = HAPPENINGS[number % HAPPENINGS.len()];
    let rack = number / 7 % 42;
    let second = number % 60;
    let minute = number / 60 % 60;
    let mut text = format!(
        r##"{{"@odata.type":"#Event.v1_7_0.Event","Id":"{number}","Name":"Event Array","Context":"","Events@odata.count":1,"Events":[{{"EventType":"Alert","EventId":"{number}","MemberId":"0","EventGroupId":{group},"EventTimestamp":"2026-11-25T08:{minute:02}:{second:02}+00:00","MessageId":"{message_id}","MessageSeverity":"{severity}","Severity":"{severity}","Message":"{message} (rack {rack})","MessageArgs":["{rack}","{value}.5"],"OriginOfCondition":{{"@odata.id":"{origin}/{part}"}},"Oem":{{"Contoso":{{"@odata.type":"#ContosoEvent.v1_0_0.Event","Serial":"CN{serial:010}","Trace":""##,
        group = number / 3,
        origin = chassis(in_chassis),
        value = 20 + number % 30,
        serial = number.wrapping_mul(2_654_435_761) % 10_000_000_000,
    );
    let mut seed = number as u64 ^ 0x9E37_79B9_7F4A_7C15;
    while text.len() + 6 < LENGTH {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        text.push_str(&format!("{:02x}", seed >> 56));
    }
    text.push_str(r#""}}}]}"#);
    Bytes::from(text)
}

/// Event number `number`.
pub(crate) fn event(number: usize) -> Bytes {
    about(number, number % 1_000)
}
