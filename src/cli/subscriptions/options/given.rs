//! What was given on the command line, and what it does to a subscription: what was not given stays as it is.

use std::path::Path;

use url::Url;

use super::Options;
use crate::domain::filter::Filter;
use crate::domain::subscription::{PreviousSecret, Secret, Subscription};

/// The values given, read and ready to be applied.
pub(in crate::cli::subscriptions) struct Given {
    pub(super) options: Options,
    pub(super) backups: Vec<Url>,
    pub(super) headers: Vec<(String, Secret)>,
    pub(super) secret: Option<Secret>,
}

impl Given {
    /// The key, if it was made just now and nobody knows it yet.
    pub(in crate::cli::subscriptions) fn new_secret(&self) -> Option<&Secret> {
        self.secret.as_ref().filter(|_| self.options.generate_secret)
    }

    /// The file of authorities, as an absolute path.
    pub(in crate::cli::subscriptions) fn ca_file(&self) -> Option<&Path> {
        self.options.ca_file.as_deref()
    }

    /// Changes what was given and leaves the rest.
    pub(in crate::cli::subscriptions) fn apply(&self, to: &mut Subscription) {
        let given = &self.options;
        set(&mut to.name, &given.name);
        set(&mut to.context, &given.context);
        to.payload = given.payload.unwrap_or(to.payload);
        set(&mut to.heartbeat_minutes, &given.heartbeat);
        replace(&mut to.backup_destinations, &self.backups);
        if given.no_coalesce {
            to.coalesce = false;
        }
        self.apply_filter(&mut to.filter);
        replace(&mut to.headers, &self.headers);
        set(&mut to.max_in_flight, &given.max_in_flight);
        set(&mut to.timeout, &given.timeout);
        set(&mut to.ca_file, &given.ca_file);
        if given.no_verify {
            to.verify_certificate = false;
        }
        self.apply_secret(to);
        to.retry_policy = given.policy.unwrap_or(to.retry_policy);
        set(&mut to.retry.delay, &given.retry_delay);
        set(&mut to.retry.backoff, &given.retry_backoff);
        set(&mut to.retry.max_delay, &given.retry_max_delay);
        set(&mut to.retry.max_attempts, &given.retry_max_attempts);
        set(&mut to.limits.max_parked, &given.max_parked);
        set(&mut to.limits.max_age, &given.max_age);
        to.limits.overflow = given.overflow.unwrap_or(to.limits.overflow);
    }

    /// A new key takes the place of the old one, which signs on for as long as was asked for.
    fn apply_secret(&self, to: &mut Subscription) {
        let Some(new) = self.secret.as_ref().filter(|new| to.secret.as_ref() != Some(*new)) else {
            return;
        };
        let old = to.secret.replace(new.clone());
        to.previous_secret = old
            .filter(|old| old.reveal().is_ok())
            .zip(self.options.secret_grace)
            .map(|(secret, grace)| PreviousSecret {
                secret,
                until: seconds_now().saturating_add(grace.0.as_secs()),
            });
    }

    fn apply_filter(&self, to: &mut Filter) {
        let given = &self.options;
        replace(&mut to.event_types, &given.event_type);
        replace(&mut to.registry_prefixes, &given.registry_prefix);
        replace(&mut to.message_ids, &given.message_id);
        replace(&mut to.exclude_registry_prefixes, &given.exclude_registry_prefix);
        replace(&mut to.exclude_message_ids, &given.exclude_message_id);
        replace(&mut to.resource_types, &given.resource_type);
        replace(&mut to.origin_resources, &given.origin);
        to.subordinate_resources |= given.subordinate;
        replace(&mut to.severities, &given.severity);
        to.event_format_type = given.format.unwrap_or(to.event_format_type);
        replace(&mut to.metric_report_definitions, &given.metric_report_definition);
    }
}

fn set<T: Clone>(to: &mut Option<T>, given: &Option<T>) {
    if given.is_some() {
        to.clone_from(given);
    }
}

fn replace<T: Clone>(to: &mut Vec<T>, given: &[T]) {
    if !given.is_empty() {
        *to = given.to_vec();
    }
}

/// Seconds since the epoch, by this machine's clock.
fn seconds_now() -> u64 {
    u64::try_from(jiff::Timestamp::now().as_second()).unwrap_or(0)
}
