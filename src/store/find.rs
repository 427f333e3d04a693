//! Where events are: in the stream, parked, dead, or remembered as settled. Read only, and every command is bounded,
//! however much there is to look through.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use fred::prelude::*;

use super::dead_letters::DeadLetter;
use super::error::StoreError;
use super::events::{Stream, array, convert};
use super::frame;
use super::keys::GROUP;
use super::partition::{Partition, measured};
use super::recent::Note;
use super::scripts::SCRIPTS;
use crate::domain::ids::{Member, StreamId};

/// Entries read at once where each comes with its event.
pub(super) const PAGE: u64 = 64;
/// Entries of `recent` read at once, each of up to 256 short notes.
pub(super) const NOTES_PAGE: u64 = 64;
/// Subscriptions asked for at once.
const STEP: usize = 256;

/// A failover may set the clock back by this much.
const CLOCKS_DIFFER_MS: u64 = 60_000;

/// What is known of one event.
#[derive(Debug, Clone, Default)]
pub struct Whereabouts {
    /// Who sent it; empty when unknown.
    pub source: String,
    /// It is in the stream: not settled yet.
    pub unsettled: Option<Unsettled>,
    /// For whom it is parked.
    pub parked: Vec<Waiting>,
    /// Dead letters of it, without the event.
    pub dead: Vec<DeadLetter>,
    /// What is remembered of its settlement and later deliveries, oldest first.
    pub notes: Vec<Note>,
}

/// How far an event of the stream has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unsettled {
    /// No worker has read it.
    Unread,
    /// A worker delivers it.
    Held {
        /// The worker.
        worker: String,
        /// For how long, in ms.
        for_ms: u64,
        /// How often it was handed out: more than once after a worker died.
        times: u32,
    },
}

/// A delivery that is parked, and what it waits for.
#[derive(Debug, Clone, Default)]
pub struct Waiting {
    /// For whom.
    pub subscription: String,
    /// Its own due time after a refusal, ms since the epoch; 0 when it is due with the rest.
    pub due_ms: u64,
    /// How often it was tried.
    pub attempts: u32,
    /// When it failed first, ms since the epoch.
    pub first_failure_ms: Option<u64>,
    /// Its last error; empty where it was never tried.
    pub error: String,
    /// When its subscription is due next, ms since the epoch.
    pub next_wakeup_ms: Option<u64>,
    /// Its subscription does not answer since, ms since the epoch.
    pub open_since_ms: Option<u64>,
    /// Its subscription is behind since, ms since the epoch.
    pub behind_since_ms: Option<u64>,
    /// A worker drains or probes its subscription, or is about to.
    pub draining: bool,
    /// Its subscription is suspended.
    pub suspended: bool,
    /// What went wrong last at its subscription.
    pub circuit_error: String,
}

impl Whereabouts {
    /// Whether nothing is known of the event.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        self.unsettled.is_none() && self.parked.is_empty() && self.dead.is_empty() && self.notes.is_empty()
    }
}

impl Partition {
    /// What is known of each of these events; `subscriptions` names all there are. Those parked for others are
    /// found too while these others are behind. With Redis' clock in ms.
    ///
    /// # Errors
    /// When Redis can't be reached.
    pub async fn whereabouts(
        &self,
        events: &BTreeSet<StreamId>,
        subscriptions: &[&str],
    ) -> Result<(u64, BTreeMap<StreamId, Whereabouts>), StoreError> {
        let troubled = self.troubled().await?;
        let mut names: BTreeSet<&str> = troubled.iter().map(String::as_str).collect();
        names.extend(subscriptions);
        let names: Vec<&str> = names.into_iter().collect();
        let mut now = self.parked_for(StreamId { millis: 0, sequence: 0 }, &[]).await?.0;
        let mut found = BTreeMap::new();
        for event in events {
            let mut whereabouts = Whereabouts::default();
            if let Some(entry) = self.entry(Stream::Events, *event, 0).await? {
                whereabouts.source = entry.frame().source;
                whereabouts.unsettled = Some(self.holder(*event).await?);
            }
            for step in names.chunks(STEP) {
                let (clock, rows) = self.parked_for(*event, step).await?;
                now = clock;
                whereabouts.parked.extend(rows);
            }
            if !whereabouts.parked.is_empty() {
                whereabouts.source = self.source_of_parked(*event).await?;
            }
            found.insert(*event, whereabouts);
        }
        let Some(oldest) = events.first() else {
            return Ok((now, found));
        };
        // Nothing is settled before it arrived, but for what the clocks of two masters differ by. An id from the
        // future was set by hand and says nothing.
        let before = (oldest.millis <= now).then_some(StreamId {
            millis: oldest.millis.saturating_sub(CLOCKS_DIFFER_MS),
            sequence: 0,
        });
        self.add_dead(before, &mut found).await?;
        self.add_notes(before, &mut found).await?;
        Ok((now, found))
    }

    /// When the oldest entry of `recent` was written, ms since the epoch; `None` when it is empty.
    ///
    /// # Errors
    /// When Redis can't be reached.
    pub async fn remembers_since(&self) -> Result<Option<u64>, StoreError> {
        Ok(self.recent(None, 1).await?.map(|(first, _)| first.millis))
    }

    async fn holder(&self, event: StreamId) -> Result<Unsettled, StoreError> {
        let id = event.to_string();
        let client = self.connection.client();
        let call = client.xpending(self.key(Stream::Events), GROUP, (id.as_str(), id.as_str(), 1_u64));
        let rows: Vec<(String, String, u64, u32)> = match measured("XPENDING", call).await {
            // No worker was ever started.
            Err(error) if error.is_no_group() => Vec::new(),
            rows => rows?,
        };
        let held = rows.into_iter().next();
        Ok(
            held.map_or(Unsettled::Unread, |(_, worker, for_ms, times)| Unsettled::Held {
                worker,
                for_ms,
                times,
            }),
        )
    }

    async fn parked_for(&self, event: StreamId, subscriptions: &[&str]) -> Result<(u64, Vec<Waiting>), StoreError> {
        let mut args: Vec<Value> = vec![Member(event).to_string().into()];
        args.extend(subscriptions.iter().map(|id| Value::from(*id)));
        let (now, rows): (u64, Vec<Value>) = self.call("parked", &SCRIPTS.parked, args).await?;
        Ok((now, rows.into_iter().map(waiting).collect::<Result<_, _>>()?))
    }

    async fn source_of_parked(&self, event: StreamId) -> Result<String, StoreError> {
        let client = self.connection.client();
        let call = client.hget(self.keys.bodies(), Member(event).to_string());
        let body: Option<Bytes> = measured("HGET", call).await?;
        Ok(frame::source_of(&body.unwrap_or_default()).into_owned())
    }

    async fn add_dead(
        &self,
        mut after: Option<StreamId>,
        found: &mut BTreeMap<StreamId, Whereabouts>,
    ) -> Result<(), StoreError> {
        loop {
            let page = self.dead_letters(after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(last.id);
            for mut letter in page {
                let Some(whereabouts) = letter.event.and_then(|event| found.get_mut(&event)) else {
                    continue;
                };
                if let Some(frame) = &mut letter.frame {
                    frame.event = Bytes::new();
                    whereabouts.source.clone_from(&frame.source);
                }
                whereabouts.dead.push(letter);
            }
        }
    }

    async fn add_notes(
        &self,
        mut after: Option<StreamId>,
        found: &mut BTreeMap<StreamId, Whereabouts>,
    ) -> Result<(), StoreError> {
        while let Some((last, notes)) = self.recent(after, NOTES_PAGE).await? {
            after = Some(last);
            for note in notes {
                if let Some(whereabouts) = found.get_mut(&note.event) {
                    if whereabouts.source.is_empty() {
                        whereabouts.source.clone_from(&note.source);
                    }
                    whereabouts.notes.push(note);
                }
            }
        }
        Ok(())
    }
}

/// `[subscription, score, tries, next wake-up, [open, since, entry, suspended, error]]`
fn waiting(row: Value) -> Result<Waiting, StoreError> {
    let mut cells = array(row)?.into_iter();
    let mut next = || cells.next().unwrap_or(Value::Null);
    let (subscription, due_ms) = (convert(next())?, convert(next())?);
    let tries: String = convert(next())?;
    let wakeup: String = convert(next())?;
    let circuit: Vec<Option<String>> = convert(next())?;
    let field = |at: usize| circuit.get(at).cloned().flatten();
    let number = |text: Option<String>| text.and_then(|text| text.parse().ok());
    let mut words = tries.splitn(4, ' ');
    let mut word = || words.next().map(str::to_owned);
    let (attempts, _refusals, first) = (word(), word(), word());
    Ok(Waiting {
        subscription,
        due_ms,
        attempts: attempts.and_then(|text| text.parse().ok()).unwrap_or(0),
        first_failure_ms: number(first),
        error: word().unwrap_or_default(),
        next_wakeup_ms: number(Some(wakeup)),
        open_since_ms: number(field(0)),
        behind_since_ms: number(field(1)),
        draining: field(2).is_some(),
        suspended: field(3).is_some(),
        circuit_error: field(4).unwrap_or_default(),
    })
}
