//! Notices that Redis came back with less than this process knows it had: a failover to a copy that lacked the last
//! writes, a restored backup, an append-only file that was cut short.
//!
//! What is compared only ever grows, and every answer that it comes with is asked for anyway. Each answer is held
//! against what was known when its question was sent, so that answers may overtake each other. What was lost and
//! overtaken by as much that is new before anybody looked can't be seen.

use std::fmt::Display;
use std::sync::{Mutex, PoisonError};

use tracing::error;

use crate::domain::ids::StreamId;
use crate::telemetry::metrics;

/// What is known of a partition's past.
#[derive(Debug, Default)]
pub(super) struct Past(Mutex<Known>);

/// The greatest of each that Redis has told this process.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Known {
    /// Id that the event stream gave.
    entry: Option<StreamId>,
    /// Events settled, ever.
    settled: Option<i64>,
    /// This worker's heartbeat, by Redis' clock in ms.
    heartbeat: Option<u64>,
}

impl Past {
    /// What is known now, to be taken before a question is sent.
    pub(super) fn known(&self) -> Known {
        *self.lock()
    }

    /// An entry of the event stream was given or read.
    pub(super) fn entry(&self, id: StreamId) {
        let mut known = self.lock();
        known.entry = known.entry.max(Some(id));
    }

    /// The event stream and the ledger as they are now, against what was known before they were asked for.
    pub(super) fn compare(&self, partition: u16, before: Known, last: Option<StreamId>, settled: i64) {
        let shown = |id: Option<StreamId>| id.map_or_else(|| "no entry at all".to_owned(), |id| id.to_string());
        if last < before.entry {
            return self.went_back(partition, "the last event's id", &shown(before.entry), &shown(last));
        }
        if let Some(before) = before.settled.filter(|before| settled < *before) {
            return self.went_back(partition, "the number of settled events", &before, &settled);
        }
        let mut known = self.lock();
        known.entry = known.entry.max(last);
        known.settled = known.settled.max(Some(settled));
    }

    /// This worker's heartbeat as it is now, and as it was before that: none where a peer took over from it.
    pub(super) fn heartbeat(&self, partition: u16, before: Known, found: Option<u64>, now: Option<u64>) {
        if let (Some(before), Some(found)) = (before.heartbeat, found)
            && found < before
        {
            self.went_back(partition, "this worker's heartbeat", &before, &found);
        }
        self.lock().heartbeat = now;
    }

    /// Says it once: what else shows it is learnt anew.
    pub(super) fn went_back(&self, partition: u16, what: &str, from: &dyn Display, to: &dyn Display) {
        *self.lock() = Known::default();
        metrics::redis_stepped_back();
        error!(
            partition,
            what,
            %from,
            %to,
            "Redis came back with less than it had: what was accepted, changed or settled last may be gone; see \
             HoldfastRedisSteppedBack in the runbook"
        );
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(millis: u64) -> StreamId {
        StreamId { millis, sequence: 0 }
    }

    /// Whether a look is taken for a step back: then everything is forgotten.
    fn steps_back(past: &Past, before: Known, last: Option<u64>, settled: i64) -> bool {
        past.compare(0, before, last.map(id), settled);
        past.known() == Known::default()
    }

    #[test]
    fn less_than_was_known_is_a_step_back() {
        let past = Past::default();
        past.entry(id(5));
        assert!(!steps_back(&past, past.known(), Some(5), 3));
        assert!(!steps_back(&past, past.known(), Some(6), 3));
        assert!(steps_back(&past, past.known(), Some(5), 3), "an older id");
        assert!(!steps_back(&past, past.known(), Some(5), 3), "said once");
        assert!(steps_back(&past, past.known(), Some(7), 2), "fewer settled");
        past.entry(id(1));
        assert!(steps_back(&past, past.known(), None, 0), "an empty one");
    }

    #[test]
    fn an_answer_that_was_overtaken_is_none() {
        let past = Past::default();
        past.entry(id(5));
        let asked = past.known();
        past.entry(id(9));
        assert!(!steps_back(&past, asked, Some(6), 0));
        assert_eq!(past.known().entry, Some(id(9)));
    }

    #[test]
    fn a_heartbeat_that_is_gone_is_no_step_back() {
        let past = Past::default();
        past.heartbeat(0, past.known(), None, Some(10));
        past.heartbeat(0, past.known(), Some(10), Some(20));
        past.heartbeat(0, past.known(), None, Some(30));
        assert_eq!(past.known().heartbeat, Some(30));
        past.entry(id(1));
        past.heartbeat(0, past.known(), Some(20), Some(40));
        assert_eq!(past.known().entry, None, "that one is");
        assert_eq!(past.known().heartbeat, Some(40));
    }
}
