//! The engine from outside: the real binary as processes of its own, a private Redis, real subscribers, real
//! signals. One file a theme; `harness` starts and checks a deployment, `subscriber` answers as a test says.

mod big;
pub(crate) mod clocks;
mod cluster;
mod confirmed;
mod crashes;
mod direct;
mod guard;
pub(crate) mod harness;
mod headers;
mod limits;
mod lost_registry;
mod outage;
mod peers;
mod poison;
mod prefixes;
mod pulses;
mod recent;
mod redis_faults;
mod retry_now;
mod roles;
mod scaling;
mod secrets;
mod service;
mod service_settings;
mod start;
mod stepped_back;
mod subscriber;
mod subscriptions;
mod together;
