//! What a drain tells the store about anything that is not a plain success.

use std::sync::Arc;
use std::time::Duration;

use tracing::{info, warn};

use super::post::Sent;
use super::{Drain, Ending, Streak};
use crate::domain::ids::Member;
use crate::domain::subscription::Subscription;
use crate::store::circuits::Wake;
use crate::store::drain::{Failure, Fetched, Finished, Redelivery, RefusedAs};
use crate::telemetry::labels::DeliveryResult;
use crate::telemetry::metrics;
use crate::worker::ends;
use crate::worker::lane::Lane;
use crate::worker::persist::persist;
use crate::worker::registry;

impl Drain {
    /// The circuit has just closed: the other partitions' probes need not wait either.
    pub(super) fn closed(&self) {
        let id = self.redelivery.subscription.clone();
        info!(subscription = %id, "subscriber is back: sending what was parked");
        let lane = Arc::clone(&self.lane);
        self.lane.pod.tasks.spawn(async move {
            for other in lane.pod.store.partitions() {
                if other.index != lane.partition.index
                    && let Err(error) = other.wake(&id, Wake::Due).await
                {
                    warn!(subscription = %id, partition = other.index, %error, "not woken; its own probe will come");
                }
            }
        });
    }

    /// A delivery was refused: it alone waits, unless everything is refused.
    pub(super) async fn refuse(&mut self, sent: &Sent, streak: Streak) {
        let (member, answer) = (sent.member, &sent.answer);
        let policy = self.lane.pod.policy(&self.subscriber.subscription);
        let (wait, error) = (policy.wait(sent.attempt - 1, rand::random()), answer.describe());
        let (refused, closed) = persist("reporting a refusal", &self.lane.partition, || async {
            let mut limits = self.lane.pod.refusal_limits();
            match streak {
                Streak::Counts => {}
                Streak::Waits => limits.open_after = u32::MAX,
                Streak::Ignores => limits.open_after = 0,
            }
            self.lane
                .partition
                .refused(&self.redelivery, member, wait, limits, &error)
                .await
        })
        .await;
        match refused {
            RefusedAs::Unavailable => {
                self.failures.push(sent.clone());
                self.ending = Some(Ending::AllRefused);
                return;
            }
            RefusedAs::Lost => self.ending = Some(Ending::Over),
            RefusedAs::Buried => buried(&self.redelivery, member, &error),
            RefusedAs::Due | RefusedAs::Gone => {}
        }
        self.held.remove(&member);
        self.probing = false;
        if closed {
            self.closed();
        }
    }

    /// Others succeeded around these failures: those that were answered are the event's fault and wait on
    /// their own; the rest is tried again. The drain goes on from 1.
    pub(super) async fn set_aside(&mut self) {
        let failures = std::mem::take(&mut self.failures);
        self.ready.clear();
        self.held.clear();
        self.exhausted = false;
        self.ramp.restart();
        self.growth.restart();
        for sent in failures {
            if sent.answer.blames_delivery() {
                self.refuse(&sent, Streak::Ignores).await;
            }
        }
    }

    /// The subscriber can't be reached: the redelivery ends, the next probe waits.
    pub(super) async fn fail(&mut self) {
        let Some(first) = self.failures.iter().min_by_key(|sent| sent.order) else {
            return;
        };
        let (member, answer, subscription) = (first.member, &first.answer, Arc::clone(&first.to));
        let policy = self.lane.pod.policy(&subscription);
        let moved = destination_moved(&self.lane, &subscription).await;
        let floors = self.failures.iter().map(|sent| policy.floor(sent.answer.retry_after()));
        let failure = Failure {
            member,
            wait: if moved {
                Duration::ZERO
            } else {
                policy.wait(self.failed_before, rand::random())
            },
            floor: if moved {
                Duration::ZERO
            } else {
                floors.max().unwrap_or_default()
            },
            status: answer.status().filter(|_| answer.suspects_delivery()),
            max_attempts: policy.attempts_of_a_delivery(),
            tried: answer.was_tried(),
            error: answer.describe(),
        };
        let failed = persist("reporting a failure", &self.lane.partition, || {
            self.lane.partition.failed(&self.redelivery, &failure)
        })
        .await;
        if failed.lost {
            return;
        }
        if failed.opened {
            ends::unavailable(&subscription, &failure.error);
        }
        if failed.buried {
            buried(&self.redelivery, member, &failure.error);
        }
        // Attempts at another destination say nothing about this one.
        if failure.tried && !moved {
            ends::after_attempts(&self.lane, &subscription, failed.attempts).await;
        }
    }

    /// A delivery that can't be sent at all becomes a dead letter.
    pub(super) async fn bury(&mut self, member: Member, reason: &str) {
        let done = persist("keeping a dead letter", &self.lane.partition, || {
            self.lane
                .partition
                .bury(&self.redelivery, member, "undeliverable", reason)
        })
        .await;
        if done {
            buried(&self.redelivery, member, reason);
        }
    }

    pub(super) async fn finish(&mut self) -> Finished {
        persist("ending a drain", &self.lane.partition, || {
            self.lane.partition.finish(&self.redelivery)
        })
        .await
    }

    pub(super) async fn leave(&mut self) {
        persist("giving a drain back", &self.lane.partition, || {
            self.lane.partition.leave_drain(&self.redelivery)
        })
        .await;
    }
}

/// Whether the subscription has another destination by now: then a failure at this one says nothing about it.
async fn destination_moved(lane: &Lane, sent_to: &Subscription) -> bool {
    persist("reading the subscriptions", &lane.partition, || {
        registry::step(&lane.pod)
    })
    .await;
    lane.pod
        .catalog()
        .get(&sent_to.id)
        .is_some_and(|now| now.subscription.destination != sent_to.destination)
}

/// The oldest delivery killed every worker that processed it alone: it, and only it, becomes a dead letter.
pub(super) async fn bury_oldest(lane: &Lane, redelivery: &Redelivery) {
    if let Fetched::Due { parked, .. } = fetch_one(lane, redelivery).await
        && let Some(oldest) = parked.first()
    {
        let reason = "its workers died while they processed it alone";
        let done = persist("keeping a dead letter", &lane.partition, || {
            lane.partition.bury(redelivery, oldest.member, "poison", reason)
        })
        .await;
        if done {
            buried(redelivery, oldest.member, reason);
        }
    }
    persist("giving a drain back", &lane.partition, || {
        lane.partition.leave_drain(redelivery)
    })
    .await;
}

fn buried(redelivery: &Redelivery, member: Member, error: &str) {
    metrics::deliveries(DeliveryResult::DeadLettered, 1);
    let subscription = &redelivery.subscription;
    warn!(%subscription, event = %member.0, error, "delivery given up: kept as a dead letter");
}

pub(super) async fn fetch_one(lane: &Lane, redelivery: &Redelivery) -> Fetched {
    persist("fetching what is due", &lane.partition, || {
        lane.partition
            .fetch(redelivery, 1, lane.pod.dead_after(), std::iter::empty())
    })
    .await
}
