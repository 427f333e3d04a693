//! Who may send: tokens by source, certificates of clients, both, and files that can't be used.

use reqwest::{Certificate, Identity};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::TlsConnector;

use super::*;
use crate::support::certificates::Authority;

/// A token for a source and its line, as the verb makes them.
fn token(source: &str) -> (String, String) {
    let made = std::process::Command::new(env!("CARGO_BIN_EXE_holdfast"))
        .args(["intake-token", source])
        .output()
        .unwrap();
    let text = String::from_utf8(made.stdout).unwrap();
    let (token, line) = text.trim_end().split_once('\n').unwrap();
    (token.to_owned(), line.to_owned())
}

#[tokio::test]
async fn a_source_needs_its_own_token_where_there_is_a_file_of_them() {
    let redis = TestRedis::start();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("tokens");
    let (one, line) = token("bmc-1");
    let (rack, rack_line) = token("rack7-*");
    std::fs::write(&file, format!("{line}\n{rack_line}\n")).unwrap();
    assert!(!line.contains(&one), "the token itself is not kept");
    let mut config = config();
    config.intake.tokens_file = Some(file.clone());
    let api = serve(&config, &redis).await;
    let client = Client::builder().no_proxy().build().unwrap();
    let send = async |source: &str, header: &str, value: String| {
        let request = client.post(events(&api, source)).header(header, value);
        request.body(EVENT).send().await.unwrap()
    };
    let good = |token: &str| format!("Bearer {token}");
    for (source, header, value) in [
        ("bmc-1", "authorization", good(&one)),
        ("bmc-1", "x-auth-token", one.clone()),
        ("rack7-3", "authorization", good(&rack)),
    ] {
        assert_eq!(send(source, header, value).await.status(), 200, "{source}");
    }
    for (source, header, value) in [
        ("bmc-2", "authorization", good(&one)),
        ("bmc-1", "authorization", good(&rack)),
        ("bmc-1", "authorization", format!("Basic {one}")),
        ("bmc-1", "x-other", one.clone()),
    ] {
        let answer = send(source, header, value).await;
        assert_eq!(answer.headers()["www-authenticate"], "Bearer");
        let (status, code, message) = refusal(answer).await;
        assert_eq!((status, code.as_str()), (401, "unauthorized"), "{source} {header}");
        assert!(message.contains("X-Auth-Token") && !message.contains(&one), "{message}");
    }
    assert_eq!(length(&redis), 3);

    let (next, line) = token("bmc-1");
    std::fs::write(&file, format!("{line}\n")).unwrap();
    wait_until("the new token is in force", SOON, async || {
        send("bmc-1", "x-auth-token", next.clone()).await.status() == 200
    })
    .await;
    assert_eq!(
        send("bmc-1", "x-auth-token", one).await.status(),
        401,
        "the old one is not"
    );
}

/// Intake over TLS on a name of its own, with what its clients trust.
struct Tls {
    config: Config,
    server: Authority,
    clients: Authority,
    dir: tempfile::TempDir,
}

impl Tls {
    fn new() -> Self {
        let (server, clients) = (Authority::new("servers"), Authority::new("clients"));
        let dir = tempfile::tempdir().unwrap();
        let (certificate, key) = server.server("intake.test", |_| {});
        let write = |name: &str, text: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, text).unwrap();
            Some(path)
        };
        let mut config = config();
        config.intake.certificate = write("certificate.pem", &certificate);
        config.intake.key = write("key.pem", &key);
        config.intake.client_ca = write("clients.pem", &clients.pem());
        Self {
            config,
            server,
            clients,
            dir,
        }
    }

    /// The status of an event sent by a client with this identity, with a token or without.
    async fn send(&self, api: &Api, identity: Option<&Authority>, token: Option<&str>) -> reqwest::Result<u16> {
        let trusted = Certificate::from_pem(self.server.pem().as_bytes()).unwrap();
        let mut client = Client::builder()
            .no_proxy()
            .resolve("intake.test", intake(api))
            .tls_certs_only([trusted]);
        if let Some(authority) = identity {
            let (certificate, key) = authority.server("bmc-1", |_| {});
            client = client.identity(Identity::from_pem(format!("{certificate}{key}").as_bytes()).unwrap());
        }
        let url = format!("https://intake.test:{}/events/bmc-1", intake(api).port());
        let mut request = client.build().unwrap().post(url).body(EVENT);
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        Ok(request.send().await?.status().as_u16())
    }
}

#[tokio::test]
async fn a_client_shows_a_certificate_where_that_is_asked_for() {
    let redis = TestRedis::start();
    let tls = Tls::new();
    let api = serve(&tls.config, &redis).await;
    assert_eq!(tls.send(&api, Some(&tls.clients), None).await.unwrap(), 200);
    assert!(tls.send(&api, None, None).await.is_err(), "no certificate");
    assert!(
        tls.send(&api, Some(&Authority::new("clients")), None).await.is_err(),
        "of another authority"
    );
    assert!(
        !raw(intake(&api), b"POST /events/a HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}")
            .await
            .contains("200")
    );
    assert_eq!(tls.send(&api, Some(&tls.clients), None).await.unwrap(), 200);
    assert_eq!(length(&redis), 2);
}

#[tokio::test]
async fn where_both_are_asked_for_either_will_do() {
    let redis = TestRedis::start();
    let mut tls = Tls::new();
    let (good, line) = token("bmc-1");
    let file = tls.dir.path().join("tokens");
    std::fs::write(&file, line).unwrap();
    tls.config.intake.tokens_file = Some(file);
    let api = serve(&tls.config, &redis).await;
    assert_eq!(tls.send(&api, Some(&tls.clients), None).await.unwrap(), 200);
    assert_eq!(tls.send(&api, None, Some(&good)).await.unwrap(), 200);
    assert_eq!(tls.send(&api, None, Some("x")).await.unwrap(), 401);
    assert_eq!(tls.send(&api, None, None).await.unwrap(), 401);
    assert!(
        tls.send(&api, Some(&Authority::new("clients")), Some(&good))
            .await
            .is_err()
    );
}

#[tokio::test]
async fn a_file_that_can_not_be_used_stops_the_start_and_is_named() {
    let redis = TestRedis::start();
    let tls = Tls::new();
    let wrong = tls.dir.path().join("wrong");
    std::fs::write(&wrong, "c4n4ry").unwrap();
    let failure = async |edit: fn(&mut Config, std::path::PathBuf)| {
        let mut config = tls.config.clone();
        edit(&mut config, wrong.clone());
        let store = store(&config, &redis.url()).await;
        let admin = admin::start(&config.admin, metrics()).await.unwrap();
        let error = api::start(&config, store, admin, || Duration::ZERO).await.unwrap_err();
        error.to_string()
    };
    for (error, word) in [
        (
            failure(|config, wrong| config.intake.certificate = Some(wrong)).await,
            "__CERTIFICATE",
        ),
        (
            failure(|config, wrong| config.intake.key = Some(wrong)).await,
            "the key",
        ),
        (
            failure(|config, wrong| config.intake.client_ca = Some(wrong)).await,
            "the clients' authorities",
        ),
        (
            failure(|config, wrong| config.intake.tokens_file = Some(wrong)).await,
            "line 1",
        ),
    ] {
        assert!(error.contains("/wrong") && error.contains(word), "{error}");
        assert!(!error.contains("c4n4ry"), "{error}");
    }
}

#[tokio::test]
async fn who_closes_its_side_after_the_request_gets_the_answer() {
    let redis = TestRedis::start();
    let mut tls = Tls::new();
    tls.config.intake.client_ca = None;
    let api = serve(&tls.config, &redis).await;
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(tls.server.pem().as_bytes()).unwrap())
        .unwrap();
    let config = rustls::ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = TlsConnector::from(Arc::new(config));
    let length_of = EVENT.len();
    let request = format!("POST /events/a HTTP/1.1\r\nHost: x\r\nContent-Length: {length_of}\r\n\r\n{EVENT}");
    for n in 0..20 {
        let socket = TcpStream::connect(intake(&api)).await.unwrap();
        let name = ServerName::try_from("intake.test").unwrap();
        let mut stream = connector.connect(name, socket).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        stream.flush().await.unwrap();
        if n % 2 == 0 {
            // With a close_notify.
            stream.shutdown().await.unwrap();
        } else {
            // Without.
            stream.get_mut().0.shutdown().await.unwrap();
        }
        let mut answer = [0; 15];
        let read = tokio::time::timeout(SOON, stream.read_exact(&mut answer))
            .await
            .unwrap();
        assert!(read.is_ok(), "connection {n}: {read:?}");
        assert_eq!(answer, *b"HTTP/1.1 200 OK");
    }
    assert_eq!(length(&redis), 20);
}
