//! Everything about a subscription's circuit that is not a drain: scheduling, suspending, removing, repairing.

use std::time::Duration;

use fred::prelude::*;

use super::error::StoreError;
use super::partition::{Partition, measured};
use super::scripts::SCRIPTS;
use super::settle::millis;
use crate::domain::ids::SubscriptionId;
use crate::domain::subscription::Subscription;

/// At most this many deliveries or subscriptions in one script call.
const STEP: usize = 256;

/// What one step of the scheduler did.
#[derive(Debug, Default)]
pub struct Reinjected {
    /// Milliseconds until the next wake-up; `None` when nobody waits.
    pub next_in: Option<u64>,
    /// Wake-ups that are left.
    pub waiting: u64,
    /// How late each re-injection was, in milliseconds.
    pub lateness: Vec<u64>,
}

/// What a wake-up forgets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wake {
    /// Nothing: a floor that a Retry-After set stands.
    Due,
    /// The floor: an operator asked for a probe in spite of it.
    PastFloor,
    /// The floor, the back-off and the refusals in a row: the destination changed.
    Fresh,
}

/// What came of a wake-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Woken {
    /// It was handed to the workers in the same step.
    pub reinjected: bool,
    /// It is due only in so many ms: a floor stands.
    pub due_in_ms: Option<u64>,
}

impl Partition {
    /// Moves due wake-ups into the redelivery stream.
    ///
    /// # Errors
    /// When Redis can't be reached or a key has the wrong type.
    pub async fn reinject(&self) -> Result<Reinjected, StoreError> {
        let most = i64::try_from(STEP).unwrap_or(i64::MAX);
        let (next_in, waiting, lateness): (i64, u64, Vec<u64>) =
            self.call("reinject", &SCRIPTS.reinject, vec![most.into()]).await?;
        Ok(Reinjected {
            next_in: u64::try_from(next_in).ok(),
            waiting,
            lateness,
        })
    }

    /// Makes a subscription that is behind due now.
    ///
    /// # Errors
    /// When Redis can't be reached or a key has the wrong type. Safe to repeat.
    pub async fn wake(&self, subscription: &SubscriptionId, how: Wake) -> Result<Woken, StoreError> {
        let how = match how {
            Wake::Due => "due",
            Wake::PastFloor => "floor",
            Wake::Fresh => "fresh",
        };
        let args = vec![subscription.as_str().into(), how.into()];
        let (soonest, reinjected): (i64, u8) = self.call("wake", &SCRIPTS.wake, args).await?;
        self.alarm.ring_in(soonest);
        Ok(Woken {
            reinjected: reinjected == 1,
            due_in_ms: u64::try_from(soonest).ok(),
        })
    }

    /// Suspends (`true`) or resumes a subscription here; only versions newer than the last take effect.
    ///
    /// # Errors
    /// When Redis can't be reached or a key has the wrong type. Safe to repeat.
    pub async fn set_suspended(
        &self,
        subscription: &SubscriptionId,
        version: u64,
        suspended: bool,
    ) -> Result<bool, StoreError> {
        self.suspend(subscription, version, suspended)
            .await
            .map(|(applied, _)| applied)
    }

    /// Makes the circuit here as suspended as the subscription is. Where it says the opposite by a newer change,
    /// nothing is changed and the version of that is the answer.
    ///
    /// # Errors
    /// When Redis can't be reached or a key has the wrong type. Safe to repeat.
    pub(super) async fn agree(&self, subscription: &Subscription) -> Result<Option<u64>, StoreError> {
        self.suspend(&subscription.id, subscription.version, subscription.is_suspended())
            .await
            .map(|(_, newer)| newer)
    }

    /// Whether it took effect, and the version of the newer change that says the opposite.
    async fn suspend(
        &self,
        subscription: &SubscriptionId,
        version: u64,
        suspended: bool,
    ) -> Result<(bool, Option<u64>), StoreError> {
        let how = if suspended { "suspend" } else { "resume" };
        let version = i64::try_from(version).unwrap_or(i64::MAX);
        let args = vec![subscription.as_str().into(), version.into(), how.into()];
        let (applied, soonest, newer): (u8, i64, i64) = self.call("suspend", &SCRIPTS.suspend, args).await?;
        self.alarm.ring_in(soonest);
        Ok((applied == 1, u64::try_from(newer).ok()))
    }

    /// Removes a subscription from this partition with all that is parked for it.
    ///
    /// # Errors
    /// When Redis can't be reached or a key has the wrong type. Safe to repeat.
    pub async fn remove(&self, subscription: &SubscriptionId) -> Result<(), StoreError> {
        loop {
            let most = i64::try_from(STEP).unwrap_or(i64::MAX);
            let args = vec![subscription.as_str().into(), most.into()];
            let left: u64 = self.call("remove", &SCRIPTS.remove, args).await?;
            if left == 0 {
                return Ok(());
            }
        }
    }

    /// Ids of removed subscriptions whose tombstones still stand.
    ///
    /// # Errors
    /// When Redis can't be reached.
    pub async fn tombstones(&self) -> Result<Vec<String>, StoreError> {
        let client = self.connection.client();
        measured(
            "ZRANGE",
            client.zrange(self.keys.removed(), 0, -1, None, false, None, false),
        )
        .await
    }

    /// Takes a tombstone away that a subscription should not have; false when it had none.
    ///
    /// # Errors
    /// When Redis can't be reached.
    pub async fn take_tombstone(&self, subscription: &SubscriptionId) -> Result<bool, StoreError> {
        let client = self.connection.client();
        let taken: u64 = measured("ZREM", client.zrem(self.keys.removed(), subscription.as_str())).await?;
        Ok(taken == 1)
    }

    /// Drops tombstones older than `before_ms` (milliseconds since the epoch).
    ///
    /// # Errors
    /// When Redis can't be reached.
    pub async fn sweep_tombstones(&self, before_ms: i64) -> Result<u64, StoreError> {
        let client = self.connection.client();
        #[expect(
            clippy::cast_precision_loss,
            reason = "the client takes scores as f64; milliseconds stay exact for 280,000 years"
        )]
        let before = before_ms as f64;
        measured(
            "ZREMRANGEBYSCORE",
            client.zremrangebyscore(self.keys.removed(), f64::NEG_INFINITY, before),
        )
        .await
    }

    /// Repairs subscriptions whose queue nothing would wake within the `longest` that each may have to wait, and drops
    /// bodies without holders; answers how many repairs there were. The subscriptions should be all that are known.
    ///
    /// # Errors
    /// When Redis can't be reached or a key has the wrong type.
    pub async fn audit(
        &self,
        subscriptions: &[SubscriptionId],
        longest: impl Fn(&SubscriptionId) -> Duration,
    ) -> Result<u64, StoreError> {
        let mut repaired = 0;
        for step in subscriptions.chunks(STEP) {
            let args = step
                .iter()
                .flat_map(|id| [Value::from(id.as_str()), millis(longest(id)).into()])
                .collect();
            let (fixed, soonest): (u64, i64) = self.call("audit", &SCRIPTS.audit, args).await?;
            self.alarm.ring_in(soonest);
            repaired += fixed;
        }
        Ok(repaired + self.drop_orphans(subscriptions).await?)
    }

    /// Drops bodies that lost their last holder by an operator's hand, page by page; answers how many.
    async fn drop_orphans(&self, subscriptions: &[SubscriptionId]) -> Result<u64, StoreError> {
        let mut cursor = "0".to_owned();
        let mut dropped = 0;
        loop {
            let ids = subscriptions.iter().map(|id| Value::from(id.as_str()));
            let args = std::iter::once(Value::from(cursor)).chain(ids).collect();
            let (next, mended): (String, u64) = self.call("orphans", &SCRIPTS.orphans, args).await?;
            dropped += mended;
            if next == "0" {
                return Ok(dropped);
            }
            cursor = next;
        }
    }

    /// Version of the set of subscriptions that are behind; it grows with every change.
    ///
    /// # Errors
    /// When Redis can't be reached.
    pub async fn behind_version(&self) -> Result<u64, StoreError> {
        let client = self.connection.client();
        let version: Option<u64> = measured("HGET", client.hget(self.keys.ledger(), "behind_version")).await?;
        Ok(version.unwrap_or(0))
    }

    /// The subscriptions that are behind.
    ///
    /// # Errors
    /// When Redis can't be reached.
    pub async fn behind(&self) -> Result<Vec<String>, StoreError> {
        let client = self.connection.client();
        measured("SMEMBERS", client.smembers(self.keys.behind())).await
    }
}
