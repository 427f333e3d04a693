//! Brings secrets in Redis under the newest key: after the first key was set, and after each rotation.

use std::collections::HashMap;

use fred::prelude::*;

use super::Store;
use super::error::StoreError;
use super::keys::VERSION_FIELD;
use super::partition::measured;
use crate::domain::ids::SubscriptionId;
use crate::domain::subscription::{LockedSecret, Subscription};

/// How the secrets in Redis are kept. Subscriptions whose JSON can't be read are left out.
#[derive(Debug, Clone, Default)]
pub struct Sealing {
    /// Subscriptions with at least one secret.
    pub with_secrets: usize,
    /// Those of them with one that is plain text.
    pub plain: Vec<SubscriptionId>,
    /// Those with one that is sealed with another key than the newest, and opens.
    pub outdated: Vec<SubscriptionId>,
    /// Those with one that does not open, and why.
    pub locked: Vec<(SubscriptionId, LockedSecret)>,
}

impl Store {
    /// Looks at every secret, ordered by subscription.
    ///
    /// # Errors
    /// When Redis can't be reached.
    pub async fn sealing(&self) -> Result<Sealing, StoreError> {
        let client = self.connection().client();
        let mut fields: HashMap<String, String> = measured("HGETALL", client.hgetall(self.registry_key())).await?;
        fields.remove(VERSION_FIELD);
        let stored = fields.values().filter_map(|json| serde_json::from_str(json).ok());
        let mut stored: Vec<Subscription> = stored.collect();
        stored.sort_by(|a, b| a.id.cmp(&b.id));
        let mut sealing = Sealing::default();
        for subscription in stored {
            self.note_sealing(subscription, &mut sealing);
        }
        Ok(sealing)
    }

    fn note_sealing(&self, mut stored: Subscription, sealing: &mut Sealing) {
        let sealed: Vec<Option<String>> = stored
            .secrets_mut()
            .map(|(_, secret)| secret.closed().map(str::to_owned))
            .collect();
        if sealed.is_empty() {
            return;
        }
        sealing.with_secrets += 1;
        let id = stored.id.clone();
        if sealed.contains(&None) {
            sealing.plain.push(id.clone());
        }
        self.sealer().open_all(&mut stored);
        if let Some(locked) = stored.locked() {
            sealing.locked.push((id, locked));
        } else if sealed.iter().flatten().any(|text| !self.sealer().is_current(text)) {
            sealing.outdated.push(id);
        }
    }

    /// Seals every secret with the newest key that is plain or sealed with an older one; answers how many
    /// subscriptions were written. What does not open stays as it is.
    ///
    /// # Errors
    /// When Redis can't be reached. Safe to repeat.
    pub async fn reseal(&self, sealing: &Sealing) -> Result<usize, StoreError> {
        let mut ids: Vec<&SubscriptionId> = sealing.plain.iter().chain(&sealing.outdated).collect();
        ids.sort();
        ids.dedup();
        let mut written = 0;
        for id in ids {
            if self.change(id, Ok).await?.is_some() {
                written += 1;
            }
        }
        Ok(written)
    }
}
