//! The only code that knows Redis: keys, scripts, and what can be asked of them.
//!
//! Everything about deliveries belongs to a [`Partition`]; the subscriptions and the number of partitions are
//! the [`Store`]'s. Each move between the two paths is one Lua script (`lua/*.lua`).

pub mod accounts;
mod advice;
pub mod alarm;
mod authorities;
mod book;
pub mod census;
pub mod circuits;
mod confirmed;
pub mod connect;
pub mod dead_letters;
pub mod drain;
pub mod embedded;
pub mod error;
pub mod events;
pub mod find;
pub mod frame;
pub mod keys;
mod link;
pub mod memory;
pub mod nodes;
pub mod outage;
mod partition;
mod past;
pub mod permissions;
pub mod probe;
pub mod pulses;
pub mod recent;
pub mod registry;
pub mod reseal;
pub mod retention;
mod scripts;
pub mod seal;
mod search;
pub mod sessions;
pub mod settings;
pub mod settle;
mod sole;
pub mod sources;
mod standing;
pub mod streams;
mod target;
pub mod vitals;
pub mod workers;

use std::sync::Arc;

use fred::prelude::*;

use self::connect::Connection;
pub use self::error::StoreError;
pub use self::partition::Partition;
use self::partition::measured;
use self::seal::Sealer;

/// The deployment's data in Redis.
#[derive(Debug)]
pub struct Store {
    connection: Connection,
    prefix: String,
    partitions: Vec<Arc<Partition>>,
    sealer: Arc<Sealer>,
}

impl Store {
    /// The store behind a connection, with as many partitions as the deployment has; `wanted` more are added,
    /// fewer are refused while a higher one holds anything.
    ///
    /// # Errors
    /// When Redis can't be reached, or the number may not shrink.
    pub async fn open(connection: Connection, prefix: &str, wanted: Option<u16>) -> Result<Self, StoreError> {
        let key = keys::partitions(prefix);
        let client = connection.client();
        let stored: Option<u16> = measured("GET", client.get(&key)).await?;
        let known = stored.unwrap_or(0);
        let count = wanted.unwrap_or_else(|| known.max(1));
        for index in count..known {
            let partition = Partition::new(connection.clone(), prefix, index);
            if !partition.is_empty().await? {
                return Err(StoreError::Setup(format!(
                    "redis.partitions is {count}, but {known} are in use and partition {index} still holds events; \
                     set HOLDFAST_REDIS__PARTITIONS={known} until they are delivered"
                )));
            }
        }
        if wanted.is_some() && count != known {
            measured::<()>("SET", client.set(&key, count, None, None, false)).await?;
        }
        let partitions = (0..count)
            .map(|index| Arc::new(Partition::new(connection.clone(), prefix, index)))
            .collect();
        Ok(Self {
            connection,
            prefix: prefix.to_owned(),
            partitions,
            sealer: Arc::default(),
        })
    }

    /// The same store with secrets sealed; until then they are kept as they are.
    #[must_use]
    pub fn sealed_by(mut self, sealer: Sealer) -> Self {
        self.sealer = Arc::new(sealer);
        self
    }

    /// Seals what is secret.
    #[must_use]
    pub fn sealer(&self) -> &Arc<Sealer> {
        &self.sealer
    }

    /// All partitions.
    #[must_use]
    pub fn partitions(&self) -> &[Arc<Partition>] {
        &self.partitions
    }

    /// The partition of a source: one BMC's events stay in one, so that they keep their order.
    #[must_use]
    pub fn partition_of(&self, source: &str) -> &Arc<Partition> {
        let count = u16::try_from(self.partitions.len()).unwrap_or(u16::MAX);
        &self.partitions[usize::from(keys::partition_of(source, count))]
    }

    /// The connection, for those who wait for it or need a client of their own.
    #[must_use]
    pub fn connection(&self) -> &Connection {
        &self.connection
    }
}
