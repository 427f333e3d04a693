//! Which workers live, and taking over what a dead one held.
//!
//! Keeps invariants 7 and 8: the heartbeat is the lease of everything a worker holds.

use std::time::Duration;

use fred::prelude::*;

use super::error::StoreError;
use super::events::{Entry, Stream, array, convert, parse_entry};
use super::keys::GROUP;
use super::partition::{Partition, measured};
use super::scripts::SCRIPTS;
use super::settle::millis;
use crate::domain::ids::StreamId;

/// What came of an attempt to take over from a worker.
#[derive(Debug)]
pub enum Claim {
    /// It had no heartbeat; one was made for it, to be watched from now on.
    Watch,
    /// It lives.
    Alive,
    /// Its entries are ours now.
    Claimed {
        /// Nothing is left of it.
        finished: bool,
        /// Pending entries that were gone from their stream.
        gone: u64,
        /// What was taken over.
        entries: Vec<(Stream, Entry)>,
    },
}

impl Partition {
    /// Tells that this worker lives; answers all workers with their last heartbeat in ms (0: left).
    ///
    /// # Errors
    /// When Redis can't be reached.
    pub async fn heartbeat(&self, worker: &str) -> Result<Vec<(String, f64)>, StoreError> {
        let args = vec![worker.into(), "alive".into()];
        let known = self.past.known();
        let (before, workers): (String, Vec<(String, f64)>) = self.call("heartbeat", &SCRIPTS.heartbeat, args).await?;
        let now = workers.iter().find(|(name, _)| name == worker);
        self.past.heartbeat(
            self.index,
            known,
            before.parse().ok(),
            now.map(|(_, beat)| whole(*beat)),
        );
        Ok(workers)
    }

    /// All workers with their last heartbeat, ms since the epoch (0: left); read only.
    ///
    /// # Errors
    /// When Redis can't be reached.
    pub async fn heartbeats(&self) -> Result<Vec<(String, u64)>, StoreError> {
        let client = self.connection.client();
        let workers = client.zrange(self.keys.workers(), 0, -1, None, false, None, true);
        let beats: Vec<(String, f64)> = measured("ZRANGE", workers).await?;
        Ok(beats.into_iter().map(|(name, beat)| (name, whole(beat))).collect())
    }

    /// Tells that this worker left: peers take over what it may still hold at once.
    ///
    /// # Errors
    /// When Redis can't be reached.
    pub async fn leave(&self, worker: &str) -> Result<(), StoreError> {
        let args = vec![worker.into(), "left".into()];
        let _: Value = self.call("heartbeat", &SCRIPTS.heartbeat, args).await?;
        Ok(())
    }

    /// Names of all consumers of both groups: a worker can die before its first heartbeat.
    ///
    /// # Errors
    /// When Redis can't be reached or a group is missing.
    pub async fn consumers(&self) -> Result<Vec<String>, StoreError> {
        let mut names = Vec::new();
        for stream in [Stream::Events, Stream::Redeliveries] {
            let client = self.connection.client();
            let rows: Value = measured("XINFO CONSUMERS", client.xinfo_consumers(self.key(stream), GROUP)).await?;
            for row in array(rows)? {
                names.extend(consumer_name(row)?);
            }
        }
        names.sort_unstable();
        names.dedup();
        Ok(names)
    }

    /// Takes over up to `most` entries a stream from a worker whose heartbeat was `observed` (its score) not
    /// to move for the dead-after time.
    ///
    /// # Errors
    /// When Redis can't be reached or a group is missing.
    pub async fn claim(
        &self,
        me: &str,
        dead: &str,
        observed: f64,
        dead_after: Duration,
        most: usize,
    ) -> Result<Claim, StoreError> {
        let args = vec![
            me.into(),
            dead.into(),
            format!("{observed:.0}").into(),
            millis(dead_after).into(),
            i64::try_from(most).unwrap_or(i64::MAX).into(),
        ];
        let answer: Vec<Value> = self.call("claim", &SCRIPTS.claim, args).await?;
        let mut answer = answer.into_iter();
        let mut next = || answer.next().unwrap_or(Value::Null);
        match convert::<String>(next())?.as_str() {
            "watch" => return Ok(Claim::Watch),
            "alive" => return Ok(Claim::Alive),
            _ => {}
        }
        let finished = convert::<u8>(next())? == 1;
        let gone = convert(next())?;
        let mut entries = Vec::new();
        for row in answer {
            entries.push(self.claimed(row)?);
        }
        Ok(Claim::Claimed {
            finished,
            gone,
            entries,
        })
    }

    /// `[stream key, id, times, fields]`
    fn claimed(&self, row: Value) -> Result<(Stream, Entry), StoreError> {
        let mut cells = array(row)?.into_iter();
        let mut next = || cells.next().unwrap_or(Value::Null);
        let key: String = convert(next())?;
        let id = next();
        let times = convert(next())?;
        let entry = parse_entry(Value::Array(vec![id, next()]), times)?;
        let stream = if key == self.keys.events {
            Stream::Events
        } else {
            Stream::Redeliveries
        };
        Ok((stream, entry))
    }

    /// Marks an entry as processed alone: if this worker dies now, the entry is to blame.
    ///
    /// # Errors
    /// When Redis can't be reached.
    pub async fn mark_alone(&self, worker: &str, entry: StreamId) -> Result<(), StoreError> {
        let args = vec![worker.into(), entry.to_string().into()];
        let _: Value = self.call("alone", &SCRIPTS.alone, args).await?;
        Ok(())
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a time in ms fits 53 bits, and the cast saturates"
)]
fn whole(beat: f64) -> u64 {
    beat as u64
}

/// A row of XINFO CONSUMERS, `[name, value, …]` or a map.
fn consumer_name(row: Value) -> Result<Option<String>, StoreError> {
    if let Value::Map(map) = row {
        return map.get(&"name".into()).cloned().map(convert).transpose();
    }
    let cells = array(row)?;
    let at = cells.iter().position(|cell| cell.as_str().as_deref() == Some("name"));
    at.and_then(|at| cells.get(at + 1).cloned()).map(convert).transpose()
}
