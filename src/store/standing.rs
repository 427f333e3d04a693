//! Whether a subscription is there and served: suspended, resumed or removed, first in the registry, then in every
//! partition.
//!
//! What a worker decides on an answer holds only while requests still go where that answer came from.

use std::time::Duration;

use fred::prelude::*;
use jiff::Timestamp;
use url::Url;

use super::Store;
use super::error::StoreError;
use super::keys::VERSION_FIELD;
use super::partition::measured;
use super::registry::Terms;
use crate::domain::ids::SubscriptionId;
use crate::domain::subscription::{State, Subscription};

/// So many ids are looked up in one command.
const ASKED_AT_ONCE: usize = 256;

/// Why a change that was to be made only of what it was decided on was not made.
enum Kept {
    /// It is something else by now.
    AsItIs,
    Failed(StoreError),
}

impl From<StoreError> for Kept {
    fn from(error: StoreError) -> Self {
        Self::Failed(error)
    }
}

impl Store {
    /// Which of these the registry has, in their order, whether or not they can be read.
    ///
    /// # Errors
    /// [`StoreError::RegistryLost`] where there is no registry to ask: who is not in it was not removed; and when Redis
    /// can't be reached.
    pub async fn are_registered(&self, ids: &[&str]) -> Result<Vec<bool>, StoreError> {
        let (client, key) = (self.connection.client(), self.registry_key());
        let mut found = Vec::with_capacity(ids.len());
        for step in ids.chunks(ASKED_AT_ONCE) {
            let fields: Vec<&str> = std::iter::once(VERSION_FIELD).chain(step.iter().copied()).collect();
            let mut values: Vec<Option<Value>> = measured("HMGET", client.hmget(&key, fields)).await?;
            if values.first().is_none_or(Option::is_none) {
                return Err(self.registry_lost());
            }
            found.extend(values.drain(1..).map(|json| json.is_some()));
        }
        Ok(found)
    }

    /// The registry is not there.
    #[must_use]
    pub fn registry_lost(&self) -> StoreError {
        StoreError::RegistryLost {
            key: self.registry_key(),
        }
    }

    /// Whether the registry was lost, rather than never begun, where it has no version: something was wanted before.
    ///
    /// # Errors
    /// When Redis can't be reached.
    pub async fn had_subscriptions(&self) -> Result<bool, StoreError> {
        for partition in self.partitions() {
            if partition.snapshot(Duration::ZERO).await?.ledger.wanted > 0 {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Suspends (with a reason and the time, RFC 3339) or resumes a subscription, in every partition.
    ///
    /// # Errors
    /// When Redis can't be reached, or there is no such subscription. Safe to repeat.
    pub async fn set_state(&self, id: &SubscriptionId, state: State) -> Result<Subscription, StoreError> {
        let subscription = self
            .update_subscription(id, |subscription| subscription.state = state.clone())
            .await?;
        self.apply_state(&subscription).await
    }

    /// Suspends a subscription, unless it is suspended already or requests go elsewhere than to `destination` by now;
    /// whether it did.
    ///
    /// # Errors
    /// When Redis can't be reached. Safe to repeat.
    pub async fn suspend_at(&self, id: &SubscriptionId, destination: &Url, reason: &str) -> Result<bool, StoreError> {
        let state = State::Suspended {
            reason: reason.to_owned(),
            since: Timestamp::now().to_string(),
        };
        let changed = self.change_at(id, destination, |mut known| {
            if known.is_suspended() {
                return Err(Kept::AsItIs);
            }
            known.state = state.clone();
            Ok(Some(known))
        });
        match changed.await {
            Ok(Some(suspended)) => self.apply_state(&suspended).await.map(|_| true),
            Ok(None) | Err(Kept::AsItIs) => Ok(false),
            Err(Kept::Failed(error)) => Err(error),
        }
    }

    /// Makes every partition's circuit agree with the subscription's state, and answers the subscription as it is after
    /// that; older versions change nothing. A circuit that says the opposite by a newer change knows of one that the
    /// registry lost: what the registry has is written anew with a version beyond that.
    ///
    /// # Errors
    /// When Redis can't be reached. Safe to repeat.
    pub async fn apply_state(&self, subscription: &Subscription) -> Result<Subscription, StoreError> {
        let mut subscription = subscription.clone();
        loop {
            let mut newest = None;
            for partition in self.partitions() {
                let circuit = partition.agree(&subscription).await?;
                newest = newest.max(circuit);
            }
            let Some(newest) = newest else { return Ok(subscription) };
            let Some(now) = self.rewrite_beyond(&subscription, newest).await? else {
                return Ok(subscription);
            };
            subscription = now;
        }
    }

    /// The subscription with a version beyond `version`: as somebody else wrote it meanwhile, else written anew.
    /// `None` where it was removed.
    async fn rewrite_beyond(&self, known: &Subscription, version: u64) -> Result<Option<Subscription>, StoreError> {
        let Some(stored) = self.subscription(&known.id).await? else {
            return Ok(None);
        };
        let is_newer = stored.version > version;
        if is_newer || (stored.version == version && stored.is_suspended() != known.is_suspended()) {
            return Ok(Some(stored));
        }
        let terms = Terms {
            beyond: version,
            ..Terms::default()
        };
        self.change_on(terms, &known.id, Ok::<_, StoreError>).await
    }

    /// Removes a subscription and all that is parked for it, whether or not it can be read; false when there was none.
    ///
    /// # Errors
    /// When Redis can't be reached. Safe to repeat.
    pub async fn remove_subscription(&self, id: &SubscriptionId) -> Result<bool, StoreError> {
        let known = self.strike_out(id).await?;
        self.remove_everywhere(id).await?;
        Ok(known)
    }

    /// The same where `allow` has nothing against it, in the step that would remove it: the subscription that it looks
    /// at is the one that is removed.
    ///
    /// # Errors
    /// What `allow` answers; when Redis can't be reached or what is stored can't be read. Safe to repeat.
    pub async fn try_remove_subscription<E: From<StoreError>>(
        &self,
        id: &SubscriptionId,
        allow: impl Fn(&Subscription) -> Result<(), E>,
    ) -> Result<bool, E> {
        let is_known = self.subscription(id).await?.is_some();
        if is_known {
            self.change(id, |known| {
                known.as_ref().map_or(Ok(()), &allow)?;
                Ok::<_, E>(None)
            })
            .await?;
        }
        self.remove_everywhere(id).await?;
        Ok(is_known)
    }

    async fn remove_everywhere(&self, id: &SubscriptionId) -> Result<(), StoreError> {
        for partition in self.partitions() {
            partition.remove(id).await?;
        }
        Ok(())
    }

    /// The same, unless requests go elsewhere than to `destination` by now; whether it was removed.
    ///
    /// # Errors
    /// When Redis can't be reached. Safe to repeat.
    pub async fn remove_at(&self, id: &SubscriptionId, destination: &Url) -> Result<bool, StoreError> {
        match self.change_at(id, destination, |_| Ok(None)).await {
            Ok(_) => {}
            Err(Kept::AsItIs) => return Ok(false),
            Err(Kept::Failed(error)) => return Err(error),
        }
        self.remove_everywhere(id).await?;
        Ok(true)
    }

    /// Takes a subscription out of the registry without a look at what it is; false when there was none.
    async fn strike_out(&self, id: &SubscriptionId) -> Result<bool, StoreError> {
        let gone = self.change_field(Terms::default(), id.as_str(), |_, json| match json {
            Some(_) => Ok((String::new(), ())),
            None => Err(Kept::AsItIs),
        });
        match gone.await {
            Ok(()) => Ok(true),
            Err(Kept::AsItIs) => Ok(false),
            Err(Kept::Failed(error)) => Err(error),
        }
    }

    /// Changes a subscription, or removes it (`None`), if requests still go to `destination` in that step.
    async fn change_at(
        &self,
        id: &SubscriptionId,
        destination: &Url,
        edit: impl Fn(Subscription) -> Result<Option<Subscription>, Kept>,
    ) -> Result<Option<Subscription>, Kept> {
        self.change(id, |known| match known {
            Some(known) if known.destination == *destination => edit(known),
            _ => Err(Kept::AsItIs),
        })
        .await
    }

    /// Takes a stream out: nothing is parked for it, so nothing else is to be removed.
    pub(super) async fn forget_stream(&self, id: &SubscriptionId) -> Result<(), StoreError> {
        self.strike_out(id).await.map(drop)
    }
}
