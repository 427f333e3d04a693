//! What is made of PEM files, exchanged when they are renewed.
//!
//! The files are told apart by their contents: Kubernetes swaps a symbolic link above them, others write them in place
//! or move new ones over them. What can't be used is never taken: what was made before stays in force, the log says so
//! once, and the files are looked at again. Whoever uses it asks [`Renewed::now`] for each connection, so those that
//! are open go on with what they began with.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use aws_lc_rs::digest::{Context, SHA256, SHA256_OUTPUT_LEN};
use jiff::Timestamp;
use tracing::{info, warn};

use super::{Pem, PemError};
use crate::telemetry::labels::Certificate;
use crate::telemetry::metrics;

/// How the value is made of the files, which come in the order in which they were named.
type Make<T> = dyn Fn(&[Pem]) -> Result<Made<T>, PemError> + Send + Sync;

/// Files, and what was made of them.
pub struct Renewed<T> {
    files: Vec<(&'static str, PathBuf)>,
    make: Box<Make<T>>,
    state: RwLock<State<T>>,
}

/// What was made, and when the certificates in it end.
#[derive(Debug, Clone)]
pub struct Made<T> {
    /// What is in force.
    pub value: T,
    /// Each certificate with its end, in seconds since the epoch; without those whose end can't be read.
    pub ends: Vec<(Certificate, u64)>,
}

struct State<T> {
    made: Made<T>,
    /// Of the files that it was made of.
    in_force: Digest,
    /// What the files were like at the last look.
    seen: Result<Digest, PemError>,
}

type Digest = [u8; SHA256_OUTPUT_LEN];

impl<T: Clone + Send + Sync + 'static> Renewed<T> {
    /// Reads files, each named with what should be in it, and makes a value of them.
    ///
    /// # Errors
    /// When a file can't be read, or they can't be used.
    pub fn read(
        files: Vec<(&'static str, PathBuf)>,
        make: impl Fn(&[Pem]) -> Result<Made<T>, PemError> + Send + Sync + 'static,
    ) -> Result<Arc<Self>, PemError> {
        let read = read(&files)?;
        let in_force = digest(&read);
        let state = RwLock::new(State {
            made: make(&read)?,
            in_force,
            seen: Ok(in_force),
        });
        let make = Box::new(make);
        Ok(Arc::new(Self { files, make, state }))
    }

    /// What is in force now.
    #[must_use]
    pub fn now(&self) -> T {
        self.made().value
    }

    /// When the certificates in force end, in seconds since the epoch.
    #[must_use]
    pub fn ends(&self) -> Vec<(Certificate, u64)> {
        self.made().ends
    }

    /// Looks at the files so often, for as long as the value is held, and tells the metrics when they end.
    pub fn watch(self: &Arc<Self>, every: Duration) {
        tell(&self.ends());
        let watched = Arc::downgrade(self);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(every).await;
                let Some(held) = watched.upgrade() else { return };
                // Files may be on a network that hangs.
                if tokio::task::spawn_blocking(move || held.look()).await.is_err() {
                    return;
                }
            }
        });
    }

    /// Looks at the files once, and takes what was renewed.
    fn look(&self) {
        let files = read(&self.files).map(|files| (digest(&files), files));
        let seen = files.as_ref().map(|(digest, _)| *digest).map_err(Clone::clone);
        if seen == self.state.read().unwrap_or_else(PoisonError::into_inner).seen {
            return;
        }
        // Of files that are being exchanged at this moment some may be new and some old.
        if read(&self.files).map(|files| digest(&files)) != seen {
            return;
        }
        let made = files.and_then(|(digest, files)| Ok((digest, (self.make)(&files)?)));
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        state.seen = seen;
        let made = made.and_then(|(digest, made)| match (ended(&made.ends), ended(&state.made.ends)) {
            (Some(end), None) => Err(PemError::Ended(time(end))),
            _ => Ok((digest, made)),
        });
        match made {
            Err(problem) => {
                let until = state.made.ends.iter().map(|(_, end)| *end).min().map(time);
                warn!(
                    files = self.names(),
                    %problem,
                    until,
                    "a renewed certificate can't be used: the one before stays in force. Mend the files; they are looked \
                     at again"
                );
            }
            Ok((digest, _)) if digest == state.in_force => {
                info!(
                    files = self.names(),
                    "the certificate is again the one that is in force"
                );
            }
            Ok((digest, made)) => {
                info!(files = self.names(), "a renewed certificate is in force");
                tell(&made.ends);
                state.made = made;
                state.in_force = digest;
            }
        }
    }

    fn made(&self) -> Made<T> {
        self.state.read().unwrap_or_else(PoisonError::into_inner).made.clone()
    }

    fn names(&self) -> String {
        let names: Vec<String> = self.files.iter().map(|(_, path)| path.display().to_string()).collect();
        names.join(", ")
    }
}

impl<T> std::fmt::Debug for Renewed<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Renewed").field(&self.files).finish()
    }
}

/// Tells metrics and log when certificates end.
pub fn tell(ends: &[(Certificate, u64)]) {
    for (certificate, end) in ends {
        metrics::certificate_ends(*certificate, *end);
        let (certificate, until) = (certificate.as_str(), time(*end));
        if has_ended(*end) {
            warn!(certificate, until, "this certificate has ended: renew it");
        } else {
            info!(certificate, until, "a certificate is in use");
        }
    }
}

/// When the first of those ended that have.
fn ended(ends: &[(Certificate, u64)]) -> Option<u64> {
    let ended = ends.iter().map(|(_, end)| *end).filter(|end| has_ended(*end));
    ended.min()
}

fn has_ended(end: u64) -> bool {
    i64::try_from(end).is_ok_and(|end| end <= Timestamp::now().as_second())
}

/// Seconds since the epoch as RFC 3339.
fn time(seconds: u64) -> String {
    let time = i64::try_from(seconds).ok().map(Timestamp::from_second);
    time.and_then(Result::ok).unwrap_or(Timestamp::MAX).to_string()
}

fn read(files: &[(&'static str, PathBuf)]) -> Result<Vec<Pem>, PemError> {
    files.iter().map(|(what, path)| Pem::read(what, path)).collect()
}

fn digest(files: &[Pem]) -> Digest {
    let mut all = Context::new(&SHA256);
    for file in files {
        all.update(&(file.bytes.len() as u64).to_be_bytes());
        all.update(&file.bytes);
    }
    all.finish().as_ref().try_into().unwrap_or_default()
}
