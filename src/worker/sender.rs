//! One POST to a subscriber: one deadline over everything, and what the answer means.
//!
//! No redirect is followed, no proxy of the environment is used, and nothing is sent where the guard forbids it.
//! `clients.rs` makes the connections' side of that, `envelope.rs` the headers, `failure.rs` the meaning of no answer.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use reqwest::Url;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use tokio::time::Instant;

use super::catalog::Subscriber;
use super::clients::Clients;
use super::envelope::Envelope;
use super::failure::{failure, refused, setup};
use crate::config::Delivery;
use crate::domain::guard::Guard;
use crate::domain::subscription::Subscription;
use crate::domain::verdict::{Answer, Failure, Judgement};

/// At most this much of an answer's body is read, so that its connection can be used again.
const ANSWER_LIMIT: usize = 64 * 1024;

/// Sends deliveries.
#[derive(Debug)]
pub struct Sender {
    settings: Delivery,
    guard: Arc<Guard>,
    clients: Clients,
}

/// One message to a subscriber.
#[derive(Debug, Clone)]
pub struct Parcel {
    /// Its `webhook-id`: the same whenever the same is sent again.
    pub id: String,
    /// 1 for the first time.
    pub attempt: u32,
    /// How many events travel in it.
    pub events: usize,
    /// What is sent.
    pub body: Bytes,
}

/// What came of one request.
#[derive(Debug)]
pub struct Reply {
    /// What the subscriber answered, if it did.
    pub answer: Answer,
    /// The beginning of the answer's body, as far as it was to be kept.
    pub excerpt: Vec<u8>,
    /// The place of the backup that accepted where the destination did not.
    pub backup: Option<usize>,
}

impl Sender {
    /// A sender with these settings, that sends where `guard` allows it.
    #[must_use]
    pub fn new(settings: Delivery, guard: Guard) -> Self {
        let guard = Arc::new(guard);
        Self {
            clients: Clients::new(settings.clone(), Arc::clone(&guard)),
            settings,
            guard,
        }
    }

    /// Sends one message and waits for its whole answer, within the subscription's deadline. Where a backup accepted a
    /// moment ago, it is asked first.
    pub async fn send(&self, to: &Subscriber, parcel: &Parcel) -> Answer {
        let (of, envelope) = (&*to.subscription, to.envelope());
        let first = to
            .detour
            .at(Instant::now())
            .and_then(|at| of.backup_destinations.get(at));
        if let Some(backup) = first {
            let reply = self.exchange_with(of, backup, envelope, parcel, 0).await;
            if reply.answer.judge() == Judgement::Delivered {
                return reply.answer;
            }
            to.detour.end();
        }
        let reply = self.exchange(of, envelope, parcel, 0).await;
        if let Some(at) = reply.backup {
            to.detour.begin(at, Instant::now());
        }
        reply.answer
    }

    /// The same, keeping the beginning of what the subscriber says: at most `keep` bytes. Where the destination is
    /// unavailable its backups are tried, each with the whole deadline. One that accepts has it; whatever else they say
    /// changes nothing, since they answer for a destination that could not.
    pub async fn exchange(
        &self,
        to: &Subscription,
        envelope: Result<&Envelope, &String>,
        parcel: &Parcel,
        keep: usize,
    ) -> Reply {
        let first = self.exchange_with(to, &to.destination, envelope, parcel, keep).await;
        if first.answer.asks_for_backup() {
            for (at, backup) in to.backup_destinations.iter().enumerate() {
                let reply = self.exchange_with(to, backup, envelope, parcel, keep).await;
                if reply.answer.judge() == Judgement::Delivered {
                    return Reply {
                        backup: Some(at),
                        ..reply
                    };
                }
            }
        }
        first
    }

    async fn exchange_with(
        &self,
        to: &Subscription,
        destination: &Url,
        envelope: Result<&Envelope, &String>,
        parcel: &Parcel,
        keep: usize,
    ) -> Reply {
        let deadline = self.deadline(to);
        let mut excerpt = Vec::new();
        let exchange = async {
            let envelope = envelope.map_err(|reason| setup(reason.clone()))?;
            self.guard.judge(destination).map_err(|blocked| refused(&blocked))?;
            let client = self.clients.of(to).await.map_err(setup)?;
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
            let headers = envelope
                .headers(parcel, now.unwrap_or_default().as_secs())
                .map_err(setup)?;
            let request = client
                .post(destination.clone())
                .headers(headers)
                .body(parcel.body.clone());
            let response = request.send().await.map_err(|error| failure(&error))?;
            let answer = Answer::Status {
                code: response.status().as_u16(),
                retry_after: retry_after(response.headers(), SystemTime::now()),
            };
            read_to_end(response, keep, &mut excerpt).await?;
            Ok(answer)
        };
        let answer = match tokio::time::timeout(deadline, exchange).await {
            Ok(Ok(answer) | Err(answer)) => answer,
            Err(_) => Answer::None {
                failure: Failure::Timeout,
                detail: format!("no complete answer within {}ms", deadline.as_millis()),
            },
        };
        Reply {
            answer,
            excerpt,
            backup: None,
        }
    }

    /// The deadline of one request to this subscription, from connect to the last byte of the answer.
    #[must_use]
    pub fn deadline(&self, to: &Subscription) -> Duration {
        to.timeout.unwrap_or(self.settings.timeout).0
    }
}

/// Reads the rest of an answer, up to a limit, and keeps its first bytes. One that breaks off was not given: better
/// sent twice than lost.
async fn read_to_end(mut response: reqwest::Response, keep: usize, kept: &mut Vec<u8>) -> Result<(), Answer> {
    let mut read = 0;
    while let Some(chunk) = response.chunk().await.map_err(|error| failure(&error))? {
        read += chunk.len();
        kept.extend_from_slice(&chunk[..chunk.len().min(keep - kept.len())]);
        if read > ANSWER_LIMIT {
            break;
        }
    }
    Ok(())
}

/// `Retry-After` in seconds or as an HTTP date.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::header::HeaderValue;

    #[test]
    fn retry_after_is_read_in_both_forms() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        let read = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, HeaderValue::from_str(text).expect("a value"));
            retry_after(&headers, now)
        };
        assert_eq!(read("120"), Some(Duration::from_secs(120)));
        assert_eq!(read("Sun, 09 Sep 2001 01:47:10 GMT"), Some(Duration::from_secs(30)));
        assert_eq!(read("Sun, 09 Sep 2001 01:46:10 GMT"), Some(Duration::ZERO));
        assert_eq!(read("soon"), None);
        assert_eq!(read("-1"), None);
    }
}
