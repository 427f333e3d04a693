//! What an idle worker asks of Redis: commands a second with one partition, and for each further one.

use std::time::Duration;

use crate::Plan;
use crate::counter::{self, Commands, Counter, total};
use crate::deployment::Deployment;
use crate::output::{Mark, Row};
use crate::sink::Sink;
use crate::stats::Samples;

const MORE: u16 = 4;
/// A multiple of every period of a worker but the audit's.
const WINDOW: Duration = Duration::from_secs(10);

pub(crate) async fn measure(plan: Plan) -> Vec<Row> {
    counter::check();
    let sink = Sink::start(1).await;
    let (windows, window) = if plan.quick {
        (1, Duration::from_secs(4))
    } else {
        (3, WINDOW)
    };
    let (one, five) = tokio::join!(
        watch(&sink, 1, windows, window),
        watch(&sink, 1 + MORE, windows, window)
    );
    let rates = |commands: &[Commands]| -> Vec<f64> {
        let per_second = |commands| total(commands) as f64 / window.as_secs_f64();
        commands.iter().map(per_second).collect()
    };
    let (one_rates, five_rates) = (rates(&one), rates(&five));
    let further = one_rates
        .iter()
        .zip(&five_rates)
        .map(|(one, five)| (five - one) / f64::from(MORE));
    vec![
        Row::new(
            "Redis commands of an idle worker, one partition",
            "/s",
            Samples::new(one_rates.clone()),
        )
        .mark(Mark::AtMost(5.0))
        .note(listed(&one[0])),
        Row::new("the same, each further partition", "/s", Samples::new(further)).note(listed(&five[0])),
    ]
}

/// The commands of each window.
async fn watch(sink: &Sink, partitions: u16, windows: usize, window: Duration) -> Vec<Commands> {
    let mut deployment = Deployment::start(partitions).await;
    deployment.subscribe("s0", &sink.url(0), |_| {}).await;
    let counter = Counter::to(deployment.redis.port()).await;
    let count = partitions.to_string();
    deployment.add_worker(&counter.url(), &[("HOLDFAST_REDIS__PARTITIONS", &count)]);
    deployment.lives().await;
    // Past the first rounds of everything that a start does at once.
    tokio::time::sleep(Duration::from_secs(2)).await;
    counter.take();
    let mut counted = Vec::new();
    for _ in 0..windows {
        tokio::time::sleep(window).await;
        counted.push(counter.take());
    }
    counted
}

/// `12 EVALSHA, 5 XREADGROUP`
pub(crate) fn listed(commands: &Commands) -> String {
    let listed: Vec<String> = commands.iter().map(|(name, count)| format!("{count} {name}")).collect();
    listed.join(", ")
}
