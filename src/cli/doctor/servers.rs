//! The checks of `doctor` about the servers: on a Cluster each master is looked at, and named.

use std::collections::HashMap;
use std::time::Duration;

use super::check::Check;
use super::growth::{Estimate, Looks, Trend, lasts, trend};
use crate::cli::text::{count, number, size, span};
use crate::config::Config;
use crate::store::nodes::Node;

/// A round trip from which deliveries are slowed noticeably.
const FAR: Duration = Duration::from_millis(20);
/// Receivers of signed deliveries refuse a timestamp that is some minutes off.
const CLOCK_OFF: u64 = 5_000;
/// How soon a server may be full before that is a warning, and a failure.
const SOON: Duration = Duration::from_secs(24 * 3_600);
const VERY_SOON: Duration = Duration::from_secs(3_600);

/// What all servers hold, between two looks.
pub(super) struct Held {
    pub(super) apart: Duration,
    pub(super) entries: (u64, u64),
    pub(super) oldest: Option<Duration>,
}

/// Everything about each server but its memory.
pub(super) fn checks(nodes: &[Node], config: &Config) -> Vec<Check> {
    let several = nodes.len() > 1;
    let each = nodes.iter().flat_map(|node| {
        let prefix = if several {
            format!("{}: ", node.address)
        } else {
            String::new()
        };
        let mut checks = vec![server(node, &prefix), durability(node, &prefix), clock(node, &prefix)];
        checks.push(replicas(node, &prefix, config.redis.confirm_replicas));
        checks.extend(settings(node, &prefix, config.redis.confirm_replicas));
        checks
    });
    each.collect()
}

fn server(node: &Node, prefix: &str) -> Check {
    let facts = &node.facts;
    let millis = node.round_trip.as_secs_f64() * 1_000.0;
    let found = format!(
        "{prefix}{} {}, {}, answers in {millis:.2}ms",
        facts.flavour,
        facts.version,
        if node.role == "master" { "master" } else { "replica" },
    );
    if node.role != "master" {
        return Check::fail(
            "server",
            found,
            "a replica takes no writes: point HOLDFAST_REDIS__URL at its master or at the sentinels",
        );
    }
    if node.round_trip > FAR {
        return Check::warn(
            "server",
            found,
            "every step waits for Redis: run it nearer to the workers, or look what keeps it busy (SLOWLOG GET)",
        );
    }
    Check::ok("server", found)
}

fn durability(node: &Node, prefix: &str) -> Check {
    let facts = &node.facts;
    let fsync = facts.fsync.as_deref().unwrap_or("not shown to this user");
    let kept = if facts.append_only {
        format!("appendonly yes, appendfsync {fsync}")
    } else {
        "appendonly no".to_owned()
    };
    if !node.disk.failing.is_empty() {
        return Check::fail(
            "durability",
            format!("{prefix}{kept}; failing: {}", node.disk.failing.join(", ")),
            "Redis cannot write to its disk and refuses writes while that lasts: look at its log, free space or mend \
             the disk",
        );
    }
    if node.disk.delayed_fsyncs > 0 {
        return Check::warn(
            "durability",
            format!(
                "{prefix}{kept}; {} since its start",
                count(node.disk.delayed_fsyncs, "delayed fsync")
            ),
            "the disk is slower than what is written: give Redis a faster or less busy one",
        );
    }
    Check::ok("durability", format!("{prefix}{kept}, the last writes went well"))
}

/// Who must have an event before it is accepted, and who could.
fn replicas(node: &Node, prefix: &str, confirming: u32) -> Check {
    let connected = count(node.facts.replicas, "replica");
    let found = match confirming {
        0 => format!("{prefix}{connected} connected; an event is accepted once the master has it"),
        n => format!(
            "{prefix}{connected} connected; an event is accepted once {} of them {} it (redis.confirm_replicas)",
            n,
            if n == 1 { "has" } else { "have" }
        ),
    };
    let needed = u64::from(confirming);
    if node.facts.replicas < needed {
        return Check::fail(
            "replicas",
            found,
            "every event is refused: bring back the replicas, or set HOLDFAST_REDIS__CONFIRM_REPLICAS to what there is",
        );
    }
    if node.facts.replicas > 0 && confirming == 0 {
        return Check::warn(
            "replicas",
            found,
            "a failover to a replica that lags behind throws away what was accepted last: set \
             HOLDFAST_REDIS__CONFIRM_REPLICAS=1",
        );
    }
    if needed > 0 && node.facts.replicas == needed {
        return Check::ok("replicas", format!("{found}; with one less every event is refused"));
    }
    Check::ok("replicas", found)
}

/// What the start warns about as well, but for what is said of replicas already.
fn settings(node: &Node, prefix: &str, confirming: u32) -> Vec<Check> {
    let warnings = node.facts.warnings(confirming).into_iter();
    let warnings: Vec<String> = warnings
        .filter(|warning| !warning.starts_with("redis.confirm_replicas"))
        .collect();
    if warnings.is_empty() {
        let writes = match (node.facts.replicas, node.facts.min_replicas) {
            (0, _) | (_, None) => String::new(),
            (_, Some(n)) => format!(", min-replicas-to-write {n}"),
        };
        return vec![Check::ok(
            "settings",
            format!("{prefix}maxmemory-policy {}{writes}", node.facts.policy),
        )];
    }
    let said = warnings.iter().map(|warning| {
        let (found, advice) = warning.split_once("; ").unwrap_or((warning, "change it"));
        Check::warn("settings", format!("{prefix}{found}"), advice)
    });
    said.collect()
}

fn clock(node: &Node, prefix: &str) -> Check {
    let off = node.clock_ahead_ms.unsigned_abs();
    if off < CLOCK_OFF {
        return Check::ok(
            "clock",
            format!("{prefix}this machine and Redis differ by {}", span(off)),
        );
    }
    let direction = if node.clock_ahead_ms > 0 { "behind" } else { "ahead of" };
    Check::warn(
        "clock",
        format!("{prefix}this machine is {} {direction} Redis", span(off)),
        "no event is lost by it, but receivers check the time of signed deliveries, which is the worker's: set up NTP \
         on both",
    )
}

/// The memory of each server, and until when it lasts.
pub(super) fn memory(before: &[Node], after: &[Node], held: &Held, config: &Config) -> Vec<Check> {
    let earlier: HashMap<&str, u64> = before
        .iter()
        .map(|node| (node.address.as_str(), node.dataset))
        .collect();
    let several = after.len() > 1;
    let each = after.iter().map(|node| {
        let looks = Looks {
            apart: held.apart,
            data: (
                earlier.get(node.address.as_str()).copied().unwrap_or(node.dataset),
                node.dataset,
            ),
            held: held.entries,
            oldest: held.oldest,
        };
        let prefix = if several {
            format!("{}: ", node.address)
        } else {
            String::new()
        };
        memory_of(node, &prefix, &looks, config)
    });
    each.collect()
}

fn memory_of(node: &Node, prefix: &str, looks: &Looks, config: &Config) -> Check {
    let memory = node.memory;
    let limit = if node.facts.max_memory == 0 {
        "the machine's "
    } else {
        ""
    };
    let used = format!("{prefix}{} of {limit}{} used", size(memory.used), size(memory.limit));
    let (warn, refuse) = (config.intake.memory_warn, config.intake.memory_refuse);
    let (trend, soonest) = until(node, looks, refuse);
    let found = format!("{used}; {trend}");
    if memory.ratio() >= refuse {
        return Check::fail(
            "memory",
            found,
            format!(
                "intake answers 503 from {refuse} of the limit on (intake.memory_refuse): raise maxmemory, or deliver, \
                 suspend less or remove what is parked; see holdfast status"
            ),
        );
    }
    let advice = "raise maxmemory, or bring back the subscribers that hold most; see holdfast status";
    match soonest {
        Some(left) if left < VERY_SOON => Check::fail("memory", found, advice),
        Some(left) if left < SOON => Check::warn("memory", found, advice),
        _ if memory.ratio() >= warn => Check::warn("memory", found, advice),
        _ => Check::ok("memory", found),
    }
}

/// What is said of the trend, and the time until intake is refused.
fn until(node: &Node, looks: &Looks, refuse: f64) -> (String, Option<Duration>) {
    let (rate, by) = match trend(looks) {
        Trend::Emptying => return ("emptying: fewer entries than a moment ago".to_owned(), None),
        Trend::Steady => return ("not filling".to_owned(), None),
        Trend::Filling { rate, by } => (rate, by),
    };
    let room = |limit: u64| limit.saturating_sub(node.memory.used);
    let share = scaled(node.memory.limit, refuse);
    let shown = |left: Option<Duration>| match left {
        Some(left) => format!("in about {}", span(u64::try_from(left.as_millis()).unwrap_or(u64::MAX))),
        None => "not in this century".to_owned(),
    };
    let (refused, full) = (lasts(room(share), rate), lasts(room(node.memory.limit), rate));
    let how = match by {
        Estimate::Moment => format!(
            "measured over {}: {} more, {} more entries",
            span(u64::try_from(looks.apart.as_millis()).unwrap_or(u64::MAX)),
            size(looks.data.1.saturating_sub(looks.data.0)),
            number(looks.held.1.saturating_sub(looks.held.0)),
        ),
        Estimate::Backlog => format!(
            "estimated: {} of data, of which the oldest waits for {}",
            size(looks.data.1),
            span(
                looks
                    .oldest
                    .map_or(0, |age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX))
            ),
        ),
    };
    let text = format!(
        "filling by {} an hour: intake is refused {}, full {}\n{how}",
        size(scaled(3_600, rate)),
        shown(refused),
        shown(full),
    );
    (text, refused)
}

/// A whole number of bytes times a factor.
fn scaled(bytes: u64, factor: f64) -> u64 {
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an estimate; the cast saturates"
    )]
    let scaled = (bytes as f64 * factor) as u64;
    scaled
}
