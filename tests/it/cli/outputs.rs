//! What all verbs have in common: quick clear errors, and peace with a reader that has seen enough.

use std::time::{Duration, Instant};

use super::EVENT;
use super::run::Cli;
use crate::support::{TestRedis, free_port};

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
        &["find", "bmc-7"],
        &["sources"],
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
fn a_verb_that_acts_on_named_ones_or_on_all_says_so() {
    let cli = Cli {
        dir: tempfile::tempdir().unwrap(),
        url: "redis://127.0.0.1:1".to_owned(),
    };
    for verb in [
        ["subscriptions", "retry-now"],
        ["dead-letters", "replay"],
        ["dead-letters", "purge"],
    ] {
        let ran = cli.run(&verb);
        assert_eq!(ran.code, Some(2), "{}", ran.err);
        assert!(ran.err.contains("<ID|--all>"), "{}", ran.err);
        let ran = cli.run(&[verb[0], verb[1], "1-1", "--all"]);
        assert_eq!(ran.code, Some(2), "{}", ran.err);
        assert!(ran.err.contains("cannot be used with '--all'"), "{}", ran.err);
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
        &["sources"],
        &["find", "bmc-7"],
        &["status", "--watch"],
    ] {
        let mut process = cli.command(arguments).spawn().unwrap();
        drop(process.stdout.take());
        let output = process.wait_with_output().unwrap();
        let err = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), err.as_ref()), (Some(0), ""), "{arguments:?}");
    }
}
