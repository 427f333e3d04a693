//! Intake and health over real sockets, in front of a real Redis: what is answered 200 is in the stream.

mod access;
mod confirmed;
mod hostile;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use holdfast::api::{self, Api, StartError, admin, memory_guard::MemoryGuard};
use holdfast::config::Config;
use holdfast::domain::units::Period;
use holdfast::listener::ListenError;
use holdfast::store::Store;
use holdfast::store::connect::{Connection, FirstConnect};
use reqwest::{Client, Response, StatusCode};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::support::{Proxy, TestRedis, free_port, holds, metrics, wait_until};

const SOON: Duration = Duration::from_secs(10);
const STREAM: &str = "holdfast:{0}:events";
const EVENT: &str = include_str!("../../data/events/alert.json");

fn config() -> Config {
    let mut config = Config::default();
    config.intake.listen = SocketAddr::from(([127, 0, 0, 1], 0));
    config.admin.listen = config.intake.listen;
    config.intake.wait = Period::from_secs(5);
    config.intake.read_timeout = Period::from_secs(5);
    config
}

async fn store(config: &Config, url: &str) -> Arc<Store> {
    let connection = Connection::open(&config.redis, url, FirstConnect::FailFast)
        .await
        .unwrap();
    let store = Store::open(connection, &config.redis.prefix, Some(1)).await.unwrap();
    store.partitions()[0].ensure_groups().await.unwrap();
    Arc::new(store)
}

async fn serve_at(config: &Config, url: &str) -> Api {
    let store = store(config, url).await;
    let admin = admin::start(&config.admin, metrics()).await.unwrap();
    let api = api::start(config, store, admin, || Duration::ZERO).await.unwrap();
    api.set_ready();
    api
}

/// Intake whose Redis is away, which it has noticed.
async fn serve_and_lose(config: &Config, redis: &mut TestRedis) -> Arc<Api> {
    let store = store(config, &redis.url()).await;
    let admin = admin::start(&config.admin, metrics()).await.unwrap();
    let api = api::start(config, Arc::clone(&store), admin, || Duration::ZERO);
    let api = Arc::new(api.await.unwrap());
    redis.kill9();
    wait_until("the loss is noticed", SOON, async || !store.connection().is_connected()).await;
    api
}

async fn serve(config: &Config, redis: &TestRedis) -> Api {
    serve_at(config, &redis.url()).await
}

fn intake(api: &Api) -> SocketAddr {
    api.intake_addr.unwrap()
}

fn events(api: &Api, source: &str) -> String {
    format!("http://{}/events/{source}", api.intake_addr.unwrap())
}

async fn post(api: &Api, body: impl Into<reqwest::Body>) -> Response {
    let client = Client::builder().no_proxy().build().unwrap();
    client.post(events(api, "bmc-1")).body(body).send().await.unwrap()
}

/// Status, and what the JSON error says.
async fn refusal(answer: Response) -> (u16, String, String) {
    let status = answer.status();
    assert_eq!(answer.headers()["content-type"], "application/json");
    assert_eq!(
        answer.headers().contains_key("retry-after"),
        status == StatusCode::SERVICE_UNAVAILABLE
    );
    let body: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    let text = |name: &str| body["error"][name].as_str().unwrap().to_owned();
    (status.as_u16(), text("code"), text("message"))
}

/// Sends bytes as they are, and reads until the other side closes.
async fn raw(addr: SocketAddr, request: &[u8]) -> String {
    let mut socket = TcpStream::connect(addr).await.unwrap();
    socket.write_all(request).await.unwrap();
    read_to_end(&mut socket).await
}

async fn read_to_end(socket: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    tokio::time::timeout(SOON, socket.read_to_end(&mut answer))
        .await
        .unwrap()
        .unwrap();
    String::from_utf8(answer).unwrap()
}

fn length(redis: &TestRedis) -> u64 {
    redis.cli(&["XLEN", STREAM]).parse().unwrap()
}

#[tokio::test]
async fn an_accepted_event_is_answered_as_controllers_want_it() {
    let redis = TestRedis::start();
    let api = serve(&config(), &redis).await;
    let request = format!(
        "POST /events/bmc-7:1@dc HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{EVENT}",
        EVENT.len()
    );
    let answer = raw(api.intake_addr.unwrap(), request.as_bytes()).await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let head = head.to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 200 ok\r\n"), "{head}");
    assert!(head.contains("\r\ncontent-length: 2"), "{head}");
    assert!(head.contains("\r\ncontent-type: application/json"), "{head}");
    assert!(!head.contains("transfer-encoding"), "{head}");
    assert_eq!(body, "{}");

    let entry = redis.cli(&["XRANGE", STREAM, "-", "+"]);
    let entry: Vec<&str> = entry.splitn(3, '\n').collect();
    assert_eq!(entry[1], "event");
    assert!(entry[2].starts_with(EVENT), "{entry:?}");
    let rest: Vec<&str> = entry[2][EVENT.len()..].trim().split('\n').collect();
    assert_eq!((rest[0], rest[1], rest[2]), ("source", "bmc-7:1@dc", "received_at"));
    rest[3].parse::<jiff::Timestamp>().unwrap();
}

#[tokio::test]
async fn whatever_controllers_send_is_kept_byte_by_byte() {
    let redis = TestRedis::start();
    let api = serve(&config(), &redis).await;
    let samples = [
        EVENT.to_owned(),
        format!("\u{feff}{EVENT}"),
        r#"{"Events":[{"MessageId":"\\x.1.0.ÄÖ🦀\"","Oem":{"b":1,"a":[ 1 , 2 ]}}]}"#.to_owned(),
        format!(r#"{{"Events":[],"pad":"{}"}}"#, "x".repeat(900_000)),
    ];
    let client = Client::builder().no_proxy().build().unwrap();
    for (count, sample) in samples.iter().enumerate() {
        let request = client
            .post(events(&api, "bmc"))
            .header("content-type", "text/plain; charset=klingon");
        assert_eq!(request.body(sample.clone()).send().await.unwrap().status(), 200);
        let entry = redis.cli(&["XREVRANGE", STREAM, "+", "-", "COUNT", "1"]);
        assert!(
            entry.contains(&format!("\nevent\n{sample}\nsource\nbmc\n")),
            "sample {count}"
        );
    }
    // In chunks, one byte each.
    let mut request =
        b"POST /events/c HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for byte in EVENT.as_bytes() {
        request.extend_from_slice(b"1\r\n");
        request.push(*byte);
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"0\r\n\r\n");
    assert!(
        raw(api.intake_addr.unwrap(), &request)
            .await
            .starts_with("HTTP/1.1 200")
    );
    let entry = redis.cli(&["XREVRANGE", STREAM, "+", "-", "COUNT", "1"]);
    assert!(entry.contains(&format!("\nevent\n{EVENT}\nsource\nc\n")));
    assert_eq!(length(&redis), 5);
}

#[tokio::test]
async fn hostile_payloads_get_a_clear_refusal_and_disturb_nothing() {
    let redis = TestRedis::start();
    let api = serve(&config(), &redis).await;
    let deep = format!("{}{}", r#"{"a":"#.repeat(2_000), "}".repeat(2_000));
    let huge = format!(r#"{{"Events":[],"pad":"{}"}}"#, "x".repeat(3 << 20));
    let samples: [(&str, &[u8], u16, &str); 15] = [
        ("empty", b"", 400, "empty"),
        ("blank", b" \r\n\t", 400, "empty"),
        ("truncated", &EVENT.as_bytes()[..EVENT.len() / 2], 400, "line"),
        (
            "NUL inside",
            b"{\"Events\":[{\"MessageId\":\"a\0b\"}]}",
            400,
            "line 1 column",
        ),
        ("NUL behind", b"{}\0", 400, "goes on after its end"),
        (
            "lone surrogate",
            br#"{"Events":[{"Message":"\ud800"}]}"#,
            400,
            "surrogate",
        ),
        (
            "two documents",
            br#"{"Events":[]} {"Events":[]}"#,
            400,
            "goes on after its end, at line 1 column 15",
        ),
        ("deep", deep.as_bytes(), 400, "nests deeper"),
        ("too large", huge.as_bytes(), 413, "larger than 1048576 bytes"),
        (
            "latin-1",
            b"{\"Events\":[{\"Message\":\"M\xfcller\"}]}",
            400,
            "not UTF-8 at line 1 column",
        ),
        (
            "an array",
            br#"[{"Events":[]}]"#,
            400,
            "the message is an array; send one event",
        ),
        ("a string", br#""event""#, 400, "a string"),
        ("a form", b"event=1&x=2", 400, "the message is not JSON; send one event"),
        ("Events twice", br#"{"Events":[],"Events":[{}]}"#, 400, "twice"),
        ("UTF-16", b"\xff\xfe{\0}\0", 400, "not UTF-8"),
    ];
    for (name, body, status, says) in samples {
        let (got, code, message) = refusal(post(&api, body.to_vec()).await).await;
        assert_eq!(got, status, "{name}: {message}");
        assert_eq!(code, if status == 413 { "too_large" } else { "malformed" }, "{name}");
        assert!(message.contains(says), "{name}: {message}");
        assert_eq!(post(&api, EVENT).await.status(), 200, "after {name}");
    }
    let mut chunked = b"POST /events/a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for _ in 0..40 {
        chunked.extend_from_slice(format!("10000\r\n{}\r\n", " ".repeat(64 << 10)).as_bytes());
    }
    chunked.extend_from_slice(b"0\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    let answers = raw(api.intake_addr.unwrap(), &chunked).await;
    assert!(answers.starts_with("HTTP/1.1 413"), "{answers}");
    assert!(
        answers.contains("HTTP/1.1 404"),
        "the connection is still good: {answers}"
    );
    assert_eq!(length(&redis), 15);
}

#[tokio::test]
async fn paths_methods_and_sources_that_are_not_ours() {
    let redis = TestRedis::start();
    let api = serve(&config(), &redis).await;
    let client = Client::builder().no_proxy().build().unwrap();
    for source in ["a%20b", "a%2fb", "%ff", "%00", "ä", &"x".repeat(129)] {
        let answer = client.post(events(&api, source)).body("{}").send().await.unwrap();
        assert_eq!(refusal(answer).await.0, 400, "{source}");
    }
    for path in ["/", "/events", "/events/", "/events/a/b", "/metrics"] {
        let url = format!("http://{}{path}", api.intake_addr.unwrap());
        let answer = client.post(url).body("{}").send().await.unwrap();
        assert_eq!(refusal(answer).await.0, 404, "{path}");
    }
    let answer = client.get(events(&api, "a")).send().await.unwrap();
    assert_eq!(answer.headers()["allow"], "POST");
    assert_eq!(refusal(answer).await.1, "method_not_allowed");
    assert_eq!(length(&redis), 0);
}

#[tokio::test]
async fn a_pause_of_redis_is_waited_out() {
    let redis = TestRedis::start();
    let api = Arc::new(serve(&config(), &redis).await);
    redis.pause();
    let shared = Arc::clone(&api);
    let posting = tokio::spawn(async move { post(&shared, EVENT).await.status() });
    holds(
        "nothing is answered before Redis has the event",
        Duration::from_millis(500),
        async || !posting.is_finished(),
    )
    .await;
    redis.resume();
    assert_eq!(posting.await.unwrap(), 200);
    assert_eq!(length(&redis), 1);
}

#[tokio::test]
async fn a_restart_of_redis_is_waited_out() {
    let mut redis = TestRedis::start();
    let mut config = config();
    config.intake.wait = Period::from_secs(20);
    config.redis.command_timeout = Period::from_secs(1);
    let api = serve_and_lose(&config, &mut redis).await;
    let shared = Arc::clone(&api);
    let posting = tokio::spawn(async move { post(&shared, EVENT).await.status() });
    holds(
        "it waits longer than a command may take",
        Duration::from_millis(2_500),
        async || !posting.is_finished(),
    )
    .await;
    redis.restart();
    assert_eq!(posting.await.unwrap(), 200);
    assert_eq!(length(&redis), 1);
}

#[tokio::test]
async fn who_waits_too_long_or_among_too_many_is_told_to_come_back() {
    let mut redis = TestRedis::start();
    let mut config = config();
    config.intake.wait = Period::from_secs(3);
    config.intake.max_waiting = 1;
    let api = serve_and_lose(&config, &mut redis).await;
    let started = Instant::now();
    let mut asking = JoinSet::new();
    for _ in 0..2 {
        let api = Arc::clone(&api);
        asking.spawn(async move { refusal(post(&api, EVENT).await).await });
    }
    let (status, code, _) = asking.join_next().await.unwrap().unwrap();
    assert_eq!((status, code.as_str()), (503, "overloaded"));
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    let (status, code, _) = asking.join_next().await.unwrap().unwrap();
    assert_eq!((status, code.as_str()), (503, "redis"));
    assert!(started.elapsed() >= Duration::from_secs(3), "{:?}", started.elapsed());
}

#[tokio::test]
async fn bytes_that_wait_are_bounded() {
    let redis = TestRedis::start();
    let mut config = config();
    config.intake.max_waiting_bytes = holdfast::domain::units::Size(1 << 20);
    let api = Arc::new(serve(&config, &redis).await);
    let body = format!(r#"{{"Events":[],"pad":"{}"}}"#, "x".repeat(600 << 10));
    redis.pause();
    let mut asking = JoinSet::new();
    for _ in 0..2 {
        let (api, body) = (Arc::clone(&api), body.clone());
        asking.spawn(async move { post(&api, body).await });
    }
    let refused = asking.join_next().await.unwrap().unwrap();
    assert_eq!(refusal(refused).await.1, "overloaded");
    redis.resume();
    assert_eq!(asking.join_next().await.unwrap().unwrap().status(), 200);
    wait_until("the bytes are free again", SOON, async || {
        post(&api, body.clone()).await.status() == 200
    })
    .await;
}

#[tokio::test]
async fn a_lost_answer_of_redis_is_not_guessed() {
    let redis = TestRedis::start();
    let proxy = Proxy::to(redis.port()).await;
    let api = serve_at(&config(), &proxy.url()).await;
    proxy.swallow_reply("XADD", 0);
    let (status, code, _) = refusal(post(&api, EVENT).await).await;
    assert_eq!((status, code.as_str()), (503, "redis"));
    assert_eq!(proxy.swallowed(), 1);
    assert_eq!(length(&redis), 1, "it was written once, and not again from here");
    wait_until("the next one is taken in", SOON, async || {
        post(&api, EVENT).await.status() == 200
    })
    .await;
}

#[tokio::test]
async fn at_the_memory_limit_senders_are_told_to_come_back() {
    let redis = TestRedis::start();
    let api = serve(&config(), &redis).await;
    redis.config_set("maxmemory", "1");
    for _ in 0..3 {
        let (status, code, _) = refusal(post(&api, EVENT).await).await;
        assert_eq!((status, code.as_str()), (503, "memory"));
    }
    assert_eq!(length(&redis), 0);
    redis.config_set("maxmemory", "0");
    wait_until("there is room again", SOON, async || {
        post(&api, EVENT).await.status() == 200
    })
    .await;
}

#[tokio::test]
async fn the_guard_refuses_before_redis_does() {
    let redis = TestRedis::start();
    let config = config();
    let guard = MemoryGuard::new(store(&config, &redis.url()).await, &config.intake);
    let used: u64 = redis
        .cli(&["INFO", "memory"])
        .lines()
        .find_map(|line| line.strip_prefix("used_memory:")?.trim().parse().ok())
        .unwrap();
    for (limit, admits) in [(used * 10, true), (used * 10 / 9, false), (used * 10, true)] {
        redis.config_set("maxmemory", &limit.to_string());
        guard.step().await.unwrap();
        assert_eq!(guard.admits(), admits, "{used} of {limit}");
    }
}

#[tokio::test]
async fn much_that_is_taken_in_makes_the_guard_look_at_once() {
    let redis = TestRedis::start();
    let config = config();
    let guard = Arc::new(MemoryGuard::new(store(&config, &redis.url()).await, &config.intake));
    redis.config_set("maxmemory", "1mb");
    let stop = CancellationToken::new();
    let watching = tokio::spawn(Arc::clone(&guard).run(stop.clone()));
    wait_until("the loop looked", SOON, async || !guard.admits()).await;
    redis.config_set("maxmemory", "1000mb");
    wait_until(
        "it looks every second when there is little left",
        Duration::from_secs(3),
        async || guard.admits(),
    )
    .await;
    redis.config_set("maxmemory", "1mb");
    guard.took(9 << 20);
    guard.took(2 << 20);
    wait_until("it looks long before its time", Duration::from_secs(3), async || {
        !guard.admits()
    })
    .await;
    stop.cancel();
    watching.await.unwrap();
}

#[tokio::test]
async fn slow_and_idle_clients_are_cut_off() {
    let redis = TestRedis::start();
    let mut config = config();
    config.intake.read_timeout = Period::from_millis(300);
    let api = serve(&config, &redis).await;
    // An unfinished head, and nothing at all.
    for head in ["POST /events/a HTTP/1.1\r\nHost: ", ""] {
        let started = Instant::now();
        raw(api.intake_addr.unwrap(), head.as_bytes()).await;
        assert!(started.elapsed() >= Duration::from_millis(250), "{head:?}");
    }
    // An unfinished body.
    let answer = raw(
        api.intake_addr.unwrap(),
        b"POST /events/a HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{\"Ev",
    )
    .await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    // A connection that idles after its answer.
    let mut socket = TcpStream::connect(api.intake_addr.unwrap()).await.unwrap();
    socket
        .write_all(b"POST /events/a HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}")
        .await
        .unwrap();
    assert!(read_to_end(&mut socket).await.starts_with("HTTP/1.1 200"));
    assert_eq!(post(&api, EVENT).await.status(), 200);
}

#[tokio::test]
async fn the_client_may_close_its_side_after_the_request() {
    let redis = TestRedis::start();
    let api = serve(&config(), &redis).await;
    let mut socket = TcpStream::connect(api.intake_addr.unwrap()).await.unwrap();
    socket
        .write_all(b"POST /events/a HTTP/1.0\r\nContent-Length: 2\r\n\r\n{}")
        .await
        .unwrap();
    socket.shutdown().await.unwrap();
    assert!(read_to_end(&mut socket).await.starts_with("HTTP/1.0 200"));
    assert_eq!(length(&redis), 1);
}

#[tokio::test]
async fn a_taken_port_is_named_with_its_variable() {
    let redis = TestRedis::start();
    let running = serve(&config(), &redis).await;
    let mut taken = config();
    taken.intake.listen = running.intake_addr.unwrap();
    let admin = admin::start(&taken.admin, metrics()).await.unwrap();
    let store = store(&taken, &redis.url()).await;
    let error = api::start(&taken, store, admin, || Duration::ZERO).await.unwrap_err();
    let StartError::Listen(ListenError { addr, .. }) = &error else {
        panic!("{error}");
    };
    assert_eq!(*addr, running.intake_addr.unwrap());
    assert!(error.to_string().contains("HOLDFAST_INTAKE__LISTEN"), "{error}");
    taken.admin.listen = running.admin_addr;
    let error = admin::start(&taken.admin, metrics()).await.unwrap_err();
    assert!(error.to_string().contains("HOLDFAST_ADMIN__LISTEN"), "{error}");
}

#[tokio::test]
async fn stopping_finishes_what_is_being_answered() {
    let redis = TestRedis::start();
    let api = serve(&config(), &redis).await;
    let addr = api.intake_addr.unwrap();
    let mut idle = TcpStream::connect(addr).await.unwrap();
    let idle_request = b"POST /events/idle HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}";
    idle.write_all(idle_request).await.unwrap();
    idle.readable().await.unwrap();
    let mut busy = TcpStream::connect(addr).await.unwrap();
    let head = b"POST /events/busy HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n";
    busy.write_all(head).await.unwrap();
    let mut go_on = [0; 25];
    busy.read_exact(&mut go_on).await.unwrap();
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    redis.pause();
    busy.write_all(b"{}").await.unwrap();
    api.set_not_ready();
    let stopping = tokio::spawn(api.stop(Duration::from_secs(20)));
    assert!(
        read_to_end(&mut idle).await.starts_with("HTTP/1.1 200"),
        "the idle one is closed"
    );
    wait_until("nothing new is accepted", SOON, async || {
        TcpStream::connect(addr).await.is_err()
    })
    .await;
    assert!(!stopping.is_finished(), "one request is still being answered");
    redis.resume();
    assert!(read_to_end(&mut busy).await.starts_with("HTTP/1.1 200"));
    stopping.await.unwrap();
    assert_eq!(length(&redis), 2);
}

#[tokio::test]
async fn stopping_does_not_wait_beyond_its_deadline() {
    let redis = TestRedis::start();
    let api = serve(&config(), &redis).await;
    let mut slow = TcpStream::connect(api.intake_addr.unwrap()).await.unwrap();
    slow.write_all(b"POST /events/a HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{")
        .await
        .unwrap();
    assert_eq!(post(&api, EVENT).await.status(), 200);
    let started = Instant::now();
    api.stop(Duration::from_millis(300)).await;
    assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
    assert!(!read_to_end(&mut slow).await.contains("200"));
}

#[tokio::test]
async fn health_says_what_is_wrong() {
    let redis = TestRedis::start();
    let config = config();
    let admin = admin::start(&config.admin, metrics()).await.unwrap();
    let admin_addr = admin.addr();
    let get = async |path: &str| {
        let answer = reqwest::get(format!("http://{admin_addr}{path}")).await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    assert_eq!(get("/livez").await.0, 200);
    assert_eq!(
        get("/readyz").await,
        (503, r#"{"status":"not ready","reason":"starting"}"#.to_owned())
    );

    let silence = Arc::new(std::sync::atomic::AtomicU64::new(0));
    let silent = Arc::clone(&silence);
    let store = store(&config, &redis.url()).await;
    let api = api::start(&config, Arc::clone(&store), admin, move || {
        Duration::from_secs(silent.load(std::sync::atomic::Ordering::Relaxed))
    })
    .await
    .unwrap();
    assert!(get("/readyz").await.1.contains("starting"));
    api.set_ready();
    assert_eq!(get("/readyz").await, (200, r#"{"status":"ready"}"#.to_owned()));

    redis.cli(&["XGROUP", "DESTROY", "holdfast:{0}:redeliveries", "workers"]);
    assert!(get("/readyz").await.1.contains("group is missing"));
    store.partitions()[0].ensure_groups().await.unwrap();
    assert_eq!(get("/readyz").await.0, 200);

    redis.pause();
    assert!(get("/readyz").await.1.contains("Redis does not answer in time"));
    assert_eq!(get("/livez").await.0, 200, "Redis is not this process");
    redis.resume();
    wait_until("ready again", SOON, async || get("/readyz").await.0 == 200).await;

    silence.store(31, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(get("/livez").await.0, 503);
    api.set_not_ready();
    assert!(get("/readyz").await.1.contains("shutting down"));
    assert_eq!(post(&api, EVENT).await.status(), 200, "intake goes on");
}

#[tokio::test]
async fn metrics_are_served_and_count_what_was_taken_and_refused() {
    let redis = TestRedis::start();
    let api = serve(&config(), &redis).await;
    assert_eq!(post(&api, EVENT).await.status(), 200);
    assert_eq!(post(&api, "[]").await.status(), 400);
    let answer = reqwest::get(format!("http://{}/metrics", api.admin_addr))
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(
        answer.headers()["content-type"],
        "text/plain; version=0.0.4; charset=utf-8"
    );
    let text = answer.text().await.unwrap();
    for sample in [
        "holdfast_events_accepted_total ",
        "holdfast_intake_refused_total{reason=\"malformed\"} ",
    ] {
        let value = text.lines().find_map(|line| line.strip_prefix(sample));
        assert!(value.is_some_and(|value| value != "0"), "{sample}\n{text}");
    }
    let unused = format!("http://127.0.0.1:{}/", free_port());
    assert!(
        reqwest::get(unused).await.is_err(),
        "a proxy answers in place of the listeners"
    );
}
