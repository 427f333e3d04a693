//! Tells the scheduler of this process that a wake-up was made that is due sooner than it sleeps.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::telemetry::metrics;

/// The soonest wake-up that this process made since the scheduler last looked.
#[derive(Debug, Default)]
pub struct Alarm {
    due: Mutex<Option<Instant>>,
    changed: Notify,
}

impl Alarm {
    /// Notes a wake-up; `millis` below zero, the scripts' "none", is ignored.
    pub fn ring_in(&self, millis: i64) {
        let Ok(millis) = u64::try_from(millis) else { return };
        metrics::wakeups(1);
        let at = Instant::now() + Duration::from_millis(millis);
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        if due.is_none_or(|known| at < known) {
            *due = Some(at);
            self.changed.notify_one();
        }
    }

    /// Sleeps until `limit` or the soonest wake-up noted meanwhile, whichever is first, and forgets it.
    pub async fn sleep_until(&self, limit: Instant) {
        loop {
            let known = *self.due.lock().unwrap_or_else(PoisonError::into_inner);
            let until = known.map_or(limit, |due| due.min(limit));
            tokio::select! {
                () = tokio::time::sleep_until(until) => break,
                () = self.changed.notified() => {}
            }
        }
        *self.due.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_sooner_wake_up_cuts_the_sleep_short() {
        let alarm = Alarm::default();
        let started = Instant::now();
        let limit = started + Duration::from_secs(60);
        tokio::join!(alarm.sleep_until(limit), async {
            alarm.ring_in(-1);
            alarm.ring_in(20);
        });
        assert!(
            started.elapsed() < Duration::from_secs(30),
            "slept {:?}",
            started.elapsed()
        );
    }
}
