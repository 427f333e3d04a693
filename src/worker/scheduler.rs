//! Re-injects due subscriptions: sleeps until the next wake-up, then moves what is due.
//!
//! Every worker runs one; the script decides who moves what (invariant 6), so there is no leader to lose.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tracing::warn;

use super::lane::Lane;
use crate::store::StoreError;
use crate::telemetry::metrics;

const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(250);

/// Schedules until the pod is to be quiet.
pub async fn run(lane: Arc<Lane>) {
    let mut failing = false;
    while !lane.pod.quiet.is_cancelled() {
        let sleep = match step(&lane).await {
            Ok(sleep) => {
                failing = false;
                sleep
            }
            Err(error) => {
                if !failing && !error.is_disconnected() {
                    warn!(partition = lane.partition.index, %error, "re-injecting failed; going on");
                }
                failing = true;
                PAUSE_AFTER_ERROR
            }
        };
        tokio::select! {
            () = lane.partition.alarm.sleep_until(Instant::now() + sleep) => {}
            () = lane.pod.quiet.cancelled() => {}
        }
    }
}

/// Moves what is due; answers how long there is nothing to do.
///
/// # Errors
/// When Redis can't be reached.
pub async fn step(lane: &Lane) -> Result<Duration, StoreError> {
    let moved = lane.partition.reinject().await?;
    metrics::redeliveries(u64::try_from(moved.lateness.len()).unwrap_or(u64::MAX));
    for late in &moved.lateness {
        metrics::reinjection_lateness(Duration::from_millis(*late));
    }
    let longest = lane.pod.config.worker.scheduler_sleep.0;
    Ok(moved
        .next_in
        .map_or(longest, |ms| Duration::from_millis(ms).min(longest)))
}
