//! Whatever goes in, what comes out validates against DMTF's own JSON schemas, where there is a directory of them:
//! `HOLDFAST_SCHEMA_DIR`, and payloads of real hardware in `HOLDFAST_EVENTS_DIR`.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use jsonschema::{Draft, Retrieve, Uri, Validator};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::domain::fuzz;
use crate::domain::samples;

const EVENT_ID: StreamId = StreamId { millis: 7, sequence: 1 };

/// A directory that a variable names, or the one beside the repository; says so where there is none.
fn directory(variable: &str, beside: &str) -> Option<PathBuf> {
    let beside = || {
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../shared/redfish")
            .join(beside)
    };
    let directory = std::env::var_os(variable).map_or_else(beside, Into::into);
    if directory.is_dir() {
        return Some(directory);
    }
    println!(
        "SKIPPED: {} is no directory; set {variable} to one",
        directory.display()
    );
    None
}

/// Reads schemas by their file names. Those that the directory may lack are of what is only linked to, in the form of a
/// link, of resolution steps, of which nothing is asked, and older ones of Resource, which no message refers to.
struct Schemas(PathBuf);

impl Retrieve for Schemas {
    fn retrieve(&self, uri: &Uri<String>) -> Result<Value, Box<dyn std::error::Error + Send + Sync>> {
        let name = uri.as_str().rsplit('/').next().unwrap_or_default();
        let known = self.0.join(name).is_file() || !name.starts_with("Resource.v");
        let name = if known { name } else { "Resource.v1_23_0.json" };
        if let Ok(text) = std::fs::read(self.0.join(name)) {
            let mut schema: Value = serde_json::from_slice(&text)?;
            // Its own dialect, which adds only documentation to draft 7.
            schema
                .as_object_mut()
                .map(|schema| (schema.remove("$schema"), schema.remove("$id")));
            return Ok(schema);
        }
        let link = json!({"$ref": "http://redfish.dmtf.org/schemas/v1/odata-v4.json#/definitions/idRef"});
        match name {
            "LogEntry.json" => Ok(json!({"definitions": {"LogEntry": link}})),
            "MetricDefinition.json" => Ok(json!({"definitions": {"MetricDefinition": link}})),
            "MetricReportDefinition.json" => Ok(json!({"definitions": {"MetricReportDefinition": link}})),
            "ResolutionStep.json" => Ok(json!({"definitions": {"ResolutionStep": {"type": "object"}}})),
            _ => Err(format!("there is no schema {name}").into()),
        }
    }
}

/// The directory of schemas, if there is one.
static SCHEMAS: LazyLock<Option<PathBuf>> = LazyLock::new(|| directory("HOLDFAST_SCHEMA_DIR", "json-schema"));

/// The validators made so far, by the names of their files.
static VALIDATORS: LazyLock<Mutex<HashMap<String, Arc<Validator>>>> = LazyLock::new(Mutex::default);

/// The validator of the version that an `@odata.type` declares. Of metric reports there may be the newest schema only:
/// what older versions lack is left to our own table.
fn validator(odata_type: &str) -> Option<Arc<Validator>> {
    let directory = SCHEMAS.as_ref()?;
    let (kind, version) = odata_type.strip_prefix('#')?.split_once(".v")?;
    let (major_minor, _) = version.rsplit_once('_')?;
    let beginning = match kind {
        "MetricReport" => "MetricReport.v1_5_".to_owned(),
        _ => format!("{kind}.v{major_minor}_"),
    };
    let files = std::fs::read_dir(directory).expect("readable");
    let mut names = files.map(|file| file.expect("readable").file_name().to_string_lossy().into_owned());
    let name = names.find(|name| name.starts_with(&beginning))?;
    let uri = format!("http://redfish.dmtf.org/schemas/v1/{name}#/definitions/{kind}");
    let made = || {
        let validator = jsonschema::options()
            .with_draft(Draft::Draft7)
            .should_validate_formats(true)
            .with_retriever(Schemas(directory.clone()))
            .build(&json!({"$ref": uri}));
        Arc::new(validator.unwrap_or_else(|error| panic!("{name}: {error}")))
    };
    let mut known = VALIDATORS.lock().unwrap_or_else(PoisonError::into_inner);
    Some(Arc::clone(known.entry(name.clone()).or_insert_with(made)))
}

/// What is wrong with a message by the schema of the version that it declares. A number that JSON may have and no value
/// holds, which one of the samples has, is another one for the validator.
fn faults(body: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(body).replace("1e400", "1e40");
    let message = match serde_json::from_str::<Value>(&text) {
        Ok(message) => message,
        Err(error) if error.to_string().starts_with("number out of range") => return Vec::new(),
        Err(error) => return vec![error.to_string()],
    };
    let declared = message["@odata.type"].as_str().unwrap_or_default();
    let Some(validator) = validator(declared) else {
        return vec![format!("there is no schema of {declared:?}")];
    };
    validator
        .iter_errors(&message)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect()
}

/// Every body of a message for a subscriber who wants everything, with and without a context of its own.
fn all_bodies(message: &Message) -> Vec<Bytes> {
    let Some(all) = Records::all(message.records().len()) else {
        return Vec::new();
    };
    let render = |context| {
        render(
            message,
            &all,
            Envelope {
                context,
                event: EVENT_ID,
            },
        )
    };
    [render(None), render(Some("rack \"7\""))].concat()
}

/// Renders every readable payload of a directory; answers how many there were.
fn check_all_in(directory: &Path) -> usize {
    let files = std::fs::read_dir(directory)
        .expect("readable")
        .map(|entry| entry.expect("readable").path());
    let payloads =
        files.filter(|path| path.extension().is_some_and(|is| is == "json") && !path.ends_with("manifest.json"));
    let check = |path: &PathBuf| {
        let raw = Bytes::from(std::fs::read(path).expect("readable"));
        let Ok(message) = Message::parse(raw) else { return false };
        for body in all_bodies(&message) {
            assert_eq!(
                faults(&body),
                [""; 0],
                "{}\n{}",
                path.display(),
                String::from_utf8_lossy(&body)
            );
            assert!(body.len() <= MAX_BYTES, "{}", path.display());
        }
        true
    };
    payloads.filter(check).count()
}

#[test]
fn our_samples_conform() {
    if SCHEMAS.is_some() {
        let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/events");
        assert_eq!(check_all_in(&samples), 12);
    }
}

#[test]
fn payloads_of_real_hardware_conform() {
    let Some(events) = directory("HOLDFAST_EVENTS_DIR", "events") else {
        return;
    };
    if SCHEMAS.is_none() {
        return;
    }
    let real = check_all_in(&events);
    let synthetic = events.join("synthetic");
    let synthetic = if synthetic.is_dir() {
        check_all_in(&synthetic)
    } else {
        0
    };
    assert!(real > 0, "{} has no payloads", events.display());
    println!("{real} payloads and {synthetic} synthetic ones of {}", events.display());
}

#[test]
fn a_validator_that_takes_everything_would_be_noticed() {
    if SCHEMAS.is_none() {
        return;
    }
    for broken in [
        r##"{"@odata.type":"#Event.v1_13_0.Event","Id":"1","Name":"n","Events":[{"EventType":"Alert","MessageId":"A.1.0.B"}]}"##,
        r##"{"@odata.type":"#Event.v1_13_0.Event","Id":"1","Name":"n","Events":[],"Extra":1}"##,
        r##"{"@odata.type":"#Event.v1_0_0.Event","Id":"1","Name":"n","Events":[],"Context":""}"##,
        r##"{"@odata.type":"#Event.v1_13_0.Event","Id":"1","Name":"n","Events":[{"EventType":"Alert","MessageId":"A.1.0.B","MemberId":"0","EventTimestamp":"2026-01-01T00:00:00-0500"}]}"##,
        r##"{"@odata.type":"#MetricReport.v1_5_2.MetricReport","Id":"1","Name":"n"}"##,
    ] {
        assert!(!faults(broken.as_bytes()).is_empty(), "{broken}");
    }
}

proptest! {
    #[test]
    fn whatever_comes_conforms_when_it_goes(bytes in prop_oneof![fuzz::event(), samples::message().prop_map(String::into_bytes)]) {
        if SCHEMAS.is_none() {
            return Ok(());
        }
        let Ok(message) = Message::parse(bytes.into()) else { return Ok(()) };
        for body in &all_bodies(&message) {
            prop_assert_eq!(faults(body), [""; 0], "{}", String::from_utf8_lossy(body));
        }
    }

    #[test]
    fn so_do_events_that_travel_together(texts in proptest::collection::vec(samples::message(), 1..8)) {
        if SCHEMAS.is_none() {
            return Ok(());
        }
        let mut together = Together::new(8, Some("c"));
        for (number, text) in texts.into_iter().enumerate() {
            let message = Message::parse(text.into()).expect("samples are read");
            if let Some(all) = Records::all(message.records().len()) {
                together.add(&message, &all, &format!("s.0.1-{number}"));
            }
        }
        if !together.is_empty() {
            prop_assert_eq!(faults(&together.render()), [""; 0]);
        }
    }
}
