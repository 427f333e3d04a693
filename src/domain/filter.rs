//! Which records a subscription wants: the filters of an EventDestination (DSP0266 and EventDestination 1.16).
//!
//! The kinds of filter are ANDed, the values within a kind ORed, and an empty kind filters nothing. Filters
//! act on each record: a message is sent with the records that match. `select` is the plain definition;
//! the index finds the same subscriptions faster and is tested against it.

mod check;

use serde::{Deserialize, Serialize};

pub use check::FilterError;

use super::event::{Kind, Message, Record};
use super::message_id::MessageKey;
use super::records::Records;
use super::resource;
use super::terms::{EventFormatType, EventType, Severity};

/// The filters of an EventDestination. Empty, it wants every event and no metric report, since an absent
/// `EventFormatType` means `Event`.
///
/// URIs are compared as written but for host, trailing slash and fragment mark; everything else without
/// regard to case. A record that does not have what a kind filters on does not match that kind.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Filter {
    /// `EventTypes`, deprecated. A record without a type is of type `Other`. Listing `MetricReport` asks for
    /// metric reports too, as it did before `EventFormatType` existed.
    #[serde(skip_serializing_if = "is_default")]
    pub event_types: Vec<EventType>,
    /// `RegistryPrefixes`: with `message_ids` one kind, matched by either.
    #[serde(skip_serializing_if = "is_default")]
    pub registry_prefixes: Vec<String>,
    /// `MessageIds` as `Prefix.Key`; a version between the two is ignored.
    #[serde(skip_serializing_if = "is_default")]
    pub message_ids: Vec<String>,
    /// `ExcludeRegistryPrefixes`: records of these registries are never sent.
    #[serde(skip_serializing_if = "is_default")]
    pub exclude_registry_prefixes: Vec<String>,
    /// `ExcludeMessageIds`: these messages are never sent.
    #[serde(skip_serializing_if = "is_default")]
    pub exclude_message_ids: Vec<String>,
    /// `ResourceTypes`: unversioned schema names of the origin.
    #[serde(skip_serializing_if = "is_default")]
    pub resource_types: Vec<String>,
    /// `OriginResources`: URIs of the origin.
    #[serde(skip_serializing_if = "is_default")]
    pub origin_resources: Vec<String>,
    /// `SubordinateResources`: whether `origin_resources` stand for everything beneath them too.
    #[serde(skip_serializing_if = "is_default")]
    pub subordinate_resources: bool,
    /// `Severities` of the message.
    #[serde(skip_serializing_if = "is_default")]
    pub severities: Vec<Severity>,
    /// `EventFormatType`: events or metric reports.
    #[serde(skip_serializing_if = "is_default")]
    pub event_format_type: EventFormatType,
    /// `MetricReportDefinitions`: URIs of the definitions whose reports are sent; does not act on events.
    #[serde(skip_serializing_if = "is_default")]
    pub metric_report_definitions: Vec<String>,
}

/// Whether a field says nothing, so that it is not stored.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl Filter {
    /// The records of the message that are sent; `None` when there are none. A message without records is
    /// wanted by nobody.
    #[must_use]
    pub fn select(&self, message: &Message) -> Option<Records> {
        if !self.wants_kind(message.kind()) {
            return None;
        }
        let records = message.records();
        match message.kind() {
            Kind::MetricReport => Records::all(records.len()).filter(|_| self.wants_report(message)),
            Kind::Event if self.takes_every_record() => Records::all(records.len()),
            Kind::Event => Records::pick(records.len(), |index| self.wants(&records[index])),
        }
    }

    /// Whether messages of this kind are sent at all.
    #[must_use]
    pub fn wants_kind(&self, kind: Kind) -> bool {
        match kind {
            Kind::Event => self.event_format_type == EventFormatType::Event,
            Kind::MetricReport => {
                self.event_format_type == EventFormatType::MetricReport
                    || self.event_types.contains(&EventType::MetricReport)
            }
        }
    }

    /// Whether nothing in it acts on the records of an event.
    fn takes_every_record(&self) -> bool {
        self.event_types.is_empty()
            && self.registry_prefixes.is_empty()
            && self.message_ids.is_empty()
            && self.exclude_registry_prefixes.is_empty()
            && self.exclude_message_ids.is_empty()
            && self.resource_types.is_empty()
            && self.origin_resources.is_empty()
            && self.severities.is_empty()
    }

    /// Whether it wants one record of an event; the cheapest kinds first.
    fn wants(&self, record: &Record) -> bool {
        any(&self.event_types, |wanted| *wanted == record.event_type())
            && any(&self.severities, |wanted| Some(*wanted) == record.severity())
            && self.wants_message(record.message())
            && self.wants_type(record.resource_type())
            && self.wants_origin(record.origin())
    }

    fn wants_message(&self, message: Option<&MessageKey>) -> bool {
        let unfiltered = self.registry_prefixes.is_empty() && self.message_ids.is_empty();
        let Some(message) = message else {
            return unfiltered;
        };
        let in_any = |prefixes: &[String], ids: &[String]| {
            prefixes.iter().any(|prefix| message.is_from(prefix)) || ids.iter().any(|id| message.is_named_by(id))
        };
        (unfiltered || in_any(&self.registry_prefixes, &self.message_ids))
            && !in_any(&self.exclude_registry_prefixes, &self.exclude_message_ids)
    }

    fn wants_type(&self, resource_type: Option<&str>) -> bool {
        any(&self.resource_types, |wanted| {
            let wanted = resource::type_of_odata(wanted);
            wanted
                .zip(resource_type)
                .is_some_and(|(wanted, of)| wanted.eq_ignore_ascii_case(of))
        })
    }

    fn wants_origin(&self, origin: Option<&str>) -> bool {
        any(&self.origin_resources, |wanted| {
            let wanted = resource::canonical(wanted);
            origin.is_some_and(|origin| {
                origin == wanted || self.subordinate_resources && resource::is_within(origin, wanted)
            })
        })
    }

    fn wants_report(&self, report: &Message) -> bool {
        any(&self.metric_report_definitions, |wanted| {
            report.report_definition() == Some(resource::canonical(wanted))
        })
    }
}

/// Whether a kind lets something through: it is empty or one of its values matches.
fn any<T>(values: &[T], matches: impl Fn(&T) -> bool) -> bool {
    values.is_empty() || values.iter().any(matches)
}

#[cfg(test)]
mod tests;
