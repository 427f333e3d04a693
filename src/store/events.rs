//! The event stream: writing events, reading new ones, and finding those a worker lost sight of.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use fred::clients::Client;
use fred::prelude::*;

use super::error::StoreError;
use super::frame::Frame;
use super::keys::GROUP;
use super::partition::{Partition, measured};
use crate::domain::ids::StreamId;

/// Which of a partition's two streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stream {
    /// Events as they arrived.
    Events,
    /// Re-injected subscriptions.
    Redeliveries,
}

/// An entry that a worker holds: read, claimed from a dead peer, or found again.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Its id, as Redis wrote it.
    pub id: StreamId,
    /// 1 when first read; each takeover adds one.
    pub times: u32,
    /// Field names and values, in order.
    pub fields: Vec<(String, Bytes)>,
}

impl Entry {
    /// The value of a field.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&Bytes> {
        self.fields
            .iter()
            .find(|(field, _)| field == name)
            .map(|(_, value)| value)
    }

    /// The event with its origin; an entry without the field `event` gives an empty one.
    #[must_use]
    pub fn frame(&self) -> Frame {
        let text = |name| {
            self.field(name)
                .map(|value| String::from_utf8_lossy(value).into_owned())
                .unwrap_or_default()
        };
        Frame {
            source: text("source"),
            received_at: text("received_at"),
            event: self.field("event").cloned().unwrap_or_default(),
        }
    }
}

impl Partition {
    /// Appends an event and answers its id once Redis has it, and as many replicas as `redis.confirm_replicas` says.
    /// Never repeated here: after a lost reply only the caller knows whether a duplicate does harm.
    ///
    /// # Errors
    /// When Redis can't be reached, is at its memory limit, does not answer in time, or has too few replicas that keep
    /// up.
    pub async fn publish(&self, frame: &Frame) -> Result<StreamId, StoreError> {
        let key = &self.keys.events;
        let id = match self.connection.confirm() {
            Some(confirm) => self.confirmed.publish(&self.connection, confirm, key, frame).await?,
            None => {
                let client = self.connection.client();
                let id: String = measured("XADD", client.xadd(key, false, None, "*", fields(frame))).await?;
                stream_id(&id)?
            }
        };
        self.past.entry(id);
        Ok(id)
    }

    /// A reader of new entries of a stream, on a connection of its own: a blocking read occupies it.
    ///
    /// # Errors
    /// When no connection can be made.
    pub async fn reader(self: &Arc<Self>, stream: Stream, worker: &str) -> Result<Reader, StoreError> {
        let name = format!("{worker}-{}-{stream:?}", self.index);
        Ok(Reader {
            client: self.connection.dedicated(&name).await?,
            partition: Arc::clone(self),
            stream,
            worker: worker.to_owned(),
            last: Mutex::default(),
        })
    }

    /// The ids pending at a worker for at least `idle`, oldest first, from the one after `after` on, with the
    /// times each was handed out.
    ///
    /// # Errors
    /// When Redis can't be reached or the group is missing.
    pub async fn pending_of(
        &self,
        stream: Stream,
        worker: &str,
        idle: Duration,
        after: Option<StreamId>,
        most: u64,
    ) -> Result<Vec<(StreamId, u32)>, StoreError> {
        let idle = u64::try_from(idle.as_millis()).unwrap_or(u64::MAX);
        let from = after.map_or_else(|| "-".to_owned(), |id| format!("({id}"));
        let client = self.connection.client();
        let rows: Vec<(String, String, u64, u32)> = measured(
            "XPENDING",
            client.xpending(self.key(stream), GROUP, (idle, from, "+", most, worker)),
        )
        .await?;
        rows.into_iter()
            .map(|(id, _, _, times)| Ok((stream_id(&id)?, times)))
            .collect()
    }

    /// Whether an entry is still pending at this worker.
    ///
    /// # Errors
    /// When Redis can't be reached or the group is missing.
    pub async fn owns(&self, stream: Stream, id: StreamId, worker: &str) -> Result<bool, StoreError> {
        let id = id.to_string();
        let client = self.connection.client();
        let rows: Vec<Value> = measured(
            "XPENDING",
            client.xpending(self.key(stream), GROUP, (id.as_str(), id.as_str(), 1_u64, worker)),
        )
        .await?;
        Ok(!rows.is_empty())
    }

    /// One entry by its id; `None` when it is gone from the stream.
    ///
    /// # Errors
    /// When Redis can't be reached.
    pub async fn entry(&self, stream: Stream, id: StreamId, times: u32) -> Result<Option<Entry>, StoreError> {
        let text = id.to_string();
        let client = self.connection.client();
        let rows: Vec<Value> = measured(
            "XRANGE",
            client.xrange(self.key(stream), text.as_str(), text.as_str(), None),
        )
        .await?;
        rows.into_iter().next().map(|row| parse_entry(row, times)).transpose()
    }

    /// Acknowledges an entry that is gone from its stream, or of no use to anybody, and deletes what is left.
    ///
    /// # Errors
    /// When Redis can't be reached.
    pub async fn forget(&self, stream: Stream, id: StreamId) -> Result<(), StoreError> {
        let (client, key, id) = (self.connection.client(), self.key(stream), id.to_string());
        let _: u64 = measured("XACK", client.xack(key, GROUP, id.as_str())).await?;
        let _: u64 = measured("XDEL", client.xdel(key, id)).await?;
        Ok(())
    }

    pub(super) fn key(&self, stream: Stream) -> &str {
        match stream {
            Stream::Events => &self.keys.events,
            Stream::Redeliveries => &self.keys.redeliveries,
        }
    }
}

/// Reads new entries of one stream for one worker.
#[derive(Debug)]
pub struct Reader {
    client: Client,
    partition: Arc<Partition>,
    stream: Stream,
    worker: String,
    /// The greatest id it was handed.
    last: Mutex<Option<StreamId>>,
}

impl Reader {
    /// Which stream it reads.
    #[must_use]
    pub fn stream(&self) -> Stream {
        self.stream
    }

    /// Reads at most so many new entries, waiting up to `block` for the first. To be awaited to its end: a
    /// reply that nobody waits for leaves entries pending that nobody saw.
    ///
    /// # Errors
    /// When Redis can't be reached, or the group is missing (see [`Partition::ensure_groups`]).
    pub async fn read(&self, most: usize, block: Duration) -> Result<Vec<Entry>, StoreError> {
        let block = u64::try_from(block.as_millis()).unwrap_or(u64::MAX);
        let most = u64::try_from(most).unwrap_or(u64::MAX);
        let key = self.partition.key(self.stream);
        let answer: Value = self
            .client
            .xreadgroup(GROUP, self.worker.as_str(), Some(most), Some(block), false, key, ">")
            .await
            .map_err(StoreError::command("XREADGROUP"))
            .inspect_err(|error| self.forget_past(error))?;
        if answer.is_null() {
            return Ok(Vec::new());
        }
        let mut entries = Vec::new();
        for stream in array(answer)? {
            let [_, list] = pair(stream)?;
            for entry in array(list)? {
                entries.push(parse_entry(entry, 1)?);
            }
        }
        self.compare(&entries);
        Ok(entries)
    }

    /// A group hands out what comes after all that it ever handed out: older entries show that it was set back, most
    /// likely with all of Redis.
    fn compare(&self, entries: &[Entry]) {
        let (Some(first), Some(newest)) = (entries.first(), entries.last()) else {
            return;
        };
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let before = last.replace(newest.id);
        let Partition { index, past, .. } = &*self.partition;
        match before {
            Some(before) if first.id <= before => {
                let what = format!("the group's place in {:?}", self.stream);
                past.went_back(*index, &what, &before, &first.id);
            }
            _ if self.stream == Stream::Events => past.entry(newest.id),
            _ => {}
        }
    }

    /// A group that was made anew begins with the oldest entry: whoever makes it says so.
    fn forget_past(&self, error: &StoreError) {
        if error.is_no_group() {
            *self.last.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
    }
}

/// The fields of an event's entry.
pub(super) fn fields(frame: &Frame) -> Vec<(&'static str, Value)> {
    let mut fields = vec![("event", Value::Bytes(frame.event.clone()))];
    if !frame.source.is_empty() {
        fields.push(("source", frame.source.as_str().into()));
    }
    if !frame.received_at.is_empty() {
        fields.push(("received_at", frame.received_at.as_str().into()));
    }
    fields
}

/// `[id, [field, value, …]]`
pub(super) fn parse_entry(entry: Value, times: u32) -> Result<Entry, StoreError> {
    let [id, fields] = pair(entry)?;
    let id: String = convert(id)?;
    let mut values = array(fields)?.into_iter();
    let mut fields = Vec::with_capacity(values.len() / 2);
    while let (Some(name), Some(value)) = (values.next(), values.next()) {
        let name: Bytes = convert(name)?;
        fields.push((String::from_utf8_lossy(&name).into_owned(), convert(value)?));
    }
    Ok(Entry {
        id: stream_id(&id)?,
        times,
        fields,
    })
}

pub(super) fn stream_id(text: &str) -> Result<StreamId, StoreError> {
    text.parse().map_err(|error| StoreError::answer("a stream id", &error))
}

pub(super) fn convert<R: FromValue>(value: Value) -> Result<R, StoreError> {
    value
        .convert()
        .map_err(|error| StoreError::answer("another type", &error))
}

pub(super) fn array(value: Value) -> Result<Vec<Value>, StoreError> {
    match value {
        Value::Array(values) => Ok(values),
        Value::Null => Ok(Vec::new()),
        other => Err(StoreError::answer("a list", &format!("{:?}", other.kind()))),
    }
}

pub(super) fn pair(value: Value) -> Result<[Value; 2], StoreError> {
    array(value)?
        .try_into()
        .map_err(|values: Vec<Value>| StoreError::answer("a pair", &values.len()))
}

#[cfg(test)]
mod tests;
