//! Crashes of Redis at every point, survived by the real service: the append-only file of a run of all scripts is
//! cut, a server starts on what is left and a pod on the server. Every event that was accepted before the cut reaches
//! all who want it.
//!
//! A compact run can be cut everywhere: with `HOLDFAST_TEST_EXHAUSTIVE=1` after each command and at random bytes, else
//! before and after a call of each script and at a stride. A large run, in which settlements, claims and removals take
//! several calls, is cut between the calls: all of them, or those within one move.

mod recorder;

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::StreamExt;
use holdfast::cli::sink::Mode;
use holdfast::domain::ids::StreamId;
use holdfast::domain::subscription::State;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::harness::{DEAD_AFTER, Deployment, SOON, accepted};
use crate::support::{Holdfast, SHORT_TIMES, TestRedis, wait_until};
use recorder::{COMPACT, GONE, LARGE, Recording, SINK, id, record, store};

/// Servers at a time; most of the time they wait for their pod to take over.
const SERVERS: usize = 6;
/// Cuts in the middle of a command.
const MANY_BYTES: usize = 200;
const SOME_BYTES: usize = 4;
/// Commands of the compact run from one cut to the next, besides those at its scripts.
const STRIDE: usize = 4;
/// Scripts that only look, and `trim`, which finds nothing to forget in so short a run.
const READS_ONLY: [&str; 6] = ["census", "held", "obituaries", "parked", "snapshot", "trim"];
/// On top of the short times: nobody else is there to be robbed.
const HASTE: [(&str, &str); 3] = [
    ("HOLDFAST_WORKER__HEARTBEAT", "100ms"),
    ("HOLDFAST_WORKER__DEAD_AFTER", "400ms"),
    ("HOLDFAST_WORKER__SWEEP", "200ms"),
];

fn exhaustive() -> bool {
    std::env::var("HOLDFAST_TEST_EXHAUSTIVE").is_ok_and(|value| value == "1")
}

impl Recording {
    /// The end of every command from the first event on.
    fn boundaries(&self) -> Vec<usize> {
        let first = self.calls.iter().find(|call| call.name == "XADD").unwrap().from;
        let ends = self.aof.boundaries().into_iter();
        ends.filter(|end| *end >= first).collect()
    }

    /// The same without those within a script's effects, which a server that starts passes over.
    fn between_calls(&self) -> Vec<usize> {
        let first = self.boundaries()[0];
        let mut within = false;
        let mut ends = vec![first];
        for command in self.aof.commands(self.aof.len()) {
            match command.words[0].to_ascii_uppercase().as_slice() {
                b"MULTI" => within = true,
                b"EXEC" => within = false,
                _ => {}
            }
            if !within && command.end > first {
                ends.push(command.end);
            }
        }
        ends
    }

    /// Before and after the first call of each script that wrote something.
    fn at_each_script(&self) -> BTreeSet<usize> {
        let mut seen = BTreeSet::new();
        let first = self.boundaries()[0];
        let written = self
            .calls
            .iter()
            .filter(|call| call.to > call.from && call.from >= first);
        let firsts = written.filter(|call| seen.insert(call.name));
        firsts.flat_map(|call| [call.from, call.to]).collect()
    }

    fn scripts_without_effect(&self) -> Vec<&'static str> {
        let effect = self.calls.iter().filter(|call| call.to > call.from);
        let with: BTreeSet<_> = effect.map(|call| call.name).collect();
        let all: BTreeSet<_> = self.calls.iter().map(|call| call.name).collect();
        all.difference(&with).copied().collect()
    }

    /// Between two calls of a script that took several for one move.
    fn within_moves(&self) -> Vec<usize> {
        let scripts = self
            .calls
            .iter()
            .filter(|call| !call.name.starts_with(char::is_uppercase));
        let inside = |end: &usize| scripts.clone().any(|call| call.from < *end && *end < call.to);
        self.between_calls().into_iter().filter(inside).collect()
    }

    fn random_bytes(&self, count: usize) -> Vec<usize> {
        let mut random = StdRng::seed_from_u64(7);
        let first = self.boundaries()[0];
        (0..count).map(|_| random.random_range(first..self.aof.len())).collect()
    }

    /// How often the pod audits. Some cuts leave something to that: damage by a hand, and a removal or a suspension
    /// that was cut between the registry and the partition. At all others none may be needed.
    fn audit(&self, at: usize) -> &'static str {
        let call = |name| self.calls.iter().find(|call| call.name == name).unwrap();
        let inside = |name| {
            let mut calls = self.calls.iter().filter(|call| call.name == name);
            calls.any(|call| call.from < at && at < call.to)
        };
        let damaged = call("ZREM").from < at && at < call("orphans").to;
        if damaged || inside("remove") || inside("suspend") {
            "500ms"
        } else {
            "1h"
        }
    }

    async fn survive(&self, at: usize) {
        let sink = Deployment::sink(Mode::Ok).await;
        let files = self.aof.cut_with(at, SINK.as_bytes(), sink.url("/").as_bytes());
        let redis = TestRedis::on(&files, &[]);
        let store = store(&redis).await;
        let partition = Arc::clone(&store.partitions()[0]);
        let known = store.registry().await.unwrap().subscriptions;
        for subscription in known.iter().filter(|subscription| subscription.state != State::Enabled) {
            store.set_state(&subscription.id, State::Enabled).await.unwrap();
        }
        let url = redis.url();
        let own = [
            ("HOLDFAST_REDIS__URL", url.as_str()),
            ("HOLDFAST_WORKER__AUDIT", self.audit(at)),
        ];
        let environment: Vec<(&str, &str)> = SHORT_TIMES.into_iter().chain(HASTE).chain(own).collect();
        let _pod = Holdfast::start(&["serve"], &environment);
        let during = self
            .calls
            .iter()
            .find(|call| at <= call.to)
            .map_or("", |call| call.name);
        wait_until(
            &format!("all is delivered after a cut at {at}, in {during}"),
            SOON,
            async || {
                let now = partition.snapshot(DEAD_AFTER).await.unwrap();
                now.workers > 0 && now.events == 0 && now.redeliveries == 0 && now.ledger.parked == 0
            },
        )
        .await;
        let now = partition.snapshot(DEAD_AFTER).await.unwrap();
        assert_eq!(now.ledger.imbalance(), 0, "cut at {at}: {:?}", now.ledger);

        let mut has: BTreeSet<(StreamId, String)> = BTreeSet::new();
        has.extend(
            accepted(&sink)
                .into_iter()
                .map(|got| (got.event, got.subscription.to_string())),
        );
        let before = self.received.iter().filter(|(_, written)| **written <= at);
        has.extend(before.map(|((event, name), _)| (*event, name.to_string())));
        let dead = partition.dead_letters(None, 1_000).await.unwrap();
        has.extend(
            dead.into_iter()
                .filter_map(|letter| Some((letter.event?, letter.subscription?))),
        );
        let mut wanted = 0;
        for (event, critical) in self.accepted(at) {
            let takers = known.iter().filter(|known| (known.id != id(GONE)) == critical);
            for taker in takers {
                wanted += 1;
                assert!(
                    has.contains(&(event, taker.id.to_string())),
                    "cut at {at}: {event} for {}",
                    taker.id
                );
            }
        }
        println!("cut at {at} of {}: {wanted} deliveries are there", self.aof.len());
    }

    fn accepted(&self, at: usize) -> Vec<(StreamId, bool)> {
        let commands = self.aof.commands(at);
        let words = commands.iter().map(|command| &command.words);
        let added = words.filter(|words| words[0].eq_ignore_ascii_case(b"XADD") && words[1].ends_with(b":events"));
        let ids = added.map(|words| std::str::from_utf8(words[2]).unwrap().parse().unwrap());
        ids.map(|id: StreamId| (id, self.events[&id])).collect()
    }
}

async fn survive_all(recording: Recording, cuts: BTreeSet<usize>) {
    println!("{} cuts", cuts.len());
    futures::stream::iter(cuts)
        .for_each_concurrent(SERVERS, |at| recording.survive(at))
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_service_survives_a_crash_of_redis_at_any_point() {
    let recording = record(COMPACT).await;
    let boundaries = recording.boundaries();
    println!("{} commands", boundaries.len());
    let mut cuts = recording.at_each_script();
    assert_eq!(recording.scripts_without_effect(), READS_ONLY);
    if exhaustive() {
        cuts.extend(boundaries);
        cuts.extend(recording.random_bytes(MANY_BYTES));
    } else {
        cuts.extend(boundaries.iter().step_by(STRIDE));
        cuts.extend(recording.random_bytes(SOME_BYTES));
    }
    survive_all(recording, cuts).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_service_survives_a_crash_of_redis_between_the_calls_of_one_move() {
    let recording = record(LARGE).await;
    let mut cuts: BTreeSet<usize> = recording.within_moves().into_iter().collect();
    println!(
        "{} calls, {} within a move",
        recording.between_calls().len(),
        cuts.len()
    );
    assert!(cuts.len() >= 3, "{cuts:?}");
    if exhaustive() {
        cuts.extend(recording.between_calls());
    }
    survive_all(recording, cuts).await;
}
