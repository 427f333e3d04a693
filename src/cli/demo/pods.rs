//! The demo's workers: processes of their own, so that killing one is real.

use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, bail};
use tokio::process::{Child, Command};

/// Subscribers on this machine, and short times, so that a story of minutes fits into one.
const SETTINGS: [(&str, &str); 13] = [
    ("HOLDFAST_INTAKE__LISTEN", "127.0.0.1:0"),
    ("HOLDFAST_ADMIN__LISTEN", "127.0.0.1:0"),
    ("HOLDFAST_REDFISH__LISTEN", "127.0.0.1:0"),
    ("HOLDFAST_DESTINATIONS__ALLOW", "127.0.0.0/8"),
    ("HOLDFAST_RETRY__DELAY", "1s"),
    ("HOLDFAST_RETRY__BACKOFF", "1.0"),
    ("HOLDFAST_DELIVERY__TIMEOUT", "2s"),
    ("HOLDFAST_WORKER__HEARTBEAT", "500ms"),
    ("HOLDFAST_WORKER__DEAD_AFTER", "3s"),
    ("HOLDFAST_WORKER__READ_BLOCK", "500ms"),
    ("HOLDFAST_WORKER__DRAIN_DELAY", "0s"),
    ("HOLDFAST_LOG__FORMAT", "json"),
    ("HOLDFAST_LOG__LEVEL", "info"),
];

/// The running workers.
pub(super) struct Pods(Vec<Child>);

impl Pods {
    /// Starts two workers on a Redis; their logs go to files in `home`.
    pub(super) fn start(redis: &str, home: &Path) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("this program's own file can't be found")?;
        let mut pods = Vec::new();
        for number in 1..=2 {
            let log = std::fs::File::create(home.join(format!("worker-{number}.log")))
                .context("a worker's log can't be written")?;
            let pod = Command::new(&program)
                .arg("serve")
                .envs(SETTINGS)
                .env("HOLDFAST_REDIS__URL", redis)
                .env("HOLDFAST_WORKER__NAME", format!("demo-{number}"))
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(log)
                .kill_on_drop(true)
                .spawn()
                .context("a worker can't be started")?;
            pods.push(pod);
        }
        Ok(Self(pods))
    }

    /// Fails when a worker ended by itself, with the end of its log.
    pub(super) fn check(&mut self, home: &Path) -> anyhow::Result<()> {
        for (number, pod) in self.0.iter_mut().enumerate() {
            if let Some(status) = pod.try_wait().context("a worker can't be watched")? {
                let log = std::fs::read_to_string(home.join(format!("worker-{}.log", number + 1))).unwrap_or_default();
                let end = log.lines().last().unwrap_or("its log is empty");
                bail!("worker {} ended by itself ({status}): {end}", number + 1);
            }
        }
        Ok(())
    }

    /// Kills a worker with SIGKILL and answers its process id.
    pub(super) async fn kill_one(&mut self) -> anyhow::Result<u32> {
        let mut pod = self.0.pop().context("no worker is left to be killed")?;
        let pid = pod.id().context("the worker has ended by itself; see its log")?;
        pod.kill().await.context("the worker can't be killed")?;
        Ok(pid)
    }

    /// Ends the workers; everything is settled by then.
    pub(super) async fn stop(self) {
        for mut pod in self.0 {
            if let Err(error) = pod.kill().await {
                eprintln!("holdfast: a worker could not be ended: {error}");
            }
        }
    }
}
