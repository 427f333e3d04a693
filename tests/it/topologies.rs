//! Sentinel, Cluster and TLS: the same connection over real deployments, through a failover too.

use std::time::Duration;

use fred::prelude::{ClientLike, KeysInterface};
use holdfast::config;
use holdfast::domain::units::Period;
use holdfast::store::connect::{Connection, FirstConnect};
use holdfast::store::probe::probe;

use crate::support::{Sentinel, TestRedis, certificates, cluster, free_port, login, wait_until};

const SOON: Duration = Duration::from_secs(30);

fn settings() -> config::Redis {
    config::Redis {
        command_timeout: Period::from_secs(1),
        ..config::Redis::default()
    }
}

async fn set(connection: &Connection, key: &str) -> bool {
    let client = connection.client();
    client.set::<(), _, _>(key, 1, None, None, false).await.is_ok()
}

#[tokio::test]
async fn a_failover_is_followed() {
    let (mut master, replica) = (TestRedis::start(), TestRedis::start());
    replica.cli(&["REPLICAOF", "127.0.0.1", &master.port().to_string()]);
    let sentinel = Sentinel::watch(master.port(), 1);
    wait_until("the sentinel knows the replica", SOON, async || {
        sentinel
            .ask(&["SENTINEL", "replicas", "main"])
            .contains(&replica.port().to_string())
            && replica.cli(&["INFO", "replication"]).contains("master_link_status:up")
    })
    .await;
    let open = async |login: &str| {
        let url = format!(
            "redis-sentinel://{login}127.0.0.1:{}?sentinelServiceName=main",
            sentinel.port()
        );
        Connection::open(&settings(), &url, FirstConnect::FailFast)
            .await
            .unwrap()
    };
    let connection = open(&login()).await;
    assert!(set(&connection, "holdfast:before").await);
    // Holdfast's user may not read the setting that is warned about.
    let admin = open("").await;
    let facts = probe(&admin, "holdfast").await.unwrap();
    admin.quit().await;
    assert_eq!(facts.replicas, 1);
    assert!(facts.warnings(0).join("\n").contains("min-replicas-to-write"));

    master.kill9();
    wait_until("writes reach the new master", SOON, async || {
        set(&connection, "holdfast:after").await
    })
    .await;
    assert_eq!(replica.cli(&["GET", "holdfast:after"]), "1");
    assert!(
        replica.cli(&["INFO", "commandstats"]).contains("cmdstat_role:"),
        "the ACL file grants it"
    );

    // The master is demoted without a broken connection: READONLY alone must make the client look again.
    master.restart();
    wait_until("the old master follows", SOON, async || {
        master.cli(&["INFO", "replication"]).contains("master_link_status:up")
            && sentinel.ask(&["SENTINEL", "failover", "main"]).contains("OK")
    })
    .await;
    wait_until("writes reach the first master again", SOON, async || {
        set(&connection, "holdfast:again").await && master.cli(&["INFO", "replication"]).contains("role:master")
    })
    .await;
    wait_until("the last write is there", SOON, async || {
        set(&connection, "holdfast:last").await && master.cli(&["GET", "holdfast:last"]) == "1"
    })
    .await;
}

#[tokio::test]
async fn a_cluster_is_one_deployment() {
    let (mut nodes, url) = cluster(0).await;
    let connection = Connection::open(&settings(), &url, FirstConnect::FailFast)
        .await
        .unwrap();
    assert!(connection.is_cluster());
    assert!(probe(&connection, "holdfast").await.unwrap().cluster);
    for partition in 0..16 {
        assert!(set(&connection, &format!("holdfast:{{{partition}}}:x")).await);
    }
    assert!(
        nodes.iter().all(|node| node.cli(&["DBSIZE"]) != "0"),
        "every node holds some"
    );
    let sent = nodes[0].cli(&["INFO", "commandstats"]);
    for granted in ["cmdstat_cluster|info:", "cmdstat_cluster|slots:"] {
        assert!(sent.contains(granted), "the ACL file grants it: {sent}");
    }
    nodes[1].restart();
    wait_until("every partition takes writes again", SOON, async || {
        let mut all = true;
        for partition in 0..16 {
            all &= set(&connection, &format!("holdfast:{{{partition}}}:x")).await;
        }
        all
    })
    .await;
    let plain = Connection::open(&settings(), &nodes[0].url(), FirstConnect::FailFast)
        .await
        .unwrap();
    let other = (0..16).map(|partition| format!("holdfast:{{{partition}}}"));
    let mut moved = 0;
    for key in other {
        moved += usize::from(!set(&plain, &key).await);
    }
    assert!(moved > 0, "a plain connection cannot serve a cluster");
    let single = TestRedis::start();
    let wrong = format!("redis-cluster://{}127.0.0.1:{}", login(), single.port());
    let Err(error) = Connection::open(&settings(), &wrong, FirstConnect::FailFast).await else {
        panic!("it is no cluster")
    };
    assert!(error.to_string().contains("redis://"), "{error}");
}

#[tokio::test]
async fn tls_trusts_the_given_authority_only() {
    let dir = tempfile::tempdir().unwrap();
    let files = certificates(dir.path(), "ours", "localhost", false);
    let port = free_port();
    let _redis = TestRedis::with(&[
        "--tls-port",
        &port.to_string(),
        "--tls-auth-clients",
        "no",
        "--tls-ca-cert-file",
        &files.ca.display().to_string(),
        "--tls-cert-file",
        &files.certificate.display().to_string(),
        "--tls-key-file",
        &files.key.display().to_string(),
    ]);
    let trusting = config::Redis {
        ca_file: Some(files.ca.clone()),
        ..settings()
    };
    let url = format!("rediss://{}localhost:{port}", login());
    let connection = Connection::open(&trusting, &url, FirstConnect::FailFast).await.unwrap();
    connection.client().ping::<()>(None).await.unwrap();
    let other_name = format!("rediss://{}127.0.0.1:{port}", login());
    assert!(
        Connection::open(&trusting, &other_name, FirstConnect::FailFast)
            .await
            .is_err()
    );
    let Err(error) = Connection::open(&settings(), &url, FirstConnect::FailFast).await else {
        panic!("the system does not know this authority")
    };
    assert!(error.to_string().contains("HOLDFAST_REDIS__CA_FILE"), "{error}");
}
