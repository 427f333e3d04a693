//! What one request does beside HTTP: which server it trusts, whom it says it is, and where else it goes.

use std::sync::Arc;

use bytes::Bytes;
use holdfast::cli::sink::{Mode, Sink, SinkOptions};
use holdfast::config::Delivery;
use holdfast::domain::guard::Guard;
use holdfast::domain::ids::SubscriptionId;
use holdfast::domain::subscription::{ClientCertificate, Secret, Subscription, TrustedCertificate};
use holdfast::domain::units::Period;
use holdfast::domain::verdict::{Answer, Failure};
use holdfast::worker::catalog::Subscriber;
use holdfast::worker::sender::{Parcel, Sender};
use rstest::rstest;
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::support::certificates::Authority;
use crate::support::free_port;

/// Sends to this machine, where the subscribers of the tests are.
fn sender() -> Sender {
    let here = "127.0.0.0/8,::1".parse().unwrap();
    Sender::new(Delivery::default(), Guard::new(here, Default::default(), Vec::new()))
}

/// A server that `authority` vouches for, and that wants clients for whom `clients` vouches, where there is one.
async fn secure(authority: &Authority, clients: Option<&Authority>) -> u16 {
    let (certificate, key) = authority.server("localhost", |_| {});
    let chain: Vec<_> = CertificateDer::pem_slice_iter(certificate.as_bytes())
        .map(Result::unwrap)
        .collect();
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap();
    let config = match clients {
        None => config.with_no_client_auth(),
        Some(clients) => {
            let mut known = RootCertStore::empty();
            known
                .add(CertificateDer::from_pem_slice(clients.pem().as_bytes()).unwrap())
                .unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(known), provider);
            config.with_client_cert_verifier(verifier.build().unwrap())
        }
    };
    let acceptor = TlsAcceptor::from(Arc::new(config.with_single_cert(chain, key).unwrap()));
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let mut stream = acceptor.accept(stream).await.ok()?;
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n{}") {
                    if stream.read_buf(&mut request).await.ok()? == 0 {
                        return None;
                    }
                }
                let answer = b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n";
                stream.write_all(answer).await.ok()?;
                stream.shutdown().await.ok()
            });
        }
    });
    port
}

fn to(url: &str) -> Subscription {
    let id = SubscriptionId::new("s").unwrap();
    Subscription::new(id, url.parse().unwrap(), "2026-01-01T00:00:00Z".to_owned())
}

fn trusting(port: u16, authority: &Authority) -> Subscription {
    let mut to = to(&format!("https://localhost:{port}/"));
    to.certificates.push(TrustedCertificate {
        id: "1".to_owned(),
        pem: authority.pem(),
    });
    to
}

fn shown(id: &str, (pem, key): (String, String)) -> ClientCertificate {
    ClientCertificate {
        id: id.to_owned(),
        pem,
        key: Secret::new(key),
    }
}

fn parcel(number: u32) -> Parcel {
    Parcel {
        id: format!("s.0.1-{number}"),
        attempt: 1,
        events: 1,
        body: Bytes::from_static(b"{}"),
    }
}

fn subscriber(of: &Subscription) -> Subscriber {
    Subscriber::new(Arc::new(of.clone()), &Delivery::default(), None)
}

async fn send(sender: &Sender, to: &Subscription) -> Answer {
    sender.send(&subscriber(to), &parcel(0)).await
}

fn failure(answer: &Answer) -> Option<Failure> {
    match answer {
        Answer::None { failure, .. } => Some(*failure),
        Answer::Status { .. } => None,
    }
}

#[tokio::test]
async fn the_certificates_of_a_subscription_are_all_that_it_trusts() {
    let (one, other) = (Authority::new("one"), Authority::new("other"));
    let port = secure(&one, None).await;
    let sender = sender();
    let mut to = trusting(port, &one);
    assert_eq!(send(&sender, &to).await.status(), Some(204));
    to.certificates[0].pem = other.pem();
    assert_eq!(
        failure(&send(&sender, &to).await),
        Some(Failure::Tls),
        "replaced, with the same sender"
    );
    to.certificates[0].pem = format!("{}{}", other.pem(), one.pem());
    assert_eq!(send(&sender, &to).await.status(), Some(204), "a chain");
    to.certificates.clear();
    assert_eq!(failure(&send(&sender, &to).await), Some(Failure::Tls), "the system's");
    to.verify_certificate = false;
    assert_eq!(send(&sender, &to).await.status(), Some(204));
    to.verify_certificate = true;
    to.certificates = trusting(port, &one).certificates;
    to.certificates[0].pem = "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n".to_owned();
    let answer = send(&sender, &to).await;
    assert_eq!(failure(&answer), Some(Failure::Setup), "{answer:?}");
}

#[tokio::test]
async fn the_first_usable_client_certificate_is_shown() {
    let (servers, clients, strangers) = (
        Authority::new("servers"),
        Authority::new("clients"),
        Authority::new("strangers"),
    );
    let port = secure(&servers, Some(&clients)).await;
    let sender = sender();
    let mut to = trusting(port, &servers);
    let refused = send(&sender, &to).await;
    assert!(refused.status().is_none(), "nothing was shown: {refused:?}");
    to.client_certificates = vec![shown("1", strangers.server("client", |_| {}))];
    let refused = send(&sender, &to).await;
    assert!(refused.status().is_none(), "a stranger's: {refused:?}");
    let broken = shown("1", ("no certificate".to_owned(), "no key, c4n4ry".to_owned()));
    to.client_certificates = vec![broken.clone(), shown("2", clients.server("client", |_| {}))];
    assert_eq!(send(&sender, &to).await.status(), Some(204));
    to.client_certificates = vec![broken];
    let answer = send(&sender, &to).await;
    assert_eq!(failure(&answer), Some(Failure::Setup));
    assert!(!answer.describe().contains("c4n4ry"), "{}", answer.describe());
}

async fn sink(mode: &str) -> Sink {
    let options = SinkOptions {
        mode: mode.parse::<Mode>().unwrap(),
        ..SinkOptions::default()
    };
    Sink::start(options).await.unwrap()
}

#[rstest]
#[case::down("refuse", 200, 1)]
#[case::failing("500", 200, 1)]
#[case::silent("hang", 200, 1)]
#[case::cut("reset", 200, 1)]
#[case::refusing("404", 404, 0)]
#[case::busy("429:3", 429, 0)]
#[case::well("ok", 200, 0)]
#[tokio::test]
async fn backups_are_tried_where_the_destination_is_unavailable(
    #[case] mode: &str,
    #[case] status: u16,
    #[case] taken: u64,
) {
    let (first, second, third) = (sink(mode).await, sink("503").await, sink("ok").await);
    let mut to = to(&first.url("/a"));
    to.timeout = Some(Period(std::time::Duration::from_millis(500)));
    let nobody = format!("http://127.0.0.1:{}/", free_port());
    to.backup_destinations = [nobody, second.url("/b"), third.url("/c")]
        .map(|url| url.parse().unwrap())
        .into();
    let answer = send(&sender(), &to).await;
    assert_eq!(answer.status(), Some(status));
    assert_eq!(
        (second.counts().requests, third.counts().accepted),
        (taken, taken),
        "in order"
    );
}

#[tokio::test]
async fn what_a_backup_says_blames_nobody() {
    let (first, backup) = (sink("503").await, sink("404").await);
    let mut to = to(&first.url("/a"));
    to.backup_destinations = vec![backup.url("/b").parse().unwrap()];
    let answer = send(&sender(), &to).await;
    assert_eq!((answer.status(), backup.counts().requests), (Some(503), 1));
}

#[tokio::test]
async fn a_destination_that_hangs_is_not_waited_for_each_time() {
    let (first, backup) = (sink("hang").await, sink("ok").await);
    let mut of = to(&first.url("/a"));
    of.timeout = Some(Period(std::time::Duration::from_millis(300)));
    of.backup_destinations = vec![backup.url("/b").parse().unwrap()];
    let (sender, to) = (sender(), subscriber(&of));
    for number in 0..5 {
        assert_eq!(sender.send(&to, &parcel(number)).await.status(), Some(200));
    }
    assert_eq!((first.counts().requests, backup.counts().accepted), (1, 5));
    backup.set_mode("503".parse().unwrap()).await;
    let answer = sender.send(&to, &parcel(5)).await;
    assert_eq!(
        (failure(&answer), first.counts().requests),
        (Some(Failure::Timeout), 2),
        "then it is asked again"
    );
}
