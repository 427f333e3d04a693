//! Watches how full Redis is, so that intake refuses events while what is in can still be parked (invariant 9).
//!
//! One loop a process, started with intake. It looks every 5 s; every second when half full; at once when
//! more than 1 % of the limit was taken in since. Each change of its verdict is logged once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use crate::config;
use crate::store::memory::Memory;
use crate::store::{Store, StoreError};
use crate::telemetry::metrics;

/// Time between looks while there is plenty.
const CALM: Duration = Duration::from_secs(5);
/// Time between looks above [`NEAR`].
const ALERT: Duration = Duration::from_secs(1);
/// However much is taken in, no more often than this.
const SHORTEST: Duration = Duration::from_millis(50);
/// The share of the limit from which looks are more frequent.
const NEAR: f64 = 0.5;
/// One part in so many of the limit, taken in since the last look, makes the next one due.
const PART: u64 = 100;
/// A level is left this far below the share at which it was entered.
const HYSTERESIS: f64 = 0.02;

/// How full Redis is, as far as intake is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    Plenty,
    Warned,
    Refusing,
}

/// What the last look found.
#[derive(Debug, Clone, Copy)]
struct Seen {
    memory: Memory,
    level: Level,
}

/// Decides whether events are taken in.
#[derive(Debug)]
pub struct MemoryGuard {
    store: Arc<Store>,
    warn: f64,
    refuse: f64,
    seen: watch::Sender<Seen>,
    /// Bytes taken in since the last look.
    taken: AtomicU64,
    hurry: Notify,
}

impl MemoryGuard {
    /// A guard that admits everything until its first look.
    #[must_use]
    pub fn new(store: Arc<Store>, settings: &config::Intake) -> Self {
        Self {
            store,
            warn: settings.memory_warn,
            refuse: settings.memory_refuse,
            seen: watch::Sender::new(Seen {
                memory: Memory::default(),
                level: Level::Plenty,
            }),
            taken: AtomicU64::new(0),
            hurry: Notify::new(),
        }
    }

    /// Whether events may be taken in.
    #[must_use]
    pub fn admits(&self) -> bool {
        self.seen.borrow().level != Level::Refusing
    }

    /// `bytes` more were taken in.
    pub fn took(&self, bytes: usize) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        let taken = self.taken.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        let limit = self.seen.borrow().memory.limit;
        if limit > 0 && taken > limit / PART {
            self.look_soon();
        }
    }

    /// Redis says that it is full: the next look is due.
    pub fn look_soon(&self) {
        self.hurry.notify_one();
    }

    /// Looks again and again until `shutdown`.
    pub async fn run(self: Arc<Self>, shutdown: CancellationToken) {
        let looking = async {
            loop {
                if let Err(error) = self.step().await {
                    debug!(%error, "can't see how full Redis is; the last verdict stands");
                }
                sleep(SHORTEST).await;
                let near = self.seen.borrow().memory.ratio() > NEAR;
                // Either way the next look is due.
                let _hurried = timeout(if near { ALERT } else { CALM }, self.hurry.notified()).await;
            }
        };
        shutdown.run_until_cancelled(looking).await;
    }

    /// One look. A deployment with no server in reach tells nothing: the last verdict stands.
    ///
    /// # Errors
    /// When Redis can't be asked.
    pub async fn step(&self) -> Result<(), StoreError> {
        self.taken.store(0, Ordering::Relaxed);
        let memory = self.store.memory().await?;
        if memory.limit == 0 {
            return Ok(());
        }
        let ratio = memory.ratio();
        metrics::set_redis_memory_ratio(ratio);
        let before = self.seen.borrow().level;
        let level = before.next(ratio, self.warn, self.refuse);
        self.seen.send_replace(Seen { memory, level });
        if level != before {
            level.announce(before, memory);
        }
        Ok(())
    }
}

impl Level {
    /// The level at this share of the limit, a little lower on the way down than on the way up.
    fn next(self, ratio: f64, warn: f64, refuse: f64) -> Self {
        let kept = |entered: f64| (entered - HYSTERESIS).max(entered / 2.0);
        if ratio >= refuse || (self == Self::Refusing && ratio >= kept(refuse)) {
            return Self::Refusing;
        }
        if ratio >= warn || (self != Self::Plenty && ratio >= kept(warn)) {
            return Self::Warned;
        }
        Self::Plenty
    }

    fn announce(self, before: Self, memory: Memory) {
        let (used, limit) = (memory.used, memory.limit);
        match self {
            Self::Refusing => error!(
                used,
                limit,
                "Redis is nearly full: events are refused with 503 until there is room; raise its maxmemory, or see \
                 which subscribers are away"
            ),
            Self::Warned if before == Self::Refusing => {
                warn!(
                    used,
                    limit, "Redis has room again: events are taken in; it is still filled above the warning mark"
                );
            }
            Self::Warned => warn!(
                used,
                limit,
                "Redis fills up: intake will refuse events when it is nearly full; raise its maxmemory, or see which \
                 subscribers are away"
            ),
            Self::Plenty => info!(used, limit, "Redis has room again: events are taken in"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_left_below_where_it_was_entered() {
        use Level::{Plenty, Refusing, Warned};
        let walk = [
            (0.59, Plenty),
            (0.60, Warned),
            (0.585, Warned),
            (0.57, Plenty),
            (0.81, Refusing),
            (0.785, Refusing),
            (0.77, Warned),
            (0.79, Warned),
            (0.80, Refusing),
            (0.10, Plenty),
            (0.79, Warned),
        ];
        let mut level = Plenty;
        for (ratio, expected) in walk {
            level = level.next(ratio, 0.6, 0.8);
            assert_eq!(level, expected, "at {ratio}");
        }
    }

    #[test]
    fn a_low_mark_can_be_left_again() {
        assert_eq!(Level::Refusing.next(0.004, 0.005, 0.01), Level::Warned);
        assert_eq!(Level::Refusing.next(0.001, 0.005, 0.01), Level::Plenty);
    }
}
