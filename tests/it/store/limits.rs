//! What must go on when Redis is full, was flushed, or had a key replaced by something else.

use holdfast::domain::ids::SubscriptionId;
use holdfast::domain::subscription::{State, Subscription};
use holdfast::store::circuits::Wake;
use holdfast::store::dead_letters::Replayed;
use holdfast::store::drain::{Finished, RefusedAs};
use holdfast::store::events::Stream;
use holdfast::store::settle::{Settlement, Verdict};
use holdfast::store::workers::Claim;
use rstest::rstest;

use super::{Bench, LONG, NOW, due, failure, id, names, outcome, settlement};
use crate::support::TestRedis;

fn subscription(id: SubscriptionId) -> Subscription {
    let destination = "http://127.0.0.1:9/".parse().unwrap();
    Subscription::new(id, destination, "2026-11-23T04:00:00Z".to_owned())
}

fn used(bench: &Bench) -> u64 {
    let info = bench.redis.cli(&["INFO", "memory"]);
    let line = info.lines().find_map(|line| line.strip_prefix("used_memory:")).unwrap();
    line.trim().parse().unwrap()
}

#[tokio::test]
async fn a_full_redis_refuses_events_and_goes_on_with_what_is_in() {
    let bench = Bench::start().await;
    let partition = &bench.partition;
    bench.store.add_subscription(subscription(id("a"))).await.unwrap();
    bench.put("a", Verdict::Behind, NOW, 6).await;
    let members: Vec<_> = bench.put("a", Verdict::GivenUp, NOW, 2).await;
    let (direct, dead) = (bench.publish("direct").await, bench.publish("at a dead worker").await);
    bench.read("w1", Stream::Events).await;
    bench.publish("not read yet").await;
    partition.leave("w0").await.unwrap();
    bench.redis.config_set("maxmemory", &used(&bench).to_string());

    let error = partition
        .publish(&super::frame(&"x".repeat(100_000)))
        .await
        .unwrap_err();
    assert!(error.is_memory_limit(), "{error}");
    partition.ensure_groups().await.unwrap();
    assert!(
        partition
            .heartbeat("w1")
            .await
            .unwrap()
            .iter()
            .any(|(_, beat)| *beat > 0.0)
    );
    partition.mark_alone("w1", direct).await.unwrap();
    let parks = settlement(
        direct,
        vec![
            outcome("b", Verdict::Unavailable, NOW),
            outcome("c", Verdict::Behind, NOW),
        ],
    );
    assert_eq!(bench.settle("w1", &[parks]).await.won, [true]);
    assert_eq!(bench.read("w2", Stream::Events).await.len(), 1, "reading goes on");
    partition.leave("w1").await.unwrap();
    let claimed = partition.claim("w2", "w1", 0.0, LONG, 9).await.unwrap();
    assert!(matches!(claimed, Claim::Claimed { entries, .. } if entries[0].1.id == dead));

    let letters = partition.dead_letters(None, 9).await.unwrap();
    assert_eq!(letters[0].event, Some(members[0].0));
    assert_eq!(partition.replay(letters[0].id).await.unwrap(), Replayed::Replayed);
    assert_eq!(partition.purge(&[letters[1].id]).await.unwrap(), 1);

    assert!(partition.reinject().await.unwrap().lateness.len() >= 2);
    let taken = bench.read("w1", Stream::Redeliveries).await;
    let drain = |name: &str| {
        let all = taken.iter().map(|entry| super::redelivery(entry, "w1"));
        all.into_iter()
            .find(|redelivery| redelivery.subscription == id(name))
            .unwrap()
    };
    let redelivery = drain("a");
    let parked = names(&due(bench.fetch(&redelivery, &[]).await));
    assert_eq!(partition.delivered(&redelivery, &parked[..4]).await.unwrap().left, 4);
    assert_eq!(bench.refuse(&redelivery, parked[4], LONG).await.0, RefusedAs::Due);
    assert!(partition.bury(&redelivery, parked[5], "x", "y").await.unwrap());
    assert!(!bench.fail(&redelivery, failure(parked[6], NOW, None)).await.lost);
    partition.leave_drain(&drain("b")).await.unwrap();
    let c = drain("c");
    partition
        .delivered(&c, &names(&due(bench.fetch(&c, &[]).await)))
        .await
        .unwrap();
    assert_eq!(partition.finish(&c).await.unwrap(), Finished::Done);
    partition.audit(&[id("a"), id("b"), id("c")], |_| LONG).await.unwrap();
    assert!(partition.wake(&id("a"), Wake::Fresh).await.unwrap().reinjected);

    let suspended = State::Suspended {
        reason: "full".to_owned(),
        since: "2026-11-23T04:00:00Z".to_owned(),
    };
    bench.store.set_state(&id("a"), suspended).await.unwrap();
    bench.store.set_state(&id("a"), State::Enabled).await.unwrap();
    bench.store.add_subscription(subscription(id("d"))).await.unwrap();
    assert!(bench.store.remove_subscription(&id("a")).await.unwrap());
    partition.sweep_tombstones(0).await.unwrap();
    bench.sound(&["a", "b", "c", "d"]).await;
    let error = partition
        .publish(&super::frame(&"x".repeat(100_000)))
        .await
        .unwrap_err();
    assert!(error.is_memory_limit(), "still full: {error}");
}

#[tokio::test]
async fn a_full_redis_takes_a_rejected_event_and_gives_it_back() {
    let bench = Bench::start().await;
    let event = bench.publish("garbage").await;
    bench.read("w1", Stream::Events).await;
    bench.redis.config_set("maxmemory", "1");
    let rejected = Settlement {
        rejected: Some("not JSON".to_owned()),
        ..settlement(event, Vec::new())
    };
    bench.settle("w1", &[rejected]).await;
    let letter = bench.partition.dead_letters(None, 1).await.unwrap().remove(0);
    assert_eq!(bench.partition.replay(letter.id).await.unwrap(), Replayed::Replayed);
    assert_eq!(bench.read("w1", Stream::Events).await.len(), 1);
}

#[tokio::test]
async fn a_missing_group_is_made_again_in_a_full_redis() {
    let bench = Bench::start().await;
    bench.publish("one").await;
    // Before it is full: Redis 6.2 refuses this then.
    for stream in ["events", "redeliveries"] {
        let _: i64 = bench.raw(&["XGROUP", "DESTROY", &bench.key(stream), "workers"]).await;
    }
    bench.redis.config_set("maxmemory", "1");
    bench.partition.ensure_groups().await.unwrap();
    assert_eq!(bench.read("w1", Stream::Events).await.len(), 1, "from the first entry");
}

#[tokio::test]
async fn a_flushed_script_cache_goes_unnoticed() {
    let bench = Bench::start().await;
    bench.put("a", Verdict::Behind, NOW, 1).await;
    for _ in 0..2 {
        assert_eq!(bench.redis.cli(&["SCRIPT", "FLUSH"]), "OK");
        bench.partition.reinject().await.unwrap();
        bench.store.add_subscription(subscription(id("b"))).await.ok();
    }
    assert_eq!(bench.sound(&["a"]).await.redeliveries.len(), 1);
}

#[tokio::test]
async fn after_a_flush_the_groups_are_made_again() {
    let bench = Bench::start().await;
    bench.put("a", Verdict::Behind, NOW, 1).await;
    let redelivery = bench.take("w1").await;
    let reader = bench.partition.reader(Stream::Events, "w1").await.unwrap();
    assert_eq!(bench.redis.cli(&["FLUSHALL"]), "OK");

    let block = std::time::Duration::from_millis(1);
    assert!(reader.read(1, block).await.unwrap_err().is_no_group());
    assert!(bench.partition.finish(&redelivery).await.unwrap_err().is_no_group());
    let members = [holdfast::domain::ids::Member(redelivery.id)];
    assert!(
        bench
            .partition
            .delivered(&redelivery, &members)
            .await
            .unwrap_err()
            .is_no_group()
    );
    assert!(
        bench
            .partition
            .claim("w2", "w1", -1.0, LONG, 1)
            .await
            .is_ok_and(|claim| matches!(claim, Claim::Watch))
    );
    bench.publish("after").await;
    assert!(reader.read(1, block).await.unwrap_err().is_no_group());
    bench.partition.ensure_groups().await.unwrap();
    assert_eq!(reader.read(1, block).await.unwrap().len(), 1, "from the first entry");
    assert_eq!(bench.partition.finish(&redelivery).await.unwrap(), Finished::Lost);
    bench.sound(&["a"]).await;
}

/// Each key in turn is replaced by a string; what would write it fails before it changes anything.
#[rstest]
#[case("retry:a")]
#[case("tries:a")]
#[case("circuit:a")]
#[case("bodies")]
#[case("refs")]
#[case("ledger")]
#[case("wakeups")]
#[case("behind")]
#[case("removed")]
#[case("dead")]
#[case("redeliveries")]
#[tokio::test]
async fn a_key_of_the_wrong_type_fails_clearly_and_changes_nothing(#[case] name: &str) {
    let bench = Bench::start().await;
    let event = bench.publish("one").await;
    bench.read("w1", Stream::Events).await;
    let key = bench.key(name);
    let _: i64 = bench.raw(&["DEL", &key]).await;
    let _: String = bench.raw(&["SET", &key, "oops"]).await;
    for verdict in [
        Verdict::Delivered,
        Verdict::Unavailable,
        Verdict::Refused,
        Verdict::GivenUp,
    ] {
        let settlement = settlement(
            event,
            vec![outcome("b", Verdict::Behind, NOW), outcome("a", verdict, NOW)],
        );
        let error = bench
            .partition
            .settle("w1", super::LIMITS, &[settlement])
            .await
            .unwrap_err();
        let text = error.to_string();
        assert!(text.contains(&format!("{key} is a string, not a")), "{text}");
    }
    let rest: Vec<String> = bench.raw(&["KEYS", "*"]).await;
    let expected = [
        bench.key("events"),
        bench.key("redeliveries"),
        key,
        "holdfast:partitions".to_owned(),
    ];
    assert!(rest.iter().all(|found| expected.contains(found)), "{rest:?}");
    assert!(bench.partition.owns(Stream::Events, event, "w1").await.unwrap());
}

#[tokio::test]
async fn a_total_that_a_hand_spoilt_stops_nothing() {
    let bench = Bench::start().await;
    let key = bench.key("ledger");
    for name in ["wanted", "parked", "behind_version"] {
        let _: i64 = bench.raw(&["HSET", &key, name, "oops"]).await;
    }
    let _: i64 = bench
        .raw(&[
            "HSET",
            &bench.key("circuit:a"),
            "not_before",
            "oops",
            "failures",
            "oops",
        ])
        .await;
    let members = bench.put("a", Verdict::Unavailable, NOW, 2).await;
    let redelivery = bench.take("w1").await;
    bench.fail(&redelivery, failure(members[0], NOW, Some(500))).await;
    let redelivery = bench.take("w1").await;
    bench.partition.delivered(&redelivery, &members).await.unwrap();
    assert_eq!(bench.partition.finish(&redelivery).await.unwrap(), Finished::Done);
}

#[rstest]
#[case("hget")]
#[case("hmget")]
#[case("sismember")]
#[case("xpending")]
#[case("zcard")]
#[case("zrange")]
#[case("zrangebyscore")]
#[case("zscore")]
#[tokio::test]
async fn a_permission_to_read_that_is_taken_away_loses_nothing(#[case] command: &str) {
    let bench = Bench::start().await;
    if bench.redis.cli(&["EVAL", "return redis.acl_check_cmd and 1 or 0", "0"]) == "0" {
        eprintln!("SKIPPED: this Redis can't be asked what a user may do");
        return;
    }
    let event = bench.publish("one").await;
    bench.read("w1", Stream::Events).await;
    let unavailable = |subscription| outcome(subscription, Verdict::Unavailable, NOW);
    let settlement = settlement(event, ["a", "b", "c"].map(unavailable).to_vec());
    bench
        .redis
        .cli(&["ACL", "SETUSER", TestRedis::user(), &format!("-{command}")]);
    let forbidden = bench
        .partition
        .settle("w1", super::LIMITS, std::slice::from_ref(&settlement));
    let error = forbidden.await.unwrap_err().to_string();
    bench
        .redis
        .cli(&["ACL", "SETUSER", TestRedis::user(), &format!("+{command}")]);
    assert!(
        error.contains(&format!("may not run {}", command.to_uppercase())),
        "{error}"
    );
    assert!(bench.partition.owns(Stream::Events, event, "w1").await.unwrap());
    assert_eq!(bench.settle("w1", &[settlement]).await.won, [true]);
    for subscription in ["a", "b", "c"] {
        assert_eq!(bench.queue(subscription).await.len(), 1);
    }
}
