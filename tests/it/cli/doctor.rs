//! `holdfast doctor`: every check well and ill, on one server and on a Cluster.

use std::time::Duration;

use holdfast::store::settle::Verdict;
use serde_json::Value;

use super::EVENT;
use super::run::{CANARY, Cli};
use super::worker::{WORKER, settle, store};
use crate::support::certificates::Authority;
use crate::support::{Holdfast, TestRedis, cluster, free_ports, wait_until};

/// What doctor found, and whether it ended with 1.
fn doctor(cli: &Cli, variables: &[(&str, &str)]) -> (Vec<Value>, Option<i32>) {
    let mut command = cli.command(&["doctor", "--json"]);
    // A worker of these tests beats once, and is not to be dead for it where the machine is slow.
    command.env("HOLDFAST_WORKER__DEAD_AFTER", "10m");
    let output = command.envs(variables.iter().copied()).output().unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    assert!(!out.contains(CANARY), "{out}");
    let report: Value = serde_json::from_str(&out).unwrap();
    let checks = report["checks"].as_array().unwrap().clone();
    let is_failing = checks.iter().any(|check| check["level"] == "FAIL");
    assert_eq!(output.status.code(), Some(i32::from(is_failing)), "{out}");
    for check in &checks {
        assert_eq!(
            check["level"] == "OK",
            check["advice"].is_null(),
            "advice for what is not well: {check}"
        );
    }
    (checks, output.status.code())
}

/// The level and text of the worst check of that name.
#[track_caller]
fn check(checks: &[Value], name: &str) -> (String, String) {
    let rank = |check: &&Value| ["OK", "WARN", "FAIL"].iter().position(|level| check["level"] == *level);
    let named = checks.iter().filter(|check| check["check"] == name);
    let worst = named
        .max_by_key(rank)
        .unwrap_or_else(|| panic!("no check {name} in {checks:?}"));
    let text = |field: &str| worst[field].as_str().unwrap_or_default().to_owned();
    (text("level"), format!("{} -> {}", text("found"), text("advice")))
}

#[track_caller]
fn expect(checks: &[Value], name: &str, level: &str, words: &[&str]) {
    let (is, text) = check(checks, name);
    assert_eq!(is, level, "{name}: {text}");
    for word in words {
        assert!(text.contains(word), "no {word:?} in {name}: {text}");
    }
}

#[tokio::test]
async fn a_sound_deployment_passes() {
    let redis = TestRedis::with(&["--maxmemory", "64mb"]);
    let store = store(&redis).await;
    store.partitions()[0].ensure_groups().await.unwrap();
    store.partitions()[0].heartbeat(WORKER).await.unwrap();
    let before = redis.cli(&["DBSIZE"]);
    let (checks, code) = doctor(&Cli::of(&redis), &[]);
    assert_eq!(code, Some(0), "the least privilege is enough");
    expect(&checks, "permissions", "OK", &[TestRedis::user()]);

    // Who may read the configuration is told more.
    let cli = Cli {
        url: redis.admin_url(),
        ..Cli::of(&redis)
    };
    let (checks, code) = doctor(&cli, &[]);
    assert_eq!(code, Some(0));
    for (name, words) in [
        ("configuration", "loads"),
        ("redis", "redis://127.0.0.1"),
        ("server", "master, answers in"),
        ("durability", "appendfsync everysec"),
        (
            "replicas",
            "0 replicas connected; an event is accepted once the master has it",
        ),
        ("settings", "noeviction"),
        ("clock", "differ by"),
        ("permissions", "default"),
        ("partitions", "1 partition"),
        ("memory", "of 64.0 MiB used; not filling"),
        ("workers", WORKER),
        ("ledger", "balances"),
        ("dead letters", "none"),
        ("subscriptions", "0 subscriptions"),
    ] {
        expect(&checks, name, "OK", &[words]);
    }
    assert_eq!(redis.cli(&["DBSIZE"]), before, "it only looks");
    store.partitions()[0].heartbeat(WORKER).await.unwrap();
    let text = cli.run(&["doctor"]).ok();
    assert!(text.lines().count() <= 24, "one screen: {text}");
}

#[tokio::test]
async fn everything_that_is_wrong_is_said_at_once() {
    let redis = TestRedis::with(&["--appendonly", "no", "--maxmemory-policy", "allkeys-lru"]);
    let cli = Cli::of(&redis);
    let id = cli.add(&["https://127.0.0.1:9/", "--ca-file=/absent/ca.pem"]);
    cli.feed(&["publish", "-"], &[EVENT; 3].join("\n")).ok();
    let store = store(&redis).await;
    settle(&store, &id, Verdict::Unavailable, None).await;
    cli.feed(&["publish", "-"], EVENT).ok();
    settle(&store, &id, Verdict::Unavailable, Some("not an event")).await;
    redis.cli(&["HINCRBY", "holdfast:{0}:ledger", "delivered", "5"]);
    redis.cli(&["HSET", "holdfast:subscriptions", "broken", "{"]);
    redis.cli(&["ZADD", "holdfast:{0}:workers", "1", "long-gone"]);
    let (checks, code) = doctor(&cli, &[("HOLDFAST_REDIS__PARTITIONS", "4")]);
    assert_eq!(code, Some(1));
    for (name, level, words) in [
        ("settings", "WARN", &[][..]),
        ("partitions", "WARN", &["1 partition", "PARTITIONS is 4"]),
        ("workers", "FAIL", &["none runs", "holdfast serve"]),
        ("ledger", "FAIL", &["off by -5"]),
        ("dead letters", "WARN", &["1 dead letter", "replay"]),
        ("subscriptions", "FAIL", &["broken", "remove"]),
        ("CA files", "WARN", &["/absent/ca.pem"]),
    ] {
        expect(&checks, name, level, words);
    }
    let all = serde_json::to_string(&checks).unwrap();
    for word in ["maxmemory-policy is allkeys-lru", "appendonly is off", "maxmemory is 0"] {
        assert!(all.contains(word), "no {word:?} in {all}");
    }
    let parked = format!("{id}: 3 parked, connect:");
    assert!(all.contains(&parked), "{all}");

    store.partitions()[0].heartbeat(WORKER).await.unwrap();
    let (checks, _) = doctor(&cli, &[]);
    expect(&checks, "workers", "WARN", &[WORKER, "long-gone"]);
    expect(&checks, "partitions", "OK", &[]);
}

#[tokio::test]
async fn the_memory_is_measured_while_events_come_in() {
    let redis = TestRedis::with(&["--maxmemory", "64mb"]);
    let cli = Cli::of(&redis);
    let store = store(&redis).await;
    store.partitions()[0].ensure_groups().await.unwrap();
    let event = format!(
        r#"{{"Events":[{{"MessageId":"Base.1.0.Test","Message":"{}"}}]}}"#,
        "x".repeat(20_000)
    );
    let doctor_ran = std::sync::atomic::AtomicBool::new(false);
    let checks = std::thread::scope(|scope| {
        let looking = scope.spawn(|| {
            let found = doctor(&cli, &[]);
            doctor_ran.store(true, std::sync::atomic::Ordering::Relaxed);
            found
        });
        // Between the two looks something comes in, however slow the machine is.
        while !doctor_ran.load(std::sync::atomic::Ordering::Relaxed) {
            redis.cli(&["XADD", "holdfast:{0}:events", "*", "event", &event]);
        }
        looking.join().unwrap().0
    });
    let (level, text) = check(&checks, "memory");
    assert!(
        text.contains("filling by") && text.contains("measured over") && text.contains("intake is refused in about"),
        "{text}"
    );
    assert_ne!(level, "OK", "64 MiB do not last a day at this rate: {text}");

    let (checks, _) = doctor(
        &cli,
        &[
            ("HOLDFAST_INTAKE__MEMORY_REFUSE", "0.01"),
            ("HOLDFAST_INTAKE__MEMORY_WARN", "0.001"),
        ],
    );
    expect(&checks, "memory", "FAIL", &["503", "maxmemory"]);
}

#[tokio::test]
async fn what_stands_in_the_way_is_a_failure_that_says_so() {
    let mut redis = TestRedis::start();
    let replica = TestRedis::start();
    replica.cli(&["REPLICAOF", "127.0.0.1", &redis.port().to_string()]);
    let (checks, _) = doctor(&Cli::of(&replica), &[]);
    expect(&checks, "server", "FAIL", &["replica", "HOLDFAST_REDIS__URL"]);

    redis.cli(&[
        "ACL",
        "SETUSER",
        "holdfast",
        "on",
        ">c4n4ry",
        "~holdfast:*",
        "+@all",
        "-xclaim",
    ]);
    let cli = Cli::of(&redis);
    let user = [
        ("HOLDFAST_REDIS__USERNAME", "holdfast"),
        ("HOLDFAST_REDIS__PASSWORD", CANARY),
    ];
    let (checks, _) = doctor(&cli, &user);
    expect(&checks, "permissions", "FAIL", &["ACL SETUSER holdfast +xclaim"]);
    expect(&checks, "ledger", "OK", &["balances"]);

    let (checks, _) = doctor(&cli, &[("HOLDFAST_RETRY_DELAY", "1s")]);
    expect(
        &checks,
        "configuration",
        "FAIL",
        &["did you mean HOLDFAST_RETRY__DELAY?"],
    );
    redis.kill9();
    let (checks, _) = doctor(&cli, &[]);
    expect(
        &checks,
        "redis",
        "FAIL",
        &[
            "Connection refused",
            "Check HOLDFAST_REDIS__URL",
            "nothing that Redis has is lost",
        ],
    );
    expect(&checks, "configuration", "OK", &[]);
    let text = cli.run(&["doctor"]);
    assert!(text.out.contains("FAIL  redis"), "{}", text.out);
    text.fails(&["1 check failed"]);
}

#[test]
fn the_private_server_is_looked_at_with_its_disk() {
    let (checks, _) = doctor(&Cli::embedded(), &[]);
    let (_, text) = check(&checks, "disk");
    assert!(text.contains("free for"), "{text}");
    expect(&checks, "durability", "OK", &["appendonly yes"]);
}

#[tokio::test]
async fn each_master_of_a_cluster_is_looked_at() {
    let (nodes, url) = cluster(0).await;
    for node in &nodes {
        node.config_set("maxmemory", "64mb");
    }
    let cli = Cli {
        dir: tempfile::tempdir().unwrap(),
        url,
    };
    // Partition 0 is slot 13,907: on the third node.
    nodes[0].config_set("maxmemory-policy", "allkeys-lru");
    nodes[1].cli(&["ACL", "SETUSER", TestRedis::user(), "-xclaim"]);
    wait_until("all are asked", Duration::from_secs(30), async || {
        doctor(&cli, &[]).0.len() > 5
    })
    .await;
    let (checks, _) = doctor(&cli, &[]);
    let servers: Vec<_> = checks.iter().filter(|check| check["check"] == "server").collect();
    assert_eq!(servers.len(), 3, "{checks:?}");
    let weak = format!("127.0.0.1:{}: maxmemory-policy is allkeys-lru", nodes[0].port());
    expect(&checks, "settings", "WARN", &[&weak]);
    expect(&checks, "permissions", "FAIL", &["+xclaim"]);
    let memory = checks.iter().filter(|check| check["check"] == "memory").count();
    assert_eq!(memory, 3);
}

#[tokio::test]
async fn replicas_that_are_asked_for_are_counted() {
    let (redis, replica) = (TestRedis::start(), TestRedis::start());
    replica.follow(redis.port()).await;
    let cli = Cli::of(&redis);
    for (asked, level, words) in [
        (
            "0",
            "WARN",
            ["1 replica connected", "HOLDFAST_REDIS__CONFIRM_REPLICAS=1"],
        ),
        (
            "1",
            "OK",
            ["once 1 of them has it", "with one less every event is refused"],
        ),
        (
            "2",
            "FAIL",
            [
                "once 2 of them have it",
                "every event is refused: bring back the replicas",
            ],
        ),
    ] {
        let (checks, _) = doctor(&cli, &[("HOLDFAST_REDIS__CONFIRM_REPLICAS", asked)]);
        expect(&checks, "replicas", level, &words);
    }
}

#[tokio::test]
async fn certificates_in_files_are_looked_at() {
    let redis = TestRedis::start();
    let cli = Cli::of(&redis);
    let authority = Authority::new("ours");
    let now = jiff::Timestamp::now();
    let pair = |name: &str, days: i64| {
        let ends = now.as_second() + days * 86_400 + 3_600;
        let end = std::time::UNIX_EPOCH + Duration::from_secs(ends.try_into().unwrap());
        let (certificate, key) = authority.server("localhost", |server| server.not_after = end.into());
        let paths = ["crt", "key"].map(|kind| cli.path().join(format!("{name}.{kind}")).display().to_string());
        std::fs::write(&paths[0], certificate).unwrap();
        std::fs::write(&paths[1], key).unwrap();
        paths
    };
    let (fresh, ending, over) = (pair("fresh", 30), pair("ending", 6), pair("over", -2));
    let look = |redfish: &[String; 2], intake: [&str; 2]| {
        let variables = [
            ("HOLDFAST_REDFISH__CERTIFICATE", redfish[0].as_str()),
            ("HOLDFAST_REDFISH__KEY", &redfish[1]),
            ("HOLDFAST_INTAKE__CERTIFICATE", intake[0]),
            ("HOLDFAST_INTAKE__KEY", intake[1]),
        ];
        doctor(&cli, &variables).0
    };
    let checks = look(&fresh, [&fresh[0], &fresh[1]]);
    expect(
        &checks,
        "certificates",
        "OK",
        &["redfish until 20", "(in 30d", "intake until 20"],
    );
    let checks = look(&ending, [&fresh[0], &fresh[1]]);
    expect(
        &checks,
        "certificates",
        "WARN",
        &["redfish ends in 6d", "certificates.check"],
    );
    let checks = look(&ending, [&over[0], &over[1]]);
    expect(
        &checks,
        "certificates",
        "FAIL",
        &["intake has ended", "ago", "redfish ends in"],
    );
    let checks = look(&fresh, [&fresh[0], &over[1]]);
    expect(&checks, "certificates", "FAIL", &["KeyMismatch"]);
    let checks = look(&fresh, ["/absent/crt", &over[1]]);
    expect(
        &checks,
        "certificates",
        "WARN",
        &["/absent/crt", "where the service runs"],
    );
}

#[tokio::test]
async fn the_redfish_service_and_its_accounts_are_looked_at() {
    let redis = TestRedis::start();
    let cli = Cli::of(&redis);
    let [redfish, admin] = free_ports().map(|port| format!("127.0.0.1:{port}"));
    let own = [
        ("HOLDFAST_REDFISH__LISTEN", redfish.as_str()),
        ("HOLDFAST_ADMIN__LISTEN", &admin),
    ];
    let (checks, _) = doctor(&cli, &own);
    expect(&checks, "redfish", "OK", &["nothing serves it on this machine"]);
    let url = redis.url();
    let pod = Holdfast::start(&["serve"], &[own.as_slice(), &[("HOLDFAST_REDIS__URL", &url)]].concat());
    pod_is_ready(&admin).await;
    let (checks, _) = doctor(&cli, &own);
    expect(
        &checks,
        "redfish",
        "OK",
        &[&redfish, "answers", "(self-signed)", "certificate until 20"],
    );
    expect(
        &checks,
        "accounts",
        "WARN",
        &["1 account", "admin has the password that was generated", "PATCH"],
    );

    let password = pod.stdout();
    let password = password.split("password ").nth(1).unwrap().split(' ').next().unwrap();
    let client = reqwest::Client::builder()
        .no_proxy()
        .tls_danger_accept_invalid_certs(true)
        .build()
        .unwrap();
    let account = format!("https://{redfish}/redfish/v1/AccountService/Accounts/admin");
    let change = client.patch(&account).basic_auth("admin", Some(password));
    let changed = change.body(r#"{"Password":"one of my own"}"#).send().await.unwrap();
    assert_eq!(changed.status(), 200);
    let (checks, _) = doctor(&cli, &own);
    expect(&checks, "accounts", "OK", &["1 account, 0 open sessions"]);
    for _ in 0..5 {
        let wrong = client.get(&account).basic_auth("admin", Some("wrong password"));
        assert_eq!(wrong.send().await.unwrap().status(), 401);
    }
    let (checks, _) = doctor(&cli, &own);
    expect(
        &checks,
        "accounts",
        "WARN",
        &["locked after wrong passwords: admin", "Locked"],
    );

    let elsewhere = [("HOLDFAST_REDFISH__LISTEN", "127.0.0.1:9"), own[1]];
    let (checks, _) = doctor(&cli, &elsewhere);
    expect(&checks, "redfish", "WARN", &["nothing listens on 127.0.0.1:9", &admin]);
    let (checks, _) = doctor(&cli, &[("HOLDFAST_REDFISH__ENABLED", "false")]);
    expect(&checks, "redfish", "OK", &["not served"]);
}

async fn pod_is_ready(admin: &str) {
    wait_until("the pod is ready", Duration::from_secs(40), async || {
        let answer = reqwest::get(format!("http://{admin}/readyz")).await;
        answer.is_ok_and(|answer| answer.status() == 200)
    })
    .await;
}
