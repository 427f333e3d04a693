//! What the value of a member looks like, and whether one looks so already.

use serde_json::value::RawValue;

use super::super::json::{self, elements_of, members_of, plain};
use super::super::terms::Severity;
use super::{time, uri};

/// `EventType` of Event 1.13.
pub(super) const EVENT_TYPES: [&str; 7] = [
    "Alert",
    "Other",
    "StatusChange",
    "ResourceUpdated",
    "ResourceAdded",
    "ResourceRemoved",
    "MetricReport",
];
/// `Health` of Resource.
pub(super) const HEALTH: [&str; 3] = ["OK", "Warning", "Critical"];
/// `DiagnosticDataTypes` of Event 1.13.
pub(super) const DIAGNOSTIC_DATA_TYPES: [&str; 6] = ["Manager", "PreOS", "OS", "OEM", "CPER", "CPERSection"];

/// The forms that the schemas of Event and MetricReport know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Form {
    /// Any string.
    Text,
    /// A whole number.
    Integer,
    /// True or false.
    Flag,
    /// A time by RFC 3339.
    Time,
    /// `Registry.Major.Minor.Key`.
    MessageId,
    /// One of the event types.
    EventType,
    /// One of the three words of `Health`.
    Health,
    /// Any string; one of the three words where it means one of them.
    Severity,
    /// One of the kinds of diagnostic data.
    DiagnosticDataType,
    /// An array of strings.
    Texts,
    /// An object with `@odata.id` alone.
    Link,
    /// A reference by RFC 3986.
    Uri,
    /// Something with a scheme.
    Address,
    /// An object whose only members are `Oem` and annotations.
    Actions,
    /// The two GUIDs of a common platform error record.
    Cper,
    /// An object of objects, one a vendor.
    Oem,
    /// An array of objects; of what is in them the schemas here say nothing.
    Objects,
    /// The array of records or values: its elements are judged one by one.
    List,
    /// `@odata.type`: judged by itself.
    Type,
}

impl Form {
    /// Whether a value has the form as it is.
    pub(super) fn fits(self, value: &RawValue) -> bool {
        let written = value.get();
        let is = |words: &[&str]| plain(value).is_some_and(|text| words.contains(&text));
        match self {
            Self::Text | Self::Type => written.starts_with('"'),
            Self::Integer => is_integer(written),
            Self::Flag => matches!(written, "true" | "false"),
            Self::Time => plain(value).is_some_and(time::is_rfc3339),
            Self::MessageId => plain(value).is_some_and(is_message_id),
            Self::EventType => is(&EVENT_TYPES),
            Self::Health => is(&HEALTH),
            Self::Severity => json::string_of(value).is_some_and(|text| match Severity::read(&text) {
                Some(severity) => severity.to_string() == text,
                None => true,
            }),
            Self::DiagnosticDataType => is(&DIAGNOSTIC_DATA_TYPES),
            Self::Texts => all_elements(value, |element| element.get().starts_with('"')),
            Self::Link => all_members(value, |name, value| name == "@odata.id" && Self::Uri.fits(value)),
            Self::Uri => plain(value).is_some_and(uri::is_reference),
            Self::Address => plain(value).is_some_and(is_address),
            Self::Actions => all_members(value, |name, value| match name {
                "Oem" => value.get().starts_with('{'),
                _ => is_annotation(name),
            }),
            Self::Cper => all_members(value, |name, value| match name {
                "NotificationType" | "SectionType" => value.get() == "null" || plain(value).is_some_and(is_guid),
                "Oem" => Self::Oem.fits(value),
                _ => is_annotation(name),
            }),
            Self::Oem => all_members(value, |name, value| !is_oem_name(name) || value.get().starts_with('{')),
            Self::Objects => all_elements(value, |element| element.get().starts_with('{')),
            Self::List => written.starts_with('['),
        }
    }
}

/// Whether a name in `Oem` is a vendor's, who has an object there.
pub(in super::super) fn is_oem_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// Whether a member is an annotation, which every object may have: `Name@odata.count`, `@Redfish.Something`.
pub(in super::super) fn is_annotation(name: &str) -> bool {
    let Some((of, term)) = name.split_once('@') else {
        return false;
    };
    let is_word = |word: &str| is_oem_name(word) && !word.as_bytes().first().is_some_and(u8::is_ascii_digit);
    let term = term.split_once('.');
    (of.is_empty() || is_word(of))
        && term.is_some_and(|(space, term)| matches!(space, "odata" | "Redfish" | "Message") && is_word(term))
}

/// Numbers of more digits than every reader keeps are none.
pub(super) fn is_integer(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    (1..=15).contains(&digits.len())
        && digits.bytes().all(|byte| byte.is_ascii_digit())
        && (digits.len() == 1 || !digits.starts_with('0'))
}

/// `Registry.Major.Minor.Key`, DSP0266 "MessageId format".
pub(super) fn is_message_id(text: &str) -> bool {
    let mut segments = text.splitn(4, '.');
    let mut next = |wanted: fn(&u8) -> bool| {
        segments
            .next()
            .is_some_and(|segment| !segment.is_empty() && segment.as_bytes().iter().all(wanted))
    };
    next(u8::is_ascii_alphanumeric)
        && next(u8::is_ascii_digit)
        && next(u8::is_ascii_digit)
        && next(|byte| byte.is_ascii_alphanumeric() || *byte == b'.')
}

fn is_address(text: &str) -> bool {
    text.find("://").is_some_and(|at| at > 0 && at + 3 < text.len()) && !text.contains(char::is_control)
}

fn is_guid(text: &str) -> bool {
    let lengths = [8, 4, 4, 4, 12];
    let mut parts = text.split('-');
    let all = lengths.iter().all(|length| {
        parts
            .next()
            .is_some_and(|part| part.len() == *length && part.bytes().all(|byte| byte.is_ascii_hexdigit()))
    });
    all && parts.next().is_none()
}

fn all_members(value: &RawValue, fits: impl Fn(&str, &RawValue) -> bool) -> bool {
    let mut all = value.get().starts_with('{');
    let walked = members_of(value.get(), |name, value| all = all && fits(name, value));
    all && walked.is_ok()
}

fn all_elements(value: &RawValue, fits: impl Fn(&RawValue) -> bool) -> bool {
    let mut all = true;
    elements_of(value, |element| all = all && fits(element)) && all
}
