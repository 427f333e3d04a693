//! A message written anew: mended where hardware deviates, and split where it is too long.

use std::borrow::Cow;
use std::collections::HashSet;

use bytes::Bytes;
use serde_json::value::RawValue;

use super::super::event::{Kind, Message};
use super::super::json::{elements_of, quoted};
use super::super::records::Records;
use super::super::schema::{EVENT, METRIC_REPORT, Shape, encoded};
use super::object::Object;
use super::{Envelope, MAX_BYTES, shape};

/// See [`super::render`].
pub(super) fn compose(message: &Message, records: &Records, envelope: Envelope<'_>) -> Vec<Bytes> {
    let written = Written {
        shape: shape(message.kind()),
        counts: message.layout().count.is_some(),
        object: dressed(message, envelope),
    };
    let elements = match message.kind() {
        Kind::Event => {
            let mut ids = MemberIds::default();
            records.iter().map(|index| record(message, index, &mut ids)).collect()
        }
        Kind::MetricReport => values(message),
    };
    written.in_parts(&elements)
}

/// The envelope of a message, mended and with everything that it must have.
pub(super) fn dressed<'a>(message: &'a Message, envelope: Envelope<'a>) -> Object<'a> {
    let shape = shape(message.kind());
    let is_bare = message.kind() == Kind::Event && message.layout().events.is_none();
    let text = if is_bare { "{}" } else { text(message.raw()) };
    let is_list = |name: &str| name.eq_ignore_ascii_case(shape.list);
    let mut object = Object::read(text, shape.envelope, is_list);
    let declared = object
        .get("@odata.type")
        .and_then(|text| serde_json::from_str::<&RawValue>(text).ok());
    if declared.is_some_and(|declared| shape.declared(declared).is_none()) {
        let theirs = message
            .layout()
            .odata_type
            .clone()
            .and_then(|span| message.raw().get(span));
        object.keep("@odata.type", theirs.map_or("null", self::text));
    }
    object.set("@odata.type", quoted(shape.newest));
    object.remove("Events@odata.count");
    if object.get("Id").is_none() {
        object.set("Id", quoted(&envelope.event.to_string()));
    }
    if object.get("Name").is_none() {
        object.set("Name", quoted(shape.name));
    }
    if message.kind() == Kind::MetricReport && object.get("@odata.id").is_none() {
        let id: String = object
            .get("Id")
            .and_then(|id| serde_json::from_str(id).ok())
            .unwrap_or_default();
        object.set(
            "@odata.id",
            quoted(&format!("/redfish/v1/TelemetryService/MetricReports/{}", encoded(&id))),
        );
    }
    if let Some(context) = envelope.context {
        object.set("Context", quoted(context));
    }
    object
}

/// One record: as it came where it conforms, but for a `MemberId` that another one has already.
pub(super) fn record<'a>(message: &'a Message, index: usize, ids: &mut MemberIds) -> Cow<'a, str> {
    let bytes = text(message.record_bytes(index));
    let position = ids.count;
    ids.count += 1;
    if message
        .records()
        .get(index)
        .is_some_and(|record| record.needs().is_some())
    {
        let own = text(message.member_id(index));
        let Some(other) = ids.claim(Some(own), position) else {
            return Cow::Borrowed(bytes);
        };
        let start = own.as_ptr().addr() - bytes.as_ptr().addr();
        return Cow::Owned([&bytes[..start], &other, &bytes[start + own.len()..]].concat());
    }
    let mut object = if bytes.starts_with('{') {
        Object::read(bytes, EVENT.element, |_| false)
    } else {
        Object::of_something_else("Record", bytes)
    };
    if object.get("EventType").is_none() {
        object.set("EventType", r#""Other""#);
    }
    if object.get("MessageId").is_none() {
        object.set("MessageId", r#""Oem.1.0.Unknown""#);
    }
    if let Some(other) = ids.claim(object.get("MemberId"), position.max(index)) {
        object.set("MemberId", other);
    }
    let mut written = String::with_capacity(bytes.len() + 128);
    object.write(&mut written, |_| {});
    Cow::Owned(written)
}

/// The values of a metric report.
fn values(message: &Message) -> Vec<Cow<'_, str>> {
    let mut values = Vec::new();
    let span = message.layout().values.clone().unwrap_or_default();
    let list = serde_json::from_str::<&RawValue>(text(message.raw().get(span).unwrap_or_default()));
    let Ok(list) = list else { return values };
    elements_of(list, |value| {
        let object = if value.get().starts_with('{') {
            Object::read(value.get(), METRIC_REPORT.element, |_| false)
        } else {
            Object::of_something_else("Value", value.get())
        };
        let mut written = String::with_capacity(value.get().len() + 16);
        object.write(&mut written, |_| {});
        values.push(Cow::Owned(written));
    });
    values
}

/// The member ids of one message, as JSON: no two records have the same.
#[derive(Debug, Default)]
pub(super) struct MemberIds {
    used: HashSet<String>,
    next: usize,
    count: usize,
}

impl MemberIds {
    /// Takes a record's own id, or answers the one that it gets instead: its position, or the next number that is
    /// free.
    fn claim(&mut self, own: Option<&str>, position: usize) -> Option<String> {
        if own.is_some_and(|own| self.used.insert(own.to_owned())) {
            return None;
        }
        self.next = self.next.max(position);
        loop {
            let id = format!("\"{}\"", self.next);
            self.next += 1;
            if self.used.insert(id.clone()) {
                return Some(id);
            }
        }
    }
}

/// An envelope that is written around elements.
pub(super) struct Written<'a> {
    pub(super) shape: &'static Shape,
    /// Whether `Events@odata.count` is told.
    pub(super) counts: bool,
    pub(super) object: Object<'a>,
}

impl Written<'_> {
    /// As many messages as it takes so that none with two elements or more is too long. From the second on their
    /// number is appended to the `Id`: each is a message of its own.
    fn in_parts(mut self, elements: &[Cow<'_, str>]) -> Vec<Bytes> {
        let room = MAX_BYTES.saturating_sub(self.around(&[]).len() + 32);
        let id = self.object.get("Id").unwrap_or("\"\"").to_owned();
        let mut parts = Vec::new();
        let mut rest = elements;
        loop {
            let mut length = 0;
            let fitting = rest.iter().take_while(|element| {
                length += element.len() + 1;
                length <= room
            });
            let count = fitting.count().max(1).min(rest.len());
            let (part, after) = rest.split_at(count);
            if !parts.is_empty() {
                let id = id.strip_suffix('"').unwrap_or(&id);
                self.object.set("Id", format!("{id}-{}\"", parts.len() + 1));
            }
            parts.push(Bytes::from(self.around(part)));
            rest = after;
            if rest.is_empty() {
                return parts;
            }
        }
    }

    /// The message with these elements.
    pub(super) fn around(&self, elements: &[Cow<'_, str>]) -> String {
        let length: usize = elements.iter().map(|element| element.len() + 1).sum();
        let mut text = String::with_capacity(length + 512);
        self.object.write(&mut text, |out| {
            if self.counts {
                out.push_str(&format!("\"{}@odata.count\":{},", self.shape.list, elements.len()));
            }
            out.push_str(&format!("\"{}\":[", self.shape.list));
            for (at, element) in elements.iter().enumerate() {
                out.push_str(if at == 0 { "" } else { "," });
                out.push_str(element);
            }
            out.push_str("],");
        });
        text
    }
}

/// Slices of a message are UTF-8: it was read as such.
fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or_default()
}
