//! The retry path: what is due next for a drain, and what became of it.
//!
//! A drain holds one redelivery entry; every write but *delivered* needs it to be still ours, so that a
//! paused worker that comes back changes nothing (invariant 7).

use std::time::Duration;

use bytes::Bytes;
use fred::types::Value;

use super::error::StoreError;
use super::events::{array, convert};
use super::frame;
use super::partition::Partition;
use super::recent::Note;
use super::scripts::SCRIPTS;
use super::settle::{RefusalLimits, millis};
use crate::domain::ids::{Member, StreamId, SubscriptionId};

/// Equal HTTP answers to the oldest delivery that make it a suspect: the next probe takes the following one.
const SUSPECT_AFTER: u32 = 3;

/// At most this many deliveries in one script call.
const MOST: usize = 256;

/// Of what a drain holds at most so many are named in a fetch.
const NAMED: usize = 128;

/// The redelivery that a drain holds.
#[derive(Debug, Clone)]
pub struct Redelivery {
    /// Its entry in the redelivery stream.
    pub id: StreamId,
    /// Whose retry queue is due.
    pub subscription: SubscriptionId,
    /// The worker that holds it.
    pub worker: String,
}

/// A parked delivery, ready to be sent.
#[derive(Debug, Clone)]
pub struct Parked {
    /// Its name in the retry queue.
    pub member: Member,
    /// The event's frame; `None` when somebody deleted it by hand.
    pub body: Option<Bytes>,
    /// How often it was tried.
    pub attempts: u32,
    /// How often it was refused, or failed while others succeeded.
    pub refusals: u32,
}

/// What a drain may send.
#[derive(Debug)]
pub enum Fetched {
    /// Another worker holds the redelivery now.
    Lost,
    /// The redelivery ended: suspended, removed, stale or not yet allowed.
    Done,
    /// Nothing is due beyond what the drain holds.
    Empty,
    /// Nothing more may be sent now: what is on its way comes to its end, then the drain ends.
    Rest,
    /// Deliveries to send.
    Due {
        /// Whether the circuit is open and this is its one probe.
        probe: bool,
        /// Failed probes in a row so far.
        failures: u32,
        /// Live workers, whose limits the drain may use together.
        workers: u32,
        /// The oldest deliveries, passed over for the probe because the first of them keeps getting the same answer.
        suspects: Vec<Member>,
        /// Oldest first.
        parked: Vec<Parked>,
    },
}

/// A parked delivery that was answered 2xx.
#[derive(Debug, Clone)]
pub struct Answered {
    /// Its name in the retry queue.
    pub member: Member,
    /// The event's source, by [`frame::name`]; empty when unknown.
    pub source: String,
}

impl From<Member> for Answered {
    fn from(member: Member) -> Self {
        Self {
            member,
            source: String::new(),
        }
    }
}

impl Parked {
    /// The event's source, by [`frame::name`]; empty when unknown.
    #[must_use]
    pub fn source(&self) -> String {
        let body = self.body.as_deref().unwrap_or_default();
        frame::source_of(body).into_owned()
    }
}

/// What a refusal of a parked delivery led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusedAs {
    /// It waits for a due time of its own.
    Due,
    /// It became a dead letter.
    Buried,
    /// Everything is refused: the caller goes on as after a failure.
    Unavailable,
    /// It was no longer parked.
    Gone,
    /// Another worker holds the redelivery now.
    Lost,
}

/// A failure that ends a drain.
#[derive(Debug, Clone)]
pub struct Failure {
    /// The delivery that failed.
    pub member: Member,
    /// Until the next probe.
    pub wait: Duration,
    /// `Retry-After`: no probe before that; zero without one.
    pub floor: Duration,
    /// The HTTP status, where the subscriber answered.
    pub status: Option<u16>,
    /// Attempts that use a delivery up; 0 for ever.
    pub max_attempts: u32,
    /// Whether the request was made at all; else no attempt is used up.
    pub tried: bool,
    /// What went wrong, for the operator.
    pub error: String,
}

/// What a failure led to.
#[derive(Debug, Clone, Default)]
pub struct Failed {
    /// Another worker holds the redelivery now.
    pub lost: bool,
    /// The circuit was closed before.
    pub opened: bool,
    /// Attempts of the delivery so far.
    pub attempts: u32,
    /// The delivery became a dead letter.
    pub buried: bool,
    /// Milliseconds until the next probe.
    pub next_in: Option<u64>,
}

/// What came of deliveries reported as delivered.
#[derive(Debug, Clone, Copy, Default)]
pub struct Delivered {
    /// Another worker holds the redelivery now.
    pub lost: bool,
    /// How many left the queue with this report.
    pub left: u32,
    /// This closed the circuit.
    pub closed: bool,
}

/// Whether a drain may end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finished {
    /// Another worker holds the redelivery now.
    Lost,
    /// Something was parked meanwhile.
    More,
    /// The redelivery ended; the subscription is not behind any more.
    Done,
}

impl Redelivery {
    fn args(&self) -> Vec<Value> {
        vec![
            self.id.to_string().into(),
            self.subscription.as_str().into(),
            self.worker.as_str().into(),
        ]
    }
}

impl Partition {
    /// The oldest due deliveries beyond those `held`, at most `most`. Of many that are held only the youngest are named
    /// and the others counted, so some of those may come again: the caller knows them. What is parked before them
    /// meanwhile is found by the next drain.
    ///
    /// # Errors
    /// When Redis can't be reached or a key has the wrong type.
    pub async fn fetch(
        &self,
        redelivery: &Redelivery,
        most: usize,
        dead_after: Duration,
        held: impl Iterator<Item = Member>,
    ) -> Result<Fetched, StoreError> {
        let mut args = redelivery.args();
        args.push(i64::try_from(most.min(MOST)).unwrap_or(i64::MAX).into());
        args.push(millis(dead_after).into());
        args.push(SUSPECT_AFTER.into());
        let mut held: Vec<Member> = held.collect();
        let skip = held.len().saturating_sub(NAMED);
        if skip > 0 {
            held.select_nth_unstable(skip);
        }
        args.push(i64::try_from(skip).unwrap_or(i64::MAX).into());
        args.extend(held.iter().skip(skip).map(|member| Value::from(member.to_string())));
        let answer: Vec<Value> = self.call("fetch", &SCRIPTS.fetch, args).await?;
        let mut answer = answer.into_iter();
        let kind: String = convert(answer.next().unwrap_or(Value::Null))?;
        match kind.as_str() {
            "lost" => Ok(Fetched::Lost),
            "done" => {
                self.alarm
                    .ring_in(answer.next().and_then(|ms| ms.as_i64()).unwrap_or(-1));
                Ok(Fetched::Done)
            }
            "empty" => Ok(Fetched::Empty),
            "rest" => Ok(Fetched::Rest),
            _ => due(kind == "probe", answer),
        }
    }

    /// Deliveries that were answered 2xx leave the queue.
    ///
    /// # Errors
    /// When Redis can't be reached or a key has the wrong type. Safe to repeat.
    pub async fn delivered(
        &self,
        redelivery: &Redelivery,
        answered: &[impl Clone + Into<Answered>],
    ) -> Result<Delivered, StoreError> {
        let mut total = Delivered::default();
        let noting = self.recording.is_on();
        for step in answered.chunks(MOST) {
            let mut args = redelivery.args();
            for Answered { member, source } in step.iter().cloned().map(Into::into) {
                let note = noting.then(|| Note::of_delivery(&redelivery.subscription, &source));
                args.extend([member.to_string().into(), note.unwrap_or_default().into()]);
            }
            let (state, left, closed, soonest): (String, u32, u8, i64) =
                self.call("delivered", &SCRIPTS.delivered, args).await?;
            self.alarm.ring_in(soonest);
            total.lost |= state == "lost";
            total.left += left;
            total.closed |= closed == 1;
        }
        Ok(total)
    }

    /// A delivery was refused, or failed while others around it succeeded.
    ///
    /// # Errors
    /// When Redis can't be reached or a key has the wrong type.
    pub async fn refused(
        &self,
        redelivery: &Redelivery,
        member: Member,
        wait: Duration,
        limits: RefusalLimits,
        error: &str,
    ) -> Result<(RefusedAs, bool), StoreError> {
        let mut args = redelivery.args();
        args.extend([
            member.to_string().into(),
            millis(wait).into(),
            limits.bury_after.into(),
            limits.open_after.into(),
            error.into(),
        ]);
        let (state, closed): (String, u8) = self.call("refused", &SCRIPTS.refused, args).await?;
        let state = match state.as_str() {
            "due" => RefusedAs::Due,
            "buried" => RefusedAs::Buried,
            "unavailable" => RefusedAs::Unavailable,
            "gone" => RefusedAs::Gone,
            _ => RefusedAs::Lost,
        };
        Ok((state, closed == 1))
    }

    /// The drain failed: it ends, and the next probe is due after the wait.
    ///
    /// # Errors
    /// When Redis can't be reached or a key has the wrong type. Safe to repeat.
    pub async fn failed(&self, redelivery: &Redelivery, failure: &Failure) -> Result<Failed, StoreError> {
        let mut args = redelivery.args();
        args.extend([
            failure.member.to_string().into(),
            millis(failure.wait).into(),
            millis(failure.floor).into(),
            failure
                .status
                .map(|status| status.to_string())
                .unwrap_or_default()
                .into(),
            if failure.tried {
                i64::from(failure.max_attempts)
            } else {
                -1
            }
            .into(),
            SUSPECT_AFTER.into(),
            failure.error.as_str().into(),
        ]);
        let (state, opened, soonest, attempts, buried): (String, u8, i64, u32, u8) =
            self.call("failed", &SCRIPTS.failed, args).await?;
        self.alarm.ring_in(soonest);
        Ok(Failed {
            lost: state == "lost",
            opened: opened == 1,
            attempts,
            buried: buried == 1,
            next_in: u64::try_from(soonest).ok(),
        })
    }

    /// The drain sees nothing due any more.
    ///
    /// # Errors
    /// When Redis can't be reached or a key has the wrong type. Safe to repeat.
    pub async fn finish(&self, redelivery: &Redelivery) -> Result<Finished, StoreError> {
        let (state, soonest): (String, i64) = self.call("finish", &SCRIPTS.finish, redelivery.args()).await?;
        self.alarm.ring_in(soonest);
        Ok(match state.as_str() {
            "lost" => Finished::Lost,
            "more" => Finished::More,
            _ => Finished::Done,
        })
    }

    /// Gives the drain back at shutdown; what is due is due at once for the others.
    ///
    /// # Errors
    /// When Redis can't be reached or a key has the wrong type. Safe to repeat.
    pub async fn leave_drain(&self, redelivery: &Redelivery) -> Result<(), StoreError> {
        let (_, soonest): (String, i64) = self.call("leave", &SCRIPTS.leave, redelivery.args()).await?;
        self.alarm.ring_in(soonest);
        Ok(())
    }

    /// Makes a parked delivery a dead letter; false when it was not ours or not parked any more.
    ///
    /// # Errors
    /// When Redis can't be reached or a key has the wrong type. Safe to repeat.
    pub async fn bury(
        &self,
        redelivery: &Redelivery,
        member: Member,
        reason: &str,
        error: &str,
    ) -> Result<bool, StoreError> {
        let mut args = redelivery.args();
        args.extend([member.to_string().into(), reason.into(), error.into()]);
        let state: String = self.call("bury", &SCRIPTS.bury, args).await?;
        Ok(state == "buried")
    }
}

/// `[failures, live workers, [members passed over], [member, body, tries]…]`
fn due(probe: bool, mut answer: impl Iterator<Item = Value>) -> Result<Fetched, StoreError> {
    let mut next = || answer.next().unwrap_or(Value::Null);
    let failures = convert(next())?;
    let workers = convert(next())?;
    let suspects: Vec<String> = convert(next())?;
    let mut parked = Vec::new();
    for row in answer {
        let mut row = array(row)?.into_iter();
        let mut cell = || row.next().unwrap_or(Value::Null);
        let member: String = convert(cell())?;
        let body: Option<Bytes> = convert(cell())?;
        let tries: Option<String> = convert(cell())?;
        let count = |at| {
            tries
                .as_ref()
                .and_then(|tries| tries.split(' ').nth(at)?.parse().ok())
                .unwrap_or(0)
        };
        parked.push(Parked {
            member: member
                .parse()
                .map_err(|error| StoreError::answer("a member of a retry queue", &error))?,
            body,
            attempts: count(0),
            refusals: count(1),
        });
    }
    Ok(Fetched::Due {
        probe,
        failures,
        workers,
        suspects: suspects.iter().filter_map(|member| member.parse().ok()).collect(),
        parked,
    })
}
