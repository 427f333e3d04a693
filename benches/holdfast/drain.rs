//! A subscriber comes back: how soon the first parked delivery reaches it, and how fast the others follow.
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
        let run = recover(&mut sink, parked, rate(&alone, posts / 10)).await;
        println!(
            "   bare {:.0}/s, drain {:.0}/s: {:.3}; first after {:.0} ms, second {:.1} ms later",
            run.bare,
            run.rate,
            run.rate / run.bare,
            run.first,
            run.second
        );
        runs.push(run);
    }
    let of = |value: fn(&Recovery) -> f64| Samples::new(runs.iter().map(value));
    let allowed = (WAIT + Duration::from_millis(100)).as_secs_f64() * 1e3;
    vec![
        Row::new(
            format!("draining {parked} parked: POST/s against the bare loop"),
            "",
            of(|run| run.rate / run.bare),
        )
        .mark(Mark::AtLeast(0.80))
        .note("from the first POST after recovery to the last, ramp included"),
        Row::new(format!("draining {parked} parked"), "/s", of(|run| run.rate)),
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

struct Recovery {
    bare: f64,
    rate: f64,
    first: f64,
    second: f64,
}

async fn recover(sink: &mut Sink, parked: usize, bare: f64) -> Recovery {
    sink.clear().await;
    sink.set_mode(0..1, Mode::Answer(503)).await;
    let mut deployment = Deployment::start(1).await;
    deployment.subscribe("s0", &sink.url(0), |_| {}).await;
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
    Recovery {
        bare,
        rate: rate(&accepted, 0),
        first: ms(accepted[0].at.saturating_sub(back)),
        second: ms(accepted[1].at - accepted[0].at),
    }
}
