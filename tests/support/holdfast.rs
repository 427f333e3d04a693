//! The real binary as a process of its own, configured by environment, killed on drop.

use std::fs::File;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::{free_ports, signal, wait_until};

/// Subscribers of tests listen on loopback, which is refused unless it is allowed.
pub(crate) const LOOPBACK: (&str, &str) = ("HOLDFAST_DESTINATIONS__ALLOW", "127.0.0.0/8,::1");

/// A running `holdfast`; its standard error is shown when the test fails.
pub(crate) struct Holdfast {
    process: Child,
    scratch: TempDir,
    intake: u16,
    admin: u16,
    redfish: u16,
}

impl Holdfast {
    /// Runs `holdfast <arguments>` with free ports for its listeners and the given variables on top.
    pub(crate) fn start(arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        Self::start_by(&[], arguments, environment)
    }

    /// The same by way of a program that becomes it, such as `ip netns exec NAME`.
    pub(crate) fn start_by(launcher: &[&str], arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let [intake, admin, redfish] = free_ports();
        let log = File::create(scratch.path().join("stderr")).unwrap();
        let out = File::create(scratch.path().join("stdout")).unwrap();
        let inherited = std::env::vars_os().filter(|(name, _)| !name.to_string_lossy().starts_with("HOLDFAST_"));
        let words = [launcher, &[env!("CARGO_BIN_EXE_holdfast")], arguments].concat();
        let process = Command::new(words[0])
            .args(&words[1..])
            .env_clear()
            .envs(inherited)
            .env("HOLDFAST_INTAKE__LISTEN", format!("127.0.0.1:{intake}"))
            .env("HOLDFAST_ADMIN__LISTEN", format!("127.0.0.1:{admin}"))
            .env(LOOPBACK.0, LOOPBACK.1)
            .env("HOLDFAST_REDFISH__LISTEN", format!("127.0.0.1:{redfish}"))
            .env("HOLDFAST_EMBEDDED__DATA_DIR", scratch.path().join("data"))
            .envs(environment.iter().copied())
            .current_dir(scratch.path())
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(log)
            .spawn()
            .unwrap();
        Self {
            process,
            scratch,
            intake,
            admin,
            redfish,
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// A URL on the intake listener.
    pub(crate) fn intake(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.intake)
    }

    /// A URL on the metrics and health listener.
    pub(crate) fn admin(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.admin)
    }

    /// A URL on the Redfish listener.
    pub(crate) fn redfish(&self, path: &str) -> String {
        format!("https://127.0.0.1:{}{path}", self.redfish)
    }

    /// What it has written to standard output so far.
    pub(crate) fn stdout(&self) -> String {
        std::fs::read_to_string(self.scratch.path().join("stdout")).unwrap_or_default()
    }

    /// What it has written to standard error so far.
    pub(crate) fn stderr(&self) -> String {
        std::fs::read_to_string(self.scratch.path().join("stderr")).unwrap_or_default()
    }

    /// Where one of its listeners is (`intake`, `admin`, `redfish`), by its log in JSON; `None` before it listens.
    pub(crate) fn listener(&self, name: &str) -> Option<String> {
        let log = self.stderr();
        let (_, rest) = log.split_once(&format!(r#""{name}":""#))?;
        Some(rest.split('"').next()?.to_owned())
    }

    /// Waits until `path` of the admin listener answers 200.
    pub(crate) async fn answers(&self, path: &str, timeout: Duration) {
        let url = self.admin(path);
        wait_until(&format!("{url} answers 200"), timeout, async || {
            reqwest::get(&url).await.is_ok_and(|answer| answer.status() == 200)
        })
        .await;
    }

    /// Dies at once, as with `kill -9` or an out-of-memory kill.
    pub(crate) fn sigkill(&self) {
        assert!(signal(self.pid(), "KILL"));
    }

    /// Asked to stop, as Kubernetes does.
    pub(crate) fn sigterm(&self) {
        assert!(signal(self.pid(), "TERM"));
    }

    /// Frozen.
    pub(crate) fn sigstop(&self) {
        assert!(signal(self.pid(), "STOP"));
    }

    /// Thawed.
    pub(crate) fn sigcont(&self) {
        assert!(signal(self.pid(), "CONT"));
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self, timeout: Duration) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.process.try_wait().unwrap() {
                return status;
            }
            assert!(start.elapsed() < timeout, "holdfast still runs after {timeout:?}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Holdfast {
    fn drop(&mut self) {
        if let Ok(None) = self.process.try_wait() {
            let _gone = self.process.kill();
        }
        let _reaped = self.process.wait();
        if std::thread::panicking() {
            eprintln!("--- stderr of holdfast {}\n{}", self.pid(), self.stderr());
        }
    }
}
