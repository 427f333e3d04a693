//! Slots: how many requests to one subscriber run at once.
//!
//! At its limit, or where it holds its part of what is scarce in the pod, a direct delivery waits for an answer to
//! another one and is parked when none comes; it is never given up. So a subscriber that hangs starves nobody, not
//! even before its first deadline has passed.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::commons::{Commons, Held};
use crate::domain::limit::{Limit, worth_waiting};

/// The slots of one subscriber in this pod.
#[derive(Debug)]
pub struct SubscriberSlots {
    free: Arc<Semaphore>,
    state: Mutex<State>,
    /// A slot was given back: one that waits for its part of what is shared looks again.
    freed: Notify,
    /// Somebody waited in vain since the last success: who comes now needn't wait for nothing.
    stuck: AtomicBool,
    /// How many events it takes in one message, as far as is known.
    together: AtomicU32,
}

#[derive(Debug)]
struct State {
    limit: Limit,
    /// Slots in the semaphore, free or taken.
    issued: u32,
    /// Taken slots that are to vanish when they are given back, since the limit sank.
    surplus: u32,
    /// What its requests hold of what all subscribers share.
    held: Held,
    /// When a request ended last, or was begun with no other under way.
    heard: Instant,
}

/// One taken slot of a subscriber.
#[derive(Debug)]
pub struct Slot {
    slots: Arc<SubscriberSlots>,
    permit: Option<OwnedSemaphorePermit>,
    holds: Held,
    holders: Arc<AtomicUsize>,
    first: bool,
}

impl Slot {
    /// Whether it was taken while the subscriber had no other.
    #[must_use]
    pub fn is_first(&self) -> bool {
        self.first
    }

    /// The request carries a body of so many bytes.
    pub fn carries(&mut self, bytes: usize) {
        self.slots.lock().held.bytes += bytes;
        self.holds.bytes += bytes;
    }
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
                held: Held::default(),
                heard: Instant::now(),
            }),
            freed: Notify::new(),
            stuck: AtomicBool::new(false),
            together: AtomicU32::new(u32::MAX),
        })
    }

    /// Waits up to `patience` for a slot for an event that takes `room` of its lane; `None` when there was none in
    /// time, or when waiting was not worth the room.
    pub async fn take(self: &Arc<Self>, room: usize, patience: Duration, commons: &Commons<'_>) -> Option<Slot> {
        let wait = (Instant::now(), patience, commons);
        let mut permit = match Arc::clone(&self.free).try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => self.wait(wait, Arc::clone(&self.free).acquire_owned()).await?.ok()?,
        };
        loop {
            match self.hold(permit, room, commons) {
                Ok(slot) => return Some(slot),
                Err(unused) => permit = unused,
            }
            self.wait(wait, self.freed.notified()).await?;
        }
    }

    /// Waits for its turn as long as that is worth the room that the event takes.
    async fn wait<T>(
        &self,
        (since, patience, commons): (Instant, Duration, &Commons<'_>),
        turn: impl Future<Output = T>,
    ) -> Option<T> {
        if self.stuck.load(Ordering::Relaxed) {
            return None;
        }
        tokio::pin!(turn);
        loop {
            let waited = since.elapsed();
            let silent = self.lock().heard.elapsed();
            let worth = worth_waiting(patience, waited, silent, commons.is_crowded());
            if worth.is_zero() {
                self.stuck.store(true, Ordering::Relaxed);
                return None;
            }
            if let Ok(turn) = tokio::time::timeout(worth, &mut turn).await {
                return Some(turn);
            }
        }
    }

    /// Makes a permit a slot, unless the subscriber holds its part already.
    fn hold(
        self: &Arc<Self>,
        permit: OwnedSemaphorePermit,
        room: usize,
        commons: &Commons<'_>,
    ) -> Result<Slot, OwnedSemaphorePermit> {
        let holders = Arc::clone(commons.holders());
        let mut state = self.lock();
        if !commons.spares(state.held) {
            return Err(permit);
        }
        let first = state.held.requests == 0;
        if first {
            state.heard = Instant::now();
            holders.fetch_add(1, Ordering::Relaxed);
        }
        state.held.requests += 1;
        state.held.room += room;
        drop(state);
        // There may be enough for the next one, too.
        self.freed.notify_one();
        Ok(Slot {
            slots: Arc::clone(self),
            permit: Some(permit),
            holds: Held {
                requests: 1,
                bytes: 0,
                room,
            },
            holders,
            first,
        })
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

    /// How many events one message may carry, as far as is known; two are always worth a try.
    #[must_use]
    pub fn most_together(&self) -> u32 {
        self.together.load(Ordering::Relaxed).max(2)
    }

    /// A message of so many events was more than the subscriber takes: from now on at most half of it.
    pub fn too_many_together(&self, events: u32) {
        self.together.fetch_min(events / 2, Ordering::Relaxed);
    }

    /// A message of so many events was taken: a few more are worth a try.
    pub fn took_together(&self, events: u32) {
        let more = events.saturating_add(events / 8 + 1);
        self.together.fetch_max(more, Ordering::Relaxed);
    }

    fn adjust(&self, change: impl FnOnce(&mut Limit)) {
        let mut state = self.lock();
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

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut state = self.slots.lock();
        state.held.give_back(self.holds);
        state.heard = Instant::now();
        if state.held.requests == 0 {
            self.holders.fetch_sub(1, Ordering::Relaxed);
        }
        if state.surplus > 0 {
            state.surplus -= 1;
            state.issued -= 1;
            if let Some(permit) = self.permit.take() {
                permit.forget();
            }
        }
        drop(state);
        self.slots.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::worker::commons::PodSlots;

    const NOW: Duration = Duration::ZERO;

    /// A pod and a lane with room for so much of everything.
    struct Plenty(PodSlots, Semaphore, usize);

    impl Plenty {
        fn of(most: usize) -> Self {
            Self(PodSlots::new(most, 1_000_000), Semaphore::new(most), most)
        }

        async fn take(&self, slots: &Arc<SubscriberSlots>, patience: Duration) -> Option<Slot> {
            let (pod, room, most_room) = (&self.0, &self.1, self.2);
            slots.take(1, patience, &Commons { pod, room, most_room }).await
        }
    }

    #[tokio::test]
    async fn successes_open_slots_and_timeouts_close_them() {
        let (pod, slots) = (Plenty::of(100), SubscriberSlots::new(4));
        let first = pod.take(&slots, NOW).await.expect("the first");
        assert!(pod.take(&slots, NOW).await.is_none());
        slots.succeeded();
        slots.succeeded();
        let second = pod.take(&slots, NOW).await.expect("grown to three");
        let third = pod.take(&slots, NOW).await.expect("grown to three");
        assert!(pod.take(&slots, NOW).await.is_none());
        assert!(first.is_first() && !second.is_first());

        slots.timed_out();
        drop((first, second));
        assert!(pod.take(&slots, NOW).await.is_none(), "sank to one, which is taken");
        drop(third);
        assert!(pod.take(&slots, NOW).await.is_some_and(|slot| slot.is_first()));
    }

    #[tokio::test]
    async fn nobody_waits_behind_a_subscriber_that_is_stuck() {
        let (pod, slots) = (Plenty::of(100), SubscriberSlots::new(4));
        let held = pod.take(&slots, NOW).await.expect("free");
        assert!(pod.take(&slots, Duration::from_millis(1)).await.is_none());
        let started = Instant::now();
        assert!(pod.take(&slots, Duration::from_secs(60)).await.is_none());
        assert!(started.elapsed() < Duration::from_secs(30));
        drop(held);
        assert!(
            pod.take(&slots, NOW).await.is_some(),
            "a free slot is taken all the same"
        );
    }

    #[tokio::test]
    async fn a_lower_maximum_takes_slots_away() {
        let (pod, slots) = (Plenty::of(100), SubscriberSlots::new(16));
        (0..20).for_each(|_| slots.succeeded());
        slots.set_most(2);
        let taken = (pod.take(&slots, NOW).await, pod.take(&slots, NOW).await);
        assert!(taken.0.is_some() && taken.1.is_some() && pod.take(&slots, NOW).await.is_none());
    }

    #[tokio::test]
    async fn where_room_is_scarce_its_part_must_come_back_before_it_gets_more() {
        let (pod, slots) = (Plenty::of(8), SubscriberSlots::new(16));
        (0..20).for_each(|_| slots.succeeded());
        let _half = pod.1.acquire_many(4).await.expect("open");
        let mut held = Vec::new();
        while held.len() < 4 {
            held.push(pod.take(&slots, NOW).await.expect("its part"));
        }
        let hour = Duration::from_secs(3_600);
        let (next, ()) = tokio::join!(pod.take(&slots, hour), async {
            tokio::task::yield_now().await;
            held.pop();
        });
        held.push(next.expect("one was given back"));
        assert!(pod.take(&slots, NOW).await.is_none(), "it holds its part again");
        drop(held);
        assert!(pod.take(&slots, NOW).await.is_some_and(|slot| slot.is_first()));
        assert_eq!(pod.0.holders(), 0, "nobody holds anything any more");
    }
}
