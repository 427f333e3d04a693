//! The series of subscriptions, a bounded number of them however many subscriptions there are.
//!
//! The loop that mirrors Redis into gauges publishes all of them at once. Those that are behind get labels of
//! their own first, and keep them while they are; beyond the limit all share `other`: sum of what is parked and of
//! their requests, the oldest age, the worst circuit. A subscription that is no longer published loses its series.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use super::labels::CircuitState;
use super::metrics::set_subscription;
use super::tally::Traffic;

const OTHER: &str = "other";

/// How one subscription stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Deliveries in its retry queue.
    pub parked: u64,
    /// Age of the oldest of them; zero when there is none.
    pub oldest: Duration,
    /// Its circuit.
    pub circuit: CircuitState,
    /// How long it has been open or suspended; zero while it is neither.
    pub circuit_age: Duration,
    /// Probes that failed in a row.
    pub failed_probes: u32,
    /// Time until its queue is tried next; `None` when nothing is planned.
    pub next_attempt: Option<Duration>,
    /// Requests of this process since the last time.
    pub traffic: Traffic,
}

/// Hands out the labels and remembers who has one.
#[derive(Debug)]
pub struct SubscriptionGauges {
    limit: usize,
    labelled: HashSet<String>,
}

impl Standing {
    /// Both as one: what partitions, or those that share `other`, come to.
    fn and(self, more: Self) -> Self {
        let mut traffic = self.traffic;
        traffic += more.traffic;
        Self {
            parked: self.parked.saturating_add(more.parked),
            oldest: self.oldest.max(more.oldest),
            circuit: if more.circuit as u8 > self.circuit as u8 {
                more.circuit
            } else {
                self.circuit
            },
            circuit_age: self.circuit_age.max(more.circuit_age),
            failed_probes: self.failed_probes.max(more.failed_probes),
            next_attempt: self.next_attempt.into_iter().chain(more.next_attempt).min(),
            traffic,
        }
    }

    fn is_behind(&self) -> bool {
        self.parked > 0 || self.circuit != CircuitState::Closed
    }
}

impl SubscriptionGauges {
    /// At most `limit` subscriptions get series of their own (`admin.max_subscription_labels`).
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            labelled: HashSet::new(),
        }
    }

    /// Sets the gauges of all subscriptions, and counts their requests; one that appears several times (once for each partition) is
    /// summed up.
    pub fn publish(&mut self, standings: impl IntoIterator<Item = (String, Standing)>) {
        for (label, standing) in self.label(standings) {
            set_subscription(&label, &standing);
        }
    }

    /// Decides who is shown by name.
    fn label(&mut self, standings: impl IntoIterator<Item = (String, Standing)>) -> BTreeMap<String, Standing> {
        let mut all: BTreeMap<String, Standing> = BTreeMap::new();
        for (id, standing) in standings {
            merge(&mut all, id, standing);
        }
        let mut ranked: Vec<(String, Standing)> = all.into_iter().collect();
        ranked.sort_by_key(|(id, standing)| (!standing.is_behind(), !self.labelled.contains(id)));
        self.labelled = ranked.iter().take(self.limit).map(|(id, _)| id.clone()).collect();
        let mut shown = BTreeMap::new();
        for (rank, (id, standing)) in ranked.into_iter().enumerate() {
            let label = if rank < self.limit { id } else { OTHER.to_owned() };
            merge(&mut shown, label, standing);
        }
        shown
    }
}

fn merge(all: &mut BTreeMap<String, Standing>, label: String, standing: Standing) {
    all.entry(label)
        .and_modify(|sum| *sum = sum.and(standing))
        .or_insert(standing);
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::telemetry::labels::Outcome;
    use crate::telemetry::tally::Tally;

    fn standing(parked: u64, secs: u64, circuit: CircuitState) -> Standing {
        Standing {
            parked,
            oldest: Duration::from_secs(secs),
            circuit,
            circuit_age: Duration::ZERO,
            failed_probes: 0,
            next_attempt: None,
            traffic: Traffic::default(),
        }
    }

    fn named(id: &str, standing: Standing) -> (String, Standing) {
        (id.to_owned(), standing)
    }

    #[test]
    fn beyond_the_limit_the_rest_share_one_label() {
        let open = standing(3, 30, CircuitState::Open);
        let draining = standing(4, 20, CircuitState::Draining);
        let idle = standing(0, 0, CircuitState::Closed);
        let shown = SubscriptionGauges::new(1).label([
            named("b", open),
            named("a", open),
            named("c", draining),
            named("d", idle),
        ]);
        let expected = [named("a", open), named("other", standing(7, 30, CircuitState::Open))];
        assert_eq!(shown.into_iter().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn those_behind_take_labels_from_the_idle_and_keep_them() {
        let idle = standing(0, 0, CircuitState::Closed);
        let open = standing(1, 1, CircuitState::Open);
        let mut gauges = SubscriptionGauges::new(1);
        assert!(gauges.label([named("a", idle), named("b", idle)]).contains_key("a"));
        assert!(gauges.label([named("a", idle), named("b", open)]).contains_key("b"));
        assert!(gauges.label([named("a", open), named("b", open)]).contains_key("b"));
        assert!(gauges.label([named("a", idle)]).contains_key("a"));
    }

    #[test]
    fn partitions_of_one_subscription_are_summed_up() {
        let one = standing(3, 30, CircuitState::Closed);
        let two = standing(4, 20, CircuitState::Open);
        let shown = SubscriptionGauges::new(5).label([named("a", one), named("a", two)]);
        assert_eq!(shown.get("a"), Some(&standing(7, 30, CircuitState::Open)));
    }

    #[test]
    fn those_that_share_a_label_show_the_worst_probe_the_next_attempt_and_all_requests() {
        let tally = Tally::default();
        tally.begin().ended(Outcome::Unavailable, 1);
        let one = Standing {
            circuit_age: Duration::from_secs(90),
            failed_probes: 3,
            next_attempt: Some(Duration::from_secs(60)),
            traffic: tally.take(),
            ..standing(1, 1, CircuitState::Open)
        };
        tally.begin().ended(Outcome::Unavailable, 1);
        let two = Standing {
            circuit_age: Duration::from_secs(20),
            failed_probes: 1,
            next_attempt: Some(Duration::from_secs(5)),
            traffic: tally.take(),
            ..one
        };
        let idle = standing(0, 0, CircuitState::Closed);
        let shown = SubscriptionGauges::new(0).label([named("a", one), named("b", two), named("c", idle)]);
        let other = shown.get("other").expect("all of them share it");
        assert_eq!(
            (other.failed_probes, other.next_attempt),
            (3, Some(Duration::from_secs(5)))
        );
        assert_eq!(other.circuit_age, Duration::from_secs(90));
        assert!(other.traffic.outcomes().any(|both| both == (Outcome::Unavailable, 2)));
    }
}
