//! The page of the admin listener: `/` with its style and script, and `/status.json`, which it shows.
//!
//! Read only and self-contained: its files are in the binary, nothing from outside, every text inserted as text.
//! Addresses are relative, so that it works behind a proxy that adds a path.

mod board;
mod status;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Query, Request, State};
use axum::http::StatusCode;
use axum::http::header::{
    CACHE_CONTROL, CONNECTION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::routing::get;

pub(super) use self::board::Board;
use self::status::Wish;
use super::answer;

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

/// Where each file is, what it is, and what it says.
const FILES: [(&str, &str, &str); 8] = [
    ("/", HTML, include_str!("index.html")),
    ("/page.css", CSS, include_str!("page.css")),
    ("/page.js", JS, include_str!("page.js")),
    ("/parts.js", JS, include_str!("parts.js")),
    ("/charts.js", JS, include_str!("charts.js")),
    ("/dom.js", JS, include_str!("dom.js")),
    ("/text.js", JS, include_str!("text.js")),
    ("/icon.svg", SVG, include_str!("icon.svg")),
];

/// Nothing but our own files, nothing inline, and nobody may frame it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// What every answer carries. A browser keeps no connection between two looks: many open pages must not take
/// all connections from the health checks.
const HEADERS: [(HeaderName, &str); 6] = [
    (CONTENT_SECURITY_POLICY, POLICY),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (X_FRAME_OPTIONS, "DENY"),
    (REFERRER_POLICY, "no-referrer"),
    (CACHE_CONTROL, "no-store"),
    (CONNECTION, "close"),
];

/// The routes of the page.
pub(super) fn router(board: Arc<Board>) -> Router {
    let mut router = Router::new();
    for (path, kind, text) in FILES {
        router = router.route(path, get(async move || ([(CONTENT_TYPE, kind)], text)));
    }
    router
        .route("/status.json", get(status))
        .method_not_allowed_fallback(answer::wrong_method)
        .layer(from_fn(secured))
        .with_state(board)
}

async fn status(State(board): State<Arc<Board>>, Query(wish): Query<Wish>) -> Response {
    match board.look().await {
        Ok(look) => answer::json_answer(StatusCode::OK, &look.status(&wish, &board.history())),
        Err(absence) => answer::error(StatusCode::SERVICE_UNAVAILABLE, absence.code(), &absence.to_string()),
    }
}

async fn secured(request: Request, next: Next) -> Response {
    let mut answer = next.run(request).await;
    for (name, value) in HEADERS {
        answer.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    answer
}
