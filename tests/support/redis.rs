//! A private Redis server for one test: append-only file on, no persistence surprises, killed on drop.
//!
//! Holdfast meets it as the user of `config/holdfast.acl` and may do no more than that; the test itself, by
//! `cli` and `admin_url`, may do anything. `HOLDFAST_TEST_ACL=0` lets both do anything.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::aof::{Aof, Files, log_of};
use super::{free_port, signal, wait_until};

/// The password of Holdfast's user in every private server.
const PASSWORD: &str = "t3st";

/// What stands before the host in a URL of a private server: Holdfast's user, where there is one.
pub(crate) fn login() -> String {
    if least_privilege() {
        format!("holdfast:{PASSWORD}@")
    } else {
        String::new()
    }
}

fn least_privilege() -> bool {
    std::env::var("HOLDFAST_TEST_ACL").map_or(true, |value| value != "0")
}

/// A server on a loopback port of its own. `HOLDFAST_TEST_REDIS` names another binary to test with.
pub(crate) struct TestRedis {
    dir: TempDir,
    port: u16,
    arguments: Vec<String>,
    process: Option<Child>,
}

impl TestRedis {
    /// A server with an append-only file and noeviction.
    pub(crate) fn start() -> Self {
        Self::with(&[])
    }

    /// The same with further command-line arguments, for example `["--maxmemory", "8mb"]`.
    pub(crate) fn with(arguments: &[&str]) -> Self {
        Self::within(tempfile::tempdir().unwrap(), arguments)
    }

    /// The same on data that another server wrote.
    pub(crate) fn on(data: &Files, arguments: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for (name, bytes) in data {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        }
        Self::within(dir, arguments)
    }

    /// The same with its data in a directory that was made for it.
    pub(crate) fn within(dir: TempDir, arguments: &[&str]) -> Self {
        let mut server = Self {
            dir,
            port: free_port(),
            arguments: arguments.iter().map(ToString::to_string).collect(),
            process: None,
        };
        if least_privilege() && !server.has_password() {
            server.add_user();
        }
        server.launch_somewhere();
        server
    }

    /// Makes it a replica of the server behind a port, and waits until it follows.
    pub(crate) async fn follow(&self, port: u16) {
        self.cli(&["REPLICAOF", "127.0.0.1", &port.to_string()]);
        wait_until("the replica follows", Duration::from_secs(30), async || {
            self.cli(&["INFO", "replication"]).contains("master_link_status:up")
        })
        .await;
    }

    /// Waits until so many replicas have confirmed all that it wrote; the first time, that comes up to a second after
    /// they follow.
    pub(crate) async fn confirmed_by(&self, replicas: usize) {
        self.cli(&["SET", "something", "to confirm"]);
        wait_until(
            "the replicas have confirmed all there is",
            Duration::from_secs(30),
            async || {
                let info = self.cli(&["INFO", "replication"]);
                let offset = info.lines().find_map(|line| line.strip_prefix("master_repl_offset:"));
                let confirmed = format!("state=online,offset={},", offset.unwrap_or_default().trim());
                info.matches(&confirmed).count() == replicas
            },
        )
        .await;
    }

    /// What it has written so far. Whatever it answered is in it.
    pub(crate) fn aof(&self) -> Aof {
        Aof::read(self.dir.path())
    }

    /// How many bytes of commands it has written so far.
    pub(crate) fn written(&self) -> usize {
        let log = std::fs::metadata(self.dir.path().join(log_of(self.dir.path()))).unwrap();
        usize::try_from(log.len()).unwrap()
    }

    /// Starts the server again on the same port and data; waits until it answers.
    pub(crate) fn restart(&mut self) {
        self.kill9();
        self.launch();
    }

    /// Stops it as an operator would, and starts it again.
    pub(crate) fn restart_cleanly(&mut self) {
        assert!(signal(self.pid(), "TERM"));
        if let Some(mut process) = self.process.take() {
            process.wait().unwrap();
        }
        self.launch();
    }

    /// Stops it as a power cut of the process would. Nothing it acknowledged is lost.
    pub(crate) fn kill9(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    /// Kills it, cuts its file to its first bytes, as [`Self::written`] counts them, and starts it on what is left.
    pub(crate) fn cut(&mut self, written: usize) {
        self.kill9();
        let log = self.dir.path().join(log_of(self.dir.path()));
        let file = std::fs::File::options().write(true).open(log).unwrap();
        file.set_len(u64::try_from(written).unwrap()).unwrap();
        self.launch();
    }

    /// SIGSTOP: alive, connected, silent.
    pub(crate) fn pause(&self) {
        assert!(signal(self.pid(), "STOP"));
    }

    /// SIGCONT.
    pub(crate) fn resume(&self) {
        assert!(signal(self.pid(), "CONT"));
    }

    /// The name of Holdfast's user.
    pub(crate) fn user() -> &'static str {
        if least_privilege() { "holdfast" } else { "default" }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.as_ref().expect("the server runs").id()
    }

    /// Where its data and its log are.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Whether its process is there.
    pub(crate) fn runs(&mut self) -> bool {
        self.process
            .as_mut()
            .is_some_and(|process| matches!(process.try_wait(), Ok(None)))
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// For Holdfast, with its user.
    pub(crate) fn url(&self) -> String {
        if self.has_password() {
            return self.admin_url();
        }
        format!("redis://{}127.0.0.1:{}", login(), self.port)
    }

    /// For the test's own hands: a user who may do anything.
    pub(crate) fn admin_url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Where its socket is, besides the port.
    pub(crate) fn socket(&self) -> PathBuf {
        self.dir.path().join("redis.sock")
    }

    pub(crate) fn config_set(&self, name: &str, value: &str) {
        assert_eq!(self.cli(&["CONFIG", "SET", name, value]), "OK");
    }

    /// One command over a connection of its own; the reply as `redis-cli` prints it, without a final newline.
    pub(crate) fn cli(&self, arguments: &[&str]) -> String {
        self.run_cli(&[], arguments)
    }

    /// The same as Holdfast's user.
    pub(crate) fn as_holdfast(&self, arguments: &[&str]) -> String {
        let user = ["--user", "holdfast", "--pass", PASSWORD, "--no-auth-warning"];
        self.run_cli(&user, arguments)
    }

    fn run_cli(&self, login: &[&str], arguments: &[&str]) -> String {
        let output = Command::new("redis-cli")
            .args(["-p", &self.port.to_string()])
            .args(login)
            .args(arguments)
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    }

    /// A password makes the default user Holdfast's.
    fn has_password(&self) -> bool {
        self.arguments.iter().any(|argument| argument == "--requirepass")
    }

    /// The shipped file with a password, as an operator would use it.
    fn add_user(&mut self) {
        let shipped = include_str!("../../config/holdfast.acl");
        let users = format!("{} >{PASSWORD}\n", shipped.trim_end());
        std::fs::write(self.dir.path().join("users.acl"), users).unwrap();
        self.arguments.extend(["--aclfile", "users.acl"].map(str::to_owned));
    }

    /// Starts it again with further arguments, for this time only, and answers while it still loads its data; give it
    /// some that make that slow.
    pub(crate) fn restart_loading(&mut self, arguments: &[&str]) {
        self.kill9();
        let own = self.arguments.len();
        self.arguments.extend(arguments.iter().map(ToString::to_string));
        self.run();
        self.arguments.truncate(own);
        assert!(self.comes_up(|reply| reply.starts_with(b"-LOAD")), "{}", self.log());
    }

    fn launch(&mut self) {
        self.run();
        assert!(self.comes_up(serves), "{}", self.log());
    }

    /// On another port where somebody took this one since it was free.
    fn launch_somewhere(&mut self) {
        self.run();
        while !self.comes_up(serves) {
            assert!(self.log().contains("Address already in use"), "{}", self.log());
            self.port = free_port();
            self.run();
        }
    }

    fn run(&mut self) {
        let program = std::env::var("HOLDFAST_TEST_REDIS").unwrap_or_else(|_| "redis-server".to_owned());
        let process = Command::new(program)
            .args(["--port", &self.port.to_string(), "--bind", "127.0.0.1"])
            .args(["--appendonly", "yes", "--save", "", "--maxmemory-policy", "noeviction"])
            // A replica is not kept waiting for others that might want the same copy.
            .args(["--repl-diskless-sync-delay", "0"])
            .args(["--unixsocket", "redis.sock", "--dir", ".", "--logfile", "redis.log"])
            .args(&self.arguments)
            .current_dir(self.dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        self.process = Some(process);
    }

    /// Waits until its reply is the wanted one; false when its process ends.
    fn comes_up(&mut self, wanted: impl Fn(&[u8]) -> bool) -> bool {
        let start = Instant::now();
        while self.runs() {
            if self.answers(&wanted) {
                // Not somebody else's.
                return self.runs();
            }
            assert!(
                start.elapsed() < Duration::from_secs(20),
                "no answer from redis-server\n{}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
        false
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("redis.log")).unwrap_or_default()
    }

    fn answers(&self, wanted: impl Fn(&[u8]) -> bool) -> bool {
        let Ok(mut connection) = TcpStream::connect(("127.0.0.1", self.port)) else {
            return false;
        };
        let mut reply = [0; 8];
        connection.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
        connection.write_all(b"PING\r\n").is_ok() && connection.read_exact(&mut reply[..5]).is_ok() && wanted(&reply)
    }
}

/// Any reply of Redis will do but the one that it loads: a server with a password answers NOAUTH.
fn serves(reply: &[u8]) -> bool {
    (reply.starts_with(b"+") || reply.starts_with(b"-")) && !reply.starts_with(b"-LOAD")
}

impl Drop for TestRedis {
    fn drop(&mut self) {
        self.kill9();
    }
}
