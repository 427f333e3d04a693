//! `holdfast secrets reseal`: the first key, a rotation, and a key that is missing.

use serde_json::Value;

use super::run::{Cli, Ran};
use crate::support::TestRedis;

const OLD: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
const NEW: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
const KEY: &str = "HOLDFAST_SECRETS__KEY";
const PREVIOUS: &str = "HOLDFAST_SECRETS__PREVIOUS_KEYS";

fn run(cli: &Cli, environment: &[(&str, &str)], arguments: &[&str]) -> Ran {
    let output = cli
        .command(arguments)
        .envs(environment.iter().copied())
        .output()
        .unwrap();
    Ran {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Level and finding of the check of secrets.
fn doctor(cli: &Cli, environment: &[(&str, &str)]) -> (String, String) {
    let report: Value = serde_json::from_str(&run(cli, environment, &["doctor", "--json"]).out).unwrap();
    let check = report["checks"]
        .as_array()
        .unwrap()
        .iter()
        .find(|check| check["check"] == "secrets")
        .unwrap();
    let text = |name: &str| check[name].as_str().unwrap_or_default().to_owned();
    (text("level"), text("found"))
}

fn stored(redis: &TestRedis) -> String {
    redis.cli(&["HVALS", "holdfast:subscriptions"])
}

#[test]
fn keys_come_are_rotated_and_go_and_no_secret_is_lost() {
    let redis = TestRedis::start();
    let cli = Cli::of(&redis);
    assert_eq!(doctor(&cli, &[]).0, "OK", "there is nothing to seal");
    let id = cli.add(&["https://siem.example/", "--header=X-Key: c4n4ry"]);
    cli.add(&["https://other.example/"]);
    assert!(stored(&redis).contains("c4n4ry"));
    let (level, found) = doctor(&cli, &[]);
    assert!(
        level == "WARN" && found.contains("1 subscription are plain text"),
        "{level} {found}"
    );
    cli.run(&["secrets", "reseal"]).fails(&["no key is set", KEY]);

    let old = &[(KEY, OLD)][..];
    assert_eq!(doctor(&cli, old).0, "WARN");
    let ran = run(&cli, old, &["secrets", "reseal"]);
    assert!(ran.err.contains("BGREWRITEAOF"), "{}", ran.err);
    assert!(ran.ok().starts_with("1 subscription sealed anew with the key "));
    assert!(!stored(&redis).contains("c4n4ry"), "{}", stored(&redis));
    assert_eq!(doctor(&cli, old).0, "OK");
    assert!(
        run(&cli, old, &["secrets", "reseal"])
            .ok()
            .starts_with("0 subscriptions ")
    );

    let rotation = &[(KEY, NEW), (PREVIOUS, OLD)][..];
    let (level, found) = doctor(&cli, rotation);
    assert!(
        level == "WARN" && found.contains("sealed with an older key"),
        "{level} {found}"
    );
    assert!(
        run(&cli, rotation, &["secrets", "reseal"])
            .ok()
            .starts_with("1 subscription ")
    );
    assert_eq!(doctor(&cli, &[(KEY, NEW)]).0, "OK", "the old one can go");

    let lost = &[(KEY, OLD)][..];
    let (level, found) = doctor(&cli, lost);
    assert!(
        level == "FAIL" && found.contains(&id) && found.contains("header X-Key"),
        "{level} {found}"
    );
    let before = stored(&redis);
    run(&cli, lost, &["secrets", "reseal"]).fails(&[&id, "header X-Key", "secrets.previous_keys"]);
    assert_eq!(stored(&redis), before, "what does not open stays as it is");
    // Listing, showing and changing something else need no key.
    assert!(run(&cli, lost, &["subscriptions", "show", &id]).ok().contains("X-Key"));
    run(&cli, lost, &["subscriptions", "update", &id, "--context=rack-7"]).ok();
    assert_eq!(doctor(&cli, &[(KEY, NEW)]).0, "OK");
}

#[test]
fn a_key_that_is_none_stops_the_start_and_is_not_shown() {
    let redis = TestRedis::start();
    let cli = Cli::of(&redis);
    cli.write("keys", "c4n4ry\n");
    for (name, value) in [
        (KEY, "c4n4ry"),
        (PREVIOUS, "c4n4ry,c4n4ry"),
        ("HOLDFAST_SECRETS__KEY_FILE", "keys"),
        ("HOLDFAST_SECRETS__KEY_FILE", "absent"),
    ] {
        for verb in [&["serve"][..], &["subscriptions", "list"], &["secrets", "reseal"]] {
            run(&cli, &[(name, value)], verb).fails(&["32"]);
        }
    }
}
