//! What INFO tells of the servers all the while: how full they are, and how they keep their data.
//!
//! For the gauges, at every refresh: one command a server says both, so that what somebody changes in a running server
//! is seen without asking more.

use std::collections::HashMap;

use fred::prelude::*;

use super::Store;
use super::error::StoreError;
use super::memory::Memory;
use super::partition::measured;
use super::probe::{ServerFacts, Teller};

/// What is known of a deployment's servers now: on a Cluster, of each figure the worst.
#[derive(Debug, Clone, PartialEq)]
pub struct Vitals {
    /// How full the fullest is.
    pub memory: Memory,
    /// `maxmemory` in bytes; 0 is no limit.
    pub max_memory: u64,
    /// Whether all write an append-only file.
    pub append_only: bool,
    /// `maxmemory-policy`.
    pub policy: String,
    /// Replicas that are connected now.
    pub replicas: u64,
}

impl Vitals {
    fn parse(info: &str) -> Self {
        let lines = info.lines().filter_map(|line| line.split_once(':'));
        let fields: HashMap<String, String> = lines
            .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
            .collect();
        let number = |name: &str| fields.get(name).and_then(|text| text.parse().ok()).unwrap_or(0);
        Self {
            memory: Memory::of(&fields),
            max_memory: number("maxmemory"),
            append_only: number("aof_enabled") == 1,
            policy: fields.get("maxmemory_policy").cloned().unwrap_or_default(),
            replicas: number("connected_slaves"),
        }
    }

    /// Both as one: what is worse of each.
    fn and(self, other: Self) -> Self {
        Self {
            memory: if other.memory.ratio() >= self.memory.ratio() {
                other.memory
            } else {
                self.memory
            },
            max_memory: self.max_memory.min(other.max_memory),
            append_only: self.append_only && other.append_only,
            policy: if self.policy == ServerFacts::NO_EVICTION {
                other.policy
            } else {
                self.policy
            },
            replicas: self.replicas.max(other.replicas),
        }
    }
}

impl Store {
    /// What the servers that hold anything of ours tell now; nothing where none is in reach.
    ///
    /// # Errors
    /// When Redis can't be reached.
    pub async fn vitals(&self) -> Result<Option<Vitals>, StoreError> {
        let client = self.connection.client();
        if !self.connection.is_cluster() {
            let info: String = measured("INFO", client.info(None)).await?;
            return Ok(Some(Vitals::parse(&info)));
        }
        let mut all: Option<Vitals> = None;
        for server in client.active_connections() {
            let node = client.with_cluster_node(&server);
            let info: String = measured("INFO", node.info(None)).await?;
            let one = Vitals::parse(&info);
            all = Some(match all {
                None => one,
                Some(all) => all.and(one),
            });
        }
        Ok(all)
    }

    /// `appendfsync` and `min-replicas-to-write` as they are now, where the user may read them.
    ///
    /// # Errors
    /// When Redis can't be reached.
    pub async fn durability_settings(&self) -> Result<(Option<String>, Option<u64>), StoreError> {
        Teller::of_partition_0(&self.connection, &self.prefix)
            .durability_settings()
            .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STRONG: &str = "# Memory\r\nused_memory:50\r\nmaxmemory:100\r\nmaxmemory_policy:noeviction\r\n\
                          # Persistence\r\naof_enabled:1\r\n# Replication\r\nconnected_slaves:1\r\n";

    #[test]
    fn one_info_tells_all() {
        let expected = Vitals {
            memory: Memory { used: 50, limit: 100 },
            max_memory: 100,
            append_only: true,
            policy: "noeviction".to_owned(),
            replicas: 1,
        };
        assert_eq!(Vitals::parse(STRONG), expected);
    }

    #[test]
    fn of_several_servers_the_worst_counts() {
        let strong = Vitals::parse(STRONG);
        let weak = Vitals::parse(
            "used_memory:90\r\nmaxmemory:100\r\nmaxmemory_policy:allkeys-lru\r\naof_enabled:0\r\nconnected_slaves:1\r\n",
        );
        assert_eq!(strong.clone().and(weak.clone()), weak);
        assert_eq!(weak.clone().and(strong), weak);
    }
}
