//! What all subscribers of a pod share: requests at once, bytes of their bodies, and a lane's room for events.
//!
//! While more than half of one of them is taken, nobody who holds his part already gets more
//! ([`Shared::spares`]), so that those who don't answer leave enough to those who do.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::domain::limit::Shared;

/// The slots of the whole pod: requests and bytes of their bodies.
#[derive(Debug)]
pub struct PodSlots {
    requests: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
    most_requests: usize,
    most_bytes: u32,
    /// Subscribers with a direct delivery under way.
    holders: Arc<AtomicUsize>,
}

/// A request's share of the pod's slots.
#[derive(Debug)]
pub struct PodSlot {
    _request: Option<OwnedSemaphorePermit>,
    _bytes: OwnedSemaphorePermit,
}

impl PodSlots {
    /// Slots for so many requests and bytes at once.
    #[must_use]
    pub fn new(requests: usize, bytes: u64) -> Self {
        let most_bytes = u32::try_from(bytes).unwrap_or(u32::MAX).max(1);
        let most_requests = requests.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            requests: Arc::new(Semaphore::new(most_requests)),
            bytes: Arc::new(Semaphore::new(most_bytes as usize)),
            most_requests,
            most_bytes,
            holders: Arc::default(),
        }
    }

    /// Waits up to `patience` for room for a body of `bytes`; `None` when there was none in time. A subscriber's
    /// first request waits for bytes alone: however many others hang, each is served.
    pub async fn take(&self, bytes: usize, first: bool, patience: Duration) -> Option<PodSlot> {
        let share = self.share(bytes);
        let both = async {
            let request = match Arc::clone(&self.requests).try_acquire_owned() {
                Ok(request) => Some(request),
                Err(_) if first => None,
                Err(_) => Some(Arc::clone(&self.requests).acquire_owned().await.ok()?),
            };
            let bytes = Arc::clone(&self.bytes).acquire_many_owned(share).await.ok()?;
            Some(PodSlot {
                _request: request,
                _bytes: bytes,
            })
        };
        tokio::time::timeout(patience, both).await.ok().flatten()
    }

    /// Takes room for a body of `bytes` if there is any now for a drain with `running` requests.
    #[must_use]
    pub fn try_take(&self, bytes: usize, running: usize) -> Option<PodSlot> {
        if running > 0 && !self.used_requests().spares(running, self.holders()) {
            return None;
        }
        Some(PodSlot {
            _request: Some(Arc::clone(&self.requests).try_acquire_owned().ok()?),
            _bytes: Arc::clone(&self.bytes).try_acquire_many_owned(self.share(bytes)).ok()?,
        })
    }

    pub(super) fn holders(&self) -> usize {
        self.holders.load(Ordering::Relaxed)
    }

    fn used_requests(&self) -> Shared {
        used(&self.requests, self.most_requests)
    }

    fn used_bytes(&self) -> Shared {
        used(&self.bytes, self.most_bytes as usize)
    }

    /// A body larger than all there is takes all there is.
    fn share(&self, bytes: usize) -> u32 {
        u32::try_from(bytes).unwrap_or(u32::MAX).clamp(1, self.most_bytes)
    }
}

/// What one subscriber holds of it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Held {
    /// Requests under way.
    pub requests: usize,
    /// Bytes of their bodies.
    pub bytes: usize,
    /// Room of the lanes that their events take until they are settled, in shares of 8 KiB.
    pub room: usize,
}

impl Held {
    /// Takes away what one request held.
    pub fn give_back(&mut self, one: Self) {
        self.requests -= one.requests;
        self.bytes -= one.bytes;
        self.room -= one.room;
    }
}

/// What is shared, as one lane sees it.
#[derive(Debug)]
pub struct Commons<'a> {
    /// The pod's slots.
    pub pod: &'a PodSlots,
    /// The lane's room for events.
    pub room: &'a Semaphore,
    /// All of that room.
    pub most_room: usize,
}

impl Commons<'_> {
    /// Whether a subscriber that holds this much may have one more request under way. One always may.
    #[must_use]
    pub fn spares(&self, held: Held) -> bool {
        let holders = self.pod.holders();
        held.requests == 0
            || self.pod.used_requests().spares(held.requests, holders)
                && self.pod.used_bytes().spares(held.bytes, holders)
                && used(self.room, self.most_room).spares(held.room, holders)
    }

    /// Whether events take so much of the room that none should wait for a subscriber that is silent.
    #[must_use]
    pub fn is_crowded(&self) -> bool {
        used(self.room, self.most_room).is_scarce()
    }

    pub(super) fn holders(&self) -> &Arc<AtomicUsize> {
        &self.pod.holders
    }
}

fn used(free: &Semaphore, most: usize) -> Shared {
    Shared {
        used: most.saturating_sub(free.available_permits()),
        most,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::ZERO;

    #[tokio::test]
    async fn a_body_larger_than_the_pod_takes_all_of_it() {
        let pod = PodSlots::new(2, 100);
        let all = pod.take(1_000_000, false, NOW).await.expect("alone it fits");
        assert!(pod.try_take(1, 0).is_none());
        drop(all);
        assert!(pod.try_take(60, 0).is_some());
    }

    #[tokio::test]
    async fn a_first_request_needs_no_slot_of_the_pod() {
        let pod = PodSlots::new(1, 100);
        let _held = pod.take(1, false, NOW).await.expect("free");
        assert!(pod.take(1, false, NOW).await.is_none());
        let _first = pod.take(1, true, NOW).await.expect("its own");
        assert!(
            pod.take(99, true, NOW).await.is_none(),
            "bytes are bounded all the same"
        );
    }

    #[tokio::test]
    async fn each_bound_alone_holds_those_back_who_have_their_part() {
        let held = |requests, bytes, room| Held { requests, bytes, room };
        let room = Semaphore::new(100);
        let pod = PodSlots::new(100, 100);
        pod.holders.store(10, Ordering::Relaxed);
        let commons = Commons {
            pod: &pod,
            room: &room,
            most_room: 100,
        };
        let hog = held(5, 5, 5);
        assert!(commons.spares(hog) && !commons.is_crowded());
        {
            let _half = room.acquire_many(50).await.expect("open");
            assert!(!commons.spares(hog) && commons.is_crowded());
            assert!(commons.spares(held(5, 5, 4)) && commons.spares(held(0, 0, 0)));
        }
        {
            let _half = pod.bytes.acquire_many(50).await.expect("open");
            assert!(!commons.spares(hog) && commons.spares(held(5, 4, 5)));
        }
        let _half = pod.requests.acquire_many(50).await.expect("open");
        assert!(!commons.spares(hog) && commons.spares(held(4, 5, 5)));
        assert!(pod.try_take(1, 5).is_none() && pod.try_take(1, 4).is_some());
    }
}
