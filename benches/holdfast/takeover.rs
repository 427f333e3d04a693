//! A worker is killed while its requests are in the air: when has another one sent all of them again?
//!
//! The subscriber hangs until the second worker lives, so that the first one holds
//! what it has; then it answers, and the first one is killed.

use futures::future::join_all;

use crate::bare::expect_each_once;
use crate::deployment::Deployment;
use crate::output::{Mark, Row};
use crate::process::now;
use crate::sink::{Mode, Sink};
use crate::stats::Samples;
use crate::{Plan, events};

/// Shorter times, for a quick look.
const SHORT: [(&str, &str); 2] = [
    ("HOLDFAST_WORKER__HEARTBEAT", "200ms"),
    ("HOLDFAST_WORKER__DEAD_AFTER", "1s"),
];

/// Events in flight at the worker that is killed, each to a subscriber of its own.
const HELD: usize = 16;

pub(crate) async fn measure(plan: Plan) -> Vec<Row> {
    let times: &[(&str, &str)] = if plan.quick { &SHORT } else { &[] };
    // All at once: they wait rather than compute.
    let runs = join_all((0..plan.runs).map(|_| run(times))).await;
    vec![
        Row::new(
            "killed worker: until a peer has sent all that it held",
            " s",
            Samples::new(runs),
        )
        .mark(Mark::AtMost(15.0))
        .note(format!(
            "{HELD} requests in flight, {}",
            if plan.quick {
                "short times"
            } else {
                "default times: dead after 10 s"
            }
        )),
    ]
}

/// Seconds from the kill to the arrival of the last delivery.
async fn run(times: &[(&str, &str)]) -> f64 {
    let mut sink = Sink::start(HELD).await;
    let mut deployment = Deployment::start(1).await;
    for port in 0..HELD {
        let url = sink.url(port);
        deployment
            .subscribe(&format!("s{port}"), &url, |subscription| {
                subscription.filter.origin_resources = vec![events::chassis(port)];
                subscription.filter.subordinate_resources = true;
            })
            .await;
    }
    sink.set_mode(0..HELD, Mode::Hang).await;
    let url = deployment.redis.url();
    // A request may hang for as long as the second worker needs to start.
    deployment.add_worker(&url, &[&[("HOLDFAST_DELIVERY__TIMEOUT", "2m")], times].concat());
    deployment.lives().await;
    join_all((0..HELD).map(|port| deployment.write(events::about(port, port)))).await;
    sink.requested(HELD).await;
    deployment.add_worker(&url, times);
    deployment.lives().await;
    sink.set_mode(0..HELD, Mode::Answer(200)).await;
    let held = deployment.snapshot().await.pending;
    assert_eq!(usize::try_from(held), Ok(HELD), "held by the first worker");
    let killed = now();
    deployment.workers[0].sigkill();
    sink.accepted(HELD).await;
    deployment.settled(HELD).await;
    let arrivals = sink.arrivals().await;
    expect_each_once(&arrivals, HELD);
    let last = arrivals.iter().map(|arrival| arrival.at).max().unwrap();
    (last - killed).as_secs_f64()
}
