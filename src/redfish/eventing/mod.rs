//! The EventService of Redfish: its settings, its subscriptions and their actions.

mod actions;
mod certificates;
mod destination;
mod fields;
mod schema;
mod service;
mod sse;
mod subscriptions;
mod test_events;
mod wrong;

pub(super) use self::schema::{NAMESPACES as SCHEMA_NAMESPACES, URI as SCHEMA_URI};
use std::sync::Arc;

use tokio::time::Instant;

use self::sse::Hub;
use super::frame::{Failure, Message, Route};
use crate::config::{Config, Retry};
use crate::domain::guard::Guard;

/// Where the EventService is.
const SERVICE: &str = "/redfish/v1/EventService";

/// What the EventService needs to know of the process that it runs in.
#[derive(Debug)]
pub struct Eventing {
    /// The retry settings in force where nobody set others at run time.
    retry: Retry,
    /// Where events may be sent.
    guard: Guard,
    /// The event streams that it serves.
    hub: Arc<Hub>,
}

impl Eventing {
    /// In a process with these settings.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        let recent = &config.recent;
        let linger = if recent.max_bytes.0 == 0 {
            std::time::Duration::ZERO
        } else {
            recent.max_age.0
        };
        let (dead_after, refresh) = (config.worker.dead_after.0, config.worker.registry_refresh.0);
        Self {
            retry: config.retry.clone(),
            guard: config.guard(),
            hub: Hub::new(linger, dead_after, refresh),
        }
    }
}

impl Eventing {
    /// Ends the event streams of this process; what is left of them at `until` is left to the other pods.
    pub async fn close(&self, until: Instant) {
        self.hub.close(until).await;
    }
}

pub(super) fn routes() -> Vec<Route> {
    let routes = [
        service::routes(),
        test_events::routes(),
        subscriptions::routes(),
        actions::routes(),
        certificates::routes(),
        sse::routes(),
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
