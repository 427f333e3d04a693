//! The Redis deployment of a running service: the private server if it is ours, the connection, the store.

use std::sync::Arc;

use tracing::{info, warn};

use crate::config::Config;
use crate::store::connect::{Connection, FirstConnect};
use crate::store::embedded::{EMBEDDED, Embedded, check_place};
use crate::store::probe::{ServerFacts, probe};
use crate::store::seal::Sealer;
use crate::store::{Store, StoreError};

/// An open deployment.
pub(super) struct Redis {
    /// The data.
    pub(super) store: Arc<Store>,
    /// What was learnt of the server, for the gauges.
    pub(super) facts: ServerFacts,
    embedded: Option<Embedded>,
}

impl Redis {
    /// Starts the private server where `embedded` is configured, connects, probes, opens the store. A remote
    /// Redis that is away is waited for.
    ///
    /// # Errors
    /// When a setting or the server makes it impossible; the message says what to change.
    pub(super) async fn start(config: &Config) -> Result<Self, StoreError> {
        let sealer = Sealer::load(&config.secrets)?;
        match sealer.key_id() {
            Some(key) => info!(key, "secrets are sealed in Redis"),
            None => warn!(
                "secrets (header values, signing keys) are kept in Redis as plain text: set HOLDFAST_SECRETS__KEY or \
                 HOLDFAST_SECRETS__KEY_FILE (openssl rand -base64 32), then run holdfast secrets reseal"
            ),
        }
        let in_kubernetes = std::env::var_os("KUBERNETES_SERVICE_HOST").is_some();
        check_place(&config.redis.url, in_kubernetes, config.redis.allow_embedded)?;
        let embedded = match config.redis.url.as_str() {
            EMBEDDED => Some(Embedded::start(&config.embedded).await?),
            _ => None,
        };
        let url = embedded.as_ref().map_or(config.redis.url.as_str(), Embedded::url);
        let connection = Connection::open(&config.redis, url, FirstConnect::KeepTrying).await?;
        connection.watch_authorities(config.certificates.check.0);
        if !connection.is_connected() {
            info!(redis = connection.url(), "waiting for Redis");
        }
        connection.connected().await;
        let facts = probe(&connection, &config.redis.prefix).await?;
        info!(server = %facts.flavour, version = facts.version, cluster = facts.cluster, "Redis reached");
        let store = Store::open(connection, &config.redis.prefix, Some(config.redis.partitions))
            .await?
            .sealed_by(sealer);
        report_weaknesses(&store, &facts, config.redis.confirm_replicas).await;
        Ok(Self {
            store: Arc::new(store),
            facts,
            embedded,
        })
    }

    /// Closes the connections and stops the private server.
    pub(super) async fn stop(self) {
        self.store.connection().quit().await;
        if let Some(embedded) = self.embedded {
            embedded.stop().await;
        }
    }
}

/// Warns about what may lose events; on a Cluster about each master.
async fn report_weaknesses(store: &Store, facts: &ServerFacts, confirming: u32) {
    if !facts.cluster {
        for warning in facts.warnings(confirming) {
            warn!("durability: {warning}");
        }
        return;
    }
    match store.nodes().await {
        Ok(nodes) => {
            for node in nodes {
                for warning in node.facts.warnings(confirming) {
                    warn!(server = node.address, "durability: {warning}");
                }
            }
        }
        Err(error) => warn!(%error, "the masters of the Cluster could not all be asked how they keep their data"),
    }
}
