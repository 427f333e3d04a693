//! The subscriptions, shared by all pods: one hash, id to JSON, with a version that grows at every change.

use std::collections::HashMap;
use std::sync::Arc;

use fred::prelude::*;
use rand::Rng;

use super::Store;
use super::circuits::Wake;
use super::error::StoreError;
use super::keys::{self, VERSION_FIELD};
use super::partition::measured;
use super::scripts::REGISTER;
use crate::domain::ids::SubscriptionId;
use crate::domain::subscription::{State, Subscription};

/// All subscriptions at one version.
#[derive(Debug, Clone, Default)]
pub struct Registry {
    /// Grows with every change.
    pub version: u64,
    /// Ordered by id.
    pub subscriptions: Vec<Arc<Subscription>>,
    /// Ids whose JSON can't be read, with the reason.
    pub unreadable: Vec<(String, String)>,
}

/// A new random id of ten lowercase letters and digits, so rare that none is ever used again.
#[must_use]
pub fn new_id() -> SubscriptionId {
    const CHARACTERS: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
    let mut rng = rand::rng();
    loop {
        let id: String = (0..10)
            .map(|_| char::from(CHARACTERS[rng.random_range(0..CHARACTERS.len())]))
            .collect();
        if let Ok(id) = SubscriptionId::new(&id) {
            return id;
        }
    }
}

impl Registry {
    /// A subscription by its id.
    #[must_use]
    pub fn get(&self, id: &SubscriptionId) -> Option<&Arc<Subscription>> {
        let at = self.subscriptions.binary_search_by(|known| known.id.cmp(id)).ok()?;
        self.subscriptions.get(at)
    }
}

impl Store {
    /// The registry's version; a reader that knows it need not read the rest.
    ///
    /// # Errors
    /// When Redis can't be reached.
    pub async fn registry_version(&self) -> Result<u64, StoreError> {
        let client = self.connection.client();
        let version: Option<u64> = measured("HGET", client.hget(self.registry_key(), VERSION_FIELD)).await?;
        Ok(version.unwrap_or(0))
    }

    /// All subscriptions.
    ///
    /// # Errors
    /// When Redis can't be reached.
    pub async fn registry(&self) -> Result<Registry, StoreError> {
        let client = self.connection.client();
        let mut fields: HashMap<String, String> = measured("HGETALL", client.hgetall(self.registry_key())).await?;
        let version = fields
            .remove(VERSION_FIELD)
            .and_then(|text| text.parse().ok())
            .unwrap_or(0);
        let mut registry = Registry {
            version,
            ..Registry::default()
        };
        for (id, json) in fields {
            match serde_json::from_str::<Subscription>(&json) {
                Ok(mut subscription) => {
                    self.sealer.open_all(&mut subscription);
                    registry.subscriptions.push(Arc::new(subscription));
                }
                Err(error) => registry.unreadable.push((id, error.to_string())),
            }
        }
        registry.subscriptions.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(registry)
    }

    /// One subscription; `None` where there is none of that id.
    ///
    /// # Errors
    /// When Redis can't be reached or what is stored can't be read.
    pub async fn subscription(&self, id: &SubscriptionId) -> Result<Option<Subscription>, StoreError> {
        let client = self.connection.client();
        let json: Option<String> = measured("HGET", client.hget(self.registry_key(), id.as_str())).await?;
        json.map(|json| self.read(id, &json)).transpose()
    }

    /// Stores a new subscription.
    ///
    /// # Errors
    /// When Redis can't be reached, or the id is taken.
    pub async fn add_subscription(&self, subscription: Subscription) -> Result<Subscription, StoreError> {
        self.change(&subscription.id.clone(), |known| match known {
            Some(_) => Err(StoreError::Taken(subscription.id.clone())),
            None => Ok(Some(subscription.clone())),
        })
        .await?
        .ok_or(StoreError::Unknown(subscription.id))
    }

    /// Changes a subscription; when requests go another way now, what waits for it is tried at once.
    ///
    /// # Errors
    /// When Redis can't be reached, or there is no such subscription.
    pub async fn update_subscription(
        &self,
        id: &SubscriptionId,
        edit: impl Fn(&mut Subscription),
    ) -> Result<Subscription, StoreError> {
        let before = self
            .subscription(id)
            .await?
            .ok_or_else(|| StoreError::Unknown(id.clone()))?;
        let after = self
            .change(id, |known| {
                let mut subscription = known.ok_or_else(|| StoreError::Unknown(id.clone()))?;
                edit(&mut subscription);
                Ok(Some(subscription))
            })
            .await?
            .ok_or_else(|| StoreError::Unknown(id.clone()))?;
        if before.destination != after.destination {
            self.wake_everywhere(id, Wake::Fresh).await?;
        } else if !before.is_sent_like(&after) {
            self.wake_everywhere(id, Wake::Due).await?;
        }
        Ok(after)
    }

    /// Suspends (with a reason and the time, RFC 3339) or resumes a subscription, in every partition.
    ///
    /// # Errors
    /// When Redis can't be reached, or there is no such subscription. Safe to repeat.
    pub async fn set_state(&self, id: &SubscriptionId, state: State) -> Result<Subscription, StoreError> {
        let subscription = self
            .update_subscription(id, |subscription| subscription.state = state.clone())
            .await?;
        self.apply_state(&subscription).await?;
        Ok(subscription)
    }

    /// Makes every partition's circuit agree with the subscription's state; older versions change nothing.
    ///
    /// # Errors
    /// When Redis can't be reached. Safe to repeat.
    pub async fn apply_state(&self, subscription: &Subscription) -> Result<(), StoreError> {
        for partition in self.partitions() {
            partition
                .set_suspended(&subscription.id, subscription.version, subscription.is_suspended())
                .await?;
        }
        Ok(())
    }

    /// Removes a subscription and all that is parked for it; false when there was none.
    ///
    /// # Errors
    /// When Redis can't be reached. Safe to repeat.
    pub async fn remove_subscription(&self, id: &SubscriptionId) -> Result<bool, StoreError> {
        let known = self.subscription(id).await?.is_some();
        if known {
            self.change(id, |_| Ok(None)).await?;
        }
        for partition in self.partitions() {
            partition.remove(id).await?;
        }
        Ok(known)
    }

    /// Makes a subscription due now in every partition where it is behind.
    ///
    /// # Errors
    /// When Redis can't be reached. Safe to repeat.
    pub async fn wake_everywhere(&self, id: &SubscriptionId, how: Wake) -> Result<(), StoreError> {
        for partition in self.partitions() {
            partition.wake(id, how).await?;
        }
        Ok(())
    }

    /// Reads, edits and writes one subscription, again when somebody else wrote in between.
    pub(super) async fn change(
        &self,
        id: &SubscriptionId,
        edit: impl Fn(Option<Subscription>) -> Result<Option<Subscription>, StoreError>,
    ) -> Result<Option<Subscription>, StoreError> {
        let key = self.registry_key();
        loop {
            let client = self.connection.client();
            let (version, json): (Option<u64>, Option<String>) =
                measured("HMGET", client.hmget(&key, vec![VERSION_FIELD, id.as_str()])).await?;
            let version = version.unwrap_or(0);
            let known = json.map(|json| self.read(id, &json)).transpose()?;
            let changed = edit(known)?.map(|mut subscription| {
                subscription.version = version + 1;
                subscription
            });
            let json = match &changed {
                Some(subscription) => serde_json::to_string(&self.sealer.seal_all(subscription)?)
                    .map_err(|error| StoreError::answer("a subscription that can be written", &error))?,
                None => String::new(),
            };
            let args: Vec<Value> = vec![
                version.try_into().unwrap_or(Value::Null),
                id.as_str().into(),
                json.into(),
            ];
            let written: i64 = measured(
                "register",
                REGISTER.evalsha_with_reload(client, vec![key.as_str()], args),
            )
            .await?;
            if written >= 0 {
                return Ok(changed);
            }
        }
    }

    fn read(&self, id: &SubscriptionId, json: &str) -> Result<Subscription, StoreError> {
        let mut subscription = read(id, json)?;
        self.sealer.open_all(&mut subscription);
        Ok(subscription)
    }

    pub(super) fn registry_key(&self) -> String {
        keys::subscriptions(&self.prefix)
    }
}

fn read(id: &SubscriptionId, json: &str) -> Result<Subscription, StoreError> {
    serde_json::from_str(json).map_err(|error| StoreError::Subscription {
        id: id.clone(),
        problem: error.to_string(),
    })
}
