//! What operators do: wipe, delete, rotate, forbid, change their minds.

use std::time::Duration;

use holdfast::cli::sink::Mode;
use holdfast::domain::units::Period;

use crate::producer::marks;
use crate::stage::{EVENTS, SOON, Stage, Wish};
use crate::support::wait_until;

const A_WHILE: Duration = Duration::from_secs(3);

/// 24: everything in Redis is wiped; the operator is told, and makes the subscriptions again.
pub(crate) async fn flushed(stage: &mut Stage) {
    assert_eq!(stage.redis().cli(&["FLUSHALL"]), "OK");
    stage.said("the consumer group was gone").await;
    stage.rejoin().await;
}

/// 28: entries are deleted that no worker has read yet.
pub(crate) async fn unread_deleted(stage: &mut Stage) {
    stage.pods.iter().for_each(|pod| pod.process.sigstop());
    stage.producer.write(10).await;
    let newest = stage.redis().cli(&["XREVRANGE", EVENTS, "+", "-", "COUNT", "5"]);
    let ids: Vec<&str> = newest.lines().filter(|line| crate::trail::is_stream_id(line)).collect();
    let deleted = stage.redis().cli(&[&["XDEL", EVENTS], ids.as_slice()].concat());
    assert_eq!(deleted, "5");
    stage.destroyed.extend(marks(stage.seed, &newest));
    stage.pods.iter().for_each(|pod| pod.process.sigcont());
    stage.alarmed_of_removed(5).await;
}

/// 28: the stream is trimmed to nothing while entries are pending at a worker that dies.
pub(crate) async fn pending_trimmed(stage: &mut Stage) {
    stage.steady.sink.set_mode(Mode::Hang).await;
    let held = wait_for_pending(stage).await;
    stage.pods.iter().for_each(|pod| pod.process.sigstop());
    const TRIM: &str = "local all = redis.call('XRANGE', KEYS[1], '-', '+') \
                        redis.call('XTRIM', KEYS[1], 'MAXLEN', 0) return all";
    let all = stage.redis().cli(&["EVAL", TRIM, "1", EVENTS]);
    stage.destroyed.extend(marks(stage.seed, &all));
    stage.steady.sink.set_mode(Mode::Ok).await;
    while !stage.pods.is_empty() {
        stage.kill(0);
    }
    stage.add_pod(Wish::default()).await;
    stage.alarmed_of_removed(held).await;
}

/// Waits until workers hold some entries; answers how many at least.
async fn wait_for_pending(stage: &Stage) -> u32 {
    const SOME: u32 = 5;
    wait_until("entries are pending", SOON, async || {
        let pending = stage.servers.cli(&["XPENDING", EVENTS, "workers"]);
        pending
            .lines()
            .next()
            .is_some_and(|count| count.parse().is_ok_and(|count: u32| count > SOME))
    })
    .await;
    SOME
}

/// 29: the password is changed, connections are dropped, pods are replaced by some that know the new one.
pub(crate) async fn password_rotated(stage: &mut Stage) {
    log_in_as_pod(stage, "old").await;
    stage.redis().cli(&["ACL", "SETUSER", "pod", "resetpass", ">new"]);
    stage.redis().cli(&["CLIENT", "KILL", "USER", "pod"]);
    stage.lasts(A_WHILE).await;
    for _ in 0..2 {
        stage.kill(0);
        stage.add_pod(user("new")).await;
    }
}

/// 29: the user may not run some commands for a while.
pub(crate) async fn commands_forbidden(stage: &mut Stage) {
    log_in_as_pod(stage, "word").await;
    for command in ["xack", "evalsha", "xreadgroup", "zadd"] {
        stage.redis().cli(&["ACL", "SETUSER", "pod", &format!("-{command}")]);
        stage.lasts(Duration::from_millis(700)).await;
        stage.redis().cli(&["ACL", "SETUSER", "pod", &format!("+{command}")]);
    }
}

/// Replaces the pods by some that have a user of their own.
async fn log_in_as_pod(stage: &mut Stage, password: &str) {
    let password_rule = format!(">{password}");
    let rules = ["ACL", "SETUSER", "pod", "on", &password_rule, "~*", "&*", "+@all"];
    assert_eq!(stage.redis().cli(&rules), "OK");
    for _ in 0..2 {
        stage.add_pod(user(password)).await;
        stage.retire(0);
    }
}

fn user(password: &str) -> Wish {
    let variables = [
        ("HOLDFAST_REDIS__USERNAME", "pod"),
        ("HOLDFAST_REDIS__PASSWORD", password),
    ];
    Wish {
        environment: variables
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .to_vec(),
        ..Wish::default()
    }
}

/// 30: updated, suspended, resumed and removed while deliveries are under way.
pub(crate) async fn subscriptions_changed(stage: &mut Stage) {
    let leaver = stage.invite("leaver", &[]).await;
    let guest = &mut stage.guests[leaver];
    guest.owed_from = u64::MAX;
    guest.sink.set_mode(Mode::Slow(Period(Duration::from_millis(50)))).await;
    let leaver = guest.id.clone();
    let (ordered, moody) = (stage.ordered.id.clone(), stage.moody.id.clone());
    stage.progress(40).await;
    stage.holdfast(&["subscriptions", "suspend", &ordered]).await;
    stage.holdfast(&["subscriptions", "suspend", &moody]).await;
    stage.progress(40).await;
    let other = stage.moody.sink.url("/another");
    stage
        .holdfast(&["subscriptions", "update", &moody, "--destination", &other])
        .await;
    stage.holdfast(&["subscriptions", "resume", &moody]).await;
    stage
        .holdfast(&["subscriptions", "update", &ordered, "--context", "rack-7"])
        .await;
    stage.holdfast(&["subscriptions", "resume", &ordered]).await;
    stage.holdfast(&["subscriptions", "remove", &leaver, "--yes"]).await;
    stage.progress(40).await;
}
