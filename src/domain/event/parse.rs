//! From bytes to a [`Message`]: one walk over the envelope, then one over each record.
//!
//! Records and envelope members are taken as raw slices of the input, so nothing is copied that is only
//! passed on. Strings are looked at one by one, which is what lets a member be missing, null or numeric.

use std::borrow::Cow;
use std::ops::Range;

use bytes::Bytes;
use serde_json::value::RawValue;

use super::super::json::{self, NotOneObject, elements_of, text_of};
use super::super::message_id::MessageKey;
use super::super::resource;
use super::super::schema::{EVENT, Fit, METRIC_REPORT};
use super::super::terms::{EventType, Severity};
use super::error::EventError;
use super::{Kind, Layout, MAX_RECORDS, Message, Record, scan};

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// See [`Message::parse`].
pub(super) fn message(mut raw: Bytes) -> Result<Message, EventError> {
    if raw.starts_with(BYTE_ORDER_MARK) {
        raw = raw.slice(BYTE_ORDER_MARK.len()..);
    }
    let text = std::str::from_utf8(&raw).map_err(|error| {
        let (line, column) = EventError::position(&raw, error.valid_up_to());
        EventError::NotUtf8 { line, column }
    })?;
    let start = start_of_object(text)?;
    scan::check(&raw)?;

    let mut envelope = Envelope::new();
    members_of(text, |name, value| envelope.take(name, value))?;
    if let Some(member) = envelope.repeated {
        return Err(EventError::Repeated { member });
    }

    let span = |part: &RawValue| span(text, part);
    let layout = Layout {
        start: start + 1,
        events: envelope.events.map(span),
        count: envelope.count.map(span),
        context: envelope.context.map(span),
        values: envelope.metric_values.map(span),
        odata_type: envelope.odata_type.map(span),
    };
    let kind = envelope.kind();
    let report_definition = match kind {
        Kind::MetricReport => envelope.report_definition.and_then(uri_of).map(canonical),
        Kind::Event => None,
    };
    let declares = envelope.declares(kind);
    let records = match (kind, envelope.events) {
        (Kind::MetricReport, _) => vec![whole(text, envelope.values_need())],
        (Kind::Event, None) => vec![read_record(text.trim(), text)?],
        (Kind::Event, Some(events)) => read_records(events, text)?,
    };
    Ok(Message {
        kind,
        records,
        report_definition,
        layout,
        declares,
        raw,
    })
}

/// Offset of the brace that opens the object, or what the text is instead.
fn start_of_object(text: &str) -> Result<usize, EventError> {
    let blank = |c: char| matches!(c, ' ' | '\t' | '\r' | '\n');
    let start = text.find(|c| !blank(c)).ok_or(EventError::Empty)?;
    let found = match text.as_bytes().get(start) {
        Some(b'{') => return Ok(start),
        Some(b'[') => "an array",
        Some(b'"') => "a string",
        Some(b'0'..=b'9' | b'-') => "a number",
        Some(b't' | b'f') if ["true", "false"].contains(&text[start..].trim_end()) => "a boolean",
        Some(b'n') if text[start..].trim_end() == "null" => "null",
        _ => "not JSON",
    };
    Err(EventError::NotAnObject { found })
}

fn broken(error: &serde_json::Error) -> EventError {
    let reason = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    EventError::NotJson {
        line: error.line(),
        column: error.column(),
        reason: reason.strip_suffix(&place).unwrap_or(&reason).to_owned(),
    }
}

/// The envelope members that are read, where they first appear, and whether all of them conform.
struct Envelope<'a> {
    event: Fit,
    report: Fit,
    events: Option<&'a RawValue>,
    count: Option<&'a RawValue>,
    context: Option<&'a RawValue>,
    metric_values: Option<&'a RawValue>,
    odata_type: Option<&'a RawValue>,
    report_definition: Option<&'a RawValue>,
    repeated: Option<&'static str>,
}

impl<'a> Envelope<'a> {
    fn new() -> Self {
        Self {
            event: Fit::new(EVENT.envelope),
            report: Fit::new(METRIC_REPORT.envelope),
            events: None,
            count: None,
            context: None,
            metric_values: None,
            odata_type: None,
            report_definition: None,
            repeated: None,
        }
    }

    /// Notes one member. What a payload would replace is known by its exact name only, the rest in any case.
    fn take(&mut self, name: &str, value: &'a RawValue) {
        self.event.take(name, value);
        self.report.take(name, value);
        let (slot, standard_name) = match name {
            "Context" => (&mut self.context, "Context"),
            "Events@odata.count" => (&mut self.count, "Events@odata.count"),
            _ if name.eq_ignore_ascii_case("Events") => (&mut self.events, "Events"),
            _ if name.eq_ignore_ascii_case("MetricValues") => (&mut self.metric_values, "MetricValues"),
            _ if name.eq_ignore_ascii_case("@odata.type") => (&mut self.odata_type, "@odata.type"),
            _ if name.eq_ignore_ascii_case("MetricReportDefinition") => {
                (&mut self.report_definition, "MetricReportDefinition")
            }
            _ => return,
        };
        if slot.replace(value).is_some() {
            self.repeated = Some(standard_name);
        }
    }

    /// The minor version of the schema that it says it conforms to; `None` when it does not.
    fn declares(&self, kind: Kind) -> Option<u8> {
        let (fit, shape) = match kind {
            Kind::Event => (&self.event, &EVENT),
            Kind::MetricReport => (&self.report, &METRIC_REPORT),
        };
        let declared = shape.declared(self.odata_type?)?;
        (fit.needs()? <= declared).then_some(declared)
    }

    /// The minor version that all values of a metric report need.
    fn values_need(&self) -> Option<u8> {
        let mut needs = Some(0);
        let Some(values) = self.metric_values else { return needs };
        let is_list = elements_of(values, |value| {
            let mut fit = Fit::new(METRIC_REPORT.element);
            let is_object = members_of(value.get(), |name, value| fit.take(name, value)).is_ok();
            needs = needs
                .zip(fit.needs().filter(|_| is_object))
                .map(|(so_far, this)| so_far.max(this));
        });
        needs.filter(|_| is_list)
    }

    fn kind(&self) -> Kind {
        let typed = || {
            let odata_type = self.odata_type.and_then(text_of)?;
            resource::type_of_odata(&odata_type).map(|name| name == "MetricReport")
        };
        let is_report = self.events.is_none() && (self.metric_values.is_some() || typed() == Some(true));
        if is_report { Kind::MetricReport } else { Kind::Event }
    }
}

/// Every element of `Events` as a record, or `Events` itself when it is a single object.
fn read_records(events: &RawValue, text: &str) -> Result<Vec<Record>, EventError> {
    match events.get().as_bytes().first() {
        Some(b'{') => Ok(vec![read_record(events.get(), text)?]),
        Some(b'[') => {
            let records: Vec<&RawValue> = serde_json::from_str(events.get()).map_err(|error| broken(&error))?;
            if records.len() > MAX_RECORDS {
                return Err(EventError::TooManyRecords { found: records.len() });
            }
            records.iter().map(|record| read_record(record.get(), text)).collect()
        }
        Some(b'n') => Ok(Vec::new()),
        _ => Err(EventError::NoRecords),
    }
}

/// The record that a metric report counts as: the whole document.
fn whole(text: &str, needs: Option<u8>) -> Record {
    Record {
        span: 0..text.len(),
        needs,
        ..Record::default()
    }
}

/// Reads what filters need of one record. An element that is no object is a record that says nothing.
fn read_record<'a>(record: &'a str, text: &'a str) -> Result<Record, EventError> {
    let mut read = Record {
        span: offset(text, record),
        ..Record::default()
    };
    if !record.starts_with('{') {
        return Ok(read);
    }
    let mut severity = None;
    let mut message_severity = None;
    let mut fit = Fit::new(EVENT.element);
    members_of(record, |name, value| {
        fit.take(name, value);
        if name == "MemberId" {
            read.member_id = span(text, value);
        }
        if name.eq_ignore_ascii_case("MessageId") {
            read.message = text_of(value).and_then(|id| MessageKey::read(&id));
        } else if name.eq_ignore_ascii_case("EventType") {
            read.event_type = text_of(value).map(|name| EventType::read(&name));
        } else if name.eq_ignore_ascii_case("MessageSeverity") {
            message_severity = text_of(value).and_then(|name| Severity::read(&name));
        } else if name.eq_ignore_ascii_case("Severity") {
            severity = text_of(value).and_then(|name| Severity::read(&name));
        } else if name.eq_ignore_ascii_case("OriginOfCondition") {
            (read.origin, read.resource_type) = origin_of(value);
        }
    })?;
    read.severity = message_severity.or(severity);
    read.needs = fit.needs();
    Ok(read)
}

/// The URI of an origin and the type of the resource there.
fn origin_of(value: &RawValue) -> (Option<Box<str>>, Option<Box<str>>) {
    let uri = uri_of(value).map(canonical);
    let typed = member_of(value, "@odata.type").and_then(|name| resource::type_of_odata(&name).map(Box::from));
    let implied = || resource::type_of_uri(uri.as_deref()?).map(String::into_boxed_str);
    let resource_type = typed.or_else(implied);
    (uri, resource_type)
}

fn canonical(uri: Cow<'_, str>) -> Box<str> {
    resource::canonical(&uri).into()
}

/// A reference to a resource, written as `{"@odata.id": "…"}` or as a plain string; `None` where it is blank.
fn uri_of(value: &RawValue) -> Option<Cow<'_, str>> {
    text_of(value)
        .or_else(|| member_of(value, "@odata.id"))
        .filter(|uri| !uri.trim().is_empty())
}

/// One textual member of an object; `None` when the value is no object or has no such text.
fn member_of<'a>(value: &'a RawValue, member: &str) -> Option<Cow<'a, str>> {
    if !value.get().starts_with('{') {
        return None;
    }
    let mut found = None;
    members_of(value.get(), |name, value| {
        if name.eq_ignore_ascii_case(member) {
            found = text_of(value);
        }
    })
    .ok()?;
    found
}

fn span(text: &str, part: &RawValue) -> Range<usize> {
    offset(text, part.get())
}

/// Where a slice of the text stands in it. Both come from one parse, so the addresses are comparable.
fn offset(text: &str, part: &str) -> Range<usize> {
    let start = part.as_ptr().addr() - text.as_ptr().addr();
    start..start + part.len()
}

/// Calls a function with each member of the object that is all of the text, in order, without copying.
fn members_of<'a>(text: &'a str, each: impl FnMut(&str, &'a RawValue)) -> Result<(), EventError> {
    json::members_of(text, each).map_err(|error| match error {
        NotOneObject::Broken(error) => broken(&error),
        NotOneObject::Trailing(error) => EventError::TrailingData {
            line: error.line(),
            column: error.column(),
        },
    })
}
