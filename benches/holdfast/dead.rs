//! What a subscriber that is down costs, with a thousand deliveries parked and with a million.
//!
//! One worker parks them; a fresh one, whose commands are counted, then probes on beside one that has nothing
//! to do at all. What the two send differently is the cost.

use std::time::Instant;

use crate::Plan;
use crate::counter::{self, Commands, Counter, total};
use crate::deployment::{Deployment, WAIT, WAITING};
use crate::idle::listed;
use crate::output::{Mark, Row};
use crate::process::{peak_memory, resident_memory};
use crate::sink::{Mode, Sink};
use crate::stats::Samples;

const MIB: f64 = (1 << 20) as f64;

pub(crate) async fn measure(plan: Plan) -> Vec<Row> {
    counter::check();
    let (few, many) = (plan.size(1_000, 100), plan.size(1_000_000, 3_000));
    let periods = plan.size(20, 4);
    let (nothing, some, (lots, peak)) = (park(0).await.0, park(few).await.0, park(many).await);
    let (none, few_cost, many_cost) = tokio::join!(
        watch(nothing, 0, periods),
        watch(some, few, periods),
        watch(lots, many, periods)
    );
    let commands = |cost: &Cost| one((total(&cost.commands) as f64 - total(&none.commands) as f64) / periods as f64);
    let listed = |cost: &Cost| {
        format!(
            "{} in {periods} s; without a dead subscriber {}",
            listed(&cost.commands),
            listed(&none.commands)
        )
    };
    let per_period = |count: usize| format!("Redis commands per wait period, dead subscriber, {count} parked");
    vec![
        Row::new(per_period(few), "", commands(&few_cost)).mark(Mark::AtMost(10.0)),
        Row::new(per_period(many), "", commands(&many_cost))
            .mark(Mark::AtMost(10.0))
            .note(listed(&many_cost)),
        Row::new(
            format!("the same, by how much more with {many} than with {few}"),
            "",
            one(commands(&many_cost).median() - commands(&few_cost).median()),
        )
        .mark(Mark::AtMost(0.5)),
        Row::new("POSTs per wait period to it", "", one(many_cost.posts)).mark(Mark::AtMost(1.0)),
        Row::new(
            format!("worker memory while {many} are parked, peak"),
            " MiB",
            one(peak / MIB),
        )
        .mark(Mark::AtMost(64.0)),
        Row::new(
            format!("worker memory with {few} parked"),
            " MiB",
            one(few_cost.memory / MIB),
        ),
        Row::new(
            format!("worker memory with {many} parked"),
            " MiB",
            one(many_cost.memory / MIB),
        ),
    ]
}

fn one(value: f64) -> Samples {
    Samples::new([value])
}

struct Cost {
    commands: Commands,
    /// Per wait period.
    posts: f64,
    /// Resident bytes of the worker at the end.
    memory: f64,
}

/// A subscriber that is down and so many deliveries parked for it; the worker that parked them has stopped.
/// Answers its peak memory in bytes, too.
async fn park(count: usize) -> ((Sink, Deployment), f64) {
    let mut sink = Sink::start(1).await;
    sink.set_mode(0..1, Mode::Answer(503)).await;
    let mut deployment = Deployment::start(1).await;
    deployment.subscribe("s0", &sink.url(0), |_| {}).await;
    let url = deployment.redis.url();
    let worker = deployment.add_worker(&url, &WAITING).pid();
    deployment.lives().await;
    deployment.publish(count).await;
    deployment.parked(count).await;
    let peak = peak_memory(worker);
    deployment.stop_workers();
    ((sink, deployment), peak)
}

/// Lets a fresh worker probe for so many wait periods, or have nothing to do where nothing is parked.
async fn watch((mut sink, mut deployment): (Sink, Deployment), parked: usize, periods: usize) -> Cost {
    let counter = Counter::to(deployment.redis.port()).await;
    let (_, before) = sink.counts().await;
    let worker = deployment.add_worker(&counter.url(), &WAITING).pid();
    deployment.lives().await;
    // Past the first rounds of everything that a start does at once.
    tokio::time::sleep(2 * WAIT).await;
    if parked > 0 {
        sink.requested(before + 2).await;
    }
    sink.clear().await;
    counter.take();
    let started = Instant::now();
    tokio::time::sleep(WAIT * u32::try_from(periods).unwrap()).await;
    let (commands, (_, posts)) = (counter.take(), sink.counts().await);
    let ledger = deployment.snapshot().await.ledger;
    assert_eq!(usize::try_from(ledger.parked), Ok(parked), "{ledger:?}");
    assert_eq!(ledger.imbalance(), 0, "{ledger:?}");
    Cost {
        commands,
        posts: posts as f64 * WAIT.as_secs_f64() / started.elapsed().as_secs_f64(),
        memory: resident_memory(worker),
    }
}
