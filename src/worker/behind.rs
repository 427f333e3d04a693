//! Which subscriptions are behind, as this pod knows it: fetched with every read, by version.
//!
//! An event read after its subscription went behind is never sent directly. What this pod itself saw fail
//! counts at once, before Redis knows it.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

use crate::domain::ids::SubscriptionId;
use crate::store::{Partition, StoreError};

/// The subscriptions that are behind, in one partition.
#[derive(Debug, Default)]
pub struct Behind(Mutex<View>);

#[derive(Debug, Default)]
struct View {
    version: Option<u64>,
    fetched: HashSet<String>,
    /// Failures that are not settled yet, counted.
    failing: HashMap<SubscriptionId, usize>,
}

impl Behind {
    /// Fetches the set if its version changed; must follow each read, before anything of it is sent.
    ///
    /// # Errors
    /// When Redis can't be reached.
    pub async fn refresh(&self, partition: &Partition) -> Result<(), StoreError> {
        let version = partition.behind_version().await?;
        if self.lock().version == Some(version) {
            return Ok(());
        }
        let fetched = partition.behind().await?.into_iter().collect();
        let mut view = self.lock();
        view.fetched = fetched;
        view.version = Some(version);
        Ok(())
    }

    /// Whether new deliveries of a subscription are parked.
    #[must_use]
    pub fn contains(&self, id: &SubscriptionId) -> bool {
        let view = self.lock();
        view.fetched.contains(id.as_str()) || view.failing.contains_key(id)
    }

    /// A delivery failed; until it is settled the subscription counts as behind here.
    pub fn failing(&self, id: &SubscriptionId) {
        *self.lock().failing.entry(id.clone()).or_default() += 1;
    }

    /// That failure has been settled: from now on Redis says so, until the next fetch.
    pub fn settled(&self, id: &SubscriptionId) {
        let mut view = self.lock();
        if let Some(count) = view.failing.get_mut(id) {
            *count -= 1;
            if *count == 0 {
                view.failing.remove(id);
                view.fetched.insert(id.as_str().to_owned());
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, View> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
