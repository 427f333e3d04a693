//! Wires the layers, and starts and stops them in an order that loses nothing.
//!
//! Start: metrics and health, Redis, listeners, worker, ready. Stop (SIGTERM or SIGINT): not ready, intake goes
//! on for `drain_delay` while load balancers notice, the worker finishes and settles what is in flight, the
//! listeners stop, the private server stops. A second signal cuts the delay short.

pub mod gauges;
mod redis;
mod sessions;
mod signals;
mod standings;

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::info;

use self::gauges::{Audience, Gauges};
use self::redis::Redis;
use self::signals::Signals;
use crate::api::{self, Api};
use crate::config::{Config, Loaded};
use crate::redfish::{self, Redfish};
use crate::telemetry::{self, Metrics, UPKEEP_PERIOD};
use crate::worker::Worker;
use crate::worker::pod::Pod;

/// How long requests to the listeners may take to finish at the end.
const LISTENERS_STOP: Duration = Duration::from_secs(2);

/// Runs the service until it is told to stop.
///
/// # Errors
/// When it can't start: each error says what to change.
pub async fn serve(loaded: Loaded) -> anyhow::Result<()> {
    let config = loaded.config;
    telemetry::logs::init(&config.log)?;
    let mut signals = Signals::new().context("the signals of the system can't be awaited")?;
    let started = tokio::select! {
        service = Service::start(config) => Some(service?),
        () = signals.next() => None,
    };
    let Some(service) = started else {
        info!("stopped before the start was complete");
        return Ok(());
    };
    signals.next().await;
    service.stop(&mut signals).await;
    Ok(())
}

/// Everything that runs.
struct Service {
    config: Config,
    redis: Redis,
    worker: Worker,
    api: Api,
    redfish: Option<Redfish>,
    /// Ends the loops that only look.
    _watching: DropGuard,
}

impl Service {
    async fn start(config: Config) -> anyhow::Result<Self> {
        let metrics = telemetry::install(&config.admin)?;
        let watching = CancellationToken::new();
        tokio::spawn(upkeep(metrics.clone(), watching.clone()));
        let admin = api::admin::start(&config.admin, metrics).await?;
        let redis = Redis::start(&config).await?;
        let pod = Pod::new(config.clone(), Arc::clone(&redis.store), CancellationToken::new());
        let (role, beat) = (config.serve.role, Arc::clone(&pod));
        let silent_for = move || match role.delivers() {
            true => beat.silent_for(),
            false => Duration::ZERO,
        };
        let api = api::start(&config, Arc::clone(&redis.store), admin, silent_for).await?;
        let redfish = match config.redfish.enabled && role.takes_in() {
            true => Some(redfish::start(&config, Arc::clone(&redis.store)).await?),
            false => None,
        };
        if let Some(first) = redfish.as_ref().and_then(|redfish| redfish.first.as_ref()) {
            writeln!(std::io::stdout(), "{first}").context("the first administrator's password can't be shown")?;
        }
        let worker = match role.delivers() {
            true => Worker::start(Arc::clone(&pod)).await?,
            false => Worker::watch(Arc::clone(&pod)).await?,
        };
        let audience = move || {
            let catalog = pod.catalog();
            let all = catalog.subscribers();
            Audience {
                subscriptions: all.map(|one| (one.subscription.id.clone(), one.tally.take())).collect(),
                publishes: pod.publishes(),
            }
        };
        let gauges = Gauges::new(
            &config,
            Arc::clone(&redis.store),
            redis.facts.clone(),
            audience,
            api.history(),
        );
        tokio::spawn(gauges.run(watching.clone()));
        api.set_ready();
        info!(?role, "ready");
        Ok(Self {
            config,
            redis,
            worker,
            api,
            redfish,
            _watching: watching.drop_guard(),
        })
    }

    async fn stop(self, signals: &mut Signals) {
        let delay = self.config.worker.drain_delay.0;
        info!(
            drain_delay_ms = delay.as_millis(),
            "stopping: not ready, intake goes on for the drain delay"
        );
        self.api.set_not_ready();
        tokio::select! {
            () = tokio::time::sleep(delay) => {}
            () = signals.next() => info!("told twice: the drain delay is cut short"),
        }
        self.worker.stop(self.config.worker.shutdown_deadline.0).await;
        if let Some(redfish) = self.redfish {
            redfish.stop(Instant::now() + LISTENERS_STOP).await;
        }
        self.api.stop(LISTENERS_STOP).await;
        self.redis.stop().await;
        info!("stopped");
    }
}

async fn upkeep(metrics: Metrics, watching: CancellationToken) {
    while watching
        .run_until_cancelled(tokio::time::sleep(UPKEEP_PERIOD))
        .await
        .is_some()
    {
        metrics.run_upkeep();
    }
}
