//! The base's own files at work: a real Redis with its settings and password, Holdfast with its ConfigMap.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::manifests::{Manifests, REDIS, directory};
use crate::engine::harness::SOON;
use crate::support::{Holdfast, free_port, wait_until};

const PASSWORD: &str = "everyday";
/// Of those who look after Redis.
const ADMIN_PASSWORD: &str = "pass word \"with\" odd 'signs'";
const CONTAINER: &str = "/spec/template/spec/containers/0";

/// The StatefulSet's server on a port and a directory of the test's own, killed on drop.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _reaped = self.0.wait();
    }
}

/// The words of a command in the manifest.
fn words(manifests: &Manifests, pointer: &str) -> Vec<String> {
    let words = manifests.at(REDIS, pointer).as_array().unwrap();
    words.iter().map(|word| word.as_str().unwrap().to_owned()).collect()
}

fn serve(manifests: &Manifests, port: u16, data: &Path) -> Server {
    let settings = std::fs::read_to_string(directory().join("redis.conf")).unwrap();
    let here = settings.replace("dir /data", &format!("dir {}", data.display()));
    let config = data.join("redis.conf");
    std::fs::write(&config, here).unwrap();
    let config = config.display().to_string();
    let file = |name: &str| directory().join(name).display().to_string();
    let command: Vec<String> = words(manifests, &format!("{CONTAINER}/command"))
        .into_iter()
        .map(|word| {
            word.replace("/etc/redis/start-redis.sh", &file("start-redis.sh"))
                .replace("/etc/redis/redis.conf", &config)
        })
        .collect();
    let process = Command::new(&command[0])
        .args(&command[1..])
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
        .env("DATA", data)
        .env("RULES", file("holdfast.acl"))
        .env("REDISCLI_AUTH", ADMIN_PASSWORD)
        .env("USER_PASSWORD", PASSWORD)
        .stdout(Stdio::null())
        .spawn();
    Server(process.unwrap())
}

/// Whether the readiness probe is content with this password.
fn probe(manifests: &Manifests, port: u16, password: &str) -> bool {
    let command = words(manifests, &format!("{CONTAINER}/readinessProbe/exec/command"));
    let status = Command::new(&command[0])
        .arg(&command[1])
        .arg(command[2].replace("redis-cli", &format!("redis-cli -p {port}")))
        .env("REDISCLI_AUTH", password)
        .stderr(Stdio::null())
        .status();
    status.unwrap().success()
}

#[tokio::test]
async fn redis_and_a_worker_run_with_what_the_base_gives_them() {
    let manifests = Manifests::base();
    let data = tempfile::tempdir().unwrap();
    let port = free_port();
    let _server = serve(&manifests, port, data.path());
    wait_until("Redis is ready by its probe", SOON, async || {
        probe(&manifests, port, ADMIN_PASSWORD)
    })
    .await;
    assert!(
        !probe(&manifests, port, "wrong"),
        "the probe is content with any password"
    );

    let url = format!("redis://127.0.0.1:{port}/0");
    let tuning = manifests
        .tuning
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()));
    let environment: Vec<(&str, &str)> = tuning
        .chain([
            ("HOLDFAST_REDIS__URL", url.as_str()),
            ("HOLDFAST_REDIS__PASSWORD", PASSWORD),
            ("KUBERNETES_SERVICE_HOST", "127.0.0.1"),
        ])
        .collect();
    let worker = Holdfast::start(&["serve"], &environment);
    worker.answers("/livez", SOON).await;
    worker.answers("/readyz", SOON).await;
    // Its user may not read the configuration, and INFO does not tell the fsync.
    let durable = r#"holdfast_redis_durability_info{append_only="yes",fsync="unknown",eviction="noeviction""#;
    wait_until("the metrics tell a durable Redis", SOON, async || {
        let answer = reqwest::get(worker.admin("/metrics")).await.unwrap();
        answer.text().await.unwrap().contains(durable)
    })
    .await;
    let log = worker.stderr();
    assert!(!log.contains("durability:"), "{log}");
}
