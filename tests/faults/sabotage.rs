//! The harness tries itself: what it must find is done on purpose, and it fails when it finds nothing.

use futures::FutureExt;

use crate::check::Verdict;
use crate::run::{Act, play};
use crate::stage::{EVENTS, Fixture, NORMAL, Stage};
use crate::trail::is_stream_id;

/// What is done, and how the harness must put it.
const SABOTAGES: &[(&str, &str, Act)] = &[
    ("an-entry-vanishes", "lost", |s| entry_vanishes(s).boxed_local()),
    ("a-subscriber-forgets", "lost", |s| subscriber_forgets(s).boxed_local()),
    ("a-retry-queue-vanishes", "lost", |s| queue_vanishes(s).boxed_local()),
    ("somebody-else-sends", "nobody sent", |s| {
        stranger_sends(s).boxed_local()
    }),
    ("the-ledger-is-cooked", "ledger", |s| ledger_cooked(s).boxed_local()),
];

/// Plays all of them; answers what was not found.
pub(crate) async fn undetected(seed: u64) -> Vec<&'static str> {
    let mut missed = Vec::new();
    for (name, finding, act) in SABOTAGES {
        let verdict = play(name, seed, NORMAL, Fixture::None, *act).await;
        let found = is_found(&verdict, finding);
        println!("{name:<28} {}", if found { "found" } else { "NOT FOUND" });
        if !found {
            verdict.problems.iter().for_each(|problem| println!("     {problem}"));
            missed.push(*name);
        }
    }
    missed
}

fn is_found(verdict: &Verdict, finding: &str) -> bool {
    verdict.problems.iter().any(|problem| problem.contains(finding))
}

/// An accepted event is deleted before anybody has read it.
async fn entry_vanishes(stage: &mut Stage) {
    stage.pods.iter().for_each(|pod| pod.process.sigstop());
    // Not one that a frozen reader was waiting for: it has that already.
    stage.producer.write(5).await;
    let newest = stage.redis().cli(&["XREVRANGE", EVENTS, "+", "-", "COUNT", "1"]);
    let id = newest.lines().find(|line| is_stream_id(line)).unwrap();
    assert_eq!(stage.redis().cli(&["XDEL", EVENTS, id]), "1");
    stage.pods.iter().for_each(|pod| pod.process.sigcont());
}

/// A subscriber says 2xx and does not remember.
async fn subscriber_forgets(stage: &mut Stage) {
    stage.steady.forgets = Some(7);
}

/// What is parked for a subscription is deleted.
async fn queue_vanishes(stage: &mut Stage) {
    let queue = format!("holdfast:{{0}}:retry:{}", stage.ordered.id);
    assert_eq!(stage.redis().cli(&["UNLINK", &queue]), "1");
}

/// An event arrives that is not the producer's.
async fn stranger_sends(stage: &mut Stage) {
    let event = r#"{"Events":[{"MessageId":"Base.1.0.Success"}]}"#;
    stage.redis().cli(&["XADD", EVENTS, "*", "event", event]);
}

/// A total is changed by hand.
async fn ledger_cooked(stage: &mut Stage) {
    stage.redis().cli(&["HINCRBY", "holdfast:{0}:ledger", "delivered", "1"]);
}
