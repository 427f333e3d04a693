//! The retry path: one redelivery entry, from the first probe to an empty queue.
//!
//! A [`Drain`] fetches what is due, oldest first, and sends it with a ramp (1, 2, 4, … up to its limit); a
//! delivery leaves the queue only after its 2xx (invariant 2). After a failure it starts nothing new and awaits
//! the rest: if a later delivery succeeded the failure was the event's and the drain goes on from 1, else it was
//! the subscriber's and the drain ends with an open circuit.

mod post;
mod reports;

use std::collections::{HashSet, VecDeque};
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::info;

use self::post::{Posted, Sent, post};
use super::catalog::Subscriber;
use super::ends;
use super::lane::{ALONE_FROM, Lane, POISON_FROM};
use super::persist::persist;
use super::registry;
use crate::domain::ids::{Member, StreamId, SubscriptionId};
use crate::domain::limit::Limit;
use crate::domain::subscription::Subscription;
use crate::domain::verdict::Judgement;
use crate::store::drain::{Delivered, Fetched, Finished, Parked, Redelivery};
use crate::telemetry::labels::DeliveryResult;
use crate::telemetry::metrics;

/// The most deliveries that a drain holds; with what it asks for, one script call stays within its bound.
const MOST: usize = 128;
/// About as many bytes of bodies as a drain holds.
const MOST_BYTES: usize = 4 << 20;

/// Works on one redelivery until it ends, here or with another worker.
pub(super) async fn run(lane: &Arc<Lane>, id: StreamId, times: u32, subscription: SubscriptionId, since: Instant) {
    let redelivery = Redelivery {
        id,
        subscription,
        worker: lane.pod.name.clone(),
    };
    let subscriber = persist("reading a subscription", &lane.partition, || async {
        // It may have been woken because its destination changed: what this pod knew is of no use then.
        registry::step(&lane.pod).await?;
        lane.pod.subscriber(&redelivery.subscription).await
    })
    .await;
    let Some(subscriber) = subscriber else {
        reports::drop_orphans(lane, &redelivery).await;
        return;
    };
    if times < ALONE_FROM {
        Drain::new(lane, redelivery, since, subscriber, false).run().await;
        return;
    }
    let _exclusive = lane.pod.alone.write().await;
    if times >= POISON_FROM {
        reports::bury_oldest(lane, &redelivery).await;
        return;
    }
    persist("marking an entry", &lane.partition, || {
        lane.partition.mark_alone(&lane.pod.name, id)
    })
    .await;
    Drain::new(lane, redelivery, since, subscriber, true).run().await;
}

type Call<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// What a drain holds between its steps.
struct Drain {
    lane: Arc<Lane>,
    redelivery: Redelivery,
    /// When the redelivery was known to be ours last.
    since: Instant,
    subscriber: Arc<Subscriber>,
    /// Requests at once: the ramp.
    ramp: Limit,
    /// Fetched and not sent yet, oldest first.
    ready: VecDeque<Parked>,
    /// Everything fetched that has not left the queue or been given back.
    held: HashSet<Member>,
    posts: JoinSet<Posted>,
    /// Answered 2xx, not reported yet.
    answered: Vec<Member>,
    report: Option<(Call<Delivered>, Vec<Member>)>,
    fetch: Option<Call<(Instant, Fetched)>>,
    /// Nothing was due at the last fetch.
    exhausted: bool,
    /// Mean size of what was fetched last.
    mean_bytes: usize,
    /// A probe is out: nothing else is fetched until it is reported.
    probing: bool,
    /// Passed over for a probe that may succeed: should they fail again after that, it is their own fault.
    suspects: HashSet<Member>,
    /// Failures since the last good state, by the order in which they were started.
    failures: Vec<Sent>,
    /// Who answered 410.
    gone: Option<Arc<Subscription>>,
    started: u64,
    /// The circuit was open when this drain began.
    was_open: bool,
    last_success: u64,
    failed_before: u32,
    ending: Option<Ending>,
    /// Send one delivery only: this entry is suspected of killing workers.
    single: bool,
}

/// Whether a refusal counts among those in a row that make a subscription unavailable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Streak {
    /// The subscriber refused, and nothing is known of the others.
    Counts,
    /// Others succeeded around it.
    Ignores,
}

/// Why nothing new is started any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// Another worker holds the redelivery, or it ended.
    Over,
    /// The worker shuts down, or one delivery was all that was asked for.
    Leaving,
    /// The subscriber answered 410.
    Gone,
    /// Everything is refused.
    AllRefused,
}

impl Drain {
    fn new(
        lane: &Arc<Lane>,
        redelivery: Redelivery,
        since: Instant,
        subscriber: Arc<Subscriber>,
        single: bool,
    ) -> Self {
        Self {
            lane: Arc::clone(lane),
            redelivery,
            since,
            ramp: Limit::new(subscriber.max_in_flight),
            subscriber,
            ready: VecDeque::new(),
            held: HashSet::new(),
            posts: JoinSet::new(),
            answered: Vec::new(),
            report: None,
            fetch: None,
            exhausted: false,
            mean_bytes: 1024,
            probing: false,
            suspects: HashSet::new(),
            failures: Vec::new(),
            gone: None,
            started: 0,
            was_open: false,
            last_success: 0,
            failed_before: 0,
            ending: None,
            single,
        }
    }

    /// Turns until the redelivery has ended.
    async fn run(mut self) {
        let quiet = self.lane.pod.quiet.clone();
        loop {
            self.start_posts();
            self.start_report();
            self.start_fetch();
            if quiet.is_cancelled() {
                self.ending.get_or_insert(Ending::Leaving);
            }
            if self.is_idle() {
                if self.rest().await {
                    return;
                }
                continue;
            }
            tokio::select! {
                Some(posted) = self.posts.join_next() => {
                    match posted {
                        Ok(posted) => self.posted(posted).await,
                        Err(_) => self.ending = Some(Ending::Over),
                    }
                }
                delivered = called(self.report.as_mut().map(|(call, _)| call)) => self.reported(delivered).await,
                fetched = called(self.fetch.as_mut()) => self.fetched(fetched),
                () = quiet.cancelled(), if self.ending.is_none() => self.ending = Some(Ending::Leaving),
            }
        }
    }

    fn is_idle(&self) -> bool {
        let sending = !self.posts.is_empty() || (!self.ready.is_empty() && !self.stopping());
        !sending && self.report.is_none() && self.fetch.is_none() && self.answered.is_empty()
    }

    fn stopping(&self) -> bool {
        self.ending.is_some() || !self.failures.is_empty()
    }

    /// Starts requests up to the ramp. The first needs no share of the pod: every drain has a slot of its own,
    /// so slow probes can't starve a subscriber that is back.
    fn start_posts(&mut self) {
        let at_once = if self.single { 1 } else { self.ramp.get() as usize };
        if self.stopping() {
            return;
        }
        self.renew();
        while self.posts.len() < at_once {
            let Some(next) = self.ready.front() else { return };
            let bytes = next.body.as_ref().map_or(0, Bytes::len);
            let share = self.lane.pod.slots.try_take(bytes);
            if share.is_none() && !self.posts.is_empty() {
                return;
            }
            let Some(parked) = self.ready.pop_front() else { return };
            self.started += 1;
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
            for parked in self.ready.drain(..) {
                self.held.remove(&parked.member);
            }
            self.probing = false;
        }
    }

    fn start_report(&mut self) {
        if self.report.is_some() || self.answered.is_empty() {
            return;
        }
        let members = std::mem::take(&mut self.answered);
        let (lane, redelivery, reported) = (Arc::clone(&self.lane), self.redelivery.clone(), members.clone());
        let call = Box::pin(async move {
            persist("reporting deliveries", &lane.partition, || {
                lane.partition.delivered(&redelivery, &reported)
            })
            .await
        });
        self.report = Some((call, members));
    }

    fn start_fetch(&mut self) {
        let enough = self.ready.len() >= self.ramp.get() as usize || (self.single && self.started > 0);
        if self.fetch.is_some() || self.exhausted || self.stopping() || self.probing || enough {
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

    /// How many more to fetch: twice the ramp, within the bounds of number and bytes.
    fn room(&self, held: usize) -> usize {
        let by_bytes = (MOST_BYTES / self.mean_bytes.max(1)).clamp(1, MOST);
        (2 * self.ramp.get() as usize).min(by_bytes.saturating_sub(held))
    }

    fn fetched(&mut self, (since, fetched): (Instant, Fetched)) {
        self.fetch = None;
        self.since = since;
        match fetched {
            Fetched::Lost | Fetched::Done => self.ending = Some(Ending::Over),
            Fetched::Empty => self.exhausted = true,
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
                self.held.extend(parked.iter().map(|parked| parked.member));
                self.ready.extend(parked);
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

    async fn posted(&mut self, posted: Posted) {
        if self.single {
            self.ending.get_or_insert(Ending::Leaving);
        }
        let sent = match posted {
            Posted::NotOurs => {
                self.ending = Some(Ending::Over);
                return;
            }
            Posted::Undeliverable { member, reason } => {
                self.held.remove(&member);
                self.probing = false;
                self.bury(member, &reason).await;
                return;
            }
            Posted::Answered(sent) => sent,
        };
        match sent.answer.judge() {
            Judgement::Delivered => {
                self.ramp.succeeded();
                self.last_success = self.last_success.max(sent.order);
                self.answered.push(sent.member);
            }
            Judgement::Refused => self.refuse(&sent, Streak::Counts).await,
            Judgement::Unavailable if self.is_to_blame(&sent) => self.refuse(&sent, Streak::Ignores).await,
            Judgement::Unavailable => self.failures.push(sent),
            Judgement::Gone => {
                self.gone = Some(sent.to);
                self.ending = Some(Ending::Gone);
            }
        }
    }

    /// A suspect that fails again although the probe behind it has succeeded, or a delivery that was to blame before:
    /// it holds up nobody.
    fn is_to_blame(&self, sent: &Sent) -> bool {
        let suspect = self.last_success > 0 && self.suspects.contains(&sent.member);
        let again = sent.refused_before && !self.probing;
        sent.answer.suspects_delivery() && (suspect || again)
    }

    async fn reported(&mut self, delivered: Delivered) {
        let members = self.report.take().map(|(_, members)| members).unwrap_or_default();
        for member in &members {
            self.held.remove(member);
        }
        metrics::deliveries(DeliveryResult::Delivered, u64::from(delivered.left));
        if delivered.lost {
            self.ending = Some(Ending::Over);
            return;
        }
        if delivered.closed {
            self.closed();
        }
        self.probing = false;
    }

    /// Everything started has come to its end: what now? True when the drain is over.
    async fn rest(&mut self) -> bool {
        match self.ending {
            Some(Ending::Over) => return true,
            Some(Ending::Gone) => {
                if let Some(gone) = &self.gone {
                    ends::gone(&self.lane, gone).await;
                }
                self.finish().await;
                return true;
            }
            _ => {}
        }
        if !self.failures.is_empty() || self.ending == Some(Ending::AllRefused) {
            if self.went_on_after_failure() {
                self.set_aside().await;
                return false;
            }
            self.fail().await;
            return true;
        }
        if self.ending == Some(Ending::Leaving) {
            self.leave().await;
            return true;
        }
        match self.finish().await {
            Finished::More => {
                self.held.clear();
                self.exhausted = false;
                false
            }
            Finished::Done => {
                if self.was_open {
                    info!(subscription = %self.redelivery.subscription, sent = self.started, "caught up");
                }
                true
            }
            Finished::Lost => true,
        }
    }

    /// Whether a delivery that was started after the first failure succeeded, and nobody asked for a pause.
    fn went_on_after_failure(&self) -> bool {
        let first = self.failures.iter().map(|sent| sent.order).min();
        let may_go_on = self.failures.iter().all(|sent| sent.answer.retry_after().is_none());
        self.ending.is_none() && may_go_on && first.is_some_and(|first| self.last_success > first)
    }
}

/// Waits for a call if there is one, else for ever.
async fn called<T>(call: Option<&mut Call<T>>) -> T {
    match call {
        Some(call) => call.await,
        None => std::future::pending().await,
    }
}
