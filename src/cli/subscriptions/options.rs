//! The options of `subscriptions add` and `update`; `given` is what each does to a subscription.
//!
//! Secrets and headers are taken as they are and read later: the parser of the command line would quote them
//! in its messages.

mod given;

use std::path::{Path, PathBuf};

use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use rand::Rng;
use url::Url;

pub(super) use self::given::Given;
use crate::domain::retention::Overflow;
use crate::domain::subscription::{DeliveryRetryPolicy, PayloadFormat, Secret};
use crate::domain::terms::{EventFormatType, EventType, Severity};
use crate::domain::units::Period;

/// Bytes of a generated signing key; Standard Webhooks allows 24 to 64.
const KEY_BYTES: usize = 32;

/// What `add` and `update` have in common. Options that take several values may be repeated; those without a
/// default leave the setting to the service's configuration.
#[derive(Args)]
pub(super) struct Options {
    /// What people call it.
    #[arg(long, value_name = "TEXT", help_heading = "What is sent")]
    name: Option<String>,
    /// Text that every event carries as its Context.
    #[arg(long, value_name = "TEXT", help_heading = "What is sent")]
    context: Option<String>,
    /// Only these: StatusChange, ResourceUpdated, ResourceAdded, ResourceRemoved, Alert, MetricReport, Other.
    #[arg(long, value_name = "TYPE", value_delimiter = ',', help_heading = "What is sent")]
    event_type: Vec<EventType>,
    /// Only messages of these registries, for example Base.
    #[arg(long, value_name = "PREFIX", value_delimiter = ',', help_heading = "What is sent")]
    registry_prefix: Vec<String>,
    /// Only these messages, for example Base.Success; together with --registry-prefix either may match.
    #[arg(long, value_name = "ID", value_delimiter = ',', help_heading = "What is sent")]
    message_id: Vec<String>,
    /// Never messages of these registries.
    #[arg(long, value_name = "PREFIX", value_delimiter = ',', help_heading = "What is sent")]
    exclude_registry_prefix: Vec<String>,
    /// Never these messages.
    #[arg(long, value_name = "ID", value_delimiter = ',', help_heading = "What is sent")]
    exclude_message_id: Vec<String>,
    /// Only about resources of these types, for example Drive.
    #[arg(long, value_name = "TYPE", value_delimiter = ',', help_heading = "What is sent")]
    resource_type: Vec<String>,
    /// Only about these resources, for example /redfish/v1/Systems/1.
    #[arg(long, value_name = "URI", help_heading = "What is sent")]
    origin: Vec<String>,
    /// With --origin: about everything beneath those resources too.
    #[arg(long, help_heading = "What is sent")]
    subordinate: bool,
    /// Only of these severities: OK, Warning, Critical.
    #[arg(long, value_name = "SEVERITY", value_delimiter = ',', help_heading = "What is sent")]
    severity: Vec<Severity>,
    /// Event or MetricReport.
    #[arg(long, value_name = "FORMAT", help_heading = "What is sent")]
    format: Option<EventFormatType>,
    /// Only reports of these definitions, with --format MetricReport.
    #[arg(long, value_name = "URI", help_heading = "What is sent")]
    metric_report_definition: Vec<String>,
    /// What each request carries: event (records that match, mended where hardware deviates) or raw (as it came).
    #[arg(long, value_name = "FORMAT", value_parser = payload(), help_heading = "What is sent")]
    payload: Option<PayloadFormat>,
    /// A heartbeat event so often, in minutes.
    #[arg(long, value_name = "MINUTES", help_heading = "What is sent")]
    heartbeat: Option<u32>,
    /// Where to send when the destination is unavailable, tried in the order given.
    #[arg(long, value_name = "URL", value_parser = secret, help_heading = "How it is sent")]
    backup: Vec<Secret>,
    /// One event a message also while it is behind.
    #[arg(long, help_heading = "How it is sent")]
    no_coalesce: bool,
    /// Header of every request, written 'Name: value'.
    #[arg(long, value_name = "HEADER", value_parser = secret, help_heading = "How it is sent")]
    header: Vec<Secret>,
    /// Requests at once from one pod, 1 to 1024; 1 keeps a strict order.
    #[arg(long, value_name = "N", help_heading = "How it is sent")]
    max_in_flight: Option<u32>,
    /// Deadline of one request, 100ms to 5m.
    #[arg(long, value_name = "PERIOD", help_heading = "How it is sent")]
    timeout: Option<Period>,
    /// PEM file with the only authorities to trust; must be at the same place on every worker.
    #[arg(long, value_name = "FILE", help_heading = "How it is sent")]
    ca_file: Option<PathBuf>,
    /// Do not check the destination's certificate.
    #[arg(long, help_heading = "How it is sent")]
    no_verify: bool,
    /// Key that signs each delivery, whsec_ and base64. Others on this machine may see it: prefer --secret-file.
    #[arg(long, value_name = "SECRET", value_parser = secret, group = "key", help_heading = "How it is sent")]
    secret: Option<Secret>,
    /// File that holds the key.
    #[arg(long, value_name = "FILE", group = "key", help_heading = "How it is sent")]
    secret_file: Option<PathBuf>,
    /// Make a new key; it is printed once.
    #[arg(long, group = "key", help_heading = "How it is sent")]
    generate_secret: bool,
    /// Sign with the old key as well for so long, while receivers change over to the new one.
    #[arg(long, value_name = "PERIOD", requires = "key", help_heading = "How it is sent")]
    secret_grace: Option<Period>,
    /// What happens while deliveries fail.
    #[arg(long, value_name = "POLICY", value_parser = policy(), help_heading = "When it fails")]
    policy: Option<DeliveryRetryPolicy>,
    /// The wait before the first retry.
    #[arg(long, value_name = "PERIOD", help_heading = "When it fails")]
    retry_delay: Option<Period>,
    /// Factor from one wait to the next, 1 (constant) to 100.
    #[arg(long, value_name = "FACTOR", help_heading = "When it fails")]
    retry_backoff: Option<f64>,
    /// No wait is longer.
    #[arg(long, value_name = "PERIOD", help_heading = "When it fails")]
    retry_max_delay: Option<Period>,
    /// Failed attempts before the policy acts; 0 is for ever.
    #[arg(long, value_name = "N", help_heading = "When it fails")]
    retry_max_attempts: Option<u32>,
    /// Keep at most this many parked deliveries; the oldest beyond it overflow.
    #[arg(long, value_name = "N", help_heading = "How much is kept")]
    max_parked: Option<u64>,
    /// Keep no parked delivery for longer, for example 7d; what is older overflows.
    #[arg(long, value_name = "PERIOD", help_heading = "How much is kept")]
    max_age: Option<Period>,
    /// Where to: dead-letters (the default, can be replayed), or file, in each worker's limits.overflow_dir.
    #[arg(long, value_name = "WHERE", value_parser = overflow(), help_heading = "How much is kept")]
    overflow: Option<Overflow>,
}

impl Options {
    /// Reads files and headers, and makes a key where one is asked for.
    ///
    /// # Errors
    /// When a header is not `Name: value`, a backup is no URL, or the file of the secret can't be read.
    pub(super) fn read(mut self) -> anyhow::Result<Given> {
        let backups = self.backup.iter().map(backup).collect::<anyhow::Result<_>>()?;
        let headers = self.header.iter().map(header).collect::<anyhow::Result<_>>()?;
        let secret = match (self.secret.take(), &self.secret_file) {
            (Some(secret), _) => Some(secret),
            (None, Some(file)) => Some(secret_of(file)?),
            (None, None) => self.generate_secret.then(generate),
        };
        if let Some(file) = &self.ca_file {
            let path = std::path::absolute(file).context("--ca-file: the path can't be made absolute")?;
            self.ca_file = Some(path);
        }
        Ok(Given {
            options: self,
            backups,
            headers,
            secret,
        })
    }
}

/// The option that sets a property of `domain::validation::PROPERTIES`.
pub(super) fn option_of(property: &str) -> &str {
    match property {
        "Destination" => "DESTINATION",
        "BackupDestinations" => "--backup",
        "Name" => "--name",
        "HeartbeatIntervalMinutes" => "--heartbeat",
        "Context" => "--context",
        "EventTypes" => "--event-type",
        "RegistryPrefixes" => "--registry-prefix",
        "MessageIds" => "--message-id",
        "ExcludeRegistryPrefixes" => "--exclude-registry-prefix",
        "ExcludeMessageIds" => "--exclude-message-id",
        "ResourceTypes" => "--resource-type",
        "OriginResources" => "--origin",
        "Severities" => "--severity",
        "MetricReportDefinitions" => "--metric-report-definition",
        "HttpHeaders" => "--header",
        "RetryDelay" => "--retry-delay",
        "RetryBackoff" => "--retry-backoff",
        "RetryMaxDelay" => "--retry-max-delay",
        "MaxParked" => "--max-parked",
        "MaxAge" => "--max-age",
        "MaxInFlight" => "--max-in-flight",
        "Timeout" => "--timeout",
        "CaFile" => "--ca-file",
        "Secret" => "--secret",
        other => other,
    }
}

/// Takes any text: a parser that could fail would be quoted together with it.
fn secret(text: &str) -> Result<Secret, std::convert::Infallible> {
    Ok(Secret::new(text))
}

fn policy() -> impl TypedValueParser<Value = DeliveryRetryPolicy> {
    PossibleValuesParser::new([
        "RetryForeverWithBackoff",
        "RetryForever",
        "SuspendRetries",
        "TerminateAfterRetries",
    ])
    .try_map(|name| serde_json::from_value(serde_json::Value::String(name)))
}

fn overflow() -> impl TypedValueParser<Value = Overflow> {
    PossibleValuesParser::new(Overflow::NAMES.map(|(name, _)| name))
        .try_map(|name| serde_json::from_value(serde_json::Value::String(name)))
}

fn payload() -> impl TypedValueParser<Value = PayloadFormat> {
    PossibleValuesParser::new(["event", "raw"]).try_map(|name| serde_json::from_value(serde_json::Value::String(name)))
}

/// A URL; what is wrong is said without quoting it, for it may hold a password.
fn backup(text: &Secret) -> anyhow::Result<Url> {
    let url = text.reveal()?.parse();
    url.context("--backup: it is no URL; write http://HOST/PATH or https://HOST/PATH")
}

/// `Name: value`; what is wrong is said without quoting it.
fn header(text: &Secret) -> anyhow::Result<(String, Secret)> {
    let (name, value) = text
        .reveal()?
        .split_once(':')
        .context("--header: write it as 'Name: value'; one that was given has no colon")?;
    Ok((name.trim().to_owned(), Secret::new(value.trim())))
}

fn secret_of(file: &Path) -> anyhow::Result<Secret> {
    let text =
        std::fs::read_to_string(file).with_context(|| format!("--secret-file: {} can't be read", file.display()))?;
    Ok(Secret::new(text.trim()))
}

fn generate() -> Secret {
    let mut key = [0; KEY_BYTES];
    rand::rng().fill(&mut key);
    Secret::new(format!("whsec_{}", STANDARD.encode(key)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::validation::PROPERTIES;

    #[test]
    fn every_property_has_its_option() {
        for property in PROPERTIES {
            assert_ne!(option_of(property), property);
        }
    }

    #[test]
    fn headers_are_split_at_the_first_colon() {
        let (name, value) = header(&Secret::new("Authorization:  Bearer a:b ")).expect("a header");
        assert_eq!((name.as_str(), value.reveal()), ("Authorization", Ok("Bearer a:b")));
        let error = header(&Secret::new("hunter2")).expect_err("no colon").to_string();
        assert!(!error.contains("hunter2"), "{error}");
    }
}
