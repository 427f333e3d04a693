//! The command line as an operator meets it: the real binary, its output and its exit code.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use holdfast::config;
use holdfast::domain::ids::{StreamId, SubscriptionId};
use holdfast::store::Store;
use holdfast::store::connect::{Connection, FirstConnect};
use holdfast::store::events::Stream;
use holdfast::store::settle::{Outcome, RefusalLimits, Settlement, Verdict};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{TestRedis, free_port, wait_until};

const WORKER: &str = "worker-of-a-test";
const EVENT: &str = r#"{"Id":"1","Events":[{"MessageId":"Base.1.0.Test","MessageSeverity":"Critical"}]}"#;
const KEY: &str = "whsec_Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5";
const CANARY: &str = "c4n4ry";

/// Where the binary finds its Redis, and a directory to run it in.
struct Cli {
    dir: TempDir,
    url: String,
}

struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Cli {
    fn of(redis: &TestRedis) -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            url: redis.url(),
        }
    }

    fn embedded() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            url: "embedded".to_owned(),
        }
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        self.feed(arguments, "")
    }

    /// Runs it with `input` on its standard input.
    fn feed(&self, arguments: &[&str], input: &str) -> Ran {
        let mut process = self.command(arguments).spawn().unwrap();
        let mut pipe = process.stdin.take().unwrap();
        // One that does not read its input closes it.
        let _unread = pipe.write_all(input.as_bytes());
        drop(pipe);
        let output = process.wait_with_output().unwrap();
        Ran {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let inherited = std::env::vars_os().filter(|(name, _)| !name.to_string_lossy().starts_with("HOLDFAST_"));
        let mut command = Command::new(env!("CARGO_BIN_EXE_holdfast"));
        command
            .args(arguments)
            .env_clear()
            .envs(inherited)
            .env("HOLDFAST_REDIS__URL", &self.url)
            .env("HOLDFAST_REDIS__COMMAND_TIMEOUT", "2s")
            .env("HOLDFAST_EMBEDDED__DATA_DIR", self.path().join("data"))
            .current_dir(self.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path().join(name), text).unwrap();
    }

    /// Adds a subscription and answers its id.
    fn add(&self, arguments: &[&str]) -> String {
        let all = [&["subscriptions", "add"], arguments].concat();
        let id = self.run(&all).ok();
        id.lines().next().unwrap().to_owned()
    }

    fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.run(arguments).ok()).unwrap()
    }
}

impl Ran {
    /// Its output, where it went well.
    #[track_caller]
    fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{}{}", self.out, self.err);
        self.out
    }

    /// Its message, where it did not: exit code 1, all words in it, no secret.
    #[track_caller]
    fn fails(self, words: &[&str]) -> String {
        assert_eq!(self.code, Some(1), "{}{}", self.out, self.err);
        assert!(self.err.starts_with("holdfast: "), "{}", self.err);
        for word in words {
            assert!(self.err.contains(word), "no {word:?} in: {}", self.err);
        }
        assert!(
            !self.err.contains(CANARY) && !self.out.contains(CANARY),
            "{}{}",
            self.out,
            self.err
        );
        self.err
    }
}

async fn store(redis: &TestRedis) -> Store {
    let settings = config::Redis::default();
    let connection = Connection::open(&settings, &redis.url(), FirstConnect::FailFast)
        .await
        .unwrap();
    Store::open(connection, "holdfast", None).await.unwrap()
}

/// What a worker does with the next events: each is settled by `verdict` for `subscription`, or rejected.
async fn settle(store: &Store, subscription: &str, verdict: Verdict, rejected: Option<&str>) -> Vec<StreamId> {
    let partition = &store.partitions()[0];
    partition.ensure_groups().await.unwrap();
    let reader = partition.reader(Stream::Events, WORKER).await.unwrap();
    let entries = reader.read(1000, Duration::from_millis(10)).await.unwrap();
    let settlements: Vec<Settlement> = entries
        .iter()
        .map(|entry| Settlement {
            id: entry.id,
            body: entry.frame().encode(),
            rejected: rejected.map(str::to_owned),
            alone: false,
            outcomes: match rejected {
                Some(_) => Vec::new(),
                None => vec![Outcome {
                    subscription: SubscriptionId::new(subscription).unwrap(),
                    verdict,
                    wait: Duration::from_secs(60),
                    floor: Duration::ZERO,
                    error: "connect: \u{1b}[31mrefused".to_owned(),
                }],
            },
        })
        .collect();
    let limits = RefusalLimits {
        bury_after: 5,
        open_after: 5,
    };
    let settled = partition.settle(WORKER, limits, &settlements).await.unwrap();
    assert!(settled.won.iter().all(|won| *won));
    entries.iter().map(|entry| entry.id).collect()
}

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

#[test]
fn a_subscription_lives_on_the_embedded_redis() {
    let cli = Cli::embedded();
    round_trip(&cli);
    // Each verb had a server of its own: the data outlived them, and none is left running.
    let id = cli.add(&["http://127.0.0.1:9/", "--suspended"]);
    assert_eq!(cli.json(&["status", "--json"])["subscriptions"][0]["id"], id);
    let pid = std::fs::read_to_string(cli.path().join("data/redis.pid"));
    assert!(pid.is_err() || !crate::support::exists(pid.unwrap().trim().parse().unwrap()));
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

#[test]
fn published_events_are_in_the_stream_byte_for_byte() {
    let redis = TestRedis::start();
    let cli = Cli::of(&redis);
    let odd = "{\"Id\" :  1.0,\n \"Events\":[{\"Message\":\"\\u00e9\"}]}\n";
    cli.write("a.json", EVENT);
    cli.write("b.json", odd);
    let ids = cli.run(&["publish", "a.json", "b.json", "--source=bmc-7"]).ok();
    assert_eq!(ids.lines().count(), 2);
    let lines = cli.feed(&["publish", "-"], &format!("{EVENT}\n\n{EVENT}\r\n")).ok();
    assert_eq!(lines.lines().count(), 2);
    cli.feed(&["publish", "-"], odd).ok();
    let stream = redis.cli(&["XRANGE", "holdfast:{0}:events", "-", "+"]);
    assert_eq!(stream.matches(EVENT).count(), 3, "{stream}");
    assert_eq!(stream.matches(odd).count(), 2, "{stream}");
    assert_eq!(stream.matches("bmc-7").count(), 2, "{stream}");
    for id in ids.lines().chain(lines.lines()) {
        assert!(stream.contains(id));
    }
}

#[test]
fn nothing_is_published_when_one_event_is_bad() {
    let redis = TestRedis::start();
    let cli = Cli::of(&redis);
    cli.write("good.json", EVENT);
    cli.write("bad.json", "{\n \"Events\": [}");
    cli.write("large.json", &format!("{{\"a\":\"{}\"}}", "x".repeat(1 << 20)));
    for (files, words) in [
        (
            &["good.json", "bad.json"][..],
            &["bad.json", "line 2 column 13", "nothing was published"][..],
        ),
        (
            &["good.json", "large.json"],
            &["large.json", "intake.max_body", "nothing was published"],
        ),
        (&["good.json", "absent.json"], &["absent.json"]),
    ] {
        cli.run(&[&["publish"], files].concat()).fails(words);
    }
    cli.feed(&["publish", "-"], "{}\n[]\n")
        .fails(&["standard input, line 2", "an array"]);
    assert_eq!(redis.cli(&["XLEN", "holdfast:{0}:events"]), "0");
    let full = TestRedis::with(&["--maxmemory", "1mb"]);
    Cli { url: full.url(), ..cli }.run(&["publish", "good.json"]).fails(&[
        "0 of 1 event published",
        "nearly full",
        "maxmemory",
    ]);
}

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

#[test]
fn a_redis_that_is_away_is_told_at_once() {
    let cli = Cli {
        dir: tempfile::tempdir().unwrap(),
        url: format!("redis://bob:c4n4ry@127.0.0.1:{}", free_port()),
    };
    cli.write("a.json", EVENT);
    for arguments in [
        &["status"][..],
        &["subscriptions", "list"],
        &["subscriptions", "add", "http://h"],
        &["dead-letters", "list"],
        &["publish", "a.json"],
    ] {
        let start = Instant::now();
        cli.run(arguments).fails(&["cannot reach Redis", "HOLDFAST_REDIS__URL"]);
        assert!(
            start.elapsed() < Duration::from_secs(4),
            "{arguments:?} took {:?}",
            start.elapsed()
        );
    }
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let redis = TestRedis::start();
    let cli = Cli::of(&redis);
    for arguments in [
        &["status"][..],
        &["config"],
        &["subscriptions", "list"],
        &["status", "--watch"],
    ] {
        let mut process = cli.command(arguments).spawn().unwrap();
        drop(process.stdout.take());
        let output = process.wait_with_output().unwrap();
        let err = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), err.as_ref()), (Some(0), ""), "{arguments:?}");
    }
}
