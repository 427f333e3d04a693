//! A backlog over a long link: events that travel together against the same one by one.
//!
//! 50 ms each way. One by one the link is what counts, whatever the machine does, so that is measured once.

use std::time::Duration;

use crate::Plan;
use crate::bare::{expect_each_once, rate};
use crate::deployment::{Deployment, WAITING};
use crate::link::Link;
use crate::output::{Mark, Row};
use crate::sink::{Arrival, Mode, Sink};
use crate::stats::Samples;

/// Of the link, each way.
const DELAY: Duration = Duration::from_millis(50);
/// Deliveries that come soon, even one by one.
const STEP: usize = 1_000;

pub(crate) async fn measure(plan: Plan) -> Vec<Row> {
    let parked = plan.size(20_000, 1_000);
    let mut sink = Sink::start(1).await;
    let apart = drain(&mut sink, parked, false, None).await;
    println!("   one by one {apart:.0}/s");
    let (mut together, mut in_turn) = (Vec::new(), Vec::new());
    for _ in 0..plan.runs {
        together.push(drain(&mut sink, parked, true, None).await);
        in_turn.push(drain(&mut sink, parked, true, Some(1)).await);
        println!(
            "   together {:.0}/s, with one request at a time {:.0}/s",
            together[together.len() - 1],
            in_turn[in_turn.len() - 1]
        );
    }
    let ratios = together.iter().map(|rate| rate / apart);
    vec![
        Row::new(
            format!("draining {parked} over 50 ms each way: together against one by one"),
            "",
            Samples::new(ratios),
        )
        .mark(Mark::AtLeast(20.0))
        .note("16 requests at once, both from the first POST after recovery to the last"),
        Row::new("the same, one by one", "/s", Samples::new([apart])),
        Row::new("the same, together", "/s", Samples::new(together)),
        Row::new("the same, together, one request at a time", "/s", Samples::new(in_turn))
            .mark(Mark::AtLeast(200.0))
            .note("one connection, strict order"),
    ]
}

/// Parks so many while the subscriber is down; answers how many deliveries a second came once it was back.
async fn drain(sink: &mut Sink, parked: usize, coalesce: bool, max_in_flight: Option<u32>) -> f64 {
    sink.clear().await;
    sink.set_mode(0..1, Mode::Answer(503)).await;
    let link = Link::to(sink.port(0), DELAY).await;
    let mut deployment = Deployment::start(1).await;
    deployment
        .subscribe("s0", &link.url(), |to| {
            to.coalesce = coalesce;
            to.max_in_flight = max_in_flight;
        })
        .await;
    let url = deployment.redis.url();
    deployment.add_worker(&url, &WAITING);
    deployment.publish(parked).await;
    deployment.parked(parked).await;
    sink.set_mode(0..1, Mode::Answer(200)).await;
    for so_many in (STEP..=parked).step_by(STEP) {
        sink.accepted(so_many).await;
    }
    deployment.settled(parked).await;
    let arrivals = sink.arrivals().await;
    expect_each_once(&arrivals, parked);
    let accepted: Vec<Arrival> = arrivals.into_iter().filter(|arrival| arrival.status == 200).collect();
    rate(&accepted, 0)
}
