//! How Redis is reached: every kind of URL, restarts, lost replies, silent peers.

use std::time::{Duration, Instant};

use fred::clients::Client;
use fred::error::ErrorKind;
use fred::prelude::{ClientLike, KeysInterface, StreamsInterface};
use holdfast::config;
use holdfast::domain::units::Period;
use holdfast::store::connect::{Connection, FirstConnect};
use holdfast::store::error::StoreError;
use secrecy::SecretString;

use crate::support::{Proxy, TestRedis, free_port, wait_until};

const SOON: Duration = Duration::from_secs(10);

fn settings() -> config::Redis {
    config::Redis {
        command_timeout: Period::from_millis(500),
        ..config::Redis::default()
    }
}

async fn open(url: &str) -> Connection {
    Connection::open(&settings(), url, FirstConnect::FailFast)
        .await
        .unwrap()
}

async fn ping(client: &Client) -> bool {
    client.ping::<String>(None).await.is_ok_and(|answer| answer == "PONG")
}

#[tokio::test]
async fn a_restarted_server_is_found_again() {
    let mut redis = TestRedis::start();
    let connection = open(&redis.url()).await;
    let reader = connection.dedicated("reader").await.unwrap();
    connection
        .client()
        .set::<(), _, _>("holdfast:kept", 1, None, None, false)
        .await
        .unwrap();

    redis.restart();
    wait_until("the pool answers", SOON, async || ping(connection.client()).await).await;
    wait_until("the reader answers", SOON, async || ping(&reader).await).await;
    assert_eq!(connection.client().get::<i64, _>("holdfast:kept").await.unwrap(), 1);
    connection.quit().await;
}

#[tokio::test]
async fn an_outage_fails_commands_in_time() {
    let mut redis = TestRedis::start();
    let connection = open(&redis.url()).await;
    redis.kill9();
    wait_until("the loss is noticed", SOON, async || !connection.is_connected()).await;
    let start = Instant::now();
    let error = connection
        .client()
        .get::<Option<String>, _>("holdfast:x")
        .await
        .unwrap_err();
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    assert!(StoreError::command("get")(error).is_disconnected());
}

#[tokio::test]
async fn failing_fast_is_fast_and_says_where() {
    let port = free_port();
    let start = Instant::now();
    let url = format!("redis://user:s3cret@127.0.0.1:{port}");
    let Err(error) = Connection::open(&settings(), &url, FirstConnect::FailFast).await else {
        panic!("nobody listens on {port}")
    };
    assert!(start.elapsed() < Duration::from_secs(2));
    assert!(matches!(error, StoreError::Connect { .. }));
    let message = error.to_string();
    assert!(message.contains(&port.to_string()), "{message}");
    assert!(
        !message.contains("s3cret") && !format!("{error:?}").contains("s3cret"),
        "{message}"
    );
}

#[tokio::test]
async fn a_server_that_comes_late_is_waited_for() {
    let mut redis = TestRedis::start();
    redis.kill9();
    let connection = Connection::open(&settings(), &redis.url(), FirstConnect::KeepTrying)
        .await
        .unwrap();
    let reader = connection.dedicated("reader").await.unwrap();
    assert!(!connection.is_connected());
    redis.restart();
    tokio::time::timeout(SOON, connection.connected()).await.unwrap();
    assert!(ping(connection.client()).await);
    wait_until("the reader answers", SOON, async || ping(&reader).await).await;
}

#[tokio::test]
async fn a_lost_reply_never_repeats_a_command() {
    let redis = TestRedis::start();
    let proxy = Proxy::to(redis.port()).await;
    let connection = open(&proxy.url()).await;
    proxy.swallow_reply("XADD", 0);
    let added = connection
        .client()
        .xadd::<String, _, _, _, _>("holdfast:events", false, None::<()>, "*", ("event", "{}"))
        .await;
    assert!(StoreError::command("add")(added.unwrap_err()).is_disconnected());
    assert_eq!(proxy.swallowed(), 1);
    wait_until("the pool answers", SOON, async || ping(connection.client()).await).await;
    assert_eq!(redis.cli(&["XLEN", "holdfast:events"]), "1");
}

#[tokio::test]
async fn what_a_silent_server_was_sent_may_have_been_done() {
    let redis = TestRedis::start();
    let connection = open(&redis.url()).await;
    // Without a timeout of its own, so that the command ends with its connection.
    let client = connection.dedicated("writer").await.unwrap();
    redis.pause();
    let added = client
        .xadd::<String, _, _, _, _>("holdfast:events", false, None::<()>, "*", ("event", "{}"))
        .await;
    let error = StoreError::command("add")(added.unwrap_err());
    assert!(error.is_disconnected(), "{error}");
    redis.resume();
    wait_until("it was done", SOON, async || {
        redis.cli(&["XLEN", "holdfast:events"]) == "1"
    })
    .await;
}

#[tokio::test]
async fn a_silent_peer_is_dropped_under_steady_traffic() {
    let redis = TestRedis::start();
    let proxy = Proxy::to(redis.port()).await;
    let connection = open(&proxy.url()).await;
    let reader = connection.dedicated("reader").await.unwrap();
    let before = proxy.accepted();
    proxy.freeze();
    wait_until("every connection is new", SOON, async || {
        let _lost = ping(connection.client()).await;
        proxy.accepted() >= before * 2
    })
    .await;
    wait_until("the pool answers", SOON, async || ping(connection.client()).await).await;
    wait_until("the reader answers", SOON, async || ping(&reader).await).await;
}

#[tokio::test]
async fn a_demoted_master_is_left() {
    let (redis, other) = (TestRedis::start(), TestRedis::start());
    let proxy = Proxy::to(redis.port()).await;
    let connection = open(&proxy.url()).await;
    let before = proxy.accepted();
    redis.cli(&["REPLICAOF", "127.0.0.1", &other.port().to_string()]);
    let set = async || {
        connection
            .client()
            .set::<(), _, _>("holdfast:x", 1, None, None, false)
            .await
    };
    let error = StoreError::command("set")(set().await.unwrap_err());
    assert!(error.is_transient(), "{error}");
    wait_until("the connection is made anew", SOON, async || proxy.accepted() > before).await;
    redis.cli(&["REPLICAOF", "NO", "ONE"]);
    wait_until("writes work again", SOON, async || set().await.is_ok()).await;
}

#[tokio::test]
async fn a_full_buffer_in_an_outage_is_survived() {
    let mut redis = TestRedis::start();
    let connection = open(&redis.url()).await;
    redis.pause();
    let mut burst = tokio::task::JoinSet::new();
    for _ in 0..40_000 {
        let client = connection.client().clone();
        burst.spawn(async move { client.get::<Option<String>, _>("holdfast:x").await });
    }
    redis.restart();
    while burst.join_next().await.is_some() {}
    wait_until("the pool answers", SOON, async || ping(connection.client()).await).await;
    assert!(
        ping(connection.client()).await && ping(connection.client()).await,
        "both of the pool"
    );
}

#[tokio::test]
async fn a_read_blocks_longer_than_a_command_may_take() {
    let redis = TestRedis::start();
    let connection = open(&redis.url()).await;
    let reader = connection.dedicated("reader").await.unwrap();
    redis.cli(&["XGROUP", "CREATE", "holdfast:events", "workers", "0", "MKSTREAM"]);
    let late = async {
        redis.pause();
        wait_until("a command times out", SOON, async || {
            let answer = connection.client().get::<Option<String>, _>("holdfast:x").await;
            answer.is_err_and(|error| *error.kind() == ErrorKind::Timeout)
        })
        .await;
        redis.resume();
        redis.cli(&["XADD", "holdfast:events", "*", "event", "{}"])
    };
    let read = reader.xreadgroup::<fred::types::Value, _, _, _, _>(
        "workers",
        "w",
        None,
        Some(10_000),
        false,
        "holdfast:events",
        ">",
    );
    let (read, id) = tokio::join!(read, late);
    // Either the read itself survived the pause, or its connection was dropped and the entry is still there.
    match read {
        Ok(entries) => assert!(format!("{entries:?}").contains(&id)),
        Err(error) => assert!(StoreError::command("read")(error).is_disconnected()),
    }
    assert_eq!(redis.cli(&["XLEN", "holdfast:events"]), "1");
}

#[tokio::test]
async fn sockets_names_and_passwords() {
    let redis = TestRedis::with(&["--requirepass", "s3cret"]);
    let with_password = config::Redis {
        password: Some(SecretString::from("s3cret")),
        ..settings()
    };
    for url in [
        redis.admin_url(),
        redis.socket().display().to_string(),
        format!("redis+unix://{}", redis.socket().display()),
    ] {
        let connection = Connection::open(&with_password, &url, FirstConnect::FailFast)
            .await
            .unwrap();
        wait_until("the connection is named", SOON, async || {
            redis
                .cli(&["-a", "s3cret", "--no-auth-warning", "CLIENT", "LIST"])
                .contains("name=holdfast-0")
        })
        .await;
        connection.quit().await;
        assert!(!connection.is_connected());
    }
    let Err(error) = Connection::open(&settings(), &redis.admin_url(), FirstConnect::FailFast).await else {
        panic!("it needs a password")
    };
    assert!(error.is_permission(), "{error}");
    assert!(error.to_string().contains("HOLDFAST_REDIS__PASSWORD"), "{error}");
}

#[tokio::test]
async fn quitting_does_not_wait_for_a_dead_server() {
    let mut redis = TestRedis::start();
    let connection = open(&redis.url()).await;
    let _reader = connection.dedicated("reader").await.unwrap();
    redis.kill9();
    let start = Instant::now();
    connection.quit().await;
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}
