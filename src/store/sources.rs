//! When each source of events was heard of last: `sources`, read by `holdfast sources`.
//!
//! A process collects what it heard with its settlements and tells Redis every few seconds: a source that sends a
//! thousand events meanwhile is written once. A process that is killed takes those seconds with it.
//!
//! The time is that of the event's arrival by Redis' clock, its stream id's; one that a producer set by hand counts
//! as it says, but never as later than now. Events without a source leave no trace here.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use fred::prelude::*;

use super::error::StoreError;
use super::frame;
use super::partition::{Partition, measured};
use super::scripts::SCRIPTS;
use crate::domain::ids::StreamId;

/// Sources that are remembered in one partition; of more the longest silent fall off.
pub const MOST_SOURCES: u64 = 100_000;

/// Sources in one script call.
const PER_CALL: usize = 256;

/// Sources read at once.
const PAGE: i64 = 1_000;

/// A source, and when its last settled event arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Its name as [`super::frame::name`] gives it.
    pub name: String,
    /// Redis' clock, ms since the epoch.
    pub last_ms: u64,
}

/// What a process heard of sources since it last told Redis: when the last event of each arrived, in ms.
#[derive(Debug, Default)]
pub(super) struct Heard(Mutex<HashMap<String, u64>>);

impl Heard {
    /// An event of a source was settled. Of too many sources the newest wait for their next event.
    pub(super) fn note(&self, source: &str, event: StreamId) {
        let name = frame::name(source);
        if name.is_empty() {
            return;
        }
        let mut heard = self.lock();
        if let Some(last) = heard.get_mut(name.as_ref()) {
            *last = event.millis.max(*last);
        } else if heard.len() < usize::try_from(MOST_SOURCES).unwrap_or(usize::MAX) {
            heard.insert(name.into_owned(), event.millis);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Partition {
    /// Tells Redis what was heard of sources. What can't be told now is kept for the next time.
    ///
    /// # Errors
    /// When Redis can't be reached or the key has the wrong type.
    pub async fn tell_sources(&self) -> Result<(), StoreError> {
        let heard: Vec<(String, u64)> = self.heard.lock().drain().collect();
        for (told, chunk) in heard.chunks(PER_CALL).enumerate() {
            let pair = |(name, millis): &(String, u64)| [millis.to_string().into(), name.as_str().into()];
            let args: Vec<Value> = chunk.iter().flat_map(pair).collect();
            if let Err(error) = self.call::<u8>("heard", &SCRIPTS.heard, args).await {
                for (name, millis) in heard.into_iter().skip(told * PER_CALL) {
                    self.heard.note(&name, StreamId { millis, sequence: 0 });
                }
                return Err(error);
            }
        }
        Ok(())
    }

    /// All sources, the longest silent first.
    ///
    /// # Errors
    /// When Redis can't be reached or the key has the wrong type.
    pub async fn sources(&self) -> Result<Vec<Source>, StoreError> {
        // By time, not by rank: while this reads, sources are heard of again and leave their rank to others, which
        // a next page by rank would pass over. A time only grows, so whoever was not read yet is still ahead.
        let (mut last, mut from, mut most) = (HashMap::new(), f64::NEG_INFINITY, PAGE);
        loop {
            let client = self.connection.client();
            let call = client.zrangebyscore(self.keys.sources(), from, f64::INFINITY, true, Some((0, most)));
            let page: Vec<(Bytes, f64)> = measured("ZRANGEBYSCORE", call).await?;
            let full = i64::try_from(page.len()).is_ok_and(|len| len == most);
            let furthest = page.last().map_or(from, |(_, score)| *score);
            last.extend(page);
            if !full {
                break;
            }
            // More were heard of in one millisecond than a page holds.
            most = if furthest > from { PAGE } else { most * 2 };
            from = furthest;
        }
        let mut sources: Vec<Source> = last.into_iter().map(source).collect();
        sources.sort_by(|a, b| a.last_ms.cmp(&b.last_ms).then_with(|| a.name.cmp(&b.name)));
        Ok(sources)
    }
}

fn source((name, score): (Bytes, f64)) -> Source {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "milliseconds since the epoch fit; a negative one was set by hand and is 0"
    )]
    let last_ms = score as u64;
    Source {
        name: String::from_utf8_lossy(&name).into_owned(),
        last_ms,
    }
}
