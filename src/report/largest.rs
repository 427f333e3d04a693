//! Who holds the most: what an operator looks for first when memory runs short.

use std::cmp::Reverse;
use std::sync::Arc;

use serde::Serialize;

use crate::domain::subscription::Subscription;
use crate::store::census::Census;

/// So many are named.
const SHOWN: usize = 3;

/// A subscription that holds parked deliveries.
#[derive(Debug, Serialize)]
pub struct Holder {
    /// The subscription.
    pub id: String,
    /// Deliveries that it holds.
    pub parked: u64,
    /// About as many bytes as their events have; one that others wait for too is stored once.
    pub parked_bytes_estimate: u64,
}

/// The largest holders, by bytes, then by number.
pub(super) fn holders(subscriptions: &[(Arc<Subscription>, Census)]) -> Vec<Holder> {
    let mut holders: Vec<Holder> = subscriptions
        .iter()
        .filter(|(_, census)| census.parked > 0)
        .map(|(of, census)| Holder {
            id: of.id.to_string(),
            parked: census.parked,
            parked_bytes_estimate: census.parked_bytes,
        })
        .collect();
    holders.sort_by_key(|holder| Reverse((holder.parked_bytes_estimate, holder.parked)));
    holders.truncate(SHOWN);
    holders
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::SubscriptionId;

    fn holding(id: &str, parked: u64, parked_bytes: u64) -> (Arc<Subscription>, Census) {
        let destination = "http://127.0.0.1:9/".parse().expect("a URL");
        let id = SubscriptionId::new(id).expect("an id");
        let census = Census {
            parked,
            parked_bytes,
            ..Census::default()
        };
        (Arc::new(Subscription::new(id, destination, String::new())), census)
    }

    #[test]
    fn the_largest_come_first_and_the_idle_not_at_all() {
        let all = [
            holding("idle", 0, 0),
            holding("few", 3, 2_000),
            holding("many", 1_203_000, 1_181_200_000),
            holding("big", 5, 9 << 20),
            holding("more", 1_000, 1_000_000),
        ];
        let holders = holders(&all);
        let ids: Vec<&str> = holders.iter().map(|holder| holder.id.as_str()).collect();
        assert_eq!(ids, ["many", "big", "more"]);
    }
}
