//! `subscriptions retry-now`: a probe at once, whichever worker makes it, and what came of it.
//!
//! The wake-up goes through Redis. It forgets nothing, so that a subscriber that is still away is probed as before;
//! a floor that its Retry-After set stands unless the operator says otherwise.

use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

use clap::{ArgGroup, Args};
use tokio::time::Instant;

use crate::cli::text::{count, plain, span};
use crate::config::Config;
use crate::domain::ids::SubscriptionId;
use crate::domain::subscription::Subscription;
use crate::store::census::Census;
use crate::store::circuits::Wake;
use crate::store::{Store, StoreError};

/// How often the result is looked for.
const LOOK: Duration = Duration::from_millis(100);
/// What a probe may take on top of the request's own deadline.
const SLACK: Duration = Duration::from_secs(5);

/// Arguments of `retry-now`.
#[derive(Args)]
#[command(group(ArgGroup::new("who").required(true)))]
pub(in crate::cli) struct RetryNow {
    /// Ids of the subscriptions.
    #[arg(value_name = "ID", group = "who")]
    ids: Vec<SubscriptionId>,
    /// All that are behind.
    #[arg(long, group = "who")]
    all: bool,
    /// Probe also those whose Retry-After asked to be left alone until later.
    #[arg(long)]
    ignore_retry_after: bool,
    /// Do not wait for what comes of it.
    #[arg(long)]
    no_wait: bool,
}

/// What came of it, in one partition or, the worst of them, in all.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    NotBehind,
    Delivered,
    Draining,
    Asked,
    Failing(String),
    /// Its Retry-After stands for so many ms.
    Floor(u64),
    Suspended,
    /// No worker made the probe in time.
    Unheard,
    NoWorker,
    /// Nothing is known yet; greater than all others, so that none is told too early.
    Pending,
}

/// A probe that was asked for.
struct Asked {
    until: Instant,
    /// Failures in a row before, by partition; only where it is behind.
    failures: BTreeMap<u16, u32>,
}

/// Asks for the probes and tells what came of each.
///
/// # Errors
/// When a subscription is unknown, Redis can't be reached, or not every subscriber answered.
pub(super) async fn run(store: &Store, config: &Config, args: &RetryNow, out: &mut impl Write) -> anyhow::Result<()> {
    let subscriptions = chosen(store, args).await?;
    if subscriptions.is_empty() {
        writeln!(out, "no subscription is behind: there is nothing to retry")?;
        return Ok(());
    }
    let how = if args.ignore_retry_after {
        Wake::PastFloor
    } else {
        Wake::Due
    };
    let served = alive(store, config).await?;
    let total = subscriptions.len();
    let mut waiting = BTreeMap::new();
    let mut missed = 0;
    for of in subscriptions {
        let patience = of.timeout.unwrap_or(config.delivery.timeout).0 + SLACK;
        let outcome = match ask(store, &of, how, patience).await? {
            Ok(_) if args.no_wait => Outcome::Asked,
            Ok(_) if !served => Outcome::NoWorker,
            Ok(asked) => {
                waiting.insert(of.id, asked);
                continue;
            }
            Err(outcome) => outcome,
        };
        missed += tell(out, &of.id, &outcome, 0)?;
    }
    while !waiting.is_empty() {
        for (id, (outcome, parked)) in look(store, &waiting).await? {
            waiting.remove(&id);
            missed += tell(out, &id, &outcome, parked)?;
        }
        out.flush()?;
        tokio::time::sleep(LOOK).await;
    }
    if missed > 0 {
        anyhow::bail!(
            "{missed} of {} not reached; what is parked is kept",
            count(u64::try_from(total).unwrap_or(u64::MAX), "subscription")
        );
    }
    Ok(())
}

/// The subscriptions that were named, or all that are behind.
async fn chosen(store: &Store, args: &RetryNow) -> Result<Vec<Subscription>, StoreError> {
    let mut chosen = Vec::new();
    if args.all {
        let (_, troubled) = store.troubled().await?;
        let registry = store.registry().await?;
        let behind = |id: &str| {
            troubled
                .get(id)
                .is_some_and(|census| census.behind_since_ms.is_some() && !census.suspended)
        };
        let all = registry.subscriptions.iter().filter(|of| behind(of.id.as_str()));
        return Ok(all.map(|of| (**of).clone()).collect());
    }
    for id in &args.ids {
        let known = store.subscription(id).await?;
        chosen.push(known.ok_or_else(|| StoreError::Unknown(id.clone()))?);
    }
    Ok(chosen)
}

async fn alive(store: &Store, config: &Config) -> Result<bool, StoreError> {
    for partition in store.partitions() {
        if partition.snapshot(config.worker.dead_after.0).await?.workers > 0 {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Asks for a probe in every partition where the subscription is behind, or answers why there is none.
async fn ask(
    store: &Store,
    of: &Subscription,
    how: Wake,
    patience: Duration,
) -> Result<Result<Asked, Outcome>, StoreError> {
    if of.is_suspended() {
        return Ok(Err(Outcome::Suspended));
    }
    let mut failures = BTreeMap::new();
    let mut floor = None;
    for partition in store.partitions() {
        let (_, rows) = partition.census(&[of.id.as_str()]).await?;
        let Some(before) = rows.first().filter(|census| census.behind_since_ms.is_some()) else {
            continue;
        };
        let woken = partition.wake(&of.id, how).await?;
        match woken.due_in_ms {
            Some(wait) if !woken.reinjected && wait > 0 => floor = floor.max(Some(wait)),
            _ => {
                failures.insert(partition.index, before.failures);
            }
        }
    }
    Ok(match (failures.is_empty(), floor) {
        (true, Some(wait)) => Err(Outcome::Floor(wait)),
        (true, None) => Err(Outcome::NotBehind),
        (false, _) => Ok(Asked {
            until: Instant::now() + patience,
            failures,
        }),
    })
}

/// Those of the probes whose end is known by now, each with what is still parked.
async fn look(
    store: &Store,
    waiting: &BTreeMap<SubscriptionId, Asked>,
) -> Result<Vec<(SubscriptionId, (Outcome, u64))>, StoreError> {
    let names: Vec<&str> = waiting.keys().map(SubscriptionId::as_str).collect();
    let mut found: BTreeMap<&SubscriptionId, (Outcome, u64)> = BTreeMap::new();
    for partition in store.partitions() {
        let (_, rows) = partition.census(&names).await?;
        for ((id, asked), census) in waiting.iter().zip(rows) {
            let Some(before) = asked.failures.get(&partition.index) else {
                continue;
            };
            let (worst, parked) = found.entry(id).or_insert((Outcome::NotBehind, 0));
            *parked += census.parked;
            let here = judge(&census, *before);
            if here > *worst {
                *worst = here;
            }
        }
    }
    let late = |id: &SubscriptionId| waiting.get(id).is_some_and(|asked| asked.until <= Instant::now());
    let ended = found.into_iter().filter_map(|(id, (outcome, parked))| match outcome {
        Outcome::Pending if late(id) => Some((id.clone(), (Outcome::Unheard, parked))),
        Outcome::Pending => None,
        outcome => Some((id.clone(), (outcome, parked))),
    });
    Ok(ended.collect())
}

/// What the state of one partition says about a probe asked for after so many failures.
fn judge(census: &Census, before: u32) -> Outcome {
    if census.suspended {
        return Outcome::Suspended;
    }
    match (census.behind_since_ms, census.open_since_ms) {
        (None, _) => Outcome::Delivered,
        (Some(_), None) => Outcome::Draining,
        (Some(_), Some(_)) if !census.draining && census.failures > before => Outcome::Failing(census.error.clone()),
        (Some(_), Some(_)) => Outcome::Pending,
    }
}

/// Prints one line; answers 1 where the subscriber was not reached.
fn tell(out: &mut impl Write, id: &SubscriptionId, outcome: &Outcome, parked: u64) -> std::io::Result<u64> {
    let left = count(parked, "parked delivery");
    let (said, missed) = match outcome {
        Outcome::NotBehind => (
            "is not behind: its deliveries go out directly, there is nothing to retry".to_owned(),
            0,
        ),
        Outcome::Delivered => ("is back: everything parked was sent".to_owned(), 0),
        Outcome::Draining => (format!("is back: being drained, {left} to go"), 0),
        Outcome::Pending | Outcome::Asked => ("is probed now".to_owned(), 0),
        Outcome::Failing(error) => (
            format!(
                "still fails: {}; {left} kept; find out why with: holdfast subscriptions test {id}",
                plain(error)
            ),
            1,
        ),
        Outcome::Floor(wait) => (
            format!(
                "is not probed: its Retry-After asked for {} more; --ignore-retry-after probes it all the same",
                span(*wait)
            ),
            1,
        ),
        Outcome::Suspended => (
            format!("is suspended: it is not probed until: holdfast subscriptions resume {id}"),
            1,
        ),
        Outcome::Unheard => (
            format!(
                "has no result yet: no worker ended the probe in time; look with: holdfast subscriptions show {id}"
            ),
            1,
        ),
        Outcome::NoWorker => (
            "is probed as soon as a worker runs, and none does: start one with: holdfast serve".to_owned(),
            1,
        ),
    };
    writeln!(out, "{id} {said}")?;
    Ok(missed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_newer_failure_is_one() {
        let open = |failures, draining| Census {
            behind_since_ms: Some(1),
            open_since_ms: Some(1),
            failures,
            draining,
            error: "connect: refused".to_owned(),
            ..Census::default()
        };
        assert_eq!(judge(&open(3, false), 3), Outcome::Pending);
        assert_eq!(judge(&open(4, true), 3), Outcome::Pending);
        let failed = Outcome::Failing("connect: refused".to_owned());
        assert_eq!(judge(&open(4, false), 3), failed);
        let behind = Census {
            open_since_ms: None,
            ..open(0, true)
        };
        assert_eq!(judge(&behind, 3), Outcome::Draining);
        assert_eq!(judge(&Census::default(), 3), Outcome::Delivered);
    }
}
