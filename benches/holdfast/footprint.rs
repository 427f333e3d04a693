//! What a parked delivery costs Redis, with one subscription behind and with twenty that want the same events.
//!
//! `used_memory` before and after, without the worker, once it stands still.

use std::time::Duration;

use crate::deployment::{Deployment, WAITING};
use crate::output::{Mark, Row};
use crate::sink::{Mode, Sink};
use crate::stats::Samples;
use crate::{Plan, events};

pub(crate) async fn measure(plan: Plan) -> Vec<Row> {
    let (one, twenty) = (plan.size(100_000, 3_000), plan.size(20_000, 300));
    let rows = [(one, 1, 1.4), (twenty, 20, 0.3)];
    let calm = Duration::from_millis(plan.size(3_000, 500) as u64);
    let mut measured = Vec::new();
    for (events, behind, mark) in rows {
        let (cost, payload) = park(events, behind, calm).await;
        let what = format!("Redis bytes a parked delivery over payload bytes, {behind} behind");
        measured.push(
            Row::new(what, "", Samples::new([cost / payload]))
                .mark(Mark::AtMost(mark))
                .note(format!(
                    "{events} events of {payload:.0} bytes; {cost:.0} bytes a delivery"
                )),
        );
    }
    measured
}

/// Bytes of a parked delivery, and of an event.
async fn park(count: usize, subscriptions: usize, calm: Duration) -> (f64, f64) {
    let mut sink = Sink::start(subscriptions).await;
    sink.set_mode(0..subscriptions, Mode::Answer(503)).await;
    let mut deployment = Deployment::start(1).await;
    for port in 0..subscriptions {
        deployment.subscribe(&format!("s{port}"), &sink.url(port), |_| {}).await;
    }
    let url = deployment.redis.url();
    // So that the scripts are loaded before.
    deployment.add_worker(&url, &WAITING);
    deployment.lives().await;
    deployment.stop_workers();
    let before = used_memory(&deployment, calm).await;
    deployment.add_worker(&url, &WAITING);
    deployment.lives().await;
    deployment.publish(count).await;
    deployment.parked(count * subscriptions).await;
    deployment.stop_workers();
    let after = used_memory(&deployment, calm).await;
    let ledger = deployment.snapshot().await.ledger;
    assert_eq!(ledger.imbalance(), 0, "{ledger:?}");
    let payload: usize = (0..count).map(|number| events::event(number).len()).sum();
    (
        (after - before) / (count * subscriptions) as f64,
        payload as f64 / count as f64,
    )
}

/// Once it has not changed by more than a thousandth for a while: buffers shrink, tables are rehashed.
async fn used_memory(deployment: &Deployment, calm: Duration) -> f64 {
    let read = || {
        let info = deployment.redis.cli(&["INFO", "memory"]);
        let line = info.lines().find_map(|line| line.strip_prefix("used_memory:"));
        line.unwrap().trim().parse::<f64>().unwrap()
    };
    let mut before = read();
    loop {
        tokio::time::sleep(calm).await;
        let now = read();
        if (now - before).abs() <= now / 1_000.0 {
            return now;
        }
        before = now;
    }
}
