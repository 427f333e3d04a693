//! Redis that dies, freezes, forgets, is full or busy.

use std::process::{Command, Stdio};
use std::time::Duration;

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

/// 7: frozen for so long.
pub(crate) async fn frozen(stage: &mut Stage, period: Duration) {
    stage.redis().pause();
    stage.lasts(period).await;
    stage.redis().resume();
}

/// 17: at its memory limit.
pub(crate) async fn out_of_memory(stage: &mut Stage) {
    stage.redis().config_set("maxmemory", "1mb");
    let before = stage.producer.sent().len();
    wait_until("events are refused", SOON, async || {
        stage.producer.sent().len() >= before + 100
    })
    .await;
    let drained = stage.ordered.sink.counts().distinct;
    wait_until("what is in keeps moving", SOON, async || {
        stage.ordered.sink.counts().distinct >= drained + 20
    })
    .await;
    stage.redis().config_set("maxmemory", "0");
}

/// 18: its disk is full; the stage's Redis lives on a small one.
pub(crate) async fn disk_full(stage: &mut Stage) {
    let ballast = stage.redis().dir().join("ballast");
    let full = Command::new("dd")
        .args(["if=/dev/zero", "bs=64k", &format!("of={}", ballast.display())])
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert!(!full.success(), "the disk took everything");
    wait_until("Redis can't write", SOON, async || {
        stage.redis().cli(&["SET", "canary", "1"]).contains("MISCONF") || !stage.redis().runs()
    })
    .await;
    stage.lasts(Duration::from_secs(2)).await;
    std::fs::remove_file(ballast).unwrap();
    if !stage.redis().runs() {
        stage.redis().restart();
    }
}

/// 23: it forgets its scripts, again and again.
pub(crate) async fn scripts_flushed(stage: &mut Stage) {
    for _ in 0..10 {
        stage.progress(10).await;
        assert_eq!(stage.redis().cli(&["SCRIPT", "FLUSH"]), "OK");
    }
}

/// 25: a script of somebody else blocks it.
pub(crate) async fn busy(stage: &mut Stage) {
    stage.redis().config_set("lua-time-limit", "100");
    let port = stage.redis().port().to_string();
    let mut blocker = Command::new("redis-cli")
        .args(["-p", &port, "EVAL", "while true do end", "0"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait_until("it is busy", SOON, async || {
        stage.redis().cli(&["PING"]).contains("BUSY")
    })
    .await;
    stage.lasts(Duration::from_secs(4)).await;
    assert_eq!(stage.redis().cli(&["SCRIPT", "KILL"]), "OK");
    blocker.wait().unwrap();
}
