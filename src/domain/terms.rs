//! The enumerations of Redfish eventing: event types, severities and event formats.
//!
//! Filters hold them exactly as DSP0266 writes them; what hardware sends is read leniently, because a
//! management controller that writes `Informational` or `ok` is not going to be fixed.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A word that is not in the enumeration asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{given:?} is not {expected}")]
pub struct TermError {
    given: String,
    expected: &'static str,
}

/// `EventType` of Event 1.13, deprecated since 1.3 but still sent and still subscribed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub enum EventType {
    /// The status of a resource changed.
    StatusChange,
    /// A resource was updated.
    ResourceUpdated,
    /// A resource was added.
    ResourceAdded,
    /// A resource was removed.
    ResourceRemoved,
    /// A condition needs attention.
    Alert,
    /// A metric report; in a filter it asks for metric reports, as clients did before `EventFormatType`.
    MetricReport,
    /// Anything else, and every record that names no type or an unknown one.
    Other,
}

/// `Health` of Resource, the values of `MessageSeverity`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub enum Severity {
    /// Normal; nothing to do.
    #[serde(rename = "OK")]
    Ok,
    /// A condition that needs attention.
    Warning,
    /// A condition that needs attention at once.
    Critical,
}

/// `EventFormatType` of EventDestination 1.16: which kind of message a subscription is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub enum EventFormatType {
    /// Event messages.
    #[default]
    Event,
    /// Metric reports.
    MetricReport,
}

impl EventType {
    /// Every value by its name.
    pub const NAMES: [(&'static str, Self); 7] = [
        ("StatusChange", Self::StatusChange),
        ("ResourceUpdated", Self::ResourceUpdated),
        ("ResourceAdded", Self::ResourceAdded),
        ("ResourceRemoved", Self::ResourceRemoved),
        ("Alert", Self::Alert),
        ("MetricReport", Self::MetricReport),
        ("Other", Self::Other),
    ];

    /// Reads what hardware sent: whatever is no event type counts as [`EventType::Other`].
    #[must_use]
    pub fn read(text: &str) -> Self {
        named(&Self::NAMES, text).unwrap_or(Self::Other)
    }
}

impl Severity {
    /// Every value by its name.
    pub const NAMES: [(&'static str, Self); 3] = [
        ("OK", Self::Ok),
        ("Warning", Self::Warning),
        ("Critical", Self::Critical),
    ];
    /// What controllers write where the standard has three words; the short ones are IPMI thresholds.
    const SYNONYMS: [(&'static str, Self); 14] = [
        ("Informational", Self::Ok),
        ("Information", Self::Ok),
        ("Info", Self::Ok),
        ("Normal", Self::Ok),
        ("Warn", Self::Warning),
        ("lnc", Self::Warning),
        ("unc", Self::Warning),
        ("Error", Self::Critical),
        ("Fatal", Self::Critical),
        ("Emergency", Self::Critical),
        ("lcr", Self::Critical),
        ("ucr", Self::Critical),
        ("lnr", Self::Critical),
        ("unr", Self::Critical),
    ];

    /// Reads what hardware sent, common synonyms included; `None` when it names no severity.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        named(&Self::NAMES, text).or_else(|| named(&Self::SYNONYMS, text))
    }
}

impl EventFormatType {
    /// Every value by its name.
    pub const NAMES: [(&'static str, Self); 2] = [("Event", Self::Event), ("MetricReport", Self::MetricReport)];
}

/// Looks a word up without regard to case or surrounding blanks.
fn named<T: Copy>(names: &[(&str, T)], text: &str) -> Option<T> {
    let text = text.trim();
    let found = names.iter().find(|(name, _)| name.eq_ignore_ascii_case(text))?;
    Some(found.1)
}

/// The written form of one value of an enumeration.
fn name_of<T: PartialEq>(names: &[(&'static str, T)], value: &T) -> &'static str {
    names
        .iter()
        .find(|(_, named)| named == value)
        .map_or("", |(name, _)| name)
}

/// `FromStr`, `TryFrom<String>` (what serde reads through) and `Display`, from one table of names.
macro_rules! term {
    ($term:ty, $expected:literal) => {
        impl FromStr for $term {
            type Err = TermError;

            fn from_str(text: &str) -> Result<Self, TermError> {
                named(&Self::NAMES, text).ok_or_else(|| TermError {
                    given: text.to_owned(),
                    expected: $expected,
                })
            }
        }

        impl TryFrom<String> for $term {
            type Error = TermError;

            fn try_from(text: String) -> Result<Self, TermError> {
                text.parse()
            }
        }

        impl fmt::Display for $term {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(name_of(&Self::NAMES, self))
            }
        }
    };
}

term!(
    EventType,
    "an event type; use StatusChange, ResourceUpdated, ResourceAdded, ResourceRemoved, Alert, MetricReport or Other"
);
term!(Severity, "a severity; use OK, Warning or Critical");
term!(EventFormatType, "an event format; use Event or MetricReport");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_reads_back_as_written() {
        for (name, value) in EventType::NAMES {
            assert_eq!(name.parse(), Ok(value));
            assert_eq!(value.to_string(), name);
            assert_eq!(
                serde_json::to_value(value).expect("serializes"),
                serde_json::json!(name)
            );
        }
        for (name, value) in Severity::NAMES {
            assert_eq!(name.parse(), Ok(value));
            assert_eq!(
                serde_json::to_value(value).expect("serializes"),
                serde_json::json!(name)
            );
        }
        for (name, value) in EventFormatType::NAMES {
            assert_eq!(
                serde_json::from_value::<EventFormatType>(serde_json::json!(name)).ok(),
                Some(value)
            );
        }
    }

    #[test]
    fn hardware_is_read_leniently_and_filters_are_not() {
        assert_eq!(Severity::read("ok"), Some(Severity::Ok));
        assert_eq!(Severity::read("Informational"), Some(Severity::Ok));
        assert_eq!(Severity::read("lnr"), Some(Severity::Critical));
        assert_eq!(Severity::read(""), None);
        assert_eq!(EventType::read("alert"), EventType::Alert);
        assert_eq!(EventType::read("Log"), EventType::Other);
        let error = "Informational"
            .parse::<Severity>()
            .expect_err("no severity of the standard");
        assert!(error.to_string().contains("OK, Warning or Critical"), "{error}");
    }
}
