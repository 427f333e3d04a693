//! `holdfast subscriptions`: round trips, mistakes, secrets.

use serde_json::Value;

use super::run::{CANARY, Cli};
use super::worker::{WORKER, publish, store};
use crate::support::{TestRedis, exists};

const KEY: &str = "whsec_Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5";

/// The life of a subscription, on whatever Redis.
fn round_trip(cli: &Cli) {
    assert!(cli.run(&["subscriptions", "list"]).ok().starts_with("no subscriptions"));
    let id = cli.add(&[
        "https://siem.example/redfish?token=c4n4ry",
        "--context=rack-7",
        "--severity=Critical,Warning",
        "--origin=/redfish/v1/Systems/1",
        "--subordinate",
        "--header=Authorization: Bearer c4n4ry",
        "--retry-delay=2s",
        "--policy=SuspendRetries",
        "--max-in-flight=1",
        &format!("--secret={KEY}"),
    ]);
    assert_eq!(id.len(), 10);
    assert!(
        id.bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    );

    let list = cli.run(&["subscriptions", "list"]).ok();
    let row = list.lines().find(|line| line.starts_with(&id)).unwrap();
    for word in ["delivering", "https://siem.example/redfish", "Critical, Warning"] {
        assert!(row.contains(word), "{row}");
    }
    let shown = cli.run(&["subscriptions", "show", &id]).ok();
    for word in [
        "rack-7",
        "/redfish/v1/Systems/1",
        "Authorization",
        "SuspendRetries",
        "2s",
    ] {
        assert!(shown.contains(word), "{shown}");
    }
    let shown = cli.json(&["subscriptions", "show", &id, "--json"]);
    assert_eq!(
        shown["filter"]["severities"],
        serde_json::json!(["Critical", "Warning"])
    );
    assert_eq!((&shown["max_in_flight"], &shown["signed"]), (&1.into(), &true.into()));

    cli.run(&[
        "subscriptions",
        "update",
        &id,
        "--clear=filter,header",
        "--timeout=3s",
        "--clear=secret",
    ])
    .ok();
    let shown = cli.json(&["subscriptions", "show", &id, "--json"]);
    assert_eq!((&shown["timeout"], &shown["context"]), (&"3s".into(), &"rack-7".into()));
    assert_eq!(
        (&shown["filter"], &shown["headers"]),
        (&serde_json::json!({}), &serde_json::json!([]))
    );
    assert_eq!(shown["signed"], false);

    cli.run(&["subscriptions", "suspend", &id, "--reason=new rack"]).ok();
    let shown = cli.json(&["subscriptions", "show", &id, "--json"]);
    assert_eq!(shown["state"]["reason"], "new rack");
    assert_eq!(shown["circuit"]["delivery"], "suspended");
    cli.run(&["subscriptions", "resume", &id]).ok();
    assert_eq!(
        cli.json(&["subscriptions", "list", "--json"])[0]["state"]["is"],
        "enabled"
    );
    cli.run(&["subscriptions", "remove", &id]).ok();
    cli.run(&["subscriptions", "show", &id])
        .fails(&[&id, "no subscription"]);
    cli.run(&["subscriptions", "remove", &id]).fails(&[&id]);
}

#[test]
fn a_subscription_lives_on_a_redis_of_its_own() {
    let redis = TestRedis::start();
    round_trip(&Cli::of(&redis));
}

#[tokio::test]
async fn whoever_adds_one_is_told_when_it_gets_its_events() {
    let redis = TestRedis::start();
    let cli = Cli::of(&redis);
    let add = |words: &str| {
        let ran = cli.run(&["subscriptions", "add", "http://127.0.0.1:9/events"]);
        assert!(
            ran.err.contains("delivering to http://127.0.0.1:9/events ") && ran.err.contains(words),
            "no {words:?} in {}",
            ran.err
        );
        ran.ok();
    };
    add("once a worker runs: none is there now");
    let store = store(&redis).await;
    store.partitions()[0].heartbeat(WORKER).await.unwrap();
    add("within a second");
    publish(&store, false).await;
    add("once publishing, which is switched off");
}

#[test]
fn a_subscription_lives_on_the_embedded_redis() {
    let cli = Cli::embedded();
    let first = cli.run(&["status"]);
    let note = format!("note: {} did not exist", cli.path().join("data").display());
    assert!(
        first.err.contains(&note),
        "an empty deployment looks like a lost one: {}",
        first.err
    );
    let second = cli.run(&["status"]);
    assert!(!second.err.contains("note:"), "{}", second.err);
    round_trip(&cli);
    // Each verb had a server of its own: the data outlived them, and none is left running.
    let id = cli.add(&["http://127.0.0.1:9/", "--suspended"]);
    assert_eq!(cli.json(&["status", "--json"])["subscriptions"][0]["id"], id);
    let pid = std::fs::read_to_string(cli.path().join("data/redis.pid"));
    assert!(pid.is_err() || !exists(pid.unwrap().trim().parse().unwrap()));
}

#[test]
fn every_mistake_is_told_by_its_option() {
    let redis = TestRedis::start();
    let cli = Cli::of(&redis);
    cli.write("short", "whsec_c4n4ry");
    for (arguments, words) in [
        (&["c4n4ry"][..], &["DESTINATION", "http://HOST/PATH"][..]),
        (&["ftp://h/"], &["DESTINATION", "https://"]),
        (
            &["http://bob:c4n4ry@h/"],
            &["DESTINATION", "--header", "Authorization"][..1],
        ),
        (&["http://h/#c4n4ry"], &["DESTINATION", "fragment"]),
        (&["http://h", "--header=c4n4ry"], &["--header", "Name: value"]),
        (
            &["http://h", "--header=Content-Type: c4n4ry"],
            &["--header", "Content-Type"],
        ),
        (
            &["http://h", "--header=webhook-id: c4n4ry"],
            &["--header", "webhook-id"],
        ),
        (&["http://h", "--header=a b: c4n4ry"], &["--header", "a b"]),
        (&["http://h", "--secret=c4n4ry"], &["--secret", "whsec_"]),
        (&["http://h", "--secret-file=short"], &["--secret", "bytes"]),
        (&["http://h", "--secret-file=absent"], &["--secret-file", "absent"]),
        (&["http://h", "--max-in-flight=0"], &["--max-in-flight", "1024"]),
        (&["http://h", "--timeout=99ms"], &["--timeout", "100ms", "5m"]),
        (&["http://h", "--max-parked=0"], &["--max-parked", "from 1 to"]),
        (&["http://h", "--max-age=999ms"], &["--max-age", "1s", "3650d"]),
        (&["http://h", "--retry-backoff=0.5"], &["--retry-backoff", "100"]),
        (&["http://h", "--retry-delay=0s"], &["--retry-delay"]),
        (&["http://h", "--ca-file=ca.pem"], &["--ca-file", "https://"]),
        (&["http://h", "--origin=Systems"], &["--origin", "/redfish/v1"]),
        (
            &["http://h", "--metric-report-definition=/a"],
            &["--metric-report-definition"],
        ),
        (
            &["http://h", "--registry-prefix=A", "--exclude-registry-prefix=A"],
            &["--exclude-registry-prefix"],
        ),
        (
            &["ftp://h", "--timeout=1ms"],
            &["2 problems", "DESTINATION", "--timeout"],
        ),
    ] {
        let all = [&["subscriptions", "add"], arguments].concat();
        cli.run(&all).fails(words);
    }
    for (arguments, word) in [
        (&["http://h", "--severity=Bad"][..], "OK, Warning or Critical"),
        (&["http://h", "--event-type=Bad"], "StatusChange"),
        (&["http://h", "--policy=Bad"], "RetryForever"),
        (&["http://h", "--overflow=Bad"], "dead-letters"),
        (&["http://h", "--max-age=7"], "30s"),
        (&["http://h", "--timeout=3"], "30s"),
        (
            &["http://h", "--generate-secret", "--secret-file=short"],
            "--secret-file",
        ),
        (&[], "DESTINATION"),
    ] {
        let ran = cli.run(&[&["subscriptions", "add"], arguments].concat());
        assert_eq!(ran.code, Some(2), "{}", ran.err);
        assert!(ran.err.contains(word), "no {word:?} in {}", ran.err);
    }
    let id = cli.add(&["http://h"]);
    cli.run(&["subscriptions", "update", &id]).fails(&["nothing to change"]);
    cli.run(&["subscriptions", "update", &id, "--max-in-flight=2000"])
        .fails(&["--max-in-flight"]);
    cli.run(&["subscriptions", "update", "absent", "--context=a"])
        .fails(&["absent"]);
    assert_eq!(
        cli.json(&["subscriptions", "list", "--json"]).as_array().unwrap().len(),
        1
    );
}

#[test]
fn secrets_are_never_shown_but_one_that_was_just_made() {
    let redis = TestRedis::start();
    let cli = Cli::of(&redis);
    cli.write("key", &format!("{KEY}\n"));
    let id = cli.add(&["http://h/?c4n4ry", "--header=X-Token: c4n4ry", "--secret-file=key"]);
    assert!(redis.cli(&["HGET", "holdfast:subscriptions", &id]).contains(KEY));
    for arguments in [
        &["subscriptions", "list"][..],
        &["subscriptions", "list", "--json"],
        &["subscriptions", "show", &id],
        &["subscriptions", "show", &id, "--json"],
        &["subscriptions", "update", &id, "--context=a"],
        &["status"],
        &["status", "--json"],
    ] {
        let ran = cli.run(arguments);
        let all = format!("{}{}", ran.out, ran.err);
        assert!(!all.contains(CANARY) && !all.contains(&KEY[6..]), "{arguments:?} {all}");
        assert_eq!(ran.code, Some(0), "{all}");
    }
    let made = cli.run(&["subscriptions", "update", &id, "--generate-secret"]).ok();
    assert!(made.starts_with("whsec_"));
    assert!(
        redis
            .cli(&["HGET", "holdfast:subscriptions", &id])
            .contains(made.trim())
    );
    let added = cli
        .run(&["subscriptions", "add", "http://h", "--generate-secret", "--json"])
        .ok();
    let added: Value = serde_json::from_str(&added).unwrap();
    let stored = redis.cli(&["HGET", "holdfast:subscriptions", added["id"].as_str().unwrap()]);
    assert!(stored.contains(added["secret"].as_str().unwrap()));
}
