//! How a parked event is written in `bodies` and in dead letters: `r<source>\n<received at>\n<event>`.
//!
//! The first byte names the format, so that another one can be told apart later.

use std::borrow::Cow;

use bytes::Bytes;

/// An event with what is known of where it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Who sent it; empty when unknown.
    pub source: String,
    /// When the producer received it, as the producer wrote it; empty when unknown.
    pub received_at: String,
    /// The event as it arrived.
    pub event: Bytes,
}

impl Frame {
    /// Writes the frame. Line breaks in source or time become spaces: they end those fields.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut out = Vec::with_capacity(3 + self.source.len() + self.received_at.len() + self.event.len());
        out.push(b'r');
        out.extend(self.source.bytes().map(without_break));
        out.push(b'\n');
        out.extend(self.received_at.bytes().map(without_break));
        out.push(b'\n');
        out.extend_from_slice(&self.event);
        Bytes::from(out)
    }

    /// Reads a frame; `None` when the bytes are not one.
    #[must_use]
    pub fn decode(bytes: &Bytes) -> Option<Self> {
        let rest = bytes.strip_prefix(b"r")?;
        let first = rest.iter().position(|b| *b == b'\n')?;
        let second = first + 1 + rest.get(first + 1..)?.iter().position(|b| *b == b'\n')?;
        Some(Self {
            source: String::from_utf8_lossy(rest.get(..first)?).into_owned(),
            received_at: String::from_utf8_lossy(rest.get(first + 1..second)?).into_owned(),
            event: bytes.slice(second + 2..),
        })
    }
}

/// The longest name that is told apart, in bytes.
const LONGEST_NAME: usize = 128;

/// A source as it is remembered and looked up: at most 128 bytes of it, its line breaks as spaces.
#[must_use]
pub fn name(source: &str) -> Cow<'_, str> {
    let mut end = source.len().min(LONGEST_NAME);
    while !source.is_char_boundary(end) {
        end -= 1;
    }
    let source = &source[..end];
    if source.contains('\n') {
        return Cow::Owned(source.replace('\n', " "));
    }
    Cow::Borrowed(source)
}

/// The source of a frame, by [`name`]; empty where it is unknown.
pub(super) fn source_of(frame: &[u8]) -> Cow<'_, str> {
    let line = frame
        .strip_prefix(b"r")
        .and_then(|rest| rest.split(|b| *b == b'\n').next());
    match String::from_utf8_lossy(line.unwrap_or_default()) {
        Cow::Borrowed(source) => name(source),
        Cow::Owned(source) => Cow::Owned(name(&source).into_owned()),
    }
}

fn without_break(byte: u8) -> u8 {
    if byte == b'\n' { b' ' } else { byte }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_reads_back_as_written() {
        for (source, received_at, event) in [
            ("bmc-7", "2026-11-23T04:00:00Z", "{\"a\":\n1}"),
            ("", "", ""),
            ("", "", "\n\n"),
        ] {
            let frame = Frame {
                source: source.to_owned(),
                received_at: received_at.to_owned(),
                event: Bytes::from_static(event.as_bytes()),
            };
            assert_eq!(Frame::decode(&frame.encode()), Some(frame));
        }
    }

    #[test]
    fn a_break_in_the_source_does_not_shift_the_event() {
        let frame = Frame {
            source: "a\nb".to_owned(),
            received_at: String::new(),
            event: Bytes::from_static(b"{}"),
        };
        let read = Frame::decode(&frame.encode()).expect("a frame");
        assert_eq!((read.source.as_str(), &read.event[..]), ("a b", &b"{}"[..]));
    }

    #[test]
    fn a_source_of_any_length_has_a_name() {
        assert_eq!(name("bmc-7"), "bmc-7");
        assert_eq!(name("a\nb"), "a b");
        assert_eq!(name(&"é".repeat(200)), "é".repeat(64));
        assert_eq!(name(&format!("x{}", "é".repeat(200))).len(), 127);
        assert_eq!(source_of(b"rbmc-7\n\n{}"), "bmc-7");
        for bytes in [&b""[..], b"r", b"x\n\n{}", b"r\n\n{}"] {
            assert_eq!(source_of(bytes), "", "{bytes:?}");
        }
    }

    #[test]
    fn what_is_no_frame_is_refused() {
        for bytes in ["", "r", "r\n", "x\n\n{}"] {
            assert_eq!(Frame::decode(&Bytes::from_static(bytes.as_bytes())), None, "{bytes:?}");
        }
    }
}
