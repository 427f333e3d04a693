//! Many faults on one stage, in an order that the seed decides, for as long as one likes.

use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::LocalBoxFuture;
use holdfast::cli::sink::Mode;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use crate::catalogue::{FAULTS, Fault};
use crate::ground::Ground;
use crate::kinds::topologies;
use crate::stage::{Stage, Wish};

/// A round has this many faults; then everything heals, drains and is checked.
const ROUND: usize = 4;

/// Most rounds are on one server, where most faults are; every second one is elsewhere.
const GROUNDS: [Ground; 6] = [
    Ground::Normal,
    Ground::Sentinel,
    Ground::Normal,
    Ground::SmallDisk,
    Ground::Normal,
    Ground::Cluster,
];

/// Where the round of a seed is.
pub(crate) fn ground(seed: u64) -> Ground {
    let rounds = u64::try_from(GROUNDS.len()).unwrap();
    GROUNDS[usize::try_from(seed % rounds).unwrap()]
}

/// What may be in a round there. A small disk has what one server has besides.
fn able(ground: Ground) -> Vec<&'static Fault> {
    let mixing = || FAULTS.iter().filter(|fault| fault.mixes);
    let own = mixing().filter(|fault| fault.ground == ground);
    let others = mixing().filter(|fault| {
        fault.ground != ground && (fault.anywhere || (ground == Ground::SmallDisk && fault.ground == Ground::Normal))
    });
    // What only this ground has would drown among the many that every ground has.
    let again = mixing().filter(|fault| fault.ground == ground && ground != Ground::Normal);
    own.chain(others).chain(again.clone()).chain(again).collect()
}

/// Plays a few faults one after the other, at times with a worker killed on top. The seed of the stage decides.
pub(crate) fn round(stage: &mut Stage) -> LocalBoxFuture<'_, ()> {
    async move {
        let mut chance = StdRng::seed_from_u64(stage.seed);
        let able = able(ground(stage.seed));
        for _ in 0..ROUND {
            let fault = able.choose(&mut chance).unwrap();
            println!("     {}", fault.name);
            if chance.random_bool(0.3) {
                stage.kill(0);
                stage.add_pod(Wish::default()).await;
            }
            (fault.act)(stage).await;
            topologies::whole(stage).await;
            // As it was before: the next fault may rely on it.
            while stage.pods.len() < 2 {
                stage.add_pod(Wish::default()).await;
            }
            stage.steady.sink.set_mode(Mode::Ok).await;
            stage.moody.sink.set_mode(Mode::Random(chance.random())).await;
            stage.ordered.sink.set_mode(crate::stage::UNHURRIED).await;
            stage.progress(20).await;
        }
    }
    .boxed_local()
}

/// The seeds of the rounds that fit into so many minutes.
pub(crate) fn seeds(first: u64, minutes: u64) -> impl Iterator<Item = u64> {
    let end = Instant::now() + Duration::from_secs(60 * minutes);
    (first..).take_while(move |_| Instant::now() < end)
}
