//! One POST to a subscriber: one deadline over everything, and what the answer means.
//!
//! No redirect is followed and no proxy of the environment is used. Clients are shared by all subscribers
//! with the same TLS settings, since each costs memory and time to build.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client};

use super::catalog::Subscriber;
use super::envelope::Envelope;
use crate::config::Delivery;
use crate::domain::subscription::Subscription;
use crate::domain::verdict::{Answer, Failure};

/// At most this much of an answer's body is read, so that its connection can be used again.
const ANSWER_LIMIT: usize = 64 * 1024;

/// Sends deliveries.
#[derive(Debug)]
pub struct Sender {
    settings: Delivery,
    clients: Mutex<HashMap<Tls, Client>>,
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
}

/// What makes a client different from another.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Tls {
    ca_file: Option<PathBuf>,
    /// When the file was changed last: one that was renewed makes a new client.
    changed: Option<SystemTime>,
    verify: bool,
}

impl Sender {
    /// A sender with these settings.
    #[must_use]
    pub fn new(settings: Delivery) -> Self {
        Self {
            settings,
            clients: Mutex::new(HashMap::new()),
        }
    }

    /// Sends one message and waits for its whole answer, within the subscription's deadline.
    pub async fn send(&self, to: &Subscriber, parcel: &Parcel) -> Answer {
        self.exchange(&to.subscription, to.envelope(), parcel, 0).await.answer
    }

    /// The same, keeping the beginning of what the subscriber says: at most `keep` bytes.
    pub async fn exchange(
        &self,
        to: &Subscription,
        envelope: Result<&Envelope, &String>,
        parcel: &Parcel,
        keep: usize,
    ) -> Reply {
        let deadline = self.deadline(to);
        let mut excerpt = Vec::new();
        let exchange = async {
            let envelope = envelope.map_err(|reason| setup(reason.clone()))?;
            let client = self.client(to).await?;
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
            let headers = envelope
                .headers(parcel, now.unwrap_or_default().as_secs())
                .map_err(setup)?;
            let request = client
                .post(to.destination.clone())
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
        Reply { answer, excerpt }
    }

    /// The deadline of one request to this subscription, from connect to the last byte of the answer.
    #[must_use]
    pub fn deadline(&self, to: &Subscription) -> Duration {
        to.timeout.unwrap_or(self.settings.timeout).0
    }

    async fn client(&self, to: &Subscription) -> Result<Client, Answer> {
        let tls = Tls {
            ca_file: to.ca_file.clone(),
            changed: match &to.ca_file {
                Some(path) => tokio::fs::metadata(path).await.and_then(|file| file.modified()).ok(),
                None => None,
            },
            verify: to.verify_certificate,
        };
        if let Some(client) = self.known().get(&tls) {
            return Ok(client.clone());
        }
        let client = self.build(&tls).await.map_err(setup)?;
        let mut clients = self.known();
        clients
            .retain(|known, _| known.ca_file.is_none() || known.ca_file != tls.ca_file || known.verify != tls.verify);
        clients.insert(tls, client.clone());
        Ok(client)
    }

    fn known(&self) -> MutexGuard<'_, HashMap<Tls, Client>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn build(&self, tls: &Tls) -> Result<Client, String> {
        let mut builder = Client::builder()
            .http1_only()
            .no_proxy()
            .redirect(Policy::none())
            .connect_timeout(self.settings.connect_timeout.0)
            .pool_idle_timeout(self.settings.idle_connection.0)
            .tcp_nodelay(true)
            .user_agent(concat!("holdfast/", env!("CARGO_PKG_VERSION")));
        if let Some(path) = &tls.ca_file {
            let pem = tokio::fs::read(path)
                .await
                .map_err(|error| format!("CA file {} can't be read on this worker: {error}", path.display()))?;
            let certificates = Certificate::from_pem_bundle(&pem)
                .map_err(|error| format!("CA file {} is no PEM bundle: {error}", path.display()))?;
            builder = builder.tls_certs_only(certificates);
        }
        if !tls.verify {
            builder = builder.tls_danger_accept_invalid_certs(true);
        }
        builder.build().map_err(|error| {
            format!(
                "no TLS client could be made: {}; install the system's CA certificates or set a CA file",
                chain(&error)
            )
        })
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

fn setup(detail: String) -> Answer {
    Answer::None {
        failure: Failure::Setup,
        detail,
    }
}

fn failure(error: &reqwest::Error) -> Answer {
    let detail = chain(error);
    let failure = if error.is_timeout() {
        Failure::Timeout
    } else if detail.contains("dns error") || detail.contains("failed to lookup") {
        Failure::Name
    } else if is_tls(error) {
        Failure::Tls
    } else if error.is_connect() {
        Failure::Connect
    } else {
        Failure::Broken
    };
    Answer::None { failure, detail }
}

fn is_tls(error: &reqwest::Error) -> bool {
    let text = chain(error);
    ["certificate", "tls", "TLS", "handshake", "InvalidContentType"]
        .iter()
        .any(|word| text.contains(word))
}

/// The causes of an error, without the URL: its query may hold a secret.
fn chain(error: &reqwest::Error) -> String {
    let mut causes = Vec::new();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let text = cause.to_string();
        let says_nothing = text.starts_with("client error (") || text == "tcp connect error";
        if !says_nothing && causes.last() != Some(&text) {
            causes.push(text);
        }
        source = cause.source();
    }
    if causes.is_empty() {
        return "the request failed".to_owned();
    }
    causes.join(": ")
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
