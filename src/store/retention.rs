//! What a subscription holds beyond its limits: moved to the dead letters, or handed to one worker's file.
//!
//! Any number of workers may ask at once: each call looks at the queue as it is then, and counts only what it takes
//! out of it itself.

use std::time::Duration;

use bytes::Bytes;
use fred::types::Value;

use super::Store;
use super::error::StoreError;
use super::events::{array, convert};
use super::frame::Frame;
use super::partition::Partition;
use super::scripts::SCRIPTS;
use super::settle::millis;
use crate::domain::ids::{Member, SubscriptionId};
use crate::domain::retention::Retention;
use crate::domain::units::Period;

/// At most this many deliveries in one script call.
const MOST: i64 = 256;
/// So many queues are counted in one script call, which takes Redis about a millisecond.
const QUEUES: usize = 1024;
/// At most this many lines are written at a time.
const LINES: i64 = 128;
/// About as many bytes of bodies are written at a time.
const LINES_BYTES: i64 = 4 << 20;

/// What is too much in one partition.
#[derive(Debug, Clone)]
pub struct Bounds {
    /// Whose queue.
    pub subscription: SubscriptionId,
    /// The subscription's limits.
    pub limits: Retention,
    /// How many this partition is to keep; `None` where it holds no more than its share.
    pub keep: Option<u64>,
}

/// How many deliveries a call moved, and by which limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Moved {
    /// Those that were too many.
    pub too_many: u64,
    /// Those that were too old.
    pub too_old: u64,
}

/// A delivery beyond a limit, to be written to a file.
#[derive(Debug, Clone)]
pub struct Overflowing {
    /// Its name in the retry queue.
    pub member: Member,
    /// Which limit it is beyond.
    pub reason: String,
    /// How often it was tried.
    pub attempts: u32,
    /// When it failed first, ms since the epoch; `None` when it was never tried.
    pub first_failure_ms: Option<u64>,
    /// Its last error, or the subscriber's where it was never tried itself.
    pub error: String,
    /// The event and where it came from; `None` when its body was deleted by hand.
    pub frame: Option<Frame>,
}

/// What a worker is to write.
#[derive(Debug)]
pub enum Offer {
    /// Another worker writes this queue's overflow just now.
    Busy,
    /// The oldest beyond the limits; the queue is this worker's to write until the lease ends.
    Lines {
        /// Oldest first; empty when nothing is beyond a limit.
        lines: Vec<Overflowing>,
        /// Where to go on, when there may be more.
        next: Option<u64>,
    },
}

impl Moved {
    /// All of them.
    #[must_use]
    pub fn total(self) -> u64 {
        self.too_many + self.too_old
    }
}

impl Partition {
    /// How many deliveries each of these subscriptions has parked here, in their order.
    ///
    /// # Errors
    /// When Redis can't be reached or a queue was replaced by something else.
    pub async fn held(&self, subscriptions: &[&str]) -> Result<Vec<u64>, StoreError> {
        let mut held = Vec::with_capacity(subscriptions.len());
        for step in subscriptions.chunks(QUEUES) {
            let args = step.iter().map(|id| Value::from(*id)).collect();
            held.extend(self.call::<Vec<u64>>("held", &SCRIPTS.held, args).await?);
        }
        Ok(held)
    }

    /// Makes the oldest beyond the limits dead letters, a bounded number; answers where to go on when there may be
    /// more. `from` is 0 at first.
    ///
    /// # Errors
    /// When Redis can't be reached or a key has the wrong type. Safe to repeat.
    pub async fn bury_overflow(&self, bounds: &Bounds, from: u64) -> Result<(Moved, Option<u64>), StoreError> {
        let args = arguments(bounds, "bury", MOST, from);
        let (_, too_many, too_old, next): (String, u64, u64, i64) = self.call("retain", &SCRIPTS.retain, args).await?;
        Ok((Moved { too_many, too_old }, u64::try_from(next).ok()))
    }

    /// The oldest beyond the limits, for `worker` to write; nobody else is offered them until `lease` is over.
    /// They stay in the queue until [`Partition::overflowed`].
    ///
    /// # Errors
    /// When Redis can't be reached or a key has the wrong type. Safe to repeat.
    pub async fn offer_overflow(
        &self,
        bounds: &Bounds,
        from: u64,
        worker: &str,
        lease: Duration,
    ) -> Result<Offer, StoreError> {
        let mut args = arguments(bounds, "offer", LINES, from);
        args.extend([worker.into(), millis(lease).into(), LINES_BYTES.into()]);
        let answer: Vec<Value> = self.call("retain", &SCRIPTS.retain, args).await?;
        let mut cells = answer.into_iter();
        let mut next = || cells.next().unwrap_or(Value::Null);
        match convert::<String>(next())?.as_str() {
            "busy" => return Ok(Offer::Busy),
            "offered" => {}
            _ => {
                return Ok(Offer::Lines {
                    lines: Vec::new(),
                    next: None,
                });
            }
        }
        let error: String = convert(next())?;
        let go_on: i64 = convert(next())?;
        let lines = cells.map(|row| overflowing(row, &error)).collect::<Result<_, _>>()?;
        Ok(Offer::Lines {
            lines,
            next: u64::try_from(go_on).ok(),
        })
    }

    /// Takes deliveries out of the queue that are safe in a file of `worker`; answers how many this call took.
    /// Without any it ends the worker's lease.
    ///
    /// # Errors
    /// When Redis can't be reached or a key has the wrong type. Safe to repeat.
    pub async fn overflowed(
        &self,
        subscription: &SubscriptionId,
        worker: &str,
        members: &[Member],
    ) -> Result<u64, StoreError> {
        let mut args: Vec<Value> = vec![subscription.as_str().into(), worker.into()];
        args.extend(members.iter().map(|member| Value::from(member.to_string())));
        self.call("overflowed", &SCRIPTS.overflowed, args).await
    }
}

impl Store {
    /// Makes what is parked for a suspended subscription and older than `age` dead letters, in every partition; answers
    /// how many, or `None` while a drain that began before the suspension is still out in one of them. What only a full
    /// server keeps, because others wait for the same event, stays parked.
    ///
    /// # Errors
    /// When Redis can't be reached or a key has the wrong type. Safe to repeat.
    pub async fn bury_older(&self, subscription: &SubscriptionId, age: Duration) -> Result<Option<u64>, StoreError> {
        let reason = format!("resume: older than {}", Period(age));
        let mut buried = 0;
        for partition in self.partitions() {
            let mut from = Some(0_u64);
            while let Some(first) = from {
                let args: Vec<Value> = vec![
                    subscription.as_str().into(),
                    "bury".into(),
                    "".into(),
                    millis(age).to_string().into(),
                    "".into(),
                    reason.as_str().into(),
                    MOST.into(),
                    i64::try_from(first).unwrap_or(i64::MAX).into(),
                    "whole".into(),
                ];
                let answer: Vec<Value> = partition.call("retain", &SCRIPTS.retain, args).await?;
                let Some(next) = answer.get(3).and_then(Value::as_i64) else {
                    return Ok(None);
                };
                buried += answer.get(2).and_then(Value::as_u64).unwrap_or_default();
                from = u64::try_from(next).ok();
            }
        }
        Ok(Some(buried))
    }
}

fn arguments(bounds: &Bounds, how: &str, most: i64, from: u64) -> Vec<Value> {
    let limits = &bounds.limits;
    let text = |number: Option<u64>| number.map(|number| number.to_string()).unwrap_or_default();
    vec![
        bounds.subscription.as_str().into(),
        how.into(),
        text(bounds.keep).into(),
        text(limits.max_age.map(|age| age.millis())).into(),
        limits.too_many().into(),
        limits.too_old().into(),
        most.into(),
        i64::try_from(from).unwrap_or(i64::MAX).into(),
    ]
}

/// `[member, reason, tries, body]`; tries are `<attempts> <refusals> <first failure ms> <last error>`.
fn overflowing(row: Value, circuit_error: &str) -> Result<Overflowing, StoreError> {
    let mut row = array(row)?.into_iter();
    let mut cell = || row.next().unwrap_or(Value::Null);
    let member: String = convert(cell())?;
    let reason = convert(cell())?;
    let tries: Option<String> = convert(cell())?;
    let body: Option<Bytes> = convert(cell())?;
    let mut tried = tries.as_deref().unwrap_or_default().splitn(4, ' ');
    let attempts = tried.next().and_then(|text| text.parse().ok()).unwrap_or(0);
    let first = tried.nth(1).and_then(|text| text.parse().ok());
    Ok(Overflowing {
        member: member
            .parse()
            .map_err(|error| StoreError::answer("a member of a retry queue", &error))?,
        reason,
        attempts,
        first_failure_ms: first,
        error: tried.next().unwrap_or(circuit_error).to_owned(),
        frame: body.as_ref().and_then(Frame::decode),
    })
}
