//! Wires the layers, and starts and stops them in an order that loses nothing.
//!
//! Start: private server, connection, probe, store, listeners (not ready), worker, ready. Stop (SIGTERM or
//! SIGINT): not ready, intake goes on for `drain_delay` while load balancers notice, worker stops and settles,
//! listeners stop, private server stops.

pub mod gauges;
mod redis;
mod signals;

use std::sync::Arc;

use anyhow::Context;
use tokio_util::sync::CancellationToken;
use tracing::info;

use self::redis::Redis;
use self::signals::Signals;
use crate::config::Loaded;
use crate::telemetry;
use crate::worker::Worker;
use crate::worker::pod::Pod;

/// Runs the service until it is told to stop.
///
/// # Errors
/// When it can't start: each error says what to change.
pub async fn serve(loaded: Loaded) -> anyhow::Result<()> {
    let config = loaded.config;
    telemetry::logs::init(&config.log)?;
    let mut signals = Signals::new().context("the signals of the system can't be awaited")?;
    let redis = Redis::start(&config).await?;
    let pod = Pod::new(config.clone(), Arc::clone(&redis.store), CancellationToken::new());
    let worker = Worker::start(Arc::clone(&pod)).await?;
    info!("ready");
    signals.next().await;
    info!(drain_delay = %config.worker.drain_delay, "stopping");
    worker.stop(config.worker.shutdown_deadline.0).await;
    redis.stop().await;
    Ok(())
}
