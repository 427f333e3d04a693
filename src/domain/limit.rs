//! How many requests one subscriber gets at once: additive increase, multiplicative decrease, and no more than its
//! part of what is scarce.

use std::time::Duration;

/// An in-flight limit that starts at 1, grows by one with every success and is halved on a timeout, so that
/// a slow subscriber sinks to 1 and a fast one rises to its maximum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    now: u32,
    most: u32,
}

impl Limit {
    /// A limit that may grow to `most` (at least 1).
    #[must_use]
    pub fn new(most: u32) -> Self {
        Self {
            now: 1,
            most: most.max(1),
        }
    }

    /// Requests allowed at once now.
    #[must_use]
    pub fn get(self) -> u32 {
        self.now
    }

    /// A request was answered in time. Doubles within as many answers as are in flight: 1, 2, 4, …
    pub fn succeeded(&mut self) {
        self.now = self.now.saturating_add(1).min(self.most);
    }

    /// A request hung until its deadline.
    pub fn timed_out(&mut self) {
        self.now = (self.now / 2).max(1);
    }

    /// Sets another maximum.
    pub fn set_most(&mut self, most: u32) {
        self.most = most.max(1);
        self.now = self.now.min(self.most);
    }

    /// Starts again from 1.
    pub fn restart(&mut self) {
        self.now = 1;
    }
}

/// How many events travel in one message while a subscriber catches up: 1, 2, 4, … so that one that has just come back
/// is not flooded, and half of what was too much for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Growth {
    now: u32,
    most: u32,
}

impl Growth {
    /// One event a message.
    #[must_use]
    pub fn new() -> Self {
        Self { now: 1, most: u32::MAX }
    }

    /// Events allowed in one message now.
    #[must_use]
    pub fn get(self) -> u32 {
        self.now.min(self.most)
    }

    /// A message of so many events was taken.
    pub fn took(&mut self, events: u32) {
        if events >= self.get() {
            self.now = events.saturating_mul(2);
        }
    }

    /// A message of so many was more than the subscriber takes.
    pub fn too_many(&mut self, events: u32) {
        self.most = self.most.min((events / 2).max(1));
    }

    /// Starts again from 1, but for what is known of the most.
    pub fn restart(&mut self) {
        self.now = 1;
    }
}

impl Default for Growth {
    fn default() -> Self {
        Self::new()
    }
}

/// Something that all subscribers share, of which there is only so much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shared {
    /// How much is in use.
    pub used: usize,
    /// How much there is.
    pub most: usize,
}

impl Shared {
    /// Whether half of it is in use.
    #[must_use]
    pub fn is_scarce(self) -> bool {
        self.used >= self.most.div_ceil(2)
    }

    /// Whether one of `holders` that holds `held` gets more. The first half goes to whoever comes; the second is
    /// kept in equal parts for all who hold some. Those who answer give theirs back and get it again; those who
    /// don't are left with it.
    #[must_use]
    pub fn spares(self, held: usize, holders: usize) -> bool {
        !self.is_scarce() || held < self.most / 2 / holders.max(1)
    }
}

/// How much longer an event should wait for a subscriber that has been `silent` for so long with requests under way,
/// after it `waited` already. Where the room for events is `crowded` and the subscriber has let a tenth of the
/// patience pass without an answer, no longer: events for others need the room.
#[must_use]
pub fn worth_waiting(patience: Duration, waited: Duration, silent: Duration, crowded: bool) -> Duration {
    let left = patience.saturating_sub(waited);
    if crowded {
        left.min((patience / 10).saturating_sub(silent))
    } else {
        left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_grow_until_one_is_too_much() {
        let mut growth = Growth::new();
        let mut sizes = Vec::new();
        for _ in 0..4 {
            sizes.push(growth.get());
            growth.took(growth.get());
        }
        growth.took(3);
        assert_eq!(
            (sizes, growth.get()),
            (vec![1, 2, 4, 8], 16),
            "a smaller one says nothing"
        );
        growth.too_many(16);
        growth.took(growth.get());
        assert_eq!(growth.get(), 8, "half of it, and no more");
        growth.restart();
        assert_eq!(growth.get(), 1);
        growth.too_many(2);
        growth.took(1);
        assert_eq!(growth.get(), 1, "one by one");
    }

    #[test]
    fn however_many_hang_those_who_answer_find_room() {
        const MOST: usize = 512;
        for hanging in 1..MOST / 2 {
            // One healthy subscriber holds one; the others take all they get, one after the other and in turn.
            for step in [1, 16] {
                let mut held = vec![0; hanging];
                let mut used = 1;
                while let Some(greedy) = (0..hanging).find(|&one| {
                    held[one] < 16
                        && held[one] <= held.iter().min().map_or(0, |least| least + step)
                        && Shared { used, most: MOST }.spares(held[one], hanging + 1)
                }) {
                    held[greedy] += 1;
                    used += 1;
                }
                assert!(used < MOST, "{hanging} hanging took all");
            }
        }
    }

    #[test]
    fn plenty_goes_to_whoever_comes() {
        let half = |used| Shared { used, most: 100 };
        assert!(half(49).spares(49, 50));
        assert!(!half(50).spares(49, 50));
        assert!(half(50).spares(0, 50) && !half(50).spares(0, 51));
        assert!(half(99).spares(49, 1), "alone it may have the other half");
    }

    #[test]
    fn nobody_waits_for_the_silent_where_it_is_crowded() {
        let ms = Duration::from_millis;
        assert_eq!(worth_waiting(ms(1_000), ms(300), ms(300), false), ms(700));
        assert_eq!(worth_waiting(ms(1_000), ms(300), ms(300), true), ms(0));
        assert_eq!(worth_waiting(ms(1_000), ms(300), ms(40), true), ms(60));
        assert_eq!(worth_waiting(ms(1_000), ms(990), ms(40), true), ms(10));
        assert_eq!(worth_waiting(ms(1_000), ms(1_001), ms(0), false), ms(0));
    }

    #[test]
    fn grows_with_successes_and_sinks_to_one() {
        let mut limit = Limit::new(16);
        assert_eq!(limit.get(), 1);
        (0..3).for_each(|_| limit.succeeded());
        assert_eq!(limit.get(), 4);
        (0..100).for_each(|_| limit.succeeded());
        assert_eq!(limit.get(), 16);
        (0..10).for_each(|_| limit.timed_out());
        assert_eq!(limit.get(), 1);
        limit.succeeded();
        limit.set_most(0);
        assert_eq!(limit.get(), 1);
    }
}
