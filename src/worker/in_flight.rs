//! The entries this process is working on, so that its own sweep does not take them up a second time.
//!
//! A guard leaves the map when it is dropped, also by a panic: what was lost that way is found again
//! (invariant 8).

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use crate::domain::ids::StreamId;
use crate::store::events::Stream;

/// What this process is working on, in one partition.
#[derive(Debug, Clone, Default)]
pub struct InFlight(Arc<Mutex<HashSet<(Stream, StreamId)>>>);

/// Keeps an entry in the map until it is dropped.
#[derive(Debug)]
pub struct Guard {
    map: InFlight,
    entry: (Stream, StreamId),
    /// From then on the entry was this worker's: a moment before it was read, claimed or found.
    pub(super) since: Instant,
    /// Given back when the entry leaves the map: what is held until it is settled is bounded.
    room: Option<OwnedSemaphorePermit>,
}

impl Guard {
    /// Keeps room for the entry until the guard is dropped.
    #[must_use]
    pub fn with_room(self, room: OwnedSemaphorePermit) -> Self {
        let mut guard = self;
        guard.room = Some(room);
        guard
    }

    /// How much room it keeps.
    #[must_use]
    pub fn room(&self) -> usize {
        self.room.as_ref().map_or(0, OwnedSemaphorePermit::num_permits)
    }
}

impl InFlight {
    /// Takes an entry up that was this worker's at `since`; `None` when it is being worked on already.
    #[must_use]
    pub fn enter(&self, stream: Stream, id: StreamId, since: Instant) -> Option<Guard> {
        let entry = (stream, id);
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries.insert(entry).then(|| Guard {
            map: self.clone(),
            entry,
            since,
            room: None,
        })
    }

    /// Whether an entry is being worked on.
    #[must_use]
    pub fn holds(&self, stream: Stream, id: StreamId) -> bool {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(&(stream, id))
    }

    /// How many entries of both streams are being worked on.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Whether nothing is being worked on.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.map
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&self.entry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_gives_the_entry_back() {
        let in_flight = InFlight::default();
        let id = StreamId { millis: 1, sequence: 0 };
        let guard = in_flight.enter(Stream::Events, id, Instant::now()).expect("free");
        assert!(in_flight.enter(Stream::Events, id, Instant::now()).is_none());
        assert!(in_flight.enter(Stream::Redeliveries, id, Instant::now()).is_some());
        let result = std::thread::spawn(move || {
            let _guard = guard;
            panic!("on purpose");
        })
        .join();
        assert!(result.is_err() && !in_flight.holds(Stream::Events, id) && in_flight.is_empty());
    }
}
