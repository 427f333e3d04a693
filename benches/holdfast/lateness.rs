//! How late a due subscription is probed: a hundred that are down, each with a wait period of its own.
//!
//! Late is the time between two probes of a subscription, by the sink's clock, beyond the wait period.

use std::time::Duration;

use crate::deployment::{Deployment, WAIT, WAITING};
use crate::output::{Mark, Row};
use crate::sink::{Mode, Sink};
use crate::stats::Samples;
use crate::{Plan, events};

const SUBSCRIBERS: usize = 100;

pub(crate) async fn measure(plan: Plan) -> Vec<Row> {
    let probes = plan.size(6, 2);
    let mut runs = Vec::new();
    for _ in 0..plan.runs.min(3) {
        runs.push(run(probes).await);
    }
    let of = |share: f64| Samples::new(runs.iter().map(|run| run.percentile(share)));
    vec![
        Row::new("lateness of a re-injection, p99", " ms", of(0.99))
            .mark(Mark::AtMost(50.0))
            .note(format!(
                "{SUBSCRIBERS} subscriptions down, {probes} probes of each a run, POST to POST"
            )),
        Row::new("lateness of a re-injection, p50", " ms", of(0.50)),
    ]
}

async fn run(probes: usize) -> Samples {
    let mut sink = Sink::start(SUBSCRIBERS).await;
    sink.set_mode(0..SUBSCRIBERS, Mode::Answer(503)).await;
    let mut deployment = Deployment::start(1).await;
    for port in 0..SUBSCRIBERS {
        let url = sink.url(port);
        deployment
            .subscribe(&format!("s{port}"), &url, |subscription| {
                subscription.filter.origin_resources = vec![events::chassis(port)];
                subscription.filter.subordinate_resources = true;
            })
            .await;
    }
    let url = deployment.redis.url();
    deployment.add_worker(&url, &WAITING);
    // Spread over a wait period, so that they do not come due together.
    for port in 0..SUBSCRIBERS {
        deployment.write(events::about(port, port)).await;
        tokio::time::sleep(WAIT / SUBSCRIBERS as u32).await;
    }
    sink.requested(SUBSCRIBERS * (probes + 1)).await;
    sink.set_mode(0..SUBSCRIBERS, Mode::Answer(200)).await;
    sink.accepted(SUBSCRIBERS).await;
    deployment.settled(SUBSCRIBERS).await;
    let mut times = vec![Vec::new(); SUBSCRIBERS];
    for arrival in sink.arrivals().await {
        times[arrival.port].push(arrival.at);
    }
    let waits = times
        .iter()
        .flat_map(|times| times.windows(2).map(|pair| pair[1] - pair[0]));
    Samples::new(waits.map(|wait| {
        assert!(wait > WAIT - Duration::from_millis(2), "probed early, after {wait:?}");
        wait.saturating_sub(WAIT).as_secs_f64() * 1e3
    }))
}
