//! Closes the books of a run: what is kept in Redis, what each subscriber got, what the metrics say.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use crate::books::{Counted, Findings, Got, Ledger, Outcome, Page, compare, disagreements};
use crate::producer::marks;
use crate::stage::Stage;

/// How long the gauges may take to show what Redis holds.
const GAUGES: Duration = Duration::from_secs(15);

/// What became of a run.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    pub(crate) accepted: usize,
    pub(crate) unknown: usize,
    pub(crate) refused: usize,
    pub(crate) lost: usize,
    pub(crate) duplicates: usize,
    /// From healed to drained; `None` when it never was.
    pub(crate) recovery: Option<Duration>,
    /// What is wrong, in words.
    pub(crate) problems: Vec<String>,
    /// Each lost event with its subscriber, by its place in [`Stage::subscribers`].
    pub(crate) missing: Vec<(usize, u64)>,
}

/// Compares everything. The producer has stopped.
pub(crate) async fn check(stage: &Stage) -> Verdict {
    let sent = stage.producer.sent();
    let count = |outcome| sent.values().filter(|one| **one == outcome).count();
    let mut verdict = Verdict {
        accepted: count(Outcome::Accepted),
        unknown: count(Outcome::Unknown),
        refused: count(Outcome::Refused),
        ..Verdict::default()
    };
    // What was in doubt may have been delivered and then been thrown away by a failover, together with its settlement.
    let doubtful = sent
        .iter()
        .filter(|(_, outcome)| stage.may_step_back && **outcome == Outcome::Unknown);
    let uncounted: HashSet<u64> = doubtful
        .map(|(number, _)| *number)
        .chain(stage.destroyed.iter().copied())
        .collect();
    let (mut delivered, mut of_destroyed) = (0, 0);
    for (place, subscriber) in stage.subscribers().enumerate() {
        let mut page = subscriber.page(stage.seed);
        delivered += subscriber.sink.counts().distinct;
        page.kept = kept(stage, &subscriber.id);
        of_destroyed += arrived(&page, &uncounted);
        let findings = compare(&sent, &stage.destroyed, &page);
        verdict.duplicates += findings.duplicates;
        verdict.lost += findings.lost.len();
        verdict.problems.extend(words(page.subscriber, &findings));
        verdict
            .missing
            .extend(findings.lost.iter().map(|number| (place, *number)));
    }
    if !stage.ledger_gone {
        let counted = Counted {
            accepted: verdict.accepted - stage.destroyed.len(),
            unknown: verdict.unknown + stage.destroyed.len(),
            delivered: usize::try_from(delivered).unwrap(),
            of_destroyed,
        };
        verdict.problems.extend(ledger_problems(stage, &counted).await);
    }
    verdict.problems.extend(false_alarms(stage));
    verdict
}

/// Pods that say that Redis came back with less, where it can't have.
fn false_alarms(stage: &Stage) -> Vec<String> {
    let pods = stage.pods.iter().chain(&stage.gone);
    let alarmed = pods.filter(|_| !stage.may_step_back).filter_map(|pod| {
        let log = pod.process.stderr();
        let line = log.lines().find(|line| line.contains("came back with less"))?;
        Some(format!("{} is wrong: {line}", pod.name))
    });
    alarmed.collect()
}

/// How many of some events have arrived, each counted once.
fn arrived(page: &Page, events: &HashSet<u64>) -> usize {
    let is_one = |got: &&Got| got.number.is_some_and(|number| events.contains(&number));
    let ids: HashSet<&str> = page.got.iter().filter(is_one).map(|got| got.id.as_str()).collect();
    ids.len()
}

/// Waits for the gauges to agree with the books; answers where they never did.
async fn ledger_problems(stage: &Stage, counted: &Counted) -> Vec<String> {
    let mut left = GAUGES.as_millis() / 100;
    loop {
        let problems = match ledger(stage).await {
            Some(ledger) => disagreements(&ledger, counted),
            None => vec!["no pod answers at /metrics".to_owned()],
        };
        left -= 1;
        if problems.is_empty() || left == 0 {
            return problems;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// The totals as the first pod that answers publishes them.
async fn ledger(stage: &Stage) -> Option<Ledger> {
    let mut totals = HashMap::new();
    for pod in &stage.pods {
        let Ok(answer) = reqwest::get(pod.process.admin("/metrics")).await else {
            continue;
        };
        for line in answer.text().await.ok()?.lines() {
            let total = line.strip_prefix("holdfast_ledger{entry=\"");
            if let Some((name, value)) = total.and_then(|rest| rest.split_once("\"} ")) {
                totals.insert(name.to_owned(), value.parse::<i64>().ok()?);
            }
        }
        break;
    }
    let total = |name: &str| totals.get(name).copied();
    Some(Ledger {
        settled: total("settled")?,
        wanted: total("wanted")?,
        replayed: total("replayed")?,
        delivered: total("delivered")?,
        parked: total("parked")?,
        dead_lettered: total("dead_lettered")?,
        dropped: total("dropped")?,
    })
}

/// The events that are parked for a subscription or are its dead letters.
fn kept(stage: &Stage, subscription: &str) -> HashSet<u64> {
    let mut kept = HashSet::new();
    for partition in stage.store.partitions() {
        let keys = partition.keys();
        let members = stage.servers.cli(&["ZRANGE", &keys.retry(subscription), "0", "-1"]);
        for some in members.lines().collect::<Vec<_>>().chunks(100) {
            let bodies = format!("{}bodies", keys.events.trim_end_matches("events"));
            let words = [&["HMGET", bodies.as_str()], some].concat();
            kept.extend(marks(stage.seed, &stage.servers.cli(&words)));
        }
        let dead = stage.servers.cli(&["XRANGE", &keys.dead(), "-", "+"]);
        let letters = dead
            .split("subscription\n")
            .filter(|letter| letter.starts_with(subscription));
        letters.for_each(|letter| kept.extend(marks(stage.seed, letter)));
    }
    kept
}

fn words(subscriber: &str, findings: &Findings) -> Vec<String> {
    let mut problems = Vec::new();
    let mut say = |what: &str, count: usize, list: String| {
        if count > 0 {
            problems.push(format!("{subscriber}: {count} {what}: {list}"));
        }
    };
    say("lost", findings.lost.len(), few(&findings.lost));
    say(
        "delivered that nobody sent",
        findings.foreign.len(),
        few(&findings.foreign),
    );
    say("entered twice", findings.doubled.len(), few(&findings.doubled));
    say("out of order", findings.overtaking.len(), few(&findings.overtaking));
    problems
}

/// The first of a list.
fn few<T: std::fmt::Debug>(list: &[T]) -> String {
    const FEW: usize = 8;
    let shown: Vec<String> = list.iter().take(FEW).map(|one| format!("{one:?}")).collect();
    let more = if list.len() > FEW { ", …" } else { "" };
    format!("{}{more}", shown.join(", "))
}
