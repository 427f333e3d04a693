//! How each subscription stands, from what Redis knows of those in trouble.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::domain::ids::{StreamId, SubscriptionId};
use crate::store::census::Census;
use crate::telemetry::labels::CircuitState;
use crate::telemetry::subscriptions::Standing;
use crate::telemetry::tally::Traffic;

/// Every subscription with how it stands: those in trouble, and all others as healthy.
pub(super) fn standings(
    subscriptions: Vec<(SubscriptionId, Traffic)>,
    now_ms: u64,
    troubled: &BTreeMap<String, Census>,
) -> Vec<(String, Standing)> {
    let mut all: BTreeMap<String, Traffic> = subscriptions
        .into_iter()
        .map(|(id, traffic)| (id.as_str().to_owned(), traffic))
        .collect();
    for id in troubled.keys() {
        all.entry(id.clone()).or_default();
    }
    let healthy = Census::default();
    all.into_iter()
        .map(|(id, traffic)| {
            let standing = standing(now_ms, troubled.get(&id).unwrap_or(&healthy), traffic);
            (id, standing)
        })
        .collect()
}

/// Deliveries parked for subscribers that answer: no worker can do anything for one that is down or suspended.
pub(super) fn workable(standings: &[(String, Standing)]) -> u64 {
    let answering = standings
        .iter()
        .filter(|(_, standing)| matches!(standing.circuit, CircuitState::Closed | CircuitState::Draining));
    answering.map(|(_, standing)| standing.parked).sum()
}

fn standing(now_ms: u64, census: &Census, traffic: Traffic) -> Standing {
    let circuit = match census {
        Census { suspended: true, .. } => CircuitState::Suspended,
        Census {
            open_since_ms: Some(_), ..
        } => CircuitState::Open,
        Census {
            behind_since_ms: Some(_),
            ..
        } => CircuitState::Draining,
        _ => CircuitState::Closed,
    };
    Standing {
        parked: census.parked,
        oldest: age(now_ms, census.oldest),
        circuit,
        circuit_age: circuit_since(circuit, census).map_or(Duration::ZERO, |since| {
            Duration::from_millis(now_ms.saturating_sub(since))
        }),
        failed_probes: census.failures,
        next_attempt: census
            .next_wakeup_ms
            .map(|due| Duration::from_millis(due.saturating_sub(now_ms))),
        traffic,
    }
}

/// Since when nothing is sent but probes, ms since the epoch. A limit may move on the oldest event that waits, so its
/// age tells less.
fn circuit_since(circuit: CircuitState, census: &Census) -> Option<u64> {
    match circuit {
        CircuitState::Suspended => census.suspended_since_ms.or(census.oldest.map(|id| id.millis)),
        CircuitState::Open => census.open_since_ms,
        CircuitState::Closed | CircuitState::Draining => None,
    }
}

/// The age of an event by Redis' clock, which also made its id; an id from the future is of age zero.
pub(super) fn age(now_ms: u64, event: Option<StreamId>) -> Duration {
    event.map_or(Duration::ZERO, |id| {
        Duration::from_millis(now_ms.saturating_sub(id.millis))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_of_a_circuit_is_shown() {
        let circuit = |census: &Census| standing(0, census, Traffic::default()).circuit;
        let mut census = Census::default();
        assert_eq!(circuit(&census), CircuitState::Closed);
        census.behind_since_ms = Some(1);
        assert_eq!(circuit(&census), CircuitState::Draining);
        census.open_since_ms = Some(1);
        assert_eq!(circuit(&census), CircuitState::Open);
        census.suspended = true;
        assert_eq!(circuit(&census), CircuitState::Suspended);
    }

    #[test]
    fn how_long_nothing_is_sent_does_not_depend_on_what_waits() {
        let age = |census: &Census| standing(9_000, census, Traffic::default()).circuit_age;
        let mut census = Census {
            oldest: Some(StreamId {
                millis: 8_000,
                sequence: 0,
            }),
            behind_since_ms: Some(1_000),
            ..Census::default()
        };
        assert_eq!(age(&census), Duration::ZERO);
        census.open_since_ms = Some(2_000);
        assert_eq!(age(&census), Duration::from_secs(7));
        // Since when is not known of one that an earlier version suspended.
        census.suspended = true;
        assert_eq!(age(&census), Duration::from_secs(1));
        census.suspended_since_ms = Some(4_000);
        assert_eq!(age(&census), Duration::from_secs(5));
    }

    #[test]
    fn a_wake_up_that_is_overdue_is_due_now() {
        let next = |due| {
            let census = Census {
                next_wakeup_ms: due,
                ..Census::default()
            };
            standing(5_000, &census, Traffic::default()).next_attempt
        };
        assert_eq!(next(Some(6_500)), Some(Duration::from_millis(1_500)));
        assert_eq!(next(Some(4_000)), Some(Duration::ZERO));
        assert_eq!(next(None), None);
    }

    #[test]
    fn a_subscriber_that_is_down_is_no_work() {
        let parked = |circuit| {
            let standing = Standing {
                parked: 10,
                circuit,
                ..standing(0, &Census::default(), Traffic::default())
            };
            ("s".to_owned(), standing)
        };
        let all = [
            CircuitState::Closed,
            CircuitState::Draining,
            CircuitState::Open,
            CircuitState::Suspended,
        ];
        assert_eq!(workable(&all.map(parked)), 20);
    }

    #[test]
    fn an_id_from_the_future_has_no_age() {
        let event = |millis| Some(StreamId { millis, sequence: 0 });
        assert_eq!(age(5_000, event(3_500)), Duration::from_millis(1500));
        assert_eq!(age(5_000, event(u64::MAX)), Duration::ZERO);
        assert_eq!(age(5_000, None), Duration::ZERO);
    }
}
