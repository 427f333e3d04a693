//! Workers that die, freeze, go wrong by the clock, or come and go.

use std::time::Duration;

use holdfast::cli::sink::Mode;
use holdfast::domain::units::Period;

use crate::stage::{REDELIVERIES, SOON, Stage, Wish};
use crate::support::{DEAD_AFTER, wait_until};

/// 1: killed while requests are under way.
pub(crate) async fn killed_mid_post(stage: &mut Stage) {
    stage
        .steady
        .sink
        .set_mode(Mode::Slow(Period(Duration::from_millis(100))))
        .await;
    for _ in 0..2 {
        stage.progress(60).await;
        stage.kill(0);
        stage.add_pod(Wish::default()).await;
    }
}

/// 2: killed after subscribers said 2xx and before Redis heard of it.
pub(crate) async fn killed_before_settlement(stage: &mut Stage) {
    let unhurried = Mode::Slow(Period(Duration::from_millis(300)));
    stage.steady.sink.set_mode(unhurried).await;
    stage.progress(60).await;
    let proxy = stage.pods[0].proxy.as_ref().unwrap();
    proxy.freeze();
    proxy.refuse(true);
    let before = stage.steady.sink.counts().distinct;
    wait_until("what it held is answered", SOON, async || {
        stage.steady.sink.counts().distinct >= before + 60
    })
    .await;
    stage.kill(0);
    stage.add_pod(Wish::default()).await;
}

/// 3: killed while it drains, twice.
pub(crate) async fn killed_in_a_drain(stage: &mut Stage) {
    for _ in 0..2 {
        let drainer = stage.drainer().await;
        stage.kill(drainer);
        stage.add_pod(Wish::default()).await;
    }
}

/// 4: killed right after it re-injected a subscription. It is the only pod then, so it was the one.
pub(crate) async fn killed_after_reinjection(stage: &mut Stage) {
    while stage.pods.len() > 1 {
        stage.retire(0);
    }
    stage.ordered.sink.set_mode(Mode::Status(503)).await;
    let client = stage.store.connection().client().clone();
    wait_until("nothing is injected", SOON, async || injected(&client).await == 0).await;
    while injected(&client).await == 0 {
        tokio::task::yield_now().await;
    }
    stage.kill(0);
    stage.add_pod(Wish::default()).await;
    stage.add_pod(Wish::default()).await;
}

async fn injected(client: &fred::clients::Client) -> u64 {
    use fred::interfaces::StreamsInterface;
    client.xlen(REDELIVERIES).await.unwrap_or(0)
}

/// 8: frozen until its peers took over, then thawed.
pub(crate) async fn frozen_beyond_takeover(stage: &mut Stage) {
    let drainer = stage.drainer().await;
    let frozen = &stage.pods[drainer];
    frozen.process.sigstop();
    let place = 1 - drainer;
    wait_until("its peer took over", SOON, async || {
        stage.pods[place].process.stderr().contains("took over")
    })
    .await;
    stage.lasts(DEAD_AFTER).await;
    stage.pods[drainer].process.sigcont();
}

/// 22: one pod lives an hour ago, another in an hour.
pub(crate) async fn clocks_wrong(stage: &mut Stage) {
    let library = clock_library();
    for seconds in ["3600", "-3600"] {
        let wish = Wish {
            environment: vec![
                ("LD_PRELOAD".to_owned(), library.clone()),
                ("CLOCK_OFF_BY_SECONDS".to_owned(), seconds.to_owned()),
            ],
            ..Wish::default()
        };
        stage.add_pod(wish).await;
    }
    let before = stage.steady.sink.counts().distinct;
    wait_until("every clock has sent", SOON, async || {
        let sent: Vec<u64> = stage.steady.sink.deliveries()[usize::try_from(before).unwrap()..]
            .iter()
            .filter_map(|delivery| delivery.headers["webhook-timestamp"].to_str().ok()?.parse().ok())
            .collect();
        let (first, last) = (sent.iter().min(), sent.iter().max());
        first.zip(last).is_some_and(|(first, last)| last - first > 7_000)
    })
    .await;
    stage.kill(0);
    stage.progress(60).await;
}

/// Builds the library that makes a process' wall clock wrong, and answers its path.
fn clock_library() -> String {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/faults/clock.c");
    let library = concat!(env!("CARGO_MANIFEST_DIR"), "/target/faults-clock.so");
    let built = std::process::Command::new("cc")
        .args(["-shared", "-fPIC", "-o", library, source])
        .status()
        .unwrap();
    assert!(built.success(), "cc could not build {source}");
    library.to_owned()
}

/// 26: ten schedulers on one queue of wake-ups.
pub(crate) async fn ten_schedulers(stage: &mut Stage) {
    stage.ordered.sink.set_mode(Mode::Status(503)).await;
    while stage.pods.len() < 10 {
        stage.add_pod(Wish::default()).await;
    }
    let before = stage.ordered.sink.counts().requests;
    wait_until("it was probed six times", SOON, async || {
        stage.ordered.sink.counts().requests >= before + 6
    })
    .await;
}

/// 27: every pod is replaced, one after the other.
pub(crate) async fn rolling_restart(stage: &mut Stage) {
    for _ in 0..stage.pods.len() {
        stage.add_pod(Wish::default()).await;
        stage.progress(40).await;
        stage.retire(0);
    }
}
