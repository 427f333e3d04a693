//! Why an event was not taken in: the status, code and text that its sender gets, and the metric's label.
//!
//! 4xx is for what would fail again (429 aside), 503 for what is worth sending again; there is no other 5xx.

use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::answer;
use crate::domain::event::EventError;
use crate::listener::BodyError;
use crate::store::StoreError;
use crate::telemetry::labels::IntakeRefusal;
use crate::telemetry::metrics;

/// When a sender that was told 503 should come back, in seconds.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("5");

/// An event that was not taken in.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    /// The path does not name a source.
    #[error("the source in the path must be 1 to 128 letters, digits and any of . _ : @ -")]
    Source,
    /// The body is larger than `intake.max_body`.
    #[error("the body is larger than {limit} bytes; send less at once, or raise HOLDFAST_INTAKE__MAX_BODY")]
    TooLarge {
        /// The largest body, in bytes.
        limit: u64,
    },
    /// The body did not arrive within `intake.read_timeout`.
    #[error("the body did not arrive in time; send it at once")]
    Slow,
    /// The body broke off, or its chunks are no chunks.
    #[error("the body could not be read to its end: it broke off or its encoding is wrong")]
    Broken,
    /// The body is no event.
    #[error("{0}")]
    Malformed(#[from] EventError),
    /// A token is asked for, and none that is good for the source was sent.
    #[error("send the token of this source as Authorization: Bearer TOKEN or X-Auth-Token: TOKEN")]
    Token,
    /// More events a second than `intake.rate` or `intake.rate_per_source`.
    #[error("more events a second than are allowed; send it again after the time in Retry-After")]
    Rate {
        /// Until one is taken again.
        wait: Duration,
    },
    /// Redis is near or at its memory limit.
    #[error("the event was not taken in: the memory for undelivered events is nearly used up; send it again later")]
    Memory,
    /// As many requests wait as may.
    #[error("the event was not taken in: too many requests wait already; send it again later")]
    Overloaded,
    /// Redis did not confirm the event.
    #[error("the event was not confirmed by Redis in time; send it again later")]
    Redis,
    /// Redis has it, but not as many replicas as `redis.confirm_replicas` asks for.
    #[error(
        "the event was written, but did not reach enough replicas of Redis in time; send it again later, though it may \
         arrive twice then"
    )]
    Unconfirmed,
    /// Too few replicas keep up.
    #[error("the event was not taken in: too few replicas of Redis keep up; send it again later")]
    Replicas,
}

impl Refusal {
    fn status(&self) -> StatusCode {
        match self {
            Self::Source | Self::Broken | Self::Malformed(_) => StatusCode::BAD_REQUEST,
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Slow => StatusCode::REQUEST_TIMEOUT,
            Self::Token => StatusCode::UNAUTHORIZED,
            Self::Rate { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Memory | Self::Overloaded | Self::Redis | Self::Unconfirmed | Self::Replicas => {
                StatusCode::SERVICE_UNAVAILABLE
            }
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Source => "bad_source",
            Self::Unconfirmed => "unconfirmed",
            _ => self.label().as_str(),
        }
    }

    fn label(&self) -> IntakeRefusal {
        match self {
            Self::Source | Self::Broken | Self::Malformed(_) => IntakeRefusal::Malformed,
            Self::TooLarge { .. } => IntakeRefusal::TooLarge,
            Self::Slow => IntakeRefusal::Slow,
            Self::Token => IntakeRefusal::Unauthorized,
            Self::Rate { .. } => IntakeRefusal::RateLimited,
            Self::Memory => IntakeRefusal::Memory,
            Self::Overloaded => IntakeRefusal::Overloaded,
            Self::Redis => IntakeRefusal::Redis,
            Self::Unconfirmed | Self::Replicas => IntakeRefusal::Replicas,
        }
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unconfirmed(_) | StoreError::Replicas { written: true, .. } => Self::Unconfirmed,
            StoreError::Replicas { .. } => Self::Replicas,
            _ => Self::Redis,
        }
    }
}

impl From<BodyError> for Refusal {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::TooLarge { limit } => Self::TooLarge { limit },
            BodyError::Slow => Self::Slow,
            BodyError::Broken => Self::Broken,
            BodyError::Full => Self::Overloaded,
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        metrics::intake_refused(self.label());
        let status = self.status();
        let mut response = answer::error(status, self.code(), &self.to_string());
        let headers = response.headers_mut();
        match self {
            Self::Token => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            Self::Rate { wait } => {
                let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
                headers.insert(header::RETRY_AFTER, seconds.max(1).into());
            }
            _ if status == StatusCode::SERVICE_UNAVAILABLE => {
                headers.insert(header::RETRY_AFTER, RETRY_AFTER);
            }
            _ => {}
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_503_and_429_ask_to_come_back() {
        for (refusal, status) in [
            (Refusal::Source, 400),
            (Refusal::TooLarge { limit: 1 }, 413),
            (Refusal::Slow, 408),
            (Refusal::Broken, 400),
            (Refusal::Malformed(EventError::Empty), 400),
            (Refusal::Token, 401),
            (
                Refusal::Rate {
                    wait: Duration::from_millis(1),
                },
                429,
            ),
            (Refusal::Memory, 503),
            (Refusal::Overloaded, 503),
            (Refusal::Redis, 503),
            (Refusal::Unconfirmed, 503),
            (Refusal::Replicas, 503),
        ] {
            let response = refusal.into_response();
            assert_eq!(response.status(), status);
            assert_eq!(
                response.headers().contains_key(header::RETRY_AFTER),
                [429, 503].contains(&status),
                "{status}"
            );
            assert_eq!(response.headers()[header::CONTENT_TYPE], "application/json");
        }
    }
}
