//! When a subscription's service ends: its retry policy says so, or it answered 410.
//!
//! Suspending keeps what is parked; removing is what `TerminateAfterRetries` asks for. Neither is done for an answer of
//! a destination that is not the subscription's any more.

use tracing::warn;

use super::lane::Lane;
use super::persist::persist;
use crate::domain::retry::End;
use crate::domain::subscription::Subscription;

/// Acts on a delivery's number of failed attempts, as the subscription's policy says; true when it ended.
pub(super) async fn after_attempts(lane: &Lane, subscription: &Subscription, attempts: u32) -> bool {
    let Some(end) = lane.pod.policy(subscription).ends_after(attempts) else {
        return false;
    };
    let id = &subscription.id;
    match end {
        End::Suspend => {
            suspend(
                lane,
                subscription,
                &format!("{attempts} attempts failed (SuspendRetries)"),
            )
            .await
        }
        End::Remove => {
            let destination = subscription.shown_destination();
            let removed = persist("removing a subscription", &lane.partition, || {
                lane.pod.store.remove_at(id, &subscription.destination)
            })
            .await;
            if removed {
                warn!(subscription = %id, destination, attempts, "removed with all that was parked for it: TerminateAfterRetries");
            }
        }
    }
    true
}

/// The subscriber answered 410.
pub(super) async fn gone(lane: &Lane, sent_to: &Subscription) {
    suspend(lane, sent_to, "the subscriber answered 410 Gone").await;
}

/// Says that a circuit has opened: one line per outage.
pub(super) fn unavailable(subscription: &Subscription, error: &str) {
    warn!(
        subscription = %subscription.id, destination = subscription.shown_destination(), error,
        "subscriber unavailable: its deliveries are parked and it is probed once per wait period"
    );
}

/// Suspends a subscription, unless it is suspended already or was moved since the answer was asked for.
async fn suspend(lane: &Lane, sent_to: &Subscription, reason: &str) {
    let store = &lane.pod.store;
    let suspended = persist("suspending a subscription", &lane.partition, || {
        store.suspend_at(&sent_to.id, &sent_to.destination, reason)
    })
    .await;
    if suspended {
        warn!(subscription = %sent_to.id, reason, "suspended: its events are kept until someone resumes it");
    }
}
