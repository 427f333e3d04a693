//! How full Redis is: intake is refused early enough that what is in can still be parked (invariant 9).

use std::collections::HashMap;

use fred::prelude::*;
use fred::types::InfoKind;

use super::Store;
use super::error::StoreError;
use super::partition::measured;

/// How full the fullest server is.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Memory {
    /// Bytes in use.
    pub used: u64,
    /// The limit: `maxmemory`, or the machine's memory where there is none.
    pub limit: u64,
}

impl Memory {
    /// The share in use, 0 where no limit is known.
    #[must_use]
    pub fn ratio(&self) -> f64 {
        if self.limit == 0 {
            return 0.0;
        }
        #[expect(
            clippy::cast_precision_loss,
            reason = "a ratio of byte counts needs no more than 53 bits"
        )]
        let ratio = self.used as f64 / self.limit as f64;
        ratio
    }

    /// Reads `INFO memory`.
    fn parse(info: &str) -> Self {
        let lines = info.lines().filter_map(|line| line.split_once(':'));
        Self::of(&lines.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    /// The same from its `name:value` lines.
    pub(super) fn of(info: &HashMap<String, String>) -> Self {
        let field = |name: &str| info.get(name).and_then(|text| text.trim().parse().ok()).unwrap_or(0);
        let limit = match field("maxmemory") {
            0 => field("total_system_memory"),
            limit => limit,
        };
        Self {
            used: field("used_memory"),
            limit,
        }
    }
}

impl Store {
    /// The memory of the fullest server that holds anything of ours.
    ///
    /// # Errors
    /// When Redis can't be reached.
    pub async fn memory(&self) -> Result<Memory, StoreError> {
        let client = self.connection.client();
        if !self.connection.is_cluster() {
            let info: String = measured("INFO", client.info(Some(InfoKind::Memory))).await?;
            return Ok(Memory::parse(&info));
        }
        let mut fullest = Memory::default();
        for server in client.active_connections() {
            let node = client.with_cluster_node(&server);
            let info: String = measured("INFO", node.info(Some(InfoKind::Memory))).await?;
            let memory = Memory::parse(&info);
            if memory.ratio() >= fullest.ratio() {
                fullest = memory;
            }
        }
        Ok(fullest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_is_the_limit_where_redis_has_none() {
        let info = "# Memory\r\nused_memory:50\r\nused_memory_human:50B\r\ntotal_system_memory:400\r\nmaxmemory:0\r\n";
        assert_eq!(Memory::parse(info), Memory { used: 50, limit: 400 });
        let limited = Memory::parse("used_memory:50\r\ntotal_system_memory:400\r\nmaxmemory:100\r\n");
        assert!((limited.ratio() - 0.5).abs() < f64::EPSILON);
    }
}
