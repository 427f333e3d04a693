//! The private Redis server behind `HOLDFAST_REDIS__URL=embedded`.
//!
//! `app` starts it before anything else and stops it last; command-line verbs attach to the one that runs.
//! A crashed server is started again. It outlives nobody: when this process ends, however it ends, the
//! server is asked to stop, and until it has, no other can start on the same data (see `lock`, `server`).

mod lock;
mod log;
mod memory;
mod server;

use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::{error, info, warn};

use self::lock::{Claim, ServerLock};
use self::server::{Process, Server};
use super::error::StoreError;
use crate::config;

/// The value of `redis.url` that asks for the private server.
pub const EMBEDDED: &str = "embedded";

/// Waits between restarts of a crashed server: doubled each time, forgotten after a minute of health.
const RESTART_FIRST: Duration = Duration::from_millis(200);
const RESTART_LAST: Duration = Duration::from_secs(10);
const HEALTHY: Duration = Duration::from_secs(60);
/// How long a server may take to end after SIGTERM.
const STOP: Duration = Duration::from_secs(30);
/// How long a directory may stay taken before a start is refused: a command-line verb may have a server
/// there for a moment.
const GRACE: Duration = Duration::from_secs(2);
/// How long a verb waits for the server of a holdfast that is just starting.
const ATTACH: Duration = Duration::from_secs(10);
/// How often a taken directory is looked at meanwhile.
const LOOK: Duration = Duration::from_millis(50);

/// Refuses the private server inside Kubernetes, where its disk may vanish with the pod, unless allowed.
///
/// # Errors
/// [`StoreError::Setup`] naming the variables to set.
pub fn check_place(url: &str, in_kubernetes: bool, allowed: bool) -> Result<(), StoreError> {
    if url != EMBEDDED || !in_kubernetes || allowed {
        return Ok(());
    }
    Err(StoreError::Setup(
        "HOLDFAST_REDIS__URL is `embedded` inside Kubernetes: events would live on this pod's disk and vanish with \
         it. Set HOLDFAST_REDIS__URL to your Redis (redis://…), or, with a persistent volume at \
         HOLDFAST_EMBEDDED__DATA_DIR and one replica, HOLDFAST_REDIS__ALLOW_EMBEDDED=true"
            .to_owned(),
    ))
}

/// A running private server, supervised until [`Embedded::stop`] or until it is dropped.
pub struct Embedded {
    url: String,
    stopping: DropGuard,
    supervisor: JoinHandle<()>,
}

/// The server that a command-line verb talks to.
pub struct Attached {
    url: String,
    own: Option<Embedded>,
}

impl Embedded {
    /// Starts the server on its data directory and waits until it has loaded its data.
    ///
    /// # Errors
    /// [`StoreError::Embedded`] when another holdfast uses the directory, no server is installed, or
    /// the server does not start; the message says what to do.
    pub async fn start(settings: &config::Embedded) -> Result<Self, StoreError> {
        let start = Instant::now();
        loop {
            let pid = match lock::claim(&settings.data_dir)? {
                Claim::Owned(owner) => return Self::launch(settings, owner).await,
                Claim::Taken { pid } => pid,
            };
            if start.elapsed() > GRACE {
                return Err(StoreError::Embedded {
                    dir: settings.data_dir.clone(),
                    problem: format!(
                        "another holdfast (process {pid}) uses this directory; stop it, or give this one a \
                         HOLDFAST_EMBEDDED__DATA_DIR of its own"
                    ),
                });
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn launch(settings: &config::Embedded, owner: lock::OwnerLock) -> Result<Self, StoreError> {
        let lock = ServerLock::wait(owner).await?;
        let server = Server::prepare(settings, lock)?;
        let url = server.url().to_owned();
        let process = server.run().await?;
        info!(dir = %settings.data_dir.display(), "the embedded Redis server runs");
        let stopping = CancellationToken::new();
        let supervisor = tokio::spawn(supervise(server, process, stopping.clone()));
        Ok(Self {
            url,
            stopping: stopping.drop_guard(),
            supervisor,
        })
    }

    /// Where it listens; may hold a password, so show it only masked.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Stops the server and waits until its data is on disk.
    pub async fn stop(self) {
        drop(self.stopping);
        if self.supervisor.await.is_err() {
            error!("the supervisor of the embedded Redis server failed; the server stops by itself");
        }
    }
}

impl Attached {
    /// The server of the holdfast that runs on this data directory, else one of its own for the
    /// duration of a command.
    ///
    /// # Errors
    /// [`StoreError::Embedded`], as with [`Embedded::start`].
    pub async fn attach(settings: &config::Embedded) -> Result<Self, StoreError> {
        let start = Instant::now();
        loop {
            let pid = match lock::claim(&settings.data_dir)? {
                Claim::Owned(owner) => {
                    let own = Embedded::launch(settings, owner).await?;
                    return Ok(Self {
                        url: own.url.clone(),
                        own: Some(own),
                    });
                }
                Claim::Taken { pid } => pid,
            };
            if let Some(url) = server::running(&settings.data_dir).await {
                return Ok(Self { url, own: None });
            }
            if start.elapsed() > ATTACH {
                return Err(StoreError::Embedded {
                    dir: settings.data_dir.clone(),
                    problem: format!(
                        "its owner (process {pid}) runs, but the server does not answer; see redis.log there"
                    ),
                });
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Where it listens; may hold a password, so show it only masked.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Stops the server if it was started for this command.
    pub async fn detach(self) {
        if let Some(own) = self.own {
            own.stop().await;
        }
    }
}

/// How the server ended, in words.
fn how(ended: &std::io::Result<ExitStatus>) -> String {
    match ended {
        Ok(status) => status.to_string(),
        Err(error) => error.to_string(),
    }
}

/// Restarts the server whenever it ends, until asked to stop it.
async fn supervise(server: Server, mut process: Process, stopping: CancellationToken) {
    let mut pause = RESTART_FIRST;
    loop {
        let started = Instant::now();
        tokio::select! {
            ended = process.child.wait() => warn!(ended = %how(&ended), "the embedded Redis server ended; starting it again"),
            () = log::tend(server.dir()) => {}
            () = stopping.cancelled() => return stop(&server, process).await,
        }
        if started.elapsed() > HEALTHY {
            pause = RESTART_FIRST;
        }
        process = loop {
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = stopping.cancelled() => return,
            }
            pause = (pause * 2).min(RESTART_LAST);
            // Only the shell around it may have died: two servers on the same files would ruin them.
            if server.answers().await {
                continue;
            }
            tokio::select! {
                run = server.run() => match run {
                    Ok(process) => break process,
                    Err(error) => error!(%error, "the embedded Redis server does not start; trying again"),
                },
                () = stopping.cancelled() => return,
            }
        };
        info!("the embedded Redis server runs again");
    }
}

/// Closes the pipe that keeps the server running, and waits for its end.
async fn stop(server: &Server, mut process: Process) {
    drop(process.lifeline);
    match tokio::time::timeout(STOP, process.child.wait()).await {
        Ok(_) => info!("the embedded Redis server has stopped"),
        Err(_) => warn!(
            dir = %server.dir().display(),
            "the embedded Redis server takes long to stop; it goes on by itself"
        ),
    }
}

/// Makes the error of this data directory, for the parts.
fn problem(dir: &std::path::Path) -> impl Fn(String) -> StoreError + use<> {
    let dir: PathBuf = dir.to_owned();
    move |problem| StoreError::Embedded {
        dir: dir.clone(),
        problem,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kubernetes_needs_a_decision() {
        assert!(check_place("embedded", true, false).is_err());
        assert!(check_place("embedded", true, true).is_ok());
        assert!(check_place("embedded", false, false).is_ok());
        assert!(check_place("redis://host", true, false).is_ok());
    }
}
