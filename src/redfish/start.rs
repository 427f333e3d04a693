//! Starts and stops the service, and makes the first administrator where there is no account.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use secrecy::{ExposeSecret, SecretString};
use tokio::time::Instant;
use tracing::info;

use super::auth::{Passwords, random_hex, random_password};
use super::certificate::{self, CertificateError};
use super::eventing::Eventing;
use super::frame::dispatch;
use super::service::Service;
use super::table;
use crate::config::Config;
use crate::domain::account::{Account, Role};
use crate::listener::{Bodies, ListenError, Options, Server};
use crate::store::{Store, StoreError};

/// Connections at once; further ones wait in the listener's queue.
const CONNECTIONS: usize = 1024;
/// How long a client may take for the head of a request, be idle, or not read.
const READ_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(30);
/// How long a client may take to send its body.
const BODY_TIME: std::time::Duration = std::time::Duration::from_secs(10);
/// Bytes of bodies at once. More than those who have not logged in can fill on all connections.
const BODIES: u64 = 32 << 20;
/// Letters and digits of a generated password.
const PASSWORD_LENGTH: usize = 20;

/// The service could not be started.
#[derive(Debug, thiserror::Error)]
pub enum RedfishError {
    /// The address is taken, or not one of this machine's.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// There is no certificate to show.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// Redis can't be reached, or what is in it can't be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The first administrator's password could not be hashed.
    #[error("the first administrator could not be made; start again")]
    Administrator,
}

/// The running service; it ends when dropped.
#[derive(Debug)]
pub struct Redfish {
    server: Server,
    service: Arc<Service>,
    /// The administrator that this start has made with a generated password: to be printed, once.
    pub first: Option<FirstAdministrator>,
}

/// A new account whose password nobody knows yet.
#[derive(Debug)]
pub struct FirstAdministrator {
    /// Its name.
    pub name: String,
    /// Its password.
    pub password: SecretString,
}

impl fmt::Display for FirstAdministrator {
    /// The one place that shows the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "The first Redfish administrator is {} with the password {} (it is shown this once)",
            self.name,
            self.password.expose_secret()
        )
    }
}

/// Starts the service.
///
/// # Errors
/// [`RedfishError`]; each says what to change.
pub async fn start(config: &Config, store: Arc<Store>) -> Result<Redfish, RedfishError> {
    let settings = &config.redfish;
    let tls = certificate::tls(config, &store).await?;
    let service = Arc::new(Service {
        uuid: store.setting_or_make("uuid", new_uuid).await?,
        settings: settings.clone(),
        eventing: Eventing::new(config),
        bodies: Bodies::new(BODIES, BODY_TIME),
        passwords: Passwords::new(),
        table: table(),
        store,
    });
    let options = Options {
        listener: "Redfish",
        variable: "HOLDFAST_REDFISH__LISTEN",
        listen: settings.listen,
        read_timeout: READ_TIMEOUT,
        max_connections: CONNECTIONS,
        max_per_client: settings.max_connections_per_client,
        // An event stream ends when its client closes its side.
        half_close: false,
        tls: Some(tls),
    };
    let router = Router::new().fallback(dispatch).with_state(Arc::clone(&service));
    let server = Server::start(options, router).await?;
    // Last, so that nothing that fails can keep a generated password from being shown.
    let first = first_administrator(&service).await?;
    info!(redfish = %server.addr(), "listening");
    Ok(Redfish { server, service, first })
}

impl Redfish {
    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.server.addr()
    }

    /// Finishes what is being answered, and cuts off the rest at `until`.
    pub async fn stop(self, until: Instant) {
        self.service.eventing.close(until).await;
        self.server.stop(until).await;
    }
}

/// Makes the first administrator, unless there is an account already; with a generated password where none is
/// configured. Of pods that start together one does.
async fn first_administrator(service: &Service) -> Result<Option<FirstAdministrator>, RedfishError> {
    if !service.store.accounts().await?.is_empty() {
        return Ok(None);
    }
    let configured = service.settings.admin_password.clone();
    let generated = configured.is_none();
    let password = configured.unwrap_or_else(|| random_password(PASSWORD_LENGTH).into());
    let hashed = service.passwords.hash(password.expose_secret()).await;
    let account = Account {
        name: service.settings.admin_user.clone(),
        password: hashed.map_err(|_| RedfishError::Administrator)?,
        role: Role::Administrator,
        enabled: true,
        password_change_required: false,
        password_generated: generated,
        generation: random_hex(8),
        revision: 1,
    };
    let made = service.store.change_account(&account.name, |accounts| {
        // A change that changes nothing: somebody else was first.
        let known = accounts.get(&account.name).cloned();
        let first = accounts.is_empty();
        Ok::<_, StoreError>((if first { Some(account.clone()) } else { known }, first))
    });
    if !made.await? {
        return Ok(None);
    }
    info!(account = account.name, "the first administrator was made");
    let name = account.name;
    Ok(generated.then_some(FirstAdministrator { name, password }))
}

/// A random UUID (version 4).
fn new_uuid() -> String {
    let n: u128 = rand::random();
    let n = n & !(0xf000 << 64) | 0x4000 << 64;
    let n = n & !(0xc000 << 48) | 0x8000 << 48;
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        n >> 96,
        n >> 80 & 0xffff,
        n >> 64 & 0xffff,
        n >> 48 & 0xffff,
        n & 0xffff_ffff_ffff
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuids_are_of_version_4() {
        let uuid = new_uuid();
        let parts: Vec<usize> = uuid.split('-').map(str::len).collect();
        assert_eq!(parts, [8, 4, 4, 4, 12]);
        assert_eq!(&uuid[14..15], "4");
        assert!("89ab".contains(&uuid[19..20]), "{uuid}");
    }
}
