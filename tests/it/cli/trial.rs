//! `subscriptions test`, step by step, against real TLS servers and badly behaved subscribers; and the rotation of
//! keys, as the receiver of a test sees it.

use std::sync::Arc;

use holdfast::cli::sink::{Mode, Sink, SinkOptions};
use holdfast::domain::signature::Signer;
use rstest::rstest;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::run::{CANARY, Cli, Ran};
use crate::support::{Certificates, TestRedis, certificates, free_port};

/// Runs the verb away from the runtime, on which the subscriber lives.
async fn ran(cli: &Arc<Cli>, arguments: &[&str]) -> Ran {
    let (cli, arguments) = (
        Arc::clone(cli),
        arguments.iter().map(ToString::to_string).collect::<Vec<_>>(),
    );
    tokio::task::spawn_blocking(move || cli.run(&arguments.iter().map(String::as_str).collect::<Vec<_>>()))
        .await
        .unwrap()
}

/// Adds a subscription with these arguments and tests it.
async fn tested(cli: &Arc<Cli>, arguments: &[&str]) -> Ran {
    let add = ran(cli, &[&["subscriptions", "add"], arguments].concat()).await.ok();
    let id = add.lines().next().unwrap().to_owned();
    let tested = ran(cli, &["subscriptions", "test", &id]).await;
    for text in [&tested.out, &tested.err] {
        assert!(!text.contains(CANARY) && !text.contains('\u{1b}'), "{text}");
    }
    tested
}

/// What failed, and what was said before it.
#[track_caller]
fn fails_at(ran: Ran, step: &str, words: &[&str]) {
    let failed = ran.out.lines().find(|line| line.starts_with("FAIL"));
    assert!(
        failed.is_some_and(|line| line.starts_with(&format!("FAIL  {step}"))),
        "{}",
        ran.out
    );
    for word in words {
        assert!(ran.out.contains(word), "no {word:?} in {}", ran.out);
    }
    assert!(ran.out.contains("what to do"), "{}", ran.out);
    ran.fails(&[&format!("step: {step}")]);
}

/// A subscriber that speaks TLS and answers every request with `answer`.
async fn secure(files: &Certificates, answer: &'static str) -> u16 {
    let chain: Vec<_> = CertificateDer::pem_file_iter(&files.certificate)
        .unwrap()
        .map(Result::unwrap)
        .collect();
    let key = PrivateKeyDer::from_pem_file(&files.key).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(connection).await else {
                    return;
                };
                let mut request = vec![0; 16 << 10];
                // A look at the certificate sends nothing.
                if stream.read(&mut request).await.is_ok_and(|length| length > 0) {
                    let _gone = stream.write_all(answer.as_bytes()).await;
                    let _closed = stream.shutdown().await;
                }
            });
        }
    });
    port
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}";

#[rstest]
#[case::trusted("ours", "localhost", false, "localhost", &[], None)]
#[case::wrong_authority("other", "localhost", false, "localhost", &[], Some(("trust", "holds the authority")))]
#[case::expired("ours", "localhost", true, "localhost", &[], Some(("trust", "has expired")))]
#[case::wrong_name("ours", "siem.example", false, "localhost", &[], Some(("trust", "names the host")))]
#[case::not_verified("other", "localhost", true, "localhost", &["--no-verify"], None)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_is_shown_and_judged(
    #[case] trusted: &str,
    #[case] named: &str,
    #[case] expired: bool,
    #[case] host: &str,
    #[case] options: &[&str],
    #[case] fails: Option<(&str, &str)>,
) {
    let redis = TestRedis::start();
    let cli = Arc::new(Cli::of(&redis));
    let files = certificates(cli.path(), "ours", named, expired);
    let other = certificates(cli.path(), "other", named, false);
    let port = secure(&files, OK).await;
    let url = format!("https://{host}:{port}/events");
    let ca = if trusted == "ours" { &files.ca } else { &other.ca };
    let ca = format!("--ca-file={}", ca.display());
    let trust = if options.is_empty() {
        vec![ca.as_str()]
    } else {
        options.to_vec()
    };
    let ran = tested(&cli, &[&[url.as_str()], trust.as_slice()].concat()).await;
    let until = if expired { "until 2001-01-01" } else { "until 4096" };
    for word in [
        "TLS 1.3",
        &format!("of CN={named}, issued by CN=ours"),
        &format!("for {named};"),
        until,
    ] {
        assert!(ran.out.contains(word), "no {word:?} in {}", ran.out);
    }
    match fails {
        Some((step, advice)) => fails_at(ran, step, &[advice]),
        None => {
            let how = if options.is_empty() {
                "verified by the authorities in"
            } else {
                "NOT verified"
            };
            let out = ran.ok();
            assert!(
                out.contains(how) && out.contains("HTTP 200: deliveries arrive"),
                "{out}"
            );
        }
    }
    assert_eq!(redis.cli(&["KEYS", "holdfast:{*"]), "", "a test leaves no trace");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_step_that_fails_is_named() {
    let redis = TestRedis::start();
    let cli = Arc::new(Cli::of(&redis));
    let plain = Sink::start(SinkOptions::default()).await.unwrap();
    let closed = format!("http://127.0.0.1:{}/", free_port());
    let https = plain.url("/").replace("http:", "https:");
    for (arguments, step, words) in [
        (
            &["http://no-such-host.invalid/"][..],
            "name",
            &["no-such-host.invalid", "resolver"][..],
        ),
        (&[&closed], "connect", &["Connection refused", "firewall"]),
        (
            &[&https, "--no-verify"],
            "tls",
            &["no TLS could be agreed on", "plain HTTP"],
        ),
    ] {
        fails_at(tested(&cli, arguments).await, step, words);
    }
    let files = certificates(cli.path(), "ours", "localhost", false);
    let port = secure(&files, OK).await;
    let missing = tested(
        &cli,
        &[&format!("https://localhost:{port}/"), "--ca-file=/absent/ca.pem"],
    )
    .await;
    fails_at(
        missing,
        "request",
        &["CA file /absent/ca.pem can't be read", "on every worker"],
    );

    for (mode, step, words) in [
        (Mode::Status(503), "answer", &["HTTP 503", "parked"][..]),
        (Mode::Status(404), "answer", &["HTTP 404", "refuses", "check the path"]),
        (Mode::Status(410), "answer", &["HTTP 410", "suspend"]),
        (Mode::Hang, "answer", &["no complete answer within 500ms", "--timeout"]),
        (Mode::Garbage, "answer", &["log"]),
    ] {
        plain.set_mode(mode).await;
        let ran = tested(&cli, &[&plain.url("/"), "--timeout=500ms"]).await;
        fails_at(ran, step, words);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_is_shown_without_what_is_secret_or_steers_a_terminal() {
    let redis = TestRedis::start();
    let cli = Arc::new(Cli::of(&redis));
    let files = certificates(cli.path(), "ours", "localhost", false);
    let answer =
        "HTTP/1.1 401 Unauthorized\r\nConnection: close\r\n\r\n\u{1b}[31mno token c4n4ry-token for token=c4n4ry";
    let port = secure(&files, answer).await;
    let ran = tested(
        &cli,
        &[
            &format!("https://localhost:{port}/?token=c4n4ry"),
            &format!("--ca-file={}", files.ca.display()),
            "--header=Authorization: Bearer c4n4ry-token",
        ],
    )
    .await;
    fails_at(
        ran,
        "answer",
        &["HTTP 401", "[31mno token •••••• for ••••••", "Authorization"],
    );
}

/// The signatures of the latest request, each as good or bad under `key`.
fn signed(sink: &Sink, key: &str) -> Vec<bool> {
    let deliveries = sink.deliveries();
    let last = deliveries.last().unwrap();
    let header = |name: &str| last.headers[name].to_str().unwrap().to_owned();
    let right = Signer::new(key).unwrap().sign(
        &header("webhook-id"),
        header("webhook-timestamp").parse().unwrap(),
        &last.body,
    );
    header("webhook-signature")
        .split(' ')
        .map(|given| given == right)
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replaced_key_signs_on_for_as_long_as_was_asked() {
    let redis = TestRedis::start();
    let cli = Arc::new(Cli::of(&redis));
    let sink = Sink::start(SinkOptions::default()).await.unwrap();
    let url = sink.url("/");
    let added = ran(&cli, &["subscriptions", "add", &url, "--generate-secret"])
        .await
        .ok();
    let (id, old) = added.trim().split_once('\n').unwrap();
    let test = ["subscriptions", "test", id];
    ran(&cli, &test).await.ok();
    assert_eq!(signed(&sink, old), [true]);
    let last = sink.deliveries().pop().unwrap();
    assert!(last.id.starts_with(&format!("{id}.test.")), "{}", last.id);
    assert!(String::from_utf8_lossy(&last.body).contains("TestMessage"));

    let update = ["subscriptions", "update", id, "--generate-secret", "--secret-grace=1h"];
    let new = ran(&cli, &update).await.ok();
    ran(&cli, &test).await.ok();
    assert_eq!(signed(&sink, new.trim()), [true, false]);
    assert_eq!(signed(&sink, old), [false, true]);
    let shown = ran(&cli, &["subscriptions", "show", id]).await.ok();
    assert!(
        shown.contains("with the key before it as well") && !shown.contains(&old[6..]),
        "{shown}"
    );

    // The time is over.
    let json = redis.cli(&["HGET", "holdfast:subscriptions", id]);
    let (before, rest) = json.split_once(r#""until":"#).unwrap();
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap();
    let json = format!(r#"{before}"until":1{}"#, &rest[digits..]);
    redis.cli(&["HSET", "holdfast:subscriptions", id, &json]);
    ran(&cli, &test).await.ok();
    assert_eq!(signed(&sink, new.trim()), [true]);

    let update = ["subscriptions", "update", id, "--generate-secret"];
    let newest = ran(&cli, &update).await.ok();
    ran(&cli, &test).await.ok();
    assert_eq!(
        signed(&sink, newest.trim()),
        [true],
        "without a grace the old key is gone at once"
    );
    assert!(
        !redis
            .cli(&["HGET", "holdfast:subscriptions", id])
            .contains("previous_secret")
    );
    ran(&cli, &["subscriptions", "update", id, "--clear=secret"]).await.ok();
    ran(&cli, &test).await.ok();
    assert!(
        !sink
            .deliveries()
            .last()
            .unwrap()
            .headers
            .contains_key("webhook-signature")
    );
}
