//! From just before an event is written to its POST's arrival, at 1,000 events a second.
//!
//! The producer keeps its pace whatever happens. The time that Redis takes to write the event counts.

use std::collections::HashMap;
use std::time::Duration;

use futures::future::join_all;

use crate::bare::expect_each_once;
use crate::deployment::{Deployment, delivery};
use crate::output::{Mark, Row};
use crate::process::now;
use crate::sink::{Arrival, Sink};
use crate::stats::Samples;
use crate::{Plan, events};

const PER_SECOND: usize = 1_000;

pub(crate) async fn measure(plan: Plan) -> Vec<Row> {
    let mut sink = Sink::start(1).await;
    let mut deployment = Deployment::start(1).await;
    deployment.subscribe("s0", &sink.url(0), |_| {}).await;
    let url = deployment.redis.url();
    deployment.add_worker(&url, &[]);
    let count = plan.size(5 * PER_SECOND, PER_SECOND);
    let warm_up = PER_SECOND / 2;
    let mut runs = Vec::new();
    for run in 1..=plan.runs as usize {
        sink.clear().await;
        let written = produce(&deployment, PER_SECOND as f64, warm_up + count).await;
        sink.accepted(warm_up + count).await;
        deployment.settled(run * (warm_up + count)).await;
        let arrivals = sink.arrivals().await;
        expect_each_once(&arrivals, warm_up + count);
        runs.push(Samples::new(latencies(&written[warm_up..], &["s0"], &arrivals)));
    }
    let of = |share: f64| Samples::new(runs.iter().map(|run| run.percentile(share)));
    vec![
        Row::new("event written → POST received at 1,000/s, p99", " ms", of(0.99))
            .mark(Mark::AtMost(5.0))
            .note(format!("{count} events a run")),
        Row::new("event written → POST received at 1,000/s, p50", " ms", of(0.50)),
    ]
}

/// When writing an event began, since the epoch, and the id it got.
pub(crate) type Written = (Duration, holdfast::domain::ids::StreamId);

/// Writes so many events at an even pace, late ones at once.
pub(crate) async fn produce(deployment: &Deployment, per_second: f64, count: usize) -> Vec<Written> {
    let started = tokio::time::Instant::now();
    let writes = (0..count).map(|number| async move {
        let due = Duration::from_secs_f64(number as f64 / per_second);
        tokio::time::sleep_until(started + due).await;
        let began = now();
        (began, deployment.write(events::event(number)).await)
    });
    join_all(writes).await
}

/// The time of each of these events to each of these subscriptions, in ms.
pub(crate) fn latencies(written: &[Written], subscriptions: &[&str], arrivals: &[Arrival]) -> Vec<f64> {
    let accepted = arrivals.iter().filter(|arrival| arrival.status == 200);
    let arrived: HashMap<u64, Duration> = accepted.map(|arrival| (arrival.id, arrival.at)).collect();
    let deliveries = subscriptions
        .iter()
        .flat_map(|subscription| written.iter().map(move |event| (subscription, event)));
    deliveries
        .map(|(subscription, (began, event))| {
            let arrived = arrived[&delivery(subscription, *event)];
            arrived.saturating_sub(*began).as_secs_f64() * 1e3
        })
        .collect()
}
