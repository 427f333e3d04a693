//! What the test subscriber has seen: how many deliveries, how many of them twice, and the latest ones.
//!
//! Counted by `Webhook-Id`, else by path and body. Memory is bounded: an id is kept as a 64-bit hash, the
//! latest deliveries in a ring.

use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use hyper::HeaderMap;
use hyper::http::request::Parts;
use serde::Serialize;

use super::together::unpack;

/// More distinct ids than this are counted as `untracked`.
const MOST_IDS: usize = 8 << 20;

/// Totals since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Counts {
    /// Requests that arrived whole.
    pub requests: u64,
    /// Deliveries answered 2xx: several of them may travel in one request.
    pub accepted: u64,
    /// Different deliveries among the accepted.
    pub distinct: u64,
    /// Accepted deliveries that had been accepted before.
    pub duplicates: u64,
    /// Deliveries answered otherwise or not at all.
    pub failed: u64,
    /// Accepted when there were too many ids to keep; neither distinct nor duplicate.
    pub untracked: u64,
}

/// One delivery as it arrived.
#[derive(Debug, Clone, Serialize)]
pub struct Delivery {
    /// The `Webhook-Id`, else `body:` and a hash.
    pub id: String,
    /// How often this id has come, this time included.
    pub attempt: u32,
    /// Its destination.
    pub path: String,
    /// The status it was answered with; 0 for none.
    pub status: u16,
    /// When it was answered, in milliseconds since the start.
    pub ms: u64,
    /// Its headers.
    #[serde(skip)]
    pub headers: HeaderMap,
    /// Its body.
    #[serde(skip)]
    pub body: Bytes,
}

/// The books.
pub(super) struct Tally {
    started: Instant,
    keep: usize,
    books: Mutex<Books>,
}

#[derive(Default)]
struct Books {
    counts: Counts,
    ids: HashMap<u64, Seen>,
    latest: VecDeque<Delivery>,
}

#[derive(Default)]
struct Seen {
    attempts: u32,
    accepted: bool,
}

impl Tally {
    /// Empty books that keep the latest `keep` deliveries.
    pub(super) fn new(keep: usize) -> Self {
        Self {
            started: Instant::now(),
            keep,
            books: Mutex::default(),
        }
    }

    pub(super) fn counts(&self) -> Counts {
        self.books().counts
    }

    pub(super) fn latest(&self) -> Vec<Delivery> {
        self.books().latest.iter().cloned().collect()
    }

    /// Enters one request and its answer; `status` 0 is none. Deliveries that travel together are entered one by one.
    pub(super) fn enter(&self, parts: Parts, body: &Bytes, status: u16) {
        let together = unpack(&parts.headers, body);
        let mut books = self.books();
        books.counts.requests += 1;
        if together.is_empty() {
            let header = parts.headers.get("webhook-id").and_then(|id| id.to_str().ok());
            let id = header.map(str::to_owned);
            return self.enter_delivery(&mut books, &parts, id, body, status);
        }
        for (id, body) in together {
            self.enter_delivery(&mut books, &parts, Some(id), &body, status);
        }
    }

    fn enter_delivery(&self, books: &mut Books, parts: &Parts, id: Option<String>, body: &Bytes, status: u16) {
        let mut hasher = DefaultHasher::new();
        match &id {
            Some(id) => id.hash(&mut hasher),
            None => (parts.uri.path(), body).hash(&mut hasher),
        }
        let hash = hasher.finish();
        let accepted = (200..300).contains(&status);
        let attempt = books.count(hash, accepted);
        if self.keep == 0 {
            return;
        }
        if books.latest.len() == self.keep {
            books.latest.pop_front();
        }
        let delivery = Delivery {
            id: id.unwrap_or_else(|| format!("body:{hash:016x}")),
            attempt,
            path: parts.uri.path().to_owned(),
            status,
            ms: u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX),
            // A copy, for the original would keep the connection's whole read buffer alive.
            body: Bytes::copy_from_slice(body),
            headers: parts.headers.clone(),
        };
        books.latest.push_back(delivery);
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Books {
    /// Counts one delivery and answers which attempt it was.
    fn count(&mut self, hash: u64, accepted: bool) -> u32 {
        self.counts.accepted += u64::from(accepted);
        self.counts.failed += u64::from(!accepted);
        if self.ids.len() >= MOST_IDS && !self.ids.contains_key(&hash) {
            self.counts.untracked += u64::from(accepted);
            return 1;
        }
        let seen = self.ids.entry(hash).or_default();
        seen.attempts = seen.attempts.saturating_add(1);
        if accepted {
            self.counts.distinct += u64::from(!seen.accepted);
            self.counts.duplicates += u64::from(seen.accepted);
            seen.accepted = true;
        }
        seen.attempts
    }
}
