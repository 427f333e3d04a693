//! Keeps the limits that subscriptions have: what is beyond them becomes a dead letter or goes to a file.
//!
//! One loop a process, for a limit counts over all partitions; any number of processes may run it. Without a
//! subscription that has a limit it asks Redis nothing. Suspended subscriptions are limited as well: their queues grow.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tracing::{error, info, warn};

use super::overflow;
use super::persist::Trouble;
use super::pod::Pod;
use crate::domain::ids::{Member, SubscriptionId};
use crate::domain::retention::{Overflow, shares};
use crate::domain::subscription::Subscription;
use crate::store::retention::{Bounds, Moved, Offer, Overflowing};
use crate::store::{Partition, StoreError};
use crate::telemetry::labels::{DeliveryResult, LimitKind};
use crate::telemetry::metrics;

/// The most script calls between two counts; a million deliveries take about as many.
const TURNS: usize = 4096;
/// How long other workers leave a queue to the one that writes its overflow: longer than a disk takes. When the writer
/// dies another one goes on after that.
const LEASE: Duration = Duration::from_secs(20);
/// A queue that stays beyond its limit is said once in this time.
const SAY_AGAIN: Duration = Duration::from_secs(60);

/// Keeps limits until the pod is to be quiet.
pub async fn run(pod: Arc<Pod>) {
    let mut keeper = Keeper::new(Arc::clone(&pod));
    loop {
        let spread: f64 = rand::random_range(0.8..1.2);
        tokio::select! {
            () = tokio::time::sleep(pod.config.limits.check.0.mul_f64(spread)) => {}
            () = pod.quiet.cancelled() => return,
        }
        keeper.step().await;
    }
}

/// What the loop remembers between its steps.
#[derive(Debug)]
pub struct Keeper {
    pod: Arc<Pod>,
    /// By partition.
    troubles: Vec<Trouble>,
    /// Those whose overflow can't be written; said once.
    unwritten: HashSet<SubscriptionId>,
    /// What each had moved that was not said yet.
    unsaid: HashMap<SubscriptionId, Unsaid>,
}

/// What was moved for a subscription since that was said last.
#[derive(Debug, Default)]
struct Unsaid {
    moved: u64,
    to: Overflow,
    said: Option<Instant>,
}

/// One queue of one partition that may be beyond a limit.
#[derive(Debug)]
struct Turn {
    partition: Arc<Partition>,
    at: usize,
    bounds: Bounds,
    from: u64,
    /// This worker holds the lease on its overflow.
    writing: bool,
}

impl Keeper {
    /// A loop that has not looked yet.
    #[must_use]
    pub fn new(pod: Arc<Pod>) -> Self {
        let troubles = pod.store.partitions().iter().map(|_| Trouble::default()).collect();
        Self {
            pod,
            troubles,
            unwritten: HashSet::new(),
            unsaid: HashMap::new(),
        }
    }

    /// Compares every limited queue with its limits and moves what is beyond them, a chunk of each in turn. What
    /// Redis refuses is said and tried again by the next step.
    pub async fn step(&mut self) {
        let catalog = self.pod.catalog();
        let known = catalog.subscribers();
        let limited: Vec<Arc<Subscription>> = known
            .map(|subscriber| Arc::clone(&subscriber.subscription))
            .filter(|subscription| subscription.limits.is_limited())
            .collect();
        let is_limited = |id: &SubscriptionId| limited.iter().any(|subscription| subscription.id == *id);
        self.unwritten.retain(is_limited);
        self.unsaid.retain(|id, _| is_limited(id));
        if limited.is_empty() {
            return;
        }
        let mut failed: Vec<Option<StoreError>> = self.troubles.iter().map(|_| None).collect();
        let mut turns = self.count(&limited, &mut failed).await;
        for _ in 0..TURNS {
            let Some(turn) = turns.pop_front() else { break };
            if self.pod.quiet.is_cancelled() || failed[turn.at].is_some() || !self.is_in_force(&turn) {
                continue;
            }
            let at = turn.at;
            match self.take(turn).await {
                Ok(more) => turns.extend(more),
                Err(error) => failed[at] = Some(error),
            }
        }
        self.say();
        for ((trouble, partition), error) in self.troubles.iter_mut().zip(self.pod.store.partitions()).zip(failed) {
            trouble
                .note("keeping the limits", partition, error.map_or(Ok(()), Err))
                .await;
        }
    }

    /// The queues that hold anything, each with its share of the limit. A partition that can't be asked counts as
    /// empty: then less is moved, never more.
    async fn count(&self, limited: &[Arc<Subscription>], failed: &mut [Option<StoreError>]) -> VecDeque<Turn> {
        let names: Vec<&str> = limited.iter().map(|subscription| subscription.id.as_str()).collect();
        let partitions = self.pod.store.partitions();
        let mut held = vec![vec![0; partitions.len()]; limited.len()];
        for (at, partition) in partitions.iter().enumerate() {
            match partition.held(&names).await {
                Ok(counts) => counts.iter().zip(&mut held).for_each(|(count, held)| held[at] = *count),
                Err(error) => failed[at] = Some(error),
            }
        }
        let mut turns = VecDeque::new();
        for (subscription, held) in limited.iter().zip(held) {
            let limits = subscription.limits;
            let kept = limits
                .max_parked
                .map_or_else(|| held.clone(), |most| shares(&held, most));
            for (at, partition) in partitions.iter().enumerate() {
                let keep = (kept[at] < held[at]).then_some(kept[at]);
                if keep.is_none() && (limits.max_age.is_none() || held[at] == 0) {
                    continue;
                }
                let subscription = subscription.id.clone();
                turns.push_back(Turn {
                    partition: Arc::clone(partition),
                    at,
                    bounds: Bounds {
                        subscription,
                        limits,
                        keep,
                    },
                    from: 0,
                    writing: false,
                });
            }
        }
        turns
    }

    /// Whether the limits are still those that were counted with: one set by mistake and taken back stops at once.
    fn is_in_force(&self, turn: &Turn) -> bool {
        let catalog = self.pod.catalog();
        let known = catalog.get(&turn.bounds.subscription);
        known.is_some_and(|known| known.subscription.limits == turn.bounds.limits)
    }

    /// Moves one chunk; answers the next turn when there may be more.
    async fn take(&mut self, turn: Turn) -> Result<Option<Turn>, StoreError> {
        if turn.bounds.limits.overflow == Overflow::File {
            return self.write(turn).await;
        }
        let (moved, next) = turn.partition.bury_overflow(&turn.bounds, turn.from).await?;
        self.moved(&turn.bounds, moved, DeliveryResult::DeadLettered);
        Ok(next.map(|from| Turn { from, ..turn }))
    }

    /// Writes one chunk to the file, then takes it out of the queue.
    async fn write(&mut self, turn: Turn) -> Result<Option<Turn>, StoreError> {
        let id = turn.bounds.subscription.clone();
        // Without a directory it only looks, and keeps nobody from writing.
        let dir = self.pod.config.limits.overflow_dir.clone();
        let lease = if dir.is_some() { LEASE } else { Duration::ZERO };
        let worker = self.pod.name.clone();
        let offer = turn.partition.offer_overflow(&turn.bounds, turn.from, &worker, lease);
        let Offer::Lines { lines, next } = offer.await? else {
            return Ok(None);
        };
        let writing = turn.writing || !lines.is_empty();
        let mut written = true;
        if !lines.is_empty() {
            written = self.append(dir, &turn, &lines).await;
        }
        if written {
            self.take_out(&turn, &lines).await?;
        }
        if written && let Some(from) = next {
            return Ok(Some(Turn { from, writing, ..turn }));
        }
        if writing {
            turn.partition.overflowed(&id, &worker, &[]).await?;
        }
        Ok(None)
    }

    /// Writes the lines; whether they are safe. What is wrong is said once, and counted each time.
    async fn append(&mut self, dir: Option<std::path::PathBuf>, turn: &Turn, lines: &[Overflowing]) -> bool {
        let id = turn.bounds.subscription.clone();
        let Some(dir) = dir else {
            metrics::overflow_failure();
            if self.unwritten.insert(id.clone()) {
                error!(
                    subscription = %id,
                    "beyond its limit, and overflow goes to a file, but this worker has no directory for it: nothing \
                     leaves the queue; set HOLDFAST_LIMITS__OVERFLOW_DIR, or use --overflow dead-letters"
                );
            }
            return false;
        };
        let shown = dir.display().to_string();
        let text = overflow::lines(&id, turn.partition.index, lines);
        let (file, bytes) = (id.clone(), text);
        let task = tokio::task::spawn_blocking(move || overflow::append(&dir, &file, &bytes?));
        let result = task.await.unwrap_or_else(|failed| Err(std::io::Error::other(failed)));
        match result {
            Ok(()) => {
                if self.unwritten.remove(&id) {
                    info!(subscription = %id, dir = shown, "overflow is written again");
                }
                true
            }
            Err(error) => {
                metrics::overflow_failure();
                if self.unwritten.insert(id.clone()) {
                    error!(
                        subscription = %id, dir = shown, %error,
                        "overflow can't be written: nothing leaves the queue, which grows; make room in the directory or \
                         make it writable for Holdfast"
                    );
                }
                false
            }
        }
    }

    /// Takes what was written out of the queue, each limit's for itself, so that both are counted exactly.
    async fn take_out(&mut self, turn: &Turn, lines: &[Overflowing]) -> Result<(), StoreError> {
        for same in lines.chunk_by(|a, b| a.reason == b.reason) {
            let members: Vec<Member> = same.iter().map(|line| line.member).collect();
            let id = &turn.bounds.subscription;
            let left = turn.partition.overflowed(id, &self.pod.name, &members).await?;
            let mut moved = Moved::default();
            if same
                .first()
                .is_some_and(|line| line.reason == turn.bounds.limits.too_old())
            {
                moved.too_old = left;
            } else {
                moved.too_many = left;
            }
            self.moved(&turn.bounds, moved, DeliveryResult::Overflowed);
        }
        Ok(())
    }

    /// Counts what was moved.
    fn moved(&mut self, bounds: &Bounds, moved: Moved, result: DeliveryResult) {
        if moved.total() == 0 {
            return;
        }
        metrics::deliveries(result, moved.total());
        metrics::limited(LimitKind::MaxParked, moved.too_many);
        metrics::limited(LimitKind::MaxAge, moved.too_old);
        let unsaid = self.unsaid.entry(bounds.subscription.clone()).or_default();
        unsaid.moved += moved.total();
        unsaid.to = bounds.limits.overflow;
    }

    /// Says what was moved since it was said last: at once, then once in a while.
    fn say(&mut self) {
        for (id, unsaid) in &mut self.unsaid {
            let is_early = unsaid.said.is_some_and(|said| said.elapsed() < SAY_AGAIN);
            if unsaid.moved == 0 || is_early {
                continue;
            }
            let (moved, to) = (std::mem::take(&mut unsaid.moved), unsaid.to.as_str());
            unsaid.said = Some(Instant::now());
            warn!(subscription = %id, moved, to, "beyond its limit: the oldest deliveries are moved");
        }
    }
}
