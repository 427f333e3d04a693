//! How many requests one subscriber gets at once: additive increase, multiplicative decrease.

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

#[cfg(test)]
mod tests {
    use super::*;

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
