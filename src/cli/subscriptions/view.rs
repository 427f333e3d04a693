//! What the command line shows of a subscription: every field by name, secrets and header values masked.
//!
//! A new field of a subscription shows only once it is listed here, so none can leak by being added.

use serde::Serialize;

use crate::domain::filter::Filter;
use crate::domain::retention::Retention;
use crate::domain::subscription::{DeliveryRetryPolicy, PayloadFormat, RetryOverrides, State, Subscription};
use crate::domain::units::Period;
use crate::report::{Circuit, MASK, backups, destination};
use crate::store::census::Census;

/// A subscription with its circuit, as `--json` prints it.
#[derive(Serialize)]
pub(super) struct View<'a> {
    id: &'a str,
    version: u64,
    name: Option<&'a str>,
    pub(super) destination: String,
    backup_destinations: Vec<String>,
    context: Option<&'a str>,
    filter: &'a Filter,
    payload: PayloadFormat,
    coalesce: bool,
    heartbeat_minutes: Option<u32>,
    headers: Vec<Header<'a>>,
    retry_policy: DeliveryRetryPolicy,
    retry: &'a RetryOverrides,
    limits: &'a Retention,
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

impl<'a> View<'a> {
    /// The view of a subscription with its census taken at `now`.
    pub(super) fn new(of: &'a Subscription, census: &'a Census, now: u64) -> Self {
        Self {
            id: of.id.as_str(),
            version: of.version,
            name: of.name.as_deref(),
            destination: destination(of),
            backup_destinations: backups(of),
            context: of.context.as_deref(),
            filter: &of.filter,
            payload: of.payload,
            coalesce: of.coalesce,
            heartbeat_minutes: of.heartbeat_minutes,
            headers: of
                .headers
                .iter()
                .map(|(name, _)| Header { name, value: MASK })
                .collect(),
            retry_policy: of.retry_policy,
            retry: &of.retry,
            limits: &of.limits,
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
