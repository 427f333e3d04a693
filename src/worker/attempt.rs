//! One attempt to deliver, on either path: sent, its slots adapted, and counted.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use tokio::time::Instant;

use super::catalog::Subscriber;
use super::lane::Lane;
use super::meter;
use super::sender::Parcel;
use crate::domain::ids::{DeliveryId, StreamId};
use crate::domain::verdict::{Answer, Judgement};
use crate::telemetry::labels::{Path, Reason};
use crate::telemetry::metrics;

/// What one attempt carries: one delivery in one or more messages, or several deliveries in one.
#[derive(Debug)]
pub(super) struct Load {
    /// The events whose deliveries these are.
    events: Vec<StreamId>,
    parcels: Vec<Parcel>,
}

impl Load {
    /// One delivery. Where it takes several messages, each has an id of its own, the same at every attempt.
    pub(super) fn of_one(delivery: &DeliveryId, attempt: u32, bodies: Vec<Bytes>) -> Self {
        let parts = bodies.len();
        let id = |part: usize| match parts {
            1 => delivery.to_string(),
            _ => format!("{delivery}.part{part}"),
        };
        let parcels = (1..).zip(bodies).map(|(part, body)| Parcel {
            id: id(part),
            attempt,
            events: 1,
            body,
        });
        Self {
            events: vec![delivery.event],
            parcels: parcels.collect(),
        }
    }

    /// Several deliveries in one message.
    pub(super) fn of_several(events: Vec<StreamId>, parcel: Parcel) -> Self {
        Self {
            events,
            parcels: vec![parcel],
        }
    }
}

/// Sends once, adapts the subscriber's slots and counts what happened. Used by both paths. Of several messages each is
/// sent when the one before was answered 2xx: all of them have to be.
pub(super) async fn attempt(lane: &Lane, to: &Subscriber, load: &Load, path: Path) -> Answer {
    let _in_flight = metrics::in_flight();
    let under_way = to.tally.begin();
    let started = Instant::now();
    let mut answer = Answer::nothing_sent();
    for parcel in &load.parcels {
        answer = lane.pod.sender.send(to, parcel).await;
        if answer.judge() != Judgement::Delivered {
            break;
        }
    }
    let (outcome, reason) = meter::labels(&answer);
    metrics::delivery_attempt(outcome, reason, started.elapsed());
    under_way.ended(outcome, load.events.len());
    if reason == Reason::Blocked {
        metrics::destination_blocked();
    }
    if answer.timed_out() {
        to.slots.timed_out();
    } else if answer.judge() == Judgement::Delivered {
        to.slots.succeeded();
        for event in &load.events {
            metrics::end_to_end_latency(path, age(*event));
        }
    }
    answer
}

/// How long ago an event was written, by this machine's clock.
fn age(event: StreamId) -> Duration {
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    now.saturating_sub(Duration::from_millis(event.millis))
}
