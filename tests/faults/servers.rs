//! The Redis deployments that a run can have: one server, a Sentinel set, a Cluster.

use std::time::Duration;

use tempfile::TempDir;

use crate::support::{Sentinel, TestRedis, cluster, login, wait_until};

const SOON: Duration = Duration::from_secs(30);

/// Which of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Topology {
    /// One server; pods reach it through a proxy each.
    Single,
    /// A master, two replicas, three sentinels; `min-replicas-to-write 1`.
    Sentinel,
    /// Three masters with a replica each, four partitions.
    Cluster,
}

impl Topology {
    /// How many replicas must have an event before it is accepted: where there are some, one.
    pub(crate) fn confirming(self) -> u32 {
        u32::from(self != Self::Single)
    }
}

/// The running servers.
pub(crate) struct Servers {
    pub(crate) nodes: Vec<TestRedis>,
    pub(crate) sentinels: Vec<Sentinel>,
    pub(crate) topology: Topology,
    url: String,
}

impl Servers {
    /// One server whose data is in `home`.
    pub(crate) fn single(home: TempDir, arguments: &[&str]) -> Self {
        let server = TestRedis::within(home, arguments);
        let url = server.url();
        Self {
            nodes: vec![server],
            sentinels: Vec::new(),
            topology: Topology::Single,
            url,
        }
    }

    pub(crate) async fn sentinel() -> Self {
        let careful = ["--min-replicas-to-write", "1", "--min-replicas-max-lag", "2"];
        let nodes: Vec<TestRedis> = (0..3).map(|_| TestRedis::with(&careful)).collect();
        let master = nodes[0].port();
        for replica in &nodes[1..] {
            replica.cli(&["REPLICAOF", "127.0.0.1", &master.to_string()]);
        }
        wait_until("the replicas follow", SOON, async || {
            nodes[1..]
                .iter()
                .all(|node| node.cli(&["INFO", "replication"]).contains("master_link_status:up"))
        })
        .await;
        let sentinels: Vec<Sentinel> = (0..3).map(|_| Sentinel::watch(master, 2)).collect();
        wait_until("the sentinels know each other and the replicas", SOON, async || {
            sentinels.iter().all(|sentinel| {
                let known = sentinel.ask(&["SENTINEL", "master", "main"]);
                field(&known, "num-other-sentinels") == "2" && field(&known, "num-slaves") == "2"
            })
        })
        .await;
        let ports: Vec<u16> = sentinels.iter().map(Sentinel::port).collect();
        let url = format!(
            "redis-sentinel://{}127.0.0.1:{}?sentinelServiceName=main&node=127.0.0.1:{}&node=127.0.0.1:{}",
            login(),
            ports[0],
            ports[1],
            ports[2]
        );
        Self {
            nodes,
            sentinels,
            topology: Topology::Sentinel,
            url,
        }
    }

    pub(crate) async fn cluster() -> Self {
        let (nodes, url) = cluster(1).await;
        Self {
            nodes,
            sentinels: Vec::new(),
            topology: Topology::Cluster,
            url,
        }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Where the master is that the sentinels name.
    pub(crate) fn master(&self) -> usize {
        let known = self.sentinels[0].ask(&["SENTINEL", "get-master-addr-by-name", "main"]);
        let named = |node: &TestRedis| known.lines().any(|line| line == node.port().to_string());
        self.nodes.iter().position(named).unwrap()
    }

    /// One command to whichever server holds the key; the reply as `redis-cli` prints it.
    pub(crate) fn cli(&self, words: &[&str]) -> String {
        match self.topology {
            Topology::Single => self.nodes[0].cli(words),
            Topology::Sentinel => self.nodes[self.master()].cli(words),
            Topology::Cluster => {
                let following = [&["-c"], words].concat();
                let alive = self.nodes.iter().find(|node| node.cli(&["PING"]) == "PONG");
                alive.unwrap().cli(&following)
            }
        }
    }

    /// The ids and ports of the Cluster's masters.
    pub(crate) fn masters(&self) -> Vec<(String, u16)> {
        let nodes = self.cli(&["CLUSTER", "NODES"]);
        let masters = nodes
            .lines()
            .filter(|line| line.contains("master") && !line.contains("fail"));
        masters
            .filter_map(|line| {
                let mut words = line.split(' ');
                let id = words.next()?.to_owned();
                let port = words.next()?.split(['@', ':']).nth(1)?.parse().ok()?;
                Some((id, port))
            })
            .collect()
    }

    /// The server that listens on a port.
    pub(crate) fn at(&mut self, port: u16) -> &mut TestRedis {
        self.nodes.iter_mut().find(|node| node.port() == port).unwrap()
    }
}

/// A field of a reply that lists names and values line by line.
fn field<'a>(reply: &'a str, name: &str) -> &'a str {
    let mut lines = reply.lines();
    lines.find(|line| *line == name);
    lines.next().unwrap_or_default()
}
