//! The bare loop: the POSTs that Holdfast makes, made by nothing but the HTTP client.
//!
//! The same client settings, bodies, headers and signature as in `src/worker/sender.rs`, to the same sink.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;
use holdfast::domain::signature::Signer;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Client, Url};

use crate::deployment::SECRET;
use crate::events;
use crate::process::now;
use crate::sink::{Arrival, Sink};

/// Requests at once that are tried; the best one counts.
const CONCURRENCIES: [usize; 4] = [1, 8, 32, 128];

/// A loop over the ports of a sink.
pub(crate) struct Bare {
    urls: Vec<Url>,
    bodies: Vec<Bytes>,
    signer: Signer,
}

impl Bare {
    /// A loop that sends each body to every port before it takes the next.
    pub(crate) fn new(sink: &Sink) -> Self {
        Self {
            urls: (0..sink.ports()).map(|port| sink.url(port).parse().unwrap()).collect(),
            bodies: (0..1_000).map(events::event).collect(),
            signer: Signer::new(SECRET).unwrap(),
        }
    }

    /// The concurrency with which so many POSTs take the least time, tried in turns: whatever else the machine
    /// does only slows a try down, so the best of three counts.
    pub(crate) async fn best(self: &Arc<Self>, sink: &mut Sink, count: usize) -> usize {
        let mut best = CONCURRENCIES.map(|concurrency| (0.0, concurrency));
        for _ in 0..3 {
            for (fastest, concurrency) in &mut best {
                let rate = rate(&self.run(sink, *concurrency, count).await, count / 5);
                *fastest = rate.max(*fastest);
            }
        }
        best.sort_by(|one, other| one.0.total_cmp(&other.0));
        best[CONCURRENCIES.len() - 1].1
    }

    /// Makes so many POSTs; answers when each arrived. Fails when one was lost or came twice.
    pub(crate) async fn run(self: &Arc<Self>, sink: &mut Sink, concurrency: usize, count: usize) -> Vec<Arrival> {
        sink.clear().await;
        let client = client();
        let next = Arc::new(AtomicUsize::new(0));
        let senders = (0..concurrency).map(|_| {
            let (bare, client, next) = (Arc::clone(self), client.clone(), Arc::clone(&next));
            tokio::spawn(async move {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        return;
                    }
                    bare.send(&client, number).await;
                }
            })
        });
        for ended in join_all(senders).await {
            ended.unwrap();
        }
        let arrivals = sink.arrivals().await;
        expect_each_once(&arrivals, count);
        arrivals
    }

    async fn send(&self, client: &Client, number: usize) {
        let (event, port) = (number / self.urls.len(), number % self.urls.len());
        let body = self.bodies[event % self.bodies.len()].clone();
        let request = client
            .post(self.urls[port].clone())
            .headers(self.headers(&format!("bare{port}.0.1795389052775-{event}"), &body))
            .body(body);
        let response = request.send().await.unwrap();
        assert!(response.status().is_success());
        response.bytes().await.unwrap();
    }

    fn headers(&self, id: &str, body: &Bytes) -> HeaderMap {
        let now = now().as_secs();
        let signature = self.signer.sign(id, now, body);
        let mut headers = HeaderMap::with_capacity(6);
        headers.insert("webhook-signature", HeaderValue::from_str(&signature).unwrap());
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert("webhook-id", HeaderValue::from_str(id).unwrap());
        headers.insert("webhook-timestamp", HeaderValue::from(now));
        headers.insert("holdfast-attempt", HeaderValue::from(1));
        headers
    }
}

fn client() -> Client {
    Client::builder()
        .http1_only()
        .no_proxy()
        .redirect(Policy::none())
        .connect_timeout(Duration::from_secs(5))
        .pool_idle_timeout(Duration::from_secs(3))
        .tcp_nodelay(true)
        .user_agent(concat!("holdfast/", env!("CARGO_PKG_VERSION")))
        .build()
        .unwrap()
}

/// POSTs per second from arrival number `first` on to the last.
pub(crate) fn rate(arrivals: &[Arrival], first: usize) -> f64 {
    let counted = &arrivals[first..];
    let time = counted[counted.len() - 1].at - counted[0].at;
    (counted.len() - 1) as f64 / time.as_secs_f64()
}

/// Fails unless exactly so many requests came, each with another id and each answered 2xx.
pub(crate) fn expect_each_once(arrivals: &[Arrival], count: usize) {
    let accepted = arrivals.iter().filter(|arrival| (200..300).contains(&arrival.status));
    let mut ids: Vec<u64> = accepted.map(|arrival| arrival.id).collect();
    let total = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(
        (total, ids.len()),
        (count, count),
        "accepted and distinct: {} sent, {} accepted, {} of them distinct",
        count,
        total,
        ids.len()
    );
}
