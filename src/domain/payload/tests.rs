//! What subscribers are sent is what came, but for what was asked to be different.

use super::*;
use crate::domain::event::Kind;
use crate::domain::filter::Filter;
use crate::domain::samples;
use crate::domain::terms::EventFormatType;
use proptest::prelude::*;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;

fn parse(text: &str) -> Message {
    Message::parse(Bytes::copy_from_slice(text.as_bytes())).expect("parses")
}

fn some(message: &Message, indexes: &[usize]) -> Records {
    Records::pick(message.records().len(), |index| indexes.contains(&index)).expect("some")
}

fn rendered(text: &str, indexes: &[usize], context: Option<&str>) -> String {
    let message = parse(text);
    let body = render(&message, &some(&message, indexes), context);
    String::from_utf8(body.into()).expect("UTF-8")
}

#[test]
fn all_of_it_is_sent_as_it_came() {
    let raw = Bytes::from(format!("\u{feff}{}", samples::BATCH));
    let message = Message::parse(raw.clone()).expect("parses");
    let body = render(&message, &some(&message, &[0, 1, 2]), None);
    assert_eq!(body, raw.slice(3..));
    assert_eq!(body.as_ptr(), raw.slice(3..).as_ptr(), "shared, not copied");
}

#[test]
fn chosen_records_keep_their_bytes_and_the_count_is_right() {
    let text = "{ \"Events@odata.count\" : 3, \"Oem\": 1.50, \"Events\": [ {\"a\": 1},\n{\"b\" :2} , {\"c\":3} ], \"z\":null}\n";
    assert_eq!(
        rendered(text, &[0, 2], None),
        "{ \"Events@odata.count\" : 2, \"Oem\": 1.50, \"Events\": [{\"a\": 1},{\"c\":3}], \"z\":null}\n"
    );
}

#[test]
fn the_context_is_the_subscribers() {
    assert_eq!(
        rendered(r#"{"Context": "a\"b", "Events":[{}]}"#, &[0], Some("mine")),
        r#"{"Context": "mine", "Events":[{}]}"#
    );
    assert_eq!(
        rendered(r#"{"Events":[{}],"Context":null}"#, &[0], Some("q\"\\\n")),
        r#"{"Events":[{}],"Context":"q\"\\\n"}"#
    );
    assert_eq!(
        rendered(r#" { "Events":[{}]}"#, &[0], Some("mine")),
        r#" {"Context":"mine", "Events":[{}]}"#
    );
    assert_eq!(rendered("{}", &[0], Some("")), r#"{"Context":""}"#);
    assert_eq!(rendered("{ }", &[0], Some("c")), r#"{"Context":"c" }"#);
    assert_eq!(
        rendered(
            r#"{"Events":[{"Context":"a"},{"Context":"b"}],"Events@odata.count":2}"#,
            &[1],
            Some("mine")
        ),
        r#"{"Context":"mine","Events":[{"Context":"b"}],"Events@odata.count":1}"#,
        "records are left alone"
    );
}

proptest! {
    #[test]
    fn the_body_says_what_it_should(text in samples::message(), mask in any::<u8>(), context in proptest::option::of(".*")) {
        let message = parse(&text);
        let Some(records) = Records::pick(message.records().len(), |index| mask >> index & 1 == 1) else {
            return Ok(());
        };
        let body = render(&message, &records, context.as_deref());
        let mut expected: Value = serde_json::from_str(&text).expect("samples are JSON");
        let reduced = !records.is_all();
        if let Some(events) = expected.get_mut("Events").and_then(Value::as_array_mut) {
            let all = std::mem::take(events);
            events.extend(records.iter().map(|index| all[index].clone()));
        }
        if let Some(count) = expected.get_mut("Events@odata.count").filter(|_| reduced) {
            *count = json!(records.len());
        }
        if let Some(context) = context {
            expected["Context"] = json!(context);
        }
        prop_assert_eq!(serde_json::from_slice::<Value>(&body).expect("JSON"), expected);
        prop_assert!(Message::parse(body).is_ok());
    }
}

/// Parses, matches and renders every `.json` file of a directory; answers how many there were.
fn check_all_in(directory: &Path) -> usize {
    let files = std::fs::read_dir(directory)
        .expect("readable")
        .map(|entry| entry.expect("readable").path());
    let events =
        files.filter(|path| path.extension().is_some_and(|is| is == "json") && !path.ends_with("manifest.json"));
    let check = |path: &Path| {
        let raw = Bytes::from(std::fs::read(path).expect("readable"));
        let message = Message::parse(raw.clone()).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let filter = Filter {
            event_format_type: match message.kind() {
                Kind::Event => EventFormatType::Event,
                Kind::MetricReport => EventFormatType::MetricReport,
            },
            ..Filter::default()
        };
        let Some(records) = filter.select(&message) else {
            assert!(message.records().is_empty(), "{}: wanted by nobody", path.display());
            return;
        };
        assert!(raw.ends_with(&render(&message, &records, None)), "{}", path.display());
        let body = render(&message, &records, Some("mine"));
        let members: BTreeMap<String, &RawValue> =
            serde_json::from_slice(&body).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert_eq!(members["Context"].get(), "\"mine\"", "{}", path.display());
    };
    events.map(|path| check(&path)).count()
}

#[test]
fn our_samples_go_all_the_way() {
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/events");
    assert_eq!(check_all_in(&samples), 12);
}

/// The same over payloads of real hardware, where there is a directory of them.
#[test]
fn payloads_of_real_hardware_go_all_the_way() {
    let directory = std::env::var_os("HOLDFAST_EVENTS_DIR").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/redfish/events"),
        Into::into,
    );
    if !directory.is_dir() {
        println!(
            "SKIPPED: {} is no directory; set HOLDFAST_EVENTS_DIR to one with payloads",
            directory.display()
        );
        return;
    }
    let count = check_all_in(&directory);
    assert!(count > 0, "{} has no payloads", directory.display());
    println!("{count} payloads of {}", directory.display());
}
