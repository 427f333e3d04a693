//! What a drain starts: requests up to its ramp, reports of what was delivered, fetches of what is due next.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt;
use tokio::time::Instant;

use super::post::{Posted, post};
use super::{Drain, Ending};
use crate::domain::ids::Member;
use crate::store::drain::Fetched;
use crate::worker::persist::persist;

/// The most deliveries that a drain asks for, and that it holds where each has a message of its own: together one
/// script call stays within its bound.
const MOST: usize = 128;
/// The most that it holds where many travel together.
const MOST_TOGETHER: usize = 4096;
/// About as many bytes of bodies as a drain holds.
const MOST_BYTES: usize = 4 << 20;

impl Drain {
    /// Starts requests up to the ramp. The first needs no share of the pod: every drain has a slot of its own,
    /// so slow probes can't starve a subscriber that is back.
    pub(super) fn start_posts(&mut self) {
        let at_once = if self.single { 1 } else { self.ramp.get() as usize };
        if self.stopping() {
            return;
        }
        self.renew();
        while self.posts.len() < at_once {
            if self.gathers() {
                return;
            }
            if self.ready.is_empty() {
                return;
            }
            let next = self.ready.iter().take(self.most_together() as usize);
            let bytes = next.filter_map(|parked| parked.body.as_ref()).map(Bytes::len).sum();
            let share = self.lane.pod.slots.try_take(bytes, self.posts.len());
            if share.is_none() && !self.posts.is_empty() {
                return;
            }
            self.started += 1;
            // A panic is about one of them: sent alone, it shows which.
            if let Ok(Some(group)) = catch_unwind(AssertUnwindSafe(|| self.group())) {
                self.start_together(group, share);
                continue;
            }
            let Some(parked) = self.ready.pop_front() else { return };
            let (lane, subscriber) = (Arc::clone(&self.lane), Arc::clone(&self.subscriber));
            let (redelivery, order, single) = ((self.redelivery.id, self.since), self.started, self.single);
            self.posts.spawn(async move {
                let member = parked.member;
                let sent = post(&lane, &subscriber, redelivery, order, parked, single);
                let posted = AssertUnwindSafe(sent).catch_unwind().await;
                drop(share);
                posted.unwrap_or_else(|_| Posted::Undeliverable {
                    member,
                    reason: "the worker panicked while it prepared this delivery".to_owned(),
                })
            });
            if self.single {
                self.ready.clear();
            }
        }
    }

    /// Takes the subscription as it is now; what was fetched for one that has been suspended or removed since
    /// is not sent any more.
    fn renew(&mut self) {
        let known = self.lane.pod.catalog().get(&self.redelivery.subscription).cloned();
        let serves = known.as_ref().is_some_and(|now| !now.subscription.is_suspended());
        if let Some(now) = known {
            self.subscriber = now;
        }
        if !serves && !self.ready.is_empty() {
            self.drop_ready();
            self.probing = false;
            // Its circuit may not know yet: what is due would be fetched again and again.
            self.ending.get_or_insert(Ending::Leaving);
        }
    }

    /// What was fetched and not sent is not sent any more.
    fn drop_ready(&mut self) {
        for parked in self.ready.drain(..) {
            self.held.remove(&parked.member);
        }
    }

    pub(super) fn start_report(&mut self) {
        if self.report.is_some() || self.answered.is_empty() {
            return;
        }
        // A fetch that counts those held passes over others when some of them leave the queue before it.
        if self.fetch.is_some() && self.held.len() > MOST {
            return;
        }
        let answered = std::mem::take(&mut self.answered);
        let (lane, redelivery, reported) = (Arc::clone(&self.lane), self.redelivery.clone(), answered.clone());
        let call = Box::pin(async move {
            persist("reporting deliveries", &lane.partition, || {
                lane.partition.delivered(&redelivery, &reported)
            })
            .await
        });
        self.report = Some((call, answered));
    }

    pub(super) fn start_fetch(&mut self) {
        let enough = self.ready.len() >= self.wanted() || (self.single && self.started > 0);
        if self.fetch.is_some() || self.exhausted || self.stopping() || self.probing || enough {
            return;
        }
        // Where those held are only counted, none of them may leave the queue meanwhile.
        if self.held.len() > MOST && self.report.is_some() {
            return;
        }
        let held: Vec<Member> = self.held.iter().copied().collect();
        let most = if self.single { 1 } else { self.room(held.len()) };
        if most == 0 {
            return;
        }
        let (lane, redelivery) = (Arc::clone(&self.lane), self.redelivery.clone());
        self.fetch = Some(Box::pin(async move {
            persist("fetching what is due", &lane.partition, || async {
                let (since, held) = (Instant::now(), held.iter().copied());
                let fetched = lane
                    .partition
                    .fetch(&redelivery, most, lane.pod.dead_after(), held)
                    .await?;
                Ok((since, fetched))
            })
            .await
        }));
    }

    /// How many deliveries the next messages carry.
    fn wanted(&self) -> usize {
        self.ramp.get() as usize * self.most_together() as usize
    }

    /// How many more to fetch: twice what is wanted, within the bounds of number and bytes.
    fn room(&self, held: usize) -> usize {
        let by_bytes = (MOST_BYTES / self.mean_bytes.max(1)).clamp(1, self.most_held());
        (2 * self.wanted()).min(by_bytes.saturating_sub(held)).min(MOST)
    }

    /// The most deliveries that a drain holds. Limits of a subscription leave only so many of the oldest to its drain.
    fn most_held(&self) -> usize {
        let limited = !self.subscriber.subscription.limits.is_default();
        if limited || self.most_together() == 1 {
            MOST
        } else {
            MOST_TOGETHER
        }
    }

    pub(super) fn fetched(&mut self, (since, fetched): (Instant, Fetched)) {
        self.fetch = None;
        self.since = since;
        match fetched {
            Fetched::Lost | Fetched::Done => self.ending = Some(Ending::Over),
            Fetched::Empty => self.exhausted = true,
            Fetched::Rest => {
                self.drop_ready();
                self.exhausted = true;
            }
            Fetched::Due {
                probe,
                failures,
                workers,
                suspects,
                parked,
            } => {
                self.failed_before = failures;
                self.ramp.set_most(self.most_at_once(workers));
                let bytes: usize = parked
                    .iter()
                    .filter_map(|parked| parked.body.as_ref())
                    .map(Bytes::len)
                    .sum();
                self.mean_bytes = bytes / parked.len().max(1);
                self.probing = probe;
                self.was_open |= probe;
                self.suspects.extend(suspects);
                let before = self.ready.len();
                self.ready
                    .extend(parked.into_iter().filter(|parked| self.held.insert(parked.member)));
                // Nothing but what it holds: others were parked before those. The next look begins with them.
                self.exhausted = self.ready.len() == before;
            }
        }
    }

    /// The drain alone serves the subscription now, so it may use the limit of all live workers together; a limit
    /// of one asks for strict order and stays one.
    fn most_at_once(&self, workers: u32) -> u32 {
        match self.subscriber.max_in_flight {
            1 => 1,
            limit => limit.saturating_mul(workers.max(1)).min(MOST as u32),
        }
    }
}
