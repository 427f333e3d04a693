//! Keeps what is remembered of settled events within its bounds, and lets go of it first when Redis fills up.
//!
//! One loop a pod over all partitions. Each pod looks at the memory itself and comes to the same bounds, so nothing
//! is agreed upon; where trimming fails, this pod stops remembering rather than fill the memory.

use std::sync::Arc;

use tracing::{info, warn};

use super::pod::Pod;
use crate::store::StoreError;
use crate::store::recent::Bounds;

/// Trims, and remembers what it found.
#[derive(Debug)]
pub struct Trimmer {
    pod: Arc<Pod>,
    /// Bytes that each partition's share took at the last step.
    own: Vec<u64>,
    paused: bool,
    failing: bool,
}

impl Trimmer {
    /// A trimmer; nothing is remembered before its first step.
    #[must_use]
    pub fn new(pod: Arc<Pod>) -> Self {
        Self {
            own: vec![0; pod.store.partitions().len()],
            pod,
            paused: false,
            failing: false,
        }
    }

    /// Trims until the task is ended: events in progress at shutdown are remembered too.
    pub async fn run(mut self) {
        loop {
            tokio::time::sleep(self.pod.config.recent.trim.0).await;
            self.turn().await;
        }
    }

    /// One step; says once that steps fail.
    pub async fn turn(&mut self) {
        let result = self.step().await;
        // An outage pauses nothing: what is settled right after it is remembered.
        if let Err(error) = &result
            && !error.is_transient()
        {
            for partition in self.pod.store.partitions() {
                partition.recording.set(false);
            }
            if !self.failing {
                warn!(%error, "what is remembered of settled events can't be trimmed; none are remembered meanwhile");
            }
        }
        self.failing = result.is_err_and(|error| !error.is_transient());
    }

    /// Looks at the memory, and trims every partition to its share of what that allows.
    ///
    /// # Errors
    /// When Redis can't be reached, or somebody replaced a key by something else.
    pub async fn step(&mut self) -> Result<(), StoreError> {
        self.pod.read_clock().await?;
        self.pod.remember();
        let catalog = self.pod.catalog();
        if catalog.is_streaming() {
            // A pod that died could not take its streams out.
            let linger = self.pod.config.recent.max_age.0;
            let sweep = self
                .pod
                .store
                .sweep_streams(catalog.streams(), self.pod.dead_after(), linger);
            sweep.await?;
        }
        let (recent, intake) = (&self.pod.config.recent, &self.pod.config.intake);
        let partitions = self.pod.store.partitions();
        let wanted = Bounds {
            max_age_ms: recent.max_age.millis(),
            max_bytes: recent.max_bytes.0,
        };
        let memory = self.pod.store.memory().await?;
        let full = memory.ratio() >= intake.memory_refuse;
        let own = self.own.iter().sum();
        let allowed = wanted.under(memory, own, intake.memory_warn, intake.memory_refuse);
        let share = Bounds {
            max_bytes: allowed.max_bytes / u64::try_from(partitions.len()).unwrap_or(1).max(1),
            ..allowed
        };
        let mut broken = None;
        for (partition, own) in partitions.iter().zip(&mut self.own) {
            // Paused before it is dropped, so that nothing is added behind the trimming.
            partition.recording.set(!share.is_none());
            if !full && let Err(error) = partition.tell_sources().await {
                broken = Some(error);
            }
            match partition.trim(share).await {
                Ok(trimmed) => *own = trimmed.bytes,
                Err(error) => broken = Some(error),
            }
        }
        let paused = share.is_none() && !wanted.is_none();
        if paused != std::mem::replace(&mut self.paused, paused) {
            if paused {
                info!("Redis is nearly full: settled events are not remembered until there is room");
            } else {
                info!("Redis has room again: settled events are remembered");
            }
        }
        broken.map_or(Ok(()), Err)
    }
}
