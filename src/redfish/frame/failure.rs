//! Why a request was not done: a status and messages in Redfish's extended format.

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use serde_json::{Value, json};
use tracing::warn;

use super::message::{self, Message};
use crate::store::StoreError;

/// When a client that was told 503 should come back, in seconds.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("5");

/// A request that was not done. Nothing was changed.
#[derive(Debug, Clone)]
pub struct Failure {
    /// The HTTP status.
    pub status: StatusCode,
    /// What is wrong, at least one.
    pub messages: Vec<Message>,
    /// Headers that go with it.
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

impl Failure {
    /// One message.
    #[must_use]
    pub fn new(status: StatusCode, message: Message) -> Self {
        Self {
            status,
            messages: vec![message],
            headers: Vec::new(),
        }
    }

    /// 400 with one message.
    #[must_use]
    pub fn bad(message: Message) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// 400 with all that is wrong; `Ok` when nothing is.
    ///
    /// # Errors
    /// When there are messages.
    pub fn unless_empty(messages: Vec<Message>) -> Result<(), Self> {
        if messages.is_empty() {
            return Ok(());
        }
        Err(Self {
            status: StatusCode::BAD_REQUEST,
            messages,
            headers: Vec::new(),
        })
    }

    /// 404: there is nothing at `uri`.
    #[must_use]
    pub fn missing(uri: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, message::missing_at_uri(uri))
    }

    /// 403: not for this account.
    #[must_use]
    pub fn forbidden() -> Self {
        Self::new(StatusCode::FORBIDDEN, message::insufficient_privilege())
    }

    /// 401, with the challenge that makes clients ask for a password.
    #[must_use]
    pub fn unauthorized(message: Message) -> Self {
        let challenge = HeaderValue::from_static("Basic realm=\"Holdfast\"");
        Self::new(StatusCode::UNAUTHORIZED, message).with(header::WWW_AUTHENTICATE, challenge)
    }

    /// 503: it is worth sending again.
    #[must_use]
    pub fn unavailable() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, message::unavailable(5)).with(header::RETRY_AFTER, RETRY_AFTER)
    }

    /// 500: a fault that only the log tells more about.
    #[must_use]
    pub fn internal() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, message::internal_error())
    }

    /// With a header.
    #[must_use]
    pub fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// The body: `error` with the messages in `@Message.ExtendedInfo`.
    #[must_use]
    pub fn json(&self) -> Value {
        let first = self.messages.first().cloned().unwrap_or_else(message::internal_error);
        let (code, text) = match self.messages.len() {
            0 | 1 => (first.id(), first.text().to_owned()),
            _ => (
                "Base.1.22.GeneralError".to_owned(),
                "A general error has occurred. See @Message.ExtendedInfo for information on how to resolve the error."
                    .to_owned(),
            ),
        };
        let messages: Vec<Value> = self.messages.iter().map(Message::json).collect();
        json!({ "error": { "code": code, "message": text, "@Message.ExtendedInfo": messages } })
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        // Removed by somebody else while the request was being answered.
        if let StoreError::Unknown(id) = &error {
            return Self::missing(id.as_str());
        }
        warn!(%error, "a Redfish request could not be answered");
        match error {
            StoreError::Answer { .. } | StoreError::Subscription { .. } => Self::internal(),
            _ => Self::unavailable(),
        }
    }
}
