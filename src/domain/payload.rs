//! The body that a subscriber is sent: the message as it came, with its own `Context` and only its records.
//!
//! Workers call it once for each delivery. Bytes are cut and spliced, never parsed and written again, so
//! records and unknown members arrive exactly as the hardware wrote them, in its order.

use std::ops::Range;

use bytes::Bytes;

use super::event::Message;
use super::records::Records;

/// A range of the message and what takes its place.
type Edit = (Range<usize>, Vec<u8>);

/// The message for one subscription. With every record and no context of its own it is the message as
/// received, shared and not copied. Otherwise `Events` holds the chosen records, `Events@odata.count` is
/// corrected where it is present, and `Context` is replaced or, where absent, written first.
#[must_use]
pub fn render(message: &Message, records: &Records, context: Option<&str>) -> Bytes {
    let layout = message.layout();
    let mut edits: Vec<Edit> = Vec::new();
    if !records.is_all() {
        let chosen = records.iter().map(|index| message.record_bytes(index));
        let chosen: Vec<&[u8]> = chosen.filter(|record| !record.is_empty()).collect();
        if let Some(count) = &layout.count {
            edits.push((count.clone(), chosen.len().to_string().into_bytes()));
        }
        if let Some(events) = &layout.events {
            let array = [b"[", chosen.join(&b","[..]).as_slice(), b"]"].concat();
            edits.push((events.clone(), array));
        }
    }
    if let Some(context) = context {
        let text = serde_json::Value::from(context).to_string();
        edits.push(match &layout.context {
            Some(range) => (range.clone(), text.into_bytes()),
            None => {
                let comma = if layout.is_empty { "" } else { "," };
                (
                    layout.start..layout.start,
                    format!(r#""Context":{text}{comma}"#).into_bytes(),
                )
            }
        });
    }
    splice(message.raw(), edits)
}

/// The bytes with each range replaced. Ranges don't overlap: they are members of one object.
fn splice(raw: &Bytes, mut edits: Vec<Edit>) -> Bytes {
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

#[cfg(test)]
mod tests;
