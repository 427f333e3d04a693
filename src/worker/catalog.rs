//! The subscriptions as this pod knows them: the index for matching, and each subscriber's slots.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use crate::config::Delivery;
use crate::domain::ids::SubscriptionId;
use crate::domain::index::Index;
use crate::domain::service::ServiceSettings;
use crate::domain::subscription::Subscription;
use crate::store::registry::Registry;
use crate::telemetry::tally::Tally;

use super::detour::Detour;
use super::envelope::Envelope;
use super::slots::SubscriberSlots;

/// Events are remembered for so much longer: a worker learns a moment late that a stream was opened again.
const LONGER_MS: u64 = 60_000;

/// All subscriptions at one version; streams are none to the worker, for nothing is sent to them.
#[derive(Debug, Default)]
pub struct Catalog {
    /// The registry's version; `None` before the first load.
    pub version: Option<u64>,
    /// Finds the subscriptions that want an event.
    pub index: Index,
    /// What was set at run time for all of them.
    pub settings: ServiceSettings,
    subscribers: HashMap<SubscriptionId, Arc<Subscriber>>,
    /// What clients hold open.
    streams: Vec<Arc<Subscription>>,
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
    /// The way around its destination; it outlives changes that leave destination and backups as they are.
    pub detour: Arc<Detour>,
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
        let same_ways = known.filter(|known| goes_the_same_ways(&known.subscription, &subscription));
        Self {
            detour: same_ways.map(|known| Arc::clone(&known.detour)).unwrap_or_default(),
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

/// Whether a detour of one is one of the other.
fn goes_the_same_ways(one: &Subscription, other: &Subscription) -> bool {
    one.destination == other.destination && one.backup_destinations == other.backup_destinations
}

impl Catalog {
    /// The next catalog, with the slots of the one before.
    #[must_use]
    pub fn build(registry: &Registry, settings: &Delivery, before: &Self) -> Self {
        let (streams, wanted): (Vec<_>, Vec<_>) = registry.subscriptions.iter().partition(|of| of.is_stream());
        let subscribers = wanted
            .iter()
            .map(|subscription| {
                let known = before.subscribers.get(&subscription.id).map(Arc::as_ref);
                let subscriber = Subscriber::new(Arc::clone(*subscription), settings, known);
                (subscription.id.clone(), Arc::new(subscriber))
            })
            .collect();
        Self {
            version: Some(registry.version),
            index: Index::new(wanted.into_iter().cloned()),
            settings: registry.settings,
            subscribers,
            streams: streams.into_iter().cloned().collect(),
        }
    }

    /// Whether any client holds a stream open.
    #[must_use]
    pub fn is_streaming(&self) -> bool {
        !self.streams.is_empty()
    }

    /// The event streams that clients hold open.
    #[must_use]
    pub fn streams(&self) -> &[Arc<Subscription>] {
        &self.streams
    }

    /// Whether events are remembered for streams: one is open, or was a while ago and may resume. `now_ms` is the
    /// time since the epoch by Redis' clock; where that is not known yet, any that was open may resume.
    #[must_use]
    pub fn remembers(&self, now_ms: Option<u64>) -> bool {
        let until_ms = self.settings.streams.until_ms;
        let may_resume = |now_ms| now_ms < until_ms.saturating_add(LONGER_MS);
        self.is_streaming() || (until_ms > 0 && now_ms.is_none_or(may_resume))
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

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;
    use crate::config::Config;

    #[test]
    fn a_detour_ends_with_the_ways_that_it_is_about() {
        let settings = Config::default().delivery;
        let of = |edit: fn(&mut Subscription)| {
            let url = "http://127.0.0.1:1/".parse().expect("a URL");
            let id = SubscriptionId::new("s").expect("an id");
            let mut subscription = Subscription::new(id, url, String::new());
            edit(&mut subscription);
            Arc::new(subscription)
        };
        let (known, now) = (Subscriber::new(of(|_| {}), &settings, None), Instant::now());
        known.detour.begin(0, now);
        for (edit, place) in [
            (
                (|to| to.name = Some("same ways".to_owned())) as fn(&mut Subscription),
                Some(0),
            ),
            (
                |to| to.destination = "http://127.0.0.1:2/".parse().expect("a URL"),
                None,
            ),
            (
                |to| {
                    to.backup_destinations
                        .push("http://127.0.0.1:2/".parse().expect("a URL"))
                },
                None,
            ),
        ] {
            assert_eq!(Subscriber::new(of(edit), &settings, Some(&known)).detour.at(now), place);
        }
    }
}
