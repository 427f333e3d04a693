//! The events of a source, wherever they are: there is no index by source, so this looks through everything in pages.
//! Read only; what is behind each event tells [`Partition::whereabouts`].

use std::collections::BTreeSet;

use bytes::Bytes;
use fred::prelude::*;
use fred::types::{ClusterHash, CustomCommand};

use super::error::StoreError;
use super::events::{Stream, parse_entry};
use super::find::{NOTES_PAGE, PAGE};
use super::frame;
use super::partition::{Partition, measured};
use crate::domain::ids::{Member, StreamId};

impl Partition {
    /// The newest events of a source that anything is known of, `most` at most.
    ///
    /// # Errors
    /// When Redis can't be reached.
    pub async fn events_of(&self, source: &str, most: usize) -> Result<BTreeSet<StreamId>, StoreError> {
        let source = frame::name(source);
        let mut newest = Newest::of(most);
        self.find_in_stream(&source, &mut newest).await?;
        self.find_parked(&source, &mut newest).await?;
        self.find_dead(&source, &mut newest).await?;
        self.find_recent(&source, &mut newest).await?;
        Ok(newest.events)
    }

    async fn find_in_stream(&self, source: &str, newest: &mut Newest) -> Result<(), StoreError> {
        let (mut before, mut matched) = ("+".to_owned(), 0);
        while matched < newest.most {
            let client = self.connection.client();
            let call = client.xrevrange(self.key(Stream::Events), before.as_str(), "-", Some(PAGE));
            let page: Vec<Value> = measured("XREVRANGE", call).await?;
            if page.is_empty() {
                break;
            }
            for row in page {
                let entry = parse_entry(row, 0)?;
                before = format!("({}", entry.id);
                if frame::name(&entry.frame().source) == source {
                    newest.add(entry.id);
                    matched += 1;
                }
            }
        }
        Ok(())
    }

    /// Bodies are in no order: all of them are looked at.
    async fn find_parked(&self, source: &str, newest: &mut Newest) -> Result<(), StoreError> {
        let (key, page) = (self.keys.bodies(), PAGE.to_string());
        let mut cursor = "0".to_owned();
        loop {
            let command = CustomCommand::new_static("HSCAN", ClusterHash::FirstKey, false);
            let words = vec![key.as_str(), cursor.as_str(), "COUNT", page.as_str()];
            let call = self.connection.client().custom(command, words);
            let (next, cells): (String, Vec<Bytes>) = measured("HSCAN", call).await?;
            for pair in cells.chunks_exact(2) {
                let member = std::str::from_utf8(&pair[0])
                    .ok()
                    .and_then(|text| text.parse::<Member>().ok());
                if let Some(Member(event)) = member
                    && frame::source_of(&pair[1]) == source
                {
                    newest.add(event);
                }
            }
            if next == "0" {
                return Ok(());
            }
            cursor = next;
        }
    }

    async fn find_dead(&self, source: &str, newest: &mut Newest) -> Result<(), StoreError> {
        let (mut before, mut matched) = (None, 0);
        while matched < newest.most {
            let page = self.dead_letters_before(before, PAGE).await?;
            let Some(last) = page.last() else { break };
            before = Some(last.id);
            for letter in page {
                let is_its = |frame: &frame::Frame| frame::name(&frame.source) == source;
                if let (Some(event), true) = (letter.event, letter.frame.as_ref().is_some_and(is_its)) {
                    newest.add(event);
                    matched += 1;
                }
            }
        }
        Ok(())
    }

    async fn find_recent(&self, source: &str, newest: &mut Newest) -> Result<(), StoreError> {
        let (mut before, mut matched) = (None, 0);
        while matched < newest.most
            && let Some((last, notes)) = self.recent_before(before, NOTES_PAGE).await?
        {
            before = Some(last);
            for note in notes.into_iter().filter(|note| note.source == source) {
                newest.add(note.event);
                matched += 1;
            }
        }
        Ok(())
    }
}

/// The newest events of those added.
struct Newest {
    most: usize,
    events: BTreeSet<StreamId>,
}

impl Newest {
    fn of(most: usize) -> Self {
        Self {
            most,
            events: BTreeSet::new(),
        }
    }

    fn add(&mut self, event: StreamId) {
        self.events.insert(event);
        if self.events.len() > self.most {
            self.events.pop_first();
        }
    }
}
