//! Every server that holds anything of ours, one by one: what it is, how it keeps its data, what its clock says.
//!
//! For `holdfast doctor`; read only. On a Cluster these are all masters, else the one server.

use std::collections::HashMap;
use std::time::{Duration, Instant, SystemTime};

use fred::prelude::ClientLike;

use super::Store;
use super::error::StoreError;
use super::memory::Memory;
use super::probe::{ServerFacts, Teller, facts};

/// PINGs for one round trip time: the shortest counts.
const PINGS: usize = 3;

/// What is known of one server now.
#[derive(Debug, Clone)]
pub struct Node {
    /// Its address, `host:port` or the path of its socket.
    pub address: String,
    /// From a PING to its answer.
    pub round_trip: Duration,
    /// By how much its clock is ahead of this machine's, in ms.
    pub clock_ahead_ms: i64,
    /// `master`, or `slave` for a replica.
    pub role: String,
    /// Version and settings.
    pub facts: ServerFacts,
    /// How full it is.
    pub memory: Memory,
    /// Bytes of data, without buffers and other overhead.
    pub dataset: u64,
    /// Whether the last writes to its disk went well.
    pub disk: Disk,
}

/// How a server's last writes to its disk ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Disk {
    /// What went wrong, in the words of INFO (`aof_last_write_status`); empty when nothing did.
    pub failing: Vec<String>,
    /// Writes that waited for a slow fsync since the server started.
    pub delayed_fsyncs: u64,
}

impl Store {
    /// All servers, by address.
    ///
    /// # Errors
    /// When one of them can't be asked.
    pub async fn nodes(&self) -> Result<Vec<Node>, StoreError> {
        let client = self.connection.client();
        let mut nodes = Vec::new();
        for server in client.active_connections() {
            let teller = if self.connection.is_cluster() {
                Teller::of_node(&self.connection, server.clone())
            } else {
                Teller::of_partition_0(&self.connection, &self.prefix)
            };
            nodes.push(node(server.to_string(), &teller).await?);
        }
        nodes.sort_by(|a, b| a.address.cmp(&b.address));
        Ok(nodes)
    }

    /// First part of every key.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }
}

async fn node(address: String, teller: &Teller<'_>) -> Result<Node, StoreError> {
    let replication = teller.info("replication").await?;
    let memory = teller.info("memory").await?;
    let persistence = teller.info("persistence").await?;
    let round_trip = round_trip(teller).await?;
    Ok(Node {
        address,
        round_trip,
        clock_ahead_ms: clock_ahead(teller).await?,
        role: replication.get("role").cloned().unwrap_or_default(),
        facts: facts(teller, &replication).await?,
        memory: Memory::of(&memory),
        dataset: number(&memory, "used_memory_dataset"),
        disk: disk(&persistence),
    })
}

async fn round_trip(teller: &Teller<'_>) -> Result<Duration, StoreError> {
    let mut shortest = Duration::MAX;
    for _ in 0..PINGS {
        let began = Instant::now();
        teller
            .ask("PING", Vec::new())
            .await
            .map_err(StoreError::command("PING"))?;
        shortest = shortest.min(began.elapsed());
    }
    Ok(shortest)
}

/// The server's TIME against this machine's clock at the middle of the exchange.
async fn clock_ahead(teller: &Teller<'_>) -> Result<i64, StoreError> {
    let (before, began) = (SystemTime::now(), Instant::now());
    let answer = teller
        .ask("TIME", Vec::new())
        .await
        .map_err(StoreError::command("TIME"))?;
    let here = before.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default() + began.elapsed() / 2;
    let (seconds, micros): (i64, i64) = answer.convert().map_err(StoreError::command("TIME"))?;
    let there = seconds.saturating_mul(1_000).saturating_add(micros / 1_000);
    Ok(there.saturating_sub(i64::try_from(here.as_millis()).unwrap_or(i64::MAX)))
}

fn disk(persistence: &HashMap<String, String>) -> Disk {
    let bad = |name: &&str| persistence.get(*name).is_some_and(|status| status == "err");
    let watched = [
        "aof_last_write_status",
        "aof_last_bgrewrite_status",
        "rdb_last_bgsave_status",
    ];
    Disk {
        failing: watched
            .iter()
            .filter(|name| bad(name))
            .map(ToString::to_string)
            .collect(),
        delayed_fsyncs: number(persistence, "aof_delayed_fsync"),
    }
}

fn number(section: &HashMap<String, String>, name: &str) -> u64 {
    section.get(name).and_then(|text| text.parse().ok()).unwrap_or(0)
}
