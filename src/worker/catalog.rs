//! The subscriptions as this pod knows them: the index for matching, and each subscriber's slots.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use crate::config::Delivery;
use crate::domain::ids::SubscriptionId;
use crate::domain::index::Index;
use crate::domain::subscription::Subscription;
use crate::store::registry::Registry;
use crate::telemetry::tally::Tally;

use super::envelope::Envelope;
use super::slots::SubscriberSlots;

/// All subscriptions at one version.
#[derive(Debug, Default)]
pub struct Catalog {
    /// The registry's version; `None` before the first load.
    pub version: Option<u64>,
    /// Finds the subscriptions that want an event.
    pub index: Index,
    subscribers: HashMap<SubscriptionId, Arc<Subscriber>>,
}

/// A subscription with what this pod keeps for it between deliveries.
#[derive(Debug)]
pub struct Subscriber {
    /// What it asked for.
    pub subscription: Arc<Subscription>,
    /// Its slots in this pod; they outlive changes of the subscription.
    pub slots: Arc<SubscriberSlots>,
    /// Its requests in this pod, for the metrics; it outlives changes as well.
    pub tally: Arc<Tally>,
    /// Requests at once from one pod.
    pub max_in_flight: u32,
    /// Made with the first request: most of ten thousand subscriptions need none between two changes.
    envelope: OnceLock<Result<Envelope, String>>,
}

impl Subscriber {
    /// A subscriber with the slots it had, if it was known.
    #[must_use]
    pub fn new(subscription: Arc<Subscription>, settings: &Delivery, known: Option<&Self>) -> Self {
        let max_in_flight = subscription.max_in_flight.unwrap_or(settings.max_in_flight).max(1);
        let slots = known.map_or_else(
            || SubscriberSlots::new(max_in_flight),
            |known| {
                known.slots.set_most(max_in_flight);
                Arc::clone(&known.slots)
            },
        );
        Self {
            subscription,
            slots,
            tally: known.map(|known| Arc::clone(&known.tally)).unwrap_or_default(),
            max_in_flight,
            envelope: OnceLock::new(),
        }
    }

    /// What its requests have in common; else why none can be made.
    ///
    /// # Errors
    /// As [`Envelope::new`].
    pub fn envelope(&self) -> Result<&Envelope, &String> {
        self.envelope.get_or_init(|| Envelope::new(&self.subscription)).as_ref()
    }
}

impl Catalog {
    /// The next catalog, with the slots of the one before.
    #[must_use]
    pub fn build(registry: &Registry, settings: &Delivery, before: &Self) -> Self {
        let subscribers = registry
            .subscriptions
            .iter()
            .map(|subscription| {
                let known = before.subscribers.get(&subscription.id).map(Arc::as_ref);
                let subscriber = Subscriber::new(Arc::clone(subscription), settings, known);
                (subscription.id.clone(), Arc::new(subscriber))
            })
            .collect();
        Self {
            version: Some(registry.version),
            index: Index::new(registry.subscriptions.iter().cloned()),
            subscribers,
        }
    }

    /// A subscriber by its id.
    #[must_use]
    pub fn get(&self, id: &SubscriptionId) -> Option<&Arc<Subscriber>> {
        self.subscribers.get(id)
    }

    /// Ids of all subscriptions.
    pub fn ids(&self) -> impl Iterator<Item = &SubscriptionId> {
        self.subscribers.keys()
    }

    /// All subscribers.
    pub fn subscribers(&self) -> impl Iterator<Item = &Arc<Subscriber>> {
        self.subscribers.values()
    }
}
