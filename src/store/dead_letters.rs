//! Dead letters: what was given up by policy, kept until somebody replays or purges it.

use bytes::Bytes;
use fred::prelude::*;

use super::Store;
use super::error::StoreError;
use super::events::{Entry, parse_entry};
use super::frame::Frame;
use super::partition::{Partition, measured};
use super::scripts::SCRIPTS;
use crate::domain::ids::{Member, StreamId};

/// How many obituaries are read at once: each event is copied inside Redis to get at the rest.
const MOST_OBITUARIES: usize = 16;

/// A delivery that was given up, or an event that could not be read.
#[derive(Debug, Clone)]
pub struct DeadLetter {
    /// Its own id.
    pub id: StreamId,
    /// For whom it was; `None` for an event that could not be read.
    pub subscription: Option<String>,
    /// The event's id in the stream.
    pub event: Option<StreamId>,
    /// Why it was given up.
    pub reason: String,
    /// The last error.
    pub error: String,
    /// How often it was tried.
    pub attempts: u32,
    /// The event and where it came from; `None` when its body was gone.
    pub frame: Option<Frame>,
}

/// What came of a replay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replayed {
    /// It is back at work.
    Replayed,
    /// There is no such dead letter (any more).
    Gone,
    /// Its subscription was removed.
    SubscriptionRemoved,
}

/// What is known of a dead letter without its event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Obituary {
    /// The dead letter's id.
    pub id: StreamId,
    /// For whom it was; `None` for an event that could not be read.
    pub subscription: Option<String>,
    /// Why it was given up.
    pub reason: String,
    /// The last error.
    pub error: String,
    /// How often it was tried.
    pub attempts: u32,
}

impl Partition {
    /// The latest dead letters, newest first: at most `most`, and never more than 16. Their events stay in
    /// Redis.
    ///
    /// # Errors
    /// When Redis can't be reached.
    pub async fn obituaries(&self, most: usize) -> Result<Vec<Obituary>, StoreError> {
        let most = i64::try_from(most.min(MOST_OBITUARIES)).unwrap_or(0);
        let rows: Vec<(String, String, String, String, String)> =
            self.call("obituaries", &SCRIPTS.obituaries, vec![most.into()]).await?;
        Ok(rows
            .into_iter()
            .filter_map(|(id, subscription, reason, error, attempts)| {
                Some(Obituary {
                    id: id.parse().ok()?,
                    subscription: Some(subscription).filter(|id| !id.is_empty()),
                    reason,
                    error,
                    attempts: attempts.parse().unwrap_or(0),
                })
            })
            .collect())
    }

    /// Dead letters after an id (`None`: from the oldest), at most `most`.
    ///
    /// # Errors
    /// When Redis can't be reached.
    pub async fn dead_letters(&self, after: Option<StreamId>, most: u64) -> Result<Vec<DeadLetter>, StoreError> {
        let from = after.map_or_else(|| "-".to_owned(), |id| format!("({id}"));
        let client = self.connection.client();
        let rows: Vec<Value> = measured("XRANGE", client.xrange(self.keys.dead(), from, "+", Some(most))).await?;
        rows.into_iter().map(|row| Ok(read(&parse_entry(row, 0)?))).collect()
    }

    /// Dead letters before an id (`None`: from the newest), newest first, at most `most`.
    ///
    /// # Errors
    /// When Redis can't be reached.
    pub async fn dead_letters_before(
        &self,
        before: Option<StreamId>,
        most: u64,
    ) -> Result<Vec<DeadLetter>, StoreError> {
        let from = before.map_or_else(|| "+".to_owned(), |id| format!("({id}"));
        let client = self.connection.client();
        let call = client.xrevrange(self.keys.dead(), from, "-", Some(most));
        let rows: Vec<Value> = measured("XREVRANGE", call).await?;
        rows.into_iter().map(|row| Ok(read(&parse_entry(row, 0)?))).collect()
    }

    /// One dead letter.
    ///
    /// # Errors
    /// When Redis can't be reached.
    pub async fn dead_letter(&self, id: StreamId) -> Result<Option<DeadLetter>, StoreError> {
        let text = id.to_string();
        let client = self.connection.client();
        let rows: Vec<Value> = measured(
            "XRANGE",
            client.xrange(self.keys.dead(), text.as_str(), text.as_str(), None),
        )
        .await?;
        rows.into_iter()
            .next()
            .map(|row| Ok(read(&parse_entry(row, 0)?)))
            .transpose()
    }

    /// Puts a dead letter back to work, in one step.
    ///
    /// # Errors
    /// When Redis can't be reached or a key has the wrong type.
    pub async fn replay(&self, id: StreamId) -> Result<Replayed, StoreError> {
        let answer: Vec<Value> = self
            .call("replay", &SCRIPTS.replay, vec![id.to_string().into()])
            .await?;
        let state = answer.first().and_then(Value::as_string).unwrap_or_default();
        Ok(match state.as_str() {
            "replayed" => {
                self.alarm.ring_in(answer.get(1).and_then(Value::as_i64).unwrap_or(-1));
                Replayed::Replayed
            }
            "removed" => Replayed::SubscriptionRemoved,
            _ => Replayed::Gone,
        })
    }

    /// Deletes dead letters for good; answers how many there were.
    ///
    /// # Errors
    /// When Redis can't be reached.
    pub async fn purge(&self, ids: &[StreamId]) -> Result<u64, StoreError> {
        let mut purged = 0;
        for step in ids.chunks(256) {
            let ids: Vec<String> = step.iter().map(ToString::to_string).collect();
            let client = self.connection.client();
            purged += measured::<u64>("XDEL", client.xdel(self.keys.dead(), ids)).await?;
        }
        Ok(purged)
    }
}

impl Store {
    /// Puts a dead letter back to work, unless its subscription is not there any more.
    ///
    /// # Errors
    /// As [`Partition::replay`] and [`Store::are_registered`].
    pub async fn replay(&self, partition: &Partition, letter: &DeadLetter) -> Result<Replayed, StoreError> {
        // Its tombstone is gone after a day; nothing would ever wake what is parked after that.
        if let Some(id) = &letter.subscription
            && self.are_registered(&[id.as_str()]).await? == [false]
        {
            return Ok(Replayed::SubscriptionRemoved);
        }
        partition.replay(letter.id).await
    }
}

fn read(entry: &Entry) -> DeadLetter {
    let text = |name| {
        entry
            .field(name)
            .map(|value| String::from_utf8_lossy(value).into_owned())
            .unwrap_or_default()
    };
    let body = entry.field("body").cloned().unwrap_or_else(Bytes::new);
    DeadLetter {
        id: entry.id,
        subscription: Some(text("subscription")).filter(|id| !id.is_empty()),
        event: text("member").parse::<Member>().ok().map(|member| member.0),
        reason: text("reason"),
        error: text("error"),
        attempts: text("attempts").parse().unwrap_or(0),
        frame: Frame::decode(&body),
    }
}
