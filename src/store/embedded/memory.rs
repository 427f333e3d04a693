//! How much memory the private server may use: half of what the machine or the cgroup has.
//!
//! Called once at start. Half, because a rewrite of the append-only file forks and may need as much again.

use std::path::Path;

/// Used where the system does not tell.
const UNKNOWN: u64 = 1 << 30;
/// Less makes no sense for a server that keeps events.
const LEAST: u64 = 64 << 20;

/// `maxmemory` in bytes for this machine.
pub(super) fn half() -> u64 {
    let read = |path: &str| std::fs::read_to_string(path).ok();
    let machine = read("/proc/meminfo").and_then(|text| machine(&text));
    let group = read("/proc/self/cgroup")
        .and_then(|text| unified_group(&text))
        .and_then(|group| {
            // A limit may be set on any group above; inside a container the root is the container's own.
            Path::new(&group)
                .ancestors()
                .filter_map(|group| limit(&read(&format!("/sys/fs/cgroup{}/memory.max", group.display()))?))
                .min()
        });
    let root = read("/sys/fs/cgroup/memory.max").and_then(|text| limit(&text));
    let first_version = read("/sys/fs/cgroup/memory/memory.limit_in_bytes").and_then(|text| limit(&text));
    let least = [machine, group, root, first_version].into_iter().flatten().min();
    (least.unwrap_or(2 * UNKNOWN) / 2).max(LEAST)
}

/// `MemTotal` of `/proc/meminfo`, in bytes.
fn machine(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim()
        .strip_suffix("kB")?
        .trim()
        .parse::<u64>()
        .ok()?
        .checked_mul(1024)
}

/// The path of this process in the unified hierarchy.
fn unified_group(cgroup: &str) -> Option<String> {
    cgroup
        .lines()
        .find_map(|line| line.strip_prefix("0::"))
        .map(str::to_owned)
}

/// A cgroup limit in bytes; `max` and the huge number of the first version are none.
fn limit(text: &str) -> Option<u64> {
    text.trim().parse().ok().filter(|bytes| *bytes < 1 << 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_tells_is_read() {
        assert_eq!(machine("MemTotal:       16384 kB\nMemFree: 1 kB\n"), Some(16 << 20));
        assert_eq!(machine("nonsense"), None);
        assert_eq!(limit("max\n"), None);
        assert_eq!(limit("9223372036854771712\n"), None);
        assert_eq!(limit("536870912\n"), Some(512 << 20));
        assert_eq!(unified_group("0::/a/b\n").as_deref(), Some("/a/b"));
        assert!(half() >= LEAST);
    }
}
