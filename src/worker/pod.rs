//! What all loops of a worker process share.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use tokio::sync::{Mutex, RwLock, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::catalog::{Catalog, Subscriber};
use super::commons::PodSlots;
use super::sender::Sender;
use super::unwanted::Unwanted;
use crate::config::Config;
use crate::domain::ids::SubscriptionId;
use crate::domain::retry::{self, RetryPolicy};
use crate::domain::subscription::{DeliveryRetryPolicy, Subscription};
use crate::store::settle::RefusalLimits;
use crate::store::{Store, StoreError};

/// Refusals in a row, without a success, that make a subscription unavailable: then it is not the events.
const REFUSALS_OPEN: u32 = 5;

/// One worker process.
#[derive(Debug)]
pub struct Pod {
    /// Its name as a consumer, unique per start.
    pub name: String,
    /// All settings.
    pub config: Config,
    /// The data.
    pub store: Arc<Store>,
    /// Sends to subscribers.
    pub sender: Sender,
    /// Bounds over all subscribers.
    pub slots: PodSlots,
    /// Held for reading around each event and each parked delivery; for writing while a suspect entry is processed
    /// alone.
    pub alone: RwLock<()>,
    /// Stop taking up new work.
    pub quiet: CancellationToken,
    /// Deliveries and drains in progress.
    pub tasks: TaskTracker,
    /// Held while the subscriptions are read, so that an older view never replaces a newer one.
    pub loading: Mutex<()>,
    /// The registry is not there, and that was said.
    pub lost: AtomicBool,
    /// Whether an event that nobody wants was warned about.
    pub unwanted: Unwanted,
    catalog: watch::Sender<Arc<Catalog>>,
    beat: watch::Sender<Instant>,
    /// What Redis' clock said last, in ms since the epoch, and when.
    clock: watch::Sender<Option<(u64, Instant)>>,
    retry: RetryPolicy,
}

impl Pod {
    /// A worker with a fresh name.
    #[must_use]
    pub fn new(config: Config, store: Arc<Store>, quiet: CancellationToken) -> Arc<Self> {
        Arc::new(Self {
            name: name(config.worker.name.as_deref()),
            sender: Sender::new(config.delivery.clone(), config.guard()),
            slots: PodSlots::new(config.delivery.pod_max_in_flight, config.delivery.pod_max_bytes.0),
            alone: RwLock::new(()),
            quiet,
            tasks: TaskTracker::new(),
            loading: Mutex::new(()),
            lost: AtomicBool::new(false),
            unwanted: Unwanted::default(),
            catalog: watch::Sender::new(Arc::new(Catalog::default())),
            beat: watch::Sender::new(Instant::now()),
            clock: watch::Sender::new(None),
            retry: service_policy(&config),
            store,
            config,
        })
    }

    /// The subscriptions as last read.
    #[must_use]
    pub fn catalog(&self) -> Arc<Catalog> {
        Arc::clone(&self.catalog.borrow())
    }

    /// Puts a newer catalog in force.
    pub fn set_catalog(&self, catalog: Catalog) {
        self.catalog.send_replace(Arc::new(catalog));
        self.remember();
    }

    /// Reads Redis' clock where it matters: only a stream that was open has a time after which it can't resume.
    ///
    /// # Errors
    /// When Redis can't be reached.
    pub async fn read_clock(&self) -> Result<(), StoreError> {
        if self.catalog().settings.streams.until_ms > 0
            && let Some(partition) = self.store.partitions().first()
        {
            let now_ms = partition.clock_ms().await?;
            self.clock.send_replace(Some((now_ms, Instant::now())));
        }
        Ok(())
    }

    /// Makes every partition remember events, or not any more, as the streams need it.
    pub fn remember(&self) {
        let now_ms = self.clock.borrow().map(|(clock_ms, read)| {
            let since = u64::try_from(read.elapsed().as_millis()).unwrap_or(u64::MAX);
            clock_ms.saturating_add(since)
        });
        let keep = self.catalog.borrow().remembers(now_ms);
        for partition in self.store.partitions() {
            partition.recording.keep_events(keep);
        }
    }

    /// A subscriber from the catalog, else from Redis: the catalog may be a moment old.
    ///
    /// # Errors
    /// When Redis can't be reached or what is stored can't be read.
    pub async fn subscriber(&self, id: &SubscriptionId) -> Result<Option<Arc<Subscriber>>, StoreError> {
        if let Some(known) = self.catalog().get(id) {
            return Ok(Some(Arc::clone(known)));
        }
        let stored = self.store.subscription(id).await?;
        Ok(stored.map(|subscription| Arc::new(Subscriber::new(Arc::new(subscription), &self.config.delivery, None))))
    }

    /// A heartbeat loop turned: the process is alive.
    pub fn turned(&self) {
        self.beat.send_replace(Instant::now());
    }

    /// How long ago a heartbeat loop turned last, whether or not Redis could be reached.
    #[must_use]
    pub fn silent_for(&self) -> Duration {
        self.beat.borrow().elapsed()
    }

    /// The retry settings in force for a subscription.
    #[must_use]
    pub fn policy(&self, subscription: &Subscription) -> RetryPolicy {
        self.service_policy()
            .with(subscription.retry_policy, &subscription.retry)
    }

    /// The retry settings in force for whoever has none of his own.
    #[must_use]
    pub fn service_policy(&self) -> RetryPolicy {
        self.retry.under(&self.catalog.borrow().settings)
    }

    /// Whether events are published now.
    #[must_use]
    pub fn publishes(&self) -> bool {
        self.catalog.borrow().settings.enabled
    }

    /// Waits until events are published; false when the pod is to be quiet before that.
    pub async fn publishing(&self) -> bool {
        let mut catalog = self.catalog.subscribe();
        tokio::select! {
            published = catalog.wait_for(|catalog| catalog.settings.enabled) => published.is_ok(),
            () = self.quiet.cancelled() => false,
        }
    }

    /// When refusals bury a delivery or open a circuit.
    #[must_use]
    pub fn refusal_limits(&self) -> RefusalLimits {
        RefusalLimits {
            bury_after: self.config.retry.refused_attempts,
            open_after: REFUSALS_OPEN,
        }
    }

    /// How long a worker may be silent before it is taken over.
    #[must_use]
    pub fn dead_after(&self) -> Duration {
        self.config.worker.dead_after.0
    }
}

fn service_policy(config: &Config) -> RetryPolicy {
    let retry = &config.retry;
    RetryPolicy {
        policy: DeliveryRetryPolicy::default(),
        delay: retry.delay.0,
        backoff: retry.backoff,
        max_delay: retry.max_delay.0.max(retry.delay.0),
        jitter: retry.jitter,
        max_attempts: retry.max_attempts,
        last_attempt: retry::last_attempt(retry.max_attempts),
        refused_attempts: retry.refused_attempts,
        retry_after: (retry.retry_after_min.0, retry.retry_after_max.0),
    }
}

/// `<host>-<random>`: a name is never used by two process starts.
fn name(first: Option<&str>) -> String {
    let host = first.map_or_else(
        || std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default(),
        str::to_owned,
    );
    let host: String = host
        .trim()
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || *c == '-')
        .take(48)
        .collect();
    let host = if host.is_empty() { "worker".to_owned() } else { host };
    format!("{host}-{:08x}", rand::random::<u32>())
}
