//! Which pods stay ready while Redis is away: not one that alone is cut off, and all of them where nobody reaches it.

use reqwest::Response;
use serde_json::Value;

use super::harness::{SOON, event};
use crate::support::{Holdfast, Proxy, TestRedis, free_ports, wait_until};

/// A pod and where it says how it is.
struct Pod {
    process: Holdfast,
    admin: String,
}

impl Pod {
    fn start(role: &str, redis: &str, admin: &str, peers: &str) -> Self {
        let environment = [
            ("HOLDFAST_REDIS__URL", redis),
            ("HOLDFAST_REDIS__COMMAND_TIMEOUT", "2s"),
            ("HOLDFAST_INTAKE__WAIT", "1s"),
            ("HOLDFAST_SERVE__ROLE", role),
            ("HOLDFAST_ADMIN__LISTEN", admin),
            ("HOLDFAST_ADMIN__PEERS", peers),
        ];
        Self {
            process: Holdfast::start(&["serve"], &environment),
            admin: admin.to_owned(),
        }
    }

    async fn asked(&self, path: &str) -> Option<(u16, Value)> {
        let answer = reqwest::get(format!("http://{}/{path}", self.admin)).await.ok()?;
        let status = answer.status().as_u16();
        Some((status, serde_json::from_str(&answer.text().await.ok()?).ok()?))
    }

    /// Waits until `/readyz` answers so, with these words for a reason; none where they are empty.
    async fn is(&self, status: u16, words: &str) {
        wait_until(
            &format!("{} answers {status} {words:?}", self.admin),
            SOON,
            async || {
                let Some((found, body)) = self.asked("readyz").await else {
                    return false;
                };
                let reason = body["reason"].as_str().unwrap_or_default();
                found == status && reason.contains(words) && reason.is_empty() == words.is_empty()
            },
        )
        .await;
    }

    async fn post(&self) -> Response {
        let request = reqwest::Client::new().post(self.process.intake("/events/bmc-1"));
        request.body(event(0)).send().await.unwrap()
    }

    async fn refuses(&self) {
        let answer = self.post().await;
        assert_eq!(answer.status(), 503);
        assert!(answer.headers().contains_key("retry-after"), "{answer:?}");
    }
}

const NOBODY: &str = "nor does another pod take events in";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_that_alone_is_cut_off_leaves_and_all_of_them_stay() {
    let mut redis = TestRedis::start();
    let proxy = Proxy::to(redis.port()).await;
    let places = free_ports::<3>().map(|port| format!("127.0.0.1:{port}"));
    let peers = places.join(", ");
    let cut_off = Pod::start("api", &proxy.url(), &places[0], &peers);
    let well = Pod::start("api", &redis.url(), &places[1], &peers);
    let worker = Pod::start("worker", &redis.url(), &places[2], &peers);
    for pod in [&cut_off, &well, &worker] {
        pod.is(200, "").await;
    }
    assert_eq!(cut_off.asked("intakez").await.unwrap().0, 200);
    assert_eq!(worker.asked("intakez").await.unwrap().0, 503, "it takes nothing in");

    proxy.refuse(true);
    proxy.reset();
    cut_off.is(503, "Redis").await;
    well.is(200, "").await;

    redis.kill9();
    for pod in [&cut_off, &well] {
        pod.is(200, NOBODY).await;
        pod.refuses().await;
    }
    worker.is(503, "Redis").await;

    redis.restart();
    // One that hangs is away as well.
    redis.pause();
    well.is(200, NOBODY).await;
    redis.resume();
    well.is(200, "").await;
    cut_off.is(503, "Redis").await;
    proxy.refuse(false);
    cut_off.is(200, "").await;
    assert_eq!(cut_off.post().await.status(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_that_hears_nobody_leaves_and_the_only_one_stays() {
    let redis = TestRedis::start();
    let [lonely, only, nobody] = free_ports::<3>().map(|port| format!("127.0.0.1:{port}"));
    let lonely = Pod::start("api", &redis.url(), &lonely, &format!("{lonely},{nobody}"));
    let only = Pod::start("api", &redis.url(), &only, &only);
    for pod in [&lonely, &only] {
        pod.is(200, "").await;
    }
    redis.pause();
    lonely.is(503, "Redis").await;
    only.is(200, NOBODY).await;
    only.refuses().await;
    redis.resume();
    for pod in [&lonely, &only] {
        pod.is(200, "").await;
    }
}
