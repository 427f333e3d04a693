//! The check of `doctor` about secrets: whether they are sealed in Redis, with the newest key, and open.

use super::check::Check;
use crate::cli::text::count;
use crate::store::Store;

/// Subscriptions that are named, at most.
const NAMED: usize = 5;

/// How secrets are kept.
pub(super) async fn check(store: &Store) -> Vec<Check> {
    let sealing = match store.sealing().await {
        Ok(sealing) => sealing,
        Err(error) => return vec![Check::unknown("secrets", &error)],
    };
    let subscriptions = |n: usize| count(u64::try_from(n).unwrap_or(u64::MAX), "subscription");
    let mut checks = Vec::new();
    if !sealing.locked.is_empty() {
        let first = sealing.locked.iter().take(NAMED);
        let mut found: Vec<String> = first.map(|(id, locked)| format!("{id}: {locked}")).collect();
        if sealing.locked.len() > NAMED {
            found.push(format!("and {} more", sealing.locked.len() - NAMED));
        }
        checks.push(Check::fail(
            "secrets",
            found.join("\n"),
            "until then their events are parked: set the keys of the workers here, and on every worker, or give the \
             secrets anew (holdfast subscriptions update ID)",
        ));
    }
    let Some(key) = store.sealer().key_id() else {
        checks.push(if sealing.with_secrets == 0 {
            Check::ok("secrets", "no key to seal with is set, and no subscription has secrets")
        } else {
            Check::warn(
                "secrets",
                format!("those of {} are plain text in Redis", subscriptions(sealing.plain.len())),
                "set HOLDFAST_SECRETS__KEY or HOLDFAST_SECRETS__KEY_FILE everywhere (openssl rand -base64 32), then run \
                 holdfast secrets reseal",
            )
        });
        return checks;
    };
    let stale = sealing.plain.len() + sealing.outdated.len();
    checks.push(if stale > 0 {
        Check::warn(
            "secrets",
            format!(
                "those of {} are plain text in Redis, those of {} are sealed with an older key than {key}",
                subscriptions(sealing.plain.len()),
                subscriptions(sealing.outdated.len())
            ),
            "once every worker has the key, run holdfast secrets reseal",
        )
    } else {
        Check::ok(
            "secrets",
            format!(
                "those of {} are sealed with the key {key}",
                subscriptions(sealing.with_secrets)
            ),
        )
    });
    checks
}
