//! What the system knows of a process: the time it computed, the memory it holds.

use std::time::Duration;

/// The unit of times in `/proc/<pid>/stat`: 100 a second on every Linux that this runs on.
const TICK: Duration = Duration::from_millis(10);

/// Processor time of a process so far, all its threads together.
pub(crate) fn cpu(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // After the name, which may hold anything: state is field 0, user time 11, system time 12.
    let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace();
    let ticks = fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<u32>().ok());
    TICK * ticks.sum::<u32>()
}
