//! Random walks over everything that workers, schedulers, zombies and operators can do, in any order, with all
//! invariants checked after every step and nothing lost at the end.
//!
//! A walk is named by its seed; a failure prints the seed and the steps up to the one that broke something.

mod drains;
mod ending;
mod limits;
mod steps;
mod world;

use std::time::Instant;

use holdfast::store::Store;
use holdfast::store::connect::{Connection, FirstConnect};

use self::world::World;
use crate::support::TestRedis;

const WALKS: u64 = 300;
const STEPS: usize = 90;

#[tokio::test]
async fn no_sequence_of_steps_breaks_an_invariant_or_loses_an_event() {
    let redis = TestRedis::with(&["--appendonly", "no"]);
    let settings = holdfast::config::Redis::default();
    let connection = Connection::open(&settings, &redis.url(), FirstConnect::FailFast)
        .await
        .unwrap();
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
        let store = Store::open(connection.clone(), &format!("walk-{seed}"), None)
            .await
            .unwrap();
        let mut world = World::new(store, seed).await;
        for _ in 0..STEPS {
            world.step().await;
        }
        world.settle_down().await;
        for (name, count) in world.taken {
            *steps.entry(name).or_insert(0) += count;
        }
        let _: String = super::raw(&world.store, &["FLUSHALL"]).await;
    }
    println!("{:?} for {steps:?}", started.elapsed());
}
