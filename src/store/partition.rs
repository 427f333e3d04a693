//! One partition of the store: its keys, the way to call its scripts, and its groups.

use std::time::Instant;

use fred::prelude::*;
use fred::types::scripts::Script;

use super::alarm::Alarm;
use super::confirmed::Confirmed;
use super::connect::Connection;
use super::error::StoreError;
use super::events::Stream;
use super::keys::Keys;
use super::outage::Outage;
use super::past::Past;
use super::recent::Recording;
use super::scripts::SCRIPTS;
use super::sources::Heard;
use crate::domain::ids::StreamId;
use crate::telemetry::metrics;

/// A partition: two streams with their group, the retry queues, and all that belongs to them.
#[derive(Debug)]
pub struct Partition {
    /// Its number, part of every delivery id.
    pub index: u16,
    /// Rung for each wake-up that this process makes.
    pub alarm: Alarm,
    /// Whether this process finds Redis working.
    pub outage: Outage,
    /// Whether what this process settles is remembered.
    pub recording: Recording,
    pub(super) heard: Heard,
    pub(super) confirmed: Confirmed,
    pub(super) past: Past,
    pub(super) keys: Keys,
    pub(super) connection: Connection,
}

impl Partition {
    pub(super) fn new(connection: Connection, prefix: &str, index: u16) -> Self {
        Self {
            index,
            alarm: Alarm::default(),
            outage: Outage::default(),
            recording: Recording::default(),
            heard: Heard::default(),
            confirmed: Confirmed::default(),
            past: Past::default(),
            keys: Keys::new(prefix, index),
            connection,
        }
    }

    /// The names of its keys.
    #[must_use]
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Calls a script on this partition's slot, reloading it where the server forgot it.
    pub(super) async fn call<R: FromValue>(
        &self,
        op: &'static str,
        script: &Script,
        args: Vec<Value>,
    ) -> Result<R, StoreError> {
        let client = self.connection.client();
        measured(
            op,
            script.evalsha_with_reload(client, vec![self.keys.events.as_str()], args),
        )
        .await
    }

    /// Whether nothing waits here: no event, no parked delivery, no dead letter.
    pub(super) async fn is_empty(&self) -> Result<bool, StoreError> {
        let snapshot = self.snapshot(std::time::Duration::ZERO).await?;
        Ok(snapshot.events == 0 && snapshot.dead_letters == 0 && snapshot.ledger.parked == 0)
    }

    /// Whether both streams and their group are there.
    ///
    /// # Errors
    /// When Redis can't be reached or refuses.
    pub async fn has_groups(&self) -> Result<bool, StoreError> {
        let first = StreamId { millis: 0, sequence: 0 };
        for stream in [Stream::Events, Stream::Redeliveries] {
            match self.owns(stream, first, "").await {
                Err(error) if error.is_no_group() => return Ok(false),
                answer => answer?,
            };
        }
        Ok(true)
    }

    /// Makes both streams and their group, reading from the first entry, where they are missing; at the memory
    /// limit too, or a full Redis could not be emptied by a worker that starts. Answers how many were made.
    ///
    /// # Errors
    /// When Redis can't be reached or refuses.
    pub async fn ensure_groups(&self) -> Result<u8, StoreError> {
        self.call("groups", &SCRIPTS.groups, Vec::new()).await
    }
}

/// Runs one command, and counts its time or its failure.
pub(super) async fn measured<R>(
    op: &'static str,
    command: impl Future<Output = FredResult<R>>,
) -> Result<R, StoreError> {
    let started = Instant::now();
    let result = command.await.map_err(StoreError::command(op));
    metrics::redis_command(op, started.elapsed());
    if let Err(error) = &result {
        metrics::redis_error(op, error.label());
    }
    result
}
