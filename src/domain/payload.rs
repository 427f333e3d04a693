//! The body that a subscriber is sent: a Redfish message with only its records and its own `Context`.
//!
//! Workers call it once for each delivery. What conforms to DMTF's schema as it came is cut and spliced, never parsed
//! and written again, so records arrive exactly as the hardware wrote them. The rest is mended, member by member.

mod compose;
mod object;
mod splice;
mod together;

use bytes::Bytes;

pub use together::Together;

use super::event::{Kind, Message};
use super::ids::StreamId;
use super::records::Records;
use super::schema::{EVENT, METRIC_REPORT, Shape};
use super::subscription::{PayloadFormat, Subscription};

/// A message is at most this long, DSP0266 "Eventing". One with a single record that is longer is sent all the same.
pub const MAX_BYTES: usize = 1 << 20;

/// What a message to one subscription says beside its records.
#[derive(Debug, Clone, Copy)]
pub struct Envelope<'a> {
    /// The `Context` that the subscriber asked for; what came in its place where absent.
    pub context: Option<&'a str>,
    /// The event: the `Id` of a message that came without one.
    pub event: StreamId,
}

/// The bodies of one delivery: what [`render`] makes, or the bytes as they were `received` where the subscription asks
/// for those.
#[must_use]
pub fn bodies(
    to: &Subscription,
    message: &Message,
    records: &Records,
    event: StreamId,
    received: &Bytes,
) -> Vec<Bytes> {
    match to.payload {
        PayloadFormat::Raw => vec![received.clone()],
        PayloadFormat::Event => {
            let context = to.context.as_deref();
            render(message, records, Envelope { context, event })
        }
    }
}

/// The messages for one subscription, nearly always one: those longer than [`MAX_BYTES`] are split at record
/// boundaries. Each conforms to DMTF's JSON schema of Event 1.13 or MetricReport 1.5.
///
/// With every record, no context of its own and nothing to mend it is the message as received, shared and not copied.
#[must_use]
pub fn render(message: &Message, records: &Records, envelope: Envelope<'_>) -> Vec<Bytes> {
    if conforms(message, records, envelope.context.is_some()) {
        let body = splice::splice(message, records, envelope.context);
        if body.len() <= MAX_BYTES {
            return vec![body];
        }
    }
    compose::compose(message, records, envelope)
}

/// Whether the message conforms with no change but to its records and its context.
fn conforms(message: &Message, records: &Records, has_context: bool) -> bool {
    let Some(declared) = message.declares() else {
        return false;
    };
    let fits = |index: usize| {
        let record = message.records().get(index);
        record
            .and_then(|record| record.needs())
            .is_some_and(|needs| needs <= declared)
    };
    (!has_context || declared >= shape(message.kind()).context_since) && records.iter().all(fits)
}

fn shape(kind: Kind) -> &'static Shape {
    match kind {
        Kind::Event => &EVENT,
        Kind::MetricReport => &METRIC_REPORT,
    }
}

#[cfg(test)]
#[path = "payload/conformance/tests.rs"]
mod conformance;
#[cfg(test)]
mod tests;
