//! One attempt to deliver, on either path: sent, its slots adapted, and counted.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use tokio::time::Instant;

use super::catalog::Subscriber;
use super::lane::Lane;
use super::meter;
use crate::domain::ids::{DeliveryId, StreamId};
use crate::domain::verdict::{Answer, Judgement};
use crate::telemetry::labels::Path;
use crate::telemetry::metrics;

/// Sends once, adapts the subscriber's slots and counts what happened. Used by both paths.
pub(super) async fn attempt(
    lane: &Lane,
    to: &Subscriber,
    delivery: &DeliveryId,
    number: u32,
    body: Bytes,
    path: Path,
) -> Answer {
    let _in_flight = metrics::in_flight();
    let under_way = to.tally.begin();
    let started = Instant::now();
    let answer = lane.pod.sender.send(&to.subscription, delivery, number, body).await;
    let (outcome, reason) = meter::labels(&answer);
    metrics::delivery_attempt(outcome, reason, started.elapsed());
    under_way.ended(outcome);
    if answer.timed_out() {
        to.slots.timed_out();
    } else if answer.judge() == Judgement::Delivered {
        to.slots.succeeded();
        metrics::end_to_end_latency(path, age(delivery.event));
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
