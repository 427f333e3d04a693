//! The overlays' scripts at work: real servers, each on a loopback address of its own in place of a pod's name.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::manifests::Manifests;
use super::overlays::directory;
use super::tools::kustomized;
use crate::engine::harness::SOON;
use crate::support::{Holdfast, wait_until};

const PASSWORD: &str = "pass-word";

/// Servers by the last number of their address, killed on drop.
struct Servers {
    data: TempDir,
    running: Vec<(u8, Child)>,
    /// The password of those who look after Redis.
    admin: &'static str,
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
            admin: "admin-word",
        }
    }

    /// Starts a server with a directory of its own, which it finds again the next time.
    fn start(&mut self, number: u8, command: &[String], environment: &[(&str, &str)]) {
        let data = self.directory(number);
        std::fs::create_dir_all(&data).unwrap();
        let child = Command::new(&command[0])
            .args(&command[1..])
            .args(["--bind", &address(number)])
            .envs(environment.iter().copied())
            .env("DATA", &data)
            .env("SELF", address(number))
            .env("START", base("start-redis.sh"))
            .env("RULES", base("holdfast.acl"))
            .env("REDISCLI_AUTH", self.admin)
            .env("USER_PASSWORD", PASSWORD)
            .current_dir(&data)
            .stdout(Stdio::null())
            .spawn();
        self.running.push((number, child.unwrap()));
    }

    /// What a server keeps on its volume.
    fn directory(&self, number: u8) -> PathBuf {
        self.data.path().join(number.to_string())
    }

    /// What a server answers, or an empty text.
    fn ask(&self, number: u8, port: &str, words: &[&str]) -> String {
        let mut command = Command::new("redis-cli");
        command.args(["-h", &address(number), "-p", port]).args(words);
        if port == "6379" {
            command.env("REDISCLI_AUTH", self.admin);
        }
        let output = command.stderr(Stdio::null()).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
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
        let environment = [("FIRST", first.as_str()), ("DOWN_AFTER", "3000")];
        self.0
            .start(number, &script("sentinel", "start-sentinel.sh"), &environment);
    }

    fn all(&mut self) {
        (1..=3).for_each(|number| self.redis(number));
        (11..=13).for_each(|number| self.sentinel(number));
    }

    /// The master by the word of all Sentinels, with two replicas that keep up and that all of them know.
    fn master(&self) -> Option<u8> {
        let named = (11..=13).map(|number| {
            self.0
                .ask(number, "26379", &["sentinel", "get-master-addr-by-name", "holdfast"])
        });
        let named: Vec<String> = named
            .map(|said| said.lines().next().unwrap_or_default().to_owned())
            .collect();
        let master = (1..=3).find(|number| named.iter().all(|name| *name == address(*number)))?;
        let known = (11..=13).map(|number| self.0.ask(number, "26379", &["info", "sentinel"]));
        if !known
            .into_iter()
            .all(|said| said.contains("status=ok") && said.contains("slaves=2,sentinels=3"))
        {
            return None;
        }
        let replication = self.0.ask(master, "6379", &["info", "replication"]);
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
        let said = servers
            .0
            .ask(11, "26379", &["sentinel", "get-master-addr-by-name", "holdfast"]);
        !said.is_empty() && !said.contains(&address(1))
    })
    .await;
    servers.redis(1);
    let master = servers.settled().await;
    assert_ne!(master, 1, "the old master is a replica now");
    worker.answers("/readyz", SOON).await;

    assert_eq!(servers.0.ask(master, "6379", &["set", "kept", "yes"]).trim(), "OK");
    servers.settled().await;
    // And with another password in the Secret.
    (1..=13).for_each(|number| servers.0.kill(number));
    servers.0.admin = "another-word";
    servers.all();
    assert_eq!(servers.settled().await, master, "it is the master again, not the first");
    assert_eq!(servers.0.ask(master, "6379", &["get", "kept"]).trim(), "yes");
    worker.answers("/readyz", SOON).await;
}

/// Six nodes, started as the manifest says.
struct Nodes {
    servers: Servers,
    command: Vec<String>,
    /// Added to a node's number for that of its address: a pod that starts again has another one.
    moved: u8,
}

impl Nodes {
    fn of(manifests: &Manifests) -> Self {
        let servers = Servers::new();
        let settings = std::fs::read_to_string(base("redis.conf")).unwrap();
        let file = servers.data.path().join("redis.conf");
        std::fs::write(&file, settings.replace("dir /data", "dir .")).unwrap();
        let command = manifests.at("StatefulSet/holdfast-redis", "/spec/template/spec/containers/0/command");
        let words = command.as_array().unwrap().iter().map(|word| {
            let word = word.as_str().unwrap();
            let own = script("cluster", "start-node.sh").remove(1);
            word.replace("$(REDISCLI_AUTH)", servers.admin)
                .replace("/etc/redis/start-node.sh", &own)
                .replace("/etc/redis/redis.conf", &file.display().to_string())
                .replace("/data/nodes.conf", "nodes.conf")
        });
        let command = words.collect();
        Self {
            servers,
            command,
            moved: 0,
        }
    }

    fn names(&self) -> String {
        let names: Vec<String> = (1..=6).map(|number| address(number + self.moved)).collect();
        names.join(" ")
    }

    /// Starts a node with what an earlier one kept.
    fn start(&mut self, number: u8) {
        let at = number + self.moved;
        if self.moved > 0 && !self.servers.directory(at).exists() {
            std::fs::rename(self.servers.directory(number), self.servers.directory(at)).unwrap();
        }
        let words = self.command.iter().map(|word| word.replace("$(SELF)", &address(at)));
        let words: Vec<String> = words.collect();
        let names = self.names();
        self.servers.start(at, &words, &[("NODES", &names)]);
    }

    fn form(&self) -> String {
        let words = script("cluster", "form-cluster.sh");
        let output = Command::new(&words[0])
            .args(&words[1..])
            .env("NODES", self.names())
            .env("REDISCLI_AUTH", self.servers.admin)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn ask(&self, number: u8, words: &[&str]) -> String {
        self.servers.ask(number + self.moved, "6379", words)
    }

    /// Every node knows a master for each slot, and all of each other.
    async fn whole(&self) {
        wait_until("the Cluster stands", 2 * SOON, async || {
            (1..=6).all(|number| {
                let info = self.ask(number, &["cluster", "info"]);
                let nodes = self.ask(number, &["cluster", "nodes"]);
                info.contains("cluster_state:ok") && nodes.matches(" connected").count() == 6
            })
        })
        .await;
    }

    fn is_replica(&self, number: u8) -> bool {
        let replication = self.ask(number, &["info", "replication"]);
        replication.contains("role:slave") && replication.contains("master_link_status:up")
    }

    /// Holdfast with this Cluster.
    async fn holdfast(&self, manifests: &Manifests) -> Holdfast {
        let url = format!(
            "redis-cluster://{}:6379?node={}:6379",
            address(1 + self.moved),
            address(2 + self.moved)
        );
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
        worker
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn six_nodes_become_a_cluster_and_find_each_other_again() {
    let Some(text) = kustomized(&directory("cluster")) else {
        return;
    };
    let manifests = Manifests::made(&text);
    let mut nodes = Nodes::of(&manifests);
    (1..=6).for_each(|number| nodes.start(number));
    assert!(nodes.form().contains("All 16384 slots covered"));
    nodes.whole().await;
    assert!(
        nodes.form().contains("the Cluster stands"),
        "a second time there is nothing to do"
    );

    let worker = nodes.holdfast(&manifests).await;
    let masters = (1..=6).filter(|number| nodes.ask(*number, &["role"]).starts_with("master"));
    let streams: Vec<String> = masters.map(|number| nodes.ask(number, &["keys", "*:events"])).collect();
    assert!(
        streams.iter().all(|keys| keys.contains(":events")),
        "a partition on each master: {streams:?}"
    );
    assert_eq!(nodes.ask(1, &["-c", "set", "kept", "yes"]).trim(), "OK");
    drop(worker);

    // A power cut: all pods at once, and each comes back with another address.
    (1..=6).for_each(|number| nodes.servers.kill(number));
    nodes.moved = 50;
    (1..=6).for_each(|number| nodes.start(number));
    nodes.whole().await;
    assert_eq!(nodes.ask(1, &["-c", "get", "kept"]).trim(), "yes");
    nodes.holdfast(&manifests).await;

    // A machine that is lost with its disk.
    let replica = || (1..=6).find(|number| nodes.is_replica(*number));
    wait_until("a replica follows its master", SOON, async || replica().is_some()).await;
    let lost = replica().unwrap();
    nodes.servers.kill(lost + nodes.moved);
    std::fs::remove_dir_all(nodes.servers.directory(lost + nodes.moved)).unwrap();
    std::fs::create_dir(nodes.servers.directory(lost + nodes.moved)).unwrap();
    nodes.start(lost);
    wait_until("a new replica follows a master", 2 * SOON, async || {
        nodes.is_replica(lost)
    })
    .await;
}
