//! Deployments of several servers that lose one, or move what they hold.

use std::time::Duration;

use crate::servers::Topology;
use crate::stage::{EVENTS, SOON, Stage, Wish};
use crate::support::{Sentinel, TestRedis, wait_until};

/// 19: the Sentinel set's master is killed, and comes back when another one is master.
pub(crate) async fn sentinel_master_killed(stage: &mut Stage) {
    let master = stage.servers.master();
    stage.may_step_back = true;
    stage.servers.nodes[master].kill9();
    another_master(stage, master).await;
    stage.progress(40).await;
    stage.servers.nodes[master].restart();
}

/// 19: the Sentinel set's master freezes; thawed, it believes to be master still, for a moment.
pub(crate) async fn sentinel_master_frozen(stage: &mut Stage) {
    let master = stage.servers.master();
    stage.may_step_back = true;
    stage.servers.nodes[master].pause();
    another_master(stage, master).await;
    stage.progress(40).await;
    stage.servers.nodes[master].resume();
}

/// 31: whoever is alive forgets its scripts, again and again, while another master is found.
pub(crate) async fn sentinel_forgets(stage: &mut Stage) {
    let master = stage.servers.master();
    stage.may_step_back = true;
    stage.servers.nodes[master].kill9();
    wait_until("another master is named", SOON, async || {
        for node in &stage.servers.nodes {
            node.cli(&["SCRIPT", "FLUSH"]);
        }
        stage.servers.master() != master
    })
    .await;
    another_master(stage, master).await;
    for _ in 0..10 {
        stage.progress(4).await;
        stage.servers.cli(&["SCRIPT", "FLUSH"]);
    }
    stage.servers.nodes[master].restart();
}

/// 31: the master that took over is killed as well, as soon as the first is its replica.
pub(crate) async fn sentinel_twice(stage: &mut Stage) {
    for _ in 0..2 {
        sentinel_master_killed(stage).await;
        whole(stage).await;
    }
}

/// 31: a worker dies in the middle of a Cluster's failover.
pub(crate) async fn cluster_and_worker_killed(stage: &mut Stage) {
    let owner = owner(stage);
    stage.may_step_back = true;
    stage.servers.at(owner).kill9();
    stage.kill(0);
    replaced(stage, owner).await;
    stage.add_pod(Wish::default()).await;
    stage.progress(40).await;
    stage.servers.at(owner).restart();
}

/// Waits until every server is part of the deployment again, so that it can lose another.
pub(crate) async fn whole(stage: &Stage) {
    let servers = &stage.servers;
    wait_until("the deployment is whole", SOON, async || match servers.topology {
        Topology::Single => true,
        Topology::Sentinel => {
            // A replica that still loads its copy has less than it may be promoted with.
            let master = servers.master();
            let follows = |node: &TestRedis| {
                let state = node.cli(&["INFO", "replication"]);
                state.contains("master_link_status:up") && state.contains("master_sync_in_progress:0")
            };
            let others = servers.nodes.iter().enumerate().filter(|(place, _)| *place != master);
            others.map(|(_, node)| node).all(follows)
        }
        Topology::Cluster => {
            let whole = |node: &TestRedis| node.cli(&["CLUSTER", "INFO"]).contains("cluster_state:ok");
            let known = servers.cli(&["CLUSTER", "NODES"]);
            let lost = known.contains("fail") || known.contains("disconnected");
            servers.nodes.iter().all(whole) && !lost && servers.masters().len() == 3
        }
    })
    .await;
}

/// Waits until all sentinels agree on another master and none is at work on it still: an old master that comes back
/// before that may become master again, and what the new one had accepted is thrown away.
async fn another_master(stage: &Stage, old: usize) {
    let old = stage.servers.nodes[old].port().to_string();
    wait_until("another master is named", SOON, async || {
        let sentinels = &stage.servers.sentinels;
        let named = |sentinel: &Sentinel| sentinel.ask(&["SENTINEL", "get-master-addr-by-name", "main"]);
        let done = |sentinel: &Sentinel| {
            let master = sentinel.ask(&["SENTINEL", "master", "main"]);
            !master.contains("failover_in_progress") && !master.contains("o_down")
        };
        let first = named(&sentinels[0]);
        let another = !first.lines().any(|line| line == old);
        another
            && sentinels
                .iter()
                .all(|sentinel| named(sentinel) == first && done(sentinel))
    })
    .await;
}

/// 20: the Cluster's master of the first partition is killed, and comes back when its replica took its place.
pub(crate) async fn cluster_master_killed(stage: &mut Stage) {
    let owner = owner(stage);
    stage.may_step_back = true;
    stage.servers.at(owner).kill9();
    replaced(stage, owner).await;
    stage.progress(40).await;
    stage.servers.at(owner).restart();
}

async fn replaced(stage: &Stage, owner: u16) {
    wait_until("its replica is master", SOON, async || {
        let masters = stage.servers.masters();
        masters.len() == 3 && masters.iter().all(|(_, port)| *port != owner)
    })
    .await;
}

/// 21: the slot of the first partition moves to another master, key by key, while it is in use.
pub(crate) async fn slot_migrated(stage: &mut Stage) {
    let slot = stage.servers.cli(&["CLUSTER", "KEYSLOT", EVENTS]);
    let from = owner(stage);
    let masters = stage.servers.masters();
    let id = |port| &masters.iter().find(|(_, own)| *own == port).unwrap().0;
    let to = masters.iter().find(|(_, port)| *port != from).unwrap().1;
    let ask = |stage: &mut Stage, port: u16, words: &[&str]| stage.servers.at(port).cli(words);
    ask(stage, to, &["CLUSTER", "SETSLOT", &slot, "IMPORTING", id(from)]);
    ask(stage, from, &["CLUSTER", "SETSLOT", &slot, "MIGRATING", id(to)]);
    loop {
        let keys = ask(stage, from, &["CLUSTER", "GETKEYSINSLOT", &slot, "3"]);
        if keys.is_empty() {
            break;
        }
        let keys: Vec<&str> = keys.lines().collect();
        let target = to.to_string();
        let words = [
            &["MIGRATE", "127.0.0.1", &target, "", "0", "5000", "KEYS"],
            keys.as_slice(),
        ]
        .concat();
        ask(stage, from, &words);
        stage.lasts(Duration::from_millis(300)).await;
    }
    for (_, port) in &masters {
        ask(stage, *port, &["CLUSTER", "SETSLOT", &slot, "NODE", id(to)]);
    }
    wait_until("it has moved", SOON, async || owner(stage) == to).await;
}

/// The port of the master that serves the first partition.
fn owner(stage: &Stage) -> u16 {
    let slot: u16 = stage.servers.cli(&["CLUSTER", "KEYSLOT", EVENTS]).parse().unwrap();
    let nodes = stage.servers.cli(&["CLUSTER", "NODES"]);
    let serves = |range: &str| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let bounds = (first.parse::<u16>(), last.parse::<u16>());
        matches!(bounds, (Ok(first), Ok(last)) if (first..=last).contains(&slot))
    };
    let line = nodes.lines().find(|line| line.split(' ').skip(8).any(serves)).unwrap();
    let address = line.split([' ', '@']).nth(1).unwrap();
    address.rsplit_once(':').unwrap().1.parse().unwrap()
}
