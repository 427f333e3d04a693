//! The alert rules: complete, in the runbook, and right by promtool's own tests (skipped aloud where it is absent).

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::queries::Check;
use super::series::Series;
use super::{directory, servers};

pub(super) fn read(name: &str) -> String {
    std::fs::read_to_string(directory().join(name)).unwrap()
}

/// All rules, of all groups.
pub(super) fn rules() -> Vec<Value> {
    let file: Value = serde_saphyr::from_str(&read("alerts.yaml")).unwrap();
    let groups = file["groups"].as_array().unwrap().iter();
    groups
        .flat_map(|group| group["rules"].as_array().unwrap().clone())
        .collect()
}

pub(super) fn text<'a>(rule: &'a Value, pointer: &str) -> &'a str {
    rule.pointer(pointer).and_then(Value::as_str).unwrap_or("")
}

/// The sections of the runbook: heading and text.
fn sections(runbook: &str) -> Vec<(&str, &str)> {
    let sections = runbook.split("\n## ").skip(1);
    sections.map(|section| section.split_once('\n').unwrap()).collect()
}

/// What is wrong with the rules' words, and with the runbook.
fn complaints(rules: &[Value], runbook: &str) -> Vec<String> {
    let mut found = Vec::new();
    let sections = sections(runbook);
    let mut alerts = BTreeSet::new();
    for rule in rules.iter().filter(|rule| rule["alert"].is_string()) {
        let name = text(rule, "/alert");
        alerts.insert(name);
        if !["critical", "warning"].contains(&text(rule, "/labels/severity")) {
            found.push(format!("{name}: no severity"));
        }
        for annotation in ["summary", "description"] {
            if text(rule, &format!("/annotations/{annotation}")).len() < 15 {
                found.push(format!("{name}: no {annotation}"));
            }
        }
        let anchor = format!("dashboards/RUNBOOK.md#{}", name.to_lowercase());
        if text(rule, "/annotations/runbook") != anchor {
            found.push(format!("{name}: the runbook is not {anchor}"));
        }
    }
    let headings: BTreeSet<&str> = sections.iter().map(|(heading, _)| *heading).collect();
    found.extend(
        alerts
            .difference(&headings)
            .map(|name| format!("{name} is not in the runbook")),
    );
    found.extend(
        headings
            .difference(&alerts)
            .map(|name| format!("the runbook's {name} is no alert")),
    );
    for (heading, text) in &sections {
        for part in ["**Means.**", "**Look at.**", "**Do.**"] {
            if text.matches(part).count() != 1 {
                found.push(format!("{heading}: not one {part}"));
            }
        }
    }
    found
}

/// What is wrong with the rules' queries, given what a live deployment exports.
pub(super) fn query_complaints(rules: &[Value], series: &Series) -> Vec<String> {
    let mut check = Check::of_rules(series);
    for rule in rules {
        if rule["record"].is_string() {
            check.record(text(rule, "/record"));
        }
        let name = text(rule, "/record").to_owned() + text(rule, "/alert");
        check.query(&name, text(rule, "/expr"));
    }
    check.found
}

#[test]
fn every_alert_is_explained() {
    assert_eq!(complaints(&rules(), &read("RUNBOOK.md")), Vec::<String>::new());
}

#[test]
fn every_mistake_is_found() {
    let runbook = read("RUNBOOK.md");
    let first = |edit: fn(&mut Value)| {
        let mut rules = rules();
        edit(rules.iter_mut().find(|rule| rule["alert"].is_string()).unwrap());
        complaints(&rules, &runbook)
    };
    let name = "HoldfastIntakeBurnsFast";
    for (found, words) in [
        (
            first(|rule| rule["labels"]["severity"] = "high".into()),
            format!("{name}: no severity"),
        ),
        (
            first(|rule| rule["annotations"]["summary"] = Value::Null),
            format!("{name}: no summary"),
        ),
        (
            first(|rule| rule["annotations"]["description"] = "".into()),
            format!("{name}: no description"),
        ),
        (
            first(|rule| rule["annotations"]["runbook"] = "x".into()),
            format!("{name}: the runbook is not"),
        ),
        (
            first(|rule| rule["alert"] = "Holdfast".into()),
            "Holdfast is not in the runbook".to_owned(),
        ),
        (
            complaints(&rules()[..5], &runbook),
            "the runbook's HoldfastAbsent is no alert".to_owned(),
        ),
        (
            complaints(&rules(), &runbook.replace("**Do.**", "Do.")),
            format!("{name}: not one **Do.**"),
        ),
    ] {
        assert!(
            found.iter().any(|complaint| complaint.contains(&words)),
            "no {words:?} in {found:#?}"
        );
    }
}

/// Every `holdfast` command of the runbook is one, with options that it has.
#[test]
fn the_commands_of_the_runbook_exist() {
    let runbook = read("RUNBOOK.md");
    let commands: Vec<&str> = runbook.lines().filter(|line| line.starts_with("holdfast ")).collect();
    assert!(commands.len() > 10, "{commands:?}");
    for command in commands {
        let words: Vec<&str> = command.split_whitespace().skip(1).collect();
        let verb = words
            .iter()
            .take_while(|word| word.chars().all(|c| c.is_ascii_lowercase() || c == '-'));
        let verb: Vec<&&str> = verb.take_while(|word| !word.starts_with('-')).collect();
        let output = Command::new(env!("CARGO_BIN_EXE_holdfast"))
            .args(&verb)
            .arg("--help")
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{command}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        let help = String::from_utf8(output.stdout).unwrap();
        for option in words.iter().filter(|word| word.starts_with("--")) {
            assert!(help.contains(option), "{command}: no {option} in\n{help}");
        }
        assert!(help.contains(&format!(
            "Usage: holdfast {}",
            verb.iter().map(|word| **word).collect::<Vec<_>>().join(" ")
        )));
    }
}

/// Runs promtool in a directory; `None` where there is none.
fn promtool(directory: &Path, arguments: &[&str]) -> Option<(bool, String)> {
    let promtool = servers::program(&["promtool"])?;
    let output = Command::new(promtool)
        .args(arguments)
        .current_dir(directory)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    Some((output.status.success(), said))
}

/// Alerts and records, and how their queries are broken. Those of one list are made at once: promtool takes a second for a run.
const MISTAKES: [&[(&str, &str, &str)]; 3] = [
    &[
        ("HoldfastIntakeBurnsFast", "ratio_rate1h > 14.4", "ratio_rate1h > 144"),
        ("HoldfastIntakeBurnsSlowly", "ratio_rate6h > 6", "ratio_rate6h > 60"),
        ("HoldfastOldestAgeHigh", "\"stream\"}) > 60", "\"stream\"}) > 600"),
        ("HoldfastNotDelivering", "[5m])) == 0", "[5m])) < 0"),
        (
            "HoldfastSubscriberDown",
            "circuit_age_seconds) > 3600",
            "circuit_age_seconds) > 36000",
        ),
        (
            "HoldfastSubscriberTooSlow",
            "(deriv(holdfast_parked[15m])) > 0",
            "(deriv(holdfast_parked[15m])) > 9",
        ),
        ("HoldfastSuspendedForLong", "> 86400", "> 8640"),
        (
            "HoldfastDestinationBlocked",
            "blocked_total[15m])) > 0",
            "blocked_total[15m])) >= 0",
        ),
        ("HoldfastRedisFilling", "4 * 3600", "1 * 3600"),
        (
            "namespace_job_subscription:holdfast_drain_seconds:max",
            "-deriv(holdfast_parked[5m])",
            "deriv(holdfast_parked[5m])",
        ),
        (
            "namespace_job_subscription_outcome:holdfast_subscription_attempts:rate5m",
            "(rate(holdfast_subscription_attempts_total",
            "(increase(holdfast_subscription_attempts_total",
        ),
        (
            "namespace_job:holdfast_undelivered:max",
            "max by (namespace, job) (holdfast_ledger{entry=\"parked\"})",
            "sum by (namespace, job) (holdfast_ledger)",
        ),
        ("HoldfastDeadLetters", "dead_lettered", "dropped"),
        (
            "HoldfastLedgerOff",
            "abs(holdfast_ledger_imbalance)",
            "holdfast_ledger_imbalance",
        ),
        (
            "HoldfastEntriesGone",
            "missing_total[15m])) > 0",
            "missing_total[15m])) > 9",
        ),
        (
            "HoldfastOverflowFailing",
            "failures_total[15m])) > 0",
            "failures_total[15m])) > 9",
        ),
        ("HoldfastRedisMemoryHigh", "memory_ratio) > 0.8", "memory_ratio) > 0.7"),
        ("HoldfastRedisDurabilityWeak", "fsync=\"no\"", "fsync=\"never\""),
        (
            "HoldfastCertificateEnds",
            "min by (namespace, job, certificate)",
            "max by (namespace, job, certificate)",
        ),
        ("HoldfastPodNotReady", "(up) == 0", "(up) == 2"),
        (
            "HoldfastRedisUnreachable",
            "(holdfast_redis_connected) == 0",
            "(holdfast_redis_connected) == 2",
        ),
        (
            "HoldfastPublishingOff",
            "(holdfast_publishing) == 0\n        for: 15m",
            "(holdfast_publishing) == 0\n        for: 5m",
        ),
        (
            "HoldfastAbsent",
            "unless count by (namespace, job) (holdfast_build_info)",
            "unless count by (namespace, job) (holdfast_stream_lag)",
        ),
    ],
    &[
        (
            "HoldfastIntakeBurnsFast",
            "memory|redis|replicas|overloaded\"}[5m])",
            "memory\"}[5m])",
        ),
        ("HoldfastIntakeBurnsSlowly", "for: 15m", "for: 1m"),
        ("HoldfastSubscriberDown", "circuit_state) == 2", "circuit_state) > 0"),
        ("HoldfastCertificateEnds", "7 * 86400", "8 * 86400"),
        (
            "HoldfastPodNotReady",
            "unless max by (namespace, job, instance)",
            "and max by (namespace, job, instance)",
        ),
        (
            "HoldfastOldestAgeHigh",
            "> 60\n          unless max",
            "> 60\n          and max",
        ),
        (
            "HoldfastNotDelivering",
            "[5m])) == 0\n          unless max",
            "[5m])) == 0\n          and max",
        ),
        (
            "HoldfastRedisUnreachable",
            "max by (namespace, job) (holdfast_redis_connected)",
            "min by (namespace, job) (holdfast_redis_connected)",
        ),
        (
            "HoldfastAbsent",
            "(last_over_time(holdfast_build_info[1d]))\n          unless",
            "(last_over_time(holdfast_build_info[3m]))\n          unless",
        ),
        ("HoldfastSubscriberTooSlow", "circuit_state) == 1", "circuit_state) > 0"),
        ("HoldfastSuspendedForLong", "circuit_state) == 3", "circuit_state) > 0"),
        ("HoldfastRedisFilling", "memory_ratio) > 0.4", "memory_ratio) > 0.1"),
    ],
    // Each deployment is one of its own.
    &[
        (
            "HoldfastAbsent",
            "count by (namespace, job) (holdfast_build_info)",
            "ignoring (namespace) count by (job) (holdfast_build_info)",
        ),
        (
            "HoldfastRedisUnreachable",
            "max by (namespace, job) (holdfast_redis_connected)",
            "max by (job) (holdfast_redis_connected)",
        ),
        (
            "HoldfastPublishingOff",
            "expr: max by (namespace, job) (holdfast_publishing)",
            "expr: max by (job) (holdfast_publishing)",
        ),
        (
            "HoldfastSuspendedForLong",
            "(max_over_time(holdfast_parked[1d])) > 0",
            "(max_over_time(holdfast_parked[1d])) >= 0",
        ),
    ],
];

#[test]
fn promtool_agrees_and_its_tests_can_fail() {
    let scratch = tempfile::tempdir().unwrap();
    let (rules, tests) = (read("alerts.yaml"), read("alerts.test.yaml"));
    std::fs::write(scratch.path().join("alerts.test.yaml"), &tests).unwrap();
    let run = |rules: &str| {
        std::fs::write(scratch.path().join("alerts.yaml"), rules).unwrap();
        promtool(scratch.path(), &["test", "rules", "alerts.test.yaml"])
    };
    let Some((valid, said)) = promtool(&directory(), &["check", "rules", "alerts.yaml"]) else {
        return;
    };
    assert!(valid, "{said}");
    let (good, said) = run(&rules).unwrap();
    assert!(good, "{said}");

    for mistakes in MISTAKES {
        let mut broken = rules.clone();
        for (_, right, wrong) in mistakes {
            assert!(broken.contains(right), "no {right:?}");
            broken = broken.replace(right, wrong);
        }
        let (good, said) = run(&broken).unwrap();
        assert!(!good, "{said}");
        for (alert, _, wrong) in mistakes {
            assert!(
                said.contains(&format!("alertname: {alert}")) || said.contains(&format!("expr: \"{alert}\"")),
                "{wrong:?} passes\n{said}"
            );
        }
    }
}

#[test]
fn every_alert_is_tested_quiet_and_firing() {
    let tests: Value = serde_saphyr::from_str(&read("alerts.test.yaml")).unwrap();
    let cases = tests["tests"].as_array().unwrap().iter();
    let cases: Vec<&Value> = cases
        .flat_map(|test| test["alert_rule_test"].as_array().into_iter().flatten())
        .collect();
    for rule in rules().iter().filter(|rule| rule["alert"].is_string()) {
        let about = cases.iter().filter(|case| case["alertname"] == rule["alert"]);
        let quiet = about
            .clone()
            .filter(|case| case["exp_alerts"].as_array().is_some_and(Vec::is_empty));
        let (quiet, all) = (quiet.count(), about.count());
        assert!(quiet >= 2 && all > quiet, "{}", rule["alert"]);
    }
}
