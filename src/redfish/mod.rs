//! The Redfish service: subscribers and operators talk to Holdfast with the tools they have for BMCs.
//!
//! HTTPS on a listener of its own. All state is in Redis, so every pod answers the same; a pod keeps nothing but
//! which passwords it has checked. [`frame`] is what all resources share, the other modules are the resources, each
//! with its `routes`.

mod accounts;
mod auth;
mod certificate;
mod eventing;
mod files;
pub mod frame;
mod metadata;
mod roles;
mod root;
mod service;
mod sessions;
mod start;

pub use self::auth::Identity;
pub use self::certificate::{CertificateError, certificate_files};
pub use self::eventing::Eventing;
pub use self::service::Service;
pub use self::start::{FirstAdministrator, Redfish, RedfishError, start};

use self::frame::{Route, Table};

/// Every resource: its path, with parameters in braces, and its methods as in `Allow`.
#[must_use]
pub fn resources() -> Vec<(&'static str, String)> {
    table().resources()
}

fn table() -> Table {
    let routes: [Vec<Route>; 7] = [
        root::routes(),
        metadata::routes(),
        sessions::routes(),
        accounts::routes(),
        roles::routes(),
        files::routes(),
        eventing::routes(),
    ];
    Table::new(routes.into_iter().flatten().collect())
}
