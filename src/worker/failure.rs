//! What it means when a request to a subscriber comes to no answer.

use super::destinations;
use crate::domain::guard::Blocked;
use crate::domain::verdict::{Answer, Failure};

/// The request could not be made.
pub(super) fn setup(detail: String) -> Answer {
    Answer::None {
        failure: Failure::Setup,
        detail,
    }
}

/// It may not go there.
pub(super) fn refused(blocked: &Blocked) -> Answer {
    Answer::None {
        failure: Failure::Blocked,
        detail: blocked.to_string(),
    }
}

/// It was made, and failed.
pub(super) fn failure(error: &reqwest::Error) -> Answer {
    if let Some(blocked) = destinations::blocked(error) {
        return refused(blocked);
    }
    let detail = chain(error);
    let failure = if error.is_timeout() {
        Failure::Timeout
    } else if detail.contains("dns error") || detail.contains("failed to lookup") {
        Failure::Name
    } else if is_tls(error) {
        Failure::Tls
    } else if error.is_connect() {
        Failure::Connect
    } else {
        Failure::Broken
    };
    Answer::None { failure, detail }
}

fn is_tls(error: &reqwest::Error) -> bool {
    let text = chain(error);
    ["certificate", "tls", "TLS", "handshake", "InvalidContentType"]
        .iter()
        .any(|word| text.contains(word))
}

/// The causes of an error, without the URL: its query may hold a secret.
pub(super) fn chain(error: &reqwest::Error) -> String {
    let mut causes = Vec::new();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let text = cause.to_string();
        let says_nothing = text.starts_with("client error (") || text == "tcp connect error";
        if !says_nothing && causes.last() != Some(&text) {
            causes.push(text);
        }
        source = cause.source();
    }
    if causes.is_empty() {
        return "the request failed".to_owned();
    }
    causes.join(": ")
}
