//! Keeps one client connected for as long as it is wanted.
//!
//! The client reconnects by itself, with two gaps closed here: its inner task can end (a full command
//! buffer at the wrong moment), and it does not notice a peer that vanished silently while commands are
//! being written. Either way it is started afresh. Losing and finding the server is logged once each.
//! Keeps invariant 10: a restarted Redis is reconnected to for ever.

use std::sync::Arc;
use std::time::Duration;

use fred::clients::Client;
use fred::error::{Error as RedisError, ErrorKind};
use fred::prelude::{ClientLike, EventInterface};
use fred::types::config::Server;
use fred::types::{ClusterHash, ConnectHandle, CustomCommand, Value};
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};

use super::error::StoreError;
use super::outage::Outage;

/// Pause before a client whose task ended is started again.
const RESTART_PAUSE: Duration = Duration::from_millis(500);
/// How long a client may take to say goodbye.
const GOODBYE: Duration = Duration::from_secs(3);

/// One client and what keeps it alive.
pub(super) struct Link {
    pub(super) client: Client,
    /// Shown in `CLIENT LIST` and in logs.
    pub(super) name: String,
    /// The server, password masked.
    pub(super) url: String,
    /// How long the server may take for a sign of life, asked for every other such period.
    pub(super) pulse: Duration,
    pub(super) closing: CancellationToken,
    /// Shared by all clients of a connection, so that an outage is said once.
    pub(super) outage: Arc<Outage>,
}

impl Link {
    /// Makes the first connection, or answers its error.
    pub(super) async fn open(self, tasks: &TaskTracker) -> Result<(), RedisError> {
        tasks.spawn(self.watch());
        let running = self.client.init().await?;
        tasks.spawn(self.drive(running));
        Ok(())
    }

    /// Starts connecting and goes on until it succeeds.
    pub(super) fn start(self, tasks: &TaskTracker) {
        tasks.spawn(self.watch());
        let running = self.client.connect();
        tasks.spawn(self.drive(running));
    }

    /// Starts the client again whenever its task ends or its server falls silent, until it is closed.
    async fn drive(self, mut running: ConnectHandle) {
        loop {
            tokio::select! {
                ended = &mut running => {
                    warn!(client = %self.name, url = %self.url, ?ended, "the Redis client stopped; starting it again");
                }
                () = self.silence() => {
                    warn!(client = %self.name, url = %self.url, "Redis does not answer; dropping the connection");
                    // Not a polite reconnect: the task may be stuck in a write that nobody reads.
                    running.abort();
                }
                () = self.closing.cancelled() => return self.part(running).await,
            }
            tokio::select! {
                () = tokio::time::sleep(RESTART_PAUSE) => {}
                () = self.closing.cancelled() => return,
            }
            running = self.client.connect();
        }
    }

    /// Returns when a connected server stopped answering. On a client with a blocking read the PING
    /// waits for the end of that read, so reads must block for less than `pulse`.
    async fn silence(&self) {
        loop {
            tokio::time::sleep(self.pulse.saturating_mul(2)).await;
            if !self.client.is_connected() {
                continue;
            }
            let ping = tokio::time::timeout(self.pulse, self.client.ping::<Value>(None)).await;
            match ping {
                Ok(Err(error)) if *error.kind() == ErrorKind::Timeout => return,
                Err(_) => return,
                Ok(_) => {}
            }
        }
    }

    /// Says goodbye, and closes the connection whether or not the server hears it.
    async fn part(&self, mut running: ConnectHandle) {
        let goodbye = async {
            let _unheard = self.client.quit().await;
            let _ended = (&mut running).await;
        };
        if tokio::time::timeout(GOODBYE, goodbye).await.is_err() {
            debug!(client = %self.name, "Redis did not answer the goodbye; closing");
            running.abort();
        }
    }

    /// Logs outages and names each new connection.
    fn watch(&self) -> impl Future<Output = ()> + Send + use<> {
        let (client, name, url) = (self.client.clone(), self.name.clone(), self.url.clone());
        let (closing, outage) = (self.closing.clone(), Arc::clone(&self.outage));
        let (mut errors, mut connections) = (client.error_rx(), client.reconnect_rx());
        async move {
            loop {
                tokio::select! {
                    () = closing.cancelled() => return,
                    connected = connections.recv() => match connected {
                        Ok(server) => {
                            if let Some(outage) = outage.end() {
                                info!(%url, seconds = outage.as_secs_f32(), "connected to Redis again");
                            }
                            introduce(&client, &name, server).await;
                        }
                        Err(RecvError::Lagged(_)) => {}
                        Err(RecvError::Closed) => return,
                    },
                    error = errors.recv() => match error {
                        Ok((source, _)) => if outage.begin() {
                            let error = StoreError::Connect { url: url.clone(), source };
                            warn!(%url, %error, "no connection to Redis; trying again until there is one");
                        },
                        Err(RecvError::Lagged(_)) => {}
                        Err(RecvError::Closed) => return,
                    },
                }
            }
        }
    }
}

/// `CLIENT SETNAME`, for the operator's `CLIENT LIST`; a user who may not run it loses only the name.
async fn introduce(client: &Client, name: &str, server: Server) {
    let command = CustomCommand::new_static("CLIENT", ClusterHash::Random, false);
    let words = vec!["SETNAME", name];
    let answer = if client.is_clustered() {
        client.with_cluster_node(server).custom::<(), _>(command, words).await
    } else {
        client.custom::<(), _>(command, words).await
    };
    if let Err(error) = answer {
        debug!(client = %name, %error, "the connection has no name in CLIENT LIST");
    }
}
