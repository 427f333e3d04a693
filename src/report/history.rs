//! The last minutes of a deployment, for charts: kept in the pod, read from Redis by nobody but the gauges.
//!
//! Totals rather than rates: a sample that is missing costs resolution and makes nothing up.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use crate::store::census::Ledger;

/// How far back it reaches, ms.
const SPAN_MS: u64 = 15 * 60 * 1_000;
/// Samples are no closer than this, ms; a little below 5 s, so that a tick that is early counts.
const APART_MS: u64 = 4_000;
/// How many there can be.
#[cfg(test)]
const MOST: usize = 226;

/// Totals at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// Redis' clock, ms since the epoch.
    pub at_ms: u64,
    /// Events that were ever accepted.
    pub accepted: i64,
    /// Deliveries ever answered 2xx.
    pub delivered: i64,
    /// Deliveries parked.
    pub parked: i64,
    /// Events in the stream: waiting or in progress.
    pub events: u64,
}

/// Samples of the last 15 minutes, at most one every 4 s; some 10 KiB.
#[derive(Debug, Default)]
pub struct History(Mutex<VecDeque<Sample>>);

impl Sample {
    /// What Redis holds at a moment of its clock.
    #[must_use]
    pub fn new(at_ms: u64, ledger: &Ledger, events: u64) -> Self {
        Self {
            at_ms,
            accepted: accepted(ledger, events),
            delivered: ledger.delivered,
            parked: ledger.parked,
            events,
        }
    }
}

impl History {
    /// Adds a sample, unless the one before is too close; forgets those that are too old.
    pub fn record(&self, sample: Sample) {
        let mut samples = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A clock that went back: what is there has no place on its axis.
        if samples.back().is_some_and(|last| last.at_ms > sample.at_ms) {
            samples.clear();
        }
        if samples.back().is_some_and(|last| sample.at_ms - last.at_ms < APART_MS) {
            return;
        }
        let oldest = sample.at_ms.saturating_sub(SPAN_MS);
        while samples.front().is_some_and(|first| first.at_ms < oldest) {
            samples.pop_front();
        }
        samples.push_back(sample);
    }

    /// All samples, oldest first.
    #[must_use]
    pub fn samples(&self) -> Vec<Sample> {
        let samples = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        samples.iter().copied().collect()
    }
}

/// Events that were ever accepted: each is in the stream or settled.
pub(super) fn accepted(ledger: &Ledger, events: u64) -> i64 {
    ledger.settled.saturating_add(i64::try_from(events).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(at_ms: u64) -> Sample {
        Sample::new(at_ms, &Ledger::default(), 0)
    }

    fn times(history: &History) -> Vec<u64> {
        history.samples().iter().map(|sample| sample.at_ms).collect()
    }

    #[test]
    fn it_is_bounded_in_time_and_number() {
        let history = History::default();
        let end = 10 * SPAN_MS;
        for ms in (0..=end).step_by(100) {
            history.record(at(ms));
        }
        let times = times(&history);
        assert!(times.len() <= MOST, "{}", times.len());
        assert!(times[0] >= end - SPAN_MS - APART_MS, "{}", times[0]);
        assert!(times.windows(2).all(|pair| pair[1] - pair[0] >= APART_MS));
    }

    #[test]
    fn a_clock_that_went_back_begins_anew() {
        let history = History::default();
        for ms in [10_000, 15_000, 14_999, 3_000, 8_000] {
            history.record(at(ms));
        }
        assert_eq!(times(&history), [3_000, 8_000]);
    }

    #[test]
    fn what_waits_was_accepted() {
        let ledger = Ledger {
            settled: 7,
            ..Ledger::default()
        };
        assert_eq!(Sample::new(1, &ledger, 3).accepted, 10);
    }
}
