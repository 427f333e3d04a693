//! The cheap way: bytes of a message that conforms are cut and spliced.

use std::ops::Range;

use bytes::Bytes;

use super::super::event::Message;
use super::super::json::quoted;
use super::super::records::Records;

/// A range of the message and what takes its place.
type Edit = (Range<usize>, Vec<u8>);

/// The message with every record and no context of its own is the one received. Otherwise `Events` holds the chosen
/// records, `Events@odata.count` is corrected where it is present, and `Context` is replaced or, where absent, written
/// first.
pub(super) fn splice(message: &Message, records: &Records, context: Option<&str>) -> Bytes {
    let layout = message.layout();
    let mut edits: Vec<Edit> = Vec::new();
    if !records.is_all() {
        let chosen = records.iter().map(|index| message.record_bytes(index));
        let chosen: Vec<&[u8]> = chosen.collect();
        if let Some(count) = &layout.count {
            edits.push((count.clone(), chosen.len().to_string().into_bytes()));
        }
        if let Some(events) = &layout.events {
            let array = [b"[", chosen.join(&b","[..]).as_slice(), b"]"].concat();
            edits.push((events.clone(), array));
        }
    }
    if let Some(context) = context {
        let text = quoted(context);
        edits.push(match &layout.context {
            Some(range) => (range.clone(), text.into_bytes()),
            // Others follow: what conforms has some.
            None => (layout.start..layout.start, format!(r#""Context":{text},"#).into_bytes()),
        });
    }
    replaced(message.raw(), edits)
}

/// The bytes with each range replaced. Ranges don't overlap: they are members of one object.
fn replaced(raw: &Bytes, mut edits: Vec<Edit>) -> Bytes {
    if edits.is_empty() {
        return raw.clone();
    }
    edits.sort_unstable_by_key(|(range, _)| range.start);
    let added: usize = edits.iter().map(|(_, text)| text.len()).sum();
    let mut body = Vec::with_capacity(raw.len() + added);
    let mut done = 0;
    for (range, text) in edits {
        body.extend_from_slice(raw.get(done..range.start).unwrap_or_default());
        body.extend_from_slice(&text);
        done = range.end;
    }
    body.extend_from_slice(raw.get(done..).unwrap_or_default());
    body.into()
}
