//! What DMTF's JSON schemas allow in a message to a subscriber: Event 1.13 and MetricReport 1.5 (DSP8010 2025.4).
//!
//! The parser asks once for each message whether it conforms as it is, nearly for free; `payload` mends what does not.
//! The schemas close every object (`additionalProperties: false`) but `Oem`, so what they don't know has to go there.

mod form;
mod mend;
mod time;
mod uri;

use serde_json::value::RawValue;

use super::json::plain;
pub(super) use form::{Form, is_annotation, is_oem_name};
pub(super) use mend::{Mended, mend};
pub(super) use uri::encoded;

/// One kind of message: its envelope, the array in it, and the elements of that.
#[derive(Debug)]
pub(super) struct Shape {
    /// `@odata.type` up to the minor version.
    prefix: &'static str,
    /// The newest `@odata.type`, which everything that is mended gets.
    pub(super) newest: &'static str,
    /// The newest minor version.
    minor: u8,
    /// `Name` where a message has none.
    pub(super) name: &'static str,
    /// Members of the envelope.
    pub(super) envelope: &'static [Member],
    /// The member that holds the elements.
    pub(super) list: &'static str,
    /// Members of an element.
    pub(super) element: &'static [Member],
    /// The minor version in which the envelope got a `Context`.
    pub(super) context_since: u8,
}

/// A member that the schema names.
#[derive(Debug)]
pub(super) struct Member {
    /// Its name.
    pub(super) name: &'static str,
    /// What its value looks like.
    pub(super) form: Form,
    rule: Rule,
    /// The minor version that it came with.
    since: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rule {
    Required,
    Optional,
    Nullable,
}

const fn required(name: &'static str, form: Form) -> Member {
    member(name, form, Rule::Required, 0)
}

const fn optional(name: &'static str, form: Form, since: u8) -> Member {
    member(name, form, Rule::Optional, since)
}

const fn nullable(name: &'static str, form: Form, since: u8) -> Member {
    member(name, form, Rule::Nullable, since)
}

const fn member(name: &'static str, form: Form, rule: Rule, since: u8) -> Member {
    Member {
        name,
        form,
        rule,
        since,
    }
}

/// An Event message.
pub(super) static EVENT: Shape = Shape {
    prefix: "#Event.v1_",
    newest: "#Event.v1_13_0.Event",
    minor: 13,
    name: "Event Array",
    envelope: &[
        required("@odata.type", Form::Type),
        required("Id", Form::Text),
        required("Name", Form::Text),
        required("Events", Form::List),
        optional("Context", Form::Text, 1),
        optional("Events@odata.count", Form::Integer, 0),
        optional("Oem", Form::Oem, 0),
        optional("@odata.context", Form::Uri, 0),
        nullable("Description", Form::Text, 0),
        optional("Actions", Form::Actions, 2),
    ],
    list: "Events",
    element: &[
        required("EventType", Form::EventType),
        required("MessageId", Form::MessageId),
        required("MemberId", Form::Text),
        optional("EventId", Form::Text, 0),
        optional("EventTimestamp", Form::Time, 0),
        optional("Message", Form::Text, 0),
        optional("MessageArgs", Form::Texts, 0),
        optional("MessageSeverity", Form::Health, 5),
        optional("Severity", Form::Severity, 0),
        optional("OriginOfCondition", Form::Link, 0),
        optional("EventGroupId", Form::Integer, 3),
        optional("Context", Form::Text, 0),
        optional("Oem", Form::Oem, 0),
        optional("LogEntry", Form::Link, 7),
        optional("SpecificEventExistsInGroup", Form::Flag, 6),
        optional("Resolution", Form::Text, 9),
        optional("ResolutionSteps", Form::Objects, 10),
        optional("Actions", Form::Actions, 2),
        nullable("AdditionalDataSizeBytes", Form::Integer, 8),
        nullable("AdditionalDataURI", Form::Uri, 8),
        optional("CPER", Form::Cper, 8),
        nullable("DiagnosticData", Form::Text, 8),
        nullable("DiagnosticDataType", Form::DiagnosticDataType, 8),
        nullable("OEMDiagnosticDataType", Form::Text, 9),
        nullable("OriginAddress", Form::Address, 13),
        nullable("OriginOfConditionUnavailable", Form::Flag, 12),
        nullable("UserAuthenticationSource", Form::Text, 11),
        nullable("Username", Form::Text, 11),
    ],
    context_since: 1,
};

/// A metric report.
pub(super) static METRIC_REPORT: Shape = Shape {
    prefix: "#MetricReport.v1_",
    newest: "#MetricReport.v1_5_2.MetricReport",
    minor: 5,
    name: "Metric Report",
    envelope: &[
        required("@odata.type", Form::Type),
        required("@odata.id", Form::Uri),
        required("Id", Form::Text),
        required("Name", Form::Text),
        optional("MetricValues", Form::List, 0),
        optional("MetricReportDefinition", Form::Link, 0),
        optional("ReportSequence", Form::Text, 0),
        nullable("Timestamp", Form::Time, 1),
        optional("Context", Form::Text, 4),
        optional("Oem", Form::Oem, 0),
        optional("@odata.context", Form::Uri, 0),
        optional("@odata.etag", Form::Text, 0),
        nullable("Description", Form::Text, 0),
        optional("Actions", Form::Actions, 0),
    ],
    list: "MetricValues",
    element: &[
        nullable("MetricId", Form::Text, 0),
        nullable("MetricValue", Form::Text, 0),
        nullable("Timestamp", Form::Time, 0),
        nullable("MetricProperty", Form::Uri, 0),
        optional("MetricDefinition", Form::Link, 0),
        optional("Oem", Form::Oem, 2),
    ],
    context_since: 4,
};

impl Shape {
    /// The minor version that an `@odata.type` declares; `None` for another type or a version newer than those known.
    pub(super) fn declared(&self, odata_type: &RawValue) -> Option<u8> {
        let rest = plain(odata_type)?.strip_prefix(self.prefix)?;
        let (minor, rest) = rest.split_once('_')?;
        let (errata, name) = rest.split_once('.')?;
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let named = self.newest.ends_with(&format!(".{name}")) && digits(errata);
        let minor = minor.parse().ok().filter(|_| digits(minor))?;
        (named && minor <= self.minor).then_some(minor)
    }
}

impl Member {
    /// Whether null stands for it as well.
    pub(super) fn is_nullable(&self) -> bool {
        self.rule == Rule::Nullable
    }

    /// Whether a value may stand there as it is.
    pub(super) fn fits(&self, value: &RawValue) -> bool {
        self.form.fits(value) || self.is_nullable() && value.get() == "null"
    }
}

/// The member of that exact name, and its place in the table.
pub(super) fn find(members: &'static [Member], name: &str) -> Option<(usize, &'static Member)> {
    members.iter().enumerate().find(|(_, member)| member.name == name)
}

/// Whether an object conforms as it is, judged member by member while something else walks over it.
#[derive(Debug)]
pub(super) struct Fit {
    members: &'static [Member],
    /// The members that were there, by their places in the table.
    seen: u32,
    needs: Option<u8>,
}

impl Fit {
    /// Nothing seen yet.
    pub(super) fn new(members: &'static [Member]) -> Self {
        Self {
            members,
            seen: 0,
            needs: Some(0),
        }
    }

    /// Looks at one member; after the first that does not fit there is nothing more to look at.
    pub(super) fn take(&mut self, name: &str, value: &RawValue) {
        let Some(needs) = self.needs else { return };
        self.needs = match find(self.members, name) {
            Some((place, member)) if member.fits(value) => {
                self.seen |= 1 << place;
                Some(needs.max(member.since))
            }
            None if is_annotation(name) => Some(needs),
            _ => None,
        };
    }

    /// The least minor version that has all of it; `None` when it does not conform to any.
    pub(super) fn needs(&self) -> Option<u8> {
        let lacks = |(place, member): (usize, &Member)| member.rule == Rule::Required && self.seen & (1 << place) == 0;
        let complete = !self.members.iter().enumerate().any(lacks);
        self.needs.filter(|_| complete)
    }
}
