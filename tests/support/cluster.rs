//! A Redis Cluster of private servers.

use std::process::Command;
use std::time::Duration;

use super::{TestRedis, wait_until};

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
        nodes
            .iter()
            .all(|node| node.cli(&["CLUSTER", "INFO"]).contains("cluster_state:ok"))
    })
    .await;
    format!("redis-cluster://{}?node={}", addresses[0], addresses[1])
}
