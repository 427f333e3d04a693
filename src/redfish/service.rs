//! What all handlers share.

use std::sync::Arc;

use super::auth::Passwords;
use super::eventing::Eventing;
use super::frame::Table;
use crate::config;
use crate::listener::Bodies;
use crate::store::Store;
use crate::store::accounts::Lockout;

/// The running service.
#[derive(Debug)]
pub struct Service {
    /// The deployment's data.
    pub store: Arc<Store>,
    /// The service's settings.
    pub settings: config::Redfish,
    /// The service's UUID, the same for every pod.
    pub uuid: String,
    /// What the EventService knows of this process.
    pub eventing: Eventing,
    /// The bodies of the requests that are being answered.
    pub(super) bodies: Bodies,
    pub(super) passwords: Passwords,
    pub(super) table: Table,
}

impl Service {
    /// When wrong passwords lock an account.
    #[must_use]
    pub fn lockout(&self) -> Lockout {
        Lockout {
            threshold: self.settings.lockout_threshold,
            duration: self.settings.lockout_duration.0,
            reset: self.settings.lockout_reset.0,
        }
    }
}
