//! The EventService of Redfish: its settings, its subscriptions and their actions.

mod actions;
mod certificates;
mod destination;
mod fields;
mod schema;
mod service;
mod subscriptions;
mod test_events;
mod wrong;

pub(super) use self::schema::{NAMESPACES as SCHEMA_NAMESPACES, URI as SCHEMA_URI};
use super::frame::{Failure, Message, Route};
use crate::config::{Config, Retry};

/// Where the EventService is.
const SERVICE: &str = "/redfish/v1/EventService";

/// What the EventService needs to know of the process that it runs in.
#[derive(Debug)]
pub struct Eventing {
    /// The retry settings in force where nobody set others at run time.
    retry: Retry,
}

impl Eventing {
    /// In a process with these settings.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        Self {
            retry: config.retry.clone(),
        }
    }
}

pub(super) fn routes() -> Vec<Route> {
    let routes = [
        service::routes(),
        test_events::routes(),
        subscriptions::routes(),
        actions::routes(),
        certificates::routes(),
        schema::routes(),
    ];
    routes.into_iter().flatten().collect()
}

/// 400 with all that is wrong.
fn refused(wrong: Vec<Message>) -> Failure {
    match Failure::unless_empty(wrong) {
        Err(failure) => failure,
        Ok(()) => Failure::internal(),
    }
}
