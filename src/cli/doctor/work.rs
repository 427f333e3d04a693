//! The checks of `doctor` about the work: groups, workers, partitions, the ledger, subscriptions, dead letters.

use std::collections::BTreeMap;
use std::time::Duration;

use super::check::Check;
use crate::cli::text::{count, number, plain, short_error, span};
use crate::config::{Loaded, Origin};
use crate::store::census::{Ledger, Snapshot};
use crate::store::{Store, StoreError};

/// Subscriptions or workers that are named, at most.
const NAMED: usize = 5;
const ERROR_WIDTH: usize = 60;

/// What all partitions hold now.
#[derive(Debug, Default)]
pub(super) struct Sum {
    /// Redis' clock, ms since the epoch.
    pub(super) now_ms: u64,
    /// Events, parked deliveries and dead letters.
    pub(super) entries: u64,
    /// Age of the oldest event in a stream.
    pub(super) oldest_event: Option<Duration>,
    ledger: Ledger,
    dead_letters: u64,
}

/// Looks at all partitions.
///
/// # Errors
/// When Redis can't be reached.
pub(super) async fn sum(store: &Store, dead_after: Duration) -> Result<Sum, StoreError> {
    let mut sum = Sum::default();
    for partition in store.partitions() {
        let part: Snapshot = partition.snapshot(dead_after).await?;
        sum.now_ms = sum.now_ms.max(part.now_ms);
        let parked = u64::try_from(part.ledger.parked).unwrap_or(0);
        sum.entries += part.events + parked + part.dead_letters;
        let age = part.oldest.map(|id| age(part.now_ms, id.millis));
        sum.oldest_event = sum.oldest_event.max(age);
        sum.ledger = sum.ledger.plus(part.ledger);
        sum.dead_letters += part.dead_letters;
    }
    Ok(sum)
}

fn age(now: u64, then: u64) -> Duration {
    Duration::from_millis(now.saturating_sub(then))
}

/// The number of partitions, and their streams and groups.
pub(super) async fn partitions(store: &Store, loaded: &Loaded) -> Check {
    let count_now = store.partitions().len();
    let mut missing = Vec::new();
    for partition in store.partitions() {
        match partition.has_groups().await {
            Ok(true) => {}
            Ok(false) => missing.push(partition.index.to_string()),
            Err(error) => return Check::unknown("partitions", &error),
        }
    }
    let found = count(u64::try_from(count_now).unwrap_or(u64::MAX), "partition");
    if !missing.is_empty() {
        return Check::warn(
            "partitions",
            format!("{found}; streams or groups are missing in {}", missing.join(", ")),
            "the next worker that starts makes them (holdfast serve); a worker that runs does so within seconds",
        );
    }
    let wanted = usize::from(loaded.config.redis.partitions);
    if wanted != count_now && loaded.origin("redis.partitions") != Origin::Default {
        return Check::warn(
            "partitions",
            format!("{found}, and HOLDFAST_REDIS__PARTITIONS is {wanted} here"),
            "give every worker the same number; it may grow, and shrink once the higher ones are empty",
        );
    }
    Check::ok("partitions", format!("{found}, streams and groups are there"))
}

/// Who works, and who has fallen silent.
pub(super) async fn workers(store: &Store, now_ms: u64, dead_after: Duration) -> Check {
    let mut ages: BTreeMap<String, Duration> = BTreeMap::new();
    for partition in store.partitions() {
        let beats = match partition.heartbeats().await {
            Ok(beats) => beats,
            Err(error) => return Check::unknown("workers", &error),
        };
        for (name, beat) in beats.into_iter().filter(|(_, beat)| *beat > 0) {
            let age = age(now_ms, beat);
            let worst = ages.entry(name).or_default();
            *worst = age.max(*worst);
        }
    }
    let (silent, alive): (Vec<_>, Vec<_>) = ages.into_iter().partition(|(_, age)| *age >= dead_after);
    if alive.is_empty() {
        return Check::fail(
            "workers",
            "none runs: events are kept, nothing is delivered",
            "start one: holdfast serve; where one should run, look at its log",
        );
    }
    let found = format!(
        "{}: {}",
        count(u64::try_from(alive.len()).unwrap_or(u64::MAX), "worker"),
        named(&alive)
    );
    if !silent.is_empty() {
        return Check::warn(
            "workers",
            format!("{found}\nsilent: {}", named(&silent)),
            "its peers take over what it held; if it stays listed, look at its log and at theirs",
        );
    }
    Check::ok("workers", found)
}

/// `a-1 (heartbeat 2s ago), …`
fn named(workers: &[(String, Duration)]) -> String {
    let mut names: Vec<String> = workers
        .iter()
        .take(NAMED)
        .map(|(name, age)| {
            let age = span(u64::try_from(age.as_millis()).unwrap_or(u64::MAX));
            format!("{} (heartbeat {age} ago)", plain(name))
        })
        .collect();
    if workers.len() > NAMED {
        names.push(format!("{} more", workers.len() - NAMED));
    }
    names.join(", ")
}

/// The ledger and the dead letters.
pub(super) fn books(sum: &Sum) -> Vec<Check> {
    let ledger = match sum.ledger.imbalance() {
        0 => Check::ok(
            "ledger",
            format!(
                "balances: {} wanted, {} delivered, {} parked",
                number(sum.ledger.wanted),
                number(sum.ledger.delivered),
                number(sum.ledger.parked)
            ),
        ),
        off => Check::fail(
            "ledger",
            format!("off by {}", number(off)),
            "keys of Holdfast were changed by something else: look who else writes to this Redis, and use a prefix or \
             a server of its own",
        ),
    };
    let dead = match sum.dead_letters {
        0 => Check::ok("dead letters", "none"),
        n => Check::warn(
            "dead letters",
            count(n, "dead letter"),
            "look at them with holdfast dead-letters list, then replay or purge them",
        ),
    };
    vec![ledger, dead]
}

/// Subscriptions in trouble, those that can't be read, and files that are missing here.
pub(super) async fn subscriptions(store: &Store) -> (Vec<Check>, Option<Duration>) {
    match subscriptions_checked(store).await {
        Ok(found) => found,
        Err(error) => (vec![Check::unknown("subscriptions", &error)], None),
    }
}

async fn subscriptions_checked(store: &Store) -> Result<(Vec<Check>, Option<Duration>), StoreError> {
    let registry = store.registry().await?;
    let (now, troubled) = store.troubled().await?;
    let oldest = troubled
        .values()
        .filter_map(|census| census.oldest)
        .map(|id| age(now, id.millis));
    let oldest = oldest.max();
    let mut checks = Vec::new();
    if !registry.settings.enabled {
        checks.push(Check::warn(
            "service",
            "ServiceEnabled is false: nothing is published, events are taken in and wait in Redis",
            "set it to true again with a PATCH of /redfish/v1/EventService before Redis fills up",
        ));
    }
    let mut away: Vec<_> = troubled
        .iter()
        .filter(|(_, census)| census.open_since_ms.is_some() && !census.suspended)
        .collect();
    away.sort_by_key(|(_, census)| std::cmp::Reverse(census.parked));
    let total = count(
        u64::try_from(registry.subscriptions.len()).unwrap_or(u64::MAX),
        "subscription",
    );
    let parked: u64 = troubled.values().map(|census| census.parked).sum();
    let waiting = match oldest {
        Some(age) if parked > 0 => format!(
            ", {} parked, the oldest for {}",
            number(parked),
            span(u64::try_from(age.as_millis()).unwrap_or(u64::MAX))
        ),
        _ => String::new(),
    };
    if away.is_empty() {
        checks.push(Check::ok("subscriptions", format!("{total}{waiting}")));
    } else {
        let mut found = format!("{total}{waiting}; {} unavailable:", away.len());
        for (id, census) in away.iter().take(NAMED) {
            let error = short_error(&census.error, ERROR_WIDTH);
            found.push_str(&format!("\n{id}: {} parked, {error}", number(census.parked)));
        }
        if away.len() > NAMED {
            found.push_str(&format!("\nand {} more: holdfast status", away.len() - NAMED));
        }
        let advice = "find out why with: holdfast subscriptions test ID; what is parked is sent once they are back";
        checks.push(Check::warn("subscriptions", found, advice));
    }
    if !registry.unreadable.is_empty() {
        let ids: Vec<&str> = registry.unreadable.iter().map(|(id, _)| id.as_str()).collect();
        checks.push(Check::fail(
            "subscriptions",
            format!("can't be read and get no events: {}", ids.join(", ")),
            "remove them (holdfast subscriptions remove ID) or mend their JSON in Redis",
        ));
    }
    let absent = registry.subscriptions.iter().filter_map(|of| {
        let file = of.ca_file.as_ref()?;
        std::fs::File::open(file)
            .is_err()
            .then(|| format!("{} ({})", file.display(), of.id))
    });
    let absent: Vec<String> = absent.collect();
    if !absent.is_empty() {
        checks.push(Check::warn(
            "CA files",
            format!("not readable on this machine: {}", absent.join(", ")),
            "it matters where workers run: put them there, at the same place on each",
        ));
    }
    Ok((checks, oldest))
}
