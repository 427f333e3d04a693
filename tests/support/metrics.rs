//! The metrics of the test process: one recorder for all tests that look at `/metrics`.

use std::sync::OnceLock;

use holdfast::config::Admin;
use holdfast::telemetry::{self, Metrics};

/// Installed at the first call. Its counters are shared by all tests of the process.
pub(crate) fn metrics() -> Metrics {
    static METRICS: OnceLock<Metrics> = OnceLock::new();
    METRICS
        .get_or_init(|| telemetry::install(&Admin::default()).unwrap())
        .clone()
}
