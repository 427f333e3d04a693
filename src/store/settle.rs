//! Settling events: what became of each delivery is written in the step that acknowledges the event.
//!
//! Keeps invariant 1: nothing leaves the pending list before every delivery of it is delivered, parked or a
//! dead letter. Many events go into one script call, bounded by the number of their deliveries.

use std::borrow::Borrow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fred::types::Value;

use super::error::StoreError;
use super::frame::{self, Frame};
use super::partition::Partition;
use super::recent::Note;
use super::scripts::SCRIPTS;
use crate::domain::ids::{Member, StreamId, SubscriptionId};

/// At most this many deliveries in one script call.
const DELIVERIES_PER_CALL: usize = 256;

/// What became of one delivery that was sent straight after its event was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// A 2xx was answered.
    Delivered,
    /// The subscriber can't be reached, or says that it can't serve now.
    Unavailable,
    /// As unavailable, but for a reason on this side: no attempt was made, so none is used up.
    NotTried,
    /// The subscription is behind or suspended: never sent, parked to keep order.
    Behind,
    /// No slot was free in time.
    WaitedTooLong,
    /// The subscriber does not want this one (3xx, 4xx).
    Refused,
    /// Its attempts are used up.
    GivenUp,
}

/// One delivery of a settlement.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// For whom it was.
    pub subscription: SubscriptionId,
    /// What became of it.
    pub verdict: Verdict,
    /// Until the next attempt.
    pub wait: Duration,
    /// `Retry-After`: no attempt before that; zero without one.
    pub floor: Duration,
    /// What went wrong, for the operator; empty when nothing did.
    pub error: String,
}

/// What became of an event.
#[derive(Debug, Clone)]
pub struct Settlement {
    /// The event's entry.
    pub id: StreamId,
    /// The event; only written where something is parked or rejected.
    pub frame: Arc<Frame>,
    /// Why the event can never be delivered to anybody; it becomes a dead letter.
    pub rejected: Option<String>,
    /// Whether the entry was marked as processed alone.
    pub alone: bool,
    /// Its deliveries.
    pub outcomes: Vec<Outcome>,
}

/// What the limits of refusals are; see `retry.refused_attempts`.
#[derive(Debug, Clone, Copy)]
pub struct RefusalLimits {
    /// Refusals of one delivery that make it a dead letter.
    pub bury_after: u32,
    /// Refusals in a row, without a success, that make the subscription unavailable.
    pub open_after: u32,
}

/// The answer to one settlement call.
#[derive(Debug, Default)]
pub struct Settled {
    /// Per event, whether this settlement won; false when somebody else had settled it.
    pub won: Vec<bool>,
    /// Subscriptions whose circuit this call opened.
    pub opened: Vec<SubscriptionId>,
}

impl Settlement {
    /// An event that can never be delivered to anybody.
    #[must_use]
    pub fn rejected(id: StreamId, frame: Arc<Frame>, reason: &str) -> Self {
        Self {
            id,
            frame,
            rejected: Some(reason.to_owned()),
            alone: true,
            outcomes: Vec::new(),
        }
    }

    fn needs_body(&self) -> bool {
        self.rejected.is_some()
            || self
                .outcomes
                .iter()
                .any(|outcome| outcome.verdict != Verdict::Delivered)
    }
}

impl Partition {
    /// Settles events. Safe to repeat: what was settled before answers `won = false` and writes nothing.
    ///
    /// # Errors
    /// When Redis can't be reached or a key has the wrong type; nothing of the failed call was written.
    pub async fn settle(
        &self,
        worker: &str,
        limits: RefusalLimits,
        settlements: &[impl Borrow<Settlement>],
    ) -> Result<Settled, StoreError> {
        let mut answer = Settled::default();
        let mut batch = Batch::new(self, worker, limits);
        for settlement in settlements {
            let settlement = settlement.borrow();
            let last = settlement.outcomes.len().saturating_sub(1) / DELIVERIES_PER_CALL * DELIVERIES_PER_CALL;
            let (first, last) = settlement.outcomes.split_at(last);
            if !first.is_empty() || batch.deliveries + last.len().max(1) > DELIVERIES_PER_CALL {
                let full = std::mem::replace(&mut batch, Batch::new(self, worker, limits));
                answer.won.extend(self.flush(full, &mut answer.opened).await?);
            }
            if !self
                .park_first(worker, limits, settlement, first, &mut answer.opened)
                .await?
            {
                answer.won.push(false);
                continue;
            }
            let delivered = first.iter().filter(|outcome| outcome.verdict == Verdict::Delivered);
            batch.push(settlement, last, Some(delivered.count()));
        }
        answer.won.extend(self.flush(batch, &mut answer.opened).await?);
        for (settlement, won) in settlements.iter().map(Borrow::borrow).zip(&answer.won) {
            if *won {
                self.heard.note(&settlement.frame.source, settlement.id);
            }
        }
        Ok(answer)
    }

    /// Parks the deliveries of an event that do not fit into its last call; false as soon as the event was
    /// somebody else's: acknowledging it after that would lose what this worker could not park.
    async fn park_first(
        &self,
        worker: &str,
        limits: RefusalLimits,
        settlement: &Settlement,
        first: &[Outcome],
        opened: &mut Vec<SubscriptionId>,
    ) -> Result<bool, StoreError> {
        for chunk in first.chunks(DELIVERIES_PER_CALL) {
            let mut parks = Batch::new(self, worker, limits);
            parks.push(settlement, chunk, None);
            if self.flush(parks, opened).await? != [true] {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Sends a batch; per event, whether this settlement won.
    async fn flush(&self, batch: Batch, opened: &mut Vec<SubscriptionId>) -> Result<Vec<bool>, StoreError> {
        if batch.events == 0 {
            return Ok(Vec::new());
        }
        let (soonest, won, newly): (i64, Vec<u8>, Vec<String>) =
            self.call("settle", &SCRIPTS.settle, batch.into_args()).await?;
        self.alarm.ring_in(soonest);
        opened.extend(newly.iter().filter_map(|id| SubscriptionId::new(id).ok()));
        Ok(won.into_iter().map(|won| won == 1).collect())
    }
}

/// The arguments of one call of `settle.lua`.
struct Batch {
    limits: [Value; 3],
    args: Vec<Value>,
    events: usize,
    deliveries: usize,
    /// Whether the events are noted in `recent`.
    noting: bool,
    /// Whether they are noted with the event itself.
    with_events: bool,
}

impl Batch {
    fn new(partition: &Partition, worker: &str, limits: RefusalLimits) -> Self {
        Self {
            limits: [worker.into(), limits.open_after.into(), limits.bury_after.into()],
            args: Vec::new(),
            events: 0,
            deliveries: 0,
            noting: partition.recording.is_on(),
            with_events: partition.recording.keeps_events(),
        }
    }

    fn into_args(self) -> Vec<Value> {
        let mut args = Vec::with_capacity(self.limits.len() + self.args.len());
        args.extend(self.limits);
        args.extend(self.args);
        args
    }

    /// Adds an event; `delivered_before` is `None` for a chunk that is not the last of its event, else how
    /// many deliveries the chunks before it had that were delivered.
    fn push(&mut self, settlement: &Settlement, outcomes: &[Outcome], delivered_before: Option<usize>) {
        self.events += 1;
        self.deliveries += outcomes.len().max(1);
        let body = if settlement.needs_body() {
            settlement.frame.encode()
        } else {
            Bytes::new()
        };
        let note = if self.noting {
            // Once for an event, with the last of its chunks; never one that can't be read.
            let with_event = self.with_events && delivered_before.is_some() && settlement.rejected.is_none();
            Note::of_settlement(settlement, outcomes, &frame::name(&settlement.frame.source), with_event)
        } else {
            Bytes::new()
        };
        // The script takes an empty reason for an event that was not rejected.
        let reason = match settlement.rejected.as_deref() {
            Some("") => "rejected",
            reason => reason.unwrap_or_default(),
        };
        self.args.extend([
            settlement.id.to_string().into(),
            Member(settlement.id).to_string().into(),
            delivered_before
                .map_or(-1, |n| i64::try_from(n).unwrap_or(i64::MAX))
                .into(),
            i64::from(settlement.alone).into(),
            reason.into(),
            Value::Bytes(body),
            Value::Bytes(note),
            i64::try_from(outcomes.len()).unwrap_or(i64::MAX).into(),
        ]);
        for outcome in outcomes {
            self.args.extend([
                outcome.subscription.as_str().into(),
                letter(outcome.verdict).into(),
                millis(outcome.wait).into(),
                millis(outcome.floor).into(),
                outcome.error.as_str().into(),
            ]);
        }
    }
}

pub(super) fn letter(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Delivered => "D",
        Verdict::Unavailable => "U",
        Verdict::NotTried => "N",
        Verdict::Behind => "B",
        Verdict::WaitedTooLong => "W",
        Verdict::Refused => "R",
        Verdict::GivenUp => "X",
    }
}

/// The verdict that a letter stands for.
pub(super) fn verdict(text: &str) -> Option<Verdict> {
    use Verdict::{Behind, Delivered, GivenUp, NotTried, Refused, Unavailable, WaitedTooLong};
    let all = [
        Delivered,
        Unavailable,
        NotTried,
        Behind,
        WaitedTooLong,
        Refused,
        GivenUp,
    ];
    all.into_iter().find(|verdict| letter(*verdict) == text)
}

pub(super) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
