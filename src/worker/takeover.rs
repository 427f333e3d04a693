//! Takes over what dead workers held.
//!
//! A worker is dead when its heartbeat did not move over a dead-after period that this worker itself lived
//! through with unbroken heartbeats, by its own monotonic clock: a pause or restart of Redis, or a jump of
//! its clock, robs nobody (invariant 7).

use std::collections::HashMap;
use std::sync::Arc;

use tokio::time::Instant;
use tracing::{info, warn};

use super::lane::Lane;
use super::persist::Trouble;
use crate::store::StoreError;
use crate::store::workers::Claim;
use crate::telemetry::metrics;

/// Entries taken over in one call, per stream.
const CLAIM: usize = 64;

/// Stands for the score of a worker that never had a heartbeat.
const NO_HEARTBEAT: f64 = -1.0;

/// What this worker has seen of its peers: the last heartbeat and since when it has not moved.
#[derive(Debug, Default)]
pub struct Watch {
    seen: HashMap<String, (f64, Instant)>,
    consumers_read: Option<Instant>,
}

/// Looks at the peers until the pod is to be quiet.
pub async fn run(lane: Arc<Lane>) {
    let (mut watch, mut trouble) = (Watch::default(), Trouble::default());
    let pause = lane.pod.config.worker.heartbeat.0 / 4;
    loop {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = lane.pod.quiet.cancelled() => return,
        }
        let result = step(&lane, &mut watch).await;
        trouble.note("taking over", &lane.partition, result).await;
    }
}

/// Looks once at every peer, and takes over from those that are dead.
///
/// # Errors
/// When Redis can't be reached; nothing was lost, the next step goes on.
pub async fn step(lane: &Arc<Lane>, watch: &mut Watch) -> Result<(), StoreError> {
    let me = &lane.pod.name;
    let peers: Vec<(String, f64)> = lane
        .peers
        .borrow()
        .iter()
        .filter(|(name, _)| name != me)
        .cloned()
        .collect();
    find_silent_consumers(lane, watch, &peers).await?;
    watch.seen.retain(|name, _| peers.iter().any(|(peer, _)| peer == name));
    let now = Instant::now();
    let mut failed = Ok(());
    for (name, beat) in peers {
        let seen = watch.seen.entry(name.clone()).or_insert((beat, now));
        if (seen.0 - beat).abs() >= 1.0 {
            *seen = (beat, now);
        }
        let left = beat == 0.0;
        if left || is_dead(lane, seen.1, now) {
            match take_over(lane, &name, beat).await {
                Ok(()) => drop(watch.seen.remove(&name)),
                Err(error) => failed = Err(error),
            }
        }
    }
    failed
}

fn is_dead(lane: &Lane, unmoved_since: Instant, now: Instant) -> bool {
    let lived_through = lane
        .lease
        .unbroken_since()
        .is_some_and(|since| now.duration_since(since) >= lane.pod.dead_after());
    lived_through && now.duration_since(unmoved_since) >= lane.pod.dead_after()
}

/// A worker can die between joining the group and its first heartbeat: one is made for it, to be watched.
async fn find_silent_consumers(lane: &Lane, watch: &mut Watch, peers: &[(String, f64)]) -> Result<(), StoreError> {
    let due = watch
        .consumers_read
        .is_none_or(|read| read.elapsed() >= lane.pod.dead_after());
    if !due {
        return Ok(());
    }
    watch.consumers_read = Some(Instant::now());
    let me = &lane.pod.name;
    for name in lane.partition.consumers().await? {
        if name != *me && !peers.iter().any(|(peer, _)| *peer == name) {
            lane.partition
                .claim(me, &name, NO_HEARTBEAT, lane.pod.dead_after(), CLAIM)
                .await?;
        }
    }
    Ok(())
}

async fn take_over(lane: &Arc<Lane>, dead: &str, beat: f64) -> Result<(), StoreError> {
    let mut total = 0;
    loop {
        let since = Instant::now();
        let claim = lane
            .partition
            .claim(&lane.pod.name, dead, beat, lane.pod.dead_after(), CLAIM)
            .await?;
        let Claim::Claimed {
            finished,
            gone,
            entries,
        } = claim
        else {
            return Ok(());
        };
        if gone > 0 {
            warn!(
                worker = dead,
                gone,
                "entries that it held are no longer in their stream: someone trimmed or deleted undelivered events"
            );
            metrics::entries_missing(gone);
        }
        total += entries.len();
        metrics::reclaimed(u64::try_from(entries.len()).unwrap_or(u64::MAX));
        lane.admit(entries, since).await;
        if finished || lane.pod.quiet.is_cancelled() {
            break;
        }
    }
    if total > 0 {
        info!(worker = dead, entries = total, "took over from a worker that is gone");
    }
    Ok(())
}
