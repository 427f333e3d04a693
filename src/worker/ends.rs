//! When a subscription's service ends: its retry policy says so, or it answered 410.
//!
//! Suspending keeps what is parked; removing is what `TerminateAfterRetries` asks for.

use jiff::Timestamp;
use tracing::warn;

use super::lane::Lane;
use super::persist::persist;
use crate::domain::ids::SubscriptionId;
use crate::domain::retry::End;
use crate::domain::subscription::{State, Subscription};
use crate::store::StoreError;

/// Acts on a delivery's number of failed attempts, as the subscription's policy says; true when it ended.
pub(super) async fn after_attempts(lane: &Lane, subscription: &Subscription, attempts: u32) -> bool {
    let Some(end) = lane.pod.policy(subscription).ends_after(attempts) else {
        return false;
    };
    let id = &subscription.id;
    match end {
        End::Suspend => suspend(lane, id, &format!("{attempts} attempts failed (SuspendRetries)")).await,
        End::Remove => {
            warn!(subscription = %id, attempts, "removed with all that was parked for it: TerminateAfterRetries");
            persist("removing a subscription", &lane.partition, || {
                lane.pod.store.remove_subscription(id)
            })
            .await;
        }
    }
    true
}

/// The subscriber answered 410.
pub(super) async fn gone(lane: &Lane, id: &SubscriptionId) {
    suspend(lane, id, "the subscriber answered 410 Gone").await;
}

async fn suspend(lane: &Lane, id: &SubscriptionId, reason: &str) {
    warn!(subscription = %id, reason, "suspended: its events are kept until someone resumes it");
    persist("suspending a subscription", &lane.partition, || async {
        let state = State::Suspended {
            reason: reason.to_owned(),
            since: Timestamp::now().to_string(),
        };
        match lane.pod.store.set_state(id, state).await {
            Ok(_) | Err(StoreError::Unknown(_)) => Ok(()),
            Err(error) => Err(error),
        }
    })
    .await;
}
