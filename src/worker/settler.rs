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
use crate::store::settle::{Settled, Settlement, Verdict};
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

/// Settles one batch. Where Redis refuses it for a reason of its own (a key that somebody replaced), each event is
/// settled by itself, so that only those that meet the broken key wait for it.
pub async fn step(lane: &Arc<Lane>, batch: Vec<Finished>) {
    let refused = batch.len() > 1 && {
        let settlements: Vec<&Settlement> = batch.iter().map(|finished| &finished.settlement).collect();
        match lane
            .partition
            .settle(&lane.pod.name, lane.pod.refusal_limits(), &settlements)
            .await
        {
            Ok(settled) => return done(lane, batch, &settled),
            Err(error) => !error.is_transient() && !error.is_no_group(),
        }
    };
    if !refused {
        return settle_patiently(lane, batch).await;
    }
    for finished in batch {
        let lane = Arc::clone(lane);
        let settler = async move { settle_patiently(&lane, vec![finished]).await };
        tokio::spawn(settler);
    }
}

async fn settle_patiently(lane: &Lane, batch: Vec<Finished>) {
    let settlements: Vec<&Settlement> = batch.iter().map(|finished| &finished.settlement).collect();
    let settled = persist("settling events", &lane.partition, || {
        lane.partition
            .settle(&lane.pod.name, lane.pod.refusal_limits(), &settlements)
    })
    .await;
    done(lane, batch, &settled);
}

/// Counts and says what became of a batch, and lets its events go.
fn done(lane: &Lane, batch: Vec<Finished>, settled: &Settled) {
    for id in &settled.opened {
        lane.behind.opened(id);
        let error = batch
            .iter()
            .flat_map(|finished| &finished.settlement.outcomes)
            .find(|outcome| outcome.subscription == *id && !outcome.error.is_empty())
            .map_or("", |outcome| outcome.error.as_str());
        if let Some(known) = lane.pod.catalog().get(id) {
            ends::unavailable(&known.subscription, error);
        }
    }
    let lost = settled.won.iter().filter(|won| !**won).count();
    if lost > 0 {
        info!(
            events = lost,
            "had been settled by another worker: their deliveries may have been sent twice"
        );
    }
    for (finished, won) in batch.into_iter().zip(&settled.won) {
        count(&finished.settlement, *won);
        if *won {
            finished.failing.into_iter().for_each(Failing::settled);
        }
    }
}

fn count(settlement: &Settlement, won: bool) {
    if !won {
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
