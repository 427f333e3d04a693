//! `SubmitTestEvent` and `TestEventSubscription`: events that go the way of any other.

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::SERVICE;
use crate::domain::account::Privilege;
use crate::domain::terms::{EventType, Severity};
use crate::redfish::frame::{Answer, Call, Failure, Message, Needs, Outcome, Route, message, shown};
use crate::store::frame::Frame;
use crate::store::registry::new_id;

const MANAGER: Needs = Needs::Any(&[Privilege::ConfigureManager]);
/// The source of test events, as `holdfast sources` lists it.
const SOURCE: &str = "EventService";
const SUBMIT: &str = "EventService.SubmitTestEvent";
const TEST: &str = "EventService.TestEventSubscription";

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::at("/redfish/v1/EventService/Actions/EventService.SubmitTestEvent").post(MANAGER, submit),
        Route::at("/redfish/v1/EventService/Actions/EventService.TestEventSubscription").post(MANAGER, test),
    ]
}

async fn submit(call: Call) -> Outcome {
    publish(&call, record(&call.body)?).await
}

async fn test(call: Call) -> Outcome {
    let wrong = call
        .body
        .keys()
        .map(|name| message::action_parameter_unknown(TEST, name));
    Failure::unless_empty(wrong.collect())?;
    let record = json!({
        "MemberId": "0",
        "EventType": "Other",
        "EventId": new_id().as_str(),
        "EventTimestamp": Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        "MessageId": "ResourceEvent.1.4.TestMessage",
        "Message": "Test message.",
        "MessageSeverity": "OK",
        "OriginOfCondition": { "@odata.id": SERVICE },
    });
    publish(&call, record).await
}

/// Puts an event of one record into the stream of events.
async fn publish(call: &Call, record: Value) -> Outcome {
    let event = json!({
        "@odata.type": "#Event.v1_13_0.Event",
        "Id": new_id().as_str(),
        "Name": "Test event",
        "Events": [record],
    });
    let frame = Frame {
        source: SOURCE.to_owned(),
        received_at: format!("{:.3}", Timestamp::now()),
        event: Bytes::from(event.to_string()),
    };
    call.service.store.partition_of(SOURCE).publish(&frame).await?;
    Ok(Answer::Done)
}

/// The record that the parameters describe: what is not given does not appear, but for the number that every record
/// of an Event has.
fn record(parameters: &Map<String, Value>) -> Result<Value, Failure> {
    let mut wrong = Vec::new();
    let mut record = Map::new();
    record.insert("MemberId".to_owned(), "0".into());
    if !parameters.contains_key("MessageId") {
        wrong.push(message::action_parameter_missing(SUBMIT, "MessageId"));
    }
    for (name, value) in parameters {
        match parameter(name, value) {
            Ok(value) => drop(record.insert(name.clone(), value)),
            Err(problem) => wrong.push(problem),
        }
    }
    Failure::unless_empty(wrong)?;
    Ok(Value::Object(record))
}

/// A parameter as the record has it.
fn parameter(name: &str, value: &Value) -> Result<Value, Message> {
    let fits = match name {
        "EventId" | "Message" | "MessageId" | "Severity" | "OriginOfCondition" | "EventTimestamp" | "EventType"
        | "MessageSeverity" => value.is_string(),
        "EventGroupId" => value.is_i64() || value.is_u64(),
        "MessageArgs" => value.as_array().is_some_and(|args| args.iter().all(Value::is_string)),
        _ => return Err(message::action_parameter_unknown(SUBMIT, name)),
    };
    if !fits {
        return Err(message::action_parameter_value_type(shown(value), name, SUBMIT));
    }
    let text = value.as_str().unwrap_or_default();
    let known = |names: &[&str]| names.contains(&text);
    let listed = match name {
        "EventType" => known(&EventType::NAMES.map(|(name, _)| name)),
        "MessageSeverity" => known(&Severity::NAMES.map(|(name, _)| name)),
        _ => true,
    };
    if !listed {
        return Err(message::action_parameter_value_not_in_list(text, name, SUBMIT));
    }
    match name {
        "EventTimestamp" if text.parse::<Timestamp>().is_err() => {
            Err(message::action_parameter_value_format(text, name, SUBMIT))
        }
        "OriginOfCondition" => Ok(json!({ "@odata.id": text })),
        _ => Ok(value.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(parameters: Value) -> Result<Value, Vec<String>> {
        let parameters = parameters.as_object().cloned().unwrap_or_default();
        record(&parameters).map_err(|failure| failure.messages.iter().map(Message::id).collect())
    }

    #[test]
    fn what_is_not_given_does_not_appear() {
        let record = read(json!({ "MessageId": "Base.1.22.Success" }));
        assert_eq!(record, Ok(json!({ "MemberId": "0", "MessageId": "Base.1.22.Success" })));
        let all = json!({
            "MessageId": "Base.1.22.Success", "EventType": "Alert", "EventId": "7", "MessageArgs": ["a"],
            "EventTimestamp": "2026-11-25T21:00:00+01:00", "Severity": "OK", "MessageSeverity": "Warning",
            "Message": "m", "EventGroupId": 3,
        });
        let mut wanted = all.clone();
        wanted["MemberId"] = "0".into();
        wanted["OriginOfCondition"] = json!({ "@odata.id": "/redfish/v1/Systems/1" });
        let mut given = all;
        given["OriginOfCondition"] = "/redfish/v1/Systems/1".into();
        assert_eq!(read(given), Ok(wanted));
    }

    #[test]
    fn parameters_are_checked() {
        for (parameters, key) in [
            (json!({}), "ActionParameterMissing"),
            (json!({ "MessageId": 7 }), "ActionParameterValueTypeError"),
            (
                json!({ "MessageId": "a", "MessageArgs": [1] }),
                "ActionParameterValueTypeError",
            ),
            (
                json!({ "MessageId": "a", "EventGroupId": "1" }),
                "ActionParameterValueTypeError",
            ),
            (
                json!({ "MessageId": "a", "EventType": "Log" }),
                "ActionParameterValueNotInList",
            ),
            (
                json!({ "MessageId": "a", "MessageSeverity": "ok" }),
                "ActionParameterValueNotInList",
            ),
            (
                json!({ "MessageId": "a", "EventTimestamp": "now" }),
                "ActionParameterValueFormatError",
            ),
            (json!({ "MessageId": "a", "Colour": "red" }), "ActionParameterUnknown"),
        ] {
            assert_eq!(read(parameters), Err(vec![format!("Base.1.22.{key}")]));
        }
    }
}
