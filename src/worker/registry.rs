//! Keeps the pod's view of the subscriptions fresh, and the circuits true to their suspensions.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tracing::{error, info, warn};

use super::catalog::Catalog;
use super::pod::Pod;
use crate::store::StoreError;

/// Refreshes until the task is ended: deliveries in progress at shutdown use it too.
pub async fn run(pod: Arc<Pod>) {
    let mut failing = false;
    loop {
        tokio::time::sleep(pod.config.worker.registry_refresh.0).await;
        let result = step(&pod).await;
        if let Err(error) = &result
            && !failing
            && !error.is_disconnected()
            && !matches!(error, StoreError::RegistryLost { .. })
        {
            warn!(%error, "the subscriptions can't be read; those known stay in force");
        }
        failing = result.is_err();
    }
}

/// Reads them for the first time. While the registry is lost it waits: without subscriptions every event would count
/// as unwanted.
///
/// # Errors
/// When Redis can't be reached.
pub async fn first(pod: &Pod) -> Result<(), StoreError> {
    loop {
        match step(pod).await {
            Err(StoreError::RegistryLost { .. }) => {
                pod.turned();
                tokio::time::sleep(pod.config.worker.registry_refresh.0).await;
            }
            other => return other.map(drop),
        }
    }
}

/// Reads the subscriptions if they changed; true when they did. Where the registry is lost those known stay in force:
/// nobody was removed.
///
/// # Errors
/// When Redis can't be reached; [`StoreError::RegistryLost`] where none are known.
pub async fn step(pod: &Pod) -> Result<bool, StoreError> {
    let _one_at_a_time = pod.loading.lock().await;
    let before = pod.catalog();
    let version = pod.store.registry_version().await?;
    if version > 0 && pod.lost.swap(false, Ordering::Relaxed) {
        info!("the subscriptions are in Redis again");
    }
    if before.version == Some(version) {
        return Ok(false);
    }
    if version == 0 && (before.version.is_some() || pod.store.had_subscriptions().await?) {
        return lost(pod, before.version.is_some());
    }
    load(pod, &before).await
}

/// Says once that the registry is lost.
fn lost(pod: &Pod, is_known: bool) -> Result<bool, StoreError> {
    let error = pod.store.registry_lost();
    if !pod.lost.swap(true, Ordering::Relaxed) {
        let until = if is_known {
            "the registry is lost: the subscriptions known stay in force, and nothing that waits is given up"
        } else {
            "the registry is lost: no event is read until it is back"
        };
        error!(%error, "{until}");
    }
    if is_known { Ok(false) } else { Err(error) }
}

async fn load(pod: &Pod, before: &Catalog) -> Result<bool, StoreError> {
    let registry = pod.store.registry().await?;
    if registry.version == 0 && before.version.is_some() {
        // It went between two looks: the next one says so.
        return Ok(false);
    }
    for (id, reason) in &registry.unreadable {
        warn!(
            subscription = id,
            reason, "a stored subscription can't be read; it gets no events until it is mended"
        );
    }
    if let Some(reason) = &registry.spoilt_settings {
        warn!(
            reason,
            "the service's stored settings can't be read; the configuration is in force until they are set again"
        );
    }
    for subscription in &registry.subscriptions {
        if let Some(locked) = subscription.locked() {
            warn!(
                subscription = %subscription.id,
                reason = %locked, "nothing can be sent to it; its deliveries are parked until that is mended"
            );
        }
    }
    let catalog = Catalog::build(&registry, &pod.config.delivery, before);
    info!(
        version = registry.version,
        subscriptions = registry.subscriptions.len(),
        "subscriptions loaded"
    );
    let changed: Vec<_> = registry
        .subscriptions
        .iter()
        .filter(|now| {
            let was = before
                .get(&now.id)
                .is_some_and(|known| known.subscription.is_suspended());
            was != now.is_suspended()
        })
        .cloned()
        .collect();
    // Before the catalog is in force, so that a circuit is never less suspended than the pod believes; what Redis
    // refuses for good is left to the audit.
    for subscription in changed {
        match pod.store.apply_state(&subscription).await {
            Err(error) if error.is_transient() => return Err(error),
            Err(error) => warn!(subscription = %subscription.id, %error, "its circuit does not follow its state"),
            Ok(_) => {}
        }
    }
    if catalog.settings.enabled != before.settings.enabled {
        if catalog.settings.enabled {
            info!("ServiceEnabled is true: publishing again, first what waited");
        } else {
            warn!("ServiceEnabled is false: nothing is published; events are taken in and wait");
        }
    }
    pod.set_catalog(catalog);
    Ok(true)
}
