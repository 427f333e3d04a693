//! One holdfast and one server for each data directory, guarded by two locked files.
//!
//! `holdfast.lock` is held by this process alone and ends with it; `server.lock` is also held by the
//! server, which inherits it as its standard output, until the server is really gone. So a second
//! holdfast is refused, while after a crash the next one waits for the old server to finish.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use super::problem;
use crate::store::error::StoreError;

/// How long the server of a crashed holdfast may take to write its data and end.
const FINISH: Duration = Duration::from_secs(10);

/// Whether this process may use the directory.
pub(super) enum Claim {
    /// It may, for as long as it holds this.
    Owned(OwnerLock),
    /// Another holdfast does.
    Taken {
        /// Its process id as it wrote it, `?` where unreadable.
        pid: String,
    },
}

/// This process owns the data directory.
pub(super) struct OwnerLock {
    dir: PathBuf,
    /// Open, hence locked.
    _file: File,
}

/// No server runs on the data directory but those given this lock.
pub(super) struct ServerLock {
    owner: OwnerLock,
    file: File,
}

/// Tries to become the owner of `dir`, which is made if it is missing.
pub(super) fn claim(dir: &Path) -> Result<Claim, StoreError> {
    let failed = problem(dir);
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(|why| {
            failed(format!(
                "the directory cannot be made: {why}; set HOLDFAST_EMBEDDED__DATA_DIR to one that can be written"
            ))
        })?;
    let dir = dir
        .canonicalize()
        .map_err(|why| failed(format!("the directory cannot be used: {why}")))?;
    let path = dir.join("holdfast.lock");
    let unwritable = |why: std::io::Error| {
        failed(format!(
            "holdfast.lock cannot be written: {why}; let this user write there and check that the disk is not full, or set \
             HOLDFAST_EMBEDDED__DATA_DIR to another directory"
        ))
    };
    let mut file = open(&path).map_err(unwritable)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let pid = std::fs::read_to_string(&path).unwrap_or_default();
            let pid = pid
                .lines()
                .next()
                .filter(|line| !line.is_empty())
                .unwrap_or("?")
                .to_owned();
            return Ok(Claim::Taken { pid });
        }
        Err(TryLockError::Error(why)) => return Err(failed(format!("holdfast.lock cannot be locked: {why}"))),
    }
    write_pid(&mut file).map_err(unwritable)?;
    Ok(Claim::Owned(OwnerLock { dir, _file: file }))
}

impl OwnerLock {
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }
}

impl ServerLock {
    /// Waits until no server of an earlier owner is left.
    pub(super) async fn wait(owner: OwnerLock) -> Result<Self, StoreError> {
        let failed = problem(owner.dir());
        let file = open(&owner.dir().join("server.lock"))
            .map_err(|why| failed(format!("server.lock cannot be written: {why}")))?;
        let start = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Self { owner, file }),
                Err(TryLockError::WouldBlock) if start.elapsed() < FINISH => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                Err(TryLockError::WouldBlock) => {
                    let pid = std::fs::read_to_string(owner.dir().join("redis.pid")).unwrap_or_default();
                    return Err(failed(format!(
                        "the server of a holdfast that died (process {}) still runs on it; wait for its end or stop it",
                        pid.trim()
                    )));
                }
                Err(TryLockError::Error(why)) => return Err(failed(format!("server.lock cannot be locked: {why}"))),
            }
        }
    }

    /// The lock as a descriptor for the server to inherit.
    pub(super) fn inherited(&self) -> std::io::Result<Stdio> {
        Ok(Stdio::from(self.file.try_clone()?))
    }

    pub(super) fn dir(&self) -> &Path {
        self.owner.dir()
    }
}

fn open(path: &Path) -> std::io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
}

fn write_pid(file: &mut File) -> std::io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The owner's lock as soon as it is free. A test beside this one may be starting a process, which
    /// holds a copy of every descriptor until it runs its program.
    async fn own(dir: &Path) -> OwnerLock {
        let patience = Duration::from_secs(5);
        let owned = async {
            loop {
                if let Claim::Owned(owner) = claim(dir).unwrap() {
                    return owner;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(patience, owned).await.expect("nobody owns it")
    }

    #[tokio::test]
    async fn a_directory_has_one_owner() {
        let scratch = tempfile::tempdir().unwrap();
        let dir = scratch.path().join("a").join("b");
        let owner = own(&dir).await;
        let Claim::Taken { pid } = claim(&dir).unwrap() else {
            panic!("it is owned")
        };
        assert_eq!(pid, std::process::id().to_string());
        drop(owner);
        own(&dir).await;
    }

    #[tokio::test]
    async fn a_server_keeps_its_lock_beyond_its_owner() {
        let scratch = tempfile::tempdir().unwrap();
        let lock = ServerLock::wait(own(scratch.path()).await).await.unwrap();
        let mut server = std::process::Command::new("cat")
            .stdin(Stdio::piped())
            .stdout(lock.inherited().unwrap())
            .spawn()
            .unwrap();
        drop(lock);
        let mut next = tokio::spawn(ServerLock::wait(own(scratch.path()).await));
        let early = tokio::time::timeout(Duration::from_millis(200), &mut next).await;
        assert!(early.is_err(), "the server is still there");
        drop(server.stdin.take());
        server.wait().unwrap();
        assert!(next.await.unwrap().is_ok());
    }

    #[test]
    fn a_place_that_cannot_be_written_is_named() {
        let scratch = tempfile::tempdir().unwrap();
        let file = scratch.path().join("file");
        std::fs::write(&file, "").unwrap();
        let Err(error) = claim(&file.join("data")) else {
            panic!("a file is no directory")
        };
        assert!(error.to_string().contains("HOLDFAST_EMBEDDED__DATA_DIR"), "{error}");
    }
}
