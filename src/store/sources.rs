//! When each source of events was heard of last: `sources`, written with every settlement, read by
//! `holdfast sources`.
//!
//! The time is that of the event's arrival by Redis' clock, its stream id's; one that a producer set by hand counts
//! as it says, but never as later than now. Events without a source leave no trace here.

use std::collections::HashMap;

use bytes::Bytes;
use fred::prelude::*;

use super::error::StoreError;
use super::partition::{Partition, measured};

/// Sources that are remembered in one partition; of more the longest silent fall off.
pub const MOST_SOURCES: u64 = 100_000;

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

impl Partition {
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
