//! `holdfast dead-letters`.

use holdfast::store::settle::Verdict;

use super::EVENT;
use super::run::Cli;
use super::worker::{settle, store};
use crate::support::TestRedis;

#[tokio::test]
async fn dead_letters_are_listed_shown_replayed_and_purged() {
    let redis = TestRedis::start();
    let cli = Cli::of(&redis);
    let store = store(&redis).await;
    assert_eq!(cli.run(&["dead-letters", "list"]).ok(), "no dead letters\n");
    let id = cli.add(&["http://127.0.0.1:9/"]);
    cli.feed(&["publish", "-", "--source=bmc-7"], &[EVENT; 150].join("\n"))
        .ok();
    let events = settle(&store, &id, Verdict::GivenUp, None).await;
    redis.cli(&[
        "XADD",
        "holdfast:{0}:events",
        "*",
        "event",
        "{\"\u{1b}",
        "source",
        "bmc-9",
    ]);
    settle(&store, &id, Verdict::GivenUp, Some("the message is not JSON")).await;

    let list = cli.run(&["dead-letters", "list"]).ok();
    assert_eq!(list.lines().count(), 1 + 100 + 1, "{list}");
    assert!(list.contains("attempts used up") && list.ends_with("and more: raise --limit, or filter\n"));
    assert!(
        !list.contains('\u{1b}'),
        "control characters of a subscriber reach the terminal"
    );
    let count = |filters: &[&str]| {
        let all = [&["dead-letters", "list", "--json", "--limit=1000"], filters].concat();
        cli.json(&all).as_array().unwrap().len()
    };
    assert_eq!(count(&[]), 151);
    assert_eq!(count(&["--subscription", &id]), 150);
    assert_eq!(count(&["--subscription", "-"]), 1);
    assert_eq!(count(&["--reason", "NOT json"]), 1);
    assert_eq!(count(&["--since", "1h"]), 151);
    assert_eq!(count(&["--since", "0ms"]), 0);

    let letters = cli.json(&["dead-letters", "list", "--json", "--limit=1000"]);
    let letter = letters[0]["id"].as_str().unwrap().to_owned();
    let shown = cli.run(&["dead-letters", "show", &letter]).ok();
    assert!(
        shown.contains(&events[0].to_string()) && shown.contains("\"Base.1.0.Test\""),
        "{shown}"
    );
    assert_eq!(cli.run(&["dead-letters", "show", &letter, "--raw"]).ok(), EVENT);
    let json = cli.json(&["dead-letters", "show", &letter, "--json"]);
    assert_eq!((&json["source"], &json["event"]["Id"]), (&"bmc-7".into(), &"1".into()));
    let unreadable = letters[150]["id"].as_str().unwrap();
    let shown = cli.run(&["dead-letters", "show", unreadable]).ok();
    assert!(shown.contains("bmc-9") && !shown.contains('\u{1b}'), "{shown}");

    // A bare id will do where it is in one partition only.
    let bare = letter.trim_start_matches("0/");
    assert!(
        cli.run(&["dead-letters", "replay", bare])
            .ok()
            .starts_with("1 dead letter ")
    );
    cli.run(&["dead-letters", "replay", &letter])
        .fails(&["no dead letter", &letter]);
    cli.run(&["dead-letters", "show", &letter]).fails(&["no dead letter"]);
    cli.run(&["dead-letters", "purge", unreadable])
        .fails(&["1 dead letter", "--yes"]);
    assert!(
        cli.run(&["dead-letters", "purge", unreadable, "--yes"])
            .ok()
            .starts_with("1 ")
    );
    let replayed = cli
        .run(&["dead-letters", "replay", "--all", "--subscription", &id])
        .ok();
    assert_eq!(replayed, "149 dead letters put back to work\n");
    assert_eq!(
        cli.json(&["subscriptions", "show", &id, "--json"])["circuit"]["parked"],
        150
    );

    cli.run(&["subscriptions", "remove", &id])
        .fails(&["150 parked deliveries", "--yes"]);
    let removed = cli.run(&["subscriptions", "remove", &id, "--yes"]).ok();
    assert!(removed.contains("150 parked deliveries dropped"), "{removed}");
    let totals = &cli.json(&["status", "--json"])["totals"]["ledger"];
    assert_eq!((&totals["imbalance"], &totals["dropped"]), (&0.into(), &150.into()));
}

#[tokio::test]
async fn all_dead_letters_of_a_removed_subscription_stay_until_purged() {
    let redis = TestRedis::start();
    let cli = Cli::of(&redis);
    let store = store(&redis).await;
    let id = cli.add(&["http://127.0.0.1:9/"]);
    cli.feed(&["publish", "-"], &[EVENT; 70].join("\n")).ok();
    settle(&store, &id, Verdict::GivenUp, None).await;
    cli.run(&["subscriptions", "remove", &id]).ok();
    let replayed = cli.run(&["dead-letters", "replay", "--all"]).ok();
    assert!(
        replayed.contains("70 left") && replayed.contains("removed"),
        "{replayed}"
    );
    cli.run(&["dead-letters", "purge", "--all", "--reason=used up"])
        .fails(&["70 dead letters", "--yes"]);
    cli.run(&["dead-letters", "purge", "--all", "--reason=another", "--yes"])
        .ok();
    assert_eq!(redis.cli(&["XLEN", "holdfast:{0}:dead"]), "70");
    let purged = cli.run(&["dead-letters", "purge", "--all", "--yes"]).ok();
    assert_eq!(purged, "70 dead letters purged\n");
    assert_eq!(redis.cli(&["XLEN", "holdfast:{0}:dead"]), "0");
}

/// Tombstones stand for a day; dead letters for as long as nobody purges them.
#[tokio::test]
async fn dead_letters_outlive_the_tombstone_of_their_subscription() {
    let redis = TestRedis::start();
    let cli = Cli::of(&redis);
    let store = store(&redis).await;
    let (id, kept) = (cli.add(&["http://127.0.0.1:9/"]), cli.add(&["http://127.0.0.1:9/"]));
    for id in [&id, &kept] {
        cli.feed(&["publish", "-"], EVENT).ok();
        settle(&store, id, Verdict::GivenUp, None).await;
    }
    cli.run(&["subscriptions", "remove", &id]).ok();
    redis.cli(&["DEL", "holdfast:{0}:removed"]);
    let replayed = cli.run(&["dead-letters", "replay", "--all"]).ok();
    assert!(
        replayed.contains("1 dead letter put back") && replayed.contains("1 left") && replayed.contains("removed"),
        "{replayed}"
    );
    assert_eq!(redis.cli(&["XLEN", "holdfast:{0}:dead"]), "1");

    // Where the registry is lost nobody was removed.
    redis.cli(&["RENAME", "holdfast:subscriptions", "saved"]);
    cli.run(&["dead-letters", "replay", "--all"])
        .fails(&["restore the key"]);
    assert_eq!(redis.cli(&["XLEN", "holdfast:{0}:dead"]), "1");
}
