//! The state of a partition and of its subscriptions, for metrics and `holdfast status`; read only.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use fred::prelude::*;

use super::Store;
use super::error::StoreError;
use super::events::{Stream, array, convert, parse_entry};
use super::partition::{Partition, measured};
use super::scripts::SCRIPTS;
use super::settle::millis;
use crate::domain::ids::{Member, StreamId};

/// What a partition holds now.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// Redis' clock, ms since the epoch.
    pub now_ms: u64,
    /// Entries of the event stream: waiting or being delivered.
    pub events: u64,
    /// Those of them that a worker holds.
    pub pending: u64,
    /// The oldest of them.
    pub oldest: Option<StreamId>,
    /// Entries of the redelivery stream.
    pub redeliveries: u64,
    /// Dead letters.
    pub dead_letters: u64,
    /// Subscriptions that wait for a wake-up.
    pub waiting: u64,
    /// Subscriptions that are behind.
    pub behind: u64,
    /// Workers whose heartbeat is recent.
    pub workers: u64,
    /// Redeliveries that a worker holds: drains and probes under way.
    pub draining: u64,
    /// Totals that the scripts keep.
    pub ledger: Ledger,
    /// Events that somebody removed from the stream before they were settled, ever; always 0 on Redis 6.2.
    pub removed: u64,
}

/// Totals that the scripts keep, exact through every crash.
///
/// `wanted + replayed = delivered + parked + dead_lettered + overflowed + dropped` at any moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ledger {
    /// Events settled.
    pub settled: i64,
    /// Events that nobody wanted.
    pub unwanted: i64,
    /// Events that could not be read and are dead letters.
    pub rejected: i64,
    /// Deliveries that were settled.
    pub wanted: i64,
    /// Deliveries answered 2xx.
    pub delivered: i64,
    /// Deliveries parked now.
    pub parked: i64,
    /// Deliveries given up by policy.
    pub dead_lettered: i64,
    /// Deliveries beyond a subscription's limit that went to a file.
    pub overflowed: i64,
    /// Dead letters put back to work.
    pub replayed: i64,
    /// Deliveries dropped with their subscription.
    pub dropped: i64,
}

/// What one subscription's circuit and queue hold now, in one partition.
#[derive(Debug, Clone, Default)]
pub struct Census {
    /// Parked deliveries.
    pub parked: u64,
    /// The oldest of them.
    pub oldest: Option<StreamId>,
    /// About as many bytes as their events have, by a few of them; an event that several subscriptions wait for is
    /// stored once and counts for each of them here. 0 where they were not weighed.
    pub parked_bytes: u64,
    /// Attempts of the oldest.
    pub attempts: u32,
    /// When it is due next, ms since the epoch.
    pub next_wakeup_ms: Option<u64>,
    /// A redelivery is out: a worker drains or probes, or is about to.
    pub draining: bool,
    /// The circuit is open since, ms since the epoch.
    pub open_since_ms: Option<u64>,
    /// It is behind since, ms since the epoch.
    pub behind_since_ms: Option<u64>,
    /// Only kept, not sent.
    pub suspended: bool,
    /// Since when, ms since the epoch, as far as that is known.
    pub suspended_since_ms: Option<u64>,
    /// Failed probes in a row.
    pub failures: u32,
    /// What went wrong last.
    pub error: String,
}

impl Ledger {
    /// By how much the books are off; 0 when every wanted delivery is accounted for.
    #[must_use]
    pub fn imbalance(&self) -> i64 {
        self.wanted + self.replayed - self.delivered - self.parked - self.dead_lettered - self.overflowed - self.dropped
    }

    /// The sum of two partitions' totals.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            settled: self.settled + other.settled,
            unwanted: self.unwanted + other.unwanted,
            rejected: self.rejected + other.rejected,
            wanted: self.wanted + other.wanted,
            delivered: self.delivered + other.delivered,
            parked: self.parked + other.parked,
            dead_lettered: self.dead_lettered + other.dead_lettered,
            overflowed: self.overflowed + other.overflowed,
            replayed: self.replayed + other.replayed,
            dropped: self.dropped + other.dropped,
        }
    }

    fn read(totals: &HashMap<String, i64>) -> Self {
        let total = |name| totals.get(name).copied().unwrap_or(0);
        Self {
            settled: total("settled"),
            unwanted: total("unwanted"),
            rejected: total("rejected"),
            wanted: total("wanted"),
            delivered: total("delivered"),
            parked: total("parked"),
            dead_lettered: total("dead_lettered"),
            overflowed: total("overflowed"),
            replayed: total("replayed"),
            dropped: total("dropped"),
        }
    }
}

impl Partition {
    /// What this partition holds now.
    ///
    /// # Errors
    /// When Redis can't be reached.
    pub async fn snapshot(&self, dead_after: Duration) -> Result<Snapshot, StoreError> {
        let args = vec![millis(dead_after).into()];
        let before = self.past.known();
        let answer: Vec<Value> = self.call("snapshot", &SCRIPTS.snapshot, args).await?;
        let mut answer = answer.into_iter();
        let mut next = || answer.next().unwrap_or(Value::Null);
        let snapshot = Snapshot {
            now_ms: convert(next())?,
            events: convert(next())?,
            pending: convert(next())?,
            oldest: convert::<String>(next())?.parse().ok(),
            redeliveries: convert(next())?,
            dead_letters: convert(next())?,
            waiting: convert(next())?,
            behind: convert(next())?,
            workers: convert(next())?,
            draining: convert(next())?,
            ledger: Ledger::read(&totals(next())?),
            removed: convert(next())?,
        };
        let last = convert::<String>(next())?.parse().ok();
        self.past.compare(self.index, before, last, snapshot.ledger.settled);
        Ok(snapshot)
    }

    /// The state of each of these subscriptions, in their order, with Redis' clock in ms; their events are not
    /// weighed.
    ///
    /// # Errors
    /// When Redis can't be reached.
    pub async fn census(&self, subscriptions: &[&str]) -> Result<(u64, Vec<Census>), StoreError> {
        self.look_at(subscriptions, "").await
    }

    /// The same with [`Census::parked_bytes`], which costs Redis more than all else of it together.
    ///
    /// # Errors
    /// When Redis can't be reached.
    pub async fn weighed_census(&self, subscriptions: &[&str]) -> Result<(u64, Vec<Census>), StoreError> {
        self.look_at(subscriptions, "weigh").await
    }

    async fn look_at(&self, subscriptions: &[&str], how: &str) -> Result<(u64, Vec<Census>), StoreError> {
        let mut clock = 0;
        let mut rows = Vec::with_capacity(subscriptions.len());
        for step in subscriptions.chunks(256) {
            let args = std::iter::once(how)
                .chain(step.iter().copied())
                .map(Value::from)
                .collect();
            let (now, found): (u64, Vec<Value>) = self.call("census", &SCRIPTS.census, args).await?;
            clock = now;
            for row in found {
                rows.push(census(row)?);
            }
        }
        Ok((clock, rows))
    }

    /// Subscriptions that have something parked or are behind: those waiting for a wake-up, those with a
    /// redelivery out, and those behind.
    ///
    /// # Errors
    /// When Redis can't be reached.
    pub async fn troubled(&self) -> Result<BTreeSet<String>, StoreError> {
        let client = self.connection.client();
        let waiting: Vec<String> = measured(
            "ZRANGE",
            client.zrange(self.keys.wakeups(), 0, -1, None, false, None, false),
        )
        .await?;
        let mut troubled: BTreeSet<String> = waiting.into_iter().chain(self.behind().await?).collect();
        let out: Vec<Value> = measured("XRANGE", client.xrange(self.key(Stream::Redeliveries), "-", "+", None)).await?;
        for row in out {
            let entry = parse_entry(row, 1)?;
            let subscription = entry.field("subscription").map(|id| String::from_utf8_lossy(id));
            troubled.extend(subscription.map(|id| id.into_owned()));
        }
        Ok(troubled)
    }
}

impl Store {
    /// The state of each of these subscriptions, in their order, weighed, summed over the partitions, with Redis'
    /// clock in ms.
    ///
    /// # Errors
    /// When Redis can't be reached.
    pub async fn census(&self, subscriptions: &[&str]) -> Result<(u64, Vec<Census>), StoreError> {
        let mut clock = 0;
        let mut sums = vec![Census::default(); subscriptions.len()];
        for partition in self.partitions() {
            let (now, rows) = partition.weighed_census(subscriptions).await?;
            clock = clock.max(now);
            for (sum, row) in sums.iter_mut().zip(rows) {
                sum.add(row);
            }
        }
        Ok((clock, sums))
    }

    /// The state of every troubled subscription, summed over the partitions, with Redis' clock in ms.
    ///
    /// # Errors
    /// When Redis can't be reached.
    pub async fn troubled(&self) -> Result<(u64, BTreeMap<String, Census>), StoreError> {
        let mut clock = 0;
        let mut all: BTreeMap<String, Census> = BTreeMap::new();
        for partition in self.partitions() {
            let ids = partition.troubled().await?;
            let names: Vec<&str> = ids.iter().map(String::as_str).collect();
            let (now, rows) = partition.census(&names).await?;
            clock = clock.max(now);
            for (id, row) in ids.iter().zip(rows) {
                all.entry(id.clone()).or_default().add(row);
            }
        }
        Ok((clock, all))
    }
}

impl Census {
    /// Adds what another partition holds: counts are summed, the rest is that of the worse one.
    fn add(&mut self, other: Self) {
        self.parked += other.parked;
        self.parked_bytes += other.parked_bytes;
        if other
            .oldest
            .is_some_and(|theirs| self.oldest.is_none_or(|ours| theirs < ours))
        {
            self.oldest = other.oldest;
            self.attempts = other.attempts;
        }
        self.next_wakeup_ms = earlier(self.next_wakeup_ms, other.next_wakeup_ms);
        self.draining |= other.draining;
        self.open_since_ms = earlier(self.open_since_ms, other.open_since_ms);
        self.behind_since_ms = earlier(self.behind_since_ms, other.behind_since_ms);
        self.suspended |= other.suspended;
        self.suspended_since_ms = earlier(self.suspended_since_ms, other.suspended_since_ms);
        if other.failures > self.failures || self.error.is_empty() {
            self.error = other.error;
        }
        self.failures = self.failures.max(other.failures);
    }
}

fn earlier(a: Option<u64>, b: Option<u64>) -> Option<u64> {
    a.into_iter().chain(b).min()
}

/// `[parked, oldest member, next wake-up, tries of the oldest, circuit fields, bytes of a few, how many those are]`
fn census(row: Value) -> Result<Census, StoreError> {
    let mut cells = array(row)?.into_iter();
    let mut next = || cells.next().unwrap_or(Value::Null);
    let parked: u64 = convert(next())?;
    let oldest: String = convert(next())?;
    let wakeup: String = convert(next())?;
    let tries: String = convert(next())?;
    let circuit: HashMap<String, String> = pairs(next())?;
    let (bytes, samples): (u64, u64) = (convert(next())?, convert(next())?);
    let number = |name: &str| circuit.get(name).and_then(|text| text.parse().ok());
    Ok(Census {
        parked,
        oldest: oldest.parse::<Member>().ok().map(|member| member.0),
        parked_bytes: u128::from(bytes)
            .saturating_mul(u128::from(parked))
            .checked_div(u128::from(samples))
            .and_then(|bytes| u64::try_from(bytes).ok())
            .unwrap_or(0),
        attempts: tries.split(' ').next().and_then(|text| text.parse().ok()).unwrap_or(0),
        next_wakeup_ms: wakeup.parse().ok(),
        draining: circuit.contains_key("entry"),
        open_since_ms: number("open"),
        behind_since_ms: number("since"),
        suspended: circuit.contains_key("suspended"),
        // Versions before this one wrote 1, whenever that was.
        suspended_since_ms: number("suspended").filter(|since| *since > 1),
        failures: circuit.get("failures").and_then(|text| text.parse().ok()).unwrap_or(0),
        error: circuit.get("error").cloned().unwrap_or_default(),
    })
}

fn totals(value: Value) -> Result<HashMap<String, i64>, StoreError> {
    let texts = pairs(value)?;
    Ok(texts
        .into_iter()
        .filter_map(|(name, total)| Some((name, total.parse().ok()?)))
        .collect())
}

/// The flat `[name, value, …]` that Lua makes of a hash.
fn pairs(value: Value) -> Result<HashMap<String, String>, StoreError> {
    let mut cells = array(value)?.into_iter();
    let mut pairs = HashMap::new();
    while let (Some(name), Some(value)) = (cells.next(), cells.next()) {
        pairs.insert(convert(name)?, convert(value)?);
    }
    Ok(pairs)
}
