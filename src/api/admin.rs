//! The admin listener: `/metrics` for Prometheus, `/livez` and `/readyz` for whoever keeps pods running, `/intakez`
//! for the other pods, and the page for people.
//!
//! Started before anything else and stopped last, so that probes are answered all the while.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::json;
use tokio::time::Instant;

use super::answer;
use super::health::Health;
use super::page::{self, Board};
use super::peers::{POD, Peers};
use crate::config;
use crate::listener::{ListenError, Options, Server};
use crate::telemetry::Metrics;

/// Prometheus' text format.
const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";
/// Connections at once: scrapers and probes are few, and browsers keep none.
const CONNECTIONS: usize = 256;
/// How long a client may take to send its request or to read its answer.
const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// The running admin listener; it ends when dropped.
#[derive(Debug)]
pub struct Admin {
    pub(super) health: Arc<Health>,
    pub(super) board: Arc<Board>,
    server: Server,
}

/// The admin listener could not be started.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// It can't listen.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// There is no HTTP client to ask other pods with.
    #[error("other pods (admin.peers) can't be asked: {0}")]
    Peers(#[from] reqwest::Error),
}

/// What the routes share.
#[derive(Clone)]
struct Desk {
    health: Arc<Health>,
    metrics: Metrics,
}

/// Starts the admin listener. Until [`super::start`] it is alive and not ready.
///
/// # Errors
/// When the address can't be listened on, or other pods can't be asked.
pub async fn start(settings: &config::Admin, metrics: Metrics) -> Result<Admin, AdminError> {
    let peers = settings.peers.as_deref().map(Peers::at).transpose()?;
    let health = Arc::new(Health::new(peers));
    let board = Arc::new(Board::default());
    let desk = Desk {
        health: Arc::clone(&health),
        metrics,
    };
    let options = Options {
        listener: "admin",
        variable: "HOLDFAST_ADMIN__LISTEN",
        listen: settings.listen,
        read_timeout: READ_TIMEOUT,
        max_connections: CONNECTIONS,
        max_per_client: 0,
        half_close: true,
        tls: None,
    };
    let server = Server::start(options, router(desk, Arc::clone(&board))).await?;
    Ok(Admin { health, board, server })
}

impl Admin {
    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.server.addr()
    }

    pub(super) async fn stop(self, until: Instant) {
        self.server.stop(until).await;
    }
}

fn router(desk: Desk, board: Arc<Board>) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/intakez", get(intakez))
        .method_not_allowed_fallback(answer::wrong_method)
        .with_state(desk)
        .merge(page::router(board))
        .fallback(answer::unknown_admin_path)
}

async fn metrics(State(desk): State<Desk>) -> Response {
    ([(header::CONTENT_TYPE, TEXT_FORMAT)], desk.metrics.render()).into_response()
}

async fn livez(State(desk): State<Desk>) -> Response {
    verdict("alive", desk.health.alive().map(|()| None))
}

async fn readyz(State(desk): State<Desk>) -> Response {
    verdict("ready", desk.health.ready().await)
}

/// Whether this pod takes events in, whatever the others do.
async fn intakez(State(desk): State<Desk>) -> Response {
    let answer = verdict("taking events in", desk.health.takes_in().await.map(|()| None));
    ([(POD, desk.health.pod.clone())], answer).into_response()
}

/// How it is, with a reason where that is not plainly well.
fn verdict(good: &str, health: Result<Option<String>, String>) -> Response {
    match health {
        Ok(None) => answer::json_answer(StatusCode::OK, &json!({ "status": good })),
        Ok(Some(reason)) => answer::json_answer(StatusCode::OK, &json!({ "status": good, "reason": reason })),
        Err(reason) => {
            let body = json!({ "status": format!("not {good}"), "reason": reason });
            answer::json_answer(StatusCode::SERVICE_UNAVAILABLE, &body)
        }
    }
}
