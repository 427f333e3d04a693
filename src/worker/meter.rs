//! Names an answer for the metrics.

use crate::domain::verdict::{Answer, Failure, Judgement};
use crate::telemetry::labels::{Outcome, Reason};

/// What an attempt came to, and why.
pub(super) fn labels(answer: &Answer) -> (Outcome, Reason) {
    let outcome = match answer.judge() {
        Judgement::Delivered => Outcome::Delivered,
        Judgement::Unavailable => Outcome::Unavailable,
        Judgement::Refused => Outcome::Refused,
        Judgement::Gone => Outcome::Gone,
    };
    let reason = match answer {
        Answer::Status { code, .. } => match code {
            200..=299 => Reason::Ok,
            300..=399 => Reason::Redirect,
            408 => Reason::RequestTimeout,
            410 => Reason::Gone,
            425 => Reason::TooEarly,
            429 => Reason::TooManyRequests,
            400..=499 => Reason::ClientError,
            500..=599 => Reason::ServerError,
            _ => Reason::Other,
        },
        Answer::None { failure, .. } => match failure {
            Failure::Name => Reason::Dns,
            Failure::Connect => Reason::Connect,
            Failure::Tls => Reason::Tls,
            Failure::Timeout => Reason::Timeout,
            Failure::Broken => Reason::Reset,
            Failure::Blocked => Reason::Blocked,
            Failure::Setup => Reason::Other,
        },
    };
    (outcome, reason)
}
