//! Finds this worker's own entries that it lost sight of: the reply of a read was lost, or a task panicked.
//!
//! Runs every few seconds and after each trouble with a read (invariant 8).

use std::sync::Arc;
use std::time::Duration;

use tracing::{info, warn};

use super::lane::Lane;
use super::persist::mend;
use crate::store::StoreError;
use crate::store::events::Stream;
use crate::telemetry::metrics;

/// What was handed out less than this ago may still be on its way.
const SETTLING_IN: Duration = Duration::from_secs(1);
const PAGE: u64 = 512;

/// Sweeps until the pod is to be quiet.
pub async fn run(lane: Arc<Lane>) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(lane.pod.config.worker.sweep.0) => {}
            () = lane.trouble() => tokio::time::sleep(SETTLING_IN).await,
            () = lane.pod.quiet.cancelled() => return,
        }
        for stream in [Stream::Events, Stream::Redeliveries] {
            if let Err(error) = step(&lane, stream, SETTLING_IN).await {
                mend(&lane.partition, &error).await;
            }
        }
    }
}

/// Looks once through the own pending list; answers how many entries were taken up again.
///
/// # Errors
/// When Redis can't be reached; the next step goes on.
pub async fn step(lane: &Arc<Lane>, stream: Stream, idle: Duration) -> Result<usize, StoreError> {
    let partition = &lane.partition;
    let mut after = None;
    let mut adopted = 0;
    loop {
        let page = partition.pending_of(stream, &lane.pod.name, idle, after, PAGE).await?;
        for (id, times) in &page {
            if lane.in_flight.holds(stream, *id) {
                continue;
            }
            match partition.entry(stream, *id, *times).await? {
                Some(entry) => adopted += lane.admit(vec![(stream, entry)]).await,
                None => {
                    warn!(entry = %id, "a pending entry is no longer in its stream: someone trimmed or deleted it");
                    metrics::entries_missing(1);
                    partition.forget(stream, *id).await?;
                }
            }
        }
        let full = u64::try_from(page.len()).is_ok_and(|len| len == PAGE);
        match page.last() {
            Some((last, _)) if full => after = Some(*last),
            _ => break,
        }
    }
    if adopted > 0 {
        info!(
            ?stream,
            adopted, "took up entries again that this worker had lost sight of"
        );
    }
    Ok(adopted)
}
