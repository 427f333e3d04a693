//! The shipped ACL file: its user may do what Holdfast needs and nothing else. That it is enough, every other
//! test shows: Holdfast meets their servers as this user.

use std::collections::BTreeSet;

use fred::error::ErrorKind;
use holdfast::config;
use holdfast::store::connect::{Connection, FirstConnect};
use holdfast::store::error::StoreError;
use holdfast::store::permissions::rules;
use holdfast::store::probe::probe;

use crate::support::TestRedis;

/// The user of the file without some of its rules, as an operator could have left them out.
async fn check_without(redis: &TestRedis, rule: &str, confirm_replicas: u32) -> String {
    let granted = rules("holdfast");
    let kept = granted.iter().map(String::as_str).filter(|granted| *granted != rule);
    let words: Vec<&str> = ["ACL", "SETUSER", "less", "reset", "on", ">s3cret"]
        .into_iter()
        .chain(kept)
        .collect();
    assert_eq!(redis.cli(&words), "OK");
    let settings = config::Redis {
        username: Some("less".to_owned()),
        password: Some("s3cret".to_owned().into()),
        confirm_replicas,
        ..config::Redis::default()
    };
    let connection = Connection::open(&settings, &redis.admin_url(), FirstConnect::FailFast)
        .await
        .unwrap();
    let message = probe(&connection, "holdfast")
        .await
        .err()
        .map(|error| error.to_string());
    connection.quit().await;
    message.unwrap_or_default()
}

#[test]
fn what_it_does_not_need_is_denied() {
    let redis = TestRedis::start();
    let denied = [
        "FLUSHALL",
        "FLUSHDB",
        "KEYS *",
        "SCAN 0",
        "CONFIG GET *",
        "CONFIG SET maxmemory 0",
        "CONFIG REWRITE",
        "DEBUG SLEEP 0",
        "SHUTDOWN NOSAVE",
        "ACL LIST",
        "ACL SETUSER holdfast allcommands",
        "CLIENT LIST",
        "CLIENT KILL TYPE normal",
        "SCRIPT FLUSH",
        "SCRIPT KILL",
        "REPLICAOF NO ONE",
        "CLUSTER RESET",
        "MONITOR",
        "SUBSCRIBE all",
        "PUBLISH all 1",
        "MIGRATE 127.0.0.1 1 holdfast:{0}:events 0 1",
        "DEL holdfast:{0}:events",
        "EXPIRE holdfast:{0}:events 1",
        "RENAME holdfast:{0}:events holdfast:{0}:gone",
        "XGROUP DESTROY holdfast:{0}:events workers",
        "XGROUP SETID holdfast:{0}:events workers $",
    ];
    for line in denied {
        let answer = as_holdfast(&redis, line);
        // A server may forbid DEBUG to everybody.
        let denied = answer.starts_with("NOPERM") || answer.contains("DEBUG command not allowed");
        assert!(denied, "{line}: {answer}");
    }
    for line in [
        "GET other",
        "XADD other:{0}:events * a b",
        "HGETALL holdfast",
        "EVAL return 1 other",
    ] {
        let answer = as_holdfast(&redis, line);
        assert!(answer.contains("NOPERM") && answer.contains("key"), "{line}: {answer}");
    }
    let in_lua = ["EVAL", "return redis.call('FLUSHALL')", "0"];
    let answer = redis.as_holdfast(&in_lua);
    assert!(
        StoreError::command("EVAL")(other_error(&answer)).is_permission(),
        "{answer}"
    );
    let foreign_key = ["EVAL", "return redis.call('GET', 'other')", "0"];
    let answer = redis.as_holdfast(&foreign_key);
    assert!(
        StoreError::command("EVAL")(other_error(&answer)).is_permission(),
        "{answer}"
    );
}

/// What Holdfast would see: each server words a denial in a script in its own way, and all have to be known.
fn other_error(text: &str) -> fred::error::Error {
    fred::error::Error::new(ErrorKind::Unknown, text.to_owned())
}

fn as_holdfast(redis: &TestRedis, line: &str) -> String {
    redis.as_holdfast(&line.split(' ').collect::<Vec<_>>())
}

/// SELECT is not among what the user may do, and the first database needs none.
#[tokio::test]
async fn a_database_in_the_url_costs_no_permission_unless_it_is_another() {
    let redis = TestRedis::start();
    let settings = config::Redis::default();
    let open = async |number: u8| {
        Connection::open(&settings, &format!("{}/{number}", redis.url()), FirstConnect::FailFast).await
    };
    let first = open(0).await.unwrap();
    assert!(probe(&first, "holdfast").await.is_ok());
    first.quit().await;
    let message = open(1).await.err().unwrap().to_string();
    assert!(
        message.contains("Leave the database out of HOLDFAST_REDIS__URL"),
        "{message}"
    );
}

/// What the start tries, it names when it is not granted. The rest is what the connection sends by itself, and what
/// can be done without.
#[tokio::test]
async fn every_rule_is_missed_at_once() {
    let redis = TestRedis::start();
    assert_eq!(check_without(&redis, "none", 1).await, "");
    let unnoticed: BTreeSet<String> = {
        let mut unnoticed = BTreeSet::new();
        for rule in rules("holdfast")
            .into_iter()
            .filter(|rule| rule.starts_with(['+', '~']))
        {
            let message = check_without(&redis, &rule, 1).await;
            if !message.ends_with(&format!("ACL SETUSER less {rule}")) {
                assert_eq!(message, "", "{rule}");
                unnoticed.insert(rule);
            }
        }
        unnoticed
    };
    let sent_by_the_connection = ["+asking", "+client|setname", "+cluster|info", "+cluster|slots", "+role"];
    let optional = ["+memory|usage"];
    let untried = sent_by_the_connection.into_iter().chain(optional);
    assert_eq!(unnoticed, untried.map(str::to_owned).collect());
    for rule in ["+wait", "+client|getname"] {
        assert_eq!(
            check_without(&redis, rule, 0).await,
            "",
            "needed only where replicas are asked for"
        );
    }
}
