//! Prometheus and Alertmanager as processes of a test: the programs, a start on a free port, and queries.
//!
//! The Debian packages are prometheus and prometheus-alertmanager. `./dev test` unpacks them into the target
//! directory where they are not installed; a test that finds none says aloud that it was skipped.

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use reqwest::{Client, Url};
use serde_json::Value;
use tempfile::TempDir;

use crate::engine::harness::SOON;
use crate::support::{exists, free_port, wait_until};

/// A program by any of its names, in the path or where `./dev test` unpacks it; otherwise the test says so and ends.
pub(super) fn program(names: &[&str]) -> Option<PathBuf> {
    let unpacked = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../prometheus/usr/bin");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .chain([unpacked])
        .flat_map(|directory| names.iter().map(move |name| directory.join(name)))
        .find(|program| program.is_file());
    if found.is_none() {
        println!(
            "SKIPPED: there is no {}; ./dev test fetches it on Debian",
            names.join(" or ")
        );
    }
    found
}

/// How Alertmanager is started: the words of its command line. Debian's reads its templates from one place in
/// `/usr/share`; where it is only unpacked, it alone gets to see them there.
pub(super) fn alertmanager() -> Option<Vec<OsString>> {
    let program = program(&["prometheus-alertmanager", "alertmanager"])?;
    let template = "prometheus/alertmanager/default.tmpl";
    let share = program.parent()?.join("../share");
    if Path::new("/usr/share").join(template).exists() || !share.join(template).exists() {
        return Some(vec![program.into()]);
    }
    let apart = ["unshare", "--map-root-user", "--mount"];
    if !Command::new(apart[0])
        .args(&apart[1..])
        .arg("true")
        .status()
        .is_ok_and(|status| status.success())
    {
        println!("SKIPPED: Alertmanager's templates are not installed, and a mount of its own is not allowed here");
        return None;
    }
    let script = "mount --bind \"$0\" /usr/share && exec \"$@\"";
    let words = apart.into_iter().chain(["sh", "-c", script]).map(OsString::from);
    Some(words.chain([share.into(), program.into()]).collect())
}

/// A running server; killed by its id when dropped, and its log is shown when the test fails.
pub(super) struct Server {
    process: Child,
    address: String,
    client: Client,
    scratch: TempDir,
}

impl Server {
    /// Prometheus with this configuration.
    pub(super) async fn prometheus(program: &Path, configuration: &str) -> Self {
        Self::start(&[program.into()], configuration, &["--storage.tsdb.path=data"]).await
    }

    /// An Alertmanager of its own with this configuration.
    pub(super) async fn alertmanager(program: &[OsString], configuration: &str) -> Self {
        Self::start(
            program,
            configuration,
            &["--storage.path=data", "--cluster.listen-address="],
        )
        .await
    }

    async fn start(program: &[OsString], configuration: &str, more: &[&str]) -> Self {
        let scratch = tempfile::tempdir().unwrap();
        std::fs::write(scratch.path().join("configuration.yml"), configuration).unwrap();
        let log = File::create(scratch.path().join("log")).unwrap();
        let address = format!("127.0.0.1:{}", free_port());
        let process = Command::new(&program[0])
            .args(&program[1..])
            .arg("--config.file=configuration.yml")
            .arg(format!("--web.listen-address={address}"))
            .args(more)
            .current_dir(scratch.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let server = Self {
            process,
            address,
            client: Client::builder().no_proxy().build().unwrap(),
            scratch,
        };
        wait_until(&format!("{program:?} is ready"), SOON, async || {
            assert!(exists(server.process.id()), "{program:?} ended");
            let ready = server
                .client
                .get(format!("http://{}/-/ready", server.address))
                .send()
                .await;
            ready.is_ok_and(|answer| answer.status() == 200)
        })
        .await;
        server
    }

    /// Where it listens.
    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// What its API answers under `data`, or its error.
    pub(super) async fn ask(&self, path: &str, parameters: &[(&str, &str)]) -> Result<Value, String> {
        let url = format!("http://{}/api/v1/{path}", self.address);
        let url = Url::parse_with_params(&url, parameters).unwrap();
        let answer = self.client.get(url).send().await.map_err(|error| error.to_string())?;
        let text = answer.text().await.map_err(|error| error.to_string())?;
        let mut answer: Value = serde_json::from_str(&text).map_err(|error| format!("{error}: {text}"))?;
        match answer["status"].as_str() {
            Some("success") => Ok(answer["data"].take()),
            _ => Err(answer["error"].to_string()),
        }
    }

    /// Whether an expression has a number now, or had one at any second since `start` (since the epoch).
    ///
    /// # Errors
    /// What Prometheus has against the expression.
    pub(super) async fn has_data(&self, expression: &str, start: u64) -> Result<bool, String> {
        let (start, end) = (start.to_string(), now().to_string());
        let parameters = [("query", expression), ("start", &start), ("end", &end), ("step", "1")];
        let data = self.ask("query_range", &parameters).await?;
        let series = data["result"].as_array().into_iter().flatten();
        let mut values = series.flat_map(|series| series["values"].as_array().into_iter().flatten());
        // NaN is what a quantile of nothing comes to.
        Ok(values.any(|value| value[1].as_str().is_some_and(is_number)))
    }
}

fn is_number(text: &str) -> bool {
    text.parse().is_ok_and(f64::is_finite)
}

/// Seconds since the epoch.
pub(super) fn now() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs()
}

impl Drop for Server {
    fn drop(&mut self) {
        let _gone = self.process.kill();
        let _reaped = self.process.wait();
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.scratch.path().join("log")).unwrap_or_default();
            eprintln!("--- log of the server at {}\n{log}", self.address);
        }
    }
}
