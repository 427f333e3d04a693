//! Settings of the event service that are changed while it runs: those of Redfish's EventService.
//!
//! They are stored beside the subscriptions and share their version, so that every pod has them as soon as those.
//! What is absent follows the configuration of the pod.

use serde::{Deserialize, Serialize};

use super::units::Period;

/// Retries of `TerminateAfterRetries` and `SuspendRetries` where nobody set a number.
pub const RETRIES: u32 = 3;
/// The most retries that may be asked for.
pub const MOST_RETRIES: u32 = 1_000_000;
/// The longest `DeliveryRetryIntervalSeconds`: 30 days, far below what overflows the arithmetic of clocks.
pub const LONGEST_INTERVAL_SECS: u64 = 30 * 24 * 3600;

/// What an administrator set over the EventService of Redfish.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ServiceSettings {
    /// `ServiceEnabled`: whether events are published. While they are not, they wait in their stream.
    pub enabled: bool,
    /// `DeliveryRetryAttempts`: retries, after the first attempt, before a policy that ends a subscription acts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retries: Option<u32>,
    /// `DeliveryRetryIntervalSeconds`: the wait before the first retry, in place of `retry.delay`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<Period>,
    /// What server-sent event streams need of the workers.
    #[serde(skip_serializing_if = "Streams::is_default")]
    pub streams: Streams,
}

/// Since when, and for how long still, events are remembered for streams that may resume.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Streams {
    /// Without a break since then, ms since the epoch by Redis' clock.
    pub since_ms: u64,
    /// Until then although no stream is open, ms since the epoch.
    pub until_ms: u64,
}

impl Default for ServiceSettings {
    fn default() -> Self {
        Self {
            enabled: true,
            retries: None,
            interval: None,
            streams: Streams::default(),
        }
    }
}

impl Streams {
    /// Whether no stream was ever opened.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// The attempts that `DeliveryRetryAttempts` stands for: the first, and so many retries.
#[must_use]
pub const fn attempts(retries: u32) -> u32 {
    retries.saturating_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_read_back_as_written_and_absent_ones_are_the_defaults() {
        let json = r#"{"enabled":false,"retries":2,"interval":"30s","streams":{"since_ms":1,"until_ms":2}}"#;
        let settings: ServiceSettings = serde_json::from_str(json).expect("settings");
        assert_eq!(serde_json::to_string(&settings).expect("JSON"), json);
        let none: ServiceSettings = serde_json::from_str("{}").expect("settings");
        assert_eq!(none, ServiceSettings::default());
        assert!(none.enabled);
        assert_eq!(serde_json::to_string(&none).expect("JSON"), r#"{"enabled":true}"#);
    }

    #[test]
    fn retries_follow_a_first_attempt() {
        assert_eq!((attempts(0), attempts(3), attempts(u32::MAX)), (1, 4, u32::MAX));
    }
}
