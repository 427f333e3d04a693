//! Signals to single processes, by id.

use std::process::{Command, Stdio};

/// Sends `name` (`TERM`, `KILL`, `STOP`, `CONT`) to one process; false when it does not exist.
pub(crate) fn signal(pid: u32, name: &str) -> bool {
    assert!(pid > 1, "only processes that a test started");
    Command::new("kill")
        .args([&format!("-{name}"), &pid.to_string()])
        .stderr(Stdio::null())
        .status()
        .unwrap()
        .success()
}

/// Whether the process exists and is no zombie.
pub(crate) fn exists(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
        !stat
            .rsplit_once(')')
            .is_some_and(|(_, rest)| rest.trim_start().starts_with('Z'))
    })
}
