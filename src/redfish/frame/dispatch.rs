//! The way of every request: path, authentication, method, privileges, headers, query, body, handler, answer.
//!
//! In that order, so that nobody learns more than they may: who has not logged in gets 401, whatever is wrong
//! besides.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

use super::answer::{self, Answer, Outcome};
use super::call::{self, Call};
use super::failure::Failure;
use super::message;
use super::query::Query;
use super::route::{Needs, Operation, Route};
use crate::listener::{BodyError, Held, Peer};
use crate::redfish::auth::{self, Identity};
use crate::redfish::{Service, accounts, sessions};
use crate::telemetry::labels::{RedfishResource, StatusClass};
use crate::telemetry::service as metrics;

/// The largest body of who has logged in, in bytes.
const MAX_BODY: u64 = 1 << 20;
/// The largest body of who need not, in bytes.
const MAX_BODY_OF_NOBODY: u64 = 16 << 10;

/// Answers a request.
pub(in crate::redfish) async fn dispatch(State(service): State<Arc<Service>>, request: Request) -> Response {
    let method = request.method().clone();
    let path = decoded(request.uri().path());
    let found = service.table.find(&path);
    let allow = found.as_ref().map(|(route, _)| route.allow());
    let kind = found
        .as_ref()
        .map_or(RedfishResource::Nowhere, |(route, _)| kind(route.path));
    let outcome = match found {
        Some((route, parameters)) => answer(&service, route, parameters, path, request).await,
        None => Err(nowhere(&service, &path, request).await),
    };
    let response = outcome.unwrap_or_else(|failure| answer::failure(&failure));
    metrics::request(kind, class(response.status()));
    // Whoever gets nothing is not told what there would be to get.
    let allow = allow.filter(|_| response.status() != StatusCode::UNAUTHORIZED);
    answer::finish(response, &method, allow.as_deref())
}

/// What the resources below a path are, for the metrics.
fn kind(path: &str) -> RedfishResource {
    const KINDS: [(&str, RedfishResource); 5] = [
        ("/redfish/v1/SessionService", RedfishResource::Sessions),
        ("/redfish/v1/AccountService", RedfishResource::Accounts),
        ("/redfish/v1/EventService/Subscriptions", RedfishResource::Subscriptions),
        ("/redfish/v1/EventService/SSE", RedfishResource::Stream),
        ("/redfish/v1/EventService", RedfishResource::EventService),
    ];
    let known = KINDS.into_iter().find(|(beginning, _)| path.starts_with(beginning));
    known.map_or(RedfishResource::Service, |(_, kind)| kind)
}

fn class(status: StatusCode) -> StatusClass {
    match status.as_u16() {
        0..300 => StatusClass::Success,
        300..400 => StatusClass::Redirection,
        400..500 => StatusClass::ClientError,
        _ => StatusClass::ServerError,
    }
}

/// Reads another resource for a client whose request is being answered.
pub(super) async fn read(service: &Arc<Service>, uri: &str, identity: Option<&Identity>) -> Outcome {
    let path = decoded(uri);
    let missing = || Failure::missing(uri);
    let (route, parameters) = service.table.find(&path).ok_or_else(missing)?;
    let operation = route.operation(&Method::GET).ok_or_else(missing)?;
    let may = |who: &Identity| operation.needs.are_met_by(who) && !who.must_change_password;
    let permitted = operation.needs == Needs::Nothing || identity.is_some_and(may);
    if !permitted {
        return Err(Failure::forbidden());
    }
    let call = Call {
        service: Arc::clone(service),
        uri: path,
        parameters,
        identity: identity.cloned(),
        peer: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        headers: HeaderMap::new(),
        query: Vec::new(),
        body: Map::new(),
    };
    (operation.handler)(call).await
}

async fn answer(
    service: &Arc<Service>,
    route: &Route,
    parameters: Vec<String>,
    path: String,
    request: Request,
) -> Result<Response, Failure> {
    let (head, body) = request.into_parts();
    let operation = route.operation(&head.method);
    let mut identity = admit(service, route, operation, &head, &path).await?;
    let max_body = identity.as_ref().map_or(MAX_BODY_OF_NOBODY, |_| MAX_BODY);
    let operation = operation.ok_or_else(|| wrong_method(&head.method))?;
    if let Some(version) = head.headers.get("odata-version")
        && version != "4.0"
    {
        let message = message::header_invalid(whole_header("OData-Version", version));
        let message = message.advise("Resubmit the request with the header 'OData-Version: 4.0', or without it.");
        return Err(Failure::new(StatusCode::PRECONDITION_FAILED, message));
    }
    let text = head.uri.query().unwrap_or_default();
    let query: Vec<(String, String)> = url::form_urlencoded::parse(text.as_bytes()).into_owned().collect();
    let reads = matches!(head.method, Method::GET | Method::HEAD);
    let view = if route.is_stream() {
        Query::default()
    } else if reads {
        Query::read(&query)?
    } else {
        Query::refuse(&query).map(|()| Query::default())?
    };
    if identity.is_none() && view.looks_further() {
        identity = auth::identify(service, &head.headers, peer(&head)).await.ok();
    }
    let takes_body = matches!(head.method, Method::POST | Method::PATCH | Method::PUT);
    // Its bytes count until the request is answered.
    let held = match takes_body {
        true => Some(read_body(service, &head.headers, body, max_body).await?),
        false => None,
    };
    let call = Call {
        service: Arc::clone(service),
        uri: path,
        parameters,
        identity: identity.clone(),
        peer: peer(&head),
        body: held
            .as_ref()
            .map_or_else(|| Ok(Map::new()), |held| object(&held.bytes))?,
        headers: head.headers.clone(),
        query,
    };
    match (operation.handler)(call).await? {
        Answer::Resource(resource) if reads => {
            let etag = resource.etag();
            if !view.looks_further() && call::has(&head.headers, &etag) {
                let mut response = StatusCode::NOT_MODIFIED.into_response();
                answer::set(response.headers_mut(), header::ETAG, &etag);
                return Ok(response);
            }
            let uri = resource.uri().to_owned();
            let resource = view.apply(service, identity.as_ref(), resource).await?;
            let etag = if resource.uri() == uri { etag } else { resource.etag() };
            Ok(answer::resource(StatusCode::OK, &resource, &etag))
        }
        done => Ok(answer::done(done)),
    }
}

/// Lets in who may call this operation; `None` where nobody need say who they are. A method that the resource does
/// not have is told only to who might call another.
async fn admit(
    service: &Service,
    route: &Route,
    operation: Option<&Operation>,
    head: &Parts,
    path: &str,
) -> Result<Option<Identity>, Failure> {
    let needs = match operation {
        Some(operation) => operation.needs,
        None if route.is_open() => Needs::Nothing,
        None => Needs::LOGIN,
    };
    if needs == Needs::Nothing {
        return Ok(None);
    }
    let who = auth::identify(service, &head.headers, peer(head)).await?;
    if !needs.are_met_by(&who) {
        return Err(Failure::forbidden());
    }
    confine(&who, &head.method, path)?;
    Ok(Some(who))
}

/// Refuses all but reading one's account, changing its password and ending one's session to who must change it.
fn confine(who: &Identity, method: &Method, path: &str) -> Result<(), Failure> {
    let own = accounts::uri(&who.account);
    let session = who.session.as_deref().map(sessions::uri);
    let is_way_out = match *method {
        Method::GET | Method::HEAD | Method::PATCH => path == own,
        Method::DELETE => session.is_some_and(|session| path == session),
        _ => false,
    };
    if !who.must_change_password || is_way_out {
        return Ok(());
    }
    Err(Failure::new(
        StatusCode::FORBIDDEN,
        message::password_change_required(own),
    ))
}

/// Nothing is there; who has not logged in does not learn that below `/redfish/v1`.
async fn nowhere(service: &Service, path: &str, request: Request) -> Failure {
    let (head, _) = request.into_parts();
    if path.starts_with("/redfish/v1/")
        && let Err(failure) = auth::identify(service, &head.headers, peer(&head)).await
    {
        return failure;
    }
    Failure::missing(path)
}

/// Who is at the other end.
fn peer(head: &Parts) -> SocketAddr {
    let known = head.extensions.get::<Peer>();
    known.map_or(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)), |peer| peer.addr)
}

/// 405 for a method that the resource does not have, 501 for one that nothing has.
fn wrong_method(method: &Method) -> Failure {
    let known = [
        Method::GET,
        Method::HEAD,
        Method::POST,
        Method::PATCH,
        Method::PUT,
        Method::DELETE,
        Method::OPTIONS,
    ];
    let status = if known.contains(method) {
        StatusCode::METHOD_NOT_ALLOWED
    } else {
        StatusCode::NOT_IMPLEMENTED
    };
    Failure::new(status, message::operation_not_allowed())
}

/// The path decoded, without a slash at its end. What is no UTF-8 is nowhere.
fn decoded(path: &str) -> String {
    let path = percent_decode_str(path).decode_utf8_lossy();
    path.strip_suffix('/').unwrap_or(&path).to_owned()
}

/// Reads a body that says it is JSON, or says nothing.
async fn read_body<'a>(service: &'a Service, headers: &HeaderMap, body: Body, limit: u64) -> Result<Held<'a>, Failure> {
    if let Some(kind) = headers.get(header::CONTENT_TYPE)
        && !is_json(kind)
    {
        let message = message::header_invalid(whole_header("Content-Type", kind));
        let message = message.advise("Resubmit the request with the header 'Content-Type: application/json'.");
        return Err(Failure::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message));
    }
    let read = service.bodies.read(headers, body, limit).await;
    read.map_err(|error| match error {
        BodyError::TooLarge { .. } => Failure::new(StatusCode::PAYLOAD_TOO_LARGE, message::payload_too_large()),
        BodyError::Slow => Failure::new(StatusCode::REQUEST_TIMEOUT, message::malformed_json()),
        BodyError::Broken => Failure::bad(message::malformed_json()),
        BodyError::Full => Failure::unavailable(),
    })
}

/// The body as a JSON object; nothing at all counts as an empty one.
fn object(bytes: &[u8]) -> Result<Map<String, Value>, Failure> {
    if bytes.is_empty() {
        return Ok(Map::new());
    }
    match serde_json::from_slice(bytes) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(Failure::bad(message::unrecognized_body())),
        Err(_) => Err(Failure::bad(message::malformed_json())),
    }
}

/// A header as a message names it: its field and, cut to a bearable length, its value.
fn whole_header(field: &str, value: &HeaderValue) -> String {
    const LONGEST: usize = 100;
    let value: String = String::from_utf8_lossy(value.as_bytes())
        .chars()
        .take(LONGEST)
        .collect();
    format!("{field}: {value}")
}

fn is_json(kind: &HeaderValue) -> bool {
    let essence = kind
        .to_str()
        .unwrap_or_default()
        .split(';')
        .next()
        .unwrap_or_default()
        .trim();
    essence.eq_ignore_ascii_case("application/json")
}
