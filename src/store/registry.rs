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
use crate::domain::subscription::Subscription;

/// What the script answers where there are as many entries as may be.
const FULL: i64 = -2;

/// On what terms something is written.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Terms {
    /// Its version is beyond this one too: somebody has seen that.
    pub(super) beyond: u64,
    /// What is new is refused where there are so many already.
    pub(super) most: Option<usize>,
}

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
    /// The registry's version; a reader that knows it need not read the rest. 0 where there is no registry: nothing
    /// was ever stored, or it was lost. Nothing that is removed leaves it without a version.
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
        let terms = Terms {
            most,
            ..Terms::default()
        };
        let added = self.change_on(terms, &id, |known| match known {
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
        self.change_on(Terms::default(), id, edit).await
    }

    /// The same on some terms.
    pub(super) async fn change_on<E: From<StoreError>>(
        &self,
        terms: Terms,
        id: &SubscriptionId,
        edit: impl Fn(Option<Subscription>) -> Result<Option<Subscription>, E>,
    ) -> Result<Option<Subscription>, E> {
        self.change_field(terms, id.as_str(), |version, json| {
            let known = json.map(|json| self.read(id, &json)).transpose()?;
            let changed = edit(known)?.map(|mut subscription| {
                subscription.version = version;
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
    /// the version that the registry will have and the field, and answers what is to be stored (nothing deletes) and
    /// what it is. What is stored already is not written.
    pub(super) async fn change_field<T, E: From<StoreError>>(
        &self,
        terms: Terms,
        field: &str,
        edit: impl Fn(u64, Option<String>) -> Result<(String, T), E>,
    ) -> Result<T, E> {
        let key = self.registry_key();
        loop {
            let client = self.connection.client();
            let (version, json): (Option<u64>, Option<String>) =
                measured("HMGET", client.hmget(&key, vec![VERSION_FIELD, field])).await?;
            let version = version.unwrap_or(0);
            let next = version.max(terms.beyond).saturating_add(1);
            let known = json.clone();
            let (json, changed) = edit(next, json)?;
            // A new version makes every pod read all of it.
            if known.as_ref() == Some(&json) {
                return Ok(changed);
            }
            let number = |number: u64| number.try_into().unwrap_or(Value::Null);
            let mut args: Vec<Value> = vec![number(version), field.into(), json.into(), number(next)];
            args.extend(terms.most.map(|most| Value::from(most.to_string())));
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
