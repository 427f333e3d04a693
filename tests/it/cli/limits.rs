//! Limits on the command line: set, shown, cleared, and said aloud when they will move something at once.

use holdfast::domain::ids::SubscriptionId;
use holdfast::domain::retention::Retention;
use holdfast::store::retention::Bounds;
use holdfast::store::settle::Verdict;
use serde_json::json;

use super::EVENT;
use super::run::Cli;
use super::worker::{settle, store};
use crate::support::TestRedis;

#[test]
fn limits_are_set_shown_and_cleared() {
    let redis = TestRedis::start();
    let cli = Cli::of(&redis);
    let id = cli.add(&["http://h", "--max-parked=1000000", "--max-age=7d"]);
    let limits = |cli: &Cli| cli.json(&["subscriptions", "show", &id, "--json"])["limits"].clone();
    let both = json!({ "max_parked": 1_000_000, "max_age": "7d", "overflow": "dead-letters" });
    assert_eq!(limits(&cli), both);
    let shown = cli.run(&["subscriptions", "show", &id]).ok();
    let line = "at most 1,000,000 parked, none for longer than 7d; the oldest beyond that become dead letters";
    assert!(shown.contains(line), "{shown}");

    let updated = cli.run(&["subscriptions", "update", &id, "--overflow=file", "--clear=max-age"]);
    assert!(
        updated.err.contains("limits.overflow_dir is not set here"),
        "{}",
        updated.err
    );
    updated.ok();
    assert_eq!(limits(&cli), json!({ "max_parked": 1_000_000, "overflow": "file" }));
    assert!(cli.run(&["subscriptions", "show", &id]).ok().contains("go to a file"));
    cli.run(&["subscriptions", "update", &id, "--clear=limits"]).ok();
    assert_eq!(limits(&cli), json!({ "overflow": "dead-letters" }));
    assert!(
        cli.run(&["subscriptions", "show", &id])
            .ok()
            .contains("everything (no limit)")
    );
    let pointless = cli.run(&["subscriptions", "update", &id, "--overflow=file"]);
    assert!(
        pointless.err.contains("does nothing without --max-parked"),
        "{}",
        pointless.err
    );
    cli.run(&["subscriptions", "update", &id, "--clear=limits"]).ok();
    let stored = redis.cli(&["HGET", "holdfast:subscriptions", &id]);
    assert!(
        !stored.contains("limits"),
        "without limits it is stored as ever: {stored}"
    );
}

#[tokio::test]
async fn a_limit_that_moves_something_at_once_says_so() {
    let redis = TestRedis::start();
    let cli = Cli::of(&redis);
    let store = store(&redis).await;
    let id = cli.add(&["http://127.0.0.1:9/"]);
    redis.cli(&["XADD", "holdfast:{0}:events", "1-1", "event", EVENT]);
    cli.feed(&["publish", "-"], &[EVENT; 9].join("\n")).ok();
    settle(&store, &id, Verdict::Unavailable, None).await;

    let update = |limit: &str| {
        let ran = cli.run(&["subscriptions", "update", &id, limit]);
        let told = ran.err.clone();
        ran.ok();
        told
    };
    assert_eq!(update("--max-parked=10"), "", "nothing is beyond it");
    assert_eq!(
        update("--max-parked=4"),
        "note: 6 of its 10 parked deliveries are moved within seconds\n"
    );
    assert!(update("--max-age=1h").contains("6 of its 10"), "both are in force");
    assert!(update("--max-age=2h").contains("older than that"));
    assert_eq!(update("--context=other"), "", "the limits did not change");

    let bounds = Bounds {
        subscription: SubscriptionId::new(&id).unwrap(),
        limits: Retention {
            max_parked: Some(4),
            ..Retention::default()
        },
        keep: Some(4),
    };
    store.partitions()[0].bury_overflow(&bounds, 0).await.unwrap();
    let replayed = cli.run(&["dead-letters", "replay", "--all", "--reason=limit"]).ok();
    let told = "6 dead letters put back to work\n6 had been moved by a limit: ";
    assert!(replayed.starts_with(told), "{replayed}");
}

#[tokio::test]
async fn status_names_the_largest_holders() {
    let redis = TestRedis::start();
    let cli = Cli::of(&redis);
    let store = store(&redis).await;
    let id = cli.add(&["http://127.0.0.1:9/"]);
    cli.feed(&["publish", "-"], &[EVENT; 3].join("\n")).ok();
    settle(&store, &id, Verdict::Unavailable, None).await;
    assert!(
        !cli.run(&["status"]).ok().contains("largest"),
        "three deliveries are not much"
    );
    cli.feed(&["publish", "-"], &vec![EVENT; 1_000].join("\n")).ok();
    while !settle(&store, &id, Verdict::Unavailable, None).await.is_empty() {}
    let status = cli.run(&["status"]).ok();
    let line = status.lines().find(|line| line.starts_with("largest ")).unwrap();
    assert!(line.contains(&format!("{id} 1,003 parked (about ")), "{line}");
    let largest = &cli.json(&["status", "--json"])["totals"]["largest"];
    let bytes = largest[0]["parked_bytes_estimate"].as_u64().unwrap();
    assert_eq!((&largest[0]["id"], &largest[0]["parked"]), (&id.into(), &1_003.into()));
    let least = 1_003 * u64::try_from(EVENT.len()).unwrap();
    assert!((least..2 * least).contains(&bytes), "{bytes} for {least}");
}
