//! The HTTP listeners: intake takes events in, admin shows metrics, health and the page.
//!
//! `app` starts the admin listener first, so that probes are answered while Redis is still looked for, then
//! intake once there is a store. At the end: [`Api::set_not_ready`], a while later [`Api::stop`].

pub mod admin;
mod answer;
mod health;
mod intake;
mod limits;
pub mod memory_guard;
mod page;
mod peers;
mod refusal;
mod tokens;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::info;

use self::admin::Admin;
use self::intake::Intake;
use self::memory_guard::MemoryGuard;
use self::tokens::Tokens;
use crate::config::{self, Config};
use crate::listener::tls::{Clients, Files, Tls};
use crate::listener::{ListenError, Options, Server};
use crate::pem::PemError;
use crate::report::History;
use crate::store::Store;
use crate::telemetry::labels::Certificate;

/// Both listeners, running; they end when dropped.
#[derive(Debug)]
pub struct Api {
    /// Where intake listens, in a process that takes events in.
    pub intake_addr: Option<SocketAddr>,
    /// Where metrics and health are answered.
    pub admin_addr: SocketAddr,
    intake: Option<Server>,
    admin: Admin,
    _guard: DropGuard,
}

/// Intake could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// It can't listen.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// Its certificate, key or authorities can't be used.
    #[error("intake can't speak TLS: {0}; check HOLDFAST_INTAKE__CERTIFICATE, __KEY and __CLIENT_CA")]
    Tls(#[from] PemError),
    /// Its tokens can't be read.
    #[error("intake.tokens_file: {0}")]
    Tokens(String),
}

/// Starts intake beside a running admin listener, in a process whose role it is. `silent_for` says how long no loop of
/// this process has turned: `/livez` answers with it.
///
/// # Errors
/// When the address can't be listened on, or a file that the settings name can't be used.
pub async fn start(
    config: &Config,
    store: Arc<Store>,
    admin: Admin,
    silent_for: impl Fn() -> Duration + Send + Sync + 'static,
) -> Result<Api, StartError> {
    let watching = CancellationToken::new();
    let intake = match config.serve.role.takes_in() {
        true => Some(take_in(config, &store, &watching).await?),
        false => None,
    };
    admin.board.attach(Arc::clone(&store), config.worker.dead_after.0);
    admin
        .health
        .attach(store, config.serve.role.takes_in(), Box::new(silent_for));
    let intake_addr = intake.as_ref().map(Server::addr);
    let listens = intake_addr.map_or_else(|| "off".to_owned(), |addr| addr.to_string());
    let page = format!("http://{}/", admin.addr());
    info!(intake = listens, admin = %admin.addr(), %page, "listening");
    Ok(Api {
        intake_addr,
        admin_addr: admin.addr(),
        intake,
        admin,
        _guard: watching.drop_guard(),
    })
}

/// Starts the intake and the guard of Redis' memory that it asks.
async fn take_in(config: &Config, store: &Arc<Store>, watching: &CancellationToken) -> Result<Server, StartError> {
    let guard = Arc::new(MemoryGuard::new(Arc::clone(store), &config.intake));
    let tokens = config.intake.tokens_file.as_deref().map(Tokens::load).transpose();
    let tokens = tokens.map_err(StartError::Tokens)?;
    let files = certificate_files(&config.intake);
    let tls = files.map(|files| Tls::of_files(files, config.certificates.check.0));
    let tls = tls.transpose()?;
    let intake = Intake::new(&config.intake, tokens, Arc::clone(store), Arc::clone(&guard));
    let options = Options {
        listener: "intake",
        variable: "HOLDFAST_INTAKE__LISTEN",
        listen: config.intake.listen,
        read_timeout: config.intake.read_timeout.0,
        max_connections: config.intake.max_connections,
        max_per_client: config.intake.max_connections_per_client,
        // Some controllers close their side once the request is sent, and still want the answer.
        half_close: true,
        tls,
    };
    let server = Server::start(options, intake::router(intake)).await?;
    tokio::spawn(guard.run(watching.clone()));
    Ok(server)
}

/// The files that intake speaks TLS with, where it does. Where tokens are asked for as well, one is as good as a
/// client's certificate.
#[must_use]
pub fn certificate_files(settings: &config::Intake) -> Option<Files> {
    let clients = settings.client_ca.as_ref().map(|authorities| Clients {
        trusted: Certificate::IntakeClients,
        authorities: authorities.clone(),
        required: settings.tokens_file.is_none(),
    });
    Some(Files {
        shown: Certificate::Intake,
        certificate: settings.certificate.clone()?,
        key: settings.key.clone()?,
        clients,
    })
}

impl Api {
    /// Everything runs: `/readyz` answers 200 from now on, as long as Redis does its part.
    pub fn set_ready(&self) {
        self.admin.health.set_ready();
    }

    /// Where the readings are remembered that the page's charts show.
    #[must_use]
    pub fn history(&self) -> Arc<History> {
        self.admin.board.recorder()
    }

    /// The process is about to stop: `/readyz` answers 503, while intake goes on.
    pub fn set_not_ready(&self) {
        self.admin.health.set_stopping();
    }

    /// Ends intake, then the admin listener. Requests that are being answered are finished within
    /// `deadline`, all together; what is left then is cut off, and its sender repeats it.
    pub async fn stop(self, deadline: Duration) {
        self.set_not_ready();
        let until = Instant::now() + deadline;
        if let Some(intake) = self.intake {
            intake.stop(until).await;
        }
        self.admin.stop(until).await;
    }
}
