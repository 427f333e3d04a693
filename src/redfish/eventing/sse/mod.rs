//! Server-sent events: a client that opens the stream is a subscription for as long as it reads.
//!
//! A stream reads from Redis what the workers of all pods remember of settled events, from a place that every message
//! carries as its id, so that it is resumed with `Last-Event-ID` on any pod. [`hub`] wakes the streams of this pod and
//! ends those that are to end; [`reader`] is one of them. While no stream is open nothing of this runs.

mod filter;
mod hub;
mod message;
mod place;
mod reader;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use bytes::Bytes;
use futures::Stream;
use tokio::sync::mpsc;
use url::Url;

pub(super) use self::hub::Hub;
use self::hub::{Owner, Seat};
use self::place::Place;
use self::reader::Reader;
use super::SERVICE;
use super::subscriptions::full;
use crate::domain::filter::Filter;
use crate::domain::subscription::Subscription;
use crate::redfish::frame::{Answer, Call, Failure, Needs, Outcome, Route, message as messages};
use crate::store::registry::new_id;
use crate::store::{Store, StoreError};

/// Where the stream is.
pub(super) const URI: &str = "/redfish/v1/EventService/SSE";
/// Messages that wait for a client to read them.
const WAITING: usize = 16;
/// A client that is told nothing else learns so often that the stream is alive.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

pub(super) fn routes() -> Vec<Route> {
    vec![Route::at(URI).streams(Needs::LOGIN, open)]
}

async fn open(call: Call) -> Outcome {
    let (hub, store) = (&call.service.eventing.hub, &call.service.store);
    let filter = wanted(&call.query)?;
    if !store.settings().await?.enabled {
        let disabled = messages::service_disabled(SERVICE);
        return Err(Failure::new(StatusCode::SERVICE_UNAVAILABLE, disabled));
    }
    let account = store.login(&call.who()?.account).await?.account;
    let account = account
        .filter(|account| account.enabled)
        .ok_or_else(Failure::forbidden)?;
    let mut stream = Subscription::new(new_id(), destination(&call)?, jiff::Timestamp::now().to_string());
    stream.filter = filter;
    // The specification wants a text of the service's own here.
    stream.context = Some(stream.id.to_string());
    stream.owner = Some(account.name.clone());
    stream.stream = Some(hub.name.clone());
    let owner = Owner {
        account: account.name,
        generation: account.generation,
    };
    let seat = hub.seat(&stream.id, owner, store).ok_or_else(full)?;
    let opening = Opening {
        store: Arc::clone(store),
        hub: Arc::clone(hub),
        most: call.service.settings.max_subscriptions,
        seat,
        asked: last_event_id(&call.headers),
    };
    // Of its own: this handler is dropped where its client goes away, and what is entered by then must be taken out.
    let entered = tokio::spawn(opening.enter(stream))
        .await
        .map_err(|_| Failure::internal())?;
    let receiver = entered.map_err(|error| match error {
        StoreError::Full => full(),
        error => error.into(),
    })?;
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream;charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    Ok(Answer::Raw(
        (headers, Body::from_stream(frames(receiver))).into_response(),
    ))
}

/// A stream that is about to begin.
struct Opening {
    store: Arc<Store>,
    hub: Arc<Hub>,
    /// Subscriptions that there may be.
    most: usize,
    seat: Seat,
    /// The last id that its client has seen.
    asked: Option<String>,
}

impl Opening {
    /// Enters the stream among the subscriptions and starts it; answers what it sends. Where that fails it is taken out
    /// again: an error does not tell whether Redis entered it.
    async fn enter(self, stream: Subscription) -> Result<mpsc::Receiver<Bytes>, StoreError> {
        let id = stream.id.clone();
        let begun = self.begin(stream).await;
        let Self { store, hub, seat, .. } = self;
        match begun {
            Ok((stream, place, gap)) => {
                let (sender, receiver) = mpsc::channel(WAITING);
                let reader = Reader::new(store, seat, stream, place, sender);
                tokio::spawn(reader.run(gap, hub.linger));
                Ok(receiver)
            }
            Err(StoreError::Full) => Err(StoreError::Full),
            Err(error) => {
                tokio::spawn(async move {
                    reader::take_out(&store, &id, hub.linger).await;
                    drop(seat);
                });
                Err(error)
            }
        }
    }

    /// Enters it; answers it, where it reads from, and whether events before that may be missing.
    async fn begin(&self, stream: Subscription) -> Result<(Subscription, Place, bool), StoreError> {
        let (store, asked) = (&self.store, self.asked.as_deref());
        store.beat_streams(&self.hub.name).await?;
        let (stream, since_ms) = store.open_stream(stream, self.most).await?;
        self.seat.entered(stream.version);
        // From here on nothing is missed: whoever sends an event after the answer finds the stream entered.
        let resumed = asked.and_then(|text| Place::read(text, store.partitions().len()));
        let gap = asked.is_some() && resumed.as_ref().is_none_or(|place| place.is_before(since_ms));
        let place = match resumed {
            Some(place) => place,
            None => Place::now(store).await?,
        };
        Ok((stream, place, gap))
    }
}

/// What the client asks for in `$filter`; everything without one.
fn wanted(query: &[(String, String)]) -> Result<Filter, Failure> {
    let mut filter = Filter::default();
    for (name, value) in query {
        match name.as_str() {
            "$filter" => {
                filter = filter::read(value).ok_or_else(|| Failure::bad(messages::query_value_format(value, name)))?;
            }
            name if name.starts_with('$') || name == "only" || name == "excerpt" => {
                return Err(Failure::new(
                    StatusCode::NOT_IMPLEMENTED,
                    messages::query_unsupported(name),
                ));
            }
            _ => {}
        }
    }
    Ok(filter)
}

/// The destination that the specification gives to streams: where the client is.
fn destination(call: &Call) -> Result<Url, Failure> {
    format!("redfish-sse://{}", call.peer)
        .parse()
        .map_err(|_| Failure::internal())
}

fn last_event_id(headers: &HeaderMap) -> Option<String> {
    let id = headers.get("last-event-id")?;
    Some(String::from_utf8_lossy(id.as_bytes()).into_owned())
}

/// The channel as the body of an answer.
fn frames(receiver: mpsc::Receiver<Bytes>) -> impl Stream<Item = Result<Bytes, Infallible>> {
    futures::stream::unfold(receiver, async |mut receiver| {
        let frame = receiver.recv().await?;
        Some((Ok(frame), receiver))
    })
}
