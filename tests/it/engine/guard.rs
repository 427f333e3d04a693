//! What is refused as a destination is never connected to, by whatever way it is reached; its deliveries are kept.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use holdfast::domain::ids::SubscriptionId;
use holdfast::domain::subscription::{DeliveryRetryPolicy, RetryOverrides};

use super::harness::{Deployment, SOON};
use super::subscriber::{Reply, Subscriber};
use crate::support::{Holdfast, LOOPBACK, SHORT_TIMES, free_port, free_ports, wait_until};

const NOTHING: (&str, &str) = (LOOPBACK.0, "");

/// A listener that counts connections and answers 200 to whatever comes.
struct Trap {
    port: u16,
    connections: Arc<AtomicUsize>,
}

impl Trap {
    fn set() -> Self {
        Self::at("127.0.0.1", 0)
    }

    fn at(address: &str, port: u16) -> Self {
        let listener = TcpListener::bind((address, port)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&connections);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                counted.fetch_add(1, Ordering::Relaxed);
                let mut stream = stream.unwrap();
                let _request = stream.read(&mut [0; 4096]);
                let _answer = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            }
        });
        Self { port, connections }
    }

    fn sprung(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

/// Waits for a few probes and answers what the circuit says.
async fn refused(deployment: &Deployment, id: &SubscriptionId) -> String {
    wait_until("it was probed", SOON, async || {
        deployment.census(id).await.failures >= 2
    })
    .await;
    deployment.census(id).await.error
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_spelling_of_loopback_is_connected_to_and_nothing_is_lost() {
    let mut deployment = Deployment::start(1, &[NOTHING]).await;
    let trap = Trap::set();
    let mut ids = Vec::new();
    for host in [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0177.0.0.1",
        "0x7f000001",
        "0.0.0.0",
        "localhost",
    ] {
        let url = format!("http://{host}:{}/events", trap.port);
        let id = deployment
            .subscribe(&url, |subscription| {
                subscription.retry_policy = DeliveryRetryPolicy::TerminateAfterRetries;
                subscription.retry = RetryOverrides {
                    max_attempts: Some(1),
                    ..RetryOverrides::default()
                };
            })
            .await;
        ids.push((host, id));
    }
    deployment.publish(3).await;
    deployment.parked(3 * ids.len()).await;
    for (host, id) in &ids {
        let error = refused(&deployment, id).await;
        assert!(error.starts_with("blocked: "), "{host}: {error}");
        assert!(error.contains("events are not sent there"), "{host}: {error}");
    }
    assert_eq!(trap.sprung(), 0);
    assert!(deployment.dead_letters().await.is_empty());

    // Allowed, what was kept goes out; only what no list can allow stays.
    deployment.pods[0].sigkill();
    deployment.add_pod(&[LOOPBACK]).await;
    deployment.parked(3).await;
    assert_eq!(trap.sprung(), 3 * (ids.len() - 1));
    let (_, id) = ids.iter().find(|(host, _)| *host == "0.0.0.0").unwrap();
    let unspecified = deployment.census(id).await.error;
    assert!(
        unspecified.contains("0.0.0.0 is an unspecified address"),
        "{unspecified}"
    );
    deployment.check_ledger().await;
}

/// A pod that finds names in the file `hosts`; `None` where this user may not give it a view of its own.
fn pod_with_hosts(deployment: &Deployment, hosts: &Path, settings: &[(&str, &str)]) -> Option<Holdfast> {
    let own_view = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"];
    let mount = r#"mount --bind "$0" /etc/hosts && exec "$@""#;
    let hosts = hosts.to_str().unwrap();
    let launcher = [&own_view[..], &[mount, hosts]].concat();
    let tried = Command::new(launcher[0]).args(&launcher[1..]).arg("true").status();
    if !tried.is_ok_and(|status| status.success()) {
        return None;
    }
    let url = deployment.redis.url();
    let all: Vec<(&str, &str)> = SHORT_TIMES
        .into_iter()
        .chain([("HOLDFAST_REDIS__URL", url.as_str())])
        .chain(settings.iter().copied())
        .collect();
    Some(Holdfast::start_by(&launcher, &["serve"], &all))
}

/// The name is looked up by the system's own resolver, in a file that changes between two deliveries.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_is_pointed_elsewhere_later_leads_nowhere() {
    let mut deployment = Deployment::start(0, &[]).await;
    let good = Trap::set();
    let bad = Trap::at("127.0.0.2", good.port);
    let hosts = tempfile::NamedTempFile::new().unwrap();
    let point = |at: &str| std::fs::write(hosts.path(), at).unwrap();
    point("127.0.0.1 rebind.test\n");
    let Some(pod) = pod_with_hosts(&deployment, hosts.path(), &[(LOOPBACK.0, "127.0.0.1")]) else {
        println!("skipped: no mount namespace for this user");
        return;
    };
    deployment.pods.push(pod);
    let url = format!("http://rebind.test:{}/", good.port);
    let id = deployment.subscribe(&url, |_| {}).await;
    deployment.publish(1).await;
    deployment.settled().await;
    assert_eq!(good.sprung(), 1);

    point("127.0.0.2 rebind.test\n");
    deployment.publish(2).await;
    deployment.parked(2).await;
    let error = refused(&deployment, &id).await;
    assert!(error.starts_with("blocked: 127.0.0.2 is a loopback address"), "{error}");

    // Several addresses: only what is allowed is used.
    point("127.0.0.2 rebind.test\n127.0.0.1 rebind.test\n");
    deployment.settled().await;
    assert_eq!((good.sprung(), bad.sprung()), (3, 0));
    deployment.pods[0].sigkill();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn holdfasts_own_listeners_get_no_events() {
    let mut deployment = Deployment::start(0, &[]).await;
    let [intake, admin] = free_ports();
    let (intake, admin) = (format!("127.0.0.1:{intake}"), format!("127.0.0.1:{admin}"));
    let listen = [
        ("HOLDFAST_INTAKE__LISTEN", intake.as_str()),
        ("HOLDFAST_ADMIN__LISTEN", &admin),
    ];
    deployment.add_pod(&listen).await;
    let mut ids = Vec::new();
    for url in [format!("http://{intake}/events/loop"), format!("http://{admin}/")] {
        ids.push(deployment.subscribe(&url, |_| {}).await);
    }
    deployment.publish(1).await;
    deployment.parked(2).await;
    for id in ids {
        let error = refused(&deployment, &id).await;
        assert!(error.contains("is a listener of Holdfast itself"), "{error}");
    }
    assert_eq!(deployment.snapshot().await.ledger.settled, 1, "no event came back in");
}

/// A redirect to a refused place is not followed, whatever its status; nor is one to an allowed place.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_redirect_is_followed() {
    let deployment = Deployment::start(1, &[LOOPBACK]).await;
    let trap = Trap::set();
    let target = format!("http://127.0.0.1:{}/", trap.port);
    let mut ids = Vec::new();
    for status in [301, 302, 303, 307, 308] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let answer =
            format!("HTTP/1.1 {status} Moved\r\nlocation: {target}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let _request = stream.read(&mut [0; 4096]);
                let _answer = stream.write_all(answer.as_bytes());
            }
        });
        ids.push((status, deployment.subscribe(&url, |_| {}).await));
    }
    deployment.publish(1).await;
    for (status, id) in ids {
        wait_until("it was sent more than once", SOON, async || {
            deployment.census(&id).await.attempts >= 2
        })
        .await;
        assert_eq!(deployment.census(&id).await.error, format!("HTTP {status}"));
    }
    assert_eq!(trap.sprung(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_blocked_is_counted_and_said_at_the_test() {
    let mut deployment = Deployment::start(0, &[]).await;
    let subscriber = Subscriber::start(|_| Reply::Status(200)).await;
    let id = deployment.subscribe(&subscriber.url(), |_| {}).await;
    let admin = free_port();
    let listen = format!("127.0.0.1:{admin}");
    deployment
        .add_pod(&[NOTHING, ("HOLDFAST_ADMIN__LISTEN", &listen)])
        .await;
    deployment.publish(1).await;
    refused(&deployment, &id).await;
    let metrics = reqwest::get(format!("http://{listen}/metrics"))
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    let counted = |name: &str| -> f64 {
        let line = metrics.lines().find(|line| line.starts_with(name)).unwrap();
        line.rsplit(' ').next().unwrap().parse().unwrap()
    };
    assert!(counted("holdfast_destination_blocked_total") >= 2.0);
    assert!(metrics.contains(r#"reason="blocked""#));
    let output = Command::new(env!("CARGO_BIN_EXE_holdfast"))
        .args(["subscriptions", "test", id.as_str()])
        .env("HOLDFAST_REDIS__URL", deployment.redis.url())
        .env_remove(LOOPBACK.0)
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("FAIL  guard") && said.contains("HOLDFAST_DESTINATIONS__ALLOW"),
        "{said}"
    );
    assert_eq!(subscriber.seen().len(), 0);
}
