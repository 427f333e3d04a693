//! Logs and metrics.
//!
//! [`logs::init`] and [`install`] are called once at the start; everything else calls the typed
//! functions of [`metrics`] and [`service`]. The names of the metrics are in one file, `catalogue.rs`.

mod catalogue;
mod exporter;
pub mod labels;
pub mod logs;
pub mod metrics;
pub mod service;
pub mod subscriptions;
pub mod tally;

pub use exporter::{Metrics, MetricsError, UPKEEP_PERIOD, install};
