//! Settles processed events in batches: while one call is under way the next batch collects.
//!
//! A settlement is repeated until Redis took it; only then does the event leave the in-flight map.

use std::sync::Arc;

use tokio::sync::mpsc;
use tracing::{info, warn};

use super::behind::Failing;
use super::ends;
use super::in_flight::Guard;
use super::lane::Lane;
use super::persist::persist;
use crate::store::settle::{Settlement, Verdict};
use crate::telemetry::labels::DeliveryResult;
use crate::telemetry::metrics;

/// Most events in one batch.
const BATCH: usize = 128;

/// An event whose deliveries have all been tried.
#[derive(Debug)]
pub struct Finished {
    /// What became of them.
    pub settlement: Settlement,
    /// Subscriptions that count as behind here until this is settled.
    pub failing: Vec<Failing>,
    /// Keeps the event in the in-flight map.
    pub guard: Guard,
}

impl Finished {
    /// An event of which nothing failed.
    #[must_use]
    pub fn new(settlement: Settlement, guard: Guard) -> Self {
        Self {
            settlement,
            failing: Vec::new(),
            guard,
        }
    }
}

/// Runs until the lane is dropped and everything is settled.
pub async fn run(lane: Arc<Lane>, mut finished: mpsc::UnboundedReceiver<Finished>) {
    let mut batch = Vec::with_capacity(BATCH);
    while finished.recv_many(&mut batch, BATCH).await > 0 {
        step(&lane, std::mem::take(&mut batch)).await;
    }
}

/// Settles one batch.
pub async fn step(lane: &Lane, batch: Vec<Finished>) {
    let (settlements, rest): (Vec<_>, Vec<_>) = batch
        .into_iter()
        .map(|finished| (finished.settlement, (finished.failing, finished.guard)))
        .unzip();
    let pod = &lane.pod;
    let settled = persist("settling events", &lane.partition, || {
        lane.partition.settle(&pod.name, pod.refusal_limits(), &settlements)
    })
    .await;
    for (settlement, won) in settlements.iter().zip(&settled.won) {
        count(settlement, *won);
    }
    for id in &settled.opened {
        let error = settlements
            .iter()
            .flat_map(|settlement| &settlement.outcomes)
            .find(|outcome| outcome.subscription == *id && !outcome.error.is_empty())
            .map_or("", |outcome| outcome.error.as_str());
        if let Some(known) = pod.catalog().get(id) {
            ends::unavailable(&known.subscription, error);
        }
    }
    for (failing, guard) in rest {
        failing.into_iter().for_each(Failing::settled);
        drop(guard);
    }
}

fn count(settlement: &Settlement, won: bool) {
    if !won {
        info!(event = %settlement.id, "had been settled by another worker: its deliveries may have been sent twice");
        return;
    }
    metrics::events_settled(1);
    if let Some(reason) = &settlement.rejected {
        metrics::deliveries(DeliveryResult::DeadLettered, 1);
        warn!(event = %settlement.id, reason, "event can't be read: kept as a dead letter");
    }
    for outcome in &settlement.outcomes {
        let result = match outcome.verdict {
            Verdict::Delivered => DeliveryResult::Delivered,
            Verdict::GivenUp => DeliveryResult::DeadLettered,
            _ => DeliveryResult::Parked,
        };
        metrics::deliveries(result, 1);
    }
}
