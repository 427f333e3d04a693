//! Redis that dies, freezes, forgets, is full or busy.

use std::time::Duration;

use super::troubles::Trouble;
use crate::stage::{SOON, Stage};
use crate::support::wait_until;

/// 5: killed under load, twice; what it said it has is there again.
pub(crate) async fn killed(stage: &mut Stage) {
    for _ in 0..2 {
        stage.progress(60).await;
        stage.redis().kill9();
        stage.lasts(Duration::from_millis(500)).await;
        stage.redis().restart();
    }
}

/// 6: restarted by its operator.
pub(crate) async fn restarted(stage: &mut Stage) {
    stage.progress(60).await;
    stage.redis().restart_cleanly();
}

/// 7, 18, 25: one trouble for so long.
pub(crate) async fn troubled(stage: &mut Stage, trouble: Trouble, period: Duration) {
    let helper = trouble.begin(stage).await;
    stage.lasts(period).await;
    trouble.end(stage, helper).await;
}

/// 17: at its memory limit.
pub(crate) async fn out_of_memory(stage: &mut Stage) {
    let helper = Trouble::Full.begin(stage).await;
    let before = stage.producer.sent().len();
    wait_until("events are refused", SOON, async || {
        stage.producer.sent().len() >= before + 100
    })
    .await;
    let taken_in = u64::try_from(stage.producer.accepted()).unwrap();
    wait_until(
        "all that is in is delivered while nothing more is taken in",
        SOON,
        async || stage.ordered.sink.counts().distinct >= taken_in,
    )
    .await;
    Trouble::Full.end(stage, helper).await;
}

/// 23: it forgets its scripts, again and again.
pub(crate) async fn scripts_flushed(stage: &mut Stage) {
    for _ in 0..10 {
        stage.progress(10).await;
        assert_eq!(stage.redis().cli(&["SCRIPT", "FLUSH"]), "OK");
    }
}
