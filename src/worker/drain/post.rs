//! Sending one parked delivery.

use std::sync::Arc;

use bytes::Bytes;
use tokio::time::Instant;

use super::together::Group;
use crate::domain::event::Message;
use crate::domain::ids::{DeliveryId, Member, StreamId};
use crate::domain::payload;
use crate::domain::records::Records;
use crate::domain::subscription::Subscription;
use crate::domain::verdict::Answer;
use crate::store::drain::Parked;
use crate::store::events::Stream;
use crate::store::frame::Frame;
use crate::telemetry::labels::Path;
use crate::worker::attempt::{Load, attempt};
use crate::worker::catalog::Subscriber;
use crate::worker::lane::Lane;

/// How sending a parked delivery ended.
pub(super) enum Posted {
    /// The redelivery belongs to another worker now: nothing was sent.
    NotOurs,
    /// There is nothing that could be sent.
    Undeliverable { member: Member, reason: String },
    /// It was sent.
    Answered(Sent),
    /// Several were sent in one message.
    Together(Group),
}

/// A delivery that was sent, and what came of it.
#[derive(Clone)]
pub(super) struct Sent {
    /// Position among those that the drain started.
    pub(super) order: u64,
    pub(super) member: Member,
    /// The event's source; empty when unknown.
    pub(super) source: String,
    /// 1 for the first.
    pub(super) attempt: u32,
    /// It was to blame before.
    pub(super) refused_before: bool,
    pub(super) answer: Answer,
    /// The subscription as it was then.
    pub(super) to: Arc<Subscription>,
}

/// Sends one parked delivery, if the redelivery, which was ours at `since`, still is.
pub(super) async fn post(
    lane: &Lane,
    subscriber: &Subscriber,
    (redelivery, since): (StreamId, Instant),
    order: u64,
    parked: Parked,
    exclusive: bool,
) -> Posted {
    let _shared = if exclusive {
        None
    } else {
        Some(lane.pod.alone.read().await)
    };
    if !lane.still_owns(Stream::Redeliveries, redelivery, since).await {
        return Posted::NotOurs;
    }
    let member = parked.member;
    let bodies = match bodies(&subscriber.subscription, &parked) {
        Ok(bodies) => bodies,
        Err(reason) => return Posted::Undeliverable { member, reason },
    };
    let delivery = DeliveryId {
        subscription: subscriber.subscription.id.clone(),
        partition: lane.partition.index,
        event: member.0,
    };
    let number = parked.attempts.saturating_add(1);
    let load = Load::of_one(&delivery, number, bodies);
    let answer = attempt(lane, subscriber, &load, Path::Retry).await;
    Posted::Answered(Sent {
        order,
        member,
        source: parked.source(),
        attempt: number,
        refused_before: parked.refusals > 0,
        answer,
        to: Arc::clone(&subscriber.subscription),
    })
}

/// What to send: what the subscription's filter selects. When the filter was changed meanwhile and selects nothing, the
/// whole message goes: it was promised.
fn bodies(subscription: &Subscription, parked: &Parked) -> Result<Vec<Bytes>, String> {
    let (frame, message, records) = read(subscription, parked)?;
    let (event, received) = (parked.member.0, &frame.event);
    Ok(payload::bodies(subscription, &message, &records, event, received))
}

/// The parts of a parked delivery: its frame, the message in it, and the records that are sent.
pub(super) fn read(subscription: &Subscription, parked: &Parked) -> Result<(Frame, Message, Records), String> {
    let frame = parked
        .body
        .as_ref()
        .ok_or("its body is gone: someone deleted it by hand")?;
    let frame = Frame::decode(frame).ok_or("its body can't be read: someone changed it by hand")?;
    let message = Message::parse(frame.event.clone()).map_err(|error| error.to_string())?;
    let records = subscription
        .filter
        .select(&message)
        .or_else(|| Records::all(message.records().len()));
    let records = records.ok_or("it has no records")?;
    Ok((frame, message, records))
}
