//! The EventService of Redfish: its settings, its subscriptions and their actions.

pub(crate) mod destination;
mod fields;
mod wrong;
