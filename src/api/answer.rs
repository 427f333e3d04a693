//! What both listeners answer when something is wrong: JSON, `{"error": {"code": …, "message": …}}`.

use axum::http::{Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

/// A JSON answer; its length is known, so it carries Content-Length.
pub(super) fn json_answer(status: StatusCode, body: &Value) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}

/// An error as JSON.
pub(super) fn error(status: StatusCode, code: &str, message: &str) -> Response {
    json_answer(status, &json!({ "error": { "code": code, "message": message } }))
}

/// Nothing is at this path.
pub(super) async fn unknown_path(uri: Uri) -> Response {
    let message = format!(
        "there is nothing at {}; POST events to /events/<source> (the page for people is at the admin port)",
        uri.path()
    );
    error(StatusCode::NOT_FOUND, "not_found", &message)
}

/// Nothing is at this path of the admin listener.
pub(super) async fn unknown_admin_path(uri: Uri) -> Response {
    let message = format!(
        "there is nothing at {}; try /, /status.json, /metrics, /livez or /readyz",
        uri.path()
    );
    error(StatusCode::NOT_FOUND, "not_found", &message)
}

/// The path is known, the method is not; the router adds `Allow`.
pub(super) async fn wrong_method(method: Method, uri: Uri) -> Response {
    let message = format!("{method} is not possible at {}; see the header Allow", uri.path());
    error(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", &message)
}
