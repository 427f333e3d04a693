//! The private server's log: looked at while the server runs, so that it never grows without end.
//!
//! The server opens the file anew for each line, so it may be renamed under it: two files are kept, `redis.log` and the
//! one before it.

use std::fs::{File, OpenOptions};
use std::io::{Read, Result, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use tracing::warn;

const LOG: &str = "redis.log";
const BEFORE: &str = "redis.log.1";
/// A file that is larger makes way for a new one, in bytes.
const MOST: u64 = 4 << 20;
/// How often its size is looked at.
const LOOK: Duration = Duration::from_secs(5);
/// What is shown of its end: bytes that are looked through, and lines.
const END: u64 = 4096;
const LINES: usize = 8;

/// Opens the log for what the server writes besides, once there is room.
pub(super) fn open(dir: &Path) -> Result<File> {
    make_room(dir)?;
    private(dir)
}

/// Keeps the log bounded, for ever.
pub(super) async fn tend(dir: &Path) {
    let mut failing = false;
    loop {
        tokio::time::sleep(LOOK).await;
        let outcome = make_room(dir);
        if let Err(error) = &outcome
            && !failing
        {
            warn!(dir = %dir.display(), %error, "{LOG} can't make way for a new one: it grows");
        }
        failing = outcome.is_err();
    }
}

/// The last lines of it.
pub(super) fn tail(dir: &Path) -> String {
    let text = end(dir).unwrap_or_default();
    let text = String::from_utf8_lossy(&text).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}

fn end(dir: &Path) -> Result<Vec<u8>> {
    let mut file = File::open(dir.join(LOG))?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(END)))?;
    let mut end = Vec::new();
    file.read_to_end(&mut end)?;
    Ok(end)
}

fn make_room(dir: &Path) -> Result<()> {
    let size = std::fs::metadata(dir.join(LOG)).map_or(0, |log| log.len());
    if size <= MOST {
        return Ok(());
    }
    std::fs::rename(dir.join(LOG), dir.join(BEFORE))?;
    private(dir).map(drop)
}

/// The log, which nobody else may read; made where it is not there.
fn private(dir: &Path) -> Result<File> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(dir.join(LOG))
}
