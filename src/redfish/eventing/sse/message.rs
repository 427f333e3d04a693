//! What a stream sends: messages with their id, comments that keep it alive, and the marker of a gap.

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::json;

use super::place::Place;

/// A message: its id, and its data line by line.
pub(super) fn data(id: &Place, body: &[u8]) -> Bytes {
    let mut frame = format!("id: {id}\n").into_bytes();
    // Any of the three line ends would end the line; between the members of a JSON text they mean nothing.
    for line in body
        .split(|byte| matches!(byte, b'\n' | b'\r'))
        .filter(|line| !line.is_empty())
    {
        frame.extend_from_slice(b"data: ");
        frame.extend_from_slice(line);
        frame.push(b'\n');
    }
    frame.push(b'\n');
    Bytes::from(frame)
}

/// The first thing on a stream: where it begins, and when to come back after a break, in ms.
pub(super) fn opening(id: &Place) -> Bytes {
    Bytes::from(format!(": this is Holdfast\nretry: 3000\nid: {id}\n\n"))
}

/// Nothing, so that nobody between takes the connection for dead.
pub(super) fn keep_alive() -> Bytes {
    Bytes::from_static(b": keep-alive\n\n")
}

/// Says that events before this place may be missing.
pub(super) fn gap(id: &Place) -> Bytes {
    let now = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let event = json!({
        "@odata.type": "#Event.v1_13_0.Event",
        "Id": format!("gap-{id}"),
        "Name": "Events are missing here",
        "Events": [{
            "MemberId": "0",
            "EventType": "Other",
            "EventId": format!("gap-{id}"),
            "EventTimestamp": now,
            "MessageId": "Base.1.22.EventBufferExceeded",
            "Message": "Undelivered events may have been lost due to exceeding the event buffer.",
            "MessageSeverity": "Warning",
            "OriginOfCondition": { "@odata.id": super::URI },
        }],
    });
    data(id, event.to_string().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::StreamId;
    use crate::store::streams::Position;

    #[test]
    fn a_message_is_data_line_by_line() {
        let id = Place(vec![Position::after(StreamId { millis: 1, sequence: 2 })]);
        assert_eq!(
            data(&id, b"{\n\"a\":\r\n1}"),
            "id: 1-2\ndata: {\ndata: \"a\":\ndata: 1}\n\n"
        );
        assert!(gap(&id).starts_with(b"id: 1-2\ndata: {\"@odata.type\""));
    }
}
