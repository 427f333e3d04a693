//! Runs one `redis-server` or `valkey-server`: its configuration, its start, its first answer.
//!
//! The server is started by a small shell that holds the reading end of a pipe. When this process ends,
//! even by SIGKILL, the pipe closes and the shell sends the server SIGTERM. Both inherit the lock of the
//! data directory, so it is free only when they are gone. A process group of its own keeps Ctrl-C from
//! stopping the server before the deliveries in flight are settled.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use rand::distr::{Alphanumeric, SampleString};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::process::{Child, ChildStdin, Command};
use tracing::info;
use url::Url;

use super::lock::ServerLock;
use super::{log, memory, problem};
use crate::config;
use crate::store::error::StoreError;
use crate::store::target::unix_url;

/// The longest path that the address of a unix socket holds everywhere.
const SOCKET_PATH: usize = 100;
/// How long one PING may take.
const PING: Duration = Duration::from_secs(2);
/// Where the URL of the running server is written, for the command-line verbs.
const URL_FILE: &str = "redis.url";

/// Runs its arguments as a child and sends it SIGTERM when standard input ends.
const SHELL: &str = r#"
exec 3<&0 </dev/null
"$@" 3<&- &
server=$!
{ read -r _ <&3; kill -TERM "$server"; } 2>/dev/null &
watch=$!
exec 3<&-
wait "$server"
code=$?
kill "$watch" 2>/dev/null
exit "$code"
"#;

/// A configured server, not necessarily running.
pub(super) struct Server {
    program: PathBuf,
    url: String,
    lock: ServerLock,
}

/// A running server.
pub(super) struct Process {
    /// The shell around it, which ends with it.
    pub(super) child: Child,
    /// The server is asked to stop when this is dropped. Apart from `child`, which would close it to wait.
    pub(super) lifeline: ChildStdin,
}

impl Server {
    /// Finds the program and writes its configuration.
    pub(super) fn prepare(settings: &config::Embedded, lock: ServerLock) -> Result<Self, StoreError> {
        let failed = problem(lock.dir());
        let path = std::env::var_os("PATH").unwrap_or_default();
        let program = match &settings.server {
            Some(program) => named(program, &path).ok_or_else(|| {
                failed(format!(
                    "HOLDFAST_EMBEDDED__SERVER={} is no program that can be run; name a redis-server or valkey-server, or \
                     leave it unset to take the one on the PATH",
                    program.display()
                ))
            })?,
            None => find(&path).ok_or_else(|| {
                failed(
                    "neither redis-server nor valkey-server is installed. Install one (Debian, Ubuntu: apt-get \
                     install redis-server; Fedora: dnf install valkey; macOS: brew install redis), name one with \
                     HOLDFAST_EMBEDDED__SERVER, or set HOLDFAST_REDIS__URL to a Redis that runs elsewhere"
                        .to_owned(),
                )
            })?,
        };
        let (url, listen) = endpoint(lock.dir()).map_err(|why| failed(format!("no place to listen: {why}")))?;
        let bytes = settings.max_memory.map_or_else(memory::half, |size| size.0);
        let text = configuration(&settings.fsync, bytes, &listen);
        write_private(&lock.dir().join("redis.conf"), &text)
            .and_then(|()| write_private(&lock.dir().join(URL_FILE), &url))
            .map_err(|why| failed(format!("its configuration cannot be written: {why}")))?;
        Ok(Self { program, url, lock })
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    pub(super) fn dir(&self) -> &Path {
        self.lock.dir()
    }

    /// Starts it and waits, without limit, until it has loaded its data.
    pub(super) async fn run(&self) -> Result<Process, StoreError> {
        let failed = problem(self.dir());
        let mut process = self
            .spawn()
            .map_err(|why| failed(format!("{} cannot be started: {why}", self.program.display())))?;
        let mut reminded = Instant::now();
        loop {
            if self.answers().await {
                return Ok(process);
            }
            if let Ok(Some(status)) = process.child.try_wait() {
                return Err(failed(format!(
                    "{} ended at once ({status}). The end of redis.log:\n{}",
                    self.program.display(),
                    log::tail(self.dir())
                )));
            }
            if reminded.elapsed() > Duration::from_secs(10) {
                reminded = Instant::now();
                info!(dir = %self.dir().display(), "waiting for the embedded Redis server to load its data");
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Whether it answers PING, which it does not while it loads.
    pub(super) async fn answers(&self) -> bool {
        pong(&self.url).await
    }

    fn spawn(&self) -> std::io::Result<Process> {
        let log = log::open(self.dir())?;
        let mut child = Command::new("sh")
            .args(["-c", SHELL, "holdfast-redis"])
            .arg(&self.program)
            .arg("redis.conf")
            .current_dir(self.dir())
            // A locale that is not installed stops newer servers.
            .env("LC_ALL", "C")
            .stdin(Stdio::piped())
            .stdout(self.lock.inherited()?)
            .stderr(Stdio::from(log))
            .process_group(0)
            .spawn()?;
        let lifeline = child
            .stdin
            .take()
            .ok_or_else(|| std::io::Error::other("the shell has no standard input"))?;
        Ok(Process { child, lifeline })
    }
}

/// The URL of the server that another process runs on `dir`, if it answers.
pub(super) async fn running(dir: &Path) -> Option<String> {
    let url = std::fs::read_to_string(dir.join(URL_FILE)).ok()?;
    pong(&url).await.then_some(url)
}

/// The program of that name: as a path where it is one, else in the directories of `path`.
fn named(program: &Path, path: &OsStr) -> Option<PathBuf> {
    if program.components().count() > 1 {
        let absolute = std::path::absolute(program).ok()?;
        return is_runnable(&absolute).then_some(absolute);
    }
    std::env::split_paths(path)
        .map(|dir| dir.join(program))
        .find(|file| is_runnable(file))
}

/// The first `redis-server`, else the first `valkey-server`, in the directories of `path`.
fn find(path: &OsStr) -> Option<PathBuf> {
    ["redis-server", "valkey-server"]
        .iter()
        .find_map(|name| named(Path::new(name), path))
}

fn is_runnable(file: &Path) -> bool {
    file.metadata()
        .is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
}

/// Where to listen: a socket in the directory, or a loopback port with a password where the path is too
/// long. The URL, and the lines of the configuration.
fn endpoint(dir: &Path) -> std::io::Result<(String, String)> {
    let socket = dir.join("redis.sock");
    if socket.as_os_str().len() <= SOCKET_PATH
        && let Some(url) = unix_url(&socket)
    {
        return Ok((url, "port 0\nunixsocket redis.sock\nunixsocketperm 700\n".to_owned()));
    }
    let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
    let password = Alphanumeric.sample_string(&mut rand::rng(), 32);
    Ok((
        format!("redis://:{password}@127.0.0.1:{port}"),
        format!("bind 127.0.0.1\nport {port}\nrequirepass {password}\n"),
    ))
}

/// `redis.conf`. Paths are relative to the data directory, in which the server is started.
fn configuration(fsync: &str, max_memory: u64, listen: &str) -> String {
    format!(
        "# Written by holdfast at each start.\n\
         {listen}\
         dir .\n\
         logfile redis.log\n\
         pidfile redis.pid\n\
         daemonize no\n\
         databases 1\n\
         save \"\"\n\
         appendonly yes\n\
         appendfsync {fsync}\n\
         maxmemory {max_memory}\n\
         maxmemory-policy noeviction\n"
    )
}

fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    let mut file: File = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(text.as_bytes())
}

/// Whether the server at `url` answers PING with PONG.
async fn pong(url: &str) -> bool {
    let ask = async {
        let url = Url::parse(url).ok()?;
        if let (Some(host), Some(port)) = (url.host_str(), url.port()) {
            return ping(TcpStream::connect((host, port)).await.ok()?, url.password()).await;
        }
        let socket = Url::parse(&format!("file://{}", url.path()))
            .ok()?
            .to_file_path()
            .ok()?;
        ping(UnixStream::connect(socket).await.ok()?, None).await
    };
    tokio::time::timeout(PING, ask).await.ok().flatten().unwrap_or(false)
}

async fn ping(mut connection: impl AsyncRead + AsyncWrite + Unpin, password: Option<&str>) -> Option<bool> {
    if let Some(password) = password {
        connection
            .write_all(format!("AUTH {password}\r\n").as_bytes())
            .await
            .ok()?;
        connection.read_exact(&mut [0; b"+OK\r\n".len()]).await.ok()?;
    }
    connection.write_all(b"PING\r\n").await.ok()?;
    let mut reply = [0; b"+PONG".len()];
    connection.read_exact(&mut reply).await.ok()?;
    Some(&reply == b"+PONG")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_path_gets_a_port_and_a_password() {
        let (url, listen) = endpoint(Path::new("/var/lib/holdfast")).unwrap();
        assert_eq!(url, "redis+unix:///var/lib/holdfast/redis.sock");
        assert!(listen.starts_with("port 0\n"), "{listen}");
        let (url, listen) = endpoint(Path::new(&format!("/{}", "x".repeat(100)))).unwrap();
        assert!(url.starts_with("redis://:"), "{url}");
        assert!(
            listen.contains("bind 127.0.0.1\n") && listen.contains("requirepass "),
            "{listen}"
        );
    }

    #[test]
    fn only_programs_are_found() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("valkey-server");
        std::fs::write(&file, "").unwrap();
        assert_eq!(find(dir.path().as_os_str()), None);
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(find(dir.path().as_os_str()), Some(file));
    }
}
