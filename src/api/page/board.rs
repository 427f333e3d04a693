//! What the page shows, read from Redis only when somebody looks, and once for all who look.
//!
//! An answer serves for a second, or nine times as long as it took to get: however many subscriptions there are,
//! and however many browsers, the page takes at most a tenth of one connection's time.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use crate::report::{DeadLetterRow, History, Report, Sample, WorkerRow, latest_dead_letters, workers};
use crate::store::{Store, StoreError};

/// The least time for which an answer serves; a little below the period of the page.
const FRESH: Duration = Duration::from_millis(900);
/// An answer serves so many times as long as it took.
const REST: u32 = 9;
/// Redis has this long to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Rates are over so many earlier reports at most,
const REPORTS: usize = 4;
/// and over no more than this, ms: after a pause they begin anew.
const RATE_SPAN_MS: u64 = 20_000;
/// Dead letters shown.
const DEAD_LETTERS: usize = 10;

/// Why there is nothing to show now.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum Absence {
    /// Redis has not answered since this pod started.
    #[error("this pod is starting: Redis has not answered yet")]
    Starting,
    /// Redis does not answer.
    #[error("Redis does not answer: {0}")]
    Away(Arc<StoreError>),
    /// Redis takes too long.
    #[error("Redis does not answer: no answer within 5 s")]
    Slow,
}

/// The state of the deployment at one moment, with an earlier one for the rates.
#[derive(Debug, Clone)]
pub(super) struct Look {
    pub(super) report: Arc<Report>,
    pub(super) before: Option<Arc<Report>>,
    pub(super) workers: Arc<Vec<WorkerRow>>,
    pub(super) dead_letters: Arc<Vec<DeadLetterRow>>,
}

/// Answers all who look.
#[derive(Debug, Default)]
pub(in crate::api) struct Board {
    parts: OnceLock<(Arc<Store>, Duration)>,
    history: Arc<History>,
    last: Mutex<Last>,
}

/// What was read last. Held while it is read anew: those who come meanwhile get the same.
#[derive(Debug, Default)]
struct Last {
    /// Until when it serves.
    until: Option<Instant>,
    look: Option<Result<Look, Absence>>,
    /// Earlier reports, oldest first.
    earlier: VecDeque<Arc<Report>>,
    /// The dead letters and the mark that they were read at.
    dead_letters: Option<([i64; 4], Arc<Vec<DeadLetterRow>>)>,
}

impl Absence {
    /// One word for programs.
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Away(_) | Self::Slow => "redis_away",
        }
    }
}

impl Board {
    /// What to read from now on; only the first call counts.
    pub(in crate::api) fn attach(&self, store: Arc<Store>, dead_after: Duration) {
        self.parts.get_or_init(|| (store, dead_after));
    }

    /// The last minutes, which the gauges record.
    pub(in crate::api) fn recorder(&self) -> Arc<History> {
        Arc::clone(&self.history)
    }

    /// The last minutes.
    pub(super) fn history(&self) -> Vec<Sample> {
        self.history.samples()
    }

    /// The state of everything, at most about a second old, or why it is not known. That serves as long.
    pub(super) async fn look(&self) -> Result<Look, Absence> {
        let Some((store, dead_after)) = self.parts.get() else {
            return Err(Absence::Starting);
        };
        let mut last = self.last.lock().await;
        if let (Some(until), Some(look)) = (last.until, &last.look)
            && Instant::now() < until
        {
            return look.clone();
        }
        let start = Instant::now();
        let look = match timeout(PATIENCE, last.read(store, *dead_after)).await {
            Ok(look) => look.map_err(|error| Absence::Away(Arc::new(error))),
            Err(_) => Err(Absence::Slow),
        };
        let rest = if look.is_ok() { start.elapsed() * REST } else { FRESH };
        last.until = Some(Instant::now() + rest.max(FRESH));
        last.look = Some(look.clone());
        look
    }
}

impl Last {
    async fn read(&mut self, store: &Store, dead_after: Duration) -> Result<Look, StoreError> {
        let report = Arc::new(Report::take(store, dead_after).await?);
        let now_ms = report.now_ms();
        let workers = Arc::new(workers(store, now_ms, dead_after).await?);
        let dead_letters = self.dead_letters(store, report.dead_letters_mark()).await?;
        self.earlier.retain(|earlier| {
            let age = now_ms.checked_sub(earlier.now_ms());
            age.is_some_and(|age| age <= RATE_SPAN_MS)
        });
        let before = self.earlier.front().map(Arc::clone);
        if self.earlier.len() == REPORTS {
            self.earlier.pop_front();
        }
        self.earlier.push_back(Arc::clone(&report));
        Ok(Look {
            report,
            before,
            workers,
            dead_letters,
        })
    }

    /// The latest dead letters, read again only when some came or went: each read copies their events.
    async fn dead_letters(&mut self, store: &Store, mark: [i64; 4]) -> Result<Arc<Vec<DeadLetterRow>>, StoreError> {
        if let Some((known, rows)) = &self.dead_letters
            && *known == mark
        {
            return Ok(Arc::clone(rows));
        }
        let rows = Arc::new(latest_dead_letters(store, DEAD_LETTERS).await?);
        self.dead_letters = Some((mark, Arc::clone(&rows)));
        Ok(rows)
    }
}
