//! The faults themselves, one file a family.

pub(crate) mod network;
pub(crate) mod operators;
pub(crate) mod redis;
pub(crate) mod subscribers;
pub(crate) mod topologies;
pub(crate) mod troubles;
pub(crate) mod workers;
