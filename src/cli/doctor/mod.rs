//! `holdfast doctor`: one screen of checks, each with what to do about it.
//!
//! A check that fails never keeps another from being made, unless there is nothing to ask. Reads only; with
//! `embedded`, and no holdfast that runs on the data directory, a server is started for the duration.

mod certificates;
mod check;
mod growth;
mod redfish;
mod secrets;
mod servers;
mod work;

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use tokio::time::Instant;

use self::check::{Check, Level};
use self::servers::Held;
use super::Json;
use super::deployment::with_store;
use super::text::size;
use crate::config::{self, Loaded};
use crate::store::embedded::EMBEDDED;
use crate::store::{Store, permissions};

/// Between the two looks at the memory.
const APART: Duration = Duration::from_secs(3);
/// Less free space than this is a warning, in bytes.
const LITTLE_SPACE: u64 = 1 << 30;

/// Makes all checks and prints them.
///
/// # Errors
/// When a check failed.
pub(super) async fn run(file: Option<&Path>, how: Json, out: &mut impl Write) -> anyhow::Result<()> {
    let checks = checks(file).await;
    let worst = checks.iter().map(|check| check.level).max().unwrap_or(Level::Ok);
    if how.json {
        let report = serde_json::json!({ "verdict": worst, "checks": checks });
        serde_json::to_writer_pretty(&mut *out, &report)?;
        writeln!(out)?;
    } else {
        for check in &checks {
            out.write_all(check.lines().as_bytes())?;
        }
    }
    out.flush()?;
    let failed = checks.iter().filter(|check| check.level == Level::Fail).count();
    if failed > 0 {
        let noun = if failed == 1 { "check" } else { "checks" };
        anyhow::bail!("{failed} {noun} failed; what to do stands below each");
    }
    Ok(())
}

async fn checks(file: Option<&Path>) -> Vec<Check> {
    let loaded = match config::load(file, config::environment()) {
        Ok(loaded) => loaded,
        Err(error) => {
            return vec![
                Check::fail(
                    "configuration",
                    error.to_string(),
                    "mend what is named; holdfast config shows the rest",
                ),
                Check::fail(
                    "redis",
                    "not checked: the configuration does not say where it is",
                    "mend the configuration, then run holdfast doctor again",
                ),
            ];
        }
    };
    let mut checks = vec![Check::ok(
        "configuration",
        match file {
            Some(file) => format!("loads, with {}", file.display()),
            None => "loads".to_owned(),
        },
    )];
    checks.extend(disk(&loaded));
    checks.extend(certificates::check(&loaded.config));
    let made = with_store(&loaded.config, async |store| Ok(of_redis(store, &loaded).await)).await;
    match made {
        Ok(made) => checks.extend(made),
        Err(error) => checks.push(Check::fail(
            "redis",
            super::message(&error),
            "until then nothing is taken in or delivered, and nothing that Redis has is lost; the checks of what is in \
             it were not made",
        )),
    }
    checks
}

/// The space for the data of the private server, which is on this machine.
fn disk(loaded: &Loaded) -> Option<Check> {
    let (redis, settings) = (&loaded.config.redis, &loaded.config.embedded);
    if redis.url != EMBEDDED {
        return None;
    }
    let dir = &settings.data_dir;
    // Before the first start the directory is still to be made in one that is there.
    let place = dir.ancestors().find(|place| place.exists()).unwrap_or(Path::new("."));
    let space = match rustix::fs::statvfs(place) {
        Ok(space) => space.f_bavail.saturating_mul(space.f_frsize),
        Err(error) => {
            return Some(Check::warn(
                "disk",
                format!("the space free for {} is not known: {error}", dir.display()),
                "check HOLDFAST_EMBEDDED__DATA_DIR",
            ));
        }
    };
    let found = format!("{} free for {}", size(space), dir.display());
    Some(if space < LITTLE_SPACE {
        let advice = "a full disk stops the private server's writes: free space, or move the data with \
                      HOLDFAST_EMBEDDED__DATA_DIR";
        Check::warn("disk", found, advice)
    } else {
        Check::ok("disk", found)
    })
}

/// Everything that is to be learnt from a Redis that can be reached.
async fn of_redis(store: &Store, loaded: &Loaded) -> Vec<Check> {
    let config = &loaded.config;
    let dead_after = config.worker.dead_after.0;
    let connection = store.connection();
    let mut checks = vec![Check::ok("redis", format!("{} is reached", connection.url()))];
    let before = (store.nodes().await, work::sum(store, dead_after).await, Instant::now());
    match &before.0 {
        Ok(nodes) => checks.extend(servers::checks(nodes, config)),
        Err(error) => checks.push(Check::unknown("server", error)),
    }
    // A replica refuses the trial of the commands, and each refusal drops the connection.
    if before
        .0
        .as_ref()
        .is_ok_and(|nodes| nodes.iter().all(|node| node.role == "master"))
    {
        checks.push(match permissions::check(connection, store.prefix()).await {
            Ok(()) => Check::ok(
                "permissions",
                format!("{} may do all that is needed", connection.username()),
            ),
            Err(error) => Check::fail(
                "permissions",
                error.to_string(),
                "change the user or the server as it says",
            ),
        });
    }
    checks.push(work::partitions(store, loaded).await);
    let (subscriptions, oldest_parked) = work::subscriptions(store).await;
    if let (Ok(nodes), Ok(first), looked) = &before {
        tokio::time::sleep_until(*looked + APART).await;
        match (store.nodes().await, work::sum(store, dead_after).await) {
            (Ok(after), Ok(second)) => {
                let held = Held {
                    apart: looked.elapsed(),
                    entries: (first.entries, second.entries),
                    oldest: oldest_parked.max(second.oldest_event),
                };
                checks.extend(servers::memory(nodes, &after, &held, config));
            }
            (Err(error), _) | (_, Err(error)) => checks.push(Check::unknown("memory", &error)),
        }
    }
    match work::sum(store, dead_after).await {
        Ok(sum) => {
            checks.push(work::workers(store, sum.now_ms, dead_after).await);
            checks.extend(work::books(&sum));
            checks.extend(redfish::check(store, config, sum.now_ms).await);
        }
        Err(error) => checks.push(Check::unknown("workers", &error)),
    }
    checks.extend(subscriptions);
    checks.extend(secrets::check(store).await);
    checks
}
