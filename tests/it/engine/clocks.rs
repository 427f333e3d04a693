//! Time comes from Redis: pods with wrong clocks and events with strange ids do no harm.

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use holdfast::cli::sink::Mode;

use super::harness::{Deployment, EVENTS, SOON, accepted, event};
use crate::support::wait_until;

/// Where libfaketime is, when it is installed.
pub(crate) fn libfaketime() -> Option<PathBuf> {
    let mut directories = vec![PathBuf::from("/usr/lib/faketime"), PathBuf::from("/usr/lib64/faketime")];
    directories.extend(
        std::fs::read_dir("/usr/lib")
            .ok()?
            .flatten()
            .map(|entry| entry.path().join("faketime")),
    );
    directories
        .into_iter()
        .map(|directory| directory.join("libfaketime.so.1"))
        .find(|file| file.exists())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_whose_clock_is_an_hour_off_does_no_harm() {
    let Some(library) = libfaketime() else {
        eprintln!("SKIPPED: libfaketime is not installed (Debian: apt-get install faketime)");
        return;
    };
    let library = library.to_str().unwrap();
    for offset in ["+1h", "-1h"] {
        let mut deployment = Deployment::start(1, &[]).await;
        let wrong = [
            ("LD_PRELOAD", library),
            ("FAKETIME", offset),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ];
        deployment.add_pod(&wrong).await;
        let sink = Deployment::sink(Mode::Ok).await;
        let id = deployment.subscribe(&sink.url("/events"), |_| {}).await;
        wait_until("both have sent something", SOON, async || {
            deployment.publish(20).await;
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
            let wrong = |sent: u64| now.abs_diff(sent) > 3_000;
            let stamps: Vec<u64> = sink
                .deliveries()
                .iter()
                .map(|delivery| delivery.headers["webhook-timestamp"].to_str().unwrap().parse().unwrap())
                .collect();
            stamps.iter().any(|sent| wrong(*sent)) && stamps.iter().any(|sent| !wrong(*sent))
        })
        .await;
        deployment.settled().await;
        sink.set_mode(Mode::Status(503)).await;
        deployment.publish(50).await;
        deployment.parked(50).await;
        let asked = sink.counts().requests;
        wait_until("it is probed", SOON, async || sink.counts().requests >= asked + 5).await;
        sink.set_mode(Mode::Ok).await;
        deployment.settled().await;
        assert_eq!(deployment.snapshot().await.workers, 2);
        assert!(deployment.pods.iter().all(|pod| !pod.stderr().contains("took over")));
        // The one with the wrong clock takes over from the other.
        sink.set_mode(Mode::Status(503)).await;
        deployment.publish(50).await;
        deployment.pods[0].sigkill();
        sink.set_mode(Mode::Ok).await;
        deployment.settled().await;
        deployment.expect_all_at(&id, &sink);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_id_far_in_the_future_does_no_harm() {
    let deployment = Deployment::start(1, &[]).await;
    let sink = Deployment::sink(Mode::Status(503)).await;
    let id = deployment.subscribe(&sink.url("/events"), |_| {}).await;
    let far = deployment.cli(&["XADD", EVENTS, "99999999999999-7", "event", &event(0)]);
    deployment.written(&far);
    let later = deployment.publish(50).await;
    assert!(later[0].millis > 90_000_000_000_000, "Redis goes on from there");
    deployment.parked(51).await;
    sink.set_mode(Mode::Ok).await;
    deployment.settled().await;
    deployment.publish(10).await;
    deployment.settled().await;
    assert_eq!(deployment.expect_all_at(&id, &sink), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_events_of_one_millisecond_keep_their_order() {
    let deployment = Deployment::start(1, &[]).await;
    let sink = Deployment::sink(Mode::Ok).await;
    let id = deployment
        .subscribe(&sink.url("/events"), |subscription| {
            subscription.max_in_flight = Some(1)
        })
        .await;
    deployment.suspend(&id).await;
    // From here on every id has this millisecond.
    let first = deployment.cli(&["XADD", EVENTS, "99999999999999-0", "event", &event(0)]);
    deployment.written(&first);
    let ids = deployment.publish(999).await;
    assert!(ids.iter().all(|id| id.millis == 99_999_999_999_999));
    deployment.parked(1_000).await;
    deployment.resume(&id).await;
    deployment.settled().await;
    assert_eq!(deployment.expect_all_at(&id, &sink), 0);
    let sequence: Vec<u64> = accepted(&sink).iter().map(|delivery| delivery.event.sequence).collect();
    assert!(sequence.is_sorted(), "{sequence:?}");
}

/// Redis' clock was an hour ahead for a while, as after a failover to a server that was set wrong.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wake_ups_of_a_clock_that_was_ahead_are_brought_back() {
    let far = [
        ("HOLDFAST_RETRY__DELAY", "20m"),
        ("HOLDFAST_RETRY__MAX_DELAY", "20m"),
        ("HOLDFAST_WORKER__AUDIT", "200ms"),
    ];
    let deployment = Deployment::start(1, &far).await;
    let sink = Deployment::sink(Mode::Status(503)).await;
    let id = deployment.subscribe(&sink.url("/events"), |_| {}).await;
    deployment.publish(3).await;
    deployment.parked(3).await;
    let due = deployment.census(&id).await.next_wakeup_ms.unwrap();
    sink.set_mode(Mode::Ok).await;
    let ahead = (due + 3_600_000).to_string();
    let member = deployment.cli(&["ZRANGE", &format!("holdfast:{{0}}:retry:{id}"), "0", "0"]);
    deployment.cli(&["ZADD", &format!("holdfast:{{0}}:retry:{id}"), &ahead, &member]);
    deployment.cli(&["HSET", &format!("holdfast:{{0}}:circuit:{id}"), "not_before", &ahead]);
    deployment.cli(&["ZADD", "holdfast:{0}:wakeups", &ahead, id.as_str()]);
    deployment.settled().await;
    assert_eq!(deployment.expect_all_at(&id, &sink), 0);
}
