//! What a subscription may say, checked before it is stored.
//!
//! The command line and the REST interface call it for every new or changed subscription, so both refuse the
//! same things. Every problem is found at once; no message shows a header's value, the secret or a password.

use std::time::Duration;

use url::Url;

use super::guard::Guard;
use super::signature::Signer;
use super::subscription::{DeliveryRetryPolicy, RetryOverrides, Subscription};
use super::units::Period;

/// Requests at once to one subscriber from one pod.
const MOST_IN_FLIGHT: u32 = 1024;
const SHORTEST_TIMEOUT: Period = Period::from_millis(100);
const LONGEST_TIMEOUT: Period = Period::from_secs(5 * 60);
/// Far above any sensible wait, far below what overflows the arithmetic of clocks.
const LONGEST_DELAY: Period = Period::from_secs(30 * 24 * 3600);
/// Parked deliveries of one subscription.
const MOST_PARKED: u64 = 1_000_000_000;
const SHORTEST_AGE: Period = Period::from_secs(1);
const LONGEST_AGE: Period = Period::from_secs(3650 * 24 * 3600);
const STRONGEST_BACKOFF: f64 = 100.0;
/// In bytes.
const LONGEST_DESTINATION: usize = 2048;
const LONGEST_CONTEXT: usize = 4096;
const LONGEST_NAME: usize = 256;
/// Places that are tried in one attempt, each with its own deadline.
const MOST_BACKUPS: usize = 8;
/// Minutes, as EventDestination has it.
const LONGEST_HEARTBEAT: u32 = 65_535;
/// Many servers refuse a request whose headers are longer, in bytes.
const HEADERS: usize = 8192;

/// Headers that each delivery sets itself, or that belong to the connection and not to the request.
const RESERVED: [&str; 11] = [
    "connection",
    "content-length",
    "content-type",
    "expect",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];
const RESERVED_PREFIXES: [&str; 2] = ["webhook-", "holdfast-"];

/// Every property that a [`Problem`] can be about; the first part are those of EventDestination 1.16.
pub const PROPERTIES: [&str; 24] = [
    "Destination",
    "BackupDestinations",
    "Name",
    "HeartbeatIntervalMinutes",
    "Context",
    "EventTypes",
    "RegistryPrefixes",
    "MessageIds",
    "ExcludeRegistryPrefixes",
    "ExcludeMessageIds",
    "ResourceTypes",
    "OriginResources",
    "Severities",
    "MetricReportDefinitions",
    "HttpHeaders",
    "RetryDelay",
    "RetryBackoff",
    "RetryMaxDelay",
    "MaxParked",
    "MaxAge",
    "MaxInFlight",
    "Timeout",
    "CaFile",
    "Secret",
];

/// One thing that is wrong with a subscription.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{property}: {text}")]
pub struct Problem {
    /// The property, one of [`PROPERTIES`].
    pub property: &'static str,
    /// What is wrong with it and what to write instead; shows no secret.
    pub text: String,
}

/// Collects problems.
#[derive(Default)]
struct Problems(Vec<Problem>);

impl Problems {
    fn add(&mut self, property: &'static str, text: impl Into<String>) {
        let text = text.into();
        self.0.push(Problem { property, text });
    }
}

impl Subscription {
    /// Checks everything that can be known without asking anybody; `guard` says where events may be sent.
    ///
    /// # Errors
    /// All problems found, at least one.
    pub fn validate(&self, guard: &Guard) -> Result<(), Vec<Problem>> {
        let mut problems = Problems::default();
        check_url("Destination", &self.destination, guard, &mut problems);
        for backup in &self.backup_destinations {
            check_url("BackupDestinations", backup, guard, &mut problems);
        }
        if self.backup_destinations.len() > MOST_BACKUPS {
            problems.add(
                "BackupDestinations",
                format!("at most {MOST_BACKUPS} are tried; leave out the rest"),
            );
        }
        let named = |name: &String| (1..=LONGEST_NAME).contains(&name.len());
        if self.name.as_ref().is_some_and(|name| !named(name)) {
            problems.add("Name", format!("it must have from 1 to {LONGEST_NAME} bytes"));
        }
        let minutes = |minutes: u32| (1..=LONGEST_HEARTBEAT).contains(&minutes);
        if self.heartbeat_minutes.is_some_and(|asked| !minutes(asked)) {
            problems.add(
                "HeartbeatIntervalMinutes",
                format!("it must be from 1 to {LONGEST_HEARTBEAT} minutes"),
            );
        }
        if self.context.as_ref().is_some_and(|text| text.len() > LONGEST_CONTEXT) {
            problems.add(
                "Context",
                format!("it is longer than {LONGEST_CONTEXT} bytes; shorten it"),
            );
        }
        if let Err(error) = self.filter.validate() {
            problems.add(error.property(), error.to_string());
        }
        self.check_headers(&mut problems);
        check_retry(self.retry_policy, &self.retry, &mut problems);
        self.check_limits(&mut problems);
        self.check_tls(&mut problems);
        // One that can't be opened was checked when it was given.
        let secret = self.secret.as_ref().and_then(|secret| secret.reveal().ok());
        if let Some(Err(error)) = secret.map(Signer::new) {
            problems.add("Secret", error.to_string());
        }
        if problems.0.is_empty() { Ok(()) } else { Err(problems.0) }
    }

    fn check_headers(&self, problems: &mut Problems) {
        let mut wrong = |text: String| problems.add("HttpHeaders", text);
        let mut total = 0;
        for (name, value) in &self.headers {
            let value = value.reveal().unwrap_or_default();
            total += name.len() + value.len() + ": \r\n".len();
            if name.is_empty() || !name.bytes().all(is_token) {
                wrong(format!(
                    "{:?} is no header name; use letters, digits and -",
                    name.chars().take(64).collect::<String>()
                ));
            } else if is_reserved(name) {
                wrong(format!(
                    "{name} is set by Holdfast or by the connection itself; leave it out"
                ));
            }
            if !value.bytes().all(|byte| byte == b'\t' || (b' '..=b'~').contains(&byte)) {
                wrong(format!(
                    "the value of {name:?} has a character that headers can't carry; use printable ASCII"
                ));
            }
        }
        if total > HEADERS {
            wrong(format!(
                "together they are {total} bytes; many servers take no more than {HEADERS}"
            ));
        }
    }

    fn check_limits(&self, problems: &mut Problems) {
        let limits = &self.limits;
        if limits.max_parked.is_some_and(|most| !(1..=MOST_PARKED).contains(&most)) {
            problems.add("MaxParked", format!("it must be from 1 to {MOST_PARKED} deliveries"));
        }
        if limits
            .max_age
            .is_some_and(|age| !(SHORTEST_AGE..=LONGEST_AGE).contains(&age))
        {
            problems.add("MaxAge", format!("it must be from {SHORTEST_AGE} to {LONGEST_AGE}"));
        }
        if self
            .max_in_flight
            .is_some_and(|most| !(1..=MOST_IN_FLIGHT).contains(&most))
        {
            problems.add("MaxInFlight", format!("it must be from 1 to {MOST_IN_FLIGHT} requests"));
        }
        if self
            .timeout
            .is_some_and(|timeout| !(SHORTEST_TIMEOUT..=LONGEST_TIMEOUT).contains(&timeout))
        {
            problems.add(
                "Timeout",
                format!("it must be from {SHORTEST_TIMEOUT} to {LONGEST_TIMEOUT}"),
            );
        }
    }

    fn check_tls(&self, problems: &mut Problems) {
        let Some(file) = &self.ca_file else { return };
        if !file.is_absolute() {
            problems.add("CaFile", "it must be an absolute path, the same on every worker");
        }
        if self.destination.scheme() == "http" {
            problems.add(
                "CaFile",
                "it has no effect on an http:// destination; leave it out or use https://",
            );
        }
        if !self.verify_certificate {
            problems.add(
                "CaFile",
                "it has no effect while the certificate is not verified; remove one of the two",
            );
        }
    }
}

fn check_url(property: &'static str, url: &Url, guard: &Guard, problems: &mut Problems) {
    if let Err(blocked) = guard.judge(url) {
        problems.add(property, blocked.to_string());
    }
    let mut wrong = |text: String| problems.add(property, text);
    if !matches!(url.scheme(), "http" | "https") {
        let scheme = url.scheme();
        wrong(format!(
            "it starts with {scheme}: and events go to http:// or https:// only; write http://HOST/PATH or \
             https://HOST/PATH"
        ));
        return;
    }
    if url.host_str().is_none_or(str::is_empty) {
        wrong("it names no host; write http://HOST/PATH or https://HOST/PATH".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        wrong(
            "it holds a user or password, which would be shown wherever the URL is; leave them out and send the \
             header Authorization instead"
                .to_owned(),
        );
    }
    if url.fragment().is_some() {
        wrong("it has a fragment (#…), which is never sent; leave it out".to_owned());
    }
    if url.port() == Some(0) {
        wrong("port 0 can't be connected to; name the port that the subscriber listens on".to_owned());
    }
    if url.as_str().len() > LONGEST_DESTINATION {
        wrong(format!("it is longer than {LONGEST_DESTINATION} bytes; shorten it"));
    }
}

fn check_retry(policy: DeliveryRetryPolicy, retry: &RetryOverrides, problems: &mut Problems) {
    let fits = |period: Period| period.0 > Duration::ZERO && period <= LONGEST_DELAY;
    for (property, period) in [("RetryDelay", retry.delay), ("RetryMaxDelay", retry.max_delay)] {
        if period.is_some_and(|period| !fits(period)) {
            problems.add(property, format!("it must be above 0s and at most {LONGEST_DELAY}"));
        }
    }
    if let (Some(delay), Some(most)) = (retry.delay, retry.max_delay)
        && delay > most
    {
        problems.add(
            "RetryMaxDelay",
            format!("{most} is shorter than the first wait of {delay}"),
        );
    }
    let Some(backoff) = retry.backoff else { return };
    if !(1.0..=STRONGEST_BACKOFF).contains(&backoff) {
        problems.add(
            "RetryBackoff",
            format!("it must be a number from 1 (constant) to {STRONGEST_BACKOFF}"),
        );
    } else if policy == DeliveryRetryPolicy::RetryForever && backoff > 1.0 {
        problems.add(
            "RetryBackoff",
            "RetryForever keeps a constant interval; leave it out or use RetryForeverWithBackoff",
        );
    }
}

/// A character of a header's name (RFC 9110, section 5.6.2).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn is_reserved(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    RESERVED.contains(&name.as_str()) || RESERVED_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests;
