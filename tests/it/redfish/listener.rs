//! TLS: given certificates, clients that speak something else, clients that say nothing.

use std::time::Duration;

use reqwest::{Certificate, Client, Method};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::{Pod, config_of, settings, store};
use crate::support::{TestRedis, certificates, wait_until};

const SOON: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_given_certificate_is_shown_and_verified() {
    let redis = TestRedis::start();
    let dir = tempfile::tempdir().unwrap();
    let files = certificates(dir.path(), "authority", "localhost", false);
    let mut shown = settings();
    shown.certificate = Some(files.certificate);
    shown.key = Some(files.key);
    let pod = Pod::with(&redis, &shown).await;
    let authority = Certificate::from_pem(&std::fs::read(files.ca).unwrap()).unwrap();
    let client = Client::builder()
        .no_proxy()
        .tls_certs_only([authority])
        .build()
        .unwrap();
    let url = format!("https://localhost:{}/redfish", pod.service.addr().port());
    assert_eq!(
        client.get(url).send().await.unwrap().text().await.unwrap(),
        r#"{"v1":"/redfish/v1/"}"#
    );
    assert_eq!(
        redis
            .cli(&["HEXISTS", "holdfast:{redfish}:settings", "certificate"])
            .trim(),
        "0",
        "none was made"
    );
}

#[tokio::test]
async fn a_key_of_another_certificate_is_named() {
    let redis = TestRedis::start();
    let dir = tempfile::tempdir().unwrap();
    let one = certificates(dir.path(), "one", "localhost", false);
    let other = certificates(dir.path(), "other", "localhost", false);
    let mut shown = settings();
    shown.certificate = Some(one.certificate);
    shown.key = Some(other.key);
    let error = holdfast::redfish::start(&config_of(&shown), store(&redis).await)
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("HOLDFAST_REDFISH__KEY"), "{error}");
    assert!(!error.contains("PRIVATE KEY"), "{error}");
}

#[tokio::test]
async fn who_speaks_no_tls_or_nothing_bothers_nobody() {
    let redis = TestRedis::start();
    let pod = Pod::start(&redis).await;
    let addr = pod.service.addr();
    let mut silent = Vec::new();
    for _ in 0..64 {
        silent.push(TcpStream::connect(addr).await.unwrap());
    }
    let mut plain = TcpStream::connect(addr).await.unwrap();
    plain
        .write_all(b"GET /redfish HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    let mut answer = Vec::new();
    let ended = tokio::time::timeout(SOON, plain.read_to_end(&mut answer)).await;
    assert!(ended.is_ok(), "the connection is closed");
    assert!(!answer.starts_with(b"HTTP"), "nothing is said in the clear");
    let served = pod.request(Method::GET, "/redfish").timeout(SOON).send().await.unwrap();
    assert_eq!(served.status(), 200, "others are served meanwhile");
    // Handshakes that never end don't hold up the stop.
    pod.service.stop(Instant::now() + SOON).await;
    for mut socket in silent {
        let mut nothing = [0; 1];
        let ended = tokio::time::timeout(SOON, socket.read(&mut nothing)).await;
        assert!(matches!(ended, Ok(Ok(0) | Err(_))), "{ended:?}");
    }
}

#[tokio::test]
async fn one_client_can_not_have_all_connections() {
    let redis = TestRedis::start();
    let mut few = settings();
    few.max_connections_per_client = 2;
    let pod = Pod::with(&redis, &few).await;
    let held = [
        TcpStream::connect(pod.service.addr()).await.unwrap(),
        TcpStream::connect(pod.service.addr()).await.unwrap(),
    ];
    let mut third = TcpStream::connect(pod.service.addr()).await.unwrap();
    let closed = tokio::time::timeout(SOON, third.read(&mut [0; 1])).await;
    assert!(matches!(closed, Ok(Ok(0) | Err(_))), "{closed:?}");
    drop(held);
    wait_until("its places are free again", SOON, async || {
        pod.request(Method::GET, "/redfish").send().await.is_ok()
    })
    .await;
}
