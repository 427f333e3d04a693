//! A subscriber whose every answer is the test's: by delivery, by attempt, or held back until it is released.
//!
//! It remembers what arrived, how much was in flight then and how much had been answered before.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, Response};
use bytes::Bytes;
use holdfast::cli::sink::unpack;
use holdfast::domain::ids::DeliveryId;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;

/// What to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reply {
    Status(u16),
    /// 429 with `Retry-After`, in seconds.
    Throttle(u64),
    /// 200 once a `release` allows it.
    Hold,
    /// The same with another status.
    HoldThen(u16),
    /// None: the connection breaks.
    Break,
}

/// One request.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) attempt: u32,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) arrived: Instant,
    /// Requests in flight when it arrived, itself included.
    pub(crate) in_flight: usize,
    /// Requests answered 2xx before it arrived.
    pub(crate) answered_before: usize,
}

/// A running subscriber; it stops when dropped.
pub(crate) struct Subscriber {
    addr: SocketAddr,
    books: Arc<Mutex<Books>>,
    gate: Arc<Semaphore>,
    server: AbortHandle,
}

#[derive(Default)]
struct Books {
    seen: Vec<Seen>,
    accepted: Vec<DeliveryId>,
    in_flight: usize,
}

/// A request is in flight until it is answered or its sender is gone.
struct InFlight(Arc<Mutex<Books>>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.lock().unwrap().in_flight -= 1;
    }
}

impl Subscriber {
    /// A subscriber that answers by `script`.
    pub(crate) async fn start(script: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let books = Arc::new(Mutex::new(Books::default()));
        let gate = Arc::new(Semaphore::new(0));
        let (own_books, own_gate, script) = (books.clone(), gate.clone(), Arc::new(script));
        let router = Router::new()
            .fallback(move |request: Request| answer(request, own_books.clone(), own_gate.clone(), script.clone()));
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() }).abort_handle();
        Self {
            addr,
            books,
            gate,
            server,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/events", self.addr)
    }

    /// Lets so many held requests be answered, now or later.
    pub(crate) fn release(&self, requests: usize) {
        self.gate.add_permits(requests);
    }

    /// Holds nothing back any more.
    pub(crate) fn open(&self) {
        self.gate.add_permits(1_000_000);
    }

    /// Everything that arrived, in order of arrival.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.lock().seen.clone()
    }

    /// How much arrived.
    pub(crate) fn count(&self) -> usize {
        self.lock().seen.len()
    }

    /// What was answered with 2xx, in order.
    pub(crate) fn accepted(&self) -> Vec<DeliveryId> {
        self.lock().accepted.clone()
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.lock().in_flight
    }

    fn lock(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap()
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn answer<S>(request: Request, books: Arc<Mutex<Books>>, gate: Arc<Semaphore>, script: Arc<S>) -> Response<Body>
where
    S: Fn(&Seen) -> Reply,
{
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    let header = |name: &str| parts.headers[name].to_str().unwrap().to_owned();
    let attempt = header("holdfast-attempt").parse().unwrap();
    let mut ids: Vec<String> = unpack(&parts.headers, &body).into_iter().map(|(id, _)| id).collect();
    if ids.is_empty() {
        ids.push(header("webhook-id"));
    }
    let ids: Vec<DeliveryId> = ids.iter().map(|id| id.parse().unwrap()).collect();
    let (seen, in_flight) = {
        let mut open = books.lock().unwrap();
        open.in_flight += 1;
        let seen = Seen {
            attempt,
            headers: parts.headers,
            body,
            arrived: Instant::now(),
            in_flight: open.in_flight,
            answered_before: open.accepted.len(),
        };
        open.seen.push(seen.clone());
        (seen, InFlight(books.clone()))
    };
    let mut response = Response::new(Body::empty());
    let status = match script(&seen) {
        Reply::Status(status) => status,
        Reply::Throttle(seconds) => {
            response.headers_mut().insert("retry-after", seconds.into());
            429
        }
        Reply::Hold => held(&gate, 200).await,
        Reply::HoldThen(status) => held(&gate, status).await,
        // Takes the task of the connection along, without a word.
        Reply::Break => std::panic::resume_unwind(Box::new("the connection breaks")),
    };
    *response.status_mut() = status.try_into().unwrap();
    if (200..300).contains(&status) {
        books.lock().unwrap().accepted.extend(ids);
    }
    drop(in_flight);
    response
}

async fn held(gate: &Semaphore, status: u16) -> u16 {
    gate.acquire().await.unwrap().forget();
    status
}
