//! A Redis Cluster of three private masters.

use std::process::Command;
use std::time::Duration;

use super::{TestRedis, login, wait_until};

/// Starts it and waits until every slot is served; answers its nodes and its URL.
pub(crate) async fn cluster() -> ([TestRedis; 3], String) {
    let nodes = [(); 3].map(|()| TestRedis::with(&["--cluster-enabled", "yes", "--cluster-node-timeout", "2000"]));
    let addresses = nodes.each_ref().map(|node| format!("127.0.0.1:{}", node.port()));
    let made = Command::new("redis-cli")
        .args(["--cluster", "create"])
        .args(&addresses)
        .arg("--cluster-yes")
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    wait_until("the cluster is whole", Duration::from_secs(30), async || {
        nodes
            .iter()
            .all(|node| node.cli(&["CLUSTER", "INFO"]).contains("cluster_state:ok"))
    })
    .await;
    let url = format!("redis-cluster://{}{}?node={}", login(), addresses[0], addresses[1]);
    (nodes, url)
}
