//! What conforms is sent as it came, but for what was asked to be different; what does not is mended.

use super::*;
use crate::domain::ids::SubscriptionId;
use crate::domain::samples;
use proptest::prelude::*;
use serde_json::{Value, json};

const EVENT_ID: StreamId = StreamId { millis: 1, sequence: 2 };

/// A record that conforms; `{}` is where its member id stands.
const RECORD: &str = r#"{ "EventType":"Alert","MessageId":"A.1.0.B" , "MemberId":"{}"}"#;

fn parse(text: &str) -> Message {
    Message::parse(Bytes::copy_from_slice(text.as_bytes())).expect("parses")
}

fn some(message: &Message, indexes: &[usize]) -> Records {
    Records::pick(message.records().len(), |index| indexes.contains(&index)).expect("some")
}

fn rendered(text: &str, indexes: &[usize], context: Option<&str>) -> String {
    let message = parse(text);
    let envelope = Envelope {
        context,
        event: EVENT_ID,
    };
    let bodies = render(&message, &some(&message, indexes), envelope);
    assert_eq!(bodies.len(), 1);
    String::from_utf8(bodies[0].to_vec()).expect("UTF-8")
}

/// The only record of what is made of one.
fn mended(record: &str) -> Value {
    let text = format!(r##"{{"@odata.type":"#Event.v1_13_0.Event","Id":"1","Name":"n","Events":[{record}]}}"##);
    let message: Value = serde_json::from_str(&rendered(&text, &[0], None)).expect("JSON");
    message["Events"][0].clone()
}

fn envelope(members: &str) -> String {
    let records: Vec<String> = (0..3).map(|index| RECORD.replace("{}", &index.to_string())).collect();
    format!(
        r##"{{ "@odata.type":"#Event.v1_7_0.Event","Id":"4","Name":"n"{members}, "Events": [ {} ] }}"##,
        records.join(" ,\n")
    )
}

#[test]
fn what_conforms_is_sent_as_it_came() {
    let raw = Bytes::from(format!("\u{feff}{}", samples::PLAIN));
    let message = Message::parse(raw.clone()).expect("parses");
    let plain = Envelope {
        context: None,
        event: EVENT_ID,
    };
    let body = &render(&message, &some(&message, &[0]), plain)[0];
    assert_eq!(body, &raw.slice(3..));
    assert_eq!(body.as_ptr(), raw.slice(3..).as_ptr(), "shared, not copied");
}

#[test]
fn chosen_records_keep_their_bytes_and_the_count_is_right() {
    let text = envelope(r#","Events@odata.count" : 3, "Oem": {"A":{"b":1.50}}"#);
    let records: Vec<String> = [0, 2].map(|index| RECORD.replace("{}", &index.to_string())).into();
    assert_eq!(
        rendered(&text, &[0, 2], None),
        format!(
            r##"{{ "@odata.type":"#Event.v1_7_0.Event","Id":"4","Name":"n","Events@odata.count" : 2, "Oem": {{"A":{{"b":1.50}}}}, "Events": [{}] }}"##,
            records.join(",")
        )
    );
}

#[test]
fn the_context_is_the_subscribers() {
    let theirs = envelope(r#","Context": "a\"b""#);
    assert_eq!(
        rendered(&theirs, &[0, 1, 2], Some("mine")),
        theirs.replace(r#""a\"b""#, r#""mine""#)
    );
    let none = envelope("");
    assert_eq!(
        rendered(&none, &[0, 1, 2], Some("q\"\\\n")),
        none.replacen('{', r#"{"Context":"q\"\\\n","#, 1)
    );
    let old = none.replace("v1_7_0", "v1_0_0");
    assert!(
        rendered(&old, &[0], Some("mine")).starts_with(r##"{"@odata.type":"#Event.v1_13_0.Event""##),
        "Event 1.0 had no Context"
    );
    assert_eq!(rendered(&old, &[0, 1, 2], None), old);
}

#[test]
fn a_message_without_an_envelope_gets_one() {
    let bare = r#"{"MemberId":"58","EventType":"Alert","EventId":7,"Severity":"lnr","MessageId":"Alert.1.0.TempHigh"}"#;
    let message: Value = serde_json::from_str(&rendered(bare, &[0], Some("c"))).expect("JSON");
    assert_eq!(
        message,
        json!({
            "@odata.type": "#Event.v1_13_0.Event", "Id": "1-2", "Name": "Event Array", "Context": "c",
            "Events": [{
                "MemberId": "58", "EventType": "Alert", "EventId": "7", "Severity": "Critical",
                "MessageId": "Alert.1.0.TempHigh", "Oem": {"Holdfast": {"Received": {"Severity": "lnr"}}},
            }],
        })
    );
}

#[rstest::rstest]
#[case::empty("{}", json!({"EventType": "Other", "MessageId": "Oem.1.0.Unknown", "MemberId": "0"}))]
#[case::times(
    r#"{"EventTimeStamp":"2021-07-13T15:09:55-0500"}"#,
    json!({"EventTimestamp": "2021-07-13T15:09:55-05:00"})
)]
#[case::no_time(r#"{"EventTimestamp":"","Message":null}"#, json!({}))]
#[case::not_a_time(
    r#"{"EventTimestamp":"yesterday"}"#,
    json!({"Oem": {"Holdfast": {"Received": {"EventTimestamp": "yesterday"}}}})
)]
#[case::origin(
    r#"{"OriginOfCondition":"/redfish/v1/Systems/1"}"#,
    json!({"OriginOfCondition": {"@odata.id": "/redfish/v1/Systems/1"}})
)]
#[case::origin_in_full(
    r#"{"OriginOfCondition":{"@odata.id":"/redfish/v1/Systems/1","Id":"1"}}"#,
    json!({
        "OriginOfCondition": {"@odata.id": "/redfish/v1/Systems/1"},
        "Oem": {"Holdfast": {"Received": {"OriginOfCondition": {"@odata.id": "/redfish/v1/Systems/1", "Id": "1"}}}},
    })
)]
#[case::numbers(
    r#"{"EventId":12,"MemberId":3,"EventGroupId":"4","MessageArgs":["Off",null,4.50,{"a":[]}]}"#,
    json!({"EventId": "12", "MemberId": "3", "EventGroupId": 4, "MessageArgs": ["Off", "", "4.50", "{\"a\":[]}"]})
)]
#[case::words(
    r#"{"EventType":"alert","MessageSeverity":"WARNING","Severity":"Informational"}"#,
    json!({
        "EventType": "Alert", "MessageSeverity": "Warning", "Severity": "OK",
        "Oem": {"Holdfast": {"Received": {"Severity": "Informational"}}},
    })
)]
#[case::bare_message_id(
    r#"{"MessageID":"FAN0001"}"#,
    json!({"MessageId": "Oem.1.0.FAN0001", "Oem": {"Holdfast": {"Received": {"MessageID": "FAN0001"}}}})
)]
#[case::unversioned_message_id(
    r#"{"MessageId":"Alert.LinkDown"}"#,
    json!({"MessageId": "Alert.1.0.LinkDown", "Oem": {"Holdfast": {"Received": {"MessageId": "Alert.LinkDown"}}}})
)]
#[case::extra_members(
    r#"{"Created":"x","Oem":{"Vendor":{"a":1},"SystemUUID":"0-0"},"Message@Redfish.Deprecated":"y"}"#,
    json!({
        "Message@Redfish.Deprecated": "y",
        "Oem": {"Vendor": {"a": 1}, "Holdfast": {"Received": {"Created": "x", "Oem": {"SystemUUID": "0-0"}}}},
    })
)]
#[case::ours_is_not_taken_away(
    r#"{"Created":"x","Oem":{"Holdfast":{"a":1}}}"#,
    json!({"Oem": {"Holdfast": {"Received": {"Created": "x", "Oem": {"Holdfast": {"a": 1}}}}}})
)]
#[case::twice(
    r#"{"Message":"a","message":"b"}"#,
    json!({"Message": "b", "Oem": {"Holdfast": {"Received": {"Message": "a"}}}})
)]
#[case::no_object(r#"[1]"#, json!({"Oem": {"Holdfast": {"Received": {"Record": [1]}}}}))]
fn records_are_mended(#[case] record: &str, #[case] mut expected: Value) {
    for (name, value) in [
        ("EventType", "Other"),
        ("MessageId", "Oem.1.0.Unknown"),
        ("MemberId", "0"),
    ] {
        let members = expected.as_object_mut().expect("an object");
        members.entry(name).or_insert(json!(value));
    }
    assert_eq!(mended(record), expected);
}

#[test]
fn records_without_a_member_id_have_their_index_and_no_two_the_same() {
    let text = r#"{"Events":[{"MemberId":"1"},{},{"MemberId":"1"},{}]}"#;
    let ids = |indexes: &[usize]| {
        let message: Value = serde_json::from_str(&rendered(text, indexes, None)).expect("JSON");
        let records = message["Events"].as_array().expect("records").clone();
        let ids = records
            .iter()
            .map(|record| record["MemberId"].as_str().unwrap_or_default().to_owned());
        ids.collect::<Vec<_>>()
    };
    assert_eq!(ids(&[0, 1, 2, 3]), ["1", "2", "3", "4"]);
    assert_eq!(ids(&[3]), ["3"]);
}

#[test]
fn a_report_is_mended_too() {
    let text = r##"{"@odata.type":"#MetricReport.v1_0_0.MetricReport","Id":"CPU 1","MetricReportDefinition":"/d/1",
        "MetricValues":[{"MetricId":"a","MetricValue":4.50,"Timestamp":"2026-01-01T00:00:00"},7]}"##;
    let message: Value = serde_json::from_str(&rendered(text, &[0], Some("c"))).expect("JSON");
    assert_eq!(
        message,
        json!({
            "@odata.type": "#MetricReport.v1_5_2.MetricReport", "Id": "CPU 1", "Name": "Metric Report", "Context": "c",
            "@odata.id": "/redfish/v1/TelemetryService/MetricReports/CPU%201",
            "MetricReportDefinition": {"@odata.id": "/d/1"},
            "MetricValues": [
                {"MetricId": "a", "MetricValue": "4.50", "Timestamp": "2026-01-01T00:00:00Z"},
                {"Oem": {"Holdfast": {"Received": {"Value": 7}}}},
            ],
        })
    );
}

#[rstest::rstest]
#[case::that_conforms(
    r##"{"@odata.type":"#Event.v1_13_0.Event","Id":"4711","Name":"n","Events":["##,
    "\"MemberId\""
)]
#[case::to_be_mended(r#"{"Id":4711,"Events":["#, "\"MemberID\"")]
fn a_long_message_is_split_between_records(#[case] head: &str, #[case] name: &str) {
    let long = "x".repeat(100_000);
    let record =
        |index: usize| format!(r#"{{"EventType":"Alert","MessageId":"A.1.0.B",{name}:"{index}","Message":"{long}"}}"#);
    let records: Vec<String> = (0..25).map(record).collect();
    let message = parse(&format!("{head}{}]}}", records.join(",")));
    let envelope = Envelope {
        context: Some("c"),
        event: EVENT_ID,
    };
    let bodies = render(&message, &some(&message, &(0..25).collect::<Vec<_>>()), envelope);
    let parts: Vec<Value> = bodies
        .iter()
        .map(|body| serde_json::from_slice(body).expect("JSON"))
        .collect();
    assert_eq!(parts.len(), 3);
    assert!(bodies.iter().all(|body| body.len() <= MAX_BYTES));
    let ids: Vec<&Value> = parts.iter().map(|part| &part["Id"]).collect();
    assert_eq!(ids, ["4711", "4711-2", "4711-3"]);
    assert!(parts.iter().all(|part| part["Context"] == "c"));
    let members = parts
        .iter()
        .flat_map(|part| part["Events"].as_array().expect("records"));
    let members: Vec<&str> = members
        .map(|record| record["MemberId"].as_str().expect("an id"))
        .collect();
    assert_eq!(members, (0..25).map(|index| index.to_string()).collect::<Vec<_>>());
}

#[test]
fn a_record_that_is_too_long_travels_alone() {
    let long = "x".repeat(MAX_BYTES);
    let text = format!(r#"{{"Events":[{{}},{{"Message":"{long}"}},{{}}]}}"#);
    let message = parse(&text);
    let envelope = Envelope {
        context: None,
        event: EVENT_ID,
    };
    let bodies = render(&message, &some(&message, &[0, 1, 2]), envelope);
    assert_eq!(
        bodies.iter().map(|body| body.len() > MAX_BYTES).collect::<Vec<_>>(),
        [false, true, false]
    );
}

#[test]
fn raw_is_what_came() {
    let received = Bytes::from("\u{feff}{\"Events\":[{\"a\":1},{}]}");
    let message = Message::parse(received.clone()).expect("parses");
    let url = "http://h/".parse().expect("a URL");
    let mut to = Subscription::new(SubscriptionId::new("s").expect("an id"), url, String::new());
    to.context = Some("mine".to_owned());
    let records = some(&message, &[0]);
    let sent = |to: &Subscription| bodies(to, &message, &records, EVENT_ID, &received)[0].clone();
    assert_ne!(sent(&to), received);
    to.payload = PayloadFormat::Raw;
    assert_eq!(sent(&to), received);
}

mod together {
    use super::*;

    fn add(together: &mut Together<'_>, text: &str, delivery: &str) -> bool {
        let message = parse(text);
        let all = Records::all(message.records().len()).expect("some");
        together.add(&message, &all, delivery)
    }

    fn event(number: usize, name: &str) -> String {
        format!(
            r##"{{"@odata.type":"#Event.v1_7_0.Event","Id":"{number}","Name":"{name}","Context":"theirs","Events":[
                {{"EventType":"Alert","MessageId":"A.1.0.B","MemberId":"0","EventId":"e{number}",
                "EventTimestamp":"2026-01-01T00:00:0{number}Z"}}]}}"##
        )
    }

    #[test]
    fn each_record_keeps_what_is_its_own() {
        let mut together = Together::new(256, Some("c"));
        for number in 0..3 {
            assert!(add(&mut together, &event(number, "n"), &format!("s.0.1-{number}")));
        }
        let message: Value = serde_json::from_slice(&together.render()).expect("JSON");
        let record = |number: usize| {
            json!({
                "EventType": "Alert", "MessageId": "A.1.0.B", "MemberId": number.to_string(),
                "EventId": format!("e{number}"), "EventTimestamp": format!("2026-01-01T00:00:0{number}Z"),
            })
        };
        assert_eq!(
            message,
            json!({
                "@odata.type": "#Event.v1_13_0.Event", "Id": together.id(), "Name": "n", "Context": "c",
                "Events@odata.count": 3, "Events": [record(0), record(1), record(2)],
                "Oem": {"Holdfast": {"Deliveries": [
                    {"Id": "s.0.1-0", "Records": 1}, {"Id": "s.0.1-1", "Records": 1}, {"Id": "s.0.1-2", "Records": 1},
                ]}},
            })
        );
    }

    #[test]
    fn the_id_is_that_of_the_set() {
        let id_of = |numbers: &[usize]| {
            let mut together = Together::new(256, None);
            for number in numbers {
                assert!(add(&mut together, &event(*number, "n"), &format!("s.0.1-{number}")));
            }
            together.id()
        };
        assert_eq!(id_of(&[0, 1, 3]), id_of(&[0, 1, 3]));
        assert_ne!(id_of(&[0, 1, 3]), id_of(&[0, 2, 3]));
        assert!(id_of(&[0, 1, 3]).starts_with("s.0.1-0.x3."));
    }

    #[test]
    fn an_envelope_that_says_something_else_goes_by_itself() {
        let mut together = Together::new(256, None);
        assert!(add(&mut together, &event(0, "bay 3"), "a"));
        assert!(!add(&mut together, &event(1, "bay 4"), "b"), "another name");
        assert!(!add(&mut together, &event(1, "bay 3").replace("theirs", "other"), "b"));
        let more = event(1, "bay 3").replacen('{', r#"{"Oem":{"V":{}},"#, 1);
        assert!(!add(&mut together, &more, "b"), "more is said");
        assert!(!add(&mut together, samples::REPORT, "b"), "a report");
        assert!(add(&mut together, &event(1, "bay 3").replace("v1_7_0", "v1_9_0"), "b"));
        assert_eq!(together.len(), 2);
    }

    #[test]
    fn number_and_length_are_bounded() {
        let mut together = Together::new(2, None);
        assert!(add(&mut together, &event(0, "n"), "a") && add(&mut together, &event(1, "n"), "b"));
        assert!(!add(&mut together, &event(2, "n"), "c"));

        let mut together = Together::new(usize::MAX, None);
        let long = event(0, "n").replace(
            "A.1.0.B\"",
            &format!("A.1.0.B\",\"Message\":\"{}\"", "x".repeat(100_000)),
        );
        let added = (0..20)
            .take_while(|number| add(&mut together, &long, &number.to_string()))
            .count();
        assert_eq!(added, 10);
        assert!(together.render().len() <= MAX_BYTES);
    }
}

proptest! {
    #[test]
    fn the_body_says_what_it_should(text in samples::message(), mask in any::<u8>(), context in proptest::option::of(".*")) {
        let message = parse(&text);
        let Some(records) = Records::pick(message.records().len(), |index| mask >> index & 1 == 1) else {
            return Ok(());
        };
        let envelope = Envelope { context: context.as_deref(), event: EVENT_ID };
        let bodies = render(&message, &records, envelope);
        let sent: Value = serde_json::from_slice(&bodies[0]).expect("JSON");
        if let Some(context) = context {
            prop_assert_eq!(&sent["Context"], &json!(context));
        }
        if let Some(count) = sent.get("Events@odata.count") {
            prop_assert_eq!(count, &json!(records.len()));
        }
        if message.kind() == Kind::Event {
            prop_assert_eq!(sent["Events"].as_array().map(Vec::len), Some(records.len()));
        }
    }
}
