//! What is known of an event, as it is printed: one place for each subscription, and one for the event itself while
//! it belongs to nobody.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::cli::text::{count, short_error, span, time};
use crate::domain::ids::{StreamId, SubscriptionId};
use crate::store::dead_letters::DeadLetter;
use crate::store::find::{Unsettled, Waiting, Whereabouts};
use crate::store::recent::Note;
use crate::store::settle::Verdict;

/// Stands for what is not known or not there.
const NOTHING: &str = "-";
const ERROR_WIDTH: usize = 60;
/// Why nothing moves while an administrator wants it so.
const SWITCHED_OFF: &str = "publishing is switched off (ServiceEnabled is false): it goes out when that is on again";

/// The moment of the look, and what was so for all events.
#[derive(Debug, Clone, Copy)]
pub(super) struct Now {
    /// Redis' clock, ms since the epoch.
    pub(super) clock_ms: u64,
    /// Whether events are published.
    pub(super) publishes: bool,
}

/// An event and the places where it is.
#[derive(Debug, Serialize)]
pub(super) struct Event {
    /// `<partition>.<stream id>`.
    event: String,
    source: Option<String>,
    arrived_at: String,
    pub(super) places: Vec<Place>,
    #[serde(skip)]
    pub(super) id: StreamId,
}

/// Where a delivery of it is; where the event is for those without a subscription.
#[derive(Debug, Default, Serialize)]
pub(super) struct Place {
    subscription: Option<String>,
    /// `waiting`, `held`, `parked`, `dead`, `delivered`, `unwanted` or `gone`.
    state: &'static str,
    since: Option<String>,
    worker: Option<String>,
    attempts: Option<u32>,
    next_attempt_in_ms: Option<u64>,
    dead_letter: Option<String>,
    why: String,
}

impl Event {
    /// What is known of it by `now`.
    pub(super) fn new(partition: u16, id: StreamId, found: Whereabouts, now: Now) -> Self {
        let mut places: Vec<Place> = found
            .unsettled
            .iter()
            .map(|unsettled| Place::of_unsettled(unsettled, now))
            .collect();
        let mut of: BTreeMap<String, Place> = BTreeMap::new();
        // What is so now counts for more than what was noted when it was settled.
        for note in &found.notes {
            of.extend(
                note.outcomes
                    .iter()
                    .map(|(id, verdict)| Place::of_note(note, id, *verdict)),
            );
        }
        for letter in &found.dead {
            match &letter.subscription {
                Some(id) => drop(of.insert(id.clone(), Place::of_letter(partition, letter))),
                None => places.push(Place::of_letter(partition, letter)),
            }
        }
        for waiting in &found.parked {
            of.insert(waiting.subscription.clone(), Place::of_waiting(waiting, now));
        }
        places.extend(of.into_values());
        if places.is_empty() {
            places.extend(found.notes.first().map(Place::of_nobody));
        }
        Self {
            event: format!("{partition}.{id}"),
            source: Some(found.source).filter(|source| !source.is_empty()),
            arrived_at: time(id.millis),
            places,
            id,
        }
    }

    /// Only what concerns one subscription, where one is named.
    pub(super) fn of(mut self, subscription: Option<&SubscriptionId>) -> Self {
        if let Some(id) = subscription {
            self.places
                .retain(|place| place.subscription.as_deref().is_none_or(|of| of == id.as_str()));
        }
        self
    }
}

impl Place {
    fn of_unsettled(unsettled: &Unsettled, now: Now) -> Self {
        match unsettled {
            Unsettled::Unread => Self {
                state: "waiting",
                why: match now.publishes {
                    true => "in the stream: no worker has read it yet".to_owned(),
                    false => format!("in the stream: {SWITCHED_OFF}"),
                },
                ..Self::default()
            },
            Unsettled::Held { worker, for_ms, times } => {
                let again = if *times > 1 {
                    format!(", handed out {}", count(u64::from(*times), "time"))
                } else {
                    String::new()
                };
                Self {
                    state: "held",
                    since: Some(time(now.clock_ms.saturating_sub(*for_ms))),
                    why: match now.publishes {
                        true => format!("worker {worker} delivers it, for {}{again}", span(*for_ms)),
                        false => format!("worker {worker} keeps it, for {}{again}: {SWITCHED_OFF}", span(*for_ms)),
                    },
                    worker: Some(worker.clone()),
                    ..Self::default()
                }
            }
        }
    }

    fn of_waiting(waiting: &Waiting, now: Now) -> Self {
        let later = waiting.due_ms > now.clock_ms;
        let at = if later {
            Some(waiting.due_ms)
        } else {
            waiting.next_wakeup_ms
        };
        let next = match at {
            _ if waiting.suspended || !now.publishes => None,
            None if waiting.draining => Some(0),
            at => at.map(|at| at.saturating_sub(now.clock_ms)),
        };
        let mut why = match waiting {
            Waiting { suspended: true, .. } => "its subscription is suspended".to_owned(),
            _ if !now.publishes => SWITCHED_OFF.to_owned(),
            _ if later => "refused: it alone is tried again".to_owned(),
            Waiting {
                open_since_ms: Some(at),
                ..
            } => format!("its subscriber has been unavailable since {}", time(*at)),
            Waiting { draining: true, .. } => "its queue is being drained".to_owned(),
            _ => "it waits for its turn".to_owned(),
        };
        let error = if waiting.error.is_empty() {
            &waiting.circuit_error
        } else {
            &waiting.error
        };
        if !error.is_empty() {
            why.push_str(&format!(": {}", short_error(error, ERROR_WIDTH)));
        }
        // A probe takes the oldest alone: those behind it need not have been tried themselves.
        let tried = match waiting.attempts {
            0 => "not tried itself yet".to_owned(),
            attempts => count(u64::from(attempts), "attempt"),
        };
        why.push_str(&format!("; {tried}"));
        match next {
            Some(0) => why.push_str(", next now"),
            Some(ms) => why.push_str(&format!(", next in {}", span(ms))),
            None => {}
        }
        Self {
            subscription: Some(waiting.subscription.clone()),
            state: "parked",
            since: waiting.first_failure_ms.or(waiting.behind_since_ms).map(time),
            attempts: Some(waiting.attempts),
            next_attempt_in_ms: next,
            why,
            ..Self::default()
        }
    }

    fn of_letter(partition: u16, letter: &DeadLetter) -> Self {
        let id = format!("{partition}/{}", letter.id);
        let error = short_error(&letter.error, ERROR_WIDTH);
        let error = if error.is_empty() { error } else { format!(": {error}") };
        Self {
            subscription: letter.subscription.clone(),
            state: "dead",
            since: Some(time(letter.id.millis)),
            attempts: Some(letter.attempts),
            why: format!(
                "{}{error}; {}, dead letter {id}",
                letter.reason,
                count(u64::from(letter.attempts), "attempt")
            ),
            dead_letter: Some(id),
            ..Self::default()
        }
    }

    /// What was noted of one delivery; the later of two notes is about what came of the earlier.
    fn of_note(note: &Note, id: &SubscriptionId, verdict: Verdict) -> (String, Self) {
        let (state, why) = match verdict {
            Verdict::Delivered => ("delivered", "answered 2xx"),
            Verdict::GivenUp => ("gone", "became a dead letter, purged since"),
            _ => (
                "gone",
                "was parked; since then delivered unnoticed, purged as a dead letter, or removed with its subscription",
            ),
        };
        let place = Self {
            subscription: Some(id.to_string()),
            state,
            since: Some(time(note.at_ms)),
            why: why.to_owned(),
            ..Self::default()
        };
        (id.to_string(), place)
    }

    fn of_nobody(note: &Note) -> Self {
        let (state, why) = if note.rejected {
            ("gone", "could not be read: its dead letter was purged or replayed")
        } else {
            ("unwanted", "no subscription wanted it")
        };
        Self {
            state,
            since: Some(time(note.at_ms)),
            why: why.to_owned(),
            ..Self::default()
        }
    }
}

/// Its rows in the table.
pub(super) fn rows(event: &Event) -> impl Iterator<Item = [String; 7]> {
    let dash = |text: &Option<String>| text.clone().unwrap_or_else(|| NOTHING.to_owned());
    event.places.iter().map(move |place| {
        [
            event.event.clone(),
            dash(&event.source),
            event.arrived_at.clone(),
            dash(&place.subscription),
            place.state.to_owned(),
            dash(&place.since),
            place.why.clone(),
        ]
    })
}
