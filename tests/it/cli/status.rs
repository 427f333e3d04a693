//! `holdfast status`, once and again.

use std::time::Duration;

use holdfast::domain::ids::SubscriptionId;
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

/// The row of a subscription, cell by cell.
fn row(cli: &Cli, id: &str) -> Vec<String> {
    let text = cli.run(&["status"]).ok();
    let line = text.lines().find(|line| line.starts_with(id));
    let cells = line.unwrap_or_else(|| panic!("no {id} in {text}"));
    cells.split_whitespace().map(str::to_owned).collect()
}

/// ID DESTINATION STATE PARKED OLDEST NEXT ATTEMPTS ERROR
const ATTEMPTS: usize = 6;

#[tokio::test]
async fn probes_that_failed_are_counted_also_where_a_limit_moved_on_what_they_were_made_with() {
    let redis = TestRedis::start();
    let cli = Cli::of(&redis);
    let id = cli.add(&["http://127.0.0.1:9/"]);
    cli.feed(&["publish", "-"], EVENT).ok();
    let store = store(&redis).await;
    settle(&store, &id, Verdict::Unavailable, None).await;
    // What four probes leave behind, once the event that they were made with is beyond the limit.
    redis.cli(&["HSET", &format!("holdfast:{{0}}:circuit:{id}"), "failures", "4"]);
    redis.cli(&["DEL", &format!("holdfast:{{0}}:tries:{id}")]);
    assert_eq!(row(&cli, &id)[ATTEMPTS], "4");
}

#[tokio::test]
async fn a_subscription_that_is_resumed_with_nothing_parked_has_no_error_any_more() {
    let redis = TestRedis::start();
    let cli = Cli::of(&redis);
    let id = cli.add(&["http://127.0.0.1:9/"]);
    cli.feed(&["publish", "-"], EVENT).ok();
    let store = store(&redis).await;
    settle(&store, &id, Verdict::Unavailable, None).await;
    cli.run(&["subscriptions", "suspend", &id]).ok();
    assert!(cli.run(&["status"]).ok().contains("refused"));
    // As Redfish's Resume with DeliverBufferedEventDuration PT0S does.
    let parsed = SubscriptionId::new(id.as_str()).unwrap();
    let buried = store.bury_older(&parsed, Duration::ZERO).await.unwrap();
    assert_eq!(buried, Some(1));
    cli.run(&["subscriptions", "resume", &id]).ok();
    let row = row(&cli, &id);
    assert_eq!((row[2].as_str(), row.len()), ("delivering", ATTEMPTS + 1), "{row:?}");
    let shown = &cli.json(&["status", "--json"])["subscriptions"][0];
    assert_eq!(shown["last_error"], "");
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
