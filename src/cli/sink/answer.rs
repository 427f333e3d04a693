//! Answers one request to the test subscriber: deliveries by the present mode, `/-/…` always properly.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Either, Full};
use hyper::body::{Body, Frame, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, StatusCode};
use tokio::sync::watch;
use tokio::time::Interval;

use super::mode::Mode;
use super::tally::Tally;
use super::wire::Spoil;

/// Time between two bytes of a dripping body.
const DRIP: Duration = Duration::from_millis(200);

/// A part of a body that is as fast as it is read.
const FLOOD: &[u8] = &[b'.'; 16 << 10];

type Answer = Response<Either<Full<Bytes>, Endless>>;

/// What every connection shares.
pub(super) struct Desk {
    pub(super) tally: Tally,
    pub(super) mode: watch::Sender<Mode>,
    requests: AtomicU64,
}

impl Desk {
    pub(super) fn new(tally: Tally, mode: Mode) -> Arc<Self> {
        Arc::new(Self {
            tally,
            mode: watch::Sender::new(mode),
            requests: AtomicU64::new(0),
        })
    }

    /// Answers one request, or never.
    ///
    /// # Errors
    /// The connection's, when the request does not arrive whole.
    pub(super) async fn answer(&self, request: Request<Incoming>, spoil: Spoil) -> Result<Answer, hyper::Error> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        if let Some(path) = parts.uri.path().strip_prefix("/-/") {
            return Ok(self.control(&parts.method, path, &body));
        }
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        let mode = self.mode.borrow().of_request(number);
        Ok(self.deliver(mode, parts, &body, &spoil).await)
    }

    async fn deliver(&self, mode: Mode, parts: Parts, body: &Bytes, spoil: &Spoil) -> Answer {
        match mode {
            Mode::Ok | Mode::Random(_) => self.enter(parts, body, 200),
            Mode::Slow(period) => {
                tokio::time::sleep(period.0).await;
                self.enter(parts, body, 200)
            }
            Mode::Status(status) => self.enter(parts, body, status),
            Mode::Throttle(seconds) => {
                let mut answer = self.enter(parts, body, 429);
                answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
                answer
            }
            Mode::Hang => {
                self.tally.enter(parts, body, 0);
                std::future::pending().await
            }
            // A request that was on its way while the listener closed is reset too.
            Mode::Reset | Mode::Refuse(_) => {
                self.tally.enter(parts, body, 0);
                spoil.reset();
                empty(StatusCode::OK)
            }
            // Its 200 has arrived, however much of the rest is read.
            Mode::Flood => {
                self.tally.enter(parts, body, 200);
                Response::new(Either::Right(Endless::Flood))
            }
            Mode::Garbage => {
                self.tally.enter(parts, body, 0);
                spoil.garbage();
                empty(StatusCode::OK)
            }
            Mode::Drip => {
                // It never arrives whole, hence it does not count as accepted.
                self.tally.enter(parts, body, 0);
                Response::new(Either::Right(Endless::Drip(tokio::time::interval(DRIP))))
            }
        }
    }

    fn enter(&self, parts: Parts, body: &Bytes, status: u16) -> Answer {
        self.tally.enter(parts, body, status);
        empty(StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR))
    }

    fn control(&self, method: &Method, path: &str, body: &Bytes) -> Answer {
        match (method.as_str(), path) {
            ("GET", "counts") => json(&self.tally.counts()),
            ("GET", "deliveries") => json(&self.tally.latest()),
            ("GET", "mode") => text(StatusCode::OK, self.mode.borrow().to_string()),
            ("PUT", "mode") => self.change(&String::from_utf8_lossy(body)),
            _ => text(
                StatusCode::NOT_FOUND,
                "GET /-/counts, GET /-/deliveries, GET or PUT /-/mode".to_owned(),
            ),
        }
    }

    fn change(&self, written: &str) -> Answer {
        match written.parse() {
            Ok(Mode::Refuse(None)) => text(
                StatusCode::BAD_REQUEST,
                "nobody could reach this port to change it back; write for how long, for example refuse:10s".to_owned(),
            ),
            Ok(mode) => {
                self.mode.send_replace(mode);
                text(StatusCode::OK, mode.to_string())
            }
            Err(unknown) => text(StatusCode::BAD_REQUEST, unknown.to_string()),
        }
    }
}

fn empty(status: StatusCode) -> Answer {
    let mut answer = Response::new(Either::Left(Full::new(Bytes::new())));
    *answer.status_mut() = status;
    answer
}

fn text(status: StatusCode, text: String) -> Answer {
    let mut answer = Response::new(Either::Left(Full::new(Bytes::from(text + "\n"))));
    *answer.status_mut() = status;
    answer
}

fn json(value: &impl serde::Serialize) -> Answer {
    let Ok(mut body) = serde_json::to_vec(value) else {
        return empty(StatusCode::INTERNAL_SERVER_ERROR);
    };
    body.push(b'\n');
    let mut answer = Response::new(Either::Left(Full::new(Bytes::from(body))));
    let kind = HeaderValue::from_static("application/json");
    answer.headers_mut().insert(CONTENT_TYPE, kind);
    answer
}

/// A body without end.
pub(super) enum Endless {
    /// A byte at a time.
    Drip(Interval),
    /// As fast as it is read.
    Flood,
}

impl Body for Endless {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let part = match &mut *self {
            Self::Drip(ticks) => {
                ready!(ticks.poll_tick(cx));
                b".".as_slice()
            }
            Self::Flood => FLOOD,
        };
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(part)))))
    }
}
