//! Reads one of the two streams, as fast as there is room for what comes.
//!
//! After each read of events two views are brought up to date before anything is sent: who is behind, so that
//! nothing overtakes what is parked, and who subscribed, so that a change counts from the next event on.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::Instant;
use tracing::{info, warn};

use super::lane::Lane;
use super::persist::mend;
use crate::store::StoreError;
use crate::store::events::{Entry, Reader, Stream};
use crate::telemetry::metrics;

/// A read is to bring about this many bytes, so that a few large events do not fill the memory.
const READ_BYTES: usize = 4 << 20;
/// The first read, before it is known how large events are.
const FIRST_READ: usize = 8;
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LAST_PAUSE: Duration = Duration::from_secs(2);

/// Reads until the pod is to be quiet. Never cancels a read: its reply would leave entries nobody saw.
pub async fn run(lane: Arc<Lane>, reader: Reader) {
    let mut size = ReadSize::new(lane.pod.config.worker.read_batch);
    let mut pause = FIRST_PAUSE;
    let mut failing = false;
    while !lane.pod.quiet.is_cancelled() {
        match step(&lane, &reader, &mut size).await {
            Ok(()) => {
                if failing {
                    info!(stream = ?reader.stream(), partition = lane.partition.index, "reading again");
                    lane.sweep_soon();
                }
                failing = false;
                pause = FIRST_PAUSE;
            }
            Err(error) => {
                if !failing && !error.is_disconnected() {
                    warn!(stream = ?reader.stream(), partition = lane.partition.index, %error, "reading failed");
                }
                failing = true;
                metrics::redis_error("XREADGROUP", error.label());
                mend(&lane.partition, &error).await;
                lane.sweep_soon();
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    () = lane.pod.quiet.cancelled() => {}
                }
                pause = (pause * 2).min(LAST_PAUSE);
            }
        }
    }
}

/// One read, and the start of everything it brought.
///
/// # Errors
/// When the read failed; what it may have handed out is found by the sweep.
async fn step(lane: &Arc<Lane>, reader: &Reader, size: &mut ReadSize) -> Result<(), StoreError> {
    // While nothing is published, what comes waits unread, in its order; the redeliveries likewise.
    if !lane.pod.publishes() && !lane.pod.publishing().await {
        return Ok(());
    }
    let room = match reader.stream() {
        Stream::Events => &lane.events,
        Stream::Redeliveries => &lane.drains,
    };
    tokio::select! {
        () = has_room(room) => {}
        () = lane.pod.quiet.cancelled() => return Ok(()),
    }
    let most = size.next().min(room.available_permits()).max(1);
    let since = Instant::now();
    let entries = reader.read(most, lane.pod.config.worker.read_block.0).await?;
    if entries.is_empty() {
        return Ok(());
    }
    size.saw(&entries);
    let admitted = lane.enter(entries.into_iter().map(|entry| (reader.stream(), entry)), since);
    lane.refresh_views(&admitted).await;
    lane.start(admitted).await;
    Ok(())
}

async fn has_room(room: &Semaphore) {
    drop(room.acquire().await);
}

/// How many entries to read at once: fewer when events are large, and few until it is known how large they are.
struct ReadSize {
    most: usize,
    mean_bytes: usize,
    last: usize,
}

impl ReadSize {
    fn new(most: usize) -> Self {
        Self {
            most: most.max(1),
            mean_bytes: 1024,
            last: FIRST_READ,
        }
    }

    fn next(&self) -> usize {
        (READ_BYTES / self.mean_bytes.max(1))
            .min(2 * self.last)
            .clamp(1, self.most)
    }

    fn saw(&mut self, entries: &[Entry]) {
        let bytes: usize = entries
            .iter()
            .flat_map(|entry| &entry.fields)
            .map(|(_, value)| value.len())
            .sum();
        let mean = bytes / entries.len().max(1);
        self.last = self.next().max(FIRST_READ);
        self.mean_bytes = if mean > self.mean_bytes {
            mean
        } else {
            (self.mean_bytes * 7 + mean) / 8
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::StreamId;
    use bytes::Bytes;

    #[test]
    fn large_events_are_read_few_at_a_time() {
        let entry = |bytes| Entry {
            id: StreamId { millis: 1, sequence: 0 },
            times: 1,
            fields: vec![("event".to_owned(), Bytes::from(vec![0; bytes]))],
        };
        let mut size = ReadSize::new(512);
        assert_eq!(size.next(), 16);
        (0..10).for_each(|_| size.saw(&[entry(700)]));
        assert_eq!(size.next(), 512);
        size.saw(&[entry(1 << 20), entry(1 << 20)]);
        assert_eq!(size.next(), 4);
        (0..100).for_each(|_| size.saw(&[entry(700)]));
        assert_eq!(size.next(), 512);
    }
}
