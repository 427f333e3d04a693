//! Repairs, every minute, what an operator's hand or a crash in the middle of a removal left behind.
//!
//! In normal operation it finds nothing (invariant 3); what it does find is counted and logged.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tracing::{error, warn};

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
    let longest = |id: &SubscriptionId| {
        let policy = catalog.get(id).map(|known| lane.pod.policy(&known.subscription));
        policy.unwrap_or_else(|| lane.pod.service_policy()).longest()
    };
    let repaired = partition.audit(&ids, longest).await?;
    if repaired > 0 {
        warn!(
            partition = partition.index,
            repaired, "repaired subscriptions that nothing would have woken in time"
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
/// subscription that the registry no longer has: no drain finds out about that one while it is suspended. And whoever
/// is in the registry was not removed. What can't be done for one keeps none of the others waiting.
async fn finish_removals(lane: &Lane, troubled: &BTreeSet<String>) -> Result<(), StoreError> {
    let partition = &lane.partition;
    // Before the look at the registry: who is removed leaves that first.
    let tombstones: BTreeSet<String> = partition.tombstones().await?.into_iter().collect();
    let (Some(troubled), Some(removed)) = (registered(lane, troubled).await?, registered(lane, &tombstones).await?)
    else {
        // Where the registry itself is lost, nobody was removed.
        return Ok(());
    };
    let mut result = Ok(());
    for (id, _) in troubled.iter().filter(|(_, is_there)| !is_there) {
        result = result.and(partition.remove(id).await);
    }
    for (id, _) in removed.iter().filter(|(_, is_there)| *is_there) {
        if partition.take_tombstone(id).await? {
            error!(subscription = %id, "it was marked as removed, but is in the registry: it is served again; what came meanwhile and could not be sent at once was dropped");
            metrics::audit_repairs(1);
        }
    }
    let gone: Vec<&SubscriptionId> = removed
        .iter()
        .filter(|(_, is_there)| !is_there)
        .map(|(id, _)| id)
        .collect();
    let names: Vec<&str> = gone.iter().map(|id| id.as_str()).collect();
    let (now, census) = partition.census(&names).await?;
    for (id, _) in gone.iter().zip(census).filter(|(_, left)| left.parked > 0) {
        result = result.and(partition.remove(id).await);
    }
    let before = i64::try_from(now.saturating_sub(TOMBSTONE_MS)).unwrap_or(0);
    partition.sweep_tombstones(before).await?;
    result
}

/// Which of these the registry has; `None` where it is lost.
async fn registered(lane: &Lane, names: &BTreeSet<String>) -> Result<Option<Vec<(SubscriptionId, bool)>>, StoreError> {
    let ids: Vec<SubscriptionId> = names.iter().filter_map(|name| SubscriptionId::new(name).ok()).collect();
    let asked: Vec<&str> = ids.iter().map(SubscriptionId::as_str).collect();
    match lane.pod.store.are_registered(&asked).await {
        Ok(there) => Ok(Some(ids.into_iter().zip(there).collect())),
        Err(StoreError::RegistryLost { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
