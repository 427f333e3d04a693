//! The check of `doctor` about the certificates that are given as files: whether they can be used, and when they end.

use super::check::{Check, Level};
use crate::cli::text::{span, time};
use crate::config::Config;
use crate::pem::{Pem, PemError, authorities_end};
use crate::telemetry::labels::Certificate;
use crate::{api, redfish};

/// A certificate that ends within this is a warning, in seconds: as with the alert.
const SOON: u64 = 7 * 24 * 3_600;

/// What is to be done about one that ends.
pub(super) const RENEW: &str = "put a renewed one in its place: a process that runs takes it by itself within certificates.check. \
                                With cert-manager look at its Certificate (kubectl describe certificate)";

/// All of them, as they are on this machine; nothing where none is configured.
pub(super) fn check(config: &Config) -> Option<Check> {
    let found: Vec<(Level, String)> = [redis(config), redfish(config), intake(config)]
        .into_iter()
        .flatten()
        .flat_map(|read| match read {
            Ok(ends) => ends.into_iter().map(|(of, end)| standing(of.as_str(), end)).collect(),
            Err(error) => vec![unusable(&error)],
        })
        .collect();
    let worst = found.iter().map(|(level, _)| *level).max()?;
    let text: Vec<String> = found.into_iter().map(|(_, text)| text).collect();
    let text = text.join("\n");
    Some(match worst {
        Level::Ok => Check::ok("certificates", text),
        Level::Warn => Check::warn("certificates", text, RENEW),
        Level::Fail => Check::fail("certificates", text, RENEW),
    })
}

/// How a certificate stands that ends then, in seconds since the epoch.
pub(super) fn standing(name: &str, end: u64) -> (Level, String) {
    let now = u64::try_from(jiff::Timestamp::now().as_second()).unwrap_or(0);
    let until = time(end.saturating_mul(1_000));
    let apart = span(end.abs_diff(now).saturating_mul(1_000));
    match end.checked_sub(now) {
        None | Some(0) => (Level::Fail, format!("{name} has ended: {until}, {apart} ago")),
        Some(left) if left < SOON => (Level::Warn, format!("{name} ends in {apart}: {until}")),
        Some(_) => (Level::Ok, format!("{name} until {until} (in {apart})")),
    }
}

/// A file that is not there may be on the machines that use it.
fn unusable(error: &PemError) -> (Level, String) {
    match error {
        PemError::File { path, .. } if !path.exists() => {
            let found = format!("{error}; it matters where the service runs");
            (Level::Warn, found)
        }
        error => (Level::Fail, error.to_string()),
    }
}

type Read = Result<Vec<(Certificate, u64)>, PemError>;

fn redis(config: &Config) -> Option<Read> {
    let file = config.redis.ca_file.as_deref()?;
    let read = Pem::read("the authorities of redis.ca_file", file).and_then(|pem| pem.certificates());
    Some(read.map(|authorities| {
        let end = authorities_end(&authorities);
        end.map(|end| (Certificate::RedisAuthorities, end))
            .into_iter()
            .collect()
    }))
}

fn redfish(config: &Config) -> Option<Read> {
    let files = redfish::certificate_files(&config.redfish).filter(|_| config.redfish.enabled)?;
    Some(files.read().map(|read| read.ends()))
}

fn intake(config: &Config) -> Option<Read> {
    Some(api::certificate_files(&config.intake)?.read().map(|read| read.ends()))
}
