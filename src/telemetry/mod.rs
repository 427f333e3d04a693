//! Logs and metrics.
//!
//! [`logs::init`] and [`install`] are called once at the start; everything else calls the typed
//! functions of [`metrics`], the only file that knows a metric's name.

mod exporter;
pub mod labels;
pub mod logs;
pub mod metrics;
pub mod subscriptions;

pub use exporter::{Metrics, MetricsError, UPKEEP_PERIOD, install};
