//! Heartbeats of subscriptions: which are due, each told to one worker only.
//!
//! They are kept in the first partition, whatever the number of partitions: a heartbeat is one for all of them.

use std::time::Duration;

use fred::types::Value;

use super::error::StoreError;
use super::events::convert;
use super::partition::Partition;
use super::scripts::SCRIPTS;
use super::settle::millis;
use crate::domain::ids::SubscriptionId;

/// At most so many subscriptions in one script call.
const MOST: usize = 256;

/// What is due, and when there is more.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pulses {
    /// These are the caller's to send.
    pub due: Vec<SubscriptionId>,
    /// Until the next one is due.
    pub next_in: Option<Duration>,
}

impl Partition {
    /// Takes the heartbeats that are due among these subscriptions, each with its interval. The first is due one
    /// interval after somebody asked.
    ///
    /// # Errors
    /// When Redis can't be reached or the key has the wrong type. What was taken with a lost answer is not sent.
    pub async fn pulses(&self, wanted: &[(SubscriptionId, Duration)]) -> Result<Pulses, StoreError> {
        let mut all = Pulses::default();
        for step in wanted.chunks(MOST) {
            let args = step
                .iter()
                .flat_map(|(id, interval)| [id.as_str().into(), millis(*interval).into()]);
            let answer: Vec<Value> = self.call("pulse", &SCRIPTS.pulse, args.collect()).await?;
            let mut answer = answer.into_iter();
            let next: i64 = convert(answer.next().unwrap_or(Value::Null))?;
            let next = u64::try_from(next).ok().map(Duration::from_millis);
            all.next_in = all.next_in.into_iter().chain(next).min();
            for id in answer {
                let id: String = convert(id)?;
                all.due.extend(SubscriptionId::new(&id));
            }
        }
        Ok(all)
    }
}
