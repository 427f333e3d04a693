//! A subscriber comes back: how soon the first parked delivery reaches it, and how fast the others follow, one by one and together.
//!
//! It answers 503 until a probe was just refused, then 200: the longest that it can have to wait.

use std::sync::Arc;
use std::time::Duration;

use crate::Plan;
use crate::bare::{Bare, expect_each_once, rate};
use crate::deployment::{Deployment, WAIT, WAITING};
use crate::output::{Mark, Row};
use crate::sink::{Arrival, Mode, Sink};
use crate::stats::Samples;

pub(crate) async fn measure(plan: Plan) -> Vec<Row> {
    let parked = plan.size(100_000, 4_000);
    let posts = plan.size(40_000, 4_000);
    let mut sink = Sink::start(1).await;
    let bare = Arc::new(Bare::new(&sink));
    let concurrency = bare.best(&mut sink, plan.size(10_000, 1_000)).await;
    let mut runs = Vec::new();
    for _ in 0..plan.runs {
        let alone = bare.run(&mut sink, concurrency, posts).await;
        let bare = rate(&alone, posts / 10);
        let (first, second, apart) = recover(&mut sink, parked, false).await;
        let (_, _, together) = recover(&mut sink, parked, true).await;
        println!(
            "   bare {bare:.0}/s, one by one {apart:.0}/s: {:.3}, together {together:.0}/s: {:.3}; first after \
             {first:.0} ms, second {second:.1} ms later",
            apart / bare,
            together / bare,
        );
        runs.push(Run {
            bare,
            apart,
            together,
            first,
            second,
        });
    }
    let of = |value: fn(&Run) -> f64| Samples::new(runs.iter().map(value));
    let allowed = (WAIT + Duration::from_millis(100)).as_secs_f64() * 1e3;
    vec![
        Row::new(
            format!("draining {parked} parked one by one: POST/s against the bare loop"),
            "",
            of(|run| run.apart / run.bare),
        )
        .mark(Mark::AtLeast(0.80))
        .note("from the first POST after recovery to the last, ramp included"),
        Row::new("the same: POST/s", "/s", of(|run| run.apart)),
        Row::new(
            "the same, several in a message as by default: deliveries/s against the bare loop",
            "",
            of(|run| run.together / run.bare),
        )
        .mark(Mark::AtLeast(0.80)),
        Row::new("the same: deliveries/s", "/s", of(|run| run.together)),
        Row::new(
            "recovery → first parked delivery, wait period 1 s, worst case",
            " ms",
            of(|run| run.first),
        )
        .mark(Mark::AtMost(allowed))
        .note("the subscriber is back right after a probe was refused"),
        Row::new("first parked delivery → second", " ms", of(|run| run.second)),
    ]
}

/// Rates a second, times in ms.
struct Run {
    bare: f64,
    apart: f64,
    together: f64,
    first: f64,
    second: f64,
}

/// From the recovery to the first delivery and from there to the second, in ms, and how many came a second.
async fn recover(sink: &mut Sink, parked: usize, coalesce: bool) -> (f64, f64, f64) {
    sink.clear().await;
    sink.set_mode(0..1, Mode::Answer(503)).await;
    let mut deployment = Deployment::start(1).await;
    deployment
        .subscribe("s0", &sink.url(0), |to| to.coalesce = coalesce)
        .await;
    let url = deployment.redis.url();
    deployment.add_worker(&url, &WAITING);
    deployment.publish(parked).await;
    deployment.parked(parked).await;
    let (_, requests) = sink.counts().await;
    sink.requested(requests + 1).await;
    let back = sink.set_mode(0..1, Mode::Answer(200)).await;
    sink.accepted(parked).await;
    deployment.settled(parked).await;
    let arrivals = sink.arrivals().await;
    expect_each_once(&arrivals, parked);
    let accepted: Vec<Arrival> = arrivals.into_iter().filter(|arrival| arrival.status == 200).collect();
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    let first = ms(accepted[0].at.saturating_sub(back));
    (first, ms(accepted[1].at - accepted[0].at), rate(&accepted, 0))
}
