//! Much that is parked: a dead subscriber costs the same however much waits for it, and all of it is delivered.

use std::time::Duration;

use holdfast::cli::sink::{Mode, Sink, SinkOptions};

use super::harness::{Deployment, SOON};
use crate::support::wait_until;

const MANY: usize = 100_000;

/// Commands that Redis ran, those inside scripts included, while the sink was probed so many times.
async fn commands_of_probes(deployment: &Deployment, sink: &Sink, probes: u64) -> u64 {
    let until = async |count: u64| {
        wait_until("it is probed", SOON, async || sink.counts().requests >= count).await;
        let stats = deployment.cli(&["INFO", "stats"]);
        let line = stats
            .lines()
            .find_map(|line| line.strip_prefix("total_commands_processed:"))
            .unwrap();
        line.trim().parse::<u64>().unwrap()
    };
    let first = sink.counts().requests + 1;
    let before = until(first).await;
    until(first + probes).await - before
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_thousand_parked_cost_as_much_as_a_hundred_and_are_all_drained() {
    let deployment = Deployment::start(2, &[("HOLDFAST_RETRY__DELAY", "200ms")]).await;
    let options = SinkOptions {
        mode: Mode::Status(503),
        keep: 0,
        ..SinkOptions::default()
    };
    let sink = Sink::start(options).await.unwrap();
    let id = deployment.subscribe(&sink.url("/events"), |_| {}).await;
    deployment.publish(100).await;
    deployment.parked(100).await;
    let few = commands_of_probes(&deployment, &sink, 5).await;

    deployment.publish(MANY - 100).await;
    wait_until("all are parked", Duration::from_secs(120), async || {
        deployment.snapshot().await.ledger.parked == i64::try_from(MANY).unwrap()
    })
    .await;
    let many = commands_of_probes(&deployment, &sink, 5).await;
    assert!(many < 2 * few, "{few} commands with 100 parked, {many} with {MANY}");

    sink.set_mode(Mode::Ok).await;
    deployment.settled_within(Duration::from_secs(120)).await;
    let counts = sink.counts();
    assert_eq!((counts.distinct, counts.duplicates), (MANY as u64, 0));
    assert!(deployment.census(&id).await.behind_since_ms.is_none());
    assert_eq!(deployment.cli(&["HLEN", "holdfast:{0}:bodies"]), "0");
}
