//! The retry path: one redelivery entry, from the first probe to an empty queue.
//!
//! A [`Drain`] fetches what is due, oldest first, and sends it with a ramp (1, 2, 4, … up to its limit); a
//! delivery leaves the queue only after its 2xx (invariant 2). After a failure it starts nothing new and awaits
//! the rest: if a later delivery succeeded the failure was the event's and the drain goes on from 1, else it was
//! the subscriber's and the drain ends with an open circuit.

mod post;
mod reports;
mod starts;
mod together;
mod whose;

use std::collections::{HashSet, VecDeque};
use std::pin::Pin;
use std::sync::Arc;

use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::info;

use self::post::{Posted, Sent};
use self::together::Doubt;
use self::whose::Whose;
use super::catalog::Subscriber;
use super::ends;
use super::lane::{ALONE_FROM, Lane, POISON_FROM};
use super::persist::persist;
use crate::domain::ids::{Member, StreamId, SubscriptionId};
use crate::domain::limit::{Growth, Limit};
use crate::domain::subscription::Subscription;
use crate::domain::verdict::Judgement;
use crate::store::drain::{Answered, Delivered, Fetched, Finished, Parked, Redelivery};
use crate::telemetry::labels::DeliveryResult;
use crate::telemetry::metrics;

/// Works on one redelivery until it ends, here or with another worker.
pub(super) async fn run(lane: &Arc<Lane>, id: StreamId, times: u32, subscription: SubscriptionId, since: Instant) {
    let redelivery = Redelivery {
        id,
        subscription,
        worker: lane.pod.name.clone(),
    };
    let subscriber = match whose::find(lane, &redelivery.subscription).await {
        Whose::Subscriber(subscriber) => subscriber,
        Whose::Removed => return whose::drop_orphans(lane, &redelivery).await,
        Whose::Unknown(problem) => return whose::put_off(lane, &redelivery, &problem).await,
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
    /// Events in one message: a ramp as well.
    growth: Growth,
    /// Deliveries that are sent one by one, since the subscriber did not take them together.
    doubt: Doubt,
    /// Fetched and not sent yet, oldest first.
    ready: VecDeque<Parked>,
    /// Everything fetched that has not left the queue or been given back.
    held: HashSet<Member>,
    posts: JoinSet<Posted>,
    /// Answered 2xx, not reported yet.
    answered: Vec<Answered>,
    report: Option<(Call<Delivered>, Vec<Answered>)>,
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
    /// It was refused before, and nothing is known of the others: it does not count again, and is to blame only once
    /// another succeeds.
    Waits,
    /// Others succeeded around it.
    Ignores,
}

/// Why nothing new is started any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// Another worker holds the redelivery, or it ended.
    Over,
    /// The worker shuts down, publishing stopped, or one delivery was all that was asked for.
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
            growth: Growth::new(),
            doubt: Doubt::default(),
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
            self.start_report();
            self.start_fetch();
            self.start_posts();
            if quiet.is_cancelled() || !self.lane.pod.publishes() {
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
            Posted::Together(group) => return self.answered_together(group),
            Posted::Answered(sent) => sent,
        };
        self.heard_alone(&sent);
        match sent.answer.judge() {
            Judgement::Delivered => {
                self.ramp.succeeded();
                self.growth.took(1);
                self.last_success = self.last_success.max(sent.order);
                self.answered.push(Answered {
                    member: sent.member,
                    source: sent.source,
                });
            }
            Judgement::Refused => self.refuse(&sent, Streak::Counts).await,
            Judgement::Unavailable => match self.blame(&sent) {
                Some(streak) => self.refuse(&sent, streak).await,
                None => self.failures.push(sent),
            },
            Judgement::Gone => {
                self.gone = Some(sent.to);
                self.ending = Some(Ending::Gone);
            }
        }
    }

    /// A suspect that fails again although the probe behind it has succeeded is to blame. One that was refused before
    /// holds up nobody; without a success of another it may be the subscriber that fails now.
    fn blame(&self, sent: &Sent) -> Option<Streak> {
        let succeeded = self.last_success > 0;
        let suspect = succeeded && self.suspects.contains(&sent.member) && sent.answer.suspects_delivery();
        let again = sent.refused_before && !self.probing && sent.answer.blames_delivery();
        match (suspect || again, succeeded) {
            (false, _) => None,
            (true, true) => Some(Streak::Ignores),
            (true, false) => Some(Streak::Waits),
        }
    }

    async fn reported(&mut self, delivered: Delivered) {
        let reported = self.report.take().map(|(_, answered)| answered).unwrap_or_default();
        for answered in &reported {
            self.held.remove(&answered.member);
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
