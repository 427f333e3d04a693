//! A message as it arrived from hardware: an Event with its records, or a metric report.
//!
//! Workers and intake parse each message once; filters match on the views held here and `payload` sends the
//! bytes. It keeps every byte: parsing only notes what a member says and where it stands, so members that
//! nobody here knows travel on untouched.

mod error;
mod parse;
mod scan;

use std::ops::Range;

use bytes::Bytes;

pub use error::EventError;
pub use scan::MAX_DEPTH;

use super::message_id::MessageKey;
use super::terms::{EventType, Severity};

/// One message may hold this many records: as many of 100 bytes as fit into the largest payload that Redfish
/// allows (1 MiB). It bounds what one message costs to match.
pub const MAX_RECORDS: usize = 10_000;

/// One message as received, with what filters need to know about it.
#[derive(Debug, Clone)]
pub struct Message {
    raw: Bytes,
    kind: Kind,
    records: Vec<Record>,
    report_definition: Option<Box<str>>,
    layout: Layout,
    declares: Option<u8>,
}

/// What a message is (DSP0266, "Eventing"): a subscription is sent one kind or the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// An Event message with records.
    Event,
    /// A metric report; it counts as one record.
    MetricReport,
}

/// What one record says of itself, in the form in which filters compare it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Record {
    span: Range<usize>,
    /// The value of `MemberId`; empty where there is none.
    member_id: Range<usize>,
    /// The minor version of the schema that has all of its members; `None` when it conforms to none.
    needs: Option<u8>,
    message: Option<MessageKey>,
    event_type: Option<EventType>,
    severity: Option<Severity>,
    origin: Option<Box<str>>,
    resource_type: Option<Box<str>>,
}

/// Where the envelope members stand that a payload replaces, as byte ranges of the raw message.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Layout {
    /// Just after the opening brace.
    pub(super) start: usize,
    /// The value of `Events`.
    pub(super) events: Option<Range<usize>>,
    /// The value of `Events@odata.count`.
    pub(super) count: Option<Range<usize>>,
    /// The value of `Context`.
    pub(super) context: Option<Range<usize>>,
    /// The value of `MetricValues`.
    pub(super) values: Option<Range<usize>>,
    /// The value of `@odata.type`.
    pub(super) odata_type: Option<Range<usize>>,
}

impl Message {
    /// Reads one Redfish Event message or metric report, as leniently as controllers need it: a byte order
    /// mark is dropped, names are read in any case, `Events` may be a single object, any member may be
    /// missing, null or of an odd type, and an object with neither `Events` nor `MetricValues` is itself the
    /// one record of an event. `Events` that is empty or null makes a message without records, which is
    /// accepted and which no subscription wants: it reports nothing.
    ///
    /// A member that appears twice in a record counts as it was written last, as nearly every reader of JSON
    /// has it.
    ///
    /// # Errors
    /// [`EventError`] when the bytes are not exactly one JSON object in UTF-8, when they nest deeper than
    /// [`MAX_DEPTH`], when it has more than [`MAX_RECORDS`] records, when a string has half of a surrogate pair, when `Events` is neither array nor object,
    /// and when an envelope member that is read here appears twice: receivers would differ in which to believe.
    pub fn parse(raw: Bytes) -> Result<Self, EventError> {
        parse::message(raw)
    }

    /// The message as received, without a byte order mark.
    #[must_use]
    pub fn raw(&self) -> &Bytes {
        &self.raw
    }

    /// Whether it is an event or a metric report.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Its records in order. A metric report has one, so that both kinds are selected in the same way.
    #[must_use]
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// The bytes of one record, exactly as received; empty when there is no such record.
    #[must_use]
    pub fn record_bytes(&self, index: usize) -> &[u8] {
        self.records
            .get(index)
            .and_then(|record| self.raw.get(record.span.clone()))
            .unwrap_or_default()
    }

    /// Canonical URI of the definition that a metric report was made from.
    #[must_use]
    pub fn report_definition(&self) -> Option<&str> {
        self.report_definition.as_deref()
    }

    /// Where the replaceable envelope members stand.
    pub(super) fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The minor version of DMTF's schema that the envelope declares and conforms to; `None` when it does not.
    pub(super) fn declares(&self) -> Option<u8> {
        self.declares
    }

    /// The `MemberId` of a record as it is written; empty where there is none.
    pub(super) fn member_id(&self, index: usize) -> &[u8] {
        self.records
            .get(index)
            .and_then(|record| self.raw.get(record.member_id.clone()))
            .unwrap_or_default()
    }
}

impl Record {
    /// The minor version of DMTF's schema that the record conforms to as it is; `None` when it has to be mended.
    pub(super) fn needs(&self) -> Option<u8> {
        self.needs
    }

    /// `MessageId` without its version.
    #[must_use]
    pub fn message(&self) -> Option<&MessageKey> {
        self.message.as_ref()
    }

    /// `EventType`; [`EventType::Other`] where it is absent or unknown.
    #[must_use]
    pub fn event_type(&self) -> EventType {
        self.event_type.unwrap_or(EventType::Other)
    }

    /// `MessageSeverity`, or the older `Severity` where that says nothing.
    #[must_use]
    pub fn severity(&self) -> Option<Severity> {
        self.severity
    }

    /// Canonical URI of `OriginOfCondition`.
    #[must_use]
    pub fn origin(&self) -> Option<&str> {
        self.origin.as_deref()
    }

    /// Unversioned schema name of the origin: from its `@odata.type` where the record carries it, else as the
    /// URI implies.
    #[must_use]
    pub fn resource_type(&self) -> Option<&str> {
        self.resource_type.as_deref()
    }
}

#[cfg(test)]
mod tests;
