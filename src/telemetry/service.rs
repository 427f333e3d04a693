//! What the Redfish service does: one typed function for each of its metrics.
//!
//! Recorded as [`super::metrics`] does it; called from `redfish`, and from `app` for what all pods share.
#![expect(clippy::disallowed_macros, reason = "records metrics of the catalogue")]

use std::sync::OnceLock;
use std::sync::atomic::AtomicI64;

use metrics::{Counter, counter, gauge};

use super::catalogue::{REDFISH_FAILED_LOGINS, REDFISH_LOCKOUTS, REDFISH_REQUESTS, REDFISH_SESSIONS, REDFISH_STREAMS};
use super::labels::{FailedLogin, RedfishResource, StatusClass};
use super::metrics::{Held, held};

static HANDLES: OnceLock<Handles> = OnceLock::new();
static STREAMS: AtomicI64 = AtomicI64::new(0);

struct Handles {
    requests: Vec<Counter>,
    failed_logins: Vec<Counter>,
    lockouts: Counter,
}

/// Looks the handles up; once, after the recorder was set.
pub(super) fn prepare() {
    HANDLES.get_or_init(|| {
        Handles {
        requests: RedfishResource::ALL
            .iter()
            .flat_map(|resource| StatusClass::ALL.iter().map(move |status| (resource, status)))
            .map(|(resource, status)| {
                counter!(REDFISH_REQUESTS, "resource" => resource.as_str(), "status" => status.as_str())
            })
            .collect(),
        failed_logins: FailedLogin::ALL
            .iter()
            .map(|reason| counter!(REDFISH_FAILED_LOGINS, "reason" => reason.as_str()))
            .collect(),
        lockouts: counter!(REDFISH_LOCKOUTS),
    }
    });
}

fn count(pick: impl FnOnce(&'static Handles) -> Option<&'static Counter>) {
    if let Some(counter) = HANDLES.get().and_then(pick) {
        counter.increment(1);
    }
}

/// A request to a resource was answered.
pub fn request(resource: RedfishResource, status: StatusClass) {
    let cell = resource as usize * StatusClass::ALL.len() + status as usize;
    count(|handles| handles.requests.get(cell));
}

/// A login was refused.
pub fn failed_login(reason: FailedLogin) {
    count(|handles| handles.failed_logins.get(reason as usize));
}

/// An account was locked.
pub fn lockout() {
    count(|handles| Some(&handles.lockouts));
}

/// A client opens an event stream; drop the guard when it is closed.
#[must_use]
pub fn open_stream() -> Held {
    Held::one_of(&STREAMS)
}

/// So many sessions are open, on all pods together.
pub fn set_sessions(sessions: u32) {
    gauge!(REDFISH_SESSIONS).set(f64::from(sessions));
}

/// Refreshes the gauges that this process owns.
pub(super) fn set_own_gauges() {
    gauge!(REDFISH_STREAMS).set(held(&STREAMS));
}
