//! The direct path: one event, matched, sent to everybody who wants it at once, then settled.
//!
//! Called by the lane for each event that was read, taken over or found again. Whatever can't be sent now is
//! parked in the step that acknowledges the event (invariant 1). Rare ways are boxed: they would make the future
//! of every event in flight twenty times as large.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::stream::{FuturesUnordered, StreamExt};
use tokio::time::Instant;

use super::attempt::{Load, attempt};
use super::behind::Failing;
use super::catalog::Subscriber;
use super::ends;
use super::in_flight::Guard;
use super::lane::{ALONE_FROM, Lane, POISON_FROM};
use super::persist::persist;
use super::settler::Finished;
use crate::domain::event::Message;
use crate::domain::ids::{DeliveryId, StreamId, SubscriptionId};
use crate::domain::index::Match;
use crate::domain::payload;
use crate::domain::verdict::{Answer, Judgement};
use crate::store::events::Stream;
use crate::store::frame::Frame;
use crate::store::settle::{Outcome, Settlement, Verdict};
use crate::telemetry::labels::Path;
use crate::telemetry::metrics;

/// Processes one event from its entry to its settlement.
pub(super) async fn process(lane: &Arc<Lane>, id: StreamId, times: u32, frame: Arc<Frame>, guard: Guard) {
    let alone = times >= ALONE_FROM;
    let mut settlement = Settlement {
        id,
        frame,
        rejected: None,
        alone,
        outcomes: Vec::new(),
    };
    if times >= POISON_FROM {
        settlement.rejected = Some("its workers died while they processed it alone".to_owned());
        lane.settle(Finished::new(settlement, guard));
        return;
    }
    if alone {
        let _exclusive = lane.pod.alone.write().await;
        Box::pin(persist("marking an entry", &lane.partition, || {
            lane.partition.mark_alone(&lane.pod.name, id)
        }))
        .await;
        deliver_all(lane, settlement, guard).await;
    } else {
        let _shared = lane.pod.alone.read().await;
        deliver_all(lane, settlement, guard).await;
    }
}

async fn deliver_all(lane: &Arc<Lane>, mut settlement: Settlement, guard: Guard) {
    let message = match Message::parse(settlement.frame.event.clone()) {
        Ok(message) => message,
        Err(error) => {
            settlement.rejected = Some(error.to_string());
            lane.settle(Finished::new(settlement, guard));
            return;
        }
    };
    let catalog = lane.pod.catalog();
    let started = Instant::now();
    let matches = catalog.index.matches(&message);
    metrics::event_matched(started.elapsed());
    if matches.is_empty() && !catalog.is_streaming() {
        lane.pod.unwanted.note(lane, &catalog, &message, &settlement);
    }

    let (id, frame) = (settlement.id, Arc::clone(&settlement.frame));
    let wanted: Vec<_> = matches
        .iter()
        .filter_map(|found| Some((found, catalog.get(&found.subscription.id)?.as_ref())))
        .collect();
    let one = |(found, subscriber)| deliver(lane, (id, &guard), (&message, &frame.event), found, subscriber);
    let Some(delivered) = together(wanted, one).await else {
        return;
    };
    let (outcomes, failing): (_, Vec<_>) = delivered.into_iter().unzip();
    settlement.outcomes = outcomes;
    lane.settle(Finished {
        settlement,
        failing: failing.into_iter().flatten().collect(),
        guard,
    });
}

/// Makes a delivery of each and awaits all at once, none any longer when one answers `None`. One alone, the most
/// frequent case, needs nothing that tells several apart.
async fn together<W, T, F>(wanted: Vec<W>, deliver: impl Fn(W) -> F) -> Option<Vec<T>>
where
    F: Future<Output = Option<T>>,
{
    let mut done = Vec::with_capacity(wanted.len());
    if wanted.len() == 1 {
        for one in wanted {
            done.push(Box::pin(deliver(one)).await?);
        }
        return Some(done);
    }
    let mut deliveries: FuturesUnordered<_> = wanted.into_iter().map(deliver).collect();
    while let Some(delivered) = deliveries.next().await {
        done.push(delivered?);
    }
    Some(done)
}

/// One delivery, with a mark while its failure is not settled; `None` when the event is no longer ours, so that
/// somebody else answers for it.
async fn deliver(
    lane: &Lane,
    (event, guard): (StreamId, &Guard),
    (message, received): (&Message, &Bytes),
    found: &Match,
    subscriber: &Subscriber,
) -> Option<(Outcome, Option<Failing>)> {
    let subscription = &subscriber.subscription;
    let id = &subscription.id;
    if subscription.is_suspended() || lane.behind.contains(id) {
        return Some((unsent(id, Verdict::Behind), None));
    }
    let patience = lane.pod.config.delivery.direct_wait.0;
    let started = Instant::now();
    let Some(mut slot) = subscriber.slots.take(guard.room(), patience, &lane.commons()).await else {
        return Some((unsent(id, Verdict::WaitedTooLong), None));
    };
    let bodies = payload::bodies(subscription, message, &found.records, event, received);
    let bytes = bodies.iter().map(Bytes::len).sum();
    slot.carries(bytes);
    let left = patience.saturating_sub(started.elapsed());
    let Some(_share) = lane.pod.slots.take(bytes, slot.is_first(), left).await else {
        return Some((unsent(id, Verdict::WaitedTooLong), None));
    };
    if lane.behind.contains(id) {
        return Some((unsent(id, Verdict::Behind), None));
    }
    if !lane.still_owns(Stream::Events, event, guard.since).await {
        return None;
    }
    let delivery = DeliveryId {
        subscription: id.clone(),
        partition: lane.partition.index,
        event,
    };
    let load = Load::of_one(&delivery, 1, bodies);
    let answer = attempt(lane, subscriber, &load, Path::Direct).await;
    let outcome = judged(lane, subscriber, &answer);
    let unavailable = matches!(outcome.verdict, Verdict::Unavailable | Verdict::NotTried);
    let mark = unavailable.then(|| lane.behind.failing(id));
    if answer.judge() == Judgement::Gone {
        Box::pin(ends::gone(lane, subscription)).await;
    } else if outcome.verdict == Verdict::Unavailable {
        Box::pin(ends::after_attempts(lane, subscription, 1)).await;
    }
    Some((outcome, mark))
}

fn judged(lane: &Lane, subscriber: &Subscriber, answer: &Answer) -> Outcome {
    let subscription = &subscriber.subscription;
    let policy = lane.pod.policy(subscription);
    let verdict = match answer.judge() {
        Judgement::Delivered => Verdict::Delivered,
        Judgement::Refused => Verdict::Refused,
        Judgement::Unavailable if !answer.was_tried() => Verdict::NotTried,
        Judgement::Unavailable if policy.attempts_of_a_delivery() == 1 => Verdict::GivenUp,
        Judgement::Unavailable => Verdict::Unavailable,
        // It has just been suspended: kept, never tried.
        Judgement::Gone => Verdict::Behind,
    };
    Outcome {
        subscription: subscription.id.clone(),
        verdict,
        wait: policy.wait(0, rand::random()),
        floor: policy.floor(answer.retry_after()),
        error: if verdict == Verdict::Delivered {
            String::new()
        } else {
            answer.describe()
        },
    }
}

fn unsent(id: &SubscriptionId, verdict: Verdict) -> Outcome {
    Outcome {
        subscription: id.clone(),
        verdict,
        wait: Duration::ZERO,
        floor: Duration::ZERO,
        error: String::new(),
    }
}
