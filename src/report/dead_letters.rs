//! The latest dead letters, without their events.

use serde::Serialize;

use crate::store::{Store, StoreError};

/// One dead letter.
#[derive(Debug, Serialize)]
pub struct DeadLetterRow {
    /// As `holdfast dead-letters show` takes it: `<partition>/<stream id>`.
    pub id: String,
    /// For whom it was; absent for an event that could not be read.
    pub subscription: Option<String>,
    /// When it was given up, ms since the epoch.
    pub given_up_at_ms: u64,
    /// Why.
    pub reason: String,
    /// The last error; empty where there was none.
    pub error: String,
    /// How often it was tried.
    pub attempts: u32,
}

/// At most `most` dead letters, newest first; 16 a partition at most.
///
/// # Errors
/// When Redis can't be reached.
pub async fn latest_dead_letters(store: &Store, most: usize) -> Result<Vec<DeadLetterRow>, StoreError> {
    let mut rows = Vec::new();
    for partition in store.partitions() {
        let obituaries = partition.obituaries(most).await?;
        rows.extend(obituaries.into_iter().map(|letter| DeadLetterRow {
            id: format!("{}/{}", partition.index, letter.id),
            subscription: letter.subscription,
            given_up_at_ms: letter.id.millis,
            reason: letter.reason,
            error: letter.error,
            attempts: letter.attempts,
        }));
    }
    rows.sort_by_key(|row| std::cmp::Reverse(row.given_up_at_ms));
    rows.truncate(most);
    Ok(rows)
}
