//! Networks that lose packets, connections and replies.

use std::time::Duration;

use crate::stage::SOON;
use crate::stage::Stage;
use crate::support::wait_until;

/// 9: connections between a worker and Redis are reset, and no new one is made for longer than a takeover takes.
pub(crate) async fn redis_resets(stage: &mut Stage) {
    let proxy = stage.pods[0].proxy.as_ref().unwrap();
    for _ in 0..5 {
        proxy.reset();
        stage.lasts(Duration::from_millis(200)).await;
    }
    proxy.refuse(true);
    proxy.reset();
    stage.lasts(Duration::from_secs(4)).await;
    proxy.refuse(false);
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
