//! The event that a test sends: valid Redfish that says what it is, under an id that no delivery has.

use bytes::Bytes;

use crate::cli::text::now;
use crate::domain::event::Message;
use crate::domain::payload;
use crate::domain::records::Records;
use crate::domain::subscription::Subscription;

/// A request that is no delivery.
pub(super) struct TestEvent {
    /// Its `webhook-id`. Where a delivery has the number of its partition this says `test`: a receiver that drops
    /// what it has seen never mistakes one for the other.
    pub(super) id: String,
    /// What is sent, with the subscription's Context in it.
    pub(super) body: Bytes,
}

/// A test event for `to`.
///
/// # Errors
/// Never in practice: when the event can't be read as Holdfast reads those of hardware.
pub(super) fn make(to: &Subscription) -> anyhow::Result<TestEvent> {
    let number = jiff::Timestamp::now().as_millisecond();
    let event = serde_json::json!({
        "@odata.type": "#Event.v1_7_0.Event",
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
    let body = match all {
        Some(records) => payload::render(&message, &records, to.context.as_deref()),
        None => message.raw().clone(),
    };
    Ok(TestEvent {
        id: format!("{}.test.{number}", to.id),
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
