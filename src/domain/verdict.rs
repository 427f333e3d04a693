//! Whose fault is it? What an answer, or the lack of one, says about the subscriber and the event.

use std::time::Duration;

/// How one attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The subscriber answered with an HTTP status.
    Status {
        /// The status code.
        code: u16,
        /// Its `Retry-After`, as a length of time.
        retry_after: Option<Duration>,
    },
    /// There was no answer.
    None {
        /// What kind of failure.
        failure: Failure,
        /// The details, for the operator; never a secret.
        detail: String,
    },
}

/// Why there was no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Failure {
    /// The name has no address, or the resolver failed.
    Name,
    /// Nobody listens there, or the network said so.
    Connect,
    /// TLS could not be agreed on, or the certificate is not trusted.
    Tls,
    /// The deadline passed.
    Timeout,
    /// The connection broke, or what came back is no HTTP.
    Broken,
    /// The destination's address is one that may not be connected to.
    Blocked,
    /// The request could not be made: a bad header, a CA file that is missing.
    Setup,
}

/// What follows from an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judgement {
    /// 2xx.
    Delivered,
    /// The subscriber can't serve now: park, open the circuit, try for ever.
    Unavailable,
    /// The subscriber does not want this delivery: it alone is tried again later, a few times.
    Refused,
    /// 410: the subscriber is gone for good; suspend it and keep everything.
    Gone,
}

impl Answer {
    /// Before anything was sent.
    #[must_use]
    pub fn nothing_sent() -> Self {
        Self::None {
            failure: Failure::Setup,
            detail: "there was nothing to send".to_owned(),
        }
    }

    /// The judgement.
    #[must_use]
    pub fn judge(&self) -> Judgement {
        match self {
            Self::None { .. } => Judgement::Unavailable,
            Self::Status { code, .. } => match code {
                200..=299 => Judgement::Delivered,
                410 => Judgement::Gone,
                408 | 425 | 429 => Judgement::Unavailable,
                300..=499 => Judgement::Refused,
                _ => Judgement::Unavailable,
            },
        }
    }

    /// Whether the subscriber answered something that may be about this one delivery: an HTTP status that does
    /// not itself say "later". A delivery that keeps getting it is passed over for the one behind it.
    #[must_use]
    pub fn suspects_delivery(&self) -> bool {
        self.status().is_some_and(|code| !matches!(code, 408 | 425 | 429 | 503))
    }

    /// Whether one such answer, while other deliveries succeed, is this delivery's fault. What a gateway answers
    /// for a backend that is away is not.
    #[must_use]
    pub fn blames_delivery(&self) -> bool {
        self.suspects_delivery() && !matches!(self.status(), Some(502 | 504))
    }

    /// The HTTP status, where there was one.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Status { code, .. } => Some(*code),
            Self::None { .. } => None,
        }
    }

    /// The `Retry-After`, where there was one.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            Self::None { .. } => None,
        }
    }

    /// Whether the request was made; one that was not, for a reason on this side, uses up no attempt of a retry policy.
    #[must_use]
    pub fn was_tried(&self) -> bool {
        !matches!(
            self,
            Self::None {
                failure: Failure::Setup | Failure::Blocked,
                ..
            }
        )
    }

    /// Whether a backup destination is to be tried: there was no answer, or one that says that the server failed. Who
    /// refuses, or asks for patience, has answered.
    #[must_use]
    pub fn asks_for_backup(&self) -> bool {
        match self {
            Self::Status { code, .. } => (500..=599).contains(code),
            Self::None { failure, .. } => *failure != Failure::Setup,
        }
    }

    /// Whether the deadline passed: the in-flight limit is halved.
    #[must_use]
    pub fn timed_out(&self) -> bool {
        matches!(
            self,
            Self::None {
                failure: Failure::Timeout,
                ..
            }
        )
    }

    /// Whether the connection broke: the only answer of some servers to a message that is too large for them.
    #[must_use]
    pub fn broke_off(&self) -> bool {
        matches!(
            self,
            Self::None {
                failure: Failure::Broken,
                ..
            }
        )
    }

    /// A short text for operators: `HTTP 503`, `connection refused: …`.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::Status { code, .. } => format!("HTTP {code}"),
            Self::None { failure, detail } => format!("{}: {detail}", failure.as_str()),
        }
    }
}

impl Failure {
    /// A short name, also used as a metric label.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Timeout => "timeout",
            Self::Broken => "broken",
            Self::Blocked => "blocked",
            Self::Setup => "setup",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_has_its_judgement() {
        let judge = |code| {
            Answer::Status {
                code,
                retry_after: None,
            }
            .judge()
        };
        for (codes, judgement) in [
            (&[200, 201, 202, 204, 299][..], Judgement::Delivered),
            (
                &[301, 302, 307, 308, 304, 400, 401, 403, 404, 409, 411, 413, 422, 451][..],
                Judgement::Refused,
            ),
            (
                &[408, 425, 429, 500, 502, 503, 504, 599, 100, 101, 999][..],
                Judgement::Unavailable,
            ),
            (&[410][..], Judgement::Gone),
        ] {
            for code in codes {
                assert_eq!(judge(*code), judgement, "{code}");
            }
        }
    }

    #[test]
    fn only_what_may_be_about_the_delivery_blames_it() {
        let answer = |code| Answer::Status {
            code,
            retry_after: None,
        };
        for (code, suspects, blames) in [
            (500, true, true),
            (501, true, true),
            (502, true, false),
            (504, true, false),
            (503, false, false),
            (429, false, false),
        ] {
            assert_eq!(
                (answer(code).suspects_delivery(), answer(code).blames_delivery()),
                (suspects, blames),
                "{code}"
            );
        }
        let reset = Answer::None {
            failure: Failure::Broken,
            detail: String::new(),
        };
        assert!(!reset.suspects_delivery() && !reset.blames_delivery());
    }

    #[test]
    fn no_answer_is_never_the_events_fault() {
        let answer = Answer::None {
            failure: Failure::Tls,
            detail: "expired".to_owned(),
        };
        assert_eq!(answer.judge(), Judgement::Unavailable);
        assert_eq!(answer.describe(), "tls: expired");
    }
}
