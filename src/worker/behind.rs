//! Which subscriptions are behind, as this pod knows it: fetched with every read, by version.
//!
//! An event read after its subscription went behind is never sent directly. What this pod itself saw fail
//! counts at once, before Redis knows it.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use crate::domain::ids::SubscriptionId;
use crate::store::{Partition, StoreError};

/// The subscriptions that are behind, in one partition.
#[derive(Debug, Clone, Default)]
pub struct Behind {
    view: Arc<Mutex<View>>,
    /// Held while it is fetched, so that an older set never replaces a newer one.
    fetching: Arc<tokio::sync::Mutex<()>>,
}

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
        let _one_at_a_time = self.fetching.lock().await;
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

    /// A settlement opened the circuit: what this pod still holds is parked, too.
    pub fn opened(&self, id: &SubscriptionId) {
        self.lock().fetched.insert(id.as_str().to_owned());
    }

    /// A delivery failed: while the mark is held the subscription counts as behind here.
    #[must_use]
    pub fn failing(&self, id: &SubscriptionId) -> Failing {
        *self.lock().failing.entry(id.clone()).or_default() += 1;
        Failing {
            behind: self.clone(),
            id: id.clone(),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, View> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A failure that is not settled yet. Dropped with an event that another worker took over, it leaves no trace.
#[derive(Debug)]
pub struct Failing {
    behind: Behind,
    id: SubscriptionId,
}

impl Failing {
    /// The failure has been settled: from now on Redis says that the subscription is behind, until the next fetch.
    pub fn settled(self) {
        self.behind.opened(&self.id);
    }
}

impl Drop for Failing {
    fn drop(&mut self) {
        let mut view = self.behind.lock();
        if let Some(count) = view.failing.get_mut(&self.id) {
            *count -= 1;
            if *count == 0 {
                view.failing.remove(&self.id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_counts_until_it_is_settled_or_given_up() {
        let behind = Behind::default();
        let id = SubscriptionId::new("s").expect("an id");
        let (first, second) = (behind.failing(&id), behind.failing(&id));
        drop(first);
        assert!(behind.contains(&id));
        drop(second);
        assert!(!behind.contains(&id));
        behind.failing(&id).settled();
        assert!(behind.contains(&id));
    }
}
