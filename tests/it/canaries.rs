//! Plants a recognisable text in every place that holds a secret and looks for it in everything that comes out.
//!
//! One deployment that does all it can: a delivery, an outage, a refusal, a dead letter; a worker that logs at debug
//! level, with every secret setting set.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use holdfast::cli::sink::{Mode, Sink, SinkOptions};
use serde_json::Value;

use crate::support::certificates::Authority;
use crate::support::{Holdfast, LOOPBACK, SHORT_TIMES, TestRedis, wait_until};

const SOON: Duration = Duration::from_secs(40);
const REDIS_PASSWORD: &str = "c4n4ry-redis-password";
const ADMIN_PASSWORD: &str = "c4n4ry-Admin-Password-1";
const HEADER: &str = "c4n4ry-header-value";
const ROTATED: &str = "c4n4ry-header-that-was-replaced";

/// A secret, as it might be found: its place, and the text.
type Canary = (&'static str, String);

/// Random bytes in base64; a text that nothing else contains.
fn random() -> String {
    STANDARD.encode(rand::random::<[u8; 32]>())
}

/// Fails when one of the secrets is in `text`.
#[track_caller]
fn expect_none(place: &str, text: &[u8], canaries: &[Canary]) {
    for (secret, canary) in canaries {
        let found = text.windows(canary.len()).position(|part| part == canary.as_bytes());
        if let Some(at) = found {
            let around = String::from_utf8_lossy(&text[at.saturating_sub(300)..at]);
            panic!("the {secret} is in {place}, after: {around}");
        }
    }
}

/// Every file below a directory, with its content.
fn files(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.is_file() {
            found.push((path.display().to_string(), std::fs::read(&path).unwrap()));
        }
    }
    found
}

/// A deployment with a secret in every place, and the secrets.
struct Planted {
    redis: TestRedis,
    pod: Holdfast,
    environment: Vec<(String, String)>,
    canaries: Vec<Canary>,
}

impl Planted {
    async fn start() -> Self {
        let redis = TestRedis::with(&["--requirepass", REDIS_PASSWORD]);
        let (key, previous) = (random(), random());
        let environment = [
            ("HOLDFAST_REDIS__URL", redis.url()),
            ("HOLDFAST_REDIS__PASSWORD", REDIS_PASSWORD.to_owned()),
            ("HOLDFAST_SECRETS__KEY", key.clone()),
            ("HOLDFAST_SECRETS__PREVIOUS_KEYS", previous.clone()),
            ("HOLDFAST_LOG__LEVEL", "debug".to_owned()),
            ("HOLDFAST_REDFISH__ADMIN_PASSWORD", ADMIN_PASSWORD.to_owned()),
            (LOOPBACK.0, LOOPBACK.1.to_owned()),
        ];
        let environment: Vec<(String, String)> = environment.map(|(name, value)| (name.to_owned(), value)).to_vec();
        let all: Vec<(&str, &str)> = SHORT_TIMES
            .into_iter()
            .filter(|(name, _)| !name.ends_with("LISTEN"))
            .chain(environment.iter().map(|(name, value)| (name.as_str(), value.as_str())))
            .chain([("HOLDFAST_RETRY__REFUSED_ATTEMPTS", "1")])
            .collect();
        let pod = Holdfast::start(&["serve"], &all);
        pod.answers("/readyz", SOON).await;
        let canaries = vec![
            ("Redis password", REDIS_PASSWORD.to_owned()),
            ("administrator's password", ADMIN_PASSWORD.to_owned()),
            ("sealing key", key),
            ("previous sealing key", previous),
            ("header value", HEADER.to_owned()),
            ("replaced header value", ROTATED.to_owned()),
        ];
        Self {
            redis,
            pod,
            environment,
            canaries,
        }
    }

    /// Runs a verb; what it printed is looked through, whatever came of it.
    #[track_caller]
    fn run(&self, arguments: &[&str]) -> String {
        self.run_with(arguments, &[])
    }

    #[track_caller]
    fn run_with(&self, arguments: &[&str], more: &[(&str, &str)]) -> String {
        let output = Command::new(env!("CARGO_BIN_EXE_holdfast"))
            .args(arguments)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .envs(more.iter().copied())
            .current_dir(self.redis.dir())
            .output()
            .unwrap();
        let place = format!("holdfast {}", arguments.join(" "));
        expect_none(&place, &output.stdout, &self.canaries);
        expect_none(&place, &output.stderr, &self.canaries);
        String::from_utf8(output.stdout).unwrap()
    }

    /// A subscription with a secret in every place that a subscription has.
    fn subscribe(&mut self, url: &str) -> String {
        let secret = random();
        let header = format!("--header=Authorization: Bearer {ROTATED}");
        let added = Command::new(env!("CARGO_BIN_EXE_holdfast"))
            .args(["subscriptions", "add", url, &header, "--generate-secret"])
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .output()
            .unwrap();
        let printed = String::from_utf8(added.stdout).unwrap();
        let mut lines = printed.lines();
        let id = lines.next().unwrap().to_owned();
        // Shown this once, to who made it.
        let generated = lines.next().unwrap().trim_start_matches("whsec_").to_owned();
        self.canaries.push(("generated signing secret", generated));
        self.canaries.push(("signing secret", secret.clone()));
        self.run(&[
            "subscriptions",
            "update",
            &id,
            &format!("--header=Authorization: Bearer {HEADER}"),
        ]);
        let rotate = ["--secret", &format!("whsec_{secret}"), "--secret-grace", "1h"];
        self.run(&[&["subscriptions", "update", &id], &rotate[..]].concat());
        id
    }

    /// Puts a client certificate into a stored subscription, as a newer way to manage them would.
    fn add_client_key(&mut self, id: &str) {
        let (pem, key) = Authority::new("clients").server("holdfast", |_| {});
        let line = key.lines().nth(1).unwrap().to_owned();
        self.canaries.push(("client key", line));
        let read = ["-a", REDIS_PASSWORD, "HGET", "holdfast:subscriptions", id];
        let mut stored: Value = serde_json::from_str(&self.redis.cli(&read)).unwrap();
        stored["client_certificates"] = serde_json::json!([{ "id": "1", "pem": pem, "key": key }]);
        let write = [
            "-a",
            REDIS_PASSWORD,
            "HSET",
            "holdfast:subscriptions",
            id,
            &stored.to_string(),
        ];
        self.redis.cli(&write);
        self.run(&["secrets", "reseal"]);
    }
}

async fn sink(mode: Mode) -> Sink {
    let options = SinkOptions {
        mode,
        ..SinkOptions::default()
    };
    Sink::start(options).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_leaves_the_place_where_it_is_used() {
    let mut planted = Planted::start().await;
    let (well, down, picky) = (
        sink(Mode::Ok).await,
        sink(Mode::Status(503)).await,
        sink(Mode::Status(404)).await,
    );
    let mut ids = Vec::new();
    for sink in [&well, &down, &picky] {
        let id = planted.subscribe(&sink.url("/events"));
        planted.add_client_key(&id);
        ids.push(id);
    }
    let planted = planted;
    let event = r#"{"Events":[{"MessageId":"Base.1.0.Test","MessageSeverity":"Critical"}]}"#;
    for _ in 0..3 {
        let posted = reqwest::Client::new()
            .post(planted.pod.intake("/events/bmc-1"))
            .body(event)
            .send()
            .await
            .unwrap();
        assert_eq!(posted.status(), 200);
    }
    let junk = ["XADD", "holdfast:{0}:events", "*", "event", "no event"];
    planted.redis.cli(&[&["-a", REDIS_PASSWORD][..], &junk].concat());
    wait_until("it is delivered, parked and probed", SOON, async || {
        well.counts().requests >= 3 && down.counts().requests >= 3 && picky.counts().requests >= 3
    })
    .await;

    for page in ["/", "/status.json", "/metrics"] {
        let body = reqwest::get(planted.pod.admin(page))
            .await
            .unwrap()
            .bytes()
            .await
            .unwrap();
        expect_none(page, &body, &planted.canaries);
    }
    for id in &ids {
        for verb in ["show", "test", "retry-now"] {
            planted.run(&["subscriptions", verb, id]);
            planted.run(&["subscriptions", verb, id, "--json"]);
        }
        // With the wrong key, with none, with a wrong value: the messages show nothing either.
        planted.run_with(&["subscriptions", "show", id], &[("HOLDFAST_SECRETS__KEY", "")]);
        planted.run_with(&["subscriptions", "test", id], &[("HOLDFAST_SECRETS__KEY", "")]);
    }
    for verb in [
        &["status"][..],
        &["status", "--json"],
        &["subscriptions", "list"],
        &["subscriptions", "list", "--json"],
        &["dead-letters", "list"],
        &["dead-letters", "list", "--json"],
        &["find", "bmc-1"],
        &["find", "bmc-1", "--json"],
        &["sources"],
        &["doctor"],
        &["doctor", "--json"],
        &["config"],
        &["config", "--json"],
        &["secrets", "reseal"],
    ] {
        planted.run(verb);
    }
    let letters: Value = serde_json::from_str(&planted.run(&["dead-letters", "list", "--json"])).unwrap();
    planted.run(&["dead-letters", "show", letters[0]["id"].as_str().unwrap()]);
    let broken = format!("{}x", planted.environment[2].1);
    for (name, value) in [
        ("HOLDFAST_SECRETS__KEY", broken.as_str()),
        ("HOLDFAST_SECRETS__PREVIOUS_KEYS", &broken),
        ("HOLDFAST_REDIS__PREFIX", ""),
    ] {
        planted.run_with(&["status"], &[(name, value)]);
    }

    expect_none(
        "the log of a worker",
        planted.pod.stderr().as_bytes(),
        &planted.canaries,
    );
    assert!(
        planted.pod.stderr().contains(r#""level":"DEBUG""#),
        "it logs at debug level"
    );
    let before = planted.canaries.len();
    assert_eq!(before, 6 + 3 * 3);
    planted.redis.cli(&["-a", REDIS_PASSWORD, "SAVE"]);
    let dump = files(planted.redis.dir());
    let names: Vec<&str> = dump.iter().map(|(name, _)| name.as_str()).collect();
    assert!(names.iter().any(|name| name.ends_with(".rdb")), "{names:?}");
    assert!(names.iter().any(|name| name.ends_with(".aof")), "{names:?}");
    // Put there by the test's own hand, in plain text, before it was sealed.
    let sealed: Vec<Canary> = planted
        .canaries
        .iter()
        .filter(|(what, _)| *what != "client key")
        .cloned()
        .collect();
    for (name, content) in &dump {
        let canaries = if name.ends_with(".rdb") {
            &planted.canaries
        } else {
            &sealed
        };
        expect_none(name, content, canaries);
    }
}
