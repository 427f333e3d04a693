//! Slots: bounds on how many requests run at once, for each subscriber and for the pod.
//!
//! At a bound a direct delivery waits for a while and is parked after that; it is never given up. A
//! subscriber that hangs sinks to one slot, so it can't starve the others.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::domain::limit::Limit;

/// The slots of one subscriber in this pod.
#[derive(Debug)]
pub struct SubscriberSlots {
    free: Arc<Semaphore>,
    state: Mutex<State>,
    /// Somebody waited in vain since the last success: who comes now needn't wait for nothing.
    stuck: AtomicBool,
}

#[derive(Debug)]
struct State {
    limit: Limit,
    /// Slots in the semaphore, free or taken.
    issued: u32,
    /// Taken slots that are to vanish when they are given back, since the limit sank.
    surplus: u32,
}

/// One taken slot of a subscriber.
#[derive(Debug)]
pub struct Slot {
    slots: Arc<SubscriberSlots>,
    permit: Option<OwnedSemaphorePermit>,
}

impl SubscriberSlots {
    /// Slots that start at one and may grow to `most`.
    #[must_use]
    pub fn new(most: u32) -> Arc<Self> {
        Arc::new(Self {
            free: Arc::new(Semaphore::new(1)),
            state: Mutex::new(State {
                limit: Limit::new(most),
                issued: 1,
                surplus: 0,
            }),
            stuck: AtomicBool::new(false),
        })
    }

    /// Waits up to `patience` for a slot; `None` when there was none in time.
    pub async fn take(self: &Arc<Self>, patience: Duration) -> Option<Slot> {
        let slot = |permit| Slot {
            slots: Arc::clone(self),
            permit: Some(permit),
        };
        if let Ok(permit) = Arc::clone(&self.free).try_acquire_owned() {
            return Some(slot(permit));
        }
        if self.stuck.load(Ordering::Relaxed) {
            return None;
        }
        match tokio::time::timeout(patience, Arc::clone(&self.free).acquire_owned()).await {
            Ok(Ok(permit)) => Some(slot(permit)),
            _ => {
                self.stuck.store(true, Ordering::Relaxed);
                None
            }
        }
    }

    /// A request was answered in time: one slot more.
    pub fn succeeded(&self) {
        self.stuck.store(false, Ordering::Relaxed);
        self.adjust(Limit::succeeded);
    }

    /// A request hung until its deadline: half the slots.
    pub fn timed_out(&self) {
        self.adjust(Limit::timed_out);
    }

    /// Sets another maximum.
    pub fn set_most(&self, most: u32) {
        self.adjust(|limit| limit.set_most(most));
    }

    fn adjust(&self, change: impl FnOnce(&mut Limit)) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut state.limit);
        let target = state.limit.get();
        let effective = state.issued - state.surplus;
        if target > effective {
            let revived = state.surplus.min(target - effective);
            state.surplus -= revived;
            let added = target - effective - revived;
            state.issued += added;
            self.free.add_permits(added as usize);
        } else if target < effective {
            let removed = u32::try_from(self.free.forget_permits((effective - target) as usize)).unwrap_or(0);
            state.issued -= removed;
            state.surplus += effective - target - removed;
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut state = self.slots.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.surplus == 0 {
            return;
        }
        state.surplus -= 1;
        state.issued -= 1;
        if let Some(permit) = self.permit.take() {
            permit.forget();
        }
    }
}

/// The slots of the whole pod: requests and bytes of their bodies.
#[derive(Debug)]
pub struct PodSlots {
    requests: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
    most_bytes: u32,
}

/// A request's share of the pod's slots.
#[derive(Debug)]
pub struct PodSlot {
    _request: OwnedSemaphorePermit,
    _bytes: OwnedSemaphorePermit,
}

impl PodSlots {
    /// Slots for so many requests and bytes at once.
    #[must_use]
    pub fn new(requests: usize, bytes: u64) -> Self {
        let most_bytes = u32::try_from(bytes).unwrap_or(u32::MAX).max(1);
        Self {
            requests: Arc::new(Semaphore::new(requests.clamp(1, Semaphore::MAX_PERMITS))),
            bytes: Arc::new(Semaphore::new(most_bytes as usize)),
            most_bytes,
        }
    }

    /// Waits up to `patience` for room for a body of `bytes`; `None` when there was none in time.
    pub async fn take(&self, bytes: usize, patience: Duration) -> Option<PodSlot> {
        let share = self.share(bytes);
        let both = async {
            let request = Arc::clone(&self.requests).acquire_owned().await.ok()?;
            let bytes = Arc::clone(&self.bytes).acquire_many_owned(share).await.ok()?;
            Some(PodSlot {
                _request: request,
                _bytes: bytes,
            })
        };
        tokio::time::timeout(patience, both).await.ok().flatten()
    }

    /// Takes room for a body of `bytes` if there is any now.
    #[must_use]
    pub fn try_take(&self, bytes: usize) -> Option<PodSlot> {
        Some(PodSlot {
            _request: Arc::clone(&self.requests).try_acquire_owned().ok()?,
            _bytes: Arc::clone(&self.bytes).try_acquire_many_owned(self.share(bytes)).ok()?,
        })
    }

    /// A body larger than all there is takes all there is.
    fn share(&self, bytes: usize) -> u32 {
        u32::try_from(bytes).unwrap_or(u32::MAX).clamp(1, self.most_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::ZERO;

    #[tokio::test]
    async fn successes_open_slots_and_timeouts_close_them() {
        let slots = SubscriberSlots::new(4);
        let first = slots.take(NOW).await.expect("the first");
        assert!(slots.take(NOW).await.is_none());
        slots.succeeded();
        slots.succeeded();
        let second = slots.take(NOW).await.expect("grown to three");
        let third = slots.take(NOW).await.expect("grown to three");
        assert!(slots.take(NOW).await.is_none());

        slots.timed_out();
        drop((first, second));
        assert!(slots.take(NOW).await.is_none(), "sank to one, which is taken");
        drop(third);
        assert!(slots.take(NOW).await.is_some());
    }

    #[tokio::test]
    async fn nobody_waits_behind_a_subscriber_that_is_stuck() {
        let slots = SubscriberSlots::new(4);
        let held = slots.take(NOW).await.expect("free");
        assert!(slots.take(Duration::from_millis(1)).await.is_none());
        let started = tokio::time::Instant::now();
        assert!(slots.take(Duration::from_secs(60)).await.is_none());
        assert!(started.elapsed() < Duration::from_secs(30));
        drop(held);
        assert!(slots.take(NOW).await.is_some(), "a free slot is taken all the same");
    }

    #[tokio::test]
    async fn a_body_larger_than_the_pod_takes_all_of_it() {
        let pod = PodSlots::new(2, 100);
        let all = pod.take(1_000_000, NOW).await.expect("alone it fits");
        assert!(pod.try_take(1).is_none());
        drop(all);
        assert!(pod.try_take(60).is_some());
    }

    #[tokio::test]
    async fn a_lower_maximum_takes_slots_away() {
        let slots = SubscriberSlots::new(16);
        (0..20).for_each(|_| slots.succeeded());
        slots.set_most(2);
        let taken = (slots.take(NOW).await, slots.take(NOW).await);
        assert!(taken.0.is_some() && taken.1.is_some() && slots.take(NOW).await.is_none());
    }
}
