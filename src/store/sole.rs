//! One connection to one master that is never made again, for what speaks of the connection it is sent on: `WAIT`
//! counts the replicas that have what its own connection wrote, and answers anything on another.
//!
//! The client has no reconnect policy and tries nothing twice, so what breaks the connection ends it. That is not only
//! trusted: the connection is given a name that no other has ever had, and every answer is asked for the name last. A
//! client that had connected anew in between would answer another one.

use std::time::Duration;

use fred::clients::{Client, Pipeline};
use fred::error::{Error as RedisError, ErrorKind};
use fred::prelude::{ClientLike, ClusterInterface, FredResult};
use fred::types::config::Server;
use fred::types::{ClusterHash, ConnectHandle, CustomCommand, Value};

use super::connect::Connection;
use super::error::StoreError;

/// A connection from its making to its end; closed when dropped.
pub(super) struct Sole {
    client: Client,
    running: ConnectHandle,
    name: String,
    patience: Duration,
}

/// What came of commands and the `WAIT` behind them.
pub(super) struct Written {
    /// The answer to each command.
    pub(super) answers: Vec<FredResult<Value>>,
    /// How many replicas have all that the commands wrote.
    pub(super) replicas: FredResult<u32>,
}

impl Sole {
    /// Connects to the master of a slot, or to `at`, a node of its Cluster.
    ///
    /// # Errors
    /// When no connection can be made in time.
    pub(super) async fn open(connection: &Connection, slot: u16, at: Option<Server>) -> Result<Self, StoreError> {
        let at = match at {
            None if connection.is_cluster() => Some(owner(connection, slot).await?),
            at => at,
        };
        let client = connection.once(at);
        let patience = connection.command_timeout();
        let sole = Self {
            running: client.connect(),
            client,
            name: format!("holdfast-confirming-{:032x}", rand::random::<u128>()),
            patience,
        };
        // Several sentinels, or several addresses of a name, are tried one after the other.
        let made = tokio::time::timeout(patience.saturating_mul(2), sole.client.wait_for_connect()).await;
        let no_answer = || RedisError::new(ErrorKind::Timeout, "no answer");
        let made = made.unwrap_or_else(|_| Err(no_answer()));
        made.map_err(|source| StoreError::Connect {
            url: connection.url().to_owned(),
            source,
        })?;
        let naming = sole
            .client
            .custom::<(), _>(command("CLIENT"), vec!["SETNAME", &sole.name]);
        let named = tokio::time::timeout(patience, naming).await;
        named
            .unwrap_or_else(|_| Err(no_answer()))
            .map_err(StoreError::command("CLIENT SETNAME"))?;
        Ok(sole)
    }

    /// Whether it has not ended yet, as far as is known.
    pub(super) fn is_open(&self) -> bool {
        !self.running.is_finished()
    }

    /// For the commands of [`Self::send`].
    pub(super) fn pipeline(&self) -> Pipeline<Client> {
        self.client.pipeline()
    }

    /// Sends `count` commands and asks how many replicas have what they wrote, waiting for `replicas` of them for so
    /// long. With no commands that is how many have all that this connection saw written.
    ///
    /// # Errors
    /// When the connection broke, or was silent for too long: any of it may have been done. It is of no use any more.
    pub(super) async fn send(
        &self,
        commands: Pipeline<Client>,
        count: usize,
        replicas: u32,
        within: Duration,
    ) -> Result<Written, RedisError> {
        // Zero would be for ever.
        let millis = u64::try_from(within.as_millis()).unwrap_or(u64::MAX).max(1);
        let words = vec![replicas.to_string(), millis.to_string()];
        commands.custom::<(), _>(command("WAIT"), words).await?;
        commands.custom::<(), _>(command("CLIENT"), vec!["GETNAME"]).await?;
        let answers = tokio::time::timeout(within + self.patience, commands.try_all::<Value>()).await;
        let mut answers = answers.map_err(|_| RedisError::new(ErrorKind::Timeout, "no answer"))?;
        let name = answers.pop().unwrap_or(Ok(Value::Null));
        let waited = answers.pop().unwrap_or(Ok(Value::Null));
        // Whatever kept the name from being told, what stands before it may have been done.
        let doubt = |why: &str| RedisError::new(ErrorKind::IO, why.to_owned());
        let name = name.map_err(|why| doubt(why.details()))?;
        if answers.len() != count || name.as_str().as_deref() != Some(self.name.as_str()) {
            return Err(doubt("the connection was replaced"));
        }
        Ok(Written {
            answers,
            replicas: waited.and_then(Value::convert),
        })
    }
}

impl Drop for Sole {
    fn drop(&mut self) {
        self.running.abort();
    }
}

/// A command without keys.
pub(super) fn command(name: &'static str) -> CustomCommand {
    CustomCommand::new_static(name, ClusterHash::FirstKey, false)
}

/// The node that serves a slot now. Asked for anew: what is known may be why the last connection ended.
async fn owner(connection: &Connection, slot: u16) -> Result<Server, StoreError> {
    let client = connection.client();
    let asking = tokio::time::timeout(connection.command_timeout(), client.sync_cluster()).await;
    asking
        .unwrap_or_else(|_| Err(RedisError::new(ErrorKind::Timeout, "no answer")))
        .map_err(StoreError::command("CLUSTER SLOTS"))?;
    let state = client.cached_cluster_state();
    state
        .as_ref()
        .and_then(|state| state.get_server(slot))
        .cloned()
        .ok_or_else(|| {
            let unserved = RedisError::new(ErrorKind::Cluster, format!("CLUSTERDOWN nobody serves slot {slot}"));
            StoreError::command("CLUSTER SLOTS")(unserved)
        })
}
