//! Opens the deployment's data for the duration of one verb.
//!
//! With `embedded` that is the server of the holdfast that runs on the data directory, else one of its own.
//! Whatever comes of the verb, the connection is closed and a server of its own stopped with its data on disk.

use std::io::Write;
use std::path::Path;

use crate::config::Config;
use crate::store::Store;
use crate::store::connect::{Connection, FirstConnect};
use crate::store::embedded::{Attached, EMBEDDED, check_place};
use crate::store::seal::Sealer;

/// Does `work` on the deployment's data.
///
/// # Errors
/// When Redis can't be reached (at once: nothing is retried), or those of `work`.
pub(super) async fn with_store<T>(
    config: &Config,
    work: impl AsyncFnOnce(&Store) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    if config.redis.url != EMBEDDED {
        return connected(config, &config.redis.url, work).await;
    }
    let in_kubernetes = std::env::var_os("KUBERNETES_SERVICE_HOST").is_some();
    check_place(&config.redis.url, in_kubernetes, config.redis.allow_embedded)?;
    let empty = !config.embedded.data_dir.exists();
    let server = Attached::attach(&config.embedded).await?;
    if empty {
        say_empty(&config.embedded.data_dir);
    }
    let result = connected(config, server.url(), work).await;
    server.detach().await;
    result
}

/// Run in another directory than the service, a verb would show a deployment without anything as if all were gone.
fn say_empty(data_dir: &Path) {
    let dir = std::path::absolute(data_dir).unwrap_or_else(|_| data_dir.to_owned());
    let _unheard = writeln!(
        std::io::stderr(),
        "note: {} did not exist: a new deployment without anything in it was made there. For one that is elsewhere set \
         HOLDFAST_EMBEDDED__DATA_DIR or HOLDFAST_REDIS__URL as it has it",
        dir.display()
    );
}

async fn connected<T>(
    config: &Config,
    url: &str,
    work: impl AsyncFnOnce(&Store) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let mut settings = config.redis.clone();
    // One verb asks one thing after the other.
    settings.pool = 1;
    let sealer = Sealer::load(&config.secrets)?;
    let connection = Connection::open(&settings, url, FirstConnect::FailFast).await?;
    let result = match Store::open(connection.clone(), &settings.prefix, None).await {
        Ok(store) => work(&store.sealed_by(sealer)).await,
        Err(error) => Err(error.into()),
    };
    connection.quit().await;
    result
}
