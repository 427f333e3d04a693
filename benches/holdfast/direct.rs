//! Direct deliveries per second, beside the bare loop.
//!
//! Each pair is one run of the bare loop and one of Holdfast: a fresh Redis is filled with events while no worker
//! runs, then a worker is started. Either way the time is from the arrival of the first POST after a warm-up to
//! the arrival of the last one, by the sink's clock.

use std::sync::Arc;
use std::time::Duration;

use crate::Plan;
use crate::bare::{Bare, expect_each_once, rate};
use crate::deployment::Deployment;
use crate::output::{Mark, Row};
use crate::process::cpu;
use crate::sink::Sink;
use crate::stats::Samples;

/// Measures with so many subscribers to each event.
pub(crate) async fn measure(plan: Plan, subscribers: usize) -> Vec<Row> {
    let (posts, warm_up) = (plan.size(40_000, 4_000), plan.size(5_000, 1_000));
    let mut sink = Sink::start(subscribers).await;
    let bare = Arc::new(Bare::new(&sink));
    let concurrency = bare.best(&mut sink, plan.size(10_000, 1_000)).await;

    let mut pairs = Vec::new();
    for _ in 0..plan.runs {
        let alone = bare_run(&bare, &mut sink, concurrency, posts + warm_up, warm_up).await;
        let holdfast = holdfast_run(&mut sink, posts + warm_up, warm_up).await;
        println!(
            "   bare {:.0}/s, Holdfast {:.0}/s: {:.3}",
            alone.rate,
            holdfast.rate,
            holdfast.rate / alone.rate
        );
        pairs.push((alone, holdfast));
    }
    let of = |value: fn(&(Run, Run)) -> f64| Samples::new(pairs.iter().map(value));
    let what = format!("direct deliveries, one event to {subscribers}");
    let median = |value| of(value).median();
    let ratio = Row::new(
        format!("{what}: POST/s against the bare loop"),
        "",
        of(|(bare, holdfast)| holdfast.rate / bare.rate),
    )
    .mark(Mark::AtLeast(0.90))
    .note(format!(
        "{posts} POSTs a run after {warm_up} to warm up, preloaded; bare loop at {concurrency} at once"
    ))
    .note(format!(
        "processor time a POST, bare loop: client {:.1} µs, sink {:.1} µs",
        median(|(bare, _)| bare.client),
        median(|(bare, _)| bare.sink)
    ))
    .note(format!(
        "processor time a POST, Holdfast: worker {:.1} µs, sink {:.1} µs, Redis {:.1} µs (reading {:.1}, scripts {:.1})",
        median(|(_, holdfast)| holdfast.client),
        median(|(_, holdfast)| holdfast.sink),
        median(|(_, holdfast)| holdfast.redis),
        median(|(_, holdfast)| holdfast.reads),
        median(|(_, holdfast)| holdfast.scripts)
    ));
    vec![
        ratio,
        Row::new(format!("{what}: POST/s"), "/s", of(|(_, holdfast)| holdfast.rate)),
        Row::new(format!("{what}: bare loop"), "/s", of(|(bare, _)| bare.rate)),
    ]
}

/// POSTs per second, and what a POST costs each process in µs of processor time, warm-up included.
struct Run {
    rate: f64,
    client: f64,
    sink: f64,
    redis: f64,
    /// What of that Redis spent in XREADGROUP and in scripts, by its own account.
    reads: f64,
    scripts: f64,
}

async fn bare_run(bare: &Arc<Bare>, sink: &mut Sink, concurrency: usize, posts: usize, warm_up: usize) -> Run {
    let before = (cpu(std::process::id()), cpu(sink.pid()));
    let arrivals = bare.run(sink, concurrency, posts).await;
    Run {
        rate: rate(&arrivals, warm_up),
        client: each(cpu(std::process::id()) - before.0, posts),
        sink: each(cpu(sink.pid()) - before.1, posts),
        redis: 0.0,
        reads: 0.0,
        scripts: 0.0,
    }
}

async fn holdfast_run(sink: &mut Sink, posts: usize, warm_up: usize) -> Run {
    let mut deployment = Deployment::start(1).await;
    for port in 0..sink.ports() {
        deployment.subscribe(&format!("s{port}"), &sink.url(port), |_| {}).await;
    }
    deployment.publish(posts / sink.ports()).await;
    sink.clear().await;
    let redis = deployment.redis.pid();
    let before = (cpu(redis), cpu(sink.pid()));
    let url = deployment.redis.url();
    let worker = deployment.add_worker(&url, &[]).pid();
    sink.accepted(posts).await;
    let stats = deployment.redis.cli(&["INFO", "commandstats"]);
    let run = Run {
        rate: 0.0,
        reads: spent(&stats, "xreadgroup") / posts as f64,
        scripts: spent(&stats, "evalsha") / posts as f64,
        client: each(cpu(worker), posts),
        sink: each(cpu(sink.pid()) - before.1, posts),
        redis: each(cpu(redis) - before.0, posts),
    };
    deployment.settled(posts).await;
    let arrivals = sink.arrivals().await;
    expect_each_once(&arrivals, posts);
    Run {
        rate: rate(&arrivals, warm_up),
        ..run
    }
}

fn each(time: Duration, posts: usize) -> f64 {
    time.as_secs_f64() * 1e6 / posts as f64
}

/// µs that Redis spent in a command.
fn spent(stats: &str, command: &str) -> f64 {
    let line = stats
        .lines()
        .find_map(|line| line.strip_prefix(&format!("cmdstat_{command}:")));
    let usec = line.and_then(|line| line.split(',').find_map(|part| part.strip_prefix("usec=")));
    usec.and_then(|usec| usec.parse().ok()).unwrap_or(0.0)
}
