//! The books of one run: what was sent, what each subscriber got, what is kept for it, and what does not add up.
//!
//! Pure, and independent of Holdfast's own code. Events carry a number; an entry of a subscriber's list is what
//! it answered with 2xx, in the order in which it did.

use std::collections::{HashMap, HashSet};

/// What its sender was told about an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Outcome {
    /// It is in: it must arrive.
    Accepted,
    /// No answer, or one that leaves it open: it may arrive.
    Unknown,
    /// It is not in: it must not arrive.
    Refused,
}

/// A delivery that a subscriber answered with 2xx.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Got {
    /// Its `webhook-id`: subscription, partition and stream id.
    pub(crate) id: String,
    /// The event it carried; `None` when nobody sent such an event.
    pub(crate) number: Option<u64>,
}

/// One subscriber's page.
#[derive(Debug, Default)]
pub(crate) struct Page {
    pub(crate) subscriber: &'static str,
    pub(crate) got: Vec<Got>,
    /// Events that are parked for it or dead letters.
    pub(crate) kept: HashSet<u64>,
    /// Events that were parked for it, all of them, before any was sent: their order is promised.
    pub(crate) in_order: HashSet<u64>,
    /// The first event that it must get: those before it were sent before it subscribed.
    pub(crate) owed_from: u64,
}

/// What one page says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Findings {
    /// Accepted, and neither delivered nor kept.
    pub(crate) lost: Vec<u64>,
    /// Delivered though nobody sent them, or though their sender was told that they are not in.
    pub(crate) foreign: Vec<String>,
    /// Delivered under two ids: they were entered twice.
    pub(crate) doubled: Vec<u64>,
    /// Delivered before an older one that waited as well.
    pub(crate) overtaking: Vec<u64>,
    /// How many came again, with the same id.
    pub(crate) duplicates: usize,
}

/// Compares a page with what was sent. `excused` are events that somebody destroyed on purpose.
pub(crate) fn compare(sent: &HashMap<u64, Outcome>, excused: &HashSet<u64>, page: &Page) -> Findings {
    let mut findings = Findings::default();
    let mut ids: HashMap<u64, &str> = HashMap::new();
    let mut seen: HashSet<&str> = HashSet::new();
    let mut last: HashMap<&str, (u64, u64)> = HashMap::new();
    for got in &page.got {
        let Some(number) = got.number.filter(|number| may_arrive(sent, *number)) else {
            findings.foreign.push(got.id.clone());
            continue;
        };
        if !seen.insert(&got.id) {
            findings.duplicates += 1;
            continue;
        }
        if *ids.entry(number).or_insert(&got.id) != got.id {
            findings.doubled.push(number);
        }
        if page.in_order.contains(&number) {
            let (partition, place) = place(&got.id);
            let before = last.entry(partition).or_default();
            if place < *before {
                findings.overtaking.push(number);
            }
            *before = place.max(*before);
        }
    }
    let gone = |number: &u64| !ids.contains_key(number) && !page.kept.contains(number) && !excused.contains(number);
    let owed = sent
        .iter()
        .filter(|(number, outcome)| **outcome == Outcome::Accepted && **number >= page.owed_from);
    findings.lost = owed.map(|(number, _)| *number).filter(gone).collect();
    findings.lost.sort_unstable();
    findings
}

fn may_arrive(sent: &HashMap<u64, Outcome>, number: u64) -> bool {
    matches!(sent.get(&number), Some(Outcome::Accepted | Outcome::Unknown))
}

/// The partition and the place in its stream: `s1.0.1700000000000-3`.
fn place(id: &str) -> (&str, (u64, u64)) {
    let (before, stream_id) = id.rsplit_once('.').unwrap_or(("", id));
    let partition = before.rsplit_once('.').map_or(before, |(_, partition)| partition);
    let (millis, sequence) = stream_id.split_once('-').unwrap_or((stream_id, "0"));
    (
        partition,
        (millis.parse().unwrap_or(0), sequence.parse().unwrap_or(u64::MAX)),
    )
}

/// The totals that Holdfast publishes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Ledger {
    pub(crate) settled: i64,
    pub(crate) wanted: i64,
    pub(crate) replayed: i64,
    pub(crate) delivered: i64,
    pub(crate) parked: i64,
    pub(crate) dead_lettered: i64,
    pub(crate) dropped: i64,
}

/// What the books say about the totals.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counted {
    pub(crate) accepted: usize,
    pub(crate) unknown: usize,
    /// Different deliveries that subscribers answered with 2xx.
    pub(crate) delivered: usize,
    /// Those of them whose event was destroyed, perhaps before its settlement was.
    pub(crate) of_destroyed: usize,
}

/// Where Holdfast's totals and the books differ, in words.
pub(crate) fn disagreements(ledger: &Ledger, counted: &Counted) -> Vec<String> {
    let number = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
    let mut all = Vec::new();
    let off =
        ledger.wanted + ledger.replayed - ledger.delivered - ledger.parked - ledger.dead_lettered - ledger.dropped;
    if off != 0 {
        all.push(format!("the ledger is off by {off}: {ledger:?}"));
    }
    let (least, most) = (number(counted.accepted), number(counted.accepted + counted.unknown));
    if !(least..=most).contains(&ledger.settled) {
        all.push(format!(
            "{} events settled, {least} to {most} were sent",
            ledger.settled
        ));
    }
    // A subscriber may have answered what was then dropped with its subscription, or destroyed.
    let (least, most) = (
        ledger.delivered,
        ledger.delivered + ledger.dropped + ledger.dead_lettered + number(counted.of_destroyed),
    );
    if !(least..=most).contains(&number(counted.delivered)) {
        all.push(format!(
            "{} deliveries arrived, the ledger says {}",
            counted.delivered, ledger.delivered
        ));
    }
    all
}
