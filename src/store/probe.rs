//! What kind of server this is, and whether it can be trusted with events.
//!
//! Called once at start by `app`, which keeps what INFO tells true from then on (`vitals`); `holdfast doctor` asks every server of a Cluster (`nodes`). A server that cannot work stops the start; one
//! that would lose events in a crash or when full is used, with a warning that says what to change.

use std::collections::HashMap;
use std::fmt;

use fred::prelude::ClientLike;
use fred::types::config::Server;
use fred::types::{ClusterHash, CustomCommand, Value};

use super::connect::Connection;
use super::error::StoreError;
use super::permissions;
use super::vitals::Vitals;

/// Who made the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flavour {
    /// Redis.
    Redis,
    /// Valkey, which also reports a Redis version.
    Valkey,
}

/// What is known of the server. `None` where it does not tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerFacts {
    /// Its own version, for example `8.1.8`.
    pub version: String,
    /// Redis or Valkey.
    pub flavour: Flavour,
    /// Whether the deployment is a Cluster; then these are the facts of one of its nodes.
    pub cluster: bool,
    /// `maxmemory` in bytes; 0 is no limit.
    pub max_memory: u64,
    /// `maxmemory-policy`.
    pub policy: String,
    /// Whether an append-only file is written.
    pub append_only: bool,
    /// `appendfsync`, where the user may read it.
    pub fsync: Option<String>,
    /// Replicas that are connected now.
    pub replicas: u64,
    /// `min-replicas-to-write`, where the user may read it.
    pub min_replicas: Option<u64>,
}

impl fmt::Display for Flavour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Redis => "Redis",
            Self::Valkey => "Valkey",
        })
    }
}

impl ServerFacts {
    /// The `maxmemory-policy` that loses nothing.
    pub(super) const NO_EVICTION: &'static str = "noeviction";

    /// Takes over what the servers tell of themselves now.
    pub fn renew(&mut self, vitals: &Vitals) {
        self.max_memory = vitals.max_memory;
        self.append_only = vitals.append_only;
        self.policy.clone_from(&vitals.policy);
        self.replicas = vitals.replicas;
    }

    /// What an operator should change so that no event can be lost; empty when all is well. `confirming` is
    /// `redis.confirm_replicas`.
    #[must_use]
    pub fn warnings(&self, confirming: u32) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.policy != Self::NO_EVICTION {
            warnings.push(format!(
                "maxmemory-policy is {}: a full Redis throws events away; set it to noeviction",
                self.policy
            ));
        }
        if !self.append_only {
            warnings.push(
                "appendonly is off: a restart of Redis loses events; set appendonly yes and appendfsync everysec"
                    .to_owned(),
            );
        }
        if self.append_only && self.fsync.as_deref() == Some("no") {
            warnings.push(
                "appendfsync is no: a power cut loses what the system had not written yet; set everysec or always"
                    .to_owned(),
            );
        }
        if self.max_memory == 0 {
            warnings.push(
                "maxmemory is 0: intake cannot be refused before the machine runs out of memory; set a limit"
                    .to_owned(),
            );
        }
        if self.replicas > 0 && self.min_replicas == Some(0) {
            warnings.push(
                "min-replicas-to-write is 0: a master cut off from its replicas goes on accepting events that a \
                 failover throws away; set it to 1"
                    .to_owned(),
            );
        }
        if self.replicas > 0 && confirming == 0 {
            warnings.push(
                "redis.confirm_replicas is 0: a failover to a replica that lags behind throws away events that were \
                 accepted last; set HOLDFAST_REDIS__CONFIRM_REPLICAS=1"
                    .to_owned(),
            );
        }
        if self.replicas < u64::from(confirming) {
            warnings.push(format!(
                "redis.confirm_replicas is {confirming}, but only {} connected: every event is refused; bring back the \
                 replicas, or set HOLDFAST_REDIS__CONFIRM_REPLICAS to what there is",
                match self.replicas {
                    1 => "1 replica is".to_owned(),
                    n => format!("{n} replicas are"),
                }
            ));
        }
        warnings
    }
}

/// Learns about the server and tries every command that Holdfast uses.
///
/// # Errors
/// [`StoreError::Setup`] when the server is a replica, or a command is missing or forbidden; the message
/// names it and what to do. [`StoreError::Command`] when the server cannot be asked.
pub async fn probe(connection: &Connection, prefix: &str) -> Result<ServerFacts, StoreError> {
    // First, for a replica refuses the trial of the commands, and each refusal drops the connection. A
    // user who may not run INFO is told so by the trial.
    let first = Teller::of_partition_0(connection, prefix);
    let replication = match first.info("replication").await {
        Err(error) if error.is_permission() => HashMap::new(),
        replication => replication?,
    };
    if replication.get("role").is_some_and(|role| role != "master") {
        return Err(StoreError::Setup(format!(
            "the Redis at {} is a replica and takes no writes; point HOLDFAST_REDIS__URL at its master or at the sentinels",
            connection.url()
        )));
    }
    permissions::check(connection, prefix).await?;
    facts(&first, &replication).await
}

/// What one server tells of itself, `replication` being that section of its INFO.
///
/// # Errors
/// When it can't be asked.
pub(super) async fn facts(of: &Teller<'_>, replication: &HashMap<String, String>) -> Result<ServerFacts, StoreError> {
    let server = of.info("server").await?;
    let memory = of.info("memory").await?;
    let persistence = of.info("persistence").await?;
    let text = |section: &HashMap<String, String>, name: &str| section.get(name).cloned().unwrap_or_default();
    let number = |section: &HashMap<String, String>, name: &str| text(section, name).parse().unwrap_or(0);
    let valkey = server.get("valkey_version").cloned();
    let (fsync, min_replicas) = of.durability_settings().await?;
    Ok(ServerFacts {
        flavour: if valkey.is_some() {
            Flavour::Valkey
        } else {
            Flavour::Redis
        },
        version: valkey.unwrap_or_else(|| text(&server, "redis_version")),
        cluster: of.connection.is_cluster(),
        max_memory: number(&memory, "maxmemory"),
        policy: text(&memory, "maxmemory_policy"),
        append_only: number(&persistence, "aof_enabled") == 1,
        fsync,
        replicas: number(replication, "connected_slaves"),
        min_replicas,
    })
}

/// One server of a deployment, to be asked about itself.
pub(super) struct Teller<'a> {
    connection: &'a Connection,
    at: At,
}

enum At {
    /// Whoever serves this slot.
    Slot(u16),
    /// This node of a Cluster.
    Node(Server),
}

impl<'a> Teller<'a> {
    /// The server that holds partition 0.
    pub(super) fn of_partition_0(connection: &'a Connection, prefix: &str) -> Self {
        let slot = fred::util::redis_keyslot(format!("{prefix}:{{0}}:").as_bytes());
        Self {
            connection,
            at: At::Slot(slot),
        }
    }

    /// One node of a Cluster.
    pub(super) fn of_node(connection: &'a Connection, node: Server) -> Self {
        Self {
            connection,
            at: At::Node(node),
        }
    }

    /// One section of INFO as its `name:value` lines.
    pub(super) async fn info(&self, section: &str) -> Result<HashMap<String, String>, StoreError> {
        let answer = self
            .ask("INFO", vec![section])
            .await
            .map_err(StoreError::command("INFO"))?;
        let text = answer.into_string().unwrap_or_default();
        let pairs = text.lines().filter_map(|line| line.split_once(':'));
        Ok(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    /// `appendfsync` and `min-replicas-to-write`, each where the user may read it.
    pub(super) async fn durability_settings(&self) -> Result<(Option<String>, Option<u64>), StoreError> {
        let fsync = self.setting("appendfsync").await?;
        let min_replicas = self.setting("min-replicas-to-write").await?;
        Ok((fsync, min_replicas.and_then(|text| text.parse().ok())))
    }

    /// One configuration value, or nothing where CONFIG is forbidden or hidden, as on managed servers.
    async fn setting(&self, name: &str) -> Result<Option<String>, StoreError> {
        match self.ask("CONFIG", vec!["GET", name]).await {
            Ok(answer) => {
                let pair: Vec<String> = answer.convert().unwrap_or_default();
                Ok(pair.into_iter().nth(1))
            }
            Err(source) => {
                let error = StoreError::Command {
                    op: "CONFIG GET",
                    source,
                };
                if error.is_disconnected() { Err(error) } else { Ok(None) }
            }
        }
    }

    pub(super) async fn ask(&self, command: &'static str, words: Vec<&str>) -> Result<Value, fred::error::Error> {
        let client = self.connection.client();
        match &self.at {
            At::Slot(slot) => {
                let command = CustomCommand::new_static(command, ClusterHash::Custom(*slot), false);
                client.custom(command, words).await
            }
            At::Node(node) => {
                let command = CustomCommand::new_static(command, ClusterHash::FirstKey, false);
                client.with_cluster_node(node).custom(command, words).await
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn durable() -> ServerFacts {
        ServerFacts {
            version: "7.0.15".to_owned(),
            flavour: Flavour::Redis,
            cluster: false,
            max_memory: 1 << 30,
            policy: "noeviction".to_owned(),
            append_only: true,
            fsync: Some("everysec".to_owned()),
            replicas: 1,
            min_replicas: Some(1),
        }
    }

    #[test]
    fn each_weakness_is_named() {
        assert_eq!(durable().warnings(1), Vec::<String>::new());
        let weak = [
            (
                "noeviction",
                ServerFacts {
                    policy: "allkeys-lru".to_owned(),
                    ..durable()
                },
            ),
            (
                "appendonly",
                ServerFacts {
                    append_only: false,
                    ..durable()
                },
            ),
            (
                "appendfsync",
                ServerFacts {
                    fsync: Some("no".to_owned()),
                    ..durable()
                },
            ),
            (
                "maxmemory",
                ServerFacts {
                    max_memory: 0,
                    ..durable()
                },
            ),
            (
                "min-replicas-to-write",
                ServerFacts {
                    min_replicas: Some(0),
                    ..durable()
                },
            ),
        ];
        for (word, facts) in weak {
            let warnings = facts.warnings(1);
            assert_eq!(warnings.len(), 1, "{warnings:?}");
            assert!(warnings[0].contains(word), "{warnings:?}");
        }
        for (replicas, confirming, said) in [
            (1, 0, Some("confirm_replicas is 0")),
            (0, 0, None),
            (2, 1, None),
            (1, 2, Some("only 1 replica is connected: every event is refused")),
            (0, 1, Some("only 0 replicas are connected")),
        ] {
            let warnings = ServerFacts { replicas, ..durable() }.warnings(confirming);
            assert_eq!(warnings.len(), usize::from(said.is_some()), "{warnings:?}");
            assert!(said.is_none_or(|said| warnings[0].contains(said)), "{warnings:?}");
        }
    }
}
