//! Random walks over everything that workers, schedulers, zombies and operators can do, in any order, with all
//! invariants checked after every step and nothing lost at the end.
//!
//! The scripts are the real ones, on a real Redis, and the walk is a sample; `tests/model` is a model of them of
//! which every state is visited.
//!
//! A walk is named by its seed; a failure prints the seed and the steps up to the one that broke something.

mod drains;
mod ending;
mod limits;
mod prefixes;
mod steps;
mod world;

use std::sync::Arc;
use std::time::Instant;

use holdfast::store::Store;

use self::world::World;
use super::{open, raw};
use crate::support::TestRedis;

const WALKS: u64 = 300;
const STEPS: usize = 90;

#[tokio::test]
async fn no_sequence_of_steps_breaks_an_invariant_or_loses_an_event() {
    let redis = TestRedis::with(&["--appendonly", "no"]);
    let (admin, connection) = (open(&redis.admin_url()).await, open(&redis.url()).await);
    let started = Instant::now();
    // Always the same walks, and one that is new each time.
    let chosen = std::env::var("HOLDFAST_TEST_SEED")
        .ok()
        .map(|seed| seed.parse::<u64>().unwrap());
    let seeds: Vec<u64> = match chosen {
        Some(seed) => vec![seed],
        None => (0..WALKS).chain([rand::random()]).collect(),
    };
    println!("the new walk has HOLDFAST_TEST_SEED={}", seeds[seeds.len() - 1]);
    let mut steps = std::collections::BTreeMap::new();
    for seed in seeds {
        let store = Store::open(connection.clone(), &format!("holdfast:walk-{seed}"), None)
            .await
            .unwrap();
        let mut world = World::new(admin.clone(), Arc::clone(&store.partitions()[0]), seed).await;
        for _ in 0..STEPS {
            world.step().await;
        }
        world.settle_down().await;
        for (name, count) in world.taken {
            *steps.entry(name).or_insert(0) += count;
        }
        let _: String = raw(&admin, &["FLUSHALL"]).await;
    }
    println!("{:?} for {steps:?}", started.elapsed());
}
