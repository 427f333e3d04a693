//! The overlays' scripts at work: real servers, each on a loopback address of its own in place of a pod's name.

use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::manifests::Manifests;
use super::overlays::directory;
use super::tools::kustomized;
use crate::engine::harness::SOON;
use crate::support::{Holdfast, wait_until};

const PASSWORD: &str = "pass-word";
/// Of those who look after Redis.
const ADMIN_PASSWORD: &str = "admin-word";

/// Servers by the last number of their address, killed on drop.
struct Servers {
    data: TempDir,
    running: Vec<(u8, Child)>,
}

/// An address that no other test uses.
fn address(number: u8) -> String {
    let [_, _, high, low] = std::process::id().to_be_bytes();
    format!("127.{}.{low}.{number}", 64 + high % 128)
}

impl Servers {
    fn new() -> Self {
        Self {
            data: tempfile::tempdir().unwrap(),
            running: Vec::new(),
        }
    }

    /// Starts a server with a directory of its own, which it finds again the next time.
    fn start(&mut self, number: u8, command: &[String], environment: &[(&str, &str)]) {
        let data = self.data.path().join(number.to_string());
        std::fs::create_dir_all(&data).unwrap();
        let child = Command::new(&command[0])
            .args(&command[1..])
            .args(["--bind", &address(number)])
            .envs(environment.iter().copied())
            .env("DATA", &data)
            .env("SELF", address(number))
            .env("START", base("start-redis.sh"))
            .env("RULES", base("holdfast.acl"))
            .env("REDISCLI_AUTH", ADMIN_PASSWORD)
            .env("HOLDFAST_PASSWORD", PASSWORD)
            .current_dir(&data)
            .stdout(Stdio::null())
            .spawn();
        self.running.push((number, child.unwrap()));
    }

    fn kill(&mut self, number: u8) {
        self.running.retain_mut(|(at, child)| {
            if *at == number {
                child.kill().unwrap();
                child.wait().unwrap();
            }
            *at != number
        });
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        for (_, child) in &mut self.running {
            let _gone = child.kill();
            let _reaped = child.wait();
        }
    }
}

/// What a server answers, or an empty text.
fn ask(number: u8, port: &str, words: &[&str]) -> String {
    let mut command = Command::new("redis-cli");
    command.args(["-h", &address(number), "-p", port]).args(words);
    if port == "6379" {
        command.env("REDISCLI_AUTH", ADMIN_PASSWORD);
    }
    let output = command.stderr(Stdio::null()).output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A file of the base, which an overlay finds in the same directory as its own.
fn base(name: &str) -> String {
    super::manifests::directory().join(name).display().to_string()
}

fn script(overlay: &str, name: &str) -> Vec<String> {
    let path = directory(overlay).join(name).display().to_string();
    ["sh".to_owned(), path].into()
}

/// Three Redis at 1 to 3, three Sentinels at 11 to 13.
struct Sentinels(Servers);

impl Sentinels {
    fn redis(&mut self, number: u8) {
        let settings = base("redis.conf");
        let (first, sentinel) = (address(1), address(11));
        let environment = [
            ("SETTINGS", settings.as_str()),
            ("FIRST", &first),
            ("SENTINEL", &sentinel),
        ];
        self.0
            .start(number, &script("sentinel", "start-replicated.sh"), &environment);
    }

    fn sentinel(&mut self, number: u8) {
        let first = address(1);
        let environment = [("FIRST", first.as_str()), ("DOWN_AFTER", "1000")];
        self.0
            .start(number, &script("sentinel", "start-sentinel.sh"), &environment);
    }

    fn all(&mut self) {
        (1..=3).for_each(|number| self.redis(number));
        (11..=13).for_each(|number| self.sentinel(number));
    }

    /// The master by the word of all Sentinels, with two replicas that keep up and that all of them know.
    fn master(&self) -> Option<u8> {
        let named = (11..=13).map(|number| ask(number, "26379", &["sentinel", "get-master-addr-by-name", "holdfast"]));
        let named: Vec<String> = named
            .map(|said| said.lines().next().unwrap_or_default().to_owned())
            .collect();
        let master = (1..=3).find(|number| named.iter().all(|name| *name == address(*number)))?;
        let known = (11..=13).map(|number| ask(number, "26379", &["info", "sentinel"]));
        if !known
            .into_iter()
            .all(|said| said.contains("status=ok") && said.contains("slaves=2,sentinels=3"))
        {
            return None;
        }
        let replication = ask(master, "6379", &["info", "replication"]);
        let complete = replication.contains("role:master") && replication.matches("state=online").count() == 2;
        complete.then_some(master)
    }

    async fn settled(&self) -> u8 {
        wait_until(
            "one master and two replicas, and all Sentinels agree",
            2 * SOON,
            async || self.master().is_some(),
        )
        .await;
        self.master().unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sentinels_keep_a_master_through_a_failure_and_a_start_of_everything() {
    let mut servers = Sentinels(Servers::new());
    servers.all();
    assert_eq!(servers.settled().await, 1, "the first is the master at first");
    let url = format!("redis-sentinel://{}:26379?sentinelServiceName=holdfast", address(11));
    let environment = [
        ("HOLDFAST_REDIS__URL", url.as_str()),
        ("HOLDFAST_REDIS__USERNAME", "holdfast"),
        ("HOLDFAST_REDIS__PASSWORD", PASSWORD),
    ];
    let worker = Holdfast::start(&["serve"], &environment);
    worker.answers("/readyz", SOON).await;

    servers.0.kill(1);
    wait_until("another is the master", SOON, async || {
        let said = ask(11, "26379", &["sentinel", "get-master-addr-by-name", "holdfast"]);
        !said.is_empty() && !said.contains(&address(1))
    })
    .await;
    servers.redis(1);
    let master = servers.settled().await;
    assert_ne!(master, 1, "the old master is a replica now");
    worker.answers("/readyz", SOON).await;

    assert_eq!(ask(master, "6379", &["set", "kept", "yes"]).trim(), "OK");
    servers.settled().await;
    (1..=13).for_each(|number| servers.0.kill(number));
    servers.all();
    assert_eq!(servers.settled().await, master, "it is the master again, not the first");
    assert_eq!(ask(master, "6379", &["get", "kept"]).trim(), "yes");
    worker.answers("/readyz", SOON).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn six_nodes_become_a_cluster_that_holdfast_uses() {
    let Some(text) = kustomized(&directory("cluster")) else {
        return;
    };
    let manifests = Manifests::made(&text);
    let settings = std::fs::read_to_string(base("redis.conf")).unwrap();
    let command = manifests.at("StatefulSet/holdfast-redis", "/spec/template/spec/containers/0/command");
    let mut servers = Servers::new();
    let file = servers.data.path().join("redis.conf");
    std::fs::write(&file, settings.replace("dir /data", "dir .")).unwrap();
    for number in 1..=6 {
        let words = command.as_array().unwrap().iter().map(|word| {
            let word = word.as_str().unwrap().replace("$(REDISCLI_AUTH)", ADMIN_PASSWORD);
            let word = word.replace("/etc/redis/start-redis.sh", &base("start-redis.sh"));
            let word = word.replace("/etc/redis/redis.conf", &file.display().to_string());
            word.replace("/data/nodes.conf", "nodes.conf")
                .replace("$(POD_IP)", &address(number))
        });
        let words: Vec<String> = words.collect();
        servers.start(number, &words, &[]);
    }
    let nodes: Vec<String> = (1..=6).map(address).collect();
    let form = || {
        let words = script("cluster", "form-cluster.sh");
        let output = Command::new(&words[0])
            .args(&words[1..])
            .env("NODES", nodes.join(" "))
            .env("REDISCLI_AUTH", ADMIN_PASSWORD)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert!(form().contains("All 16384 slots covered"));
    wait_until("the Cluster stands", SOON, async || {
        ask(1, "6379", &["cluster", "info"]).contains("cluster_state:ok")
    })
    .await;
    assert!(
        form().contains("the Cluster stands"),
        "a second time there is nothing to do"
    );

    let url = format!("redis-cluster://{}:6379?node={}:6379", nodes[0], nodes[1]);
    let environment = [
        ("HOLDFAST_REDIS__URL", url.as_str()),
        ("HOLDFAST_REDIS__USERNAME", "holdfast"),
        ("HOLDFAST_REDIS__PASSWORD", PASSWORD),
        (
            "HOLDFAST_REDIS__PARTITIONS",
            &manifests.tuning["HOLDFAST_REDIS__PARTITIONS"],
        ),
    ];
    let worker = Holdfast::start(&["serve"], &environment);
    worker.answers("/readyz", SOON).await;
    let masters = (1..=6).filter(|number| ask(*number, "6379", &["role"]).starts_with("master"));
    let streams: Vec<String> = masters
        .map(|number| ask(number, "6379", &["keys", "*:events"]))
        .collect();
    assert!(
        streams.iter().all(|keys| keys.contains(":events")),
        "a partition on each master: {streams:?}"
    );
}
