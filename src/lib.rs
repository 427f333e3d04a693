//! Holdfast delivers Redfish events from data-centre hardware to subscribers and loses none of them.
//!
//! Layers, each of which knows only those before it: [`domain`] (pure rules), [`store`] (the only code
//! that knows Redis), [`report`] (what is shown of a deployment), [`worker`] and [`api`] (which never import
//! each other), [`app`] (wires them) and [`cli`] (the command line). [`config`] and [`telemetry`] are used by all but `domain`.

pub mod api;
pub mod app;
pub mod cli;
pub mod config;
pub mod domain;
pub mod listener;
pub mod pem;
pub mod redfish;
pub mod report;
pub mod store;
pub mod telemetry;
pub mod worker;
