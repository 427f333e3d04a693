//! How often something may happen: a rate that holds over ten seconds, so that a burst is no offence.
//!
//! The generic cell rate algorithm: one moment says it all, the one at which everything that was let through would
//! have come at the even rate.

use std::time::Duration;

/// What may come at once after a quiet time is what the rate allows in this.
const BURST: Duration = Duration::from_secs(10);

/// An allowance of so many a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Between two at the even rate.
    interval: Duration,
}

/// How much of an allowance is used up: a moment, since whatever the caller counts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Used(Duration);

impl Rate {
    /// So many a second; `None` for 0, which sets no limit.
    #[must_use]
    pub fn per_second(number: u32) -> Option<Self> {
        let interval = Duration::from_secs(1).checked_div(number)?;
        Some(Self { interval })
    }

    /// Lets one more through at `now`.
    ///
    /// # Errors
    /// How long until one is let through, when it is not now; nothing is used up then.
    pub fn admit(self, used: &mut Used, now: Duration) -> Result<(), Duration> {
        let next = used.0.max(now) + self.interval;
        let ahead = next.saturating_sub(now);
        if ahead > BURST {
            return Err(ahead - BURST);
        }
        used.0 = next;
        Ok(())
    }
}

impl Used {
    /// Whether nothing of the allowance is used at `now`: there is nothing to remember.
    #[must_use]
    pub fn is_none(self, now: Duration) -> bool {
        self.0 <= now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admitted(rate: Rate, used: &mut Used, now: Duration, offered: usize) -> usize {
        (0..offered).filter(|_| rate.admit(used, now).is_ok()).count()
    }

    #[test]
    fn a_burst_of_ten_seconds_and_then_the_rate() {
        let rate = Rate::per_second(5).expect("a rate");
        let mut used = Used::default();
        let at = Duration::from_secs;
        assert_eq!(admitted(rate, &mut used, at(100), 1_000), 50);
        assert_eq!(rate.admit(&mut used, at(100)), Err(Duration::from_millis(200)));
        assert_eq!(admitted(rate, &mut used, at(101), 1_000), 5);
        assert_eq!(admitted(rate, &mut used, at(104), 1_000), 15);
        assert!(!used.is_none(at(113)) && used.is_none(at(114)));
        assert_eq!(admitted(rate, &mut used, at(200), 1_000), 50);
    }

    #[test]
    fn no_rate_is_no_limit() {
        assert_eq!(Rate::per_second(0), None);
        let rate = Rate::per_second(u32::MAX);
        assert!(rate.is_none_or(|rate| rate.admit(&mut Used::default(), Duration::ZERO).is_ok()));
    }
}
