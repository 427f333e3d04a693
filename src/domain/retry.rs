//! When a delivery is tried again, and when it is given up.

use std::time::Duration;

use super::service::{self, RETRIES, ServiceSettings};
use super::subscription::{DeliveryRetryPolicy, RetryOverrides};

/// The retry settings in force for one subscription.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RetryPolicy {
    /// What happens when the attempts are used up.
    pub policy: DeliveryRetryPolicy,
    /// The wait after the first failure.
    pub delay: Duration,
    /// Factor from one wait to the next; at least 1.
    pub backoff: f64,
    /// No wait is longer than this.
    pub max_delay: Duration,
    /// Each wait varies by up to this share, 0 to 1.
    pub jitter: f64,
    /// Failed attempts before the policy acts; 0 is for ever.
    pub max_attempts: u32,
    /// Failed attempts before a policy that ends the subscription acts, at least 1.
    pub last_attempt: u32,
    /// Refusals of one delivery before it becomes a dead letter.
    pub refused_attempts: u32,
    /// The bounds within which `Retry-After` is honoured.
    pub retry_after: (Duration, Duration),
}

/// Attempts of the policies that end a subscription where `max_attempts` is so many: they never mean for ever.
#[must_use]
pub fn last_attempt(max_attempts: u32) -> u32 {
    match max_attempts {
        0 => service::attempts(RETRIES),
        most => most,
    }
}

impl RetryPolicy {
    /// These settings with what was set at run time. `DeliveryRetryAttempts` is about the policies that end a
    /// subscription; the others go on for ever, as they say.
    #[must_use]
    pub fn under(mut self, settings: &ServiceSettings) -> Self {
        self.delay = settings.interval.map_or(self.delay, |period| period.0);
        self.max_delay = self.max_delay.max(self.delay);
        self.last_attempt = settings.retries.map_or(self.last_attempt, service::attempts);
        self
    }

    /// These settings with a subscription's own policy and overrides.
    #[must_use]
    pub fn with(mut self, policy: DeliveryRetryPolicy, overrides: &RetryOverrides) -> Self {
        self.policy = policy;
        self.delay = overrides.delay.map_or(self.delay, |period| period.0);
        self.backoff = overrides.backoff.unwrap_or(self.backoff).max(1.0);
        self.max_delay = overrides
            .max_delay
            .map_or(self.max_delay, |period| period.0)
            .max(self.delay);
        self.max_attempts = overrides.max_attempts.unwrap_or(self.max_attempts);
        if let Some(own) = overrides.max_attempts.filter(|own| *own > 0) {
            self.last_attempt = own;
        }
        if policy == DeliveryRetryPolicy::RetryForever {
            self.backoff = 1.0;
        }
        self
    }

    /// The wait after `failures` earlier failures in a row. `chance` is random, 0 to 1.
    #[must_use]
    pub fn wait(&self, failures: u32, chance: f64) -> Duration {
        let exponent = i32::try_from(failures.min(1_000)).unwrap_or(i32::MAX);
        let seconds = (self.delay.as_secs_f64() * self.backoff.powi(exponent)).min(self.max_delay.as_secs_f64());
        let spread = 1.0 + self.jitter * (2.0 * chance.clamp(0.0, 1.0) - 1.0);
        Duration::try_from_secs_f64(seconds * spread).unwrap_or(self.max_delay)
    }

    /// The longest that anything waits: no due time lies further ahead.
    #[must_use]
    pub fn longest(&self) -> Duration {
        let (_, most_asked) = self.retry_after;
        self.max_delay.mul_f64(1.0 + self.jitter).max(most_asked)
    }

    /// The floor that a `Retry-After` sets; zero without one.
    #[must_use]
    pub fn floor(&self, retry_after: Option<Duration>) -> Duration {
        let (least, most) = self.retry_after;
        retry_after.map_or(Duration::ZERO, |asked| asked.max(least).min(most))
    }

    /// Attempts after which a single delivery becomes a dead letter while the others go on; 0 is never.
    #[must_use]
    pub fn attempts_of_a_delivery(&self) -> u32 {
        match self.policy {
            DeliveryRetryPolicy::RetryForever | DeliveryRetryPolicy::RetryForeverWithBackoff => self.max_attempts,
            DeliveryRetryPolicy::TerminateAfterRetries | DeliveryRetryPolicy::SuspendRetries => 0,
        }
    }

    /// Whether so many attempts end the whole subscription's service, as its policy says.
    #[must_use]
    pub fn ends_after(&self, attempts: u32) -> Option<End> {
        let end = match self.policy {
            DeliveryRetryPolicy::RetryForever | DeliveryRetryPolicy::RetryForeverWithBackoff => return None,
            DeliveryRetryPolicy::TerminateAfterRetries => End::Remove,
            DeliveryRetryPolicy::SuspendRetries => End::Suspend,
        };
        (attempts >= self.last_attempt).then_some(end)
    }
}

/// How a subscription ends when its attempts are used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// `TerminateAfterRetries`: it is removed with all that is parked for it.
    Remove,
    /// `SuspendRetries`: it is suspended and keeps what is parked.
    Suspend,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::units::Period;

    const POLICY: RetryPolicy = RetryPolicy {
        policy: DeliveryRetryPolicy::RetryForeverWithBackoff,
        delay: Duration::from_secs(5),
        backoff: 2.0,
        max_delay: Duration::from_secs(60),
        jitter: 0.2,
        max_attempts: 0,
        last_attempt: 4,
        refused_attempts: 5,
        retry_after: (Duration::from_secs(1), Duration::from_secs(900)),
    };

    #[test]
    fn waits_double_up_to_the_maximum() {
        let waits: Vec<u64> = (0..6).map(|failures| POLICY.wait(failures, 0.5).as_secs()).collect();
        assert_eq!(waits, [5, 10, 20, 40, 60, 60]);
        assert_eq!(POLICY.wait(u32::MAX, 0.5).as_secs(), 60);
    }

    #[test]
    fn jitter_stays_within_its_share() {
        assert_eq!(POLICY.wait(0, 0.0).as_millis(), 4_000);
        assert_eq!(POLICY.wait(0, 1.0).as_millis(), 6_000);
    }

    #[test]
    fn nothing_waits_longer_than_the_longest() {
        assert_eq!(POLICY.longest().as_secs(), 900);
        let overrides = RetryOverrides {
            max_delay: Some(Period::from_secs(3_600)),
            ..RetryOverrides::default()
        };
        let patient = POLICY.with(DeliveryRetryPolicy::RetryForeverWithBackoff, &overrides);
        assert_eq!(patient.longest(), patient.wait(u32::MAX, 1.0));
        assert!(patient.longest() > patient.max_delay);
    }

    #[test]
    fn retry_forever_is_constant_and_overrides_apply() {
        let overrides = RetryOverrides {
            delay: Some(Period::from_secs(1)),
            ..RetryOverrides::default()
        };
        let policy = POLICY.with(DeliveryRetryPolicy::RetryForever, &overrides);
        assert_eq!(policy.wait(7, 0.5).as_secs(), 1);
        let long = RetryOverrides {
            delay: Some(Period::from_secs(300)),
            ..RetryOverrides::default()
        };
        assert_eq!(
            POLICY
                .with(DeliveryRetryPolicy::RetryForever, &long)
                .wait(0, 0.5)
                .as_secs(),
            300
        );
    }

    #[test]
    fn retry_after_is_honoured_within_bounds() {
        assert_eq!(POLICY.floor(None), Duration::ZERO);
        assert_eq!(POLICY.floor(Some(Duration::ZERO)).as_secs(), 1);
        assert_eq!(POLICY.floor(Some(Duration::from_secs(30))).as_secs(), 30);
        assert_eq!(POLICY.floor(Some(Duration::from_secs(86_400))).as_secs(), 900);
    }

    #[test]
    fn only_the_finite_policies_end_a_subscription() {
        assert_eq!(POLICY.ends_after(1_000_000), None);
        let suspend = POLICY.with(DeliveryRetryPolicy::SuspendRetries, &RetryOverrides::default());
        assert_eq!(
            (suspend.ends_after(3), suspend.ends_after(4)),
            (None, Some(End::Suspend))
        );
        let overrides = RetryOverrides {
            max_attempts: Some(2),
            ..RetryOverrides::default()
        };
        let terminate = POLICY.with(DeliveryRetryPolicy::TerminateAfterRetries, &overrides);
        assert_eq!(
            (terminate.ends_after(1), terminate.ends_after(2)),
            (None, Some(End::Remove))
        );
        assert_eq!(terminate.attempts_of_a_delivery(), 0);
        assert_eq!((last_attempt(0), last_attempt(7)), (4, 7));
    }

    #[test]
    fn what_is_set_at_run_time_is_between_the_configuration_and_the_subscription() {
        let settings = ServiceSettings {
            retries: Some(0),
            interval: Some(Period::from_secs(90)),
            ..ServiceSettings::default()
        };
        let set = POLICY.under(&settings);
        assert_eq!((set.delay.as_secs(), set.max_delay.as_secs()), (90, 90));
        let none = RetryOverrides::default();
        let suspend = set.with(DeliveryRetryPolicy::SuspendRetries, &none);
        assert_eq!(
            suspend.ends_after(1),
            Some(End::Suspend),
            "no retry follows the first attempt"
        );
        let forever = set.with(DeliveryRetryPolicy::RetryForever, &none);
        assert_eq!((forever.ends_after(1_000), forever.attempts_of_a_delivery()), (None, 0));
        let own = RetryOverrides {
            delay: Some(Period::from_secs(1)),
            max_attempts: Some(9),
            ..RetryOverrides::default()
        };
        let own = set.with(DeliveryRetryPolicy::SuspendRetries, &own);
        assert_eq!((own.delay.as_secs(), own.ends_after(8)), (1, None));
        assert_eq!(POLICY.under(&ServiceSettings::default()), POLICY);
    }
}
