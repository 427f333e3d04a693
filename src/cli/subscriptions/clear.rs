//! `subscriptions update --clear OPTION`: what each option is when it is not set.

use clap::ValueEnum;

use crate::domain::filter::Filter;
use crate::domain::retention::{Overflow, Retention};
use crate::domain::subscription::{DeliveryRetryPolicy, PayloadFormat, RetryOverrides, Subscription};
use crate::domain::terms::EventFormatType;

/// An option by name, to be put back to its default; `filter`, `retry` and `limits` stand for all of theirs.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Clear {
    Name,
    Context,
    Payload,
    Heartbeat,
    Backup,
    NoCoalesce,
    Filter,
    EventType,
    RegistryPrefix,
    MessageId,
    ExcludeRegistryPrefix,
    ExcludeMessageId,
    ResourceType,
    Origin,
    Subordinate,
    Severity,
    Format,
    MetricReportDefinition,
    #[value(alias = "headers")]
    Header,
    MaxInFlight,
    Timeout,
    CaFile,
    NoVerify,
    Secret,
    Policy,
    Retry,
    RetryDelay,
    RetryBackoff,
    RetryMaxDelay,
    RetryMaxAttempts,
    Limits,
    MaxParked,
    MaxAge,
    Overflow,
}

impl Clear {
    /// Puts the option back to its default.
    pub(super) fn apply(self, to: &mut Subscription) {
        let filter = &mut to.filter;
        match self {
            Self::Name => to.name = None,
            Self::Context => to.context = None,
            Self::Payload => to.payload = PayloadFormat::default(),
            Self::Heartbeat => to.heartbeat_minutes = None,
            Self::Backup => to.backup_destinations.clear(),
            Self::NoCoalesce => to.coalesce = true,
            Self::Filter => *filter = Filter::default(),
            Self::EventType => filter.event_types.clear(),
            Self::RegistryPrefix => filter.registry_prefixes.clear(),
            Self::MessageId => filter.message_ids.clear(),
            Self::ExcludeRegistryPrefix => filter.exclude_registry_prefixes.clear(),
            Self::ExcludeMessageId => filter.exclude_message_ids.clear(),
            Self::ResourceType => filter.resource_types.clear(),
            Self::Origin => {
                filter.origin_resources.clear();
                filter.subordinate_resources = false;
            }
            Self::Subordinate => filter.subordinate_resources = false,
            Self::Severity => filter.severities.clear(),
            Self::Format => filter.event_format_type = EventFormatType::default(),
            Self::MetricReportDefinition => filter.metric_report_definitions.clear(),
            Self::Header => to.headers.clear(),
            Self::MaxInFlight => to.max_in_flight = None,
            Self::Timeout => to.timeout = None,
            Self::CaFile => to.ca_file = None,
            Self::NoVerify => to.verify_certificate = true,
            Self::Secret => (to.secret, to.previous_secret) = (None, None),
            Self::Policy => to.retry_policy = DeliveryRetryPolicy::default(),
            Self::Retry => to.retry = RetryOverrides::default(),
            Self::RetryDelay => to.retry.delay = None,
            Self::RetryBackoff => to.retry.backoff = None,
            Self::RetryMaxDelay => to.retry.max_delay = None,
            Self::RetryMaxAttempts => to.retry.max_attempts = None,
            Self::Limits => to.limits = Retention::default(),
            Self::MaxParked => to.limits.max_parked = None,
            Self::MaxAge => to.limits.max_age = None,
            Self::Overflow => to.limits.overflow = Overflow::default(),
        }
    }
}
