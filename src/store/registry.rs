//! The subscriptions, shared by all pods: one hash, id to JSON, with a version that grows at every change.

mod service;

use std::collections::HashMap;
use std::sync::Arc;

use fred::prelude::*;
use rand::Rng;

use super::Store;
use super::circuits::Wake;
use super::error::StoreError;
use super::keys::{self, SETTINGS_FIELD, VERSION_FIELD};
use super::partition::measured;
use super::scripts::REGISTER;
use crate::domain::ids::SubscriptionId;
use crate::domain::service::ServiceSettings;
use crate::domain::subscription::{State, Subscription};

/// What the script answers where there are as many entries as may be.
const FULL: i64 = -2;

/// All subscriptions at one version.
#[derive(Debug, Clone, Default)]
pub struct Registry {
    /// Grows with every change.
    pub version: u64,
    /// Ordered by id.
    pub subscriptions: Vec<Arc<Subscription>>,
    /// Ids whose JSON can't be read, with the reason.
    pub unreadable: Vec<(String, String)>,
    /// What was set for the whole service at run time; the defaults where that can't be read.
    pub settings: ServiceSettings,
    /// Why it can't be read.
    pub spoilt_settings: Option<String>,
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
        if let Some(json) = fields.remove(SETTINGS_FIELD) {
            match serde_json::from_str(&json) {
                Ok(settings) => registry.settings = settings,
                Err(error) => registry.spoilt_settings = Some(error.to_string()),
            }
        }
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
        self.add(subscription, None).await
    }

    /// The same where there are fewer than `most` subscriptions in the step that would store it.
    ///
    /// # Errors
    /// When Redis can't be reached, the id is taken, or [`StoreError::Full`].
    pub async fn add_subscription_within(
        &self,
        most: usize,
        subscription: Subscription,
    ) -> Result<Subscription, StoreError> {
        self.add(subscription, Some(most)).await
    }

    async fn add(&self, subscription: Subscription, most: Option<usize>) -> Result<Subscription, StoreError> {
        let id = subscription.id.clone();
        let added = self.change_within(most, &id, |known| match known {
            Some(_) => Err(StoreError::Taken(id.clone())),
            None => Ok(Some(subscription.clone())),
        });
        added.await?.ok_or_else(|| StoreError::Unknown(id.clone()))
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
        self.try_update_subscription(id, |subscription| {
            edit(subscription);
            Ok::<_, StoreError>(())
        })
        .await
    }

    /// The same with an edit that may refuse, in the step that would store it: the subscription that it looks at is
    /// the one that is replaced.
    ///
    /// # Errors
    /// What the edit answers; when Redis can't be reached, or there is no such subscription.
    pub async fn try_update_subscription<E: From<StoreError>>(
        &self,
        id: &SubscriptionId,
        edit: impl Fn(&mut Subscription) -> Result<(), E>,
    ) -> Result<Subscription, E> {
        let before = self
            .subscription(id)
            .await?
            .ok_or_else(|| StoreError::Unknown(id.clone()))?;
        let after = self
            .change(id, |known| {
                let mut subscription = known.ok_or_else(|| StoreError::Unknown(id.clone()))?;
                edit(&mut subscription)?;
                Ok::<_, E>(Some(subscription))
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
        self.try_remove_subscription(id, |_| Ok(())).await
    }

    /// The same where `allow` has nothing against it, in the step that would remove it: the subscription that it looks
    /// at is the one that is removed.
    ///
    /// # Errors
    /// What `allow` answers; when Redis can't be reached. Safe to repeat.
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
        for partition in self.partitions() {
            partition.remove(id).await?;
        }
        Ok(is_known)
    }

    /// Takes a stream out: nothing is parked for it, so nothing else is to be removed.
    pub(super) async fn forget_stream(&self, id: &SubscriptionId) -> Result<(), StoreError> {
        if self.subscription(id).await?.is_some() {
            self.change::<StoreError>(id, |_| Ok(None)).await?;
        }
        Ok(())
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
    pub(super) async fn change<E: From<StoreError>>(
        &self,
        id: &SubscriptionId,
        edit: impl Fn(Option<Subscription>) -> Result<Option<Subscription>, E>,
    ) -> Result<Option<Subscription>, E> {
        self.change_within(None, id, edit).await
    }

    /// The same; a new one is refused where there are `most` already.
    async fn change_within<E: From<StoreError>>(
        &self,
        most: Option<usize>,
        id: &SubscriptionId,
        edit: impl Fn(Option<Subscription>) -> Result<Option<Subscription>, E>,
    ) -> Result<Option<Subscription>, E> {
        self.change_field(most, id.as_str(), |version, json| {
            let known = json.map(|json| self.read(id, &json)).transpose()?;
            let changed = edit(known)?.map(|mut subscription| {
                subscription.version = version + 1;
                subscription
            });
            let json = match &changed {
                Some(subscription) => written(&self.sealer.seal_all(subscription)?)?,
                None => String::new(),
            };
            Ok((json, changed))
        })
        .await
    }

    /// Reads, edits and writes one field of the registry, again when somebody else wrote in between. The edit gets
    /// the registry's version and the field, and answers what is to be stored (nothing deletes) and what it is. What
    /// is stored already is not written. A new field is refused where there are `most` already.
    async fn change_field<T, E: From<StoreError>>(
        &self,
        most: Option<usize>,
        field: &str,
        edit: impl Fn(u64, Option<String>) -> Result<(String, T), E>,
    ) -> Result<T, E> {
        let key = self.registry_key();
        loop {
            let client = self.connection.client();
            let (version, json): (Option<u64>, Option<String>) =
                measured("HMGET", client.hmget(&key, vec![VERSION_FIELD, field])).await?;
            let version = version.unwrap_or(0);
            let known = json.clone();
            let (json, changed) = edit(version, json)?;
            // A new version makes every pod read all of it.
            if known.as_ref() == Some(&json) {
                return Ok(changed);
            }
            let mut args: Vec<Value> = vec![version.try_into().unwrap_or(Value::Null), field.into(), json.into()];
            args.extend(most.map(|most| Value::from(most.to_string())));
            let written: i64 = measured(
                "register",
                REGISTER.evalsha_with_reload(client, vec![key.as_str()], args),
            )
            .await?;
            match written {
                0.. => return Ok(changed),
                FULL => return Err(StoreError::Full.into()),
                _ => {}
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

fn written(value: &impl serde::Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::answer("what can be written as JSON", &error))
}

fn read(id: &SubscriptionId, json: &str) -> Result<Subscription, StoreError> {
    serde_json::from_str(json).map_err(|error| StoreError::Subscription {
        id: id.clone(),
        problem: error.to_string(),
    })
}
