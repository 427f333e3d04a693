//! Whose deliveries a redelivery is about, and what becomes of it where that can't be told.

use std::sync::Arc;

use tracing::{info, warn};

use super::reports::fetch_one;
use crate::domain::ids::SubscriptionId;
use crate::store::StoreError;
use crate::store::drain::{Failure, Fetched, Redelivery};
use crate::worker::catalog::Subscriber;
use crate::worker::lane::Lane;
use crate::worker::persist::persist;
use crate::worker::registry;

/// What is known of a subscription.
pub(super) enum Whose {
    /// It is served.
    Subscriber(Arc<Subscriber>),
    /// It was removed.
    Removed,
    /// What is stored can't be read, or the whole registry is lost: nothing can be sent, and nothing is given up.
    Unknown(String),
}

/// Looks a subscription up.
pub(super) async fn find(lane: &Lane, id: &SubscriptionId) -> Whose {
    persist("reading a subscription", &lane.partition, || async {
        match look_up(lane, id).await {
            Err(error @ (StoreError::Subscription { .. } | StoreError::RegistryLost { .. })) => {
                Ok(Whose::Unknown(error.to_string()))
            }
            found => found,
        }
    })
    .await
}

async fn look_up(lane: &Lane, id: &SubscriptionId) -> Result<Whose, StoreError> {
    // It may have been woken because its destination changed: what this pod knew is of no use then.
    registry::step(&lane.pod).await?;
    loop {
        if let Some(subscriber) = lane.pod.subscriber(id).await? {
            return Ok(Whose::Subscriber(subscriber));
        }
        if lane.pod.store.are_registered(&[id.as_str()]).await? == [false] {
            return Ok(Whose::Removed);
        }
    }
}

/// The subscription is not in the registry: what was parked for it by a pod that had not noticed goes too.
pub(super) async fn drop_orphans(lane: &Lane, redelivery: &Redelivery) {
    info!(subscription = %redelivery.subscription, "the subscription was removed: dropping what was parked for it");
    persist("removing a subscription", &lane.partition, || {
        lane.partition.remove(&redelivery.subscription)
    })
    .await;
    fetch_one(lane, redelivery).await;
}

/// Ends the redelivery as a failed probe does: it is tried again after the wait period, and holds no room until then.
pub(super) async fn put_off(lane: &Lane, redelivery: &Redelivery, problem: &str) {
    let subscription = &redelivery.subscription;
    warn!(%subscription, problem, "nothing can be sent for a subscription: its deliveries wait");
    let (parked, failures) = match fetch_one(lane, redelivery).await {
        Fetched::Due { parked, failures, .. } => (parked, failures),
        Fetched::Empty | Fetched::Rest => {
            persist("ending a drain", &lane.partition, || lane.partition.finish(redelivery)).await;
            return;
        }
        Fetched::Lost | Fetched::Done => return,
    };
    let Some(oldest) = parked.first() else { return };
    let policy = lane.pod.service_policy();
    let failure = Failure {
        member: oldest.member,
        wait: policy.wait(failures, rand::random()),
        floor: std::time::Duration::ZERO,
        status: None,
        max_attempts: 0,
        tried: false,
        error: problem.to_owned(),
    };
    persist("reporting a failure", &lane.partition, || {
        lane.partition.failed(redelivery, &failure)
    })
    .await;
}
