//! An EventDestination of the schema 1.16 is a [`Subscription`]: read at its creation, changed, shown.
//!
//! Every property of a request is either done or refused by name. Pure: no store, no clock.

mod create;
mod headers;
mod oem;
mod patch;
mod show;

pub(crate) use self::create::create;
pub(crate) use self::patch::patch;
pub(crate) use self::show::{RESTLESS, Showing, show};

use super::wrong;
use crate::domain::guard::Guard;
use crate::domain::subscription::{DeliveryRetryPolicy, Subscription};
use crate::redfish::frame::Message;

/// Where the collection of subscriptions is.
pub(crate) const COLLECTION: &str = "/redfish/v1/EventService/Subscriptions";

/// The values of `DeliveryRetryPolicy`.
const POLICIES: [(&str, DeliveryRetryPolicy); 4] = [
    ("TerminateAfterRetries", DeliveryRetryPolicy::TerminateAfterRetries),
    ("SuspendRetries", DeliveryRetryPolicy::SuspendRetries),
    ("RetryForever", DeliveryRetryPolicy::RetryForever),
    ("RetryForeverWithBackoff", DeliveryRetryPolicy::RetryForeverWithBackoff),
];

/// Checks what no single property shows, as the command line does.
fn check(subscription: &Subscription, guard: &Guard) -> Result<(), Vec<Message>> {
    let Err(problems) = subscription.validate(guard) else {
        return Ok(());
    };
    let wrong = problems
        .into_iter()
        .map(|problem| wrong::value(&place(problem.property), problem.text));
    Err(wrong.collect())
}

/// Where a property of `domain::validation::PROPERTIES` stands in an EventDestination.
fn place(property: &str) -> String {
    match property {
        "Secret" => oem::place("SigningSecret"),
        "MaxAge" => oem::place("MaxAgeSeconds"),
        "MaxParked" | "MaxInFlight" => oem::place(property),
        other => other.to_owned(),
    }
}

#[cfg(test)]
mod tests;
