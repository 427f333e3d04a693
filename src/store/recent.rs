//! What is remembered of settled events: the stream `recent`, bounded by age and bytes, for looking things up.
//!
//! One entry per script call, a field per event: its member, and as value a [`Note`]. Nothing depends on it; it is
//! written last, behind the acknowledgement, and is the first to be shed when memory tightens (invariant 9).

use std::fmt::Write;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use fred::prelude::*;

use super::error::StoreError;
use super::events::{Entry, parse_entry};
use super::memory::Memory;
use super::partition::{Partition, measured};
use super::scripts::SCRIPTS;
use super::settle::{Settlement, Verdict, letter, verdict};
use super::sources::MOST_SOURCES;
use crate::domain::ids::{Member, StreamId, SubscriptionId};

/// What stands for an event that could not be read: a dead letter of nobody.
const REJECTED: &str = "!";

/// Whether this process remembers what it settles; not until a first look at the memory.
#[derive(Debug, Default)]
pub struct Recording {
    on: AtomicBool,
    events: AtomicBool,
}

impl Recording {
    /// Whether settled events are remembered now.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.on.load(Ordering::Relaxed)
    }

    /// Begins or pauses; answers what it was.
    pub fn set(&self, on: bool) -> bool {
        self.on.swap(on, Ordering::Relaxed)
    }

    /// Whether the events themselves are remembered too, for streams.
    #[must_use]
    pub fn keeps_events(&self) -> bool {
        self.is_on() && self.events.load(Ordering::Relaxed)
    }

    /// Says whether the events themselves are to be remembered too.
    pub fn keep_events(&self, keep: bool) {
        self.events.store(keep, Ordering::Relaxed);
    }
}

/// What was noted of one event by one script call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// When, by Redis' clock, ms since the epoch.
    pub at_ms: u64,
    /// The event's id in its stream.
    pub event: StreamId,
    /// Its source as [`super::frame::name`] gives it; empty when unknown.
    pub source: String,
    /// The event could not be read and became a dead letter.
    pub rejected: bool,
    /// What became of its deliveries then; empty when nobody wanted it.
    pub outcomes: Vec<(SubscriptionId, Verdict)>,
}

impl Note {
    /// Writes what is noted: `<letter><subscription> …\n<source>`, and where it is asked for a third line to the
    /// end: the event itself.
    pub(super) fn of_settlement(
        settlement: &Settlement,
        outcomes: &[super::settle::Outcome],
        source: &str,
        with_event: bool,
    ) -> Bytes {
        let mut text = String::with_capacity(outcomes.len() * 10 + source.len() + 2);
        if settlement.rejected.is_some() {
            text.push_str(REJECTED);
        }
        for outcome in outcomes {
            if !text.is_empty() {
                text.push(' ');
            }
            text.push_str(letter(outcome.verdict));
            text.push_str(outcome.subscription.as_str());
        }
        text.push('\n');
        text.push_str(source);
        if !with_event {
            return Bytes::from(text);
        }
        let event = &settlement.frame.event;
        let mut note = text.into_bytes();
        note.reserve_exact(1 + event.len());
        note.push(b'\n');
        note.extend_from_slice(event);
        Bytes::from(note)
    }

    /// Writes that a delivery that was parked has been delivered.
    pub(super) fn of_delivery(subscription: &SubscriptionId, source: &str) -> String {
        let mut text = String::with_capacity(subscription.as_str().len() + source.len() + 2);
        // Writing to a text can't fail.
        let _written = write!(text, "{}{subscription}\n{source}", letter(Verdict::Delivered));
        text
    }

    /// Reads a field of an entry; `None` where it is not one of ours.
    fn read(at_ms: u64, member: &str, text: &Bytes) -> Option<Self> {
        let text = String::from_utf8_lossy(text);
        let mut lines = text.splitn(3, '\n');
        let words = lines.next()?;
        let outcomes = words.split(' ').filter(|word| !word.is_empty() && *word != REJECTED);
        Some(Self {
            at_ms,
            event: member.parse::<Member>().ok()?.0,
            source: lines.next()?.to_owned(),
            rejected: words == REJECTED,
            outcomes: outcomes
                .map(|word| {
                    let at = word.char_indices().nth(1)?.0;
                    Some((SubscriptionId::new(&word[at..]).ok()?, verdict(&word[..at])?))
                })
                .collect::<Option<_>>()?,
        })
    }

    fn of_entry(entry: &Entry) -> impl Iterator<Item = Self> {
        let notes = entry.fields.iter();
        notes.filter_map(|(member, text)| Self::read(entry.id.millis, member, text))
    }
}

/// How much of `recent` may stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// The longest time that a settled event is remembered, in ms; 0 remembers none.
    pub max_age_ms: u64,
    /// Most bytes; 0 remembers none.
    pub max_bytes: u64,
}

impl Bounds {
    /// The bounds that the memory of Redis allows to `recent`, which takes `own` bytes now. From the share `warn`
    /// on it may take half of what it may otherwise, and half of what is left up to the share `refuse`, from which
    /// on intake is refused and nothing is remembered. Every pod comes to the same, however many there are.
    #[must_use]
    pub fn under(self, memory: Memory, own: u64, warn: f64, refuse: f64) -> Self {
        let ratio = memory.ratio();
        if ratio < warn {
            return self;
        }
        if ratio >= refuse {
            return Self { max_bytes: 0, ..self };
        }
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share of a byte count, rounded down"
        )]
        let mark = (memory.limit as f64 * refuse) as u64;
        let room = mark.saturating_sub(memory.used).saturating_add(own) / 2;
        Self {
            max_bytes: room.min(self.max_bytes / 2),
            ..self
        }
    }

    /// Whether anything is remembered.
    #[must_use]
    pub fn is_none(self) -> bool {
        self.max_age_ms == 0 || self.max_bytes == 0
    }
}

/// What is left after trimming.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trimmed {
    /// Bytes that `recent` takes.
    pub bytes: u64,
    /// Its entries, each of up to 256 events.
    pub entries: u64,
    /// Sources that were forgotten because there were too many.
    pub sources_dropped: u64,
}

impl Partition {
    /// Drops what is too old or too much from `recent`, and the longest silent of too many sources. Any number of
    /// workers may do it at any time.
    ///
    /// # Errors
    /// When Redis can't be reached or a key has the wrong type.
    pub async fn trim(&self, bounds: Bounds) -> Result<Trimmed, StoreError> {
        let number = |n: u64| Value::from(i64::try_from(n).unwrap_or(i64::MAX));
        let args = vec![
            number(bounds.max_age_ms),
            number(bounds.max_bytes),
            number(MOST_SOURCES),
        ];
        let mut dropped = 0;
        loop {
            let (bytes, entries, sources, more): (u64, u64, u64, u8) =
                self.call("trim", &SCRIPTS.trim, args.clone()).await?;
            dropped += sources;
            if more == 0 {
                return Ok(Trimmed {
                    bytes,
                    entries,
                    sources_dropped: dropped,
                });
            }
        }
    }

    /// What was noted in the entries after an id (`None`: from the oldest), `most` entries at most, with the id to
    /// go on after; `None` at the end.
    ///
    /// # Errors
    /// When Redis can't be reached.
    pub async fn recent(
        &self,
        after: Option<StreamId>,
        most: u64,
    ) -> Result<Option<(StreamId, Vec<Note>)>, StoreError> {
        let from = after.map_or_else(|| "-".to_owned(), |id| format!("({id}"));
        let client = self.connection.client();
        let rows: Vec<Value> = measured("XRANGE", client.xrange(self.keys.recent(), from, "+", Some(most))).await?;
        notes(rows)
    }

    /// The same backwards, from before an id (`None`: from the newest), newest first.
    ///
    /// # Errors
    /// When Redis can't be reached.
    pub async fn recent_before(
        &self,
        before: Option<StreamId>,
        most: u64,
    ) -> Result<Option<(StreamId, Vec<Note>)>, StoreError> {
        let from = before.map_or_else(|| "+".to_owned(), |id| format!("({id}"));
        let client = self.connection.client();
        let call = client.xrevrange(self.keys.recent(), from, "-", Some(most));
        notes(measured("XREVRANGE", call).await?)
    }
}

fn notes(rows: Vec<Value>) -> Result<Option<(StreamId, Vec<Note>)>, StoreError> {
    let (mut last, mut notes) = (None, Vec::new());
    for row in rows {
        let entry = parse_entry(row, 0)?;
        last = Some(entry.id);
        notes.extend(Note::of_entry(&entry));
    }
    Ok(last.map(|last| (last, notes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds {
        max_age_ms: 1_000,
        max_bytes: 16,
    };

    fn bytes_under(used: u64, own: u64) -> u64 {
        BOUNDS.under(Memory { used, limit: 100 }, own, 0.6, 0.8).max_bytes
    }

    #[test]
    fn what_is_remembered_makes_room_before_intake_is_refused() {
        assert_eq!(bytes_under(59, 16), 16, "plenty");
        assert_eq!(bytes_under(60, 16), 8, "half from the warning on");
        assert_eq!(bytes_under(70, 0), 5, "half of what is left");
        assert_eq!(bytes_under(79, 0), 0);
        assert_eq!(bytes_under(80, 16), 0, "nothing once intake is refused");
        assert_eq!(bytes_under(99, 16), 0);
        assert_eq!(
            BOUNDS.under(Memory::default(), 16, 0.6, 0.8),
            BOUNDS,
            "no limit is known"
        );
    }

    #[test]
    fn making_room_comes_to_rest() {
        // Others take 65 of 100: the bound is the same before and after it was kept.
        let (before, after) = (bytes_under(65 + 16, 16), bytes_under(65 + 7, 7));
        assert_eq!((before, after), (0, 7));
        assert_eq!(bytes_under(65 + 14, 14), 7);
    }

    #[test]
    fn a_note_reads_back_as_written() {
        let text = |text: &'static str| Note::read(7, "m1795389052775-a8", &Bytes::from_static(text.as_bytes()));
        let id = |id| SubscriptionId::new(id).expect("an id");
        let note = text("Da Wb-2\nbmc \u{1f980} 7").expect("a note");
        assert_eq!(
            note.outcomes,
            [(id("a"), Verdict::Delivered), (id("b-2"), Verdict::WaitedTooLong)]
        );
        assert_eq!((note.source.as_str(), note.event.sequence), ("bmc \u{1f980} 7", 8));
        let unwanted = text("\n").expect("a note");
        assert!(unwanted.outcomes.is_empty() && !unwanted.rejected && unwanted.source.is_empty());
        assert!(text("!\nx").expect("a note").rejected);
        assert_eq!(
            text("Da\nx\n{\"Events\":\n[]}").expect("a note").source,
            "x",
            "an event may follow"
        );
        let written = Note::of_delivery(&id("a"), "bmc-7");
        assert_eq!(written, "Da\nbmc-7");
    }

    #[test]
    fn what_is_no_note_is_passed_over() {
        for text in ["", "Da", "?a\nx", "D\nx", "D{}\nx", "\u{e9}\nx"] {
            let bytes = Bytes::copy_from_slice(text.as_bytes());
            assert_eq!(Note::read(7, "m1795389052775-a8", &bytes), None, "{text:?}");
        }
        assert_eq!(Note::read(7, "event", &Bytes::from_static(b"Da\nx")), None);
    }
}
