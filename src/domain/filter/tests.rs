//! The rules of matching, one by one.

use super::*;
use bytes::Bytes;
use rstest::rstest;
use serde_json::json;

fn filter(value: serde_json::Value) -> Filter {
    serde_json::from_value(value).expect("a filter")
}

fn event(record: &serde_json::Value) -> Message {
    Message::parse(Bytes::from(json!({ "Events": [record] }).to_string())).expect("an event")
}

fn fan_failed() -> Message {
    event(&json!({
        "MessageId": "Platform.1.2.FanFailed",
        "EventType": "Alert",
        "MessageSeverity": "Critical",
        "OriginOfCondition": { "@odata.id": "/redfish/v1/Chassis/1/ThermalSubsystem/Fans/3" },
    }))
}

#[rstest]
#[case::nothing(json!({}))]
#[case::id(json!({"message_ids": ["Platform.FanFailed"]}))]
#[case::id_of_another_version(json!({"message_ids": ["Platform.3.0.FanFailed"]}))]
#[case::one_of_two_ids(json!({"message_ids": ["Base.Success", "Platform.1.0.FanFailed"]}))]
#[case::registry(json!({"registry_prefixes": ["Platform"]}))]
#[case::registry_or_id(json!({"registry_prefixes": ["Platform"], "message_ids": ["Base.Success"]}))]
#[case::id_or_registry(json!({"registry_prefixes": ["Base"], "message_ids": ["Platform.FanFailed"]}))]
#[case::other_excluded(json!({"exclude_registry_prefixes": ["Base"], "exclude_message_ids": ["Platform.FanRemoved"]}))]
#[case::origin(json!({"origin_resources": ["/redfish/v1/Chassis/1/ThermalSubsystem/Fans/3/"]}))]
#[case::above_origin(json!({"origin_resources": ["/redfish/v1/Chassis/1"], "subordinate_resources": true}))]
#[case::resource_type(json!({"resource_types": ["Fan"]}))]
#[case::severity(json!({"severities": ["Warning", "Critical"]}))]
#[case::event_type(json!({"event_types": ["Alert"]}))]
#[case::all(json!({"event_types": ["Alert"], "severities": ["Critical"], "resource_types": ["Fan"], "message_ids": ["Platform.FanFailed"]}))]
fn a_record_is_wanted(#[case] wants: serde_json::Value) {
    assert!(
        filter(wants)
            .select(&fan_failed())
            .is_some_and(|records| records.is_all())
    );
}

#[rstest]
#[case::id(json!({"message_ids": ["Platform.FanRemoved"]}))]
#[case::registry(json!({"registry_prefixes": ["Base"]}))]
#[case::excluded_id(json!({"exclude_message_ids": ["Platform.1.0.FanFailed"]}))]
#[case::excluded_registry(json!({"message_ids": ["Platform.FanFailed"], "exclude_registry_prefixes": ["Platform"]}))]
#[case::above_origin(json!({"origin_resources": ["/redfish/v1/Chassis/1"]}))]
#[case::beside_origin(json!({"origin_resources": ["/redfish/v1/Chassis/1/ThermalSubsystem/Fans/30"], "subordinate_resources": true}))]
#[case::origin_in_other_case(json!({"origin_resources": ["/redfish/v1/chassis/1"], "subordinate_resources": true}))]
#[case::resource_type(json!({"resource_types": ["Chassis"]}))]
#[case::severity(json!({"severities": ["OK"]}))]
#[case::event_type(json!({"event_types": ["Other"]}))]
#[case::one_kind_of_two(json!({"severities": ["Critical"], "event_types": ["StatusChange"]}))]
#[case::format(json!({"event_format_type": "MetricReport"}))]
fn a_record_is_not_wanted(#[case] wants: serde_json::Value) {
    assert_eq!(filter(wants).select(&fan_failed()), None);
}

#[rstest]
#[case(json!({"message_ids": ["Base.Success"]}), false)]
#[case(json!({"registry_prefixes": ["Base"]}), false)]
#[case(json!({"origin_resources": ["/"], "subordinate_resources": true}), false)]
#[case(json!({"resource_types": ["Fan"]}), false)]
#[case(json!({"severities": ["OK", "Warning", "Critical"]}), false)]
#[case(json!({"event_types": ["Other"]}), true)]
#[case(json!({"exclude_registry_prefixes": ["Base"]}), true)]
#[case(json!({}), true)]
fn a_record_that_says_nothing_matches_no_value(#[case] wants: serde_json::Value, #[case] wanted: bool) {
    assert_eq!(filter(wants).select(&event(&json!({}))).is_some(), wanted);
}

#[test]
fn a_message_goes_out_with_the_records_that_match() {
    let batch = Message::parse(crate::domain::samples::BATCH.into()).expect("an event");
    let chosen = |wants| {
        filter(wants)
            .select(&batch)
            .map(|records| records.iter().collect::<Vec<_>>())
    };
    assert_eq!(chosen(json!({"severities": ["Warning"]})), Some(vec![1]));
    assert_eq!(chosen(json!({"severities": ["OK"]})), Some(vec![0, 2]));
    assert_eq!(
        chosen(json!({"exclude_registry_prefixes": ["Platform"]})),
        Some(vec![0, 2])
    );
    assert_eq!(chosen(json!({"registry_prefixes": ["Base"]})), None);
    assert_eq!(chosen(json!({})), Some(vec![0, 1, 2]));
}

#[test]
fn a_message_without_records_is_wanted_by_nobody() {
    let empty = Message::parse(Bytes::from_static(br#"{"Events":[]}"#)).expect("an event");
    assert_eq!(Filter::default().select(&empty), None);
}

#[test]
fn the_format_selects_between_events_and_reports() {
    let report = Message::parse(crate::domain::samples::REPORT.into()).expect("a report");
    let wanted = |wants| filter(wants).select(&report).is_some();
    let definition = "/redfish/v1/TelemetryService/MetricReportDefinitions/Power";
    assert!(!wanted(json!({})));
    assert!(wanted(json!({"event_format_type": "MetricReport"})));
    assert!(wanted(
        json!({"event_format_type": "MetricReport", "metric_report_definitions": [definition, "/x"]})
    ));
    assert!(!wanted(
        json!({"event_format_type": "MetricReport", "metric_report_definitions": ["/x"]})
    ));
    assert!(
        wanted(json!({"event_types": ["MetricReport"]})),
        "the older way to ask for reports"
    );
    assert!(!wanted(json!({"event_types": ["Alert"]})));
}

#[rstest]
#[case(json!({"message_ids": [" "]}), "MessageIds has an empty value")]
#[case(json!({"message_ids": vec!["Base.Success"; 1025]}), "MessageIds has more than 1024 values")]
#[case(json!({"severities": vec!["OK"; 1025]}), "Severities has more than 1024 values")]
#[case(json!({"origin_resources": ["Systems/1"]}), "OriginResources has \"Systems/1\"")]
#[case(json!({"metric_report_definitions": ["/redfish/v1/D"]}), "EventFormatType is Event")]
#[case(json!({"event_format_type": "MetricReport", "severities": ["OK"]}), "Severities filters events")]
#[case(json!({"event_format_type": "MetricReport", "event_types": ["Alert"]}), "EventTypes filters events")]
#[case(json!({"registry_prefixes": ["Base"], "exclude_registry_prefixes": ["base.1.0"]}), "excluded by ExcludeRegistryPrefixes")]
#[case(json!({"message_ids": ["Base.Success"], "exclude_registry_prefixes": ["Base"]}), "excluded by ExcludeRegistryPrefixes")]
#[case(json!({"message_ids": ["Base.Success"], "exclude_message_ids": ["Base.1.4.Success"]}), "excluded by ExcludeMessageIds")]
fn what_cannot_be_right_is_refused(#[case] wants: serde_json::Value, #[case] reason: &str) {
    let error = filter(wants).validate().expect_err("cannot be right");
    assert!(error.to_string().contains(reason), "{error}");
}

#[test]
fn what_can_be_right_is_accepted() {
    for wants in [
        json!({}),
        json!({"message_ids": vec!["Base.Success"; 1024]}),
        json!({"registry_prefixes": ["Base"], "exclude_message_ids": ["Base.Success"]}),
        json!({"event_format_type": "MetricReport", "event_types": ["MetricReport"], "metric_report_definitions": ["/x"]}),
        json!({"event_types": ["MetricReport", "Alert"], "metric_report_definitions": ["/x"]}),
    ] {
        assert_eq!(filter(wants.clone()).validate(), Ok(()), "{wants}");
    }
}

#[test]
fn filters_are_stored_without_what_is_empty() {
    assert_eq!(serde_json::to_value(Filter::default()).expect("serializes"), json!({}));
    let full = json!({
        "event_types": ["Alert"], "registry_prefixes": ["A"], "message_ids": ["A.B"],
        "exclude_registry_prefixes": ["C"], "exclude_message_ids": ["A.D"], "resource_types": ["Fan"],
        "origin_resources": ["/x"], "subordinate_resources": true, "severities": ["OK"],
        "event_format_type": "MetricReport", "metric_report_definitions": ["/y"],
    });
    assert_eq!(serde_json::to_value(filter(full.clone())).expect("serializes"), full);
    let newer = json!({"severities": ["OK"], "of_a_later_version": true});
    assert_eq!(
        filter(newer),
        filter(json!({"severities": ["OK"]})),
        "a rolling update must not lose a subscription"
    );
    let error = serde_json::from_value::<Filter>(json!({"severities": ["Bad"]})).expect_err("no severity");
    assert!(error.to_string().contains("OK, Warning or Critical"), "{error}");
}
