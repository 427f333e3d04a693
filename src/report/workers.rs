//! The workers of a deployment, and how long ago each was heard of.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use crate::store::{Store, StoreError};

/// One worker.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct WorkerRow {
    /// Its name, unique per start.
    pub name: String,
    /// One word: `alive`, `silent` or `left`.
    pub state: &'static str,
    /// Age of its last heartbeat, in the partition where that is oldest; absent when it left.
    pub heartbeat_age_ms: Option<u64>,
}

/// All workers that are known, those in trouble first. `now_ms` is Redis' clock.
///
/// # Errors
/// When Redis can't be reached.
pub async fn workers(store: &Store, now_ms: u64, dead_after: Duration) -> Result<Vec<WorkerRow>, StoreError> {
    let mut oldest: BTreeMap<String, u64> = BTreeMap::new();
    for partition in store.partitions() {
        for (name, beat) in partition.heartbeats().await? {
            oldest
                .entry(name)
                .and_modify(|known| *known = beat.min(*known))
                .or_insert(beat);
        }
    }
    let mut rows: Vec<WorkerRow> = oldest
        .into_iter()
        .map(|(name, beat)| row(name, beat, now_ms, dead_after))
        .collect();
    rows.sort_by_key(|row| match row.state {
        "silent" => 0,
        "alive" => 1,
        _ => 2,
    });
    Ok(rows)
}

fn row(name: String, beat: u64, now_ms: u64, dead_after: Duration) -> WorkerRow {
    let age = now_ms.saturating_sub(beat);
    let (state, age) = match beat {
        0 => ("left", None),
        _ if u128::from(age) <= dead_after.as_millis() => ("alive", Some(age)),
        _ => ("silent", Some(age)),
    };
    WorkerRow {
        name,
        state,
        heartbeat_age_ms: age,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_lives_is_silent_or_left() {
        let state = |beat| row("w".to_owned(), beat, 50_000, Duration::from_secs(10));
        assert_eq!(
            (state(40_000).state, state(40_000).heartbeat_age_ms),
            ("alive", Some(10_000))
        );
        assert_eq!(state(39_999).state, "silent");
        assert_eq!((state(0).state, state(0).heartbeat_age_ms), ("left", None));
        assert_eq!(state(60_000).heartbeat_age_ms, Some(0));
    }
}
