//! Clients that are slow, greedy or wrong get a clear refusal, or none, and disturb nobody.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use tokio::net::TcpSocket;

use super::*;

/// One more byte of a slow request; false once the connection is closed.
async fn drip(socket: &mut TcpStream, byte: &[u8]) -> bool {
    tokio::time::sleep(Duration::from_millis(20)).await;
    let closed = async { matches!(socket.read(&mut [0; 256]).await, Ok(0) | Err(_)) };
    if tokio::time::timeout(Duration::from_millis(1), closed).await == Ok(true) {
        return false;
    }
    socket.write_all(byte).await.is_ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_drips_a_head_or_a_body_is_cut_off_while_others_are_served() {
    let redis = TestRedis::start();
    let mut config = config();
    config.intake.read_timeout = Period::from_millis(500);
    let api = serve(&config, &redis).await;
    let mut drippers = JoinSet::new();
    for n in 0..40 {
        let addr = intake(&api);
        drippers.spawn(async move {
            let mut socket = TcpStream::connect(addr).await.unwrap();
            let (head, byte): (&[u8], &[u8]) = if n % 2 == 0 {
                (b"POST /events/slow HTTP/1.1\r\nHost: x\r\nX-Slow: ", b"a")
            } else {
                (
                    b"POST /events/slow HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n",
                    b" ",
                )
            };
            socket.write_all(head).await.unwrap();
            while drip(&mut socket, byte).await {}
        });
    }
    let mut served = 0;
    while drippers.try_join_next().is_none() {
        assert_eq!(post(&api, EVENT).await.status(), 200);
        served += 1;
    }
    let all = async { while drippers.join_next().await.is_some() {} };
    tokio::time::timeout(Duration::from_secs(40), all)
        .await
        .expect("none is heard for ever");
    assert!(served > 0);
    assert_eq!(length(&redis), served);
}

#[tokio::test]
async fn heads_that_are_too_large_or_no_http_get_a_4xx() {
    let redis = TestRedis::start();
    let api = serve(&config(), &redis).await;
    let head = |extra: String| format!("POST /events/a HTTP/1.1\r\nHost: x\r\n{extra}Content-Length: 2\r\n\r\n{{}}");
    let many: String = (0..200).map(|n| format!("X-{n}: y\r\n")).collect();
    let long = format!("X-Long: {}\r\n", "x".repeat(1 << 20));
    let path = format!("POST /events/{} HTTP/1.1\r\nHost: x\r\n\r\n", "x".repeat(1 << 20));
    for (name, request, status) in [
        ("many headers", head(many), "431"),
        ("a long header", head(long), "431"),
        ("a long path", path, "4"),
        ("no HTTP", "\u{16}\u{3}\u{1} hello\r\n\r\n".to_owned(), "400"),
        ("a wrong length", head("Content-Length: 3\r\n".to_owned()), "400"),
        (
            "length and chunks",
            head("Transfer-Encoding: chunked\r\n".to_owned()),
            "400",
        ),
        (
            "a negative length",
            "POST /events/a HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n".to_owned(),
            "400",
        ),
    ] {
        let mut socket = TcpStream::connect(intake(&api)).await.unwrap();
        let _as_far_as_it_is_read = socket.write_all(request.as_bytes()).await;
        let mut answer = [0; 16];
        let read = tokio::time::timeout(SOON, socket.read(&mut answer))
            .await
            .unwrap()
            .unwrap_or(0);
        let answer = String::from_utf8_lossy(&answer[..read]);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{name}: {answer:?}");
        assert_eq!(post(&api, EVENT).await.status(), 200, "after {name}");
    }
    assert_eq!(length(&redis), 7);
}

/// What is accepted and what is refused of the collection of odd payloads, where it lies beside this directory.
#[tokio::test]
async fn odd_payloads_from_the_collection_are_taken_or_refused_clearly() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/redfish/events/synthetic");
    let Ok(files) = std::fs::read_dir(&directory) else {
        println!("skipped: there is no {}", directory.display());
        return;
    };
    let redis = TestRedis::start();
    let api = Arc::new(serve(&config(), &redis).await);
    let mut statuses = Vec::new();
    for file in files {
        let path = file.unwrap().path();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let body = std::fs::read(&path).unwrap();
        let other = Arc::clone(&api);
        let meanwhile = tokio::spawn(async move { post(&other, EVENT).await.status() });
        let answer = post(&api, body).await;
        let status = answer.status().as_u16();
        if status == 200 {
            assert_eq!(answer.text().await.unwrap(), "{}", "{name}");
        } else {
            let (_, code, message) = refusal(answer).await;
            assert!(!code.is_empty() && message.len() > 10, "{name}: {message}");
        }
        assert_eq!(meanwhile.await.unwrap(), 200, "beside {name}");
        statuses.push((name, status));
    }
    statuses.sort();
    let refused: Vec<(&str, u16)> = statuses
        .iter()
        .filter(|(_, status)| *status != 200)
        .map(|(name, status)| (name.as_str(), *status))
        .collect();
    assert_eq!(
        refused,
        [
            ("empty-body", 400),
            ("large-1-2MiB", 413),
            ("latin1-byte", 400),
            ("raw-control-char", 400),
            ("top-level-array", 400),
            ("trailing-comma", 400),
            ("truncated", 400),
        ]
    );
}

async fn connect_from(address: Ipv4Addr, to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from((address, 0))).unwrap();
    socket.connect(to).await.unwrap()
}

/// Status line of an event sent over this connection; empty when it is closed instead.
async fn send(socket: &mut TcpStream) -> String {
    let _closed = socket
        .write_all(b"POST /events/a HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}")
        .await;
    let mut answer = [0; 512];
    let read = tokio::time::timeout(SOON, socket.read(&mut answer))
        .await
        .unwrap()
        .unwrap_or(0);
    let answer = String::from_utf8_lossy(&answer[..read]).into_owned();
    answer.lines().next().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn one_client_can_not_have_all_connections() {
    let redis = TestRedis::start();
    let mut config = config();
    config.intake.read_timeout = Period::from_secs(60);
    config.intake.max_connections_per_client = 3;
    let api = serve(&config, &redis).await;
    let (greedy, modest) = (Ipv4Addr::new(127, 0, 0, 2), Ipv4Addr::new(127, 0, 0, 3));
    let mut held = Vec::new();
    for _ in 0..3 {
        let mut socket = connect_from(greedy, intake(&api)).await;
        assert_eq!(send(&mut socket).await, "HTTP/1.1 200 OK");
        held.push(socket);
    }
    assert_eq!(send(&mut connect_from(greedy, intake(&api)).await).await, "", "closed");
    assert_eq!(
        send(&mut connect_from(modest, intake(&api)).await).await,
        "HTTP/1.1 200 OK"
    );
    assert_eq!(send(&mut held[0]).await, "HTTP/1.1 200 OK", "what it has goes on");
    held.pop();
    wait_until("its place is free again", SOON, async || {
        send(&mut connect_from(greedy, intake(&api)).await).await == "HTTP/1.1 200 OK"
    })
    .await;
}

#[tokio::test]
async fn beyond_the_number_of_connections_clients_wait_for_one_that_ends() {
    let redis = TestRedis::start();
    let mut config = config();
    config.intake.max_connections = 2;
    config.intake.read_timeout = Period::from_secs(60);
    let api = serve(&config, &redis).await;
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut socket = TcpStream::connect(intake(&api)).await.unwrap();
        assert_eq!(send(&mut socket).await, "HTTP/1.1 200 OK");
        held.push(socket);
    }
    let addr = intake(&api);
    let third = tokio::spawn(async move { send(&mut TcpStream::connect(addr).await.unwrap()).await });
    holds("it waits", Duration::from_millis(300), async || !third.is_finished()).await;
    held.pop();
    assert_eq!(third.await.unwrap(), "HTTP/1.1 200 OK");
}

#[tokio::test]
async fn a_source_that_sends_too_much_is_told_when_to_come_back() {
    let redis = TestRedis::start();
    let mut config = config();
    config.intake.rate_per_source = 1;
    let api = serve(&config, &redis).await;
    let client = Client::builder().no_proxy().build().unwrap();
    let send = async |source: &str| client.post(events(&api, source)).body(EVENT).send().await.unwrap();
    // A minute's worth at once: far more than ten seconds of it, on however slow a machine.
    let mut answers = Vec::new();
    for _ in 0..60 {
        answers.push(send("loud").await);
    }
    let refused: Vec<&Response> = answers.iter().filter(|answer| answer.status() == 429).collect();
    assert!(refused.len() > 5, "{} refused", refused.len());
    assert!(
        answers[..10].iter().all(|answer| answer.status() == 200),
        "a burst is no offence"
    );
    assert_eq!(refused[0].headers()["retry-after"], "1");
    assert_eq!(length(&redis), 60 - u64::try_from(refused.len()).unwrap());
    assert_eq!(send("quiet").await.status(), 200);
    let last = answers.into_iter().rfind(|answer| answer.status() == 429).unwrap();
    let body: Value = serde_json::from_str(&last.text().await.unwrap()).unwrap();
    assert_eq!(body["error"]["code"], "rate_limited");
    wait_until("it may send again", SOON, async || send("loud").await.status() == 200).await;
}
