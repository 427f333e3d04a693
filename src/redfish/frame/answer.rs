//! What a handler answers, and how it becomes an HTTP response.

use axum::body::{Body, HttpBody};
use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::Value;

use super::failure::Failure;
use super::resource::Resource;

/// What every answer of the service is, unless it is no JSON at all.
const JSON: &str = "application/json;charset=utf-8";

/// What a handler comes to.
pub type Outcome = Result<Answer, Failure>;

/// A request that was done.
#[derive(Debug)]
pub enum Answer {
    /// 200 with a resource: what was read, or what it has become.
    Resource(Resource),
    /// 201 with a new resource, at its own URI; further headers go with it.
    Created(Resource, Vec<(HeaderName, HeaderValue)>),
    /// 204.
    Done,
    /// Anything else, as it is.
    Raw(Response),
}

/// An answer as it is; what was read goes through the query parameters instead.
pub(super) fn done(answer: Answer) -> Response {
    match answer {
        Answer::Resource(changed) => resource(StatusCode::OK, &changed, &changed.etag()),
        Answer::Created(new, headers) => {
            let mut response = resource(StatusCode::CREATED, &new, &new.etag());
            set(response.headers_mut(), header::LOCATION, new.uri());
            response.headers_mut().extend(headers);
            response
        }
        Answer::Done => StatusCode::NO_CONTENT.into_response(),
        Answer::Raw(response) => response,
    }
}

/// An answer with a resource. `etag` is that of the whole resource, whatever the query left of it.
pub(super) fn resource(status: StatusCode, resource: &Resource, etag: &str) -> Response {
    let mut body = resource.properties.clone();
    body.shift_insert(body.len().min(2), "@odata.etag".to_owned(), etag.into());
    let mut response = json(status, &Value::Object(body));
    let headers = response.headers_mut();
    set(headers, header::ETAG, etag);
    set(headers, header::LINK, &described_by(resource.kind()));
    response
}

/// 200 with JSON that is no resource.
#[must_use]
pub fn respond(body: &Value) -> Response {
    json(StatusCode::OK, body)
}

/// An answer in JSON; its length is known, so it carries Content-Length.
pub(super) fn json(status: StatusCode, body: &Value) -> Response {
    (status, [(header::CONTENT_TYPE, JSON)], body.to_string()).into_response()
}

/// A failure as an answer.
pub(super) fn failure(failure: &Failure) -> Response {
    let mut response = json(failure.status, &failure.json());
    response.headers_mut().extend(failure.headers.iter().cloned());
    response
}

/// What every response has, and what a HEAD lacks.
pub(super) fn finish(mut response: Response, method: &Method, allow: Option<&str>) -> Response {
    let headers = response.headers_mut();
    headers.insert("odata-version", HeaderValue::from_static("4.0"));
    headers.insert(header::SERVER, HeaderValue::from_static("Holdfast"));
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-cache"));
    if let Some(allow) = allow {
        set(headers, header::ALLOW, allow);
    }
    if *method == Method::HEAD {
        if let Some(length) = response.body().size_hint().exact() {
            response.headers_mut().insert(header::CONTENT_LENGTH, length.into());
        }
        *response.body_mut() = Body::empty();
    }
    response
}

/// `Link` to the schema, with the version that the type has.
fn described_by(kind: &str) -> String {
    let file = kind.rsplit_once('.').map_or(kind, |(file, _)| file);
    format!("<http://redfish.dmtf.org/schemas/v1/{file}.json>; rel=describedby")
}

pub(super) fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}
