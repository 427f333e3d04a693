//! (skeleton)

pub mod gauges;
