//! What each setting allows beyond its type, in the words of the messages.
//!
//! Called by the loader once the types are right. Every setting has an entry in [`RULES`] (a test sees to
//! it); [`PAIRS`] are the rules that need two settings.

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use crate::domain::guard::Entry;
use crate::domain::secret::key_bytes;
use crate::domain::units::Period;

use super::origin::{Origin, flatten};
use super::problems::{bad_value, place};
use super::{Config, Loaded};

/// The setting, what is allowed, and whether it is kept.
type Rule = (&'static str, &'static str, fn(&Config) -> bool);

/// Two settings, the relation between them, and whether it is kept.
type Pair = (&'static str, &'static str, &'static str, fn(&Config) -> bool);

/// Far above any sensible wait, far below what overflows the arithmetic of clocks.
const LONGEST: Duration = Duration::from_secs(30 * 24 * 3600);

const SOME_TIME: &str = "a duration such as 250ms, 30s, 5m or 1h, above 0s and at most 30d";
const ANY_TIME: &str = "a duration such as 250ms, 30s, 5m or 1h, at most 30d";
const LISTEN: &str = "an IP address and a port such as 0.0.0.0:8080 or [::]:8080";
const FILE: &str = "the path of a file, or empty";
const COUNT: &str = "a whole number from 1 to 1000000";
const BODY: &str = "a size such as 64KiB or 1MiB, from 1KiB to 256MiB";
const SEALING_KEY: &str = "32 random bytes in base64 (openssl rand -base64 32), or empty";
const RATE: &str = "a whole number of events a second, up to 1000000; 0 sets no limit";
const SIZE: &str = "a size such as 512KiB, 32MiB or 1GiB, at least 1MiB";

const SCHEMES: [&str; 7] = [
    "redis://",
    "rediss://",
    "redis-sentinel://",
    "rediss-sentinel://",
    "redis-cluster://",
    "rediss-cluster://",
    "redis+unix://",
];

fn some_time(period: Period) -> bool {
    !period.0.is_zero() && any_time(period)
}

fn any_time(period: Period) -> bool {
    period.0 <= LONGEST
}

fn seconds(period: Period, least: u64, most: u64) -> bool {
    period.0.subsec_nanos() == 0 && (least..=most).contains(&period.0.as_secs())
}

fn count(n: usize) -> bool {
    (1..=1_000_000).contains(&n)
}

fn sealing_keys(keys: Option<&SecretString>) -> bool {
    keys.is_none_or(|keys| keys.expose_secret().split(',').all(|key| key_bytes(key).is_some()))
}

fn plain(text: &str, also: &str) -> bool {
    let ok = |c: char| c.is_ascii_alphanumeric() || also.contains(c);
    (1..=64).contains(&text.len()) && text.chars().all(ok)
}

/// `host:port`; an address of IPv6 stands in brackets.
fn reachable(text: &str) -> bool {
    let parts = text.trim().rsplit_once(':');
    parts.is_some_and(|(host, port)| {
        let bracketed = host.starts_with('[') && host.ends_with(']');
        !host.is_empty() && (bracketed || !host.contains([':', '/'])) && port.parse::<u16>().is_ok_and(|port| port > 0)
    })
}

const RULES: &[Rule] = &[
    ("serve.role", "all, api or worker", |_| true),
    (
        "redis.url",
        "embedded, or a URL that starts with redis://, rediss://, redis-sentinel://, redis-cluster:// or redis+unix:// \
         (rediss-sentinel:// and rediss-cluster:// with TLS)",
        |c| c.redis.url == "embedded" || SCHEMES.iter().any(|scheme| c.redis.url.starts_with(scheme)),
    ),
    ("redis.username", "text, or empty", |_| true),
    ("redis.password", "text (in a TOML file: in quotes), or empty", |_| true),
    ("redis.ca_file", FILE, |_| true),
    (
        "redis.prefix",
        "1 to 64 letters, digits and any of - _ . : (no braces or spaces)",
        |c| plain(&c.redis.prefix, "-_.:"),
    ),
    ("redis.partitions", "a whole number from 1 to 1024", |c| {
        (1..=1024).contains(&c.redis.partitions)
    }),
    ("redis.command_timeout", SOME_TIME, |c| {
        some_time(c.redis.command_timeout)
    }),
    ("redis.pool", "a whole number from 1 to 256", |c| {
        (1..=256).contains(&c.redis.pool)
    }),
    (
        "redis.confirm_replicas",
        "a whole number from 0 (the master alone) to 16",
        |c| c.redis.confirm_replicas <= 16,
    ),
    (
        "redis.confirm_timeout",
        "a duration such as 250ms or 1s, from 1ms to 1m",
        |c| (Duration::from_millis(1)..=Duration::from_secs(60)).contains(&c.redis.confirm_timeout.0),
    ),
    ("redis.allow_embedded", "true or false", |_| true),
    ("embedded.data_dir", "the path of a directory", |c| {
        !c.embedded.data_dir.as_os_str().is_empty()
    }),
    ("embedded.server", FILE, |_| true),
    ("embedded.max_memory", SIZE, |c| {
        c.embedded.max_memory.is_none_or(|size| size.0 >= 1 << 20)
    }),
    ("embedded.fsync", "always, everysec or no", |c| {
        ["always", "everysec", "no"].contains(&c.embedded.fsync.as_str())
    }),
    ("intake.listen", LISTEN, |_| true),
    ("intake.wait", ANY_TIME, |c| any_time(c.intake.wait)),
    ("intake.max_waiting", COUNT, |c| count(c.intake.max_waiting)),
    ("intake.max_waiting_bytes", SIZE, |c| {
        c.intake.max_waiting_bytes.0 >= 1 << 20
    }),
    ("intake.max_body", BODY, |c| {
        (1 << 10..=256 << 20).contains(&c.intake.max_body.0)
    }),
    ("intake.read_timeout", SOME_TIME, |c| some_time(c.intake.read_timeout)),
    ("intake.max_connections", COUNT, |c| count(c.intake.max_connections)),
    (
        "intake.max_connections_per_client",
        "a whole number up to 1000000; 0 sets no limit",
        |c| c.intake.max_connections_per_client <= 1_000_000,
    ),
    ("intake.rate", RATE, |c| c.intake.rate <= 1_000_000),
    ("intake.rate_per_source", RATE, |c| {
        c.intake.rate_per_source <= 1_000_000
    }),
    ("intake.tokens_file", FILE, |_| true),
    ("intake.certificate", FILE, |_| true),
    ("intake.key", FILE, |_| true),
    ("intake.client_ca", FILE, |_| true),
    ("intake.memory_warn", "a number above 0 and at most 0.95", |c| {
        c.intake.memory_warn > 0.0 && c.intake.memory_warn <= 0.95
    }),
    (
        "intake.memory_refuse",
        "a number above 0 and at most 0.95, so that what is in can still be parked",
        |c| c.intake.memory_refuse > 0.0 && c.intake.memory_refuse <= 0.95,
    ),
    ("admin.listen", LISTEN, |_| true),
    (
        "admin.max_subscription_labels",
        "a whole number from 0 to 100000",
        |c| c.admin.max_subscription_labels <= 100_000,
    ),
    ("admin.refresh", SOME_TIME, |c| some_time(c.admin.refresh)),
    (
        "admin.peers",
        "names or addresses, each with a port (holdfast-metrics:9090), with commas between them; or empty",
        |c| {
            c.admin
                .peers
                .as_deref()
                .is_none_or(|places| places.split(',').all(reachable))
        },
    ),
    ("redfish.enabled", "true or false", |_| true),
    ("redfish.listen", LISTEN, |_| true),
    ("redfish.certificate", FILE, |_| true),
    ("redfish.key", FILE, |_| true),
    (
        "redfish.admin_user",
        "1 to 64 letters, digits and any of - _ . @",
        |c| plain(&c.redfish.admin_user, "-_.@"),
    ),
    (
        "redfish.admin_password",
        "text of 8 to 256 bytes (in a TOML file: in quotes), or empty",
        |c| {
            let password = c.redfish.admin_password.as_ref();
            password.is_none_or(|password| (8..=256).contains(&password.expose_secret().len()))
        },
    ),
    (
        "redfish.session_timeout",
        "a duration in whole seconds such as 90s or 30m, from 30s to 1d",
        |c| seconds(c.redfish.session_timeout, 30, 86_400),
    ),
    (
        "redfish.lockout_threshold",
        "a whole number from 0 (never) to 1000",
        |c| c.redfish.lockout_threshold <= 1000,
    ),
    (
        "redfish.lockout_duration",
        "a duration in whole seconds such as 30s or 5m, from 1s to 1d",
        |c| seconds(c.redfish.lockout_duration, 1, 86_400),
    ),
    (
        "redfish.lockout_reset",
        "a duration in whole seconds such as 30s or 5m, from 1s to 1d",
        |c| seconds(c.redfish.lockout_reset, 1, 86_400),
    ),
    (
        "redfish.max_connections_per_client",
        "a whole number up to 1000000; 0 sets no limit",
        |c| c.redfish.max_connections_per_client <= 1_000_000,
    ),
    ("redfish.max_subscriptions", COUNT, |c| {
        count(c.redfish.max_subscriptions)
    }),
    ("certificates.check", SOME_TIME, |c| some_time(c.certificates.check)),
    ("delivery.direct_wait", ANY_TIME, |c| any_time(c.delivery.direct_wait)),
    ("delivery.connect_timeout", SOME_TIME, |c| {
        some_time(c.delivery.connect_timeout)
    }),
    ("delivery.timeout", SOME_TIME, |c| some_time(c.delivery.timeout)),
    ("delivery.max_in_flight", "a whole number from 1 to 1024", |c| {
        (1..=1024).contains(&c.delivery.max_in_flight)
    }),
    ("delivery.coalesce_records", "a whole number from 1 to 1000", |c| {
        (1..=1000).contains(&c.delivery.coalesce_records)
    }),
    ("delivery.pod_max_in_flight", "a whole number from 1 to 100000", |c| {
        (1..=100_000).contains(&c.delivery.pod_max_in_flight)
    }),
    ("delivery.pod_max_bytes", SIZE, |c| {
        c.delivery.pod_max_bytes.0 >= 1 << 20
    }),
    ("delivery.heartbeat_minute", SOME_TIME, |c| {
        some_time(c.delivery.heartbeat_minute)
    }),
    ("delivery.idle_connection", ANY_TIME, |c| {
        any_time(c.delivery.idle_connection)
    }),
    ("retry.delay", SOME_TIME, |c| some_time(c.retry.delay)),
    ("retry.backoff", "a number from 1.0 (constant) to 100.0", |c| {
        (1.0..=100.0).contains(&c.retry.backoff)
    }),
    ("retry.max_delay", SOME_TIME, |c| some_time(c.retry.max_delay)),
    ("retry.jitter", "a number from 0.0 to below 1.0", |c| {
        (0.0..1.0).contains(&c.retry.jitter)
    }),
    ("retry.max_attempts", "a whole number; 0 is for ever", |_| true),
    ("retry.refused_attempts", "a whole number of 1 or more", |c| {
        c.retry.refused_attempts >= 1
    }),
    ("retry.retry_after_min", ANY_TIME, |c| any_time(c.retry.retry_after_min)),
    ("retry.retry_after_max", SOME_TIME, |c| {
        some_time(c.retry.retry_after_max)
    }),
    (
        "worker.name",
        "1 to 64 letters, digits and any of - _ . , or empty",
        |c| c.worker.name.as_deref().is_none_or(|name| plain(name, "-_.")),
    ),
    ("worker.read_batch", "a whole number from 1 to 10000", |c| {
        (1..=10_000).contains(&c.worker.read_batch)
    }),
    ("worker.max_events", "a whole number from 1 to 1000000", |c| {
        (1..=1_000_000).contains(&c.worker.max_events)
    }),
    (
        "worker.read_block",
        "a duration such as 500ms or 2s, above 0s and at most 5s",
        |c| some_time(c.worker.read_block) && c.worker.read_block <= Period::from_secs(5),
    ),
    ("worker.max_drains", COUNT, |c| count(c.worker.max_drains)),
    ("worker.heartbeat", SOME_TIME, |c| some_time(c.worker.heartbeat)),
    ("worker.dead_after", SOME_TIME, |c| some_time(c.worker.dead_after)),
    ("worker.sweep", SOME_TIME, |c| some_time(c.worker.sweep)),
    ("worker.registry_refresh", SOME_TIME, |c| {
        some_time(c.worker.registry_refresh)
    }),
    ("worker.scheduler_sleep", SOME_TIME, |c| {
        some_time(c.worker.scheduler_sleep)
    }),
    ("worker.audit", SOME_TIME, |c| some_time(c.worker.audit)),
    ("worker.drain_delay", ANY_TIME, |c| any_time(c.worker.drain_delay)),
    ("worker.shutdown_deadline", SOME_TIME, |c| {
        some_time(c.worker.shutdown_deadline)
    }),
    ("limits.check", SOME_TIME, |c| some_time(c.limits.check)),
    (
        "limits.overflow_dir",
        "the absolute path of a directory, or empty",
        |c| {
            c.limits
                .overflow_dir
                .as_deref()
                .is_none_or(std::path::Path::is_absolute)
        },
    ),
    ("recent.max_age", ANY_TIME, |c| any_time(c.recent.max_age)),
    (
        "recent.max_bytes",
        "a size such as 512KiB, 16MiB or 1GiB, or 0B for none",
        |_| true,
    ),
    ("recent.trim", SOME_TIME, |c| some_time(c.recent.trim)),
    (
        "destinations.allow",
        "networks (10.0.0.0/8), addresses and host names (*.example) with commas between them; of those that are \
         never sent to, only loopback ones can be allowed",
        |c| !c.destinations.allow.iter().any(Entry::is_futile),
    ),
    (
        "destinations.deny",
        "networks (10.0.0.0/8), addresses and host names (*.example) with commas between them",
        |_| true,
    ),
    ("secrets.key", SEALING_KEY, |c| sealing_keys(c.secrets.key.as_ref())),
    ("secrets.key_file", FILE, |_| true),
    (
        "secrets.previous_keys",
        "keys of 32 bytes in base64, separated by commas, or empty",
        |c| sealing_keys(c.secrets.previous_keys.as_ref()),
    ),
    ("log.format", "auto, pretty or json", |_| true),
    (
        "log.level",
        "error, warn, info, debug, trace or off, or such a list as info,holdfast=debug",
        |c| !c.log.level.trim().is_empty(),
    ),
];

const PAIRS: &[Pair] = &[
    (
        "redis.confirm_replicas",
        "0 with a server that has no replicas:",
        "redis.url",
        |c| c.redis.confirm_replicas == 0 || c.redis.url != "embedded",
    ),
    ("intake.memory_warn", "below", "intake.memory_refuse", |c| {
        c.intake.memory_warn < c.intake.memory_refuse
    }),
    ("intake.max_body", "at most", "intake.max_waiting_bytes", |c| {
        c.intake.max_body <= c.intake.max_waiting_bytes
    }),
    ("intake.max_body", "at most", "delivery.pod_max_bytes", |c| {
        c.intake.max_body <= c.delivery.pod_max_bytes
    }),
    ("intake.certificate", "set together with", "intake.key", |c| {
        c.intake.certificate.is_some() == c.intake.key.is_some()
    }),
    (
        "intake.client_ca",
        "set only together with",
        "intake.certificate",
        |c| c.intake.client_ca.is_none() || c.intake.certificate.is_some(),
    ),
    ("redfish.certificate", "set together with", "redfish.key", |c| {
        c.redfish.certificate.is_some() == c.redfish.key.is_some()
    }),
    ("redfish.lockout_reset", "at most", "redfish.lockout_duration", |c| {
        c.redfish.lockout_reset <= c.redfish.lockout_duration
    }),
    ("retry.retry_after_min", "at most", "retry.retry_after_max", |c| {
        c.retry.retry_after_min <= c.retry.retry_after_max
    }),
    ("worker.read_block", "at most", "redis.command_timeout", |c| {
        c.worker.read_block <= c.redis.command_timeout
    }),
    ("worker.heartbeat", "at most a quarter of", "worker.dead_after", |c| {
        c.worker.heartbeat.0.saturating_mul(4) <= c.worker.dead_after.0
    }),
];

/// What `key` allows, to follow "must be".
pub(super) fn allowed(key: &str) -> &'static str {
    RULES
        .iter()
        .find(|(name, ..)| *name == key)
        .map_or("of another type", |(_, allowed, _)| allowed)
}

/// A message for each rule that is not kept. A rule about two settings is left out where one of them broke
/// its own rule.
pub(super) fn broken(loaded: &Loaded) -> Vec<String> {
    let config = &loaded.config;
    let values = flatten(config);
    let shown = |key: &str| {
        let value = values.iter().find(|(name, _)| name == key);
        value.map_or_else(String::new, |(_, value)| value.to_string())
    };
    let wrong: Vec<&Rule> = RULES.iter().filter(|(_, _, holds)| !holds(config)).collect();
    let single = wrong
        .iter()
        .map(|(key, allowed, _)| bad_value(key, &loaded.origin(key), &shown(key), allowed));
    let pairs = PAIRS
        .iter()
        .filter(|(a, _, b, holds)| !holds(config) && !wrong.iter().any(|(key, ..)| key == a || key == b))
        .map(|(a, relation, b, _)| {
            // Named first is the one somebody set: that is the line to change.
            let at = match loaded.origin(a) {
                Origin::Default => place(b, &loaded.origin(b)),
                origin => place(a, &origin),
            };
            format!("{at}: {a} ({}) must be {relation} {b} ({})", shown(a), shown(b))
        });
    single.chain(pairs).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::origin::names;

    #[test]
    fn every_setting_has_one_rule_and_its_default_keeps_it() {
        let named: Vec<String> = names().into_iter().map(|(key, _)| key).collect();
        let ruled: Vec<&str> = RULES.iter().map(|(key, ..)| *key).collect();
        assert_eq!(named, ruled);
        let defaults = Loaded {
            config: Config::default(),
            origins: std::collections::HashMap::new(),
        };
        assert_eq!(broken(&defaults), Vec::<String>::new());
    }

    #[test]
    fn pairs_name_settings_that_exist() {
        for (a, _, b, _) in PAIRS {
            for key in [a, b] {
                assert_ne!(allowed(key), "of another type", "{key}");
            }
        }
    }
}
