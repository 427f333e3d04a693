//! How many sessions of the Redfish service are open, over all pods.

use std::time::Duration;

use crate::store::{Store, StoreError};
use crate::telemetry::service;

/// An idle pod asks Redis for little: they are counted at one look of this many, and published at each.
const LOOKS: u32 = 3;

/// The count, published with the other gauges.
#[derive(Debug)]
pub(super) struct Sessions {
    timeout: Duration,
    count: u32,
    looks: u32,
}

impl Sessions {
    /// None counted yet; each is over after `timeout` without a request.
    pub(super) fn new(timeout: Duration) -> Self {
        Self {
            timeout,
            count: 0,
            looks: 0,
        }
    }

    /// Publishes how many there are at `now_ms` of Redis' clock, or were at one of the last looks.
    pub(super) async fn publish(&mut self, store: &Store, now_ms: u64) -> Result<(), StoreError> {
        if self.looks.is_multiple_of(LOOKS) {
            self.count = store.session_count(self.timeout, now_ms).await?;
        }
        self.looks = self.looks.wrapping_add(1);
        service::set_sessions(self.count);
        Ok(())
    }
}
