//! Deliveries that travel together: several parked events in one message, while a subscriber catches up.
//!
//! Only a 2xx says something about all of them. An answer that may be about what the message holds (a refusal, a 500)
//! blames nobody: its deliveries are sent again at once, one by one, and what each of those is answered counts as
//! always. When none of them was to blame, it was the number that the subscriber did not take: half of it from then on.
//! So it is when the connection breaks, which is all that some servers say to a message that is too large.

use std::collections::HashSet;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt;

use super::post::{Posted, Sent, read};
use super::{Drain, Ending};
use crate::domain::ids::{DeliveryId, Member};
use crate::domain::payload::Together;
use crate::domain::subscription::{PayloadFormat, Subscription};
use crate::domain::verdict::{Answer, Judgement};
use crate::store::drain::{Answered, Parked};
use crate::store::events::Stream;
use crate::telemetry::labels::Path;
use crate::worker::attempt::{Load, attempt};
use crate::worker::commons::PodSlot;
use crate::worker::sender::Parcel;

/// Deliveries in one message, oldest first.
pub(super) struct Group {
    order: u64,
    parked: Vec<Parked>,
    load: Load,
    /// What the subscriber said; `None` when the redelivery belongs to another worker now.
    answer: Option<Answer>,
    /// The subscription as it was then.
    to: Arc<Subscription>,
}

impl Group {
    fn len(&self) -> u32 {
        u32::try_from(self.parked.len()).unwrap_or(u32::MAX)
    }
}

/// Those that were not taken together and are sent one by one.
#[derive(Debug, Default)]
pub(super) struct Doubt {
    left: HashSet<Member>,
    /// How many there were in the largest message of them.
    events: u32,
    /// One of them was not taken alone either.
    found: bool,
}

impl Drain {
    /// How many events the next message may carry; 1 where they don't travel together.
    pub(super) fn most_together(&self) -> u32 {
        let subscription = &self.subscriber.subscription;
        if self.single || !subscription.coalesce || subscription.payload == PayloadFormat::Raw {
            return 1;
        }
        let most = self.lane.pod.config.delivery.coalesce_records;
        self.growth
            .get()
            .min(most)
            .min(self.subscriber.slots.most_together())
            .max(1)
    }

    /// Whether more deliveries for the next message are on their way.
    pub(super) fn gathers(&self) -> bool {
        let coming = self.fetch.is_some() || self.report.is_some();
        coming && !self.exhausted && self.ready.len() < self.most_together() as usize
    }

    /// The oldest that may travel together, as one message; `None` where the oldest goes alone.
    pub(super) fn group(&self) -> Option<Group> {
        let most = self.most_together() as usize;
        if most < 2 || self.probing {
            return None;
        }
        let subscription = &self.subscriber.subscription;
        let records = self.lane.pod.config.delivery.coalesce_records as usize;
        let mut together = Together::new(records, subscription.context.as_deref());
        for parked in self
            .ready
            .iter()
            .take(most)
            .take_while(|parked| !self.goes_alone(parked))
        {
            let Ok((_, message, records)) = read(subscription, parked) else {
                break;
            };
            if !together.add(&message, &records, &self.delivery(parked).to_string()) {
                break;
            }
        }
        if together.len() < 2 {
            return None;
        }
        let parked: Vec<Parked> = self.ready.iter().take(together.len()).cloned().collect();
        let parcel = Parcel {
            id: together.id(),
            attempt: parked.first().map_or(1, |oldest| oldest.attempts.saturating_add(1)),
            events: together.len(),
            body: together.render(),
        };
        Some(Group {
            order: 0,
            load: Load::of_several(parked.iter().map(|parked| parked.member.0).collect(), parcel),
            parked,
            answer: None,
            to: Arc::clone(subscription),
        })
    }

    /// Whether something is known of a delivery that asks for a message of its own.
    fn goes_alone(&self, parked: &Parked) -> bool {
        parked.refusals > 0 || self.suspects.contains(&parked.member) || self.doubt.left.contains(&parked.member)
    }

    fn delivery(&self, parked: &Parked) -> DeliveryId {
        DeliveryId {
            subscription: self.subscriber.subscription.id.clone(),
            partition: self.lane.partition.index,
            event: parked.member.0,
        }
    }

    /// Sends a group, which is at the front of what is ready.
    pub(super) fn start_together(&mut self, mut group: Group, share: Option<PodSlot>) {
        self.ready.drain(..group.parked.len());
        group.order = self.started;
        let (lane, subscriber) = (Arc::clone(&self.lane), Arc::clone(&self.subscriber));
        let (redelivery, since) = (self.redelivery.id, self.since);
        self.posts.spawn(async move {
            let sent = async {
                let _shared = lane.pod.alone.read().await;
                if !lane.still_owns(Stream::Redeliveries, redelivery, since).await {
                    return None;
                }
                Some(attempt(&lane, &subscriber, &group.load, Path::Retry).await)
            };
            // A panic is an answer about nothing: one by one it shows which of them it was.
            let answer = AssertUnwindSafe(sent).catch_unwind().await;
            group.answer = answer.unwrap_or(Some(Answer::Status {
                code: 500,
                retry_after: None,
            }));
            drop(share);
            Posted::Together(group)
        });
    }

    /// What follows from the answer to a group.
    pub(super) fn answered_together(&mut self, group: Group) {
        let Some(answer) = group.answer.clone() else {
            self.ending = Some(Ending::Over);
            return;
        };
        match answer.judge() {
            Judgement::Delivered => {
                self.ramp.succeeded();
                self.growth.took(group.len());
                self.subscriber.slots.took_together(group.len());
                self.last_success = self.last_success.max(group.order);
                self.answered.extend(group.parked.iter().map(|parked| Answered {
                    member: parked.member,
                    source: parked.source(),
                }));
            }
            Judgement::Gone => {
                self.gone = Some(group.to);
                self.ending = Some(Ending::Gone);
            }
            Judgement::Refused => self.one_by_one(group),
            Judgement::Unavailable if answer.blames_delivery() || answer.broke_off() => self.one_by_one(group),
            Judgement::Unavailable => {
                if answer.timed_out() {
                    self.took_too_many(group.len());
                }
                self.failures.extend(failed(&group, answer));
            }
        }
    }

    /// Puts a group's deliveries back in front, each for itself.
    fn one_by_one(&mut self, group: Group) {
        self.doubt.events = self.doubt.events.max(group.len());
        self.doubt.left.extend(group.parked.iter().map(|parked| parked.member));
        for parked in group.parked.into_iter().rev() {
            self.ready.push_front(parked);
        }
    }

    /// One of those in doubt was answered.
    pub(super) fn heard_alone(&mut self, sent: &Sent) {
        if !self.doubt.left.remove(&sent.member) {
            return;
        }
        self.doubt.found |= sent.answer.judge() != Judgement::Delivered;
        if self.doubt.left.is_empty() {
            let doubt = std::mem::take(&mut self.doubt);
            if !doubt.found {
                self.took_too_many(doubt.events);
            }
        }
    }

    fn took_too_many(&mut self, events: u32) {
        self.growth.too_many(events);
        self.subscriber.slots.too_many_together(events);
    }
}

/// A failure of all of a group is the subscriber's; it is noted with the oldest.
fn failed(group: &Group, answer: Answer) -> Option<Sent> {
    let oldest = group.parked.first()?;
    Some(Sent {
        order: group.order,
        member: oldest.member,
        source: oldest.source(),
        attempt: oldest.attempts.saturating_add(1),
        refused_before: false,
        answer,
        to: Arc::clone(&group.to),
    })
}
