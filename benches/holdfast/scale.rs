//! More workers, more deliveries: with subscribers that need time to answer, so that the number of requests at once
//! is the limit, and not the machine.
//!
//! Each event goes to one of the subscribers in turn; each answers after a while, and a worker has a few requests at
//! once to each. What one worker can do follows from that, and more of them should do as much more.

use std::collections::HashSet;
use std::time::Duration;

use futures::future::join_all;

use crate::deployment::Deployment;
use crate::output::{Mark, Row};
use crate::process::now;
use crate::sink::{Arrival, Mode, Sink};
use crate::stats::Samples;
use crate::{Plan, SOON, events};

const SUBSCRIBERS: usize = 8;
/// Requests at once from one worker to one subscriber.
const AT_ONCE: usize = 4;
const ANSWER: Duration = Duration::from_millis(50);
/// What one worker can do at most, in requests per second.
const ONE: f64 = (SUBSCRIBERS * AT_ONCE) as f64 * 1e9 / ANSWER.as_nanos() as f64;
/// Waiting for a slot is no reason to park here.
const SETTINGS: [(&str, &str); 3] = [
    ("HOLDFAST_DELIVERY__MAX_IN_FLIGHT", "4"),
    ("HOLDFAST_DELIVERY__DIRECT_WAIT", "5m"),
    // What one worker holds is little, so that another one finds something to do.
    ("HOLDFAST_WORKER__MAX_EVENTS", "128"),
];
/// A rate is looked at over this time.
const WINDOW: Duration = Duration::from_millis(500);

/// Subscribers that need time, and a Redis.
struct Site {
    sink: Sink,
    deployment: Deployment,
    written: usize,
}

impl Site {
    async fn start() -> Self {
        let mut sink = Sink::start(SUBSCRIBERS).await;
        sink.set_mode(0..SUBSCRIBERS, Mode::Slow(ANSWER)).await;
        let deployment = Deployment::start(1).await;
        for port in 0..SUBSCRIBERS {
            deployment
                .subscribe(&format!("s{port}"), &sink.url(port), |subscription| {
                    subscription.filter.origin_resources = vec![events::chassis(port)];
                    subscription.filter.subordinate_resources = true;
                })
                .await;
        }
        Self {
            sink,
            deployment,
            written: 0,
        }
    }

    async fn write(&mut self, count: usize) {
        let numbers = self.written..self.written + count;
        join_all(numbers.map(|number| self.deployment.write(events::about(number, number % SUBSCRIBERS)))).await;
        self.written += count;
    }

    async fn add(&mut self) {
        let url = self.deployment.redis.url();
        self.deployment.add_worker(&url, &SETTINGS);
        self.deployment.lives().await;
    }
}

pub(crate) async fn measure(plan: Plan) -> Vec<Row> {
    let (mut two, mut four, mut added, mut killed, mut twice) = (vec![], vec![], vec![], vec![], vec![]);
    let seconds = plan.size(8, 2);
    for _ in 0..plan.runs {
        let one = throughput(1, seconds).await;
        two.push(throughput(2, seconds).await / one);
        four.push(throughput(4, seconds).await / one);
        added.push(one_more(seconds).await);
        let (followed, duplicates) = one_less(seconds).await;
        killed.push(followed);
        twice.push(duplicates);
    }
    let setting = format!(
        "{SUBSCRIBERS} subscribers that answer after {} ms, {AT_ONCE} requests at once to each from a worker: {ONE:.0}/s at most",
        ANSWER.as_millis()
    );
    vec![
        Row::new("two workers against one: POST/s", "", Samples::new(two))
            .mark(Mark::AtLeast(1.8))
            .note(setting),
        Row::new("four workers against one: POST/s", "", Samples::new(four)).mark(Mark::AtLeast(3.6)),
        Row::new(
            "a second worker is ready: until it carries its share",
            " s",
            Samples::new(added),
        ),
        Row::new(
            "one of two killed at full load: until a peer has sent all that it held",
            " s",
            Samples::new(killed),
        )
        .mark(Mark::AtMost(15.0)),
        Row::new("the same: deliveries that came twice", "", Samples::new(twice)).note(format!(
            "{} were in flight at the worker that was killed",
            SUBSCRIBERS * AT_ONCE
        )),
    ]
}

/// POST/s of so many workers, the first second left out.
async fn throughput(workers: usize, seconds: usize) -> f64 {
    let mut site = Site::start().await;
    for _ in 0..workers {
        site.add().await;
    }
    let count = (ONE as usize) * workers * (seconds + 1);
    site.write(count).await;
    site.sink.accepted(count).await;
    site.deployment.settled(count).await;
    let arrivals = site.sink.arrivals().await;
    let (from, to) = (
        arrivals[0].at + Duration::from_secs(1),
        arrivals[arrivals.len() - 1].at - Duration::from_secs(1),
    );
    let counted = arrivals
        .iter()
        .filter(|arrival| (from..to).contains(&arrival.at))
        .count();
    counted as f64 / (to - from).as_secs_f64()
}

/// Seconds from the readiness of a second worker until both together do nearly twice what one can.
async fn one_more(seconds: usize) -> f64 {
    let mut site = Site::start().await;
    site.add().await;
    let count = (ONE as usize) * (2 * seconds + 6);
    site.write(count).await;
    site.sink.accepted(ONE as usize).await;
    site.add().await;
    let ready = now();
    site.sink.accepted(count).await;
    site.deployment.settled(count).await;
    let arrivals = site.sink.arrivals().await;
    let enough = 1.7 * ONE * WINDOW.as_secs_f64();
    let full = arrivals.iter().filter(|arrival| arrival.at >= ready).find(|from| {
        let window = from.at..from.at + WINDOW;
        arrivals.iter().filter(|arrival| window.contains(&arrival.at)).count() as f64 >= enough
    });
    let full = full.expect("the second worker never carried its share");
    (full.at - ready).as_secs_f64()
}

/// Seconds from the kill of one of two workers until all that it held has arrived, and how much of it had before.
async fn one_less(seconds: usize) -> (f64, f64) {
    let mut site = Site::start().await;
    site.add().await;
    site.add().await;
    let count = (ONE as usize) * 2 * seconds;
    site.write(count).await;
    site.sink.accepted(count / 4).await;
    let killed = now();
    site.deployment.workers[0].sigkill();
    // What the other one does meanwhile is done long before: the last to arrive is what had to be taken over.
    tokio::time::timeout(SOON, async {
        while distinct(&site.sink.arrivals().await) < count {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await
    .unwrap();
    site.deployment.settled(count).await;
    let arrivals = site.sink.arrivals().await;
    let last = arrivals.iter().map(|arrival| arrival.at).max().unwrap();
    (
        (last - killed).as_secs_f64(),
        (arrivals.len() - distinct(&arrivals)) as f64,
    )
}

fn distinct(arrivals: &[Arrival]) -> usize {
    arrivals.iter().map(|arrival| arrival.id).collect::<HashSet<_>>().len()
}
