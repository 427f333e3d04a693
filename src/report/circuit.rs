//! How the deliveries of one subscription are going, in the words that operators read.

use serde::Serialize;
use url::Url;

use crate::domain::subscription::{Subscription, shown};
use crate::store::census::Census;

/// Stands for what is never shown.
pub const MASK: &str = "••••••";

/// How its deliveries are going, summed over the partitions; times in ms.
#[derive(Debug, Serialize)]
pub struct Circuit<'a> {
    /// One word: `delivering`, `behind`, `unavailable` or `suspended`.
    pub delivery: &'static str,
    /// Deliveries that are parked.
    pub parked: u64,
    /// Age of the oldest of them.
    pub oldest_age_ms: Option<u64>,
    /// Attempts of the oldest of them.
    pub attempts: u32,
    /// Until the next attempt; 0 while a worker is at it.
    pub next_attempt_in_ms: Option<u64>,
    /// How long it has been unavailable.
    pub unavailable_for_ms: Option<u64>,
    /// How long it has been behind.
    pub behind_for_ms: Option<u64>,
    /// Failed probes in a row.
    pub failures: u32,
    /// What went wrong last; empty when nothing did.
    pub last_error: &'a str,
}

impl<'a> Circuit<'a> {
    /// Reads a census taken at `now` (Redis' clock, ms).
    #[must_use]
    pub fn new(suspended: bool, census: &'a Census, now: u64) -> Self {
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
    #[must_use]
    pub fn rank(&self) -> u8 {
        match self.delivery {
            "unavailable" => 0,
            "behind" => 1,
            "suspended" => 2,
            _ => 3,
        }
    }
}

/// The destination with its query masked: it may hold a token.
#[must_use]
pub fn destination(of: &Subscription) -> String {
    masked(&of.destination)
}

/// The destinations that are tried when it is unavailable, likewise.
#[must_use]
pub fn backups(of: &Subscription) -> Vec<String> {
    of.backup_destinations.iter().map(masked).collect()
}

fn masked(url: &Url) -> String {
    let shown = shown(url);
    match url.query() {
        Some(_) => format!("{shown}?{MASK}"),
        None => shown,
    }
}
