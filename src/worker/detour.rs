//! Which backup of a subscriber accepted last. It is asked first for a while, so that a destination that hangs costs
//! its whole deadline once in that while and not with every delivery.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How long a backup is asked before the destination.
const LASTS: Duration = Duration::from_secs(10);

/// The way around a destination that is unavailable.
#[derive(Debug, Default)]
pub struct Detour(Mutex<Option<(usize, Instant)>>);

impl Detour {
    /// The place of the backup to ask first at `now`.
    #[must_use]
    pub fn at(&self, now: Instant) -> Option<usize> {
        let detour = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        detour
            .filter(|(_, since)| now.duration_since(*since) < LASTS)
            .map(|(place, _)| place)
    }

    /// A backup accepted where the destination did not.
    pub fn begin(&self, place: usize, now: Instant) {
        self.set(Some((place, now)));
    }

    /// The backup did not accept either.
    pub fn end(&self) {
        self.set(None);
    }

    fn set(&self, detour: Option<(usize, Instant)>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = detour;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_destination_is_asked_first_again_after_a_while() {
        let (detour, now) = (Detour::default(), Instant::now());
        assert_eq!(detour.at(now), None);
        detour.begin(1, now);
        assert_eq!(detour.at(now), Some(1));
        assert_eq!(detour.at(now + LASTS), None);
        detour.end();
        assert_eq!(detour.at(now), None);
    }
}
