//! The files of deliveries that overflowed: `<limits.overflow_dir>/<subscription>.jsonl`, one line of JSON each.
//!
//! A line is safe on the disk, and the file's name in its directory, before its delivery leaves the queue. A crash in
//! between leaves a line twice, never one too few.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::domain::ids::{DeliveryId, SubscriptionId};
use crate::store::retention::Overflowing;

/// One delivery, as it is written.
#[derive(Serialize)]
struct Line<'a> {
    /// What the receiver would have seen as `webhook-id`.
    delivery: String,
    subscription: &'a str,
    event_id: String,
    source: &'a str,
    /// As the producer wrote it, else the time of the event's id; RFC 3339.
    received_at: Option<String>,
    reason: &'a str,
    attempts: u32,
    /// RFC 3339; absent when it was never tried.
    first_failure: Option<String>,
    last_error: &'a str,
    /// As it arrived; absent when its body was deleted by hand.
    event: Option<Box<RawValue>>,
    /// Its bytes, where they are no JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    event_base64: Option<String>,
}

/// The lines of these deliveries.
pub(super) fn lines(subscription: &SubscriptionId, partition: u16, deliveries: &[Overflowing]) -> io::Result<Vec<u8>> {
    let mut out = Vec::new();
    for delivery in deliveries {
        serde_json::to_writer(&mut out, &line(subscription, partition, delivery))?;
        out.push(b'\n');
    }
    Ok(out)
}

fn line<'a>(subscription: &'a SubscriptionId, partition: u16, of: &'a Overflowing) -> Line<'a> {
    let event = of.member.0;
    let id = DeliveryId {
        subscription: subscription.clone(),
        partition,
        event,
    };
    let frame = of.frame.as_ref();
    let told = frame.map(|frame| frame.received_at.clone()).filter(|at| !at.is_empty());
    let (json, base64) = frame.map_or((None, None), |frame| json(&frame.event));
    Line {
        delivery: id.to_string(),
        subscription: subscription.as_str(),
        event_id: event.to_string(),
        source: frame.map_or("", |frame| &frame.source),
        received_at: told.or_else(|| time(event.millis)),
        reason: &of.reason,
        attempts: of.attempts,
        first_failure: of.first_failure_ms.and_then(time),
        last_error: &of.error,
        event: json,
        event_base64: base64,
    }
}

/// The event on one line: a raw line break in JSON stands between its tokens, never in a text. What is no JSON
/// comes as base64.
fn json(event: &Bytes) -> (Option<Box<RawValue>>, Option<String>) {
    let text = std::str::from_utf8(event).ok();
    let text = text.map(|text| text.trim_start_matches('\u{feff}').replace(['\n', '\r'], " "));
    match text.and_then(|text| RawValue::from_string(text).ok()) {
        Some(json) => (Some(json), None),
        None => (None, Some(STANDARD.encode(event))),
    }
}

fn time(millis: u64) -> Option<String> {
    let millis = i64::try_from(millis).ok()?;
    Some(Timestamp::from_millisecond(millis).ok()?.to_string())
}

/// Appends whole lines, and returns once they are safe. On an error the file is as it was, as far as the disk
/// allows. Blocks.
///
/// # Errors
/// When the directory is missing, the file can't be opened or written, or the disk is full.
pub(super) fn append(dir: &Path, subscription: &SubscriptionId, lines: &[u8]) -> io::Result<()> {
    // Read, so that a line that a crash cut short is seen.
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .read(true)
        .mode(0o600)
        .open(dir.join(format!("{subscription}.jsonl")))?;
    // Another worker may share the directory and write for another partition. Ends with the file.
    file.lock()?;
    let before = file.metadata()?.len();
    let written = write(&mut file, before, lines).and_then(|()| file.sync_all());
    if let Err(error) = written {
        // Else each new try would leave some of it behind. When this fails too, lines come twice.
        let _as_it_was = file.set_len(before);
        return Err(error);
    }
    File::open(dir)?.sync_all()
}

fn write(file: &mut File, before: u64, lines: &[u8]) -> io::Result<()> {
    if before > 0 {
        let mut last = [0];
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
        if last != *b"\n" {
            file.write_all(b"\n")?;
        }
    }
    file.write_all(lines)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::domain::ids::{Member, StreamId};
    use crate::store::frame::Frame;

    fn delivery(event: Option<&[u8]>) -> Overflowing {
        Overflowing {
            member: Member(StreamId {
                millis: 1_795_392_000_123,
                sequence: 7,
            }),
            reason: "limit: more than 1 parked".to_owned(),
            attempts: 2,
            first_failure_ms: Some(1_795_392_001_000),
            error: "connect: refused\n".to_owned(),
            frame: event.map(|event| Frame {
                source: "bmc-\"7".to_owned(),
                received_at: String::new(),
                event: Bytes::copy_from_slice(event),
            }),
        }
    }

    fn id() -> SubscriptionId {
        SubscriptionId::new("k7m2").expect("an id")
    }

    fn read(event: Option<&[u8]>) -> Value {
        let lines = lines(&id(), 3, &[delivery(event)]).expect("lines");
        assert_eq!(lines.iter().filter(|byte| **byte == b'\n').count(), 1, "one line each");
        serde_json::from_slice(&lines).expect("JSON")
    }

    #[test]
    fn a_line_says_all_that_is_known() {
        let line = read(Some(b"\xef\xbb\xbf{\r\n \"a\": [1.10,\n12345678901234567890123]\n}"));
        let raw = String::from_utf8(lines(&id(), 3, &[delivery(Some(b"[1.10]"))]).expect("lines")).expect("text");
        assert!(raw.contains("[1.10]"), "numbers stay as they arrived: {raw}");
        assert_eq!(line["event"]["a"][0], json!(1.1));
        assert_eq!(
            line,
            json!({
                "delivery": "k7m2.3.1795392000123-7", "subscription": "k7m2", "event_id": "1795392000123-7",
                "source": "bmc-\"7", "received_at": "2026-11-23T00:00:00.123Z",
                "reason": "limit: more than 1 parked", "attempts": 2, "first_failure": "2026-11-23T00:00:01Z",
                "last_error": "connect: refused\n", "event": line["event"],
            })
        );
    }

    #[test]
    fn what_is_no_json_and_what_is_gone_are_written_too() {
        let line = read(Some(b"\xff\n"));
        assert_eq!((&line["event"], &line["event_base64"]), (&Value::Null, &json!("/wo=")));
        let line = read(None);
        assert_eq!((&line["event"], &line["source"]), (&Value::Null, &json!("")));
    }

    #[test]
    fn a_line_that_a_crash_cut_short_spoils_no_other() {
        let dir = tempfile::tempdir().expect("a directory");
        append(dir.path(), &id(), b"{}\n{\"cut").expect("written");
        append(dir.path(), &id(), b"{}\n").expect("written");
        append(dir.path(), &id(), b"{}\n").expect("written");
        let text = std::fs::read_to_string(dir.path().join("k7m2.jsonl")).expect("the file");
        assert_eq!(text, "{}\n{\"cut\n{}\n{}\n");
        let missing = append(&dir.path().join("absent"), &id(), b"{}\n").expect_err("no directory is made");
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_full_disk_leaves_nothing_half_written() {
        let dir = tempfile::tempdir().expect("a directory");
        std::os::unix::fs::symlink("/dev/full", dir.path().join("k7m2.jsonl")).expect("a link");
        let full = append(dir.path(), &id(), b"{}\n").expect_err("the disk is full");
        assert_eq!(full.kind(), io::ErrorKind::StorageFull);
    }
}
