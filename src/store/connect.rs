//! How Redis is reached: a small pool for ordinary commands, and clients of their own for blocking reads.
//!
//! Opened once by `app` and by each command-line verb. A command is sent at most once: after a lost
//! reply it fails, and only the caller knows whether a repeat is harmless. A lost server is looked for
//! until it is back (invariant 10).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use fred::clients::Client;
use fred::error::{Error as RedisError, ErrorKind};
use fred::prelude::{ClientLike, EventInterface};
use fred::socket2::TcpKeepalive;
use fred::types::config::{
    Config, ConnectionConfig, PerformanceConfig, ReconnectError, ReconnectPolicy, Server, ServerConfig, TcpConfig,
};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::authorities::Authorities;
use super::error::{StoreError, masked};
use super::link::Link;
use super::outage::Outage;
use super::target::target;
use crate::config;

/// Waits between attempts to reconnect, in milliseconds: 100, 200, 400 … 2,000.
const RECONNECT_FIRST_MS: u32 = 100;
const RECONNECT_LAST_MS: u32 = 2_000;
/// Commands that may wait in one client; more are refused at once, so that an outage cannot eat the memory.
const MAX_QUEUED: usize = 16_384;
/// An idle connection is asked for a sign of life after this long, then every `KEEPALIVE_EVERY`.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(10);
const KEEPALIVE_EVERY: Duration = Duration::from_secs(5);

/// What to do when the first connection fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FirstConnect {
    /// Answer the error: for command-line verbs.
    FailFast,
    /// Go on trying: for the service, which reports itself not ready meanwhile.
    KeepTrying,
}

/// When a write counts as accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Confirm {
    /// So many replicas must have it; never 0.
    pub(super) replicas: u32,
    /// They may take so long.
    pub(super) within: Duration,
}

/// The connections to one Redis deployment. Cheap to clone; dropped with the last clone.
#[derive(Clone)]
pub struct Connection(Arc<Shared>);

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Connection").field(&self.url()).finish()
    }
}

struct Shared {
    settings: Settings,
    pool: Vec<Client>,
    next: AtomicUsize,
    tasks: TaskTracker,
    closing: CancellationToken,
    outage: Arc<Outage>,
    authorities: Option<Arc<Authorities>>,
}

/// Everything needed to make one more client.
struct Settings {
    target: Config,
    url: String,
    first: FirstConnect,
    command_timeout: Duration,
    confirm: Option<Confirm>,
}

impl Connection {
    /// Connects to `url`, a pool of `settings.pool` connections. With [`FirstConnect::KeepTrying`] it
    /// answers at once and connects in the background; see [`Connection::connected`].
    ///
    /// # Errors
    /// [`StoreError::Setup`] for settings that cannot work; with [`FirstConnect::FailFast`] also
    /// [`StoreError::Connect`].
    pub async fn open(settings: &config::Redis, url: &str, first: FirstConnect) -> Result<Self, StoreError> {
        let mut target = target(settings, url)?;
        target.config.fail_fast = first == FirstConnect::FailFast;
        let settings_of_clients = Settings {
            target: target.config,
            url: masked(url),
            first,
            command_timeout: settings.command_timeout.0,
            confirm: (settings.confirm_replicas > 0).then_some(Confirm {
                replicas: settings.confirm_replicas,
                within: settings.confirm_timeout.0,
            }),
        };
        let pool = (0..settings.pool.max(1))
            .map(|_| settings_of_clients.client(settings_of_clients.command_timeout))
            .collect();
        let connection = Self(Arc::new(Shared {
            settings: settings_of_clients,
            pool,
            next: AtomicUsize::new(0),
            tasks: TaskTracker::new(),
            closing: CancellationToken::new(),
            outage: Arc::default(),
            authorities: target.authorities,
        }));
        for (number, client) in connection.0.pool.iter().enumerate() {
            let name = format!("{}-{number}", settings.prefix);
            connection.start(client, name).await?;
        }
        Ok(connection)
    }

    /// A client for ordinary commands: each call the next of the pool, connected ones first. Commands
    /// fail after `redis.command_timeout` and are never sent twice.
    #[must_use]
    pub fn client(&self) -> &Client {
        let pool = &self.0.pool;
        let start = self.0.next.fetch_add(1, Ordering::Relaxed);
        let at = |step: usize| &pool[start.wrapping_add(step) % pool.len()];
        (0..pool.len())
            .map(at)
            .find(|client| client.is_connected())
            .unwrap_or(at(0))
    }

    /// A client of its own for blocking reads, without a command timeout: a reply that the caller gave
    /// up on would leave entries pending that nobody saw. Reads on it must block for less than
    /// `redis.command_timeout`, the rhythm in which the connection is tested. Closed by [`Connection::quit`].
    ///
    /// # Errors
    /// [`StoreError::Connect`], with [`FirstConnect::FailFast`] only.
    pub async fn dedicated(&self, name: &str) -> Result<Client, StoreError> {
        let client = self.0.settings.client(Duration::ZERO);
        self.start(&client, name.to_owned()).await?;
        Ok(client)
    }

    /// A client that is not connected yet, and that connects once: what breaks its connection ends it. `at` is the
    /// server, where the deployment is a Cluster.
    pub(super) fn once(&self, at: Option<Server>) -> Client {
        let settings = &self.0.settings;
        let mut target = settings.target.clone();
        target.fail_fast = true;
        if let Some(server) = at {
            target.server = ServerConfig::Centralized { server };
        }
        let connection = ConnectionConfig {
            // Its owner looks for another server himself, and must hear of each answer.
            reconnect_on_auth_error: false,
            reconnect_errors: Vec::new(),
            ..settings.connection()
        };
        let performance = PerformanceConfig {
            default_command_timeout: Duration::ZERO,
            ..PerformanceConfig::default()
        };
        Client::new(target, Some(performance), Some(connection), None)
    }

    /// When an event counts as accepted; `None` asks for the master alone.
    pub(super) fn confirm(&self) -> Option<Confirm> {
        self.0.settings.confirm
    }

    /// How long one command may take.
    pub(super) fn command_timeout(&self) -> Duration {
        self.0.settings.command_timeout
    }

    /// Runs something until it ends; [`Connection::quit`] waits for it. It is to end when `closing` is cancelled.
    pub(super) fn spawn<F: Future<Output = ()> + Send + 'static>(&self, task: impl FnOnce(CancellationToken) -> F) {
        self.0.tasks.spawn(task(self.0.closing.child_token()));
    }

    /// Waits until every connection of the pool is made. With an unreachable server that is for ever.
    pub async fn connected(&self) {
        for client in &self.0.pool {
            connected(client).await;
        }
    }

    /// Looks so often, for as long as there are connections, whether the file with the authorities was renewed:
    /// those that are made from then on trust what is in it now.
    pub fn watch_authorities(&self, every: Duration) {
        if let Some(authorities) = &self.0.authorities {
            authorities.watch(every);
        }
    }

    /// Whether commands can be sent now.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.0.pool.iter().any(ClientLike::is_connected)
    }

    /// Whether the deployment is a Redis Cluster.
    #[must_use]
    pub fn is_cluster(&self) -> bool {
        self.0.settings.target.server.is_clustered()
    }

    /// The ACL user that the connections log in as.
    #[must_use]
    pub fn username(&self) -> &str {
        self.0.settings.target.username.as_deref().unwrap_or("default")
    }

    /// The URL with its password masked.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.0.settings.url
    }

    /// Closes every connection, those from [`Connection::dedicated`] too, after what was sent has been
    /// answered; waits a few seconds at most.
    pub async fn quit(&self) {
        self.0.closing.cancel();
        self.0.tasks.close();
        self.0.tasks.wait().await;
    }

    async fn start(&self, client: &Client, name: String) -> Result<(), StoreError> {
        let link = Link {
            client: client.clone(),
            name,
            url: self.0.settings.url.clone(),
            pulse: self.0.settings.command_timeout,
            closing: self.0.closing.child_token(),
            outage: Arc::clone(&self.0.outage),
        };
        if self.0.settings.first == FirstConnect::KeepTrying {
            link.start(&self.0.tasks);
            return Ok(());
        }
        // Several sentinels, or several addresses of a name, are tried one after the other.
        let patience = self.0.settings.command_timeout.saturating_mul(2);
        let opened = tokio::time::timeout(patience, link.open(&self.0.tasks))
            .await
            .unwrap_or_else(|_| Err(RedisError::new(ErrorKind::Timeout, "no answer")));
        opened.map_err(|source| StoreError::Connect {
            url: self.0.settings.url.clone(),
            source,
        })
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.closing.cancel();
    }
}

impl Settings {
    /// A client that is not connected yet.
    fn client(&self, command_timeout: Duration) -> Client {
        let performance = PerformanceConfig {
            default_command_timeout: command_timeout,
            ..PerformanceConfig::default()
        };
        let policy = ReconnectPolicy::new_exponential(0, RECONNECT_FIRST_MS, RECONNECT_LAST_MS, 2);
        let connection = self.connection();
        Client::new(self.target.clone(), Some(performance), Some(connection), Some(policy))
    }

    fn connection(&self) -> ConnectionConfig {
        ConnectionConfig {
            connection_timeout: self.command_timeout,
            internal_command_timeout: self.command_timeout,
            max_command_attempts: 1,
            max_redirections: 16,
            max_command_buffer_len: MAX_QUEUED,
            reconnect_on_auth_error: true,
            tcp: TcpConfig {
                nodelay: Some(true),
                keepalive: Some(
                    TcpKeepalive::new()
                        .with_time(KEEPALIVE_IDLE)
                        .with_interval(KEEPALIVE_EVERY),
                ),
                ..TcpConfig::default()
            },
            // A demoted master answers READONLY on a healthy connection: only reconnecting finds the new one.
            reconnect_errors: vec![
                ReconnectError::ReadOnly,
                ReconnectError::MasterDown,
                ReconnectError::Loading,
                ReconnectError::ClusterDown,
            ],
            ..ConnectionConfig::default()
        }
    }
}

/// Waits until this client is connected.
pub async fn connected(client: &Client) {
    // The client says "connected" a moment after it announced the connection, hence the short look.
    const LOOK: Duration = Duration::from_millis(50);
    loop {
        let mut announced = client.reconnect_rx();
        if client.is_connected() {
            return;
        }
        let _either = tokio::time::timeout(LOOK, announced.recv()).await;
    }
}
