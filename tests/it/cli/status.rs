//! `holdfast status`, once and again.

use std::time::Duration;

use holdfast::store::settle::Verdict;
use serde_json::Value;

use super::EVENT;
use super::run::Cli;
use super::worker::{WORKER, settle, store};
use crate::support::{TestRedis, wait_until};

#[tokio::test]
async fn status_tells_what_waits_and_whether_the_books_balance() {
    let redis = TestRedis::start();
    let cli = Cli::of(&redis);
    let empty = cli.run(&["status"]).ok();
    for words in ["no subscriptions", "the books balance", "holdfast serve", "of "] {
        assert!(empty.contains(words), "{empty}");
    }
    let id = cli.add(&["http://127.0.0.1:9/"]);
    let idle = cli.add(&["http://127.0.0.1:9/"]);
    cli.feed(&["publish", "-"], &[EVENT; 3].join("\n")).ok();
    assert_eq!(cli.json(&["status", "--json"])["totals"]["events_waiting"], 3);
    let store = store(&redis).await;
    settle(&store, &id, Verdict::Unavailable, None).await;
    store.partitions()[0].heartbeat(WORKER).await.unwrap();

    let status = cli.json(&["status", "--json"]);
    let row = &status["subscriptions"][0];
    assert_eq!((&row["id"], &row["delivery"]), (&id.into(), &"unavailable".into()));
    assert_eq!((&row["parked"], &row["attempts"]), (&3.into(), &1.into()));
    let next = row["next_attempt_in_ms"].as_u64().unwrap();
    assert!((50_000..=60_000).contains(&next), "{next}");
    assert_eq!(
        (
            &status["subscriptions"][1]["id"],
            &status["subscriptions"][1]["delivery"]
        ),
        (&idle.into(), &"delivering".into())
    );
    assert_eq!(
        (
            &status["totals"]["workers_alive"],
            &status["totals"]["ledger"]["imbalance"]
        ),
        (&1.into(), &0.into())
    );
    let text = cli.run(&["status"]).ok();
    assert!(
        text.contains("unavailable") && text.contains("refused") && !text.contains('\u{1b}'),
        "{text}"
    );

    redis.cli(&["HINCRBY", "holdfast:{0}:ledger", "delivered", "5"]);
    assert!(cli.run(&["status"]).ok().contains("ALARM: the books are off by -5"));
}

#[tokio::test]
async fn watch_prints_again_and_survives_an_outage() {
    let mut redis = TestRedis::start();
    let cli = Cli::of(&redis);
    let id = cli.add(&["http://127.0.0.1:9/"]);
    let file = |name| std::fs::File::create(cli.path().join(name)).unwrap();
    let mut watch = cli.command(&["status", "--watch", "--json"]);
    let mut process = watch.stdout(file("out")).stderr(file("err")).spawn().unwrap();
    let lines = || {
        let text = std::fs::read_to_string(cli.path().join("out")).unwrap();
        text.lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .collect::<Vec<_>>()
    };
    let soon = Duration::from_secs(20);
    wait_until("there is a rate", soon, async || {
        lines()
            .last()
            .is_some_and(|line| !line["totals"]["delivered_per_second"].is_null())
    })
    .await;
    redis.kill9();
    wait_until("the outage is told", soon, async || {
        let told = std::fs::read_to_string(cli.path().join("err")).unwrap();
        told.contains("looking again")
    })
    .await;
    redis.restart();
    let before = lines().len();
    wait_until("it goes on", soon, async || lines().len() > before + 1).await;
    assert_eq!(lines().last().unwrap()["subscriptions"][0]["id"], id);
    process.kill().unwrap();
    process.wait().unwrap();
}
