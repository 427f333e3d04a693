//! A worker's lease on what it holds: its heartbeat, judged by this process' own monotonic clock.
//!
//! A worker that was paused sees here that it may have been taken over, before it sends anything (invariant
//! 7); and it takes over from others only after a dead-after period that it lived through itself.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// When heartbeats succeeded.
#[derive(Debug)]
pub struct Lease {
    dead_after: Duration,
    beats: Mutex<Option<Beats>>,
}

#[derive(Debug, Clone, Copy)]
struct Beats {
    last: Instant,
    /// Start of the current series without a gap that could hide a pause.
    unbroken_since: Instant,
}

impl Lease {
    /// A lease that no heartbeat has begun yet.
    #[must_use]
    pub fn new(dead_after: Duration) -> Self {
        Self {
            dead_after,
            beats: Mutex::new(None),
        }
    }

    /// A heartbeat that was sent at `sent` is known to be stored `now`.
    pub fn beat(&self, sent: Instant, now: Instant) {
        let mut beats = self.beats.lock().unwrap_or_else(PoisonError::into_inner);
        let unbroken_since = match *beats {
            Some(known) if now.duration_since(known.last) < self.dead_after / 2 => known.unbroken_since,
            _ => now,
        };
        *beats = Some(Beats {
            last: sent,
            unbroken_since,
        });
    }

    /// A heartbeat failed: what peers did meanwhile is unknown, so the series starts anew.
    pub fn broken(&self, now: Instant) {
        if let Some(beats) = self.beats.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            beats.unbroken_since = now;
        }
    }

    /// Whether heartbeats show that nobody can have taken over what was this worker's at `since`: the last is
    /// recent, and there was no gap in between. A worker that was paused beats again at once, but what it held
    /// before may be somebody else's by then.
    #[must_use]
    pub fn covers(&self, since: Instant, now: Instant) -> bool {
        let beats = *self.beats.lock().unwrap_or_else(PoisonError::into_inner);
        beats.is_some_and(|beats| now.duration_since(beats.last) < self.dead_after / 2 && beats.unbroken_since <= since)
    }

    /// The worker leaves: from now on nothing is covered.
    pub fn end(&self) {
        *self.beats.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Since when heartbeats have succeeded without a gap; `None` before the first.
    #[must_use]
    pub fn unbroken_since(&self) -> Option<Instant> {
        let beats = *self.beats.lock().unwrap_or_else(PoisonError::into_inner);
        beats.map(|beats| beats.unbroken_since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_or_a_failure_starts_the_series_anew() {
        let lease = Lease::new(Duration::from_secs(10));
        let start = Instant::now();
        let at = |secs| start + Duration::from_secs(secs);
        assert!(!lease.covers(start, start));
        lease.beat(start, start);
        lease.beat(at(2), at(2));
        assert_eq!(lease.unbroken_since(), Some(start));
        assert!(lease.covers(start, at(2)));

        assert!(
            !lease.covers(start, at(8)),
            "paused for more than half the dead-after time"
        );
        lease.beat(at(8), at(8));
        assert_eq!(lease.unbroken_since(), Some(at(8)));
        assert!(lease.covers(at(8), at(8)), "what is read from now on");
        assert!(!lease.covers(at(7), at(8)), "what was held before the pause");

        lease.broken(at(10));
        assert_eq!(lease.unbroken_since(), Some(at(10)));
    }

    #[test]
    fn a_beat_that_was_stored_late_counts_from_when_it_was_sent() {
        let lease = Lease::new(Duration::from_secs(10));
        let start = Instant::now();
        lease.beat(start, start + Duration::from_secs(9));
        let now = start + Duration::from_secs(9);
        assert!(!lease.covers(now, now));
    }
}
