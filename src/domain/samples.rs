//! Messages and filters for the tests of the domain: the files of `tests/data/events`, and random ones from
//! vocabularies so small that filters and messages often meet.

use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::filter::Filter;
use super::terms::{EventFormatType, EventType, Severity};

/// An event of about 700 bytes, as a controller sends it.
pub(crate) const PLAIN: &str = include_str!("../../tests/data/events/alert.json");

/// Three records of different kinds.
pub(crate) const BATCH: &str = include_str!("../../tests/data/events/batch.json");

/// A metric report with two values.
pub(crate) const REPORT: &str = include_str!("../../tests/data/events/metric-report.json");

const MESSAGE_IDS: [&str; 7] = [
    "Platform.1.0.FanFailed",
    "Platform.1.2.FanRemoved",
    "platform.fanfailed",
    "Power.1.0.On",
    "Power.2.1.3.Off",
    "FAN0001",
    "",
];
const REGISTRIES: [&str; 4] = ["Platform", "power", "Base", "Platform.1.0"];
const ORIGINS: [&str; 10] = [
    "/redfish/v1/Systems/1",
    "/redfish/v1/Systems/1/",
    "/redfish/v1/Systems/10",
    "/redfish/v1/Systems",
    "/redfish/v1/Systems/1/Memory/2",
    "https://192.0.2.1/redfish/v1/Systems/1",
    "/redfish/v1/Chassis/1/Power#/Fans/0",
    "/redfish/v1/Chassis/1/Power",
    "/redfish/v1",
    "/",
];
const TYPES: [&str; 4] = ["ComputerSystem", "memory", "Power", "#Memory.v1_0_0.Memory"];
const SEVERITIES: [&str; 5] = ["OK", "warning", "Critical", "Informational", "purple"];
const EVENT_TYPES: [&str; 4] = ["Alert", "StatusChange", "Other", "Unheard"];
const DEFINITIONS: [&str; 3] = ["/redfish/v1/D/1", "/redfish/v1/D/1/", "/redfish/v1/D/2"];

fn record() -> impl Strategy<Value = String> {
    let member = |name: &'static str, values: &'static [&'static str]| {
        let text = select(values).prop_map(move |value| format!(r#""{name}":"{value}""#));
        prop_oneof![4 => text.prop_map(Some), 1 => Just(None)]
    };
    let origin = prop_oneof![
        2 => Just(None),
        4 => select(&ORIGINS[..]).prop_map(|uri| Some(format!(r#""OriginOfCondition":{{"@odata.id":"{uri}"}}"#))),
        1 => (select(&ORIGINS[..]), select(&TYPES[..])).prop_map(|(uri, of)| {
            Some(format!(r#""OriginOfCondition":{{"@odata.type":"{of}","@odata.id":"{uri}"}}"#))
        }),
    ];
    let members = (
        member("MessageId", &MESSAGE_IDS),
        member("MessageSeverity", &SEVERITIES),
        member("EventType", &EVENT_TYPES),
        member("Severity", &SEVERITIES),
        origin,
    );
    members.prop_map(|(id, message_severity, event_type, severity, origin)| {
        let members = [id, message_severity, event_type, severity, origin];
        format!("{{{}}}", members.into_iter().flatten().collect::<Vec<_>>().join(", "))
    })
}

/// A message: an event with none to four records, a bare record, or a metric report.
pub(crate) fn message() -> impl Strategy<Value = String> {
    let count = prop_oneof![Just(""), Just(r#""Events@odata.count" : 9,"#)];
    let context = prop_oneof![Just(""), Just(r#","Context":"theirs""#)];
    let events = (count, proptest::collection::vec(record(), 0..5), context)
        .prop_map(|(count, records, context)| format!(r#"{{{count} "Events":[{}]{context} }}"#, records.join(" ,\n")));
    let report = select(&DEFINITIONS[..])
        .prop_map(|uri| format!(r#"{{"MetricValues":[],"MetricReportDefinition":{{"@odata.id":"{uri}"}}}}"#));
    prop_oneof![8 => events, 1 => record(), 1 => report, 1 => Just(r#"{"MetricValues":[]}"#.to_owned())]
}

fn some_of(values: &'static [&'static str]) -> impl Strategy<Value = Vec<String>> {
    let few = subsequence(values, 1..=2).prop_map(|chosen| chosen.into_iter().map(str::to_owned).collect());
    prop_oneof![2 => Just(Vec::new()), 1 => few]
}

/// A filter, valid or not: the index has to agree with the definition on both.
pub(crate) fn filter() -> impl Strategy<Value = Filter> {
    use EventType::{Alert, MetricReport, Other, StatusChange};
    let event_types = prop_oneof![
        3 => Just(Vec::new()),
        1 => subsequence(vec![Alert, MetricReport, Other, StatusChange], 1..=3),
    ];
    let severities = prop_oneof![
        2 => Just(Vec::new()),
        1 => subsequence(vec![Severity::Ok, Severity::Warning, Severity::Critical], 1..=2),
    ];
    let format = prop_oneof![6 => Just(EventFormatType::Event), 1 => Just(EventFormatType::MetricReport)];
    let texts = (
        some_of(&REGISTRIES),
        some_of(&MESSAGE_IDS),
        some_of(&REGISTRIES),
        some_of(&MESSAGE_IDS),
        some_of(&TYPES),
        some_of(&ORIGINS),
        some_of(&DEFINITIONS),
    );
    (event_types, severities, format, texts, any::<bool>()).prop_map(
        |(event_types, severities, event_format_type, texts, subordinate_resources)| Filter {
            event_types,
            registry_prefixes: texts.0,
            message_ids: texts.1,
            exclude_registry_prefixes: texts.2,
            exclude_message_ids: texts.3,
            resource_types: texts.4,
            origin_resources: texts.5,
            subordinate_resources,
            severities,
            event_format_type,
            metric_report_definitions: texts.6,
        },
    )
}
