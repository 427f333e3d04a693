//! One POST to a subscriber: one deadline over everything, and what the answer means.
//!
//! No redirect is followed, no proxy of the environment is used, and nothing is sent where the guard forbids it. Clients
//! are shared by all subscribers with the same TLS settings, since each costs memory and time to build.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, Identity, Url};
use tokio::time::Instant;

use super::catalog::Subscriber;
use super::destinations::{self, Inspection, Resolver};
use super::envelope::Envelope;
use crate::config::Delivery;
use crate::domain::guard::{Blocked, Guard};
use crate::domain::subscription::Subscription;
use crate::domain::verdict::{Answer, Failure, Judgement};

/// At most this much of an answer's body is read, so that its connection can be used again.
const ANSWER_LIMIT: usize = 64 * 1024;
/// More clients than this are not kept: they are made again as they are needed.
const MOST_CLIENTS: usize = 256;

/// Sends deliveries.
#[derive(Debug)]
pub struct Sender {
    settings: Delivery,
    guard: Arc<Guard>,
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
    /// The place of the backup that accepted where the destination did not.
    pub backup: Option<usize>,
}

/// What makes a client different from another.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Tls {
    ca_file: Option<PathBuf>,
    /// When the file was changed last: one that was renewed makes a new client.
    changed: Option<SystemTime>,
    verify: bool,
    /// What its trusted certificates are.
    trusted: Option<[u8; 32]>,
    /// What its client certificates are.
    shown: Option<[u8; 32]>,
}

impl Sender {
    /// A sender with these settings, that sends where `guard` allows it.
    #[must_use]
    pub fn new(settings: Delivery, guard: Guard) -> Self {
        Self {
            settings,
            guard: Arc::new(guard),
            clients: Mutex::new(HashMap::new()),
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
            let client = self.client(to).await?;
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

    async fn client(&self, to: &Subscription) -> Result<Client, Answer> {
        let tls = Tls {
            ca_file: to.ca_file.clone(),
            changed: match &to.ca_file {
                Some(path) => tokio::fs::metadata(path).await.and_then(|file| file.modified()).ok(),
                None => None,
            },
            verify: to.verify_certificate,
            trusted: digest_of(to.certificates.iter().map(|trusted| trusted.pem.as_str())),
            shown: digest_of(to.client_certificates.iter().map(|shown| shown.pem.as_str())),
        };
        if let Some(client) = self.known().get(&tls) {
            return Ok(client.clone());
        }
        let client = self.build(&tls, to).await.map_err(setup)?;
        let mut clients = self.known();
        // Certificates are told apart by what they are: those that were replaced leave clients behind.
        if clients.len() >= MOST_CLIENTS {
            let any = clients.keys().next().cloned();
            any.map(|any| clients.remove(&any));
        }
        clients.retain(|known, _| known.ca_file != tls.ca_file || known.changed == tls.changed);
        clients.insert(tls, client.clone());
        Ok(client)
    }

    fn known(&self) -> MutexGuard<'_, HashMap<Tls, Client>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn build(&self, tls: &Tls, to: &Subscription) -> Result<Client, String> {
        let mut builder = Client::builder()
            .http1_only()
            .no_proxy()
            .redirect(Policy::none())
            .dns_resolver(Resolver(Arc::clone(&self.guard)))
            .connector_layer(Inspection(Arc::clone(&self.guard)))
            .connect_timeout(self.settings.connect_timeout.0)
            .pool_idle_timeout(self.settings.idle_connection.0)
            .tcp_nodelay(true)
            .user_agent(concat!("holdfast/", env!("CARGO_PKG_VERSION")));
        let mut trusted = Vec::new();
        for certificate in &to.certificates {
            let certificates = Certificate::from_pem_bundle(certificate.pem.as_bytes());
            trusted.extend(certificates.map_err(|error| {
                format!(
                    "the trusted certificate {:?} is no PEM: {error}; replace it",
                    certificate.id
                )
            })?);
        }
        if let Some(path) = &tls.ca_file {
            let pem = tokio::fs::read(path)
                .await
                .map_err(|error| format!("CA file {} can't be read on this worker: {error}", path.display()))?;
            let certificates = Certificate::from_pem_bundle(&pem)
                .map_err(|error| format!("CA file {} is no PEM bundle: {error}", path.display()))?;
            trusted.extend(certificates);
        }
        if tls.ca_file.is_some() || tls.trusted.is_some() {
            builder = builder.tls_certs_only(trusted);
        }
        if let Some(identity) = identity(to)? {
            builder = builder.identity(identity);
        }
        if !tls.verify {
            builder = builder.tls_danger_accept_invalid_certs(true);
        }
        builder.build().map_err(|error| {
            format!(
                "no TLS client could be made: {}; install the system's CA certificates or set a CA file, and look whether \
                 the keys of client certificates belong to them",
                chain(&error)
            )
        })
    }
}

/// What tells texts from others; `None` for none.
fn digest_of<'a>(texts: impl Iterator<Item = &'a str>) -> Option<[u8; 32]> {
    let all: Vec<&str> = texts.collect();
    if all.is_empty() {
        return None;
    }
    digest(&SHA256, all.join("\0").as_bytes()).as_ref().try_into().ok()
}

/// The first of its client certificates that can be used with its key.
fn identity(to: &Subscription) -> Result<Option<Identity>, String> {
    let mut problem = None;
    for certificate in &to.client_certificates {
        let key = certificate.key.reveal().map_err(|locked| locked.to_string());
        let identity = key.and_then(|key| {
            let both = format!("{}\n{key}\n", certificate.pem.trim_end());
            Identity::from_pem(both.as_bytes()).map_err(|error| chain(&error))
        });
        match identity {
            Ok(identity) => return Ok(Some(identity)),
            Err(error) => {
                problem = Some(format!(
                    "the client certificate {:?} can't be used: {error}",
                    certificate.id
                ))
            }
        }
    }
    problem.map_or(Ok(None), Err)
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

fn refused(blocked: &Blocked) -> Answer {
    Answer::None {
        failure: Failure::Blocked,
        detail: blocked.to_string(),
    }
}

fn failure(error: &reqwest::Error) -> Answer {
    if let Some(blocked) = destinations::blocked(error) {
        return refused(blocked);
    }
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
