//! Says once that an event found no subscription: somebody may have meant to get it.
//!
//! Such an event is settled and counted in the ledger as unwanted; only this warning tells which kind it was. It is
//! said again after the subscriptions have changed.

use std::sync::atomic::{AtomicU64, Ordering};

use tracing::warn;

use super::catalog::Catalog;
use super::lane::Lane;
use crate::domain::event::Message;
use crate::store::settle::Settlement;

/// Message ids named in a warning, at most.
const NAMED: usize = 5;

/// Remembers for which subscriptions the warning was given.
#[derive(Debug, Default)]
pub struct Unwanted(AtomicU64);

impl Unwanted {
    /// Whether this is the first event that nobody wants since the subscriptions changed to this version.
    fn is_first(&self, version: u64) -> bool {
        // 0 stands for none so far; a view that is older than the last one says nothing.
        let mark = version.saturating_add(1);
        self.0.fetch_max(mark, Ordering::Relaxed) < mark
    }

    /// An event matched nothing in `catalog`.
    pub(super) fn note(&self, lane: &Lane, catalog: &Catalog, message: &Message, settlement: &Settlement) {
        if !self.is_first(catalog.version.unwrap_or(0)) {
            return;
        }
        let records = message.records();
        let messages: Vec<&str> = records
            .iter()
            .filter_map(|record| record.message())
            .map(|message| message.as_str())
            .take(NAMED)
            .collect();
        warn!(
            event = format!("{}.{}", lane.partition.index, settlement.id),
            source = settlement.frame.source.escape_debug().to_string(),
            records = records.len(),
            messages = format!("{messages:?}"),
            subscriptions = catalog.ids().count(),
            "no subscription wants this event: it is counted as unwanted and dropped; add a subscription or widen a \
             filter if somebody should get such events (said once until the subscriptions change)"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_said_once_for_each_change_of_the_subscriptions() {
        let unwanted = Unwanted::default();
        assert!(unwanted.is_first(0) && !unwanted.is_first(0));
        assert!(unwanted.is_first(7) && !unwanted.is_first(7));
        assert!(!unwanted.is_first(3), "an older view");
        assert!(unwanted.is_first(8));
    }
}
