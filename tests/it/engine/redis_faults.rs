//! Redis that dies, forgets, freezes or is full: workers go on for ever, lose nothing and rob nobody.

use std::time::Duration;

use holdfast::cli::sink::Mode;

use super::harness::{DEAD_AFTER, Deployment, EVENTS, REDELIVERIES, SOON, event};
use super::subscriber::{Reply, Subscriber};
use crate::support::{Holdfast, Proxy, wait_until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_and_restarted_under_load() {
    let mut deployment = Deployment::start(2, &[]).await;
    let sink = Deployment::sink(Mode::Ok).await;
    let id = deployment.subscribe(&sink.url("/events"), |_| {}).await;
    for round in 0..3 {
        deployment.publish(600).await;
        wait_until("some of it is delivered", SOON, async || {
            sink.counts().distinct > round * 600 + 50
        })
        .await;
        deployment.redis.restart();
        wait_until("the test is connected again", SOON, async || {
            deployment.partition().snapshot(DEAD_AFTER).await.is_ok()
        })
        .await;
    }
    deployment.settled().await;
    deployment.expect_all_at(&id, &sink);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scripts_forgotten_under_load() {
    let deployment = Deployment::start(2, &[]).await;
    let sink = Deployment::sink(Mode::Ok).await;
    let id = deployment.subscribe(&sink.url("/events"), |_| {}).await;
    for _ in 0..10 {
        deployment.publish(100).await;
        assert_eq!(deployment.cli(&["SCRIPT", "FLUSH"]), "OK");
    }
    deployment.settled().await;
    assert_eq!(deployment.expect_all_at(&id, &sink), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn groups_destroyed_under_load() {
    let deployment = Deployment::start(2, &[]).await;
    let (well, ill) = (
        Deployment::sink(Mode::Ok).await,
        Deployment::sink(Mode::Status(503)).await,
    );
    let healthy = deployment.subscribe(&well.url("/events"), |_| {}).await;
    let dead = deployment.subscribe(&ill.url("/events"), |_| {}).await;
    for _ in 0..5 {
        deployment.publish(100).await;
        deployment.cli(&["XGROUP", "DESTROY", EVENTS, "workers"]);
        deployment.cli(&["XGROUP", "DESTROY", REDELIVERIES, "workers"]);
    }
    ill.set_mode(Mode::Ok).await;
    deployment.settled().await;
    deployment.expect_all_at(&healthy, &well);
    deployment.expect_all_at(&dead, &ill);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flushed_it_serves_what_comes_after() {
    let deployment = Deployment::start(2, &[]).await;
    let (before, after) = (
        Deployment::sink(Mode::Status(503)).await,
        Deployment::sink(Mode::Ok).await,
    );
    deployment.subscribe(&before.url("/before"), |_| {}).await;
    deployment.publish(50).await;
    deployment.parked(50).await;
    // As when it happens between two looks at the subscriptions.
    deployment.pods.iter().for_each(Holdfast::sigstop);
    assert_eq!(deployment.cli(&["FLUSHALL"]), "OK");
    // As many subscriptions as before, so that a version that starts anew would look unchanged.
    let mut subscription = holdfast::domain::subscription::Subscription::new(
        "after".parse().unwrap(),
        after.url("/after").parse().unwrap(),
        "2026-01-01T00:00:00Z".to_owned(),
    );
    subscription.max_in_flight = Some(4);
    deployment.store.add_subscription(subscription).await.unwrap();
    deployment.pods.iter().for_each(Holdfast::sigcont);
    wait_until("what is new is delivered", SOON, async || {
        deployment.write(event(0)).await;
        after.counts().distinct >= 20
    })
    .await;
    deployment.settled().await;
    assert_eq!(deployment.snapshot().await.workers, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_longer_than_dead_after_robs_nobody() {
    let deployment = Deployment::start(3, &[("HOLDFAST_DELIVERY__DIRECT_WAIT", "1h")]).await;
    let subscriber = Subscriber::start(|_| Reply::Hold).await;
    let id = deployment.subscribe(&subscriber.url(), |_| {}).await;
    deployment.publish(40).await;
    wait_until("requests are in flight", SOON, async || subscriber.in_flight() >= 1).await;
    deployment.redis.pause();
    tokio::time::sleep(2 * DEAD_AFTER).await;
    deployment.redis.resume();
    wait_until("everybody has a fresh heartbeat", SOON, async || {
        deployment
            .partition()
            .snapshot(DEAD_AFTER / 2)
            .await
            .is_ok_and(|now| now.workers == 3)
    })
    .await;
    // Long enough for a takeover, were there a reason.
    tokio::time::sleep(2 * DEAD_AFTER).await;
    subscriber.open();
    deployment.settled().await;
    assert_eq!(deployment.expect_all(&id, &subscriber.accepted()), 0);
    assert_eq!(subscriber.count(), 40, "each was sent once");
    assert!(deployment.pods.iter().all(|pod| !pod.stderr().contains("took over")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_reply_of_a_read_wedges_nothing() {
    let mut deployment = Deployment::start(0, &[]).await;
    let proxy = Proxy::to(deployment.redis.port()).await;
    let pod = deployment.add_pod(&[("HOLDFAST_REDIS__URL", &proxy.url())]).await;
    let sink = Deployment::sink(Mode::Ok).await;
    let id = deployment.subscribe(&sink.url("/events"), |_| {}).await;
    wait_until("entries were handed out and lost", SOON, async || {
        proxy.swallow_reply("XREADGROUP", 0);
        deployment.publish(50).await;
        deployment.pods[pod].stderr().contains("had lost sight of")
    })
    .await;
    proxy.swallow_reply("nothing at all", 0);
    deployment.settled().await;
    deployment.expect_all_at(&id, &sink);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_replies_of_settlements_and_drains_count_nothing_twice() {
    let mut deployment = Deployment::start(0, &[]).await;
    let proxy = Proxy::to(deployment.redis.port()).await;
    deployment.add_pod(&[("HOLDFAST_REDIS__URL", &proxy.url())]).await;
    let sink = Deployment::sink(Mode::Ok).await;
    let id = deployment.subscribe(&sink.url("/events"), |_| {}).await;
    for round in 0..12 {
        let mode = if round % 2 == 0 { Mode::Ok } else { Mode::Status(503) };
        sink.set_mode(mode).await;
        proxy.swallow_reply("EVALSHA", 2 * round);
        deployment.publish(50).await;
        wait_until("a reply was lost", SOON, async || proxy.swallowed() > 0).await;
    }
    sink.set_mode(Mode::Ok).await;
    deployment.settled().await;
    assert_eq!(deployment.ledger().await.delivered, 600);
    deployment.expect_all_at(&id, &sink);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_its_memory_limit_what_is_in_keeps_moving() {
    let deployment = Deployment::start(2, &[]).await;
    let (ill, well) = (
        Deployment::sink(Mode::Status(503)).await,
        Subscriber::start(|_| Reply::Hold).await,
    );
    let dead = deployment.subscribe(&ill.url("/events"), |_| {}).await;
    let slow = deployment.subscribe(&well.url(), |_| {}).await;
    let doomed = deployment.subscribe(&ill.url("/doomed"), |_| {}).await;
    deployment.publish(100).await;
    deployment.open(&dead).await;
    wait_until("requests are in flight", SOON, async || well.in_flight() >= 1).await;

    deployment.redis.config_set("maxmemory", "1mb");
    assert!(deployment.write(event(0)).await.is_none(), "no event is taken in");
    let probes = ill.counts().requests;
    wait_until("probes go on", SOON, async || ill.counts().requests >= probes + 4).await;
    deployment.pods[0].sigkill();
    well.open();
    wait_until("what the dead pod held is taken over and parked", SOON, async || {
        deployment.snapshot().await.events == 0
    })
    .await;
    assert!(deployment.store.remove_subscription(&doomed).await.unwrap());
    deployment.suspend(&dead).await;
    deployment.resume(&dead).await;
    ill.set_mode(Mode::Ok).await;
    deployment.settled().await;
    deployment.expect_all_at(&dead, &ill);
    deployment.expect_all(&slow, &well.accepted());
    assert!(
        deployment.write(event(0)).await.is_none(),
        "the limit was in force all the time"
    );
    assert_eq!(deployment.ledger().await.dropped, 100);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pods_start_before_redis_does() {
    let mut deployment = Deployment::start(1, &[]).await;
    let sink = Deployment::sink(Mode::Ok).await;
    let id = deployment.subscribe(&sink.url("/events"), |_| {}).await;
    deployment.publish(10).await;
    deployment.settled().await;
    deployment.redis.kill9();
    let (pod, url) = (deployment.pods.remove(0), deployment.redis.url());
    drop(pod);
    let waiting = Holdfast::start(&["serve"], &[("HOLDFAST_REDIS__URL", &url)]);
    wait_until("it says what it waits for", SOON, async || {
        waiting.stderr().contains("waiting for Redis")
    })
    .await;
    deployment.redis.restart();
    wait_until("the test is connected again", Duration::from_secs(60), async || {
        deployment.partition().snapshot(DEAD_AFTER).await.is_ok()
    })
    .await;
    deployment.publish(10).await;
    deployment.settled().await;
    assert_eq!(deployment.expect_all_at(&id, &sink), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_permission_that_is_taken_away_loses_nothing() {
    let mut deployment = Deployment::start(0, &[]).await;
    if deployment.cli(&["EVAL", "return redis.acl_check_cmd and 1 or 0", "0"]) == "0" {
        eprintln!("SKIPPED: this Redis can't be asked what a user may do");
        return;
    }
    deployment.cli(&["ACL", "SETUSER", "limited", "on", ">word", "~*", "&*", "+@all"]);
    let user = [
        ("HOLDFAST_REDIS__USERNAME", "limited"),
        ("HOLDFAST_REDIS__PASSWORD", "word"),
    ];
    deployment.add_pod(&user).await;
    let sink = Deployment::sink(Mode::Status(503)).await;
    let id = deployment.subscribe(&sink.url("/events"), |_| {}).await;
    for (round, command) in ["zadd", "hset", "hsetnx", "hincrby", "sadd", "xadd"].iter().enumerate() {
        deployment.cli(&["ACL", "SETUSER", "limited", &format!("-{command}")]);
        deployment.publish(20).await;
        wait_until("it says what is forbidden", SOON, async || {
            let forbidden = format!("may not run {}", command.to_uppercase());
            deployment.pods[0].stderr().contains(&forbidden)
        })
        .await;
        deployment.cli(&["ACL", "SETUSER", "limited", &format!("+{command}")]);
        deployment.parked(20 * (round + 1)).await;
    }
    sink.set_mode(Mode::Ok).await;
    deployment.settled().await;
    assert_eq!(deployment.expect_all_at(&id, &sink), 0);
}
