//! `POST /events/{source}`: takes one event in.
//!
//! Asks for a token where that is wanted, keeps to the rates, reads the body within its limits, refuses what is no event and everything while Redis is nearly full,
//! waits for Redis if it is away, and appends the event to its source's stream, on replicas too where that is asked for.
//! Only then it answers `200`
//! with `{}` and its length: some controllers take 204, or an answer without a length, for a failure. The header
//! `holdfast-event` tells where it went.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use axum::routing::post;
use jiff::Timestamp;
use serde_json::json;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tracing::{info, warn};

use super::answer;
use super::limits::Limits;
use super::memory_guard::MemoryGuard;
use super::refusal::Refusal;
use super::tokens::Tokens;
use crate::config;
use crate::domain::event::Message;
use crate::listener::{Bodies, Peer};
use crate::store::frame::Frame;
use crate::store::{Store, StoreError};
use crate::telemetry::metrics;

/// The longest name of a source, in bytes.
const LONGEST_SOURCE: usize = 128;
/// Names the event in the answer, for `holdfast find`.
const EVENT_ID: HeaderName = HeaderName::from_static("holdfast-event");
/// While Redis answers, a place to wait becomes free within this time: a burst is no outage.
const BURST: Duration = Duration::from_millis(250);
/// Pause before an event is offered again to a Redis that said "not now".
const PAUSE: Duration = Duration::from_millis(100);

/// Takes events in.
#[derive(Debug)]
pub(super) struct Intake {
    store: Arc<Store>,
    guard: Arc<MemoryGuard>,
    bodies: Bodies,
    max_body: u64,
    limits: Limits,
    tokens: Option<Tokens>,
    wait: Duration,
    waiting: Semaphore,
    failing: AtomicBool,
}

/// The routes of the intake listener.
pub(super) fn router(intake: Intake) -> Router {
    Router::new()
        .route("/events/{source}", post(take))
        .fallback(answer::unknown_path)
        .method_not_allowed_fallback(answer::wrong_method)
        .with_state(Arc::new(intake))
}

async fn take(
    State(intake): State<Arc<Intake>>,
    source: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Response, Refusal> {
    let source = match intake.admit(source, &request) {
        Ok(source) => source,
        Err(refusal) => {
            let (head, body) = request.into_parts();
            intake.bodies.discard(&head.headers, body).await;
            return Err(refusal);
        }
    };
    let (head, body) = request.into_parts();
    let body = intake.bodies.read(&head.headers, body, intake.max_body).await?;
    Message::parse(body.bytes.clone())?;
    if !intake.guard.admits() {
        return Err(Refusal::Memory);
    }
    let frame = Frame {
        source,
        received_at: format!("{:.3}", Timestamp::now()),
        event: body.bytes.clone(),
    };
    let event = intake.keep(&frame).await?;
    metrics::events_accepted(1);
    let mut answer = answer::json_answer(StatusCode::OK, &json!({}));
    answer.headers_mut().extend(event.map(|event| (EVENT_ID, event)));
    Ok(answer)
}

impl Intake {
    /// Takes events in for `store`.
    pub(super) fn new(
        settings: &config::Intake,
        tokens: Option<Tokens>,
        store: Arc<Store>,
        guard: Arc<MemoryGuard>,
    ) -> Self {
        Self {
            limits: Limits::new(settings),
            tokens,
            store,
            guard,
            bodies: Bodies::new(settings.max_waiting_bytes.0, settings.read_timeout.0),
            max_body: settings.max_body.0,
            wait: settings.wait.0,
            waiting: Semaphore::new(settings.max_waiting.min(Semaphore::MAX_PERMITS)),
            failing: AtomicBool::new(false),
        }
    }

    /// Judges the head of a request: whose event it is, whether its sender may send for that source, and how many
    /// came already. A client that showed a certificate needs no token.
    fn admit(&self, source: Result<Path<String>, PathRejection>, request: &Request) -> Result<String, Refusal> {
        let Path(source) = source.map_err(|_| Refusal::Source)?;
        if !is_source(&source) {
            return Err(Refusal::Source);
        }
        let peer = request.extensions().get::<Peer>();
        let is_known = peer.is_some_and(|peer| peer.certificate.is_some());
        if let Some(tokens) = self.tokens.as_ref().filter(|_| !is_known)
            && !tokens.admit(&source, request.headers())
        {
            return Err(Refusal::Token);
        }
        self.limits.admit(&source).map_err(|wait| Refusal::Rate { wait })?;
        Ok(source)
    }

    /// Waits for Redis where it is away, and appends the event there; answers `<partition>.<stream id>`.
    async fn keep(&self, frame: &Frame) -> Result<Option<HeaderValue>, Refusal> {
        let _place = self.place().await?;
        let deadline = Instant::now() + self.wait;
        let connection = self.store.connection();
        loop {
            if !connection.is_connected() && timeout_at(deadline, connection.connected()).await.is_err() {
                return Err(Refusal::Redis);
            }
            let partition = self.store.partition_of(&frame.source);
            let error = match partition.publish(frame).await {
                Ok(id) => {
                    self.guard.took(frame.event.len());
                    self.note(None);
                    return Ok(HeaderValue::from_str(&format!("{}.{id}", partition.index)).ok());
                }
                Err(error) => error,
            };
            if error.is_memory_limit() {
                self.guard.look_soon();
                return Err(Refusal::Memory);
            }
            // An answer that was lost may hide an entry that was written. Only the sender may repeat it then:
            // a repeat from here would be a second entry even where the sender never sends twice.
            let not_written = error.is_transient() && !error.is_disconnected();
            if !not_written || Instant::now() + PAUSE >= deadline {
                self.note(Some(&error));
                return Err(error.into());
            }
            sleep(PAUSE).await;
        }
    }

    /// A place among the requests that wait for Redis. While Redis is away there is one at once or none.
    async fn place(&self) -> Result<SemaphorePermit<'_>, Refusal> {
        if let Ok(place) = self.waiting.try_acquire() {
            return Ok(place);
        }
        if !self.store.connection().is_connected() {
            return Err(Refusal::Overloaded);
        }
        match timeout(BURST, self.waiting.acquire()).await {
            Ok(Ok(place)) => Ok(place),
            _ => Err(Refusal::Overloaded),
        }
    }

    /// Logs the first failure and the first success after it.
    fn note(&self, error: Option<&StoreError>) {
        let failed_before = self.failing.swap(error.is_some(), Ordering::Relaxed);
        match error {
            Some(error) if !failed_before => {
                warn!(%error, "an event could not be taken in; its sender was told to send it again");
            }
            None if failed_before => info!("events are taken in again"),
            _ => {}
        }
    }
}

/// Whether a text is fit to name a source: it is shown in logs and stored with every event.
fn is_source(text: &str) -> bool {
    (1..=LONGEST_SOURCE).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._:@-".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_plain_names() {
        for text in ["a", "bmc-7.rack_2@dc:1", &"x".repeat(128)] {
            assert!(is_source(text), "{text}");
        }
        for text in ["", "a b", "a/b", "é", "a\n", &"x".repeat(129)] {
            assert!(!is_source(text), "{text}");
        }
    }
}
