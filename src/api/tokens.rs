//! Who may send for which source: a file with the hash of each source's token, read anew when it changes.
//!
//! One line a token: a source (or `rack7-*` for all that begin so, `*` for any) and the SHA-256 of the token in
//! hexadecimal digits. Tokens are long and random (`holdfast intake-token`), so a plain hash is enough and costs next
//! to nothing for each request.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use aws_lc_rs::{constant_time, digest};
use axum::http::{HeaderMap, header};
use tokio::time::Instant;
use tracing::{info, warn};

/// The file is looked at this often, at most.
const LOOK: Duration = Duration::from_secs(1);
const HASH: usize = digest::SHA256_OUTPUT_LEN;

/// The tokens in force.
#[derive(Debug)]
pub(super) struct Tokens {
    path: PathBuf,
    known: Mutex<Known>,
}

#[derive(Debug)]
struct Known {
    lines: Vec<Line>,
    changed: Option<SystemTime>,
    looked: Instant,
}

/// Who may use a token, and its hash.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Line {
    source: String,
    hash: [u8; HASH],
}

impl Tokens {
    /// Those of a file.
    ///
    /// # Errors
    /// What is wrong with it, and in which line.
    pub(super) fn load(path: &Path) -> Result<Self, String> {
        let known = Known {
            lines: read(path)?,
            changed: modified(path),
            looked: Instant::now(),
        };
        Ok(Self {
            path: path.to_owned(),
            known: Mutex::new(known),
        })
    }

    /// Whether these headers carry a token of the source: `Authorization: Bearer …` or `X-Auth-Token: …`.
    pub(super) fn admit(&self, source: &str, headers: &HeaderMap) -> bool {
        self.admit_at(source, headers, Instant::now())
    }

    fn admit_at(&self, source: &str, headers: &HeaderMap, now: Instant) -> bool {
        let Some(token) = token(headers) else { return false };
        let hash = digest::digest(&digest::SHA256, token);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        self.renew(&mut known, now);
        let fits = |line: &Line| {
            let same = constant_time::verify_slices_are_equal(&line.hash, hash.as_ref()).is_ok();
            same & line.is_of(source)
        };
        known.lines.iter().any(fits)
    }

    /// Reads the file again where it was changed; the tokens before stay in force while it can't be read.
    fn renew(&self, known: &mut Known, now: Instant) {
        if now.duration_since(known.looked) < LOOK {
            return;
        }
        known.looked = now;
        let changed = modified(&self.path);
        if changed == known.changed {
            return;
        }
        known.changed = changed;
        match read(&self.path) {
            Ok(lines) => {
                info!(tokens = lines.len(), "the tokens of intake were read anew");
                known.lines = lines;
            }
            Err(problem) => warn!(
                problem,
                "the tokens of intake can't be read anew; those before stay in force"
            ),
        }
    }
}

impl Line {
    fn is_of(&self, source: &str) -> bool {
        match self.source.strip_suffix('*') {
            Some(beginning) => source.starts_with(beginning),
            None => self.source == source,
        }
    }
}

fn token(headers: &HeaderMap) -> Option<&[u8]> {
    let bearer = headers.get(header::AUTHORIZATION).and_then(|value| {
        let (scheme, token) = value.as_bytes().split_at_checked("Bearer ".len())?;
        scheme.eq_ignore_ascii_case(b"bearer ").then_some(token)
    });
    let own = || headers.get("x-auth-token").map(axum::http::HeaderValue::as_bytes);
    bearer.or_else(own).map(<[u8]>::trim_ascii)
}

fn modified(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path).and_then(|file| file.modified()).ok()
}

fn read(path: &Path) -> Result<Vec<Line>, String> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| format!("{shown} can't be read: {error}"))?;
    let mut lines = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let parsed = parse(line).ok_or_else(|| {
            format!(
                "{shown}, line {}: write a source and the SHA-256 of its token, as holdfast intake-token prints them",
                number + 1
            )
        });
        lines.push(parsed?);
    }
    Ok(lines)
}

fn parse(line: &str) -> Option<Line> {
    let (source, hex) = line.split_once(char::is_whitespace)?;
    let hex = hex.trim().as_bytes();
    if hex.len() != 2 * HASH {
        return None;
    }
    let mut hash = [0; HASH];
    for (byte, digits) in hash.iter_mut().zip(hex.chunks_exact(2)) {
        let digits = std::str::from_utf8(digits).ok()?;
        *byte = u8::from_str_radix(digits, 16).ok()?;
    }
    Some(Line {
        source: source.to_owned(),
        hash,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of `hunter2`.
    const HASHED: &str = "f52fbd32b2b3b86ff88ef6c490628285f482af15ddcb29541f94bcf526a3f6c7";

    fn headers(name: &'static str, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name.parse().expect("a name"), value.parse().expect("a value"))])
    }

    fn tokens(text: &str) -> (tempfile::NamedTempFile, Result<Tokens, String>) {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), text).expect("written");
        let tokens = Tokens::load(file.path());
        (file, tokens)
    }

    #[test]
    fn a_token_is_good_for_its_source_alone() {
        let (_file, tokens) = tokens(&format!(
            "# a rack\nbmc-7  {HASHED}\n\nrack7-* {}\n",
            HASHED.to_uppercase()
        ));
        let tokens = tokens.expect("two lines");
        for (source, name, value, good) in [
            ("bmc-7", "authorization", "Bearer hunter2", true),
            ("bmc-7", "authorization", "bearer  hunter2", true),
            ("bmc-7", "x-auth-token", "hunter2", true),
            ("rack7-2", "x-auth-token", "hunter2", true),
            ("bmc-70", "x-auth-token", "hunter2", false),
            ("rack", "x-auth-token", "hunter2", false),
            ("bmc-7", "x-auth-token", "hunter", false),
            ("bmc-7", "x-auth-token", HASHED, false),
            ("bmc-7", "authorization", "Basic hunter2", false),
            ("bmc-7", "authorization", "Bearer", false),
            ("bmc-7", "authorization", "", false),
            ("bmc-7", "x-other", "hunter2", false),
        ] {
            assert_eq!(
                tokens.admit(source, &headers(name, value)),
                good,
                "{source} {name}: {value}"
            );
        }
    }

    #[test]
    fn a_changed_file_is_read_and_a_broken_one_is_not_taken() {
        let (file, tokens) = tokens("");
        let tokens = tokens.expect("none");
        let good = headers("x-auth-token", "hunter2");
        let began = Instant::now();
        assert!(!tokens.admit_at("a", &good, began));
        let rewritten = |text: &str, round: u32| {
            std::fs::write(file.path(), text).expect("written");
            let file = std::fs::File::options().write(true).open(file.path()).expect("open");
            let at = SystemTime::UNIX_EPOCH + Duration::from_secs(round.into());
            file.set_modified(at).expect("set");
            tokens.admit_at("a", &good, began + LOOK * (2 * round))
        };
        assert!(rewritten(&format!("* {HASHED}"), 1));
        assert!(rewritten("nonsense", 2), "those before stay in force");
        assert!(!rewritten("", 3));
    }

    #[test]
    fn a_line_that_is_wrong_is_named_and_not_quoted() {
        for wrong in [
            "bmc-7",
            "bmc-7 hunter2",
            &format!("bmc-7 {HASHED}0"),
            &format!("b {}", "zz".repeat(HASH)),
        ] {
            let (_file, tokens) = tokens(&format!("\n{wrong}\n"));
            let problem = tokens.expect_err(wrong);
            assert!(problem.contains("line 2") && !problem.contains("hunter2"), "{problem}");
        }
    }
}
