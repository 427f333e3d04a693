//! `holdfast publish`: puts events into the stream, as the HTTP intake does.
//!
//! Everything is read and checked before the first event is written. Events keep their order; the id of each
//! is printed once Redis has it.

use std::io::{Read, Write};
use std::path::Path;

use anyhow::Context;
use bytes::Bytes;
use serde::de::IgnoredAny;

use super::deployment::with_store;
use super::text::{count, now, size};
use crate::config::Config;
use crate::domain::event::Message;
use crate::store::frame::Frame;
use crate::store::{Store, StoreError};

/// The name of standard input.
const STDIN: &str = "-";
/// How often the memory of Redis is looked at, in events.
const LOOK: usize = 256;

/// Arguments of `publish`.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Files with one event each; - reads standard input, one event or one in every line.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<String>,
    /// Who reports the events; those of one source keep their order.
    #[arg(long, value_name = "NAME", default_value = "")]
    source: String,
}

/// An event to be written, and where it was found.
struct Event {
    place: String,
    bytes: Bytes,
}

/// Publishes the events of all files.
///
/// # Errors
/// When one of them is no event (nothing is written then), or Redis can't be reached or is full; the message
/// says how many were written.
pub(super) async fn run(args: Args, config: &Config, out: &mut impl Write) -> anyhow::Result<()> {
    let mut events = Vec::new();
    for file in &args.files {
        read(file, config.intake.max_body.0, &mut events)?;
    }
    with_store(config, async |store| {
        let mut written = 0;
        let result = write(store, config, &args.source, &events, &mut written, out).await;
        result.with_context(|| format!("{written} of {} published", count(total(&events), "event")))
    })
    .await
}

fn total(events: &[Event]) -> u64 {
    u64::try_from(events.len()).unwrap_or(u64::MAX)
}

async fn write(
    store: &Store,
    config: &Config,
    source: &str,
    events: &[Event],
    written: &mut usize,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let partition = store.partition_of(source);
    for (at, event) in events.iter().enumerate() {
        if at.is_multiple_of(LOOK) {
            check_memory(store, config.intake.memory_refuse).await?;
        }
        let frame = Frame {
            source: source.to_owned(),
            received_at: now(),
            event: event.bytes.clone(),
        };
        let id = partition
            .publish(&frame)
            .await
            .map_err(|error| failure(error, &event.place))?;
        *written += 1;
        writeln!(out, "{id}")?;
    }
    Ok(())
}

/// Intake is refused while what is in can still be parked (invariant 9).
async fn check_memory(store: &Store, refuse: f64) -> anyhow::Result<()> {
    let memory = store.memory().await?;
    if memory.ratio() < refuse {
        return Ok(());
    }
    anyhow::bail!(
        "Redis is nearly full ({} of {}, intake.memory_refuse is {refuse}): events are refused so that those it holds \
         can still be parked; raise its maxmemory or wait until they are delivered",
        size(memory.used),
        size(memory.limit)
    )
}

fn failure(error: StoreError, place: &str) -> anyhow::Error {
    let unknown = error.is_disconnected();
    let error = anyhow::Error::new(error);
    if unknown {
        return error.context(format!("{place}: it may or may not have been written"));
    }
    error.context(place.to_owned())
}

/// Reads and checks the events of one file.
fn read(file: &str, largest: u64, events: &mut Vec<Event>) -> anyhow::Result<()> {
    if file != STDIN {
        let bytes =
            std::fs::read(Path::new(file)).with_context(|| format!("nothing was published: {file} can't be read"))?;
        return check(file.to_owned(), bytes.into(), largest, events);
    }
    let place = "standard input";
    let mut bytes = Vec::new();
    std::io::stdin()
        .lock()
        .read_to_end(&mut bytes)
        .with_context(|| format!("{place} can't be read"))?;
    let bytes = Bytes::from(bytes);
    if !is_list(&bytes) {
        return check(place.to_owned(), bytes, largest, events);
    }
    for (at, line) in lines(&bytes) {
        check(format!("{place}, line {at}"), line, largest, events)?;
    }
    Ok(())
}

fn check(place: String, bytes: Bytes, largest: u64, events: &mut Vec<Event>) -> anyhow::Result<()> {
    let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    if length > largest {
        anyhow::bail!(
            "{place}: the event has {}, and intake.max_body allows {}; nothing was published",
            size(length),
            size(largest)
        );
    }
    let message = Message::parse(bytes).with_context(|| format!("nothing was published: {place}"))?;
    events.push(Event {
        place,
        bytes: message.raw().clone(),
    });
    Ok(())
}

/// Whether every line is a document of its own: the first is complete, and others follow.
fn is_list(bytes: &Bytes) -> bool {
    let mut lines = lines(bytes);
    let (Some((_, first)), Some(_)) = (lines.next(), lines.next()) else {
        return false;
    };
    serde_json::from_slice::<IgnoredAny>(&first).is_ok()
}

/// The lines that are not blank, with their numbers.
fn lines(bytes: &Bytes) -> impl Iterator<Item = (usize, Bytes)> {
    bytes
        .split(|byte| *byte == b'\n')
        .enumerate()
        .filter(|(_, line)| !line.trim_ascii().is_empty())
        .map(|(at, line)| (at + 1, bytes.slice_ref(line.trim_ascii())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_document_or_one_a_line() {
        for (text, list) in [
            ("{\"Events\":[]}", false),
            ("{\"Events\":[]}\n", false),
            ("{\n\"Events\":[]\n}\n", false),
            ("{}\n\n{}\r\n", true),
            ("{}\n{", true),
        ] {
            assert_eq!(is_list(&Bytes::from_static(text.as_bytes())), list, "{text:?}");
        }
        let text = Bytes::from_static(b"{}\n\n {\"a\":1}\r\n");
        let found: Vec<(usize, Bytes)> = lines(&text).collect();
        assert_eq!(
            found,
            [(1, Bytes::from_static(b"{}")), (3, Bytes::from_static(b"{\"a\":1}"))]
        );
    }

    #[test]
    fn a_bad_event_is_named_with_its_place() {
        let mut events = Vec::new();
        let error = check("a.json".to_owned(), Bytes::from_static(b"{\n]"), 100, &mut events).expect_err("bad");
        let text = format!("{error:#}");
        assert!(text.contains("a.json") && text.contains("line 2"), "{text}");
        let error = check("b.json".to_owned(), Bytes::from_static(b"{\"a\":1}"), 3, &mut events).expect_err("large");
        assert!(error.to_string().contains("intake.max_body"), "{error}");
        assert!(events.is_empty());
    }
}
