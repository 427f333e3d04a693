//! What the healthy notice of the others: a hundred subscribers get every event, and half of them hang.
//!
//! At 70 % of the capacity measured just before. The window begins with the first event after they began to
//! hang, so it holds the time in which the worker does not know yet.

use std::time::Duration;

use crate::Plan;
use crate::bare::{expect_each_once, rate};
use crate::deployment::Deployment;
use crate::latency::{latencies, produce};
use crate::output::{Mark, Row};
use crate::process::now;
use crate::sink::{Mode, Sink};
use crate::stats::Samples;

const SUBSCRIBERS: usize = 100;
const HALF: usize = SUBSCRIBERS / 2;
const SHARE: f64 = 0.70;

/// Shorter times, for a quick look.
const SHORT: [(&str, &str); 3] = [
    ("HOLDFAST_DELIVERY__TIMEOUT", "2s"),
    ("HOLDFAST_RETRY__DELAY", "1s"),
    ("HOLDFAST_RETRY__BACKOFF", "1.0"),
];

pub(crate) async fn measure(plan: Plan) -> Vec<Row> {
    let mut sink = Sink::start(SUBSCRIBERS).await;
    // Longer than the deadline of a request, at which the worker learns of those that hang.
    let window = Duration::from_secs_f64(plan.size(12, 3) as f64);
    let times: &[(&str, &str)] = if plan.quick { &SHORT } else { &[] };
    let mut pairs = Vec::new();
    for _ in 0..plan.runs.min(3) {
        let capacity = capacity(&mut sink, plan.size(400, 50)).await;
        let per_second = capacity * SHARE / SUBSCRIBERS as f64;
        let none = run(&mut sink, times, per_second, window, false).await;
        let half = run(&mut sink, times, per_second, window, true).await;
        println!(
            "   capacity {capacity:.0} POST/s, offered {per_second:.0} events/s; healthy {:.0} → {:.0} POST/s, p99 {:.1} → {:.1} ms",
            none.rate, half.rate, none.p99, half.p99
        );
        pairs.push((none, half));
    }
    let of = |value: fn(&(Healthy, Healthy)) -> f64| Samples::new(pairs.iter().map(value));
    let what = "half of 100 subscribers hang, the healthy ones'";
    vec![
        Row::new(
            format!("{what} throughput against none hanging"),
            "",
            of(|(none, half)| half.rate / none.rate),
        )
        .mark(Mark::AtLeast(0.95))
        .note(format!(
            "{} s at 70 % of capacity, from the moment they hang",
            window.as_secs()
        )),
        Row::new(
            format!("{what} p99 against none hanging"),
            "×",
            of(|(none, half)| half.p99 / none.p99),
        )
        .mark(Mark::AtMost(1.5)),
        Row::new("p99 of the healthy, none hanging", " ms", of(|(none, _)| none.p99)),
        Row::new("p99 of the healthy, half hanging", " ms", of(|(_, half)| half.p99)),
    ]
}

/// Deliveries to the healthy per second, and their latency in ms.
struct Healthy {
    rate: f64,
    p99: f64,
}

async fn deploy(sink: &mut Sink) -> Deployment {
    sink.clear().await;
    let deployment = Deployment::start(1).await;
    for port in 0..SUBSCRIBERS {
        deployment.subscribe(&name(port), &sink.url(port), |_| {}).await;
    }
    deployment
}

fn name(port: usize) -> String {
    format!("s{port}")
}

/// Deliveries per second when all are healthy and events wait.
async fn capacity(sink: &mut Sink, events: usize) -> f64 {
    let mut deployment = deploy(sink).await;
    deployment.publish(events).await;
    let url = deployment.redis.url();
    deployment.add_worker(&url, &[]);
    let posts = events * SUBSCRIBERS;
    sink.accepted(posts).await;
    deployment.settled(posts).await;
    let arrivals = sink.arrivals().await;
    expect_each_once(&arrivals, posts);
    rate(&arrivals, posts / 5)
}

/// A steady load after a warm-up; with `hanging` half of the subscribers take no answer from then on.
async fn run(sink: &mut Sink, times: &[(&str, &str)], per_second: f64, window: Duration, hanging: bool) -> Healthy {
    let mut deployment = deploy(sink).await;
    let url = deployment.redis.url();
    deployment.add_worker(&url, times);
    deployment.lives().await;
    let warm_up = (per_second * 2.0) as usize;
    produce(&deployment, per_second, warm_up).await;
    sink.accepted(warm_up * SUBSCRIBERS).await;
    if hanging {
        sink.set_mode(0..HALF, Mode::Hang).await;
    }
    let started = now();
    let count = (per_second * window.as_secs_f64()) as usize;
    let written = produce(&deployment, per_second, count).await;
    // The healthy ones' share has to come while the others still hang.
    let total = (warm_up + count) * SUBSCRIBERS;
    let hung = if hanging { count * HALF } else { 0 };
    sink.accepted(total - hung).await;
    sink.set_mode(0..HALF, Mode::Answer(200)).await;
    deployment.settled(total).await;
    let arrivals = sink.arrivals().await;
    expect_each_once(&arrivals, total);

    let healthy: Vec<String> = (HALF..SUBSCRIBERS).map(name).collect();
    let healthy: Vec<&str> = healthy.iter().map(String::as_str).collect();
    let in_window = arrivals.iter().filter(|arrival| arrival.port >= HALF);
    let in_window = in_window.filter(|arrival| arrival.at > started && arrival.at <= started + window);
    Healthy {
        rate: in_window.count() as f64 / window.as_secs_f64(),
        p99: Samples::new(latencies(&written, &healthy, &arrivals)).percentile(0.99),
    }
}
