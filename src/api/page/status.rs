//! `/status.json`: the report of `holdfast status`, with what only the page shows.
//!
//! However many subscriptions there are, an answer lists the worst of those that match the filter, and counts
//! the rest.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::board::Look;
use crate::report::{DeadLetterRow, Row, Sample, Totals, WorkerRow};

/// Rows that an answer lists unless it is asked for fewer.
const MOST: usize = 100;
/// Workers that an answer lists.
const MOST_WORKERS: usize = 50;

/// What is asked for.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Wish {
    /// Only subscriptions with this text in their id, destination, state or last error.
    #[serde(default)]
    filter: String,
    /// At most so many.
    most: Option<usize>,
}

#[derive(Serialize)]
struct Status<'a> {
    version: &'static str,
    /// Redis' clock, ms since the epoch.
    now_ms: u64,
    /// The worst that match the filter.
    subscriptions: Vec<Row<'a>>,
    /// How many match it.
    matching: usize,
    /// How all subscriptions stand.
    states: States,
    totals: Totals,
    workers: &'a [WorkerRow],
    /// Those known, listed or not.
    workers_known: usize,
    /// Age of the oldest parked delivery of all.
    oldest_parked_age_ms: Option<u64>,
    /// The latest.
    dead_letters: Vec<DeadLetter<'a>>,
    /// Totals of the last minutes, oldest first:
    /// `[time, events accepted, deliveries delivered, deliveries parked, events in the stream]`.
    history: Vec<(u64, i64, i64, i64, u64)>,
}

/// A dead letter, with where it was to go.
#[derive(Serialize)]
struct DeadLetter<'a> {
    #[serde(flatten)]
    row: &'a DeadLetterRow,
    /// Absent once the subscription was removed.
    destination: Option<String>,
}

/// How many subscriptions are in each state.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
struct States {
    unavailable: usize,
    behind: usize,
    suspended: usize,
    delivering: usize,
}

impl Look {
    /// The answer.
    pub(super) fn status(&self, wish: &Wish, history: &[Sample]) -> Value {
        let view = self.report.view(self.before.as_deref());
        let states = States::of(&view.subscriptions);
        let mut subscriptions = view.subscriptions;
        let ages = subscriptions.iter().filter_map(|row| row.circuit.oldest_age_ms);
        let oldest_parked_age_ms = ages.max();
        let dead_letters = self.dead_letters.iter().map(|row| DeadLetter::new(row, &subscriptions));
        let dead_letters = dead_letters.collect();
        let filter = wish.filter.trim().to_lowercase();
        if !filter.is_empty() {
            subscriptions.retain(|row| matches(row, &filter));
        }
        let matching = subscriptions.len();
        subscriptions.truncate(wish.most.unwrap_or(MOST).min(MOST));
        let status = Status {
            version: env!("CARGO_PKG_VERSION"),
            now_ms: view.now_ms,
            subscriptions,
            matching,
            states,
            totals: view.totals,
            workers: self.workers.get(..MOST_WORKERS).unwrap_or(&self.workers),
            workers_known: self.workers.len(),
            oldest_parked_age_ms,
            dead_letters,
            history: history.iter().map(point).collect(),
        };
        serde_json::to_value(status).unwrap_or(Value::Null)
    }
}

impl<'a> DeadLetter<'a> {
    fn new(row: &'a DeadLetterRow, subscriptions: &[Row<'_>]) -> Self {
        let known = subscriptions
            .iter()
            .find(|known| Some(known.id) == row.subscription.as_deref());
        Self {
            row,
            destination: known.map(|known| known.destination.clone()),
        }
    }
}

impl States {
    fn of(rows: &[Row<'_>]) -> Self {
        let mut states = Self::default();
        for row in rows {
            *match row.circuit.delivery {
                "unavailable" => &mut states.unavailable,
                "behind" => &mut states.behind,
                "suspended" => &mut states.suspended,
                _ => &mut states.delivering,
            } += 1;
        }
        states
    }
}

fn point(sample: &Sample) -> (u64, i64, i64, i64, u64) {
    (
        sample.at_ms,
        sample.accepted,
        sample.delivered,
        sample.parked,
        sample.events,
    )
}

/// Whether a row has the text, which is in lower case, in what it shows.
fn matches(row: &Row<'_>, filter: &str) -> bool {
    let shown = [row.id, &row.destination, row.circuit.delivery, row.circuit.last_error];
    shown.iter().any(|text| text.to_lowercase().contains(filter))
}
