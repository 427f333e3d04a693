//! What every resource of the Redfish service shares: routes, requests, answers, errors, query parameters.
//!
//! A resource is a [`Route`] with a handler for each method: `fn(Call) -> Outcome`. Everything around it is done
//! once, in `dispatch`: authentication, privileges, bodies, query parameters, ETags, headers, errors.

mod answer;
mod call;
mod dispatch;
mod expand;
mod failure;
mod fields;
pub mod filter;
pub mod message;
mod query;
mod resource;
mod route;

pub use self::answer::{Answer, Outcome, respond};
pub use self::call::Call;
pub(super) use self::dispatch::dispatch;
pub use self::expand::MAX_LEVELS;
pub use self::failure::Failure;
pub use self::fields::{Fields, shown};
pub use self::message::Message;
pub use self::resource::Resource;
pub use self::route::{Needs, Route, Table};
