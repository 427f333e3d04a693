//! The test subscriber behaves as it says, so that tests of deliveries can believe it.

use std::time::{Duration, Instant};

use holdfast::cli::sink::{Mode, Sink, SinkOptions};
use reqwest::{Client, StatusCode};

use crate::support::{free_port, wait_until};

const SOON: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_millis(300);

async fn sink(mode: Mode) -> Sink {
    let options = SinkOptions {
        mode,
        ..SinkOptions::default()
    };
    Sink::start(options).await.unwrap()
}

async fn post(client: &Client, sink: &Sink, id: &str) -> reqwest::Result<StatusCode> {
    let request = client.post(sink.url("/hook")).header("webhook-id", id).body("{}");
    let answer = request.timeout(PATIENCE).send().await?;
    let status = answer.status();
    answer.bytes().await?;
    Ok(status)
}

#[tokio::test]
async fn distinct_and_duplicate_deliveries_are_counted() {
    let sink = sink(Mode::Ok).await;
    let client = Client::new();
    for id in ["a", "b", "a", "c"] {
        assert_eq!(post(&client, &sink, id).await.unwrap(), 200);
    }
    sink.set_mode(Mode::Status(503)).await;
    assert_eq!(post(&client, &sink, "d").await.unwrap(), 503);
    for body in ["x", "x", "y"] {
        client.post(sink.url("/other")).body(body).send().await.unwrap();
    }
    let counts = sink.counts();
    assert_eq!(
        (counts.requests, counts.accepted, counts.distinct, counts.duplicates),
        (8, 4, 3, 1)
    );
    assert_eq!(counts.failed, 4);
    let deliveries = sink.deliveries();
    let seen: Vec<(&str, u32, u16)> = deliveries
        .iter()
        .map(|d| (d.id.as_str(), d.attempt, d.status))
        .collect();
    assert_eq!(
        seen[..5],
        [
            ("a", 1, 200),
            ("b", 1, 200),
            ("a", 2, 200),
            ("c", 1, 200),
            ("d", 1, 503)
        ]
    );
    assert_eq!(
        (&deliveries[0].path[..], &deliveries[0].body[..]),
        ("/hook", &b"{}"[..])
    );
    assert_eq!(deliveries[6].attempt, 2, "without an id the body counts");
}

#[tokio::test]
async fn each_mode_is_what_it_says() {
    let sink = sink(Mode::Ok).await;
    let client = Client::new();

    sink.set_mode("slow:100ms".parse().unwrap()).await;
    let start = Instant::now();
    assert_eq!(post(&client, &sink, "slow").await.unwrap(), 200);
    assert!(start.elapsed() >= Duration::from_millis(100));

    sink.set_mode(Mode::Throttle(7)).await;
    let answer = client.post(sink.url("/")).send().await.unwrap();
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["retry-after"]),
        (429, &"7".parse().unwrap())
    );

    for mode in [Mode::Hang, Mode::Drip] {
        sink.set_mode(mode).await;
        assert!(post(&client, &sink, "late").await.unwrap_err().is_timeout(), "{mode}");
    }
    sink.set_mode(Mode::Drip).await;
    assert_eq!(
        client.post(sink.url("/")).send().await.unwrap().status(),
        200,
        "the headers come at once"
    );

    sink.set_mode(Mode::Reset).await;
    let reset = format!("{:?}", post(&client, &sink, "reset").await.unwrap_err());
    assert!(reset.contains("ConnectionReset"), "{reset}");
    sink.set_mode(Mode::Garbage).await;
    let garbage = format!("{:?}", post(&client, &sink, "garbage").await.unwrap_err());
    assert!(garbage.contains("Parse"), "{garbage}");

    assert_eq!(sink.counts().accepted, 1);
}

#[tokio::test]
async fn refusing_really_refuses_and_ends() {
    let sink = sink(Mode::Status(202)).await;
    let client = Client::new();
    assert_eq!(post(&client, &sink, "before").await.unwrap(), 202);
    sink.set_mode(Mode::Refuse(None)).await;
    let refused = format!("{:?}", post(&client, &sink, "during").await.unwrap_err());
    assert!(refused.contains("ConnectionRefused"), "{refused}");
    sink.set_mode(Mode::Ok).await;
    assert_eq!(post(&client, &sink, "after").await.unwrap(), 200);

    sink.set_mode("refuse:200ms".parse().unwrap()).await;
    assert!(post(&client, &sink, "during").await.is_err());
    wait_until("it is back by itself", SOON, async || {
        post(&client, &sink, "again").await.is_ok()
    })
    .await;
    assert_eq!(sink.mode(), Mode::Ok);
}

#[tokio::test]
async fn it_is_changed_and_read_over_http() {
    let sink = sink(Mode::Ok).await;
    let client = Client::new();
    let change = async |mode: &'static str| {
        client
            .put(sink.url("/-/mode"))
            .body(mode)
            .send()
            .await
            .unwrap()
            .status()
    };
    assert_eq!(change("hang").await, 200);
    assert_eq!(sink.mode(), Mode::Hang);
    assert_eq!(change("refuse").await, 400);
    assert_eq!(change("teapot").await, 400);
    assert_eq!(change("ok").await, 200);
    post(&client, &sink, "a").await.unwrap();
    let counts: serde_json::Value = get(&client, &sink, "/-/counts").await;
    assert_eq!((&counts["distinct"], &counts["requests"]), (&1.into(), &1.into()));
    let deliveries: serde_json::Value = get(&client, &sink, "/-/deliveries").await;
    assert_eq!(deliveries[0]["id"], "a");
}

async fn get(client: &Client, sink: &Sink, path: &str) -> serde_json::Value {
    let text = client.get(sink.url(path)).send().await.unwrap().text().await.unwrap();
    serde_json::from_str(&text).unwrap()
}

#[tokio::test]
async fn a_port_in_use_is_an_error() {
    let first = sink(Mode::Ok).await;
    let options = SinkOptions {
        listen: first.addr(),
        ..SinkOptions::default()
    };
    assert!(Sink::start(options).await.is_err());
    let free = SinkOptions {
        listen: ([127, 0, 0, 1], free_port()).into(),
        ..SinkOptions::default()
    };
    assert!(Sink::start(free).await.is_ok());
}
