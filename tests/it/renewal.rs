//! Certificates that are renewed under a running process, swapped as Kubernetes swaps a Secret: what is good is in
//! force without a restart, what is not is never taken, and no connection is dropped.

use std::sync::Arc;
use std::time::Duration;

use rcgen::date_time_ymd;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::engine::harness::{Deployment, SOON};
use crate::support::certificates::{Authority, Mounted};
use crate::support::{Holdfast, SHORT_TIMES, TestRedis, certificates, free_port, holds, login, wait_until};

const EVENT: &str = include_str!("../data/events/alert.json");

/// A certificate for `localhost` that ends with a year, and its key, as PEM.
fn ending(authority: &Authority, year: i32) -> (String, String) {
    authority.server("localhost", |server| server.not_after = date_time_ymd(year, 1, 1))
}

/// Midnight of the first of January, in seconds since the epoch.
fn new_year(year: i16) -> i64 {
    let day = jiff::civil::date(year, 1, 1);
    day.to_zoned(jiff::tz::TimeZone::UTC).unwrap().timestamp().as_second()
}

fn der(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
}

/// A new connection by a client that trusts this authority, and shows a certificate where it has one.
async fn connect(
    addr: &str,
    trusted: &Authority,
    shown: Option<&(String, String)>,
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(der(&trusted.pem())).unwrap();
    let config = ClientConfig::builder().with_root_certificates(roots);
    let config = match shown {
        None => config.with_no_client_auth(),
        Some((certificate, key)) => {
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
            config.with_client_auth_cert(vec![der(certificate)], key).unwrap()
        }
    };
    let socket = TcpStream::connect(addr).await?;
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, socket).await
}

/// The certificate that a new connection is shown.
async fn shown(addr: &str, trusted: &Authority) -> Option<CertificateDer<'static>> {
    let stream = connect(addr, trusted, None).await.ok()?;
    Some(stream.get_ref().1.peer_certificates()?.first()?.clone().into_owned())
}

/// Sends one event over a connection that stays open; the status of the answer.
async fn send(stream: &mut TlsStream<TcpStream>) -> std::io::Result<String> {
    let length = EVENT.len();
    let request = format!("POST /events/a HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n{EVENT}");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"{}") {
        let mut byte = [0];
        stream.read_exact(&mut byte).await?;
        answer.extend(byte);
    }
    Ok(String::from_utf8_lossy(&answer[9..12]).into_owned())
}

/// How many lines of a process' log have this in them.
fn said(pod: &Holdfast, words: &str) -> usize {
    pod.stderr().lines().filter(|line| line.contains(words)).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewed_certificate_is_shown_without_a_restart_and_a_bad_one_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let ours = Authority::new("ours");
    let pairs = [2040, 2041, 2042].map(|year| ending(&ours, year));
    let files = |pair: usize, key: usize| [("tls.crt", pairs[pair].0.as_str()), ("tls.key", pairs[key].1.as_str())];
    let mounted = Mounted::new(dir.path(), &files(0, 0));
    let (certificate, key) = (mounted.path("tls.crt"), mounted.path("tls.key"));
    let deployment = Deployment::start(
        1,
        &[
            ("HOLDFAST_INTAKE__CERTIFICATE", &certificate),
            ("HOLDFAST_INTAKE__KEY", &key),
            ("HOLDFAST_REDFISH__CERTIFICATE", &certificate),
            ("HOLDFAST_REDFISH__KEY", &key),
            ("HOLDFAST_REDFISH__ADMIN_PASSWORD", crate::redfish::PASSWORD),
            ("HOLDFAST_CERTIFICATES__CHECK", "20ms"),
        ],
    )
    .await;
    let pod = &deployment.pods[0];
    wait_until("it is ready", SOON, async || said(pod, r#""message":"ready""#) == 1).await;
    let (intake, redfish) = (pod.listener("intake").unwrap(), pod.listener("redfish").unwrap());
    let is_shown = async |what: &str, pair: usize| {
        wait_until(what, SOON, async || {
            let wanted = Some(der(&pairs[pair].0));
            shown(&intake, &ours).await == wanted && shown(&redfish, &ours).await == wanted
        })
        .await;
    };
    is_shown("the first is shown", 0).await;
    let mut kept = connect(&intake, &ours, None).await.unwrap();
    assert_eq!(send(&mut kept).await.unwrap(), "200");
    let stream = reqwest::Client::builder()
        .no_proxy()
        .tls_certs_only([reqwest::Certificate::from_pem(ours.pem().as_bytes()).unwrap()])
        .build()
        .unwrap();
    let url = format!(
        "https://localhost:{}/redfish/v1/EventService/SSE",
        redfish.rsplit_once(':').unwrap().1
    );
    let stream = stream
        .get(url)
        .basic_auth(crate::redfish::ADMIN, Some(crate::redfish::PASSWORD));
    let mut stream = stream.send().await.unwrap();
    assert!(stream.chunk().await.unwrap().is_some(), "it has begun");

    // Another one's key, then no key at all, then what is no certificate, then one that nobody would trust any more.
    mounted.swap(&files(1, 2));
    wait_until("both refuse it", SOON, async || said(pod, "KeyMismatch") == 2).await;
    mounted.swap(&files(1, 2)[..1]);
    wait_until("both miss the key", SOON, async || {
        said(pod, "tls.key: No such file") == 2
    })
    .await;
    mounted.swap(&[("tls.crt", "c4n4ry"), ("tls.key", &pairs[2].1)]);
    wait_until("both name the file", SOON, async || {
        said(pod, "it holds no certificate") == 2
    })
    .await;
    let over = ours.server("localhost", |server| {
        server.not_before = date_time_ymd(2000, 1, 1);
        server.not_after = date_time_ymd(2001, 1, 1);
    });
    mounted.swap(&[("tls.crt", &over.0), ("tls.key", &over.1)]);
    wait_until("both say when it ended", SOON, async || {
        said(pod, "ended already: 2001-01-01T00:00:00Z") == 2
    })
    .await;
    holds("each is said once", Duration::from_millis(300), async || {
        said(pod, "the one before stays in force") == 8
    })
    .await;
    is_shown("the first is shown still", 0).await;
    assert_eq!(
        said(pod, "c4n4ry") + said(pod, "PRIVATE"),
        0,
        "nothing of the files is told"
    );
    assert_eq!(said(pod, "2040-01-01T00:00:00Z"), 2 + 8, "it tells until when");

    mounted.swap(&files(2, 2));
    is_shown("the renewed one is shown", 2).await;
    assert_eq!(said(pod, "a renewed certificate is in force"), 2);
    assert_eq!(send(&mut kept).await.unwrap(), "200", "on the connection of before");
    let mut text = String::new();
    while text.matches("data: ").count() < 2 {
        let chunk = stream.chunk().await.unwrap().expect("the stream goes on");
        text.push_str(std::str::from_utf8(&chunk).unwrap());
    }
    let metrics = reqwest::get(format!("http://{}/metrics", pod.listener("admin").unwrap()))
        .await
        .unwrap();
    let metrics = metrics.text().await.unwrap();
    for certificate in ["intake", "redfish"] {
        let line = format!(
            "holdfast_certificate_not_after_seconds{{certificate=\"{certificate}\"}} {}",
            new_year(2042)
        );
        assert!(metrics.lines().any(|found| found == line), "{line}\n{metrics}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_are_judged_by_the_authorities_of_now() {
    let dir = tempfile::tempdir().unwrap();
    let (ours, old, new) = (Authority::new("ours"), Authority::new("old"), Authority::new("new"));
    let (certificate, key) = ending(&ours, 2040);
    let trusted = old.pem();
    let volume = Mounted::new(
        dir.path(),
        &[("tls.crt", &certificate), ("tls.key", &key), ("ca.crt", &trusted)],
    );
    let swap = |clients: &str| volume.swap(&[("tls.crt", &certificate), ("tls.key", &key), ("ca.crt", clients)]);
    let deployment = Deployment::start(
        1,
        &[
            ("HOLDFAST_INTAKE__CERTIFICATE", &volume.path("tls.crt")),
            ("HOLDFAST_INTAKE__KEY", &volume.path("tls.key")),
            ("HOLDFAST_INTAKE__CLIENT_CA", &volume.path("ca.crt")),
            ("HOLDFAST_CERTIFICATES__CHECK", "20ms"),
        ],
    )
    .await;
    let pod = &deployment.pods[0];
    wait_until("it listens", SOON, async || pod.listener("intake").is_some()).await;
    let intake = pod.listener("intake").unwrap();
    let (of_old, of_new) = (old.server("bmc-1", |_| {}), new.server("bmc-1", |_| {}));
    let takes = async |client: &(String, String)| match connect(&intake, &ours, Some(client)).await {
        Ok(mut stream) => send(&mut stream).await.is_ok_and(|status| status == "200"),
        Err(_) => false,
    };
    assert!(takes(&of_old).await && !takes(&of_new).await);
    swap(&(old.pem() + &new.pem()));
    wait_until("both are trusted", SOON, async || takes(&of_new).await).await;
    assert!(takes(&of_old).await);
    swap("nonsense");
    wait_until("it is refused", SOON, async || said(pod, "stays in force") == 1).await;
    assert!(takes(&of_old).await && takes(&of_new).await);
    swap(&new.pem());
    wait_until("the old one is trusted no more", SOON, async || !takes(&of_old).await).await;
    assert!(takes(&of_new).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_is_trusted_by_the_authorities_of_now() {
    let dir = tempfile::tempdir().unwrap();
    let (old, new) = (
        certificates(dir.path(), "old", "localhost", false),
        certificates(dir.path(), "new", "localhost", false),
    );
    let text = |path: &std::path::Path| std::fs::read_to_string(path).unwrap();
    let mounted = tempfile::tempdir().unwrap();
    let volume = Mounted::new(mounted.path(), &[("ca.crt", &text(&old.ca))]);
    let port = free_port().to_string();
    let server = [&old.ca, &old.certificate, &old.key].map(|path| path.display().to_string());
    let mut redis = TestRedis::with(&[
        "--tls-port",
        &port,
        "--tls-auth-clients",
        "no",
        "--tls-ca-cert-file",
        &server[0],
        "--tls-cert-file",
        &server[1],
        "--tls-key-file",
        &server[2],
    ]);
    let url = format!("rediss://{}localhost:{port}", login());
    let own = [
        ("HOLDFAST_REDIS__URL", url.as_str()),
        ("HOLDFAST_REDIS__CA_FILE", &volume.path("ca.crt")),
        ("HOLDFAST_CERTIFICATES__CHECK", "20ms"),
    ];
    let pod = Holdfast::start(&["serve"], &[SHORT_TIMES.as_slice(), own.as_slice()].concat());
    wait_until("it is ready", SOON, async || said(&pod, r#""message":"ready""#) == 1).await;
    let admin = pod.listener("admin").unwrap();
    // The server's certificate is now of an authority that the file does not have yet.
    for (of_old, of_new) in [(&old.certificate, &new.certificate), (&old.key, &new.key)] {
        std::fs::copy(of_new, of_old).unwrap();
    }
    redis.restart();
    let ready = async || {
        let answer = reqwest::get(format!("http://{admin}/readyz")).await.unwrap();
        answer.status() == 200
    };
    wait_until("it does not trust the server", SOON, async || !ready().await).await;
    holds("it does not", Duration::from_millis(500), async || !ready().await).await;
    volume.swap(&[("ca.crt", &text(&new.ca))]);
    wait_until("it trusts the server again", SOON, ready).await;
}
