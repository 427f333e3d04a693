//! Running the binary with a Redis of the test's choice, and judging how it ended.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{LOOPBACK, TestRedis};

/// Stands in every secret of these tests; seen anywhere in an output, it has leaked.
pub(super) const CANARY: &str = "c4n4ry";

/// Where the binary finds its Redis, and a directory to run it in.
pub(super) struct Cli {
    pub(super) dir: TempDir,
    pub(super) url: String,
}

pub(super) struct Ran {
    pub(super) code: Option<i32>,
    pub(super) out: String,
    pub(super) err: String,
}

impl Cli {
    pub(super) fn of(redis: &TestRedis) -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            url: redis.url(),
        }
    }

    pub(super) fn embedded() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            url: "embedded".to_owned(),
        }
    }

    pub(super) fn run(&self, arguments: &[&str]) -> Ran {
        self.feed(arguments, "")
    }

    /// Runs it with `input` on its standard input.
    pub(super) fn feed(&self, arguments: &[&str], input: &str) -> Ran {
        let mut process = self.command(arguments).spawn().unwrap();
        let mut pipe = process.stdin.take().unwrap();
        // One that does not read its input closes it.
        let _unread = pipe.write_all(input.as_bytes());
        drop(pipe);
        let output = process.wait_with_output().unwrap();
        Ran {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    pub(super) fn command(&self, arguments: &[&str]) -> Command {
        let inherited = std::env::vars_os().filter(|(name, _)| !name.to_string_lossy().starts_with("HOLDFAST_"));
        let mut command = Command::new(env!("CARGO_BIN_EXE_holdfast"));
        command
            .args(arguments)
            .env_clear()
            .envs(inherited)
            .env(LOOPBACK.0, LOOPBACK.1)
            .env("HOLDFAST_REDIS__URL", &self.url)
            .env("HOLDFAST_REDIS__COMMAND_TIMEOUT", "2s")
            // One that serves takes no port that another program or test may have.
            .env("HOLDFAST_INTAKE__LISTEN", "127.0.0.1:0")
            .env("HOLDFAST_ADMIN__LISTEN", "127.0.0.1:0")
            .env("HOLDFAST_REDFISH__LISTEN", "127.0.0.1:0")
            .env("HOLDFAST_EMBEDDED__DATA_DIR", self.path().join("data"))
            .current_dir(self.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    pub(super) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(super) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path().join(name), text).unwrap();
    }

    /// Adds a subscription and answers its id.
    pub(super) fn add(&self, arguments: &[&str]) -> String {
        let all = [&["subscriptions", "add"], arguments].concat();
        let id = self.run(&all).ok();
        id.lines().next().unwrap().to_owned()
    }

    pub(super) fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.run(arguments).ok()).unwrap()
    }
}

impl Ran {
    /// Its output, where it went well.
    #[track_caller]
    pub(super) fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{}{}", self.out, self.err);
        self.out
    }

    /// Its message, where it did not: exit code 1, all words in it, no secret.
    #[track_caller]
    pub(super) fn fails(self, words: &[&str]) -> String {
        assert_eq!(self.code, Some(1), "{}{}", self.out, self.err);
        assert!(self.err.starts_with("holdfast: "), "{}", self.err);
        for word in words {
            assert!(self.err.contains(word), "no {word:?} in: {}", self.err);
        }
        assert!(
            !self.err.contains(CANARY) && !self.out.contains(CANARY),
            "{}{}",
            self.out,
            self.err
        );
        self.err
    }
}
