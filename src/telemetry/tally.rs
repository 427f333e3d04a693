//! What the requests to one subscriber come to in this process.
//!
//! The worker counts here, an atomic addition or three a request; the loop that publishes the gauges takes what was
//! counted since its last look, and [`super::subscriptions`] decides under which label it is shown.

use std::ops::AddAssign;
use std::sync::atomic::{AtomicU64, Ordering};

use super::labels::Outcome;

const OUTCOMES: usize = Outcome::ALL.len();

/// Counts the requests to one subscriber.
#[derive(Debug, Default)]
pub struct Tally {
    ended: [AtomicU64; OUTCOMES],
    delivered: AtomicU64,
    under_way: AtomicU64,
}

/// One request under way, until it is dropped.
#[derive(Debug)]
pub struct UnderWay<'a>(&'a Tally);

/// What a [`Tally`] had counted at one look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    ended: [u64; OUTCOMES],
    /// Deliveries that its requests brought: one may carry several, and several may be needed for one.
    pub delivered: u64,
    /// Requests under way at the moment.
    pub in_flight: u64,
}

impl Tally {
    /// A request starts; drop the guard when it ended, however it did.
    #[must_use]
    pub fn begin(&self) -> UnderWay<'_> {
        self.under_way.fetch_add(1, Ordering::Relaxed);
        UnderWay(self)
    }

    /// What was counted since the last call.
    pub fn take(&self) -> Traffic {
        Traffic {
            ended: std::array::from_fn(|outcome| self.ended[outcome].swap(0, Ordering::Relaxed)),
            delivered: self.delivered.swap(0, Ordering::Relaxed),
            in_flight: self.under_way.load(Ordering::Relaxed),
        }
    }
}

impl UnderWay<'_> {
    /// It was answered, or given up, and was for so many deliveries.
    pub fn ended(self, outcome: Outcome, deliveries: usize) {
        self.0.ended[outcome as usize].fetch_add(1, Ordering::Relaxed);
        if outcome == Outcome::Delivered {
            let deliveries = u64::try_from(deliveries).unwrap_or(u64::MAX);
            self.0.delivered.fetch_add(deliveries, Ordering::Relaxed);
        }
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Traffic {
    /// Every outcome with how many requests came to it.
    pub fn outcomes(&self) -> impl Iterator<Item = (Outcome, u64)> {
        Outcome::ALL.iter().copied().zip(self.ended)
    }
}

impl AddAssign for Traffic {
    fn add_assign(&mut self, more: Self) {
        for (ended, more) in self.ended.iter_mut().zip(more.ended) {
            *ended = ended.saturating_add(more);
        }
        self.delivered = self.delivered.saturating_add(more.delivered);
        self.in_flight = self.in_flight.saturating_add(more.in_flight);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_taken_once_and_one_that_was_cut_short_not_at_all() {
        let tally = Tally::default();
        let (first, second, cut_short) = (tally.begin(), tally.begin(), tally.begin());
        first.ended(Outcome::Delivered, 7);
        let taken = tally.take();
        assert_eq!((taken.in_flight, taken.delivered), (2, 7));
        assert_eq!(taken.outcomes().next(), Some((Outcome::Delivered, 1)));

        second.ended(Outcome::Refused, 3);
        drop(cut_short);
        let mut rest = tally.take();
        assert_eq!((rest.in_flight, rest.delivered), (0, 0));
        assert_eq!(rest.outcomes().map(|(_, n)| n).collect::<Vec<_>>(), [0, 0, 1, 0]);
        rest += taken;
        assert_eq!(rest.outcomes().map(|(_, n)| n).collect::<Vec<_>>(), [1, 0, 1, 0]);
        assert_eq!((rest.in_flight, rest.delivered), (2, 7));
        assert_eq!(tally.take(), Traffic::default());
    }
}
