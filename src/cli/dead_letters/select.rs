//! Finding dead letters: by id, or by walking through all partitions with filters.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::Args;

use crate::domain::ids::{IdError, StreamId};
use crate::domain::units::Period;
use crate::store::dead_letters::DeadLetter;
use crate::store::{Partition, Store};

/// How many are read at once; each comes with its event.
const PAGE: u64 = 64;

/// Stands for the subscription of an event that could not be read.
pub(super) const NOBODY: &str = "-";

/// The id of a dead letter: `<partition>/<stream id>`, or the stream id where only one partition has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) struct LetterId {
    partition: Option<u16>,
    id: StreamId,
}

/// Which dead letters are meant.
#[derive(Args)]
pub(super) struct Filters {
    /// Only of this subscription; - for events that could not be read.
    #[arg(long, value_name = "ID", allow_hyphen_values = true)]
    subscription: Option<String>,
    /// Only those given up within this time, for example 1h.
    #[arg(long, value_name = "PERIOD")]
    since: Option<Period>,
    /// Only those whose reason or last error has this text in it.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

/// A dead letter and the partition that keeps it.
pub(super) struct Found {
    pub(super) partition: Arc<Partition>,
    pub(super) letter: DeadLetter,
}

/// A walk through the dead letters that were there when it began, oldest first within a partition. What is
/// given up meanwhile is left out, so that it ends.
pub(super) struct Walk<'a> {
    store: &'a Store,
    filters: &'a Filters,
    partition: usize,
    after: Option<StreamId>,
    first: Option<StreamId>,
    last: StreamId,
}

impl LetterId {
    /// The id of a dead letter of this partition.
    pub(super) fn of(found: &Found) -> Self {
        Self {
            partition: Some(found.partition.index),
            id: found.letter.id,
        }
    }

    /// The dead letter of this id; `None` where there is none (any more).
    ///
    /// # Errors
    /// When Redis can't be reached, or the id fits in several partitions.
    pub(super) async fn find(self, store: &Store) -> anyhow::Result<Option<Found>> {
        let mut found = Vec::new();
        for partition in store.partitions() {
            if self.partition.is_some_and(|index| index != partition.index) {
                continue;
            }
            if let Some(letter) = partition.dead_letter(self.id).await? {
                let partition = Arc::clone(partition);
                found.push(Found { partition, letter });
            }
        }
        if found.len() > 1 {
            let ids: Vec<String> = found.iter().map(|found| Self::of(found).to_string()).collect();
            anyhow::bail!("{self} is in several partitions; name one of {}", ids.join(", "));
        }
        Ok(found.pop())
    }
}

impl FromStr for LetterId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let (partition, id) = match text.split_once('/') {
            // Where this is no partition the whole is read as a stream id, whose error quotes it.
            Some((partition, id)) => match partition.parse() {
                Ok(partition) => (Some(partition), id),
                Err(_) => (None, text),
            },
            None => (None, text),
        };
        let id = id.parse()?;
        Ok(Self { partition, id })
    }
}

impl fmt::Display for LetterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.partition {
            Some(partition) => write!(f, "{partition}/{}", self.id),
            None => write!(f, "{}", self.id),
        }
    }
}

impl Filters {
    fn pass(&self, letter: &DeadLetter) -> bool {
        let of = letter.subscription.as_deref().unwrap_or(NOBODY);
        if self.subscription.as_deref().is_some_and(|wanted| wanted != of) {
            return false;
        }
        let Some(text) = &self.reason else { return true };
        let text = text.to_lowercase();
        [&letter.reason, &letter.error]
            .iter()
            .any(|said| said.to_lowercase().contains(&text))
    }
}

impl<'a> Walk<'a> {
    /// Begins a walk.
    ///
    /// # Errors
    /// When Redis can't be reached.
    pub(super) async fn begin(store: &'a Store, filters: &'a Filters) -> anyhow::Result<Self> {
        let mut now = 0;
        for partition in store.partitions() {
            now = now.max(partition.snapshot(Duration::ZERO).await?.now_ms);
        }
        // The last id before that time: a read starts after it.
        let first = filters.since.map(|since| StreamId {
            millis: now.saturating_sub(since.millis()).saturating_sub(1),
            sequence: u64::MAX,
        });
        Ok(Self {
            store,
            filters,
            partition: 0,
            after: first,
            first,
            last: StreamId {
                millis: now,
                sequence: u64::MAX,
            },
        })
    }

    /// The next few that pass the filters, perhaps none; `None` at the end.
    ///
    /// # Errors
    /// When Redis can't be reached.
    pub(super) async fn next(&mut self) -> anyhow::Result<Option<Vec<Found>>> {
        let Some(partition) = self.store.partitions().get(self.partition) else {
            return Ok(None);
        };
        let mut page = partition
            .dead_letters(self.after, PAGE)
            .await
            .context("reading the dead letters")?;
        page.retain(|letter| letter.id <= self.last);
        match page.last() {
            Some(letter) => self.after = Some(letter.id),
            None => {
                self.partition += 1;
                self.after = self.first;
            }
        }
        let wanted = page.into_iter().filter(|letter| self.filters.pass(letter));
        Ok(Some(
            wanted
                .map(|letter| Found {
                    partition: Arc::clone(partition),
                    letter,
                })
                .collect(),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_read_back_as_written() {
        for text in ["3/1795389052775-0", "1795389052775-10"] {
            let id: LetterId = text.parse().expect(text);
            assert_eq!(id.to_string(), text);
        }
        for text in ["", "x/1-0", "/1-0", "0/", "0/1", "70000/1-0"] {
            assert!(text.parse::<LetterId>().is_err(), "{text}");
        }
    }
}
