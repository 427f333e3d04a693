//! Wires the layers together and runs the service.

use crate::config::Loaded;

/// Runs the service until it is asked to stop.
///
/// # Errors
/// When it can't start.
pub async fn serve(loaded: Loaded) -> anyhow::Result<()> {
    anyhow::bail!("the service of {} can't be started", loaded.config.redis.prefix)
}
