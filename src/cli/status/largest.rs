//! Who holds the most: what an operator looks for first when memory runs short.

use std::cmp::Reverse;
use std::sync::Arc;

use serde::Serialize;

use crate::cli::text::{number, size};
use crate::domain::subscription::Subscription;
use crate::store::census::Census;

/// So many are named.
const SHOWN: usize = 3;
/// From so many deliveries or bytes on a holder is worth a line.
const MUCH: (u64, u64) = (1_000, 1 << 20);

/// A subscription that holds parked deliveries.
#[derive(Debug, Serialize)]
pub(super) struct Holder {
    id: String,
    parked: u64,
    /// About as many bytes as their events have; one that others wait for too is stored once.
    parked_bytes_estimate: u64,
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

/// Those that hold much, on one line; `None` when nobody does.
pub(super) fn line(holders: &[Holder]) -> Option<String> {
    let much = |holder: &&Holder| holder.parked >= MUCH.0 || holder.parked_bytes_estimate >= MUCH.1;
    let parts: Vec<String> = holders
        .iter()
        .filter(much)
        .map(|holder| {
            let (parked, bytes) = (number(holder.parked), size(holder.parked_bytes_estimate));
            format!("{} {parked} parked (about {bytes} of events)", holder.id)
        })
        .collect();
    (!parts.is_empty()).then(|| parts.join("; "))
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
    fn those_that_hold_much_are_named_the_largest_first() {
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
        assert_eq!(
            line(&holders).as_deref(),
            Some(
                "many 1,203,000 parked (about 1.1 GiB of events); big 5 parked (about 9.0 MiB of events); \
                 more 1,000 parked (about 976.5 KiB of events)"
            )
        );
        assert_eq!(line(&holders[..0]), None);
        assert_eq!(line(&super::holders(&all[..2])), None, "three deliveries are not much");
    }
}
