//! Crashes at every point of a walk: its append-only file is cut at the end of each command and at random bytes,
//! and a server starts on what is left. Every event that was accepted before the cut must still be delivered, the
//! books must balance and no invariant may be broken, from the first moment on.
//!
//! What subscribers received, or workers wrote to a file of theirs, before the crash counts; what was sent but not written down is sent again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::StreamExt;
use holdfast::domain::ids::StreamId;
use holdfast::store::Store;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rstest::rstest;

use super::world::World;
use crate::store::open;
use crate::support::{Aof, TestRedis};

/// A walk goes on until its file has so many commands.
const COMMANDS: usize = 250;
const MOST_STEPS: usize = 2_000;
/// Cuts in the middle of a command.
const RANDOM_CUTS: usize = 60;
/// Servers at a time.
const SERVERS: usize = 4;

/// What happened, and by how much of the file it had.
struct Recording {
    aof: Aof,
    seed: u64,
    /// Every event that was ever in the stream, and who wanted it.
    events: BTreeMap<StreamId, BTreeSet<String>>,
    /// Events that came back from the dead letters, by their old id.
    renamed: BTreeMap<StreamId, StreamId>,
    /// Each delivery that a subscriber or a worker's file had once so many bytes were written.
    received: BTreeMap<(StreamId, String), usize>,
    subscriptions: BTreeMap<String, bool>,
    taken: BTreeMap<&'static str, u32>,
}

async fn world(redis: &TestRedis, seed: u64) -> World {
    let (admin, connection) = (open(&redis.admin_url()).await, open(&redis.url()).await);
    let store = Store::open(connection, "holdfast", None).await.unwrap();
    World::new(admin, Arc::clone(&store.partitions()[0]), seed).await
}

async fn record(seed: u64) -> Recording {
    let redis = TestRedis::with(&["--auto-aof-rewrite-percentage", "0"]);
    let mut world = world(&redis, seed).await;
    let (mut events, mut renamed, mut received) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    for _ in 0..MOST_STEPS {
        if redis.aof().boundaries().len() > COMMANDS {
            break;
        }
        // A step notes what is received, or in a file, before it writes.
        let written = redis.written();
        world.step().await;
        for delivery in world.received.union(&world.written) {
            received.entry(delivery.clone()).or_insert(written);
        }
        let gone = events
            .keys()
            .find(|id| !world.events.contains_key(id) && !renamed.contains_key(*id));
        let new = world.events.keys().find(|id| !events.contains_key(*id));
        if let (Some(old), Some(new)) = (gone.copied(), new) {
            renamed.insert(old, *new);
        }
        events.extend(world.events.clone());
    }
    Recording {
        aof: redis.aof(),
        seed,
        events,
        renamed,
        received,
        subscriptions: std::mem::take(&mut world.subscriptions),
        taken: std::mem::take(&mut world.taken),
    }
}

impl Recording {
    /// The events that the file has in its first `at` bytes.
    fn accepted(&self, at: usize) -> BTreeMap<StreamId, BTreeSet<String>> {
        let commands = self.aof.commands(at);
        let added = commands
            .iter()
            .filter(|command| command.words[0].eq_ignore_ascii_case(b"XADD") && command.words[1].ends_with(b":events"))
            .map(|command| std::str::from_utf8(command.words[2]).unwrap().parse().unwrap());
        let ids: BTreeSet<StreamId> = added.collect();
        let is_here = |id: &&StreamId| !self.renamed.get(*id).is_some_and(|new| ids.contains(new));
        ids.iter()
            .filter(is_here)
            .map(|id| (*id, self.events[id].clone()))
            .collect()
    }

    /// Starts on what a crash left, checks it as it is, and brings everything to its end.
    async fn survive(&self, at: usize) {
        let redis = TestRedis::on(&self.aof.cut(at), &[]);
        let mut world = world(&redis, self.seed).await;
        world.note(format!("cut at byte {at} of {}", self.aof.len()));
        world.subscriptions.clone_from(&self.subscriptions);
        // The first look: it finds out which of them were removed by then.
        let names: Vec<&str> = self.subscriptions.keys().map(String::as_str).collect();
        let state = world.look(&names).await;
        for (name, removed) in &mut world.subscriptions {
            *removed = state.removed.contains_key(name);
        }
        world.version = u64::try_from(MOST_STEPS).unwrap();
        world.events = self.accepted(at);
        let received = self.received.iter().filter(|(_, written)| **written <= at);
        world.received = received.map(|(delivery, _)| delivery.clone()).collect();
        world.check().await;
        world.settle_down().await;
    }
}

#[rstest]
#[case(3)]
#[case(8)]
#[case(21)]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_crash_after_any_command_and_within_any_loses_nothing(#[case] seed: u64) {
    let recording = record(seed).await;
    let mut random = StdRng::seed_from_u64(seed);
    let mut cuts = recording.aof.boundaries();
    let commands = cuts.len();
    cuts.extend((0..RANDOM_CUTS).map(|_| random.random_range(0..recording.aof.len())));
    let accepted = recording.accepted(recording.aof.len()).len();
    println!(
        "{} cuts of {commands} commands, {accepted} events, {:?}",
        cuts.len(),
        recording.taken
    );
    assert!(
        commands > 150 && accepted > 5 && recording.taken.len() > 10,
        "too little happened"
    );
    let recording = Arc::new(recording);
    futures::stream::iter(cuts)
        .for_each_concurrent(SERVERS, |at| {
            let recording = Arc::clone(&recording);
            async move { tokio::spawn(async move { recording.survive(at).await }).await.unwrap() }
        })
        .await;
}
