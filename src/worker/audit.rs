//! Repairs, every minute, what an operator's hand or a crash in the middle of a removal left behind.
//!
//! In normal operation it finds nothing (invariant 3); what it does find is counted and logged.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tracing::warn;

use super::lane::Lane;
use super::persist::mend;
use crate::domain::ids::SubscriptionId;
use crate::store::StoreError;
use crate::telemetry::metrics;

/// A tombstone stands this long: far longer than any pod can act on an old view of the subscriptions.
const TOMBSTONE_MS: u64 = 24 * 3_600_000;

/// Audits until the pod is to be quiet.
pub async fn run(lane: Arc<Lane>) {
    loop {
        let spread: f64 = rand::random_range(0.8..1.2);
        let pause: Duration = lane.pod.config.worker.audit.0.mul_f64(spread);
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = lane.pod.quiet.cancelled() => return,
        }
        if let Err(error) = step(&lane).await {
            warn!(partition = lane.partition.index, %error, "the audit failed; it runs again");
            mend(&lane.partition, &error).await;
        }
    }
}

/// One audit; answers how many subscriptions it had to repair.
///
/// # Errors
/// When Redis can't be reached.
pub async fn step(lane: &Lane) -> Result<u64, StoreError> {
    let partition = &lane.partition;
    let troubled = partition.troubled().await?;
    let catalog = lane.pod.catalog();
    let ids: BTreeSet<SubscriptionId> = catalog
        .ids()
        .cloned()
        .chain(troubled.iter().filter_map(|id| SubscriptionId::new(id).ok()))
        .collect();
    let ids: Vec<SubscriptionId> = ids.into_iter().collect();
    let repaired = partition.audit(&ids).await?;
    if repaired > 0 {
        warn!(
            partition = partition.index,
            repaired, "repaired subscriptions that nothing would have woken"
        );
        metrics::audit_repairs(repaired);
    }
    agree_on_suspensions(lane, &troubled).await?;
    finish_removals(lane, &troubled).await?;
    Ok(repaired)
}

/// A crash between the registry's change and the circuit's leaves them different; the newer one wins.
async fn agree_on_suspensions(lane: &Lane, troubled: &BTreeSet<String>) -> Result<(), StoreError> {
    let names: Vec<&str> = troubled.iter().map(String::as_str).collect();
    let (_, census) = lane.partition.census(&names).await?;
    let catalog = lane.pod.catalog();
    for (name, row) in names.iter().zip(census) {
        let known = SubscriptionId::new(name).ok().and_then(|id| catalog.get(&id).cloned());
        if let Some(known) = known
            && known.subscription.is_suspended() != row.suspended
        {
            lane.pod.store.apply_state(&known.subscription).await?;
        }
    }
    Ok(())
}

/// A crash in the middle of a removal leaves a tombstone with something parked, or, before there is one, a
/// subscription that the registry no longer has: no drain finds out about that one while it is suspended.
async fn finish_removals(lane: &Lane, troubled: &BTreeSet<String>) -> Result<(), StoreError> {
    let partition = &lane.partition;
    for id in troubled.iter().filter_map(|name| SubscriptionId::new(name).ok()) {
        if lane.pod.subscriber(&id).await?.is_none() {
            partition.remove(&id).await?;
        }
    }
    let names = partition.tombstones().await?;
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let (now, census) = partition.census(&names).await?;
    for (name, _) in names.iter().zip(census).filter(|(_, left)| left.parked > 0) {
        if let Ok(id) = SubscriptionId::new(name) {
            partition.remove(&id).await?;
        }
    }
    let before = i64::try_from(now.saturating_sub(TOMBSTONE_MS)).unwrap_or(0);
    partition.sweep_tombstones(before).await?;
    Ok(())
}
