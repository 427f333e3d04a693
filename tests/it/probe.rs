//! What is learnt of a server at start: its durability, missing permissions, missing commands.

use holdfast::config;
use holdfast::store::connect::{Connection, FirstConnect};
use holdfast::store::error::StoreError;
use holdfast::store::permissions::rules;
use holdfast::store::probe::{Flavour, ServerFacts, probe};
use secrecy::SecretString;

use crate::support::TestRedis;

async fn facts(redis: &TestRedis, user: Option<&str>) -> Result<ServerFacts, StoreError> {
    let settings = config::Redis {
        username: user.map(str::to_owned),
        password: user.map(|_| SecretString::from("s3cret")),
        ..config::Redis::default()
    };
    let connection = Connection::open(&settings, &redis.admin_url(), FirstConnect::FailFast).await?;
    let facts = probe(&connection, "holdfast").await;
    connection.quit().await;
    facts
}

/// A user who may do what Holdfast needs behind `prefix`, with `changes` to that.
fn user(redis: &TestRedis, name: &str, prefix: &str, changes: &[&str]) {
    let rules = rules(prefix);
    let rules = rules.iter().map(String::as_str).chain(changes.iter().copied());
    let mut words = vec!["ACL", "SETUSER", name, "reset", "on", ">s3cret"];
    words.extend(rules);
    assert_eq!(redis.cli(&words), "OK");
}

#[tokio::test]
async fn a_durable_server_gives_no_warning_and_keeps_no_trace() {
    let redis = TestRedis::with(&["--maxmemory", "64mb"]);
    let facts = facts(&redis, None).await.unwrap();
    assert_eq!(facts.max_memory, 64 << 20);
    assert!(facts.append_only && !facts.version.is_empty());
    assert_eq!(facts.fsync.as_deref(), Some("everysec"));
    assert_eq!(facts.warnings(0), Vec::<String>::new());
    assert_eq!(redis.cli(&["DBSIZE"]), "0");
    let valkey = redis.cli(&["INFO", "server"]).contains("valkey");
    assert_eq!(facts.flavour, if valkey { Flavour::Valkey } else { Flavour::Redis });
}

#[tokio::test]
async fn weak_durability_is_told() {
    let redis = TestRedis::with(&["--appendonly", "no", "--maxmemory-policy", "allkeys-lru"]);
    let warnings = facts(&redis, None).await.unwrap().warnings(0).join("\n");
    for word in ["noeviction", "appendonly", "maxmemory is 0"] {
        assert!(warnings.contains(word), "{warnings}");
    }
}

#[tokio::test]
async fn a_full_server_still_starts() {
    let redis = TestRedis::with(&["--maxmemory", "1"]);
    assert_eq!(facts(&redis, None).await.unwrap().max_memory, 1);
}

#[tokio::test]
async fn least_privilege_is_enough() {
    let redis = TestRedis::start();
    user(&redis, "writer", "holdfast", &[]);
    let facts = facts(&redis, Some("writer")).await.unwrap();
    assert_eq!(facts.fsync, None, "CONFIG is not granted");
}

#[tokio::test]
async fn a_missing_permission_is_named_with_its_cure() {
    let redis = TestRedis::start();
    user(&redis, "writer", "holdfast", &["-xclaim", "-hscan"]);
    let message = facts(&redis, Some("writer")).await.unwrap_err().to_string();
    assert!(message.ends_with("ACL SETUSER writer +hscan +xclaim"), "{message}");
    user(&redis, "other", "other", &[]);
    let message = facts(&redis, Some("other")).await.unwrap_err().to_string();
    assert!(message.ends_with("ACL SETUSER other ~holdfast:*"), "{message}");
}

#[tokio::test]
async fn a_renamed_command_is_named() {
    let redis = TestRedis::with(&["--rename-command", "XCLAIM", ""]);
    let message = facts(&redis, None).await.unwrap_err().to_string();
    assert!(message.contains("XCLAIM"), "{message}");
}

#[tokio::test]
async fn a_replica_is_refused() {
    let (master, replica) = (TestRedis::start(), TestRedis::start());
    replica.cli(&["REPLICAOF", "127.0.0.1", &master.port().to_string()]);
    let message = facts(&replica, None).await.unwrap_err().to_string();
    assert!(message.contains("replica"), "{message}");
}
