//! Networks that lose packets, connections and replies.

use std::time::Duration;

use holdfast::cli::sink::Mode;

use crate::stage::{SOON, Stage};
use crate::support::wait_until;

/// Longer than a takeover takes.
const LONG: Duration = Duration::from_secs(4);
const TO_REDIS: usize = 0;
const TO_SUBSCRIBERS: usize = 1;

/// 9: connections between a worker and Redis are reset, and no new one is made for longer than a takeover takes.
pub(crate) async fn redis_resets(stage: &mut Stage) {
    let proxy = stage.pods[0].proxy.as_ref().unwrap();
    for _ in 0..5 {
        proxy.reset();
        stage.lasts(Duration::from_millis(200)).await;
    }
    proxy.refuse(true);
    proxy.reset();
    stage.lasts(LONG).await;
    proxy.refuse(false);
}

/// 9: packets between a worker and Redis are dropped, until its peers took over what it held.
pub(crate) async fn redis_drops(stage: &mut Stage) {
    stage.namespace().drop_packets(TO_REDIS);
    stage.lasts(LONG).await;
    stage.namespace().pass_packets(TO_REDIS);
}

/// 10: Redis does what it is asked to and its reply is lost, for every kind of command in turn.
pub(crate) async fn replies_lost(stage: &mut Stage) {
    for round in 0..4 {
        for command in ["XADD", "XREADGROUP", "EVALSHA"] {
            let proxy = stage.pods[round % 2].proxy.as_ref().unwrap();
            proxy.swallow_reply(command, round);
            wait_until("a reply is lost", SOON, async || proxy.swallowed() > 0).await;
        }
    }
}

/// 11: packets between one worker and all subscribers are dropped; its peer still reaches them.
pub(crate) async fn subscriber_drops(stage: &mut Stage) {
    stage.namespace().drop_packets(TO_SUBSCRIBERS);
    stage.lasts(LONG).await;
    stage.namespace().pass_packets(TO_SUBSCRIBERS);
}

/// 11: nothing can connect to two of the subscribers, and what is connected is cut.
pub(crate) async fn subscriber_unreachable(stage: &mut Stage) {
    for subscriber in [&stage.moody, &stage.steady] {
        subscriber.sink.set_mode(Mode::Refuse(None)).await;
    }
    stage.progress(150).await;
}
