//! `/` and `/status.json` as any client meets them.

use std::collections::HashSet;

use futures::future::join_all;
use holdfast::cli::sink::Mode;
use holdfast::domain::subscription::Secret;
use reqwest::{Client, Method};
use serde_json::Value;

use super::admin;
use crate::engine::harness::{Deployment, SOON};
use crate::support::{Holdfast, free_port, wait_until};

const FILES: [(&str, &str); 9] = [
    ("/", "text/html; charset=utf-8"),
    ("/page.css", "text/css; charset=utf-8"),
    ("/page.js", "text/javascript; charset=utf-8"),
    ("/parts.js", "text/javascript; charset=utf-8"),
    ("/charts.js", "text/javascript; charset=utf-8"),
    ("/dom.js", "text/javascript; charset=utf-8"),
    ("/text.js", "text/javascript; charset=utf-8"),
    ("/icon.svg", "image/svg+xml"),
    ("/status.json", "application/json"),
];

/// A signing key.
const KEY: &str = "YzRuNHJ5YzRuNHJ5YzRuNHJ5YzRuNHJ5";

async fn status(pod: &str, query: &str) -> Value {
    let answer = reqwest::get(format!("{pod}/status.json{query}")).await.unwrap();
    assert_eq!(answer.status(), 200);
    serde_json::from_str(&answer.text().await.unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_is_guarded_and_can_only_be_read() {
    let deployment = Deployment::start(1, &[]).await;
    let pod = &admin(&deployment).await;
    let client = Client::new();
    for (path, kind) in FILES {
        let url = format!("{pod}{path}");
        let answer = client.get(&url).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        let headers = answer.headers().clone();
        assert_eq!(headers["content-type"], kind);
        let policy = headers["content-security-policy"].to_str().unwrap();
        assert!(
            policy.starts_with("default-src 'none'; ") && policy.contains("frame-ancestors 'none'"),
            "{policy}"
        );
        assert!(!policy.contains("unsafe") && !policy.contains('*'), "{policy}");
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "no-referrer"),
            ("cache-control", "no-store"),
        ] {
            assert_eq!(headers[name], value, "{path}");
        }
        let text = answer.text().await.unwrap();
        if path != "/status.json" {
            let text = text
                .replace("http://www.w3.org/2000/svg", "")
                .replace("http://HOST/PATH", "");
            for word in [
                "http:",
                "https:",
                "//cdn",
                "<style",
                " style=",
                "innerHTML",
                "eval(",
                "@import",
                "url(",
            ] {
                assert!(!text.contains(word), "{path} has {word}");
            }
        }
        let head = client.head(&url).send().await.unwrap();
        assert_eq!(head.status(), 200);
        for method in [Method::POST, Method::PUT, Method::DELETE, Method::PATCH] {
            let refused = client.request(method, &url).send().await.unwrap();
            assert_eq!(refused.status(), 405, "{path}");
            assert_eq!(refused.headers()["allow"], "GET,HEAD");
            assert_eq!(refused.headers()["x-content-type-options"], "nosniff");
        }
    }
}

#[tokio::test]
async fn before_redis_answers_it_says_so() {
    let url = format!("redis://bob:c4n4ry@127.0.0.1:{}", free_port());
    let pod = Holdfast::start(&["serve"], &[("HOLDFAST_REDIS__URL", url.as_str())]);
    pod.answers("/", SOON).await;
    let answer = reqwest::get(pod.admin("/status.json")).await.unwrap();
    assert_eq!(answer.status(), 503);
    let text = answer.text().await.unwrap();
    assert!(
        text.contains(r#""code":"starting""#) && text.contains("Redis has not answered yet"),
        "{text}"
    );
    assert!(!text.contains("c4n4ry"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_of_redis_is_told_and_ends() {
    let mut deployment = Deployment::start(1, &[]).await;
    let pod = &admin(&deployment).await;
    let url = format!("{pod}/status.json");
    status(pod, "").await;
    deployment.redis.kill9();
    wait_until("the outage is told", SOON, async || {
        let answer = reqwest::get(&url).await.unwrap();
        answer.status() == 503 && answer.text().await.unwrap().contains(r#""code":"redis_away""#)
    })
    .await;
    deployment.redis.restart();
    wait_until("it answers again", SOON, async || {
        reqwest::get(&url).await.unwrap().status() == 200
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_who_look_cost_as_much_as_one() {
    let deployment = Deployment::start(1, &[]).await;
    // Each reading asks for the workers by ZRANGE; hardly anything else does here.
    let readings = || {
        let info = deployment.cli(&["INFO", "commandstats"]);
        let line = info.lines().find(|line| line.starts_with("cmdstat_zrange:"));
        line.and_then(|line| line.split(['=', ',']).nth(1)?.parse::<usize>().ok())
            .unwrap_or(0)
    };
    let pod = &admin(&deployment).await;
    let before = readings();
    let looks = join_all((0..60).map(|_| status(pod, ""))).await;
    let times: HashSet<u64> = looks.iter().map(|look| look["now_ms"].as_u64().unwrap()).collect();
    assert!(
        times.len() <= 15,
        "{} readings for {} who look",
        times.len(),
        looks.len()
    );
    assert!(readings() - before <= 15);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_worst_come_first_the_rest_is_counted_and_no_secret_is_shown() {
    let deployment = Deployment::start(1, &[]).await;
    let down = Deployment::sink(Mode::Status(500)).await;
    let idle = Deployment::sink(Mode::Ok).await;
    for n in 0..110 {
        let url = idle.url(&format!("/rack-{n}"));
        deployment
            .subscribe(&url, |it| it.filter.message_ids = vec!["Never.1.0.Sent".to_owned()])
            .await;
    }
    let url = down.url("/hook?token=c4n4ry").replace("http://", "http://bob:c4n4ry@");
    let id = deployment
        .subscribe(&url, |subscription| {
            subscription.headers = vec![("Authorization".to_owned(), Secret::new("c4n4ry"))];
            subscription.secret = Some(Secret::new(format!("whsec_{KEY}")));
        })
        .await;
    deployment.publish(3).await;
    deployment.open(&id).await;
    let pod = &admin(&deployment).await;
    wait_until("the page knows", SOON, async || {
        status(pod, "").await["states"]["unavailable"] == 1
    })
    .await;
    let all = status(pod, "").await;
    let text = all.to_string();
    assert!(!text.contains("c4n4ry") && !text.contains(KEY), "{text}");
    assert_eq!(all["subscriptions"][0]["id"], id.as_str());
    assert_eq!(
        all["subscriptions"][0]["destination"],
        format!("http://{}/hook?••••••", down.addr())
    );
    assert_eq!(
        (all["subscriptions"].as_array().unwrap().len(), &all["matching"]),
        (100, &111.into())
    );
    assert_eq!(all["states"]["delivering"], 110);
    assert!(
        all["history"].as_array().is_some_and(|points| !points.is_empty()),
        "{all}"
    );
    assert_eq!(all["workers"][0]["state"], "alive");

    let some = status(pod, "?filter=RACK-10&most=2").await;
    assert_eq!(
        (some["subscriptions"].as_array().unwrap().len(), &some["matching"]),
        (2, &11.into()),
        "{some}"
    );
    assert_eq!(status(pod, "?filter=unavailable").await["matching"], 1);
    assert_eq!(status(pod, "?filter=nowhere").await["matching"], 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_letters_and_workers_are_listed() {
    let deployment = Deployment::start(1, &[]).await;
    for n in 0..20 {
        let reason = format!("reason {n}");
        let body = "x".repeat(1_000);
        deployment.cli(&[
            "XADD",
            "holdfast:{0}:dead",
            "*",
            "subscription",
            "gone",
            "member",
            "m1795389052775-a0",
            "reason",
            &reason,
            "error",
            "HTTP 400",
            "attempts",
            "5",
            "body",
            &body,
        ]);
    }
    // A heartbeat from the future has no age, and nobody takes over from it.
    let future = 9_000_000_000_000_u64;
    deployment.cli(&["ZADD", "holdfast:{0}:workers", &future.to_string(), "w-ahead"]);
    let pod = &admin(&deployment).await;
    wait_until("the page knows", SOON, async || {
        status(pod, "").await["totals"]["dead_letters"] == 20
    })
    .await;
    let all = status(pod, "").await;
    let letters = all["dead_letters"].as_array().unwrap();
    assert_eq!(letters.len(), 10);
    assert_eq!(
        (&letters[0]["reason"], &letters[9]["reason"]),
        (&"reason 19".into(), &"reason 10".into())
    );
    assert_eq!(
        (&letters[0]["error"], &letters[0]["attempts"]),
        (&"HTTP 400".into(), &5.into())
    );
    assert!(letters[0]["destination"].is_null() && letters[0]["body"].is_null());
    assert!(letters[0]["id"].as_str().unwrap().starts_with("0/"));
    let workers = all["workers"].as_array().unwrap();
    assert!(
        workers
            .iter()
            .any(|worker| worker["name"] == "w-ahead" && worker["heartbeat_age_ms"] == 0)
    );
}
