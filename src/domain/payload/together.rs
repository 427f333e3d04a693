//! Several parked events for one subscription in one Event message, so that a backlog drains over a long link.
//!
//! Only what is the same in all of them is said once. Each record keeps its own ids and time, and the envelope lists
//! the deliveries with the number of their records, so that a receiver can drop those that it has already.

use std::borrow::Cow;
use std::fmt::Write as _;

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;

use super::super::event::{Kind, Message};
use super::super::ids::StreamId;
use super::super::json::quoted;
use super::super::records::Records;
use super::super::schema::EVENT;
use super::compose::{MemberIds, Written, dressed, record};
use super::{Envelope, MAX_BYTES};

/// Members of the envelope that each message has for itself.
const OF_ONE_MESSAGE: [&str; 3] = ["Id", "@odata.id", "@odata.type"];
/// More than a delivery takes in the list beside its id, and than a record gets of what it lacks.
const OVERHEAD: usize = 192;

/// Events that travel together, oldest first.
#[derive(Debug)]
pub struct Together<'a> {
    context: Option<&'a str>,
    most_records: usize,
    /// What all envelopes say.
    envelope: String,
    records: Vec<String>,
    member_ids: MemberIds,
    deliveries: Vec<(String, usize)>,
    length: usize,
}

impl<'a> Together<'a> {
    /// Nothing yet; of at most so many records, and with this `Context`.
    #[must_use]
    pub fn new(most_records: usize, context: Option<&'a str>) -> Self {
        Self {
            context,
            most_records,
            envelope: String::new(),
            records: Vec::new(),
            member_ids: MemberIds::default(),
            deliveries: Vec::new(),
            length: 0,
        }
    }

    /// Adds an event; false, and nothing is added, when it has to travel in another message: a metric report, one
    /// whose envelope says something else, or one that makes it too long. The first event is only refused when it
    /// can't travel with any other.
    pub fn add(&mut self, message: &Message, records: &Records, delivery: &str) -> bool {
        if message.kind() == Kind::MetricReport || self.records.len() + records.len() > self.most_records {
            return false;
        }
        let said = said(message, self.context);
        let is_first = self.deliveries.is_empty();
        let kept: usize = records.iter().map(|index| at_most(message, index)).sum();
        if !is_first && said != self.envelope || self.length + kept > MAX_BYTES {
            return false;
        }
        let before = self.records.len();
        for index in records.iter() {
            let written = record(message, index, &mut self.member_ids).into_owned();
            self.length += written.len() + 1;
            self.records.push(written);
        }
        self.length += delivery.len() + OVERHEAD;
        if is_first {
            self.length += said.len() + OVERHEAD;
            self.envelope = said;
        }
        self.deliveries.push((delivery.to_owned(), self.records.len() - before));
        true
    }

    /// How many events there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.deliveries.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.deliveries.is_empty()
    }

    /// What the message is known by: the first delivery, the number of them, and a hash of all, so that the same
    /// deliveries have the same id whenever they travel together.
    #[must_use]
    pub fn id(&self) -> String {
        let all: Vec<&str> = self.deliveries.iter().map(|(delivery, _)| delivery.as_str()).collect();
        let hash = digest(&SHA256, all.join("\n").as_bytes());
        let hash = hash.as_ref().iter().take(8).fold(String::new(), |mut text, byte| {
            let _infallible = write!(text, "{byte:02x}");
            text
        });
        format!("{}.x{}.{hash}", all.first().copied().unwrap_or_default(), all.len())
    }

    /// The message.
    #[must_use]
    pub fn render(&self) -> Bytes {
        let mut object = super::object::Object::read(&self.envelope, EVENT.envelope, |_| false);
        object.set("@odata.type", quoted(EVENT.newest));
        object.set("Id", quoted(&self.id()));
        let list = self
            .deliveries
            .iter()
            .map(|(delivery, records)| format!(r#"{{"Id":{},"Records":{records}}}"#, quoted(delivery)));
        object.tell("Deliveries", format!("[{}]", list.collect::<Vec<_>>().join(",")));
        let written = Written {
            shape: &EVENT,
            counts: true,
            object,
        };
        let records: Vec<Cow<'_, str>> = self
            .records
            .iter()
            .map(|record| Cow::Borrowed(record.as_str()))
            .collect();
        Bytes::from(written.around(&records))
    }
}

/// Stands for the event where its id is left out.
const NONE: StreamId = StreamId { millis: 0, sequence: 0 };

/// The length that a record has at most when it is written: what conforms gets at most another `MemberId`; of the rest
/// any value may be there twice, mended and as it came, or grow by quotes.
fn at_most(message: &Message, index: usize) -> usize {
    let length = message.record_bytes(index).len();
    let conforms = message
        .records()
        .get(index)
        .is_some_and(|record| record.needs().is_some());
    OVERHEAD + if conforms { length } else { 2 * length }
}

/// What an envelope says that is not of this one message.
fn said(message: &Message, context: Option<&str>) -> String {
    let mut object = dressed(message, Envelope { context, event: NONE });
    OF_ONE_MESSAGE.iter().for_each(|name| object.remove(name));
    let mut text = String::new();
    object.write(&mut text, |_| {});
    text
}
