//! Finds this worker's own entries that it lost sight of: the reply of a read was lost, or a task panicked.
//!
//! Runs every few seconds and after each trouble with a read (invariant 8).

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tracing::{info, warn};

use super::lane::Lane;
use super::persist::Trouble;
use crate::store::StoreError;
use crate::store::events::Stream;
use crate::telemetry::metrics;

/// What was handed out less than this ago may still be on its way.
const SETTLING_IN: Duration = Duration::from_secs(1);
const PAGE: u64 = 512;

/// Sweeps until the pod is to be quiet.
pub async fn run(lane: Arc<Lane>) {
    let mut trouble = Trouble::default();
    loop {
        tokio::select! {
            () = tokio::time::sleep(lane.pod.config.worker.sweep.0) => {}
            () = lane.trouble() => tokio::time::sleep(SETTLING_IN).await,
            () = lane.pod.quiet.cancelled() => return,
        }
        for stream in [Stream::Events, Stream::Redeliveries] {
            let result = step(&lane, stream, SETTLING_IN).await;
            trouble.note("sweeping", &lane.partition, result.map(drop)).await;
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
        let since = Instant::now();
        let page = partition.pending_of(stream, &lane.pod.name, idle, after, PAGE).await?;
        for (id, times) in &page {
            if lane.in_flight.holds(stream, *id) {
                continue;
            }
            match partition.entry(stream, *id, *times).await? {
                Some(entry) => adopted += lane.admit(vec![(stream, entry)], since).await,
                // Settled in between, most likely; it is missing only if it is still pending here.
                None if !partition.owns(stream, *id, &lane.pod.name).await? => {}
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
