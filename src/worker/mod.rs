//! The worker: reads events and redeliveries, delivers, parks, and takes over from peers that died.
//!
//! One [`pod::Pod`] a process, one [`lane::Lane`] a partition, one file a loop; [`Worker`] starts and stops them.

mod attempt;
pub mod audit;
pub mod behind;
pub mod catalog;
mod clients;
pub mod commons;
pub mod destinations;
pub mod detour;
mod direct;
mod drain;
mod ends;
pub mod envelope;
mod failure;
pub mod heartbeat;
pub mod in_flight;
pub mod lane;
pub mod lease;
mod meter;
mod overflow;
pub mod persist;
pub mod pod;
pub mod pulse;
pub mod reader;
pub mod recent;
pub mod registry;
pub mod retention;
pub mod scheduler;
pub mod sender;
pub mod settler;
pub mod slots;
pub mod sweep;
pub mod takeover;
mod unwanted;

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tracing::{info, warn};

use self::lane::Lane;
use self::pod::Pod;
use self::recent::Trimmer;
use crate::store::StoreError;
use crate::store::events::Stream;

/// How long Redis may take for the goodbyes.
const GOODBYE: Duration = Duration::from_secs(3);

/// A running worker.
#[derive(Debug)]
pub struct Worker {
    pod: Arc<Pod>,
    lanes: Vec<Arc<Lane>>,
    /// Loops that take up new work: they end by themselves once the pod is quiet.
    intake: JoinSet<()>,
    /// Loops that what is in progress needs to its end.
    support: JoinSet<()>,
    heartbeats: JoinSet<()>,
}

impl Worker {
    /// Starts all loops, in an order that is safe: groups, subscriptions, heartbeat, then the first read.
    ///
    /// # Errors
    /// When Redis can't be reached or refuses.
    pub async fn start(pod: Arc<Pod>) -> Result<Self, StoreError> {
        let mut worker = Self {
            pod: Arc::clone(&pod),
            lanes: Vec::new(),
            intake: JoinSet::new(),
            support: JoinSet::new(),
            heartbeats: JoinSet::new(),
        };
        for partition in pod.store.partitions() {
            partition.ensure_groups().await?;
        }
        registry::first(&pod).await?;
        worker.support.spawn(registry::run(Arc::clone(&pod)));
        worker.intake.spawn(retention::run(Arc::clone(&pod)));
        let mut trimmer = Trimmer::new(Arc::clone(&pod));
        trimmer.turn().await;
        worker.support.spawn(trimmer.run());
        for partition in pod.store.partitions() {
            let (lane, finished) = Lane::new(Arc::clone(&pod), Arc::clone(partition));
            heartbeat::step(&lane).await?;
            let events = partition.reader(Stream::Events, &pod.name).await?;
            let redeliveries = partition.reader(Stream::Redeliveries, &pod.name).await?;
            worker.heartbeats.spawn(heartbeat::run(Arc::clone(&lane)));
            worker.support.spawn(settler::run(Arc::clone(&lane), finished));
            worker.intake.spawn(scheduler::run(Arc::clone(&lane)));
            worker.intake.spawn(sweep::run(Arc::clone(&lane)));
            worker.intake.spawn(takeover::run(Arc::clone(&lane)));
            worker.intake.spawn(audit::run(Arc::clone(&lane)));
            worker.intake.spawn(reader::run(Arc::clone(&lane), redeliveries));
            worker.intake.spawn(reader::run(Arc::clone(&lane), events));
            worker.lanes.push(lane);
        }
        worker.intake.spawn(pulse::run(Arc::clone(&pod), worker.lanes.clone()));
        info!(worker = pod.name, partitions = worker.lanes.len(), "worker started");
        Ok(worker)
    }

    /// Knows the subscriptions and works on nothing: what a process that only takes events in needs of a worker.
    /// Groups are made here too, for it may be the first process of a deployment.
    ///
    /// # Errors
    /// When Redis can't be reached or refuses.
    pub async fn watch(pod: Arc<Pod>) -> Result<Self, StoreError> {
        for partition in pod.store.partitions() {
            partition.ensure_groups().await?;
        }
        match registry::step(&pod).await {
            // It sends nothing, and what it takes in is kept: its loop looks again.
            Ok(_) | Err(StoreError::RegistryLost { .. }) => {}
            Err(error) => return Err(error),
        }
        let mut support = JoinSet::new();
        support.spawn(registry::run(Arc::clone(&pod)));
        Ok(Self {
            pod,
            lanes: Vec::new(),
            intake: JoinSet::new(),
            support,
            heartbeats: JoinSet::new(),
        })
    }

    /// Its lanes, for tests that take single steps.
    #[must_use]
    pub fn lanes(&self) -> &[Arc<Lane>] {
        &self.lanes
    }

    /// Stops taking up work, finishes what is in flight within `deadline`, settles it, gives drains back, and
    /// leaves, so that peers take over what is left at once.
    pub async fn stop(mut self, deadline: Duration) {
        self.pod.quiet.cancel();
        self.pod.tasks.close();
        let finish = async {
            while self.intake.join_next().await.is_some() {}
            self.pod.tasks.wait().await;
            while self.lanes.iter().any(|lane| !lane.in_flight.is_empty()) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        if tokio::time::timeout(deadline, finish).await.is_err() {
            let left: usize = self.lanes.iter().map(|lane| lane.in_flight.len()).sum();
            warn!(
                left,
                "the shutdown deadline passed: what is left in flight is taken over by peers"
            );
        }
        // No beat may follow the goodbye, and nothing is sent any more without asking who owns it.
        self.heartbeats.shutdown().await;
        let goodbyes = self.lanes.iter().map(|lane| async {
            lane.lease.end();
            lane.partition.leave(&self.pod.name).await?;
            // Only remembered: peers need not wait for anybody because of it.
            let _told = lane.partition.tell_sources().await;
            Ok::<(), StoreError>(())
        });
        let goodbyes = tokio::time::timeout(GOODBYE, futures::future::join_all(goodbyes)).await;
        if !goodbyes.is_ok_and(|answers| answers.iter().all(Result::is_ok)) {
            warn!("could not say goodbye to Redis: peers take over after the dead-after time");
        }
        self.support.shutdown().await;
        info!(worker = self.pod.name, "worker stopped");
    }
}
