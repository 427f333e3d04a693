//! The event that a test sends: valid Redfish that says what it is, under an id that no delivery has.

use crate::cli::text::now;
use crate::domain::event::Message;
use crate::domain::ids::StreamId;
use crate::domain::payload;
use crate::domain::records::Records;
use crate::domain::subscription::Subscription;
use crate::worker::sender::Parcel;

/// A test event for `to`, with its Context. It is no delivery: where those have the number of their partition its
/// `webhook-id` says `test`, so a receiver that drops what it has seen never mistakes one for the other.
///
/// # Errors
/// Never in practice: when the event can't be read as Holdfast reads those of hardware.
pub(super) fn make(to: &Subscription) -> anyhow::Result<Parcel> {
    let number = jiff::Timestamp::now().as_millisecond();
    let event = serde_json::json!({
        "@odata.type": "#Event.v1_13_0.Event",
        "Id": format!("holdfast-test-{number}"),
        "Name": "Holdfast test event",
        "Description": "Sent by an operator with `holdfast subscriptions test`; nothing has happened.",
        "Events": [{
            "EventType": "Other",
            "EventId": format!("holdfast-test-{number}"),
            "EventTimestamp": now(),
            "MemberId": "0",
            "Severity": "OK",
            "MessageSeverity": "OK",
            "Message": "Test message.",
            "MessageId": "ResourceEvent.1.4.TestMessage",
            "MessageArgs": [],
            "Resolution": "None."
        }]
    });
    let message = Message::parse(event.to_string().into())?;
    let all = Records::all(message.records().len());
    let event = StreamId {
        millis: u64::try_from(number).unwrap_or_default(),
        sequence: 0,
    };
    let bodies = all.map(|records| payload::bodies(to, &message, &records, event, message.raw()));
    let body = bodies.into_iter().flatten().next();
    let body = body.unwrap_or_else(|| message.raw().clone());
    Ok(Parcel {
        id: format!("{}.test.{number}", to.id),
        attempt: 1,
        events: 1,
        body,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::subscription::Subscription;
    use crate::store::registry::new_id;

    #[test]
    fn it_is_an_event_with_the_context_asked_for() {
        let url = "http://h/".parse().expect("a URL");
        let mut to = Subscription::new(new_id(), url, now());
        to.context = Some("rack-7".to_owned());
        let event = make(&to).expect("an event");
        let message = Message::parse(event.body.clone()).expect("readable");
        assert_eq!(message.records().len(), 1);
        assert!(String::from_utf8_lossy(&event.body).contains(r#""rack-7""#));
        assert!(event.id.starts_with(&format!("{}.test.", to.id)), "{}", event.id);
    }
}
