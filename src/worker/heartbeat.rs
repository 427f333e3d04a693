//! Tells the peers that this worker lives, and learns from the same call who else does.
//!
//! Begins before the first read; a worker that can't beat can't know whether it was taken over.

use std::sync::Arc;

use tokio::time::{Instant, MissedTickBehavior};
use tracing::warn;

use super::lane::Lane;
use crate::store::StoreError;

/// Beats until the task is ended; at shutdown it goes on until everything is settled.
pub async fn run(lane: Arc<Lane>) {
    let mut ticks = tokio::time::interval(lane.pod.config.worker.heartbeat.0);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut failing = false;
    loop {
        ticks.tick().await;
        lane.pod.turned();
        let result = step(&lane).await;
        if let Err(error) = &result
            && !failing
            && !error.is_disconnected()
        {
            warn!(partition = lane.partition.index, %error, "heartbeat failed; nothing is sent on a guess meanwhile");
        }
        failing = result.is_err();
    }
}

/// One heartbeat.
///
/// # Errors
/// When Redis did not store it.
pub async fn step(lane: &Lane) -> Result<(), StoreError> {
    let sent = Instant::now();
    match lane.partition.heartbeat(&lane.pod.name).await {
        Ok(workers) => {
            lane.lease.beat(sent, Instant::now());
            lane.peers.send_replace(workers);
            Ok(())
        }
        Err(error) => {
            lane.lease.broken(Instant::now());
            Err(error)
        }
    }
}
