//! Remembers whether Redis works, so that an outage is logged once and not by everybody who meets it.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Since when Redis can't be used.
#[derive(Debug, Default)]
pub struct Outage(Mutex<Option<Instant>>);

impl Outage {
    /// Something failed; true when this is the first failure of an outage.
    pub fn begin(&self) -> bool {
        let mut since = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let first = since.is_none();
        since.get_or_insert_with(Instant::now);
        first
    }

    /// Something worked; how long the outage was, if there was one.
    pub fn end(&self) -> Option<Duration> {
        let since = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        since.map(|since| since.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_begins_and_ends_once() {
        let outage = Outage::default();
        assert!(outage.end().is_none());
        assert!(outage.begin() && !outage.begin());
        assert!(outage.end().is_some() && outage.end().is_none());
    }
}
