//! The rules of delivery, pure: no runtime, no Redis, no clock, no randomness. Time and chance come in as
//! arguments, so every rule is tested by calling it.

pub mod account;
pub mod event;
pub mod filter;
pub mod guard;
pub mod heartbeat;
pub mod ids;
pub mod index;
mod json;
pub mod limit;
pub mod message_id;
pub mod payload;
pub mod rate;
pub mod records;
pub mod resource;
pub mod retention;
pub mod retry;
mod schema;
pub mod secret;
pub mod service;
pub mod signature;
pub mod subscription;
pub mod terms;
pub mod units;
pub mod validation;
pub mod verdict;

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod samples;
