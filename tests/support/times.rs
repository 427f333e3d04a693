//! Short times for the real binary, so that a story of minutes takes seconds.
//!
//! The audit is off: it would repair what a test is to find.

use std::time::Duration;

/// When a worker counts as dead.
pub(crate) const DEAD_AFTER: Duration = Duration::from_millis(1_500);

pub(crate) const SHORT_TIMES: [(&str, &str); 17] = [
    ("HOLDFAST_INTAKE__LISTEN", "127.0.0.1:0"),
    ("HOLDFAST_ADMIN__LISTEN", "127.0.0.1:0"),
    ("HOLDFAST_REDFISH__LISTEN", "127.0.0.1:0"),
    ("HOLDFAST_WORKER__HEARTBEAT", "200ms"),
    ("HOLDFAST_WORKER__DEAD_AFTER", "1500ms"),
    ("HOLDFAST_WORKER__SWEEP", "500ms"),
    ("HOLDFAST_WORKER__READ_BLOCK", "200ms"),
    ("HOLDFAST_WORKER__REGISTRY_REFRESH", "50ms"),
    ("HOLDFAST_WORKER__AUDIT", "1h"),
    ("HOLDFAST_WORKER__DRAIN_DELAY", "0s"),
    ("HOLDFAST_DELIVERY__CONNECT_TIMEOUT", "2s"),
    ("HOLDFAST_DELIVERY__TIMEOUT", "20s"),
    ("HOLDFAST_RETRY__DELAY", "300ms"),
    ("HOLDFAST_RETRY__BACKOFF", "1.0"),
    ("HOLDFAST_RETRY__JITTER", "0"),
    ("HOLDFAST_REDIS__COMMAND_TIMEOUT", "2s"),
    ("HOLDFAST_LOG__FORMAT", "json"),
];
