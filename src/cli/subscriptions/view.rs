//! What the command line shows of a subscription: every field by name, secrets and header values masked.
//!
//! A new field of a subscription shows only once it is listed here, so none can leak by being added.

use serde::Serialize;

use crate::domain::filter::Filter;
use crate::domain::subscription::{DeliveryRetryPolicy, RetryOverrides, State, Subscription};
use crate::domain::units::Period;
use crate::store::census::Census;

/// Stands for what is never shown.
pub(super) const MASK: &str = "••••••";

/// A subscription with its circuit, as `--json` prints it.
#[derive(Serialize)]
pub(super) struct View<'a> {
    id: &'a str,
    version: u64,
    pub(super) destination: String,
    context: Option<&'a str>,
    filter: &'a Filter,
    headers: Vec<Header<'a>>,
    retry_policy: DeliveryRetryPolicy,
    retry: &'a RetryOverrides,
    max_in_flight: Option<u32>,
    timeout: Option<Period>,
    ca_file: Option<String>,
    verify_certificate: bool,
    signed: bool,
    /// Seconds since the epoch until which the key before the present one signs as well.
    previous_secret_until: Option<u64>,
    state: &'a State,
    created_at: &'a str,
    circuit: Circuit<'a>,
}

#[derive(Serialize)]
struct Header<'a> {
    name: &'a str,
    value: &'static str,
}

/// How its deliveries are going, summed over the partitions; times in ms.
#[derive(Serialize)]
pub(in crate::cli) struct Circuit<'a> {
    /// One word: `delivering`, `behind`, `unavailable` or `suspended`.
    pub(in crate::cli) delivery: &'static str,
    /// Deliveries that are parked.
    pub(in crate::cli) parked: u64,
    /// Age of the oldest of them.
    pub(in crate::cli) oldest_age_ms: Option<u64>,
    /// Attempts of the oldest of them.
    pub(in crate::cli) attempts: u32,
    /// Until the next attempt; 0 while a worker is at it.
    pub(in crate::cli) next_attempt_in_ms: Option<u64>,
    /// How long it has been unavailable.
    pub(in crate::cli) unavailable_for_ms: Option<u64>,
    /// How long it has been behind.
    pub(in crate::cli) behind_for_ms: Option<u64>,
    /// Failed probes in a row.
    pub(in crate::cli) failures: u32,
    /// What went wrong last; empty when nothing did.
    pub(in crate::cli) last_error: &'a str,
}

impl<'a> Circuit<'a> {
    /// Reads a census taken at `now` (Redis' clock, ms).
    pub(in crate::cli) fn new(suspended: bool, census: &'a Census, now: u64) -> Self {
        let delivery = if suspended {
            "suspended"
        } else if census.open_since_ms.is_some() {
            "unavailable"
        } else if census.behind_since_ms.is_some() || census.parked > 0 {
            "behind"
        } else {
            "delivering"
        };
        let wakeup = census.next_wakeup_ms.map(|due| due.saturating_sub(now));
        let since = |then: Option<u64>| then.map(|then| now.saturating_sub(then));
        Self {
            delivery,
            parked: census.parked,
            oldest_age_ms: since(census.oldest.map(|id| id.millis)),
            attempts: census.attempts,
            next_attempt_in_ms: if census.draining { Some(0) } else { wakeup },
            unavailable_for_ms: since(census.open_since_ms),
            behind_for_ms: since(census.behind_since_ms),
            failures: census.failures,
            last_error: &census.error,
        }
    }

    /// Those that need a look come first.
    pub(in crate::cli) fn rank(&self) -> u8 {
        match self.delivery {
            "unavailable" => 0,
            "behind" => 1,
            "suspended" => 2,
            _ => 3,
        }
    }
}

impl<'a> View<'a> {
    /// The view of a subscription with its census taken at `now`.
    pub(super) fn new(of: &'a Subscription, census: &'a Census, now: u64) -> Self {
        Self {
            id: of.id.as_str(),
            version: of.version,
            destination: destination(of),
            context: of.context.as_deref(),
            filter: &of.filter,
            headers: of
                .headers
                .iter()
                .map(|(name, _)| Header { name, value: MASK })
                .collect(),
            retry_policy: of.retry_policy,
            retry: &of.retry,
            max_in_flight: of.max_in_flight,
            timeout: of.timeout,
            ca_file: of.ca_file.as_ref().map(|file| file.display().to_string()),
            verify_certificate: of.verify_certificate,
            signed: of.secret.is_some(),
            previous_secret_until: of.previous_secret.as_ref().map(|old| old.until),
            state: &of.state,
            created_at: &of.created_at,
            circuit: Circuit::new(of.is_suspended(), census, now),
        }
    }
}

/// The destination with its query masked: it may hold a token.
pub(in crate::cli) fn destination(of: &Subscription) -> String {
    let shown = of.shown_destination();
    match of.destination.query() {
        Some(_) => format!("{shown}?{MASK}"),
        None => shown,
    }
}
