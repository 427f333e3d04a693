//! Sends heartbeats to the subscriptions that asked for some: each by one pod, without a leader.
//!
//! Every pod asks Redis which are due, when one is, and Redis gives each to the first who asks. While the service is
//! disabled none are sent. A heartbeat tells that the service
//! lives at this moment, so it is neither stored nor parked, is in no ledger, and is not tried again. What is answered
//! changes nothing: circuits follow deliveries alone. A subscriber that is behind gets none, since all that it is
//! sent then is one probe a wait period.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures::StreamExt;
use jiff::Timestamp;
use tokio::time::Instant;
use tracing::{debug, warn};

use super::catalog::Subscriber;
use super::lane::Lane;
use super::pod::Pod;
use super::sender::Parcel;
use crate::domain::heartbeat;
use crate::domain::verdict::Judgement;
use crate::store::StoreError;

/// How often new subscriptions are looked for.
const LOOK: Duration = Duration::from_secs(1);
/// Redis is asked at least so often, whatever it said when the next one is due.
const ASK: Duration = Duration::from_secs(60);
/// So many are sent at once.
const AT_ONCE: usize = 64;

/// Sends until the pod is to be quiet.
pub async fn run(pod: Arc<Pod>, lanes: Vec<Arc<Lane>>) {
    let mut failing = false;
    // At that version of the subscriptions there is nothing to do before then.
    let mut idle: Option<(Option<u64>, Instant)> = None;
    while pod.publishing().await {
        let version = pod.catalog().version;
        let left = idle
            .filter(|(of, _)| *of == version)
            .map(|(_, until)| until.saturating_duration_since(Instant::now()))
            .filter(|left| !left.is_zero());
        if let Some(left) = left {
            tokio::select! {
                () = tokio::time::sleep(left.min(LOOK)) => continue,
                () = pod.quiet.cancelled() => return,
            }
        }
        let result = tokio::select! {
            result = step(&pod, &lanes) => result,
            () = pod.quiet.cancelled() => return,
        };
        if let Err(error) = &result
            && !failing
            && !error.is_disconnected()
        {
            warn!(%error, "heartbeats of subscriptions can't be sent; going on");
        }
        failing = result.is_err();
        let next = result.ok().flatten().map_or(LOOK, |next| next.min(ASK));
        idle = Some((version, Instant::now() + next));
    }
}

/// Sends what is due; answers how long there is nothing to do, where anybody wants heartbeats.
///
/// # Errors
/// When Redis can't be reached.
pub async fn step(pod: &Pod, lanes: &[Arc<Lane>]) -> Result<Option<Duration>, StoreError> {
    let catalog = pod.catalog();
    let minute = pod.config.delivery.heartbeat_minute.0;
    let wanted: Vec<_> = catalog
        .ids()
        .filter_map(|id| catalog.get(id))
        .filter(|subscriber| !subscriber.subscription.is_suspended())
        .filter_map(|subscriber| {
            let minutes = subscriber.subscription.heartbeat_minutes?.max(1);
            Some((subscriber.subscription.id.clone(), minute.saturating_mul(minutes)))
        })
        .collect();
    let Some(first) = pod.store.partitions().first().filter(|_| !wanted.is_empty()) else {
        return Ok(None);
    };
    let pulses = first.pulses(&wanted).await?;
    if !pulses.due.is_empty() {
        for lane in lanes {
            lane.behind.refresh(&lane.partition).await?;
        }
    }
    let is_behind = |to: &Subscriber| lanes.iter().any(|lane| lane.behind.contains(&to.subscription.id));
    let due = pulses
        .due
        .iter()
        .filter_map(|id| catalog.get(id))
        .filter(|to| !is_behind(to));
    futures::stream::iter(due)
        .for_each_concurrent(AT_ONCE, |to| send(pod, to))
        .await;
    Ok(pulses.next_in)
}

async fn send(pod: &Pod, to: &Subscriber) {
    let subscription = &to.subscription;
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    let id = format!("heartbeat-{}", now.as_millis());
    let parcel = Parcel {
        id: format!("{}.{id}", subscription.id),
        attempt: 1,
        events: 1,
        body: heartbeat::event(subscription.context.as_deref(), &id, &Timestamp::now().to_string()),
    };
    let answer = pod.sender.send(to, &parcel).await;
    if answer.judge() != Judgement::Delivered {
        debug!(subscription = %subscription.id, error = answer.describe(), "a heartbeat was not taken");
    }
}
