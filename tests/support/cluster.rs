//! A Redis Cluster of private servers.

use std::process::Command;
use std::time::Duration;

use super::{TestRedis, login, wait_until};

/// Starts three masters, with so many replicas each, and waits until every slot is served; answers the nodes,
/// masters first, and their URL.
pub(crate) async fn cluster(replicas: usize) -> (Vec<TestRedis>, String) {
    let nodes: Vec<TestRedis> = (0..3 * (1 + replicas)).map(|_| node()).collect();
    let url = join(&nodes, replicas).await;
    (nodes, url)
}

fn node() -> TestRedis {
    TestRedis::with(&["--cluster-enabled", "yes", "--cluster-node-timeout", "2000"])
}

async fn join(nodes: &[TestRedis], replicas: usize) -> String {
    let addresses: Vec<String> = nodes.iter().map(|node| format!("127.0.0.1:{}", node.port())).collect();
    let made = Command::new("redis-cli")
        .args(["--cluster", "create"])
        .args(&addresses)
        .args(["--cluster-replicas", &replicas.to_string(), "--cluster-yes"])
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    wait_until("the cluster is whole", Duration::from_secs(30), async || {
        nodes.iter().all(|node| {
            let replication = node.cli(&["INFO", "replication"]);
            let follows = replication.contains("role:master") || replication.contains("master_link_status:up");
            follows && node.cli(&["CLUSTER", "INFO"]).contains("cluster_state:ok")
        }) && count_of_masters(nodes) == 3
    })
    .await;
    format!("redis-cluster://{}{}?node={}", login(), addresses[0], addresses[1])
}

fn count_of_masters(nodes: &[TestRedis]) -> usize {
    let is_master = |node: &&TestRedis| node.cli(&["INFO", "replication"]).contains("role:master");
    nodes.iter().filter(is_master).count()
}
