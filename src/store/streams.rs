//! What server-sent event streams read: the events that `recent` remembers, from a position on.
//!
//! Any pod serves any stream from any position, for all is in Redis. A position is where a reader is in one
//! partition's `recent`; what was dropped before it was read is told as a gap.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fred::prelude::*;

use super::error::StoreError;
use super::events::parse_entry;
use super::partition::{Partition, measured};
use super::scripts::{SCRIPTS, STREAM_BEAT, STREAM_NEWS};
use super::{Store, keys};
use crate::domain::ids::{Member, StreamId, SubscriptionId};
use crate::domain::service::ServiceSettings;
use crate::domain::subscription::Subscription;

/// How far a reader is in one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Everything before this entry was read.
    pub entry: StreamId,
    /// How many of this entry's events were read; all where absent.
    pub within: Option<u32>,
}

/// An event that a stream may want.
#[derive(Debug, Clone)]
pub struct Remembered {
    /// Its id in the stream of events.
    pub id: StreamId,
    /// Where a reader is that has read it.
    pub position: Position,
    /// The event as it arrived.
    pub event: Bytes,
}

impl Position {
    /// Behind all of an entry.
    #[must_use]
    pub fn after(entry: StreamId) -> Self {
        Self { entry, within: None }
    }

    /// Where the reading goes on, as XRANGE has it.
    fn from(self) -> String {
        match self.within {
            None => format!("({}", self.entry),
            Some(_) => self.entry.to_string(),
        }
    }
}

impl Partition {
    /// Redis' clock, ms since the epoch.
    ///
    /// # Errors
    /// When Redis can't be reached.
    pub async fn clock_ms(&self) -> Result<u64, StoreError> {
        // The client library knows no TIME; the script says it with every answer.
        let nobody = vec![Value::from("")];
        let (now, _): (u64, Vec<Value>) = self.call("census", &SCRIPTS.census, nobody).await?;
        Ok(now)
    }

    /// The newest entry of `recent` behind a known one; `None` where there is none.
    ///
    /// # Errors
    /// When Redis can't be reached.
    pub async fn newest_behind(&self, known: StreamId) -> Result<Option<StreamId>, StoreError> {
        let (client, key) = (self.connection.client(), self.keys.recent());
        let script = STREAM_NEWS.evalsha_with_reload(client, vec![key], vec![known.to_string()]);
        let newest: String = measured("stream news", script).await?;
        Ok(newest.parse().ok())
    }

    /// Everything remembered behind a position, from at most so many entries, oldest first, and the position
    /// behind those; `None` when there is nothing behind it.
    ///
    /// # Errors
    /// When Redis can't be reached.
    pub async fn remembered(
        &self,
        behind: Position,
        entries: u64,
    ) -> Result<Option<(Position, Vec<Remembered>)>, StoreError> {
        let client = self.connection.client();
        let call = client.xrange(self.keys.recent(), behind.from(), "+", Some(entries));
        let rows: Vec<Value> = measured("XRANGE", call).await?;
        let mut end = None;
        let mut found = Vec::new();
        for row in rows {
            let entry = parse_entry(row, 0)?;
            let read = behind.within.filter(|_| behind.entry == entry.id).unwrap_or(0);
            for (at, (member, note)) in (0..)
                .zip(&entry.fields)
                .skip(usize::try_from(read).unwrap_or(usize::MAX))
            {
                let (Ok(Member(id)), Some(event)) = (member.parse(), event_of(note)) else {
                    continue;
                };
                let position = Position {
                    entry: entry.id,
                    within: Some(at + 1),
                };
                found.push(Remembered { id, position, event });
            }
            end = Some(Position::after(entry.id));
        }
        Ok(end.map(|end| (end, found)))
    }

    /// The id below which entries may have been dropped; `None` while none was.
    ///
    /// # Errors
    /// When Redis can't be reached.
    pub async fn remembered_from(&self) -> Result<Option<StreamId>, StoreError> {
        let client = self.connection.client();
        let floor: Option<String> = measured("HGET", client.hget(self.keys.ledger(), "recent_floor")).await?;
        Ok(floor.and_then(|floor| floor.parse().ok()))
    }
}

impl Store {
    /// Enters a stream among the subscriptions, where there are fewer than `most`, and makes the workers remember events for it and for `linger`
    /// after the last one was closed. Answers since when they have done so without a break, by Redis' clock.
    ///
    /// # Errors
    /// When Redis can't be reached, the id is taken, or [`StoreError::Full`].
    pub async fn open_stream(&self, stream: Subscription, most: usize) -> Result<(Subscription, u64), StoreError> {
        let now_ms = self.clock_ms().await?;
        // While events are remembered for a closed one, nothing begins anew, and nobody's registry needs reading.
        let open = self.settings().await?.streams.until_ms > now_ms
            || self.registry().await?.subscriptions.iter().any(|of| of.is_stream());
        let settings = self
            .try_update_settings(|settings| {
                if !open && settings.streams.until_ms <= now_ms {
                    settings.streams.since_ms = now_ms;
                }
                Ok::<_, StoreError>(())
            })
            .await?;
        let stream = self.add_subscription_within(most, stream).await?;
        Ok((stream, settings.streams.since_ms))
    }

    /// Takes a stream out of the subscriptions; events are remembered for `linger` more, so that its client may
    /// resume.
    ///
    /// # Errors
    /// When Redis can't be reached. Safe to repeat.
    pub async fn close_stream(&self, id: &SubscriptionId, linger: Duration) -> Result<(), StoreError> {
        // Whole minutes: each change of it makes every pod read the registry anew.
        let until = self
            .clock_ms()
            .await?
            .saturating_add(u64::try_from(linger.as_millis()).unwrap_or(u64::MAX))
            .checked_next_multiple_of(60_000)
            .unwrap_or(u64::MAX);
        let extend = |settings: &mut ServiceSettings| {
            settings.streams.until_ms = settings.streams.until_ms.max(until);
            Ok::<_, StoreError>(())
        };
        self.try_update_settings(extend).await?;
        self.forget_stream(id).await
    }

    /// Redis' clock, ms since the epoch: that of the first partition.
    async fn clock_ms(&self) -> Result<u64, StoreError> {
        match self.partitions().first() {
            Some(partition) => partition.clock_ms().await,
            None => Ok(0),
        }
    }

    /// Takes those streams out, among the subscriptions that the caller knows, that nobody serves any more: their
    /// pod has been silent for `dead_after`. Answers how many.
    ///
    /// # Errors
    /// When Redis can't be reached. Safe to repeat.
    pub async fn sweep_streams(
        &self,
        known: &[Arc<Subscription>],
        dead_after: Duration,
        linger: Duration,
    ) -> Result<usize, StoreError> {
        let mut streams: Vec<_> = known.iter().filter(|of| of.is_stream()).collect();
        let Some(partition) = self.partitions().first().filter(|_| !streams.is_empty()) else {
            return Ok(0);
        };
        let silent_for = u64::try_from(dead_after.as_millis()).unwrap_or(u64::MAX);
        let oldest = partition.clock_ms().await?.saturating_sub(silent_for);
        let (client, key) = (self.connection.client(), self.streams_key());
        let call = client.zrange(&key, 0, -1, None, false, None, true);
        let beats: Vec<(String, f64)> = measured("ZRANGE", call).await?;
        let lives = |holder: &str| {
            beats
                .iter()
                .any(|(name, beat)| name == holder && *beat >= score(oldest))
        };
        streams.retain(|of| !of.stream.as_deref().is_some_and(lives));
        for stream in &streams {
            self.close_stream(&stream.id, linger).await?;
        }
        let call = client.zremrangebyscore(&key, f64::NEG_INFINITY, score(oldest));
        let _: u64 = measured("ZREMRANGEBYSCORE", call).await?;
        Ok(streams.len())
    }

    /// Tells the other pods that the one of this name lives and serves its streams.
    ///
    /// # Errors
    /// When Redis can't be reached.
    pub async fn beat_streams(&self, holder: &str) -> Result<(), StoreError> {
        let now_ms = self.clock_ms().await?;
        let args = vec![holder.to_owned(), now_ms.to_string()];
        let script = STREAM_BEAT.evalsha_with_reload(self.connection.client(), vec![self.streams_key()], args);
        measured::<()>("stream beat", script).await
    }

    fn streams_key(&self) -> String {
        keys::redfish(&self.prefix, "streams")
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "the client takes scores as f64; milliseconds stay exact for 280,000 years"
)]
pub(super) fn score(millis: u64) -> f64 {
    millis as f64
}

/// The third line of a note.
fn event_of(note: &Bytes) -> Option<Bytes> {
    let mut breaks = note
        .iter()
        .enumerate()
        .filter(|(_, byte)| **byte == b'\n')
        .map(|(at, _)| at);
    let second = breaks.nth(1)?;
    Some(note.slice(second + 1..))
}
