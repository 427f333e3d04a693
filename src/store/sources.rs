//! When each source of events was heard of last: `sources`, written with every settlement, read by
//! `holdfast sources`.
//!
//! The time is that of the event's arrival by Redis' clock, its stream id's; one that a producer set by hand counts
//! as it says, but never as later than now. Events without a source leave no trace here.

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
        let mut sources = Vec::new();
        let mut first = 0;
        loop {
            let client = self.connection.client();
            let call = client.zrange(self.keys.sources(), first, first + PAGE - 1, None, false, None, true);
            let page: Vec<(Bytes, f64)> = measured("ZRANGE", call).await?;
            let full = i64::try_from(page.len()).is_ok_and(|len| len == PAGE);
            for (name, score) in page {
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "milliseconds since the epoch fit; a negative one was set by hand and is 0"
                )]
                let last_ms = score as u64;
                let name = String::from_utf8_lossy(&name).into_owned();
                sources.push(Source { name, last_ms });
            }
            if !full {
                return Ok(sources);
            }
            first += PAGE;
        }
    }
}
