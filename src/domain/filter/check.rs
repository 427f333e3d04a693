//! What can't be right in a filter, said when a subscription is made rather than by silence later.

use super::super::message_id::{MessageKey, unversioned};
use super::super::terms::{EventFormatType, EventType};
use super::Filter;

/// The longest URI that is accepted, in bytes.
const MAX_URI: usize = 2048;

/// The most values that one property may have.
const MOST_VALUES: usize = 1024;

/// A filter that would never do what it says. Properties are named as in EventDestination.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// More values than are compared with every event.
    #[error("{property} has more than {MOST_VALUES} values; leave some out or make several subscriptions")]
    TooMany {
        /// The property.
        property: &'static str,
    },
    /// A value without content.
    #[error("{property} has an empty value; leave it out")]
    Blank {
        /// The property.
        property: &'static str,
    },
    /// A value that is no resource URI.
    #[error(
        "{property} has {given:?}, which is no resource URI; use one such as /redfish/v1/Systems/1, up to {MAX_URI} bytes"
    )]
    NotAUri {
        /// The property.
        property: &'static str,
        /// The value, shortened.
        given: String,
    },
    /// A value that is asked for and excluded.
    #[error("{given:?} is asked for and excluded by {property}; remove one of the two")]
    Contradiction {
        /// The excluding property.
        property: &'static str,
        /// The value asked for.
        given: String,
    },
    /// An event filter on a subscription for metric reports.
    #[error(
        "{property} filters events, but EventFormatType is MetricReport; remove it or subscribe with EventFormatType Event"
    )]
    NotForReports {
        /// The property.
        property: &'static str,
    },
    /// A report filter on a subscription that gets no reports.
    #[error("MetricReportDefinitions filters metric reports, but EventFormatType is Event; set it to MetricReport")]
    OnlyForReports,
}

impl FilterError {
    /// The property to change, named as in EventDestination.
    #[must_use]
    pub fn property(&self) -> &'static str {
        match self {
            Self::TooMany { property }
            | Self::Blank { property }
            | Self::NotAUri { property, .. }
            | Self::Contradiction { property, .. }
            | Self::NotForReports { property } => property,
            Self::OnlyForReports => "MetricReportDefinitions",
        }
    }
}

impl Filter {
    /// Checks what no single value shows.
    ///
    /// # Errors
    /// The first [`FilterError`] found.
    pub fn validate(&self) -> Result<(), FilterError> {
        self.check_counts()?;
        self.check_values()?;
        self.check_format()?;
        self.check_excluded()
    }

    /// The kinds of free text that act on events, by property.
    fn event_texts(&self) -> [(&'static str, &[String]); 6] {
        [
            ("RegistryPrefixes", &self.registry_prefixes),
            ("MessageIds", &self.message_ids),
            ("ExcludeRegistryPrefixes", &self.exclude_registry_prefixes),
            ("ExcludeMessageIds", &self.exclude_message_ids),
            ("ResourceTypes", &self.resource_types),
            ("OriginResources", &self.origin_resources),
        ]
    }

    fn check_counts(&self) -> Result<(), FilterError> {
        let texts = self.event_texts().map(|(property, values)| (property, values.len()));
        let others = [
            ("EventTypes", self.event_types.len()),
            ("Severities", self.severities.len()),
            ("MetricReportDefinitions", self.metric_report_definitions.len()),
        ];
        match texts.into_iter().chain(others).find(|(_, count)| *count > MOST_VALUES) {
            Some((property, _)) => Err(FilterError::TooMany { property }),
            None => Ok(()),
        }
    }

    fn check_values(&self) -> Result<(), FilterError> {
        let definitions = ("MetricReportDefinitions", self.metric_report_definitions.as_slice());
        for (property, values) in self.event_texts().into_iter().chain([definitions]) {
            if values.iter().any(|value| value.trim().is_empty()) {
                return Err(FilterError::Blank { property });
            }
        }
        for (property, uris) in [("OriginResources", self.origin_resources.as_slice()), definitions] {
            let fits = |uri: &String| uri.len() <= MAX_URI && (uri.starts_with('/') || uri.contains("://"));
            if let Some(uri) = uris.iter().find(|uri| !fits(uri)) {
                let given = uri.chars().take(100).collect();
                return Err(FilterError::NotAUri { property, given });
            }
        }
        Ok(())
    }

    fn check_format(&self) -> Result<(), FilterError> {
        if self.event_format_type == EventFormatType::Event {
            let no_reports = !self.event_types.contains(&EventType::MetricReport);
            if no_reports && !self.metric_report_definitions.is_empty() {
                return Err(FilterError::OnlyForReports);
            }
            return Ok(());
        }
        let event_types = self.event_types.iter().any(|of| *of != EventType::MetricReport);
        let used = self
            .event_texts()
            .map(|(property, values)| (property, !values.is_empty()));
        let others = [("EventTypes", event_types), ("Severities", !self.severities.is_empty())];
        match used.into_iter().chain(others).find(|(_, used)| *used) {
            Some((property, _)) => Err(FilterError::NotForReports { property }),
            None => Ok(()),
        }
    }

    fn check_excluded(&self) -> Result<(), FilterError> {
        let contradiction = |property, given: &String| {
            let given = given.clone();
            Err(FilterError::Contradiction { property, given })
        };
        let excluded = |prefix: &str| {
            let same = |other: &String| unversioned(other).eq_ignore_ascii_case(unversioned(prefix));
            self.exclude_registry_prefixes.iter().any(same)
        };
        for prefix in &self.registry_prefixes {
            if excluded(prefix) {
                return contradiction("ExcludeRegistryPrefixes", prefix);
            }
        }
        for id in &self.message_ids {
            let Some(message) = MessageKey::read(id) else { continue };
            if message.registry().is_some_and(excluded) {
                return contradiction("ExcludeRegistryPrefixes", id);
            }
            if self.exclude_message_ids.iter().any(|other| message.is_named_by(other)) {
                return contradiction("ExcludeMessageIds", id);
            }
        }
        Ok(())
    }
}
