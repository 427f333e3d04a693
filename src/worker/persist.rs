//! Repeats a call to the store until it succeeds: what became of a delivery must not be lost to an outage
//! of Redis. Only calls that are safe to repeat come here.

use std::time::Duration;

use tracing::{error, info, warn};

use crate::store::{Partition, StoreError};

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LAST_PAUSE: Duration = Duration::from_secs(2);

/// Calls until it succeeds. A missing group is made again. Ends otherwise only with the task.
///
/// An outage of Redis is said once when it begins and once when it is over, however many calls meet it; a call
/// that Redis refuses for a reason of its own is said once for that call.
pub async fn persist<T, F>(what: &'static str, partition: &Partition, call: impl Fn() -> F) -> T
where
    F: Future<Output = Result<T, StoreError>>,
{
    let mut pause = FIRST_PAUSE;
    let mut said = false;
    loop {
        let error = match call().await {
            Ok(answer) => {
                if let Some(outage) = partition.outage.end() {
                    info!(
                        partition = partition.index,
                        outage_ms = outage.as_millis(),
                        "Redis works again"
                    );
                }
                return answer;
            }
            Err(error) => error,
        };
        if error.is_transient() || error.is_no_group() {
            // A lost connection is said by whoever keeps it.
            if !error.is_disconnected() && partition.outage.begin() {
                warn!(what, partition = partition.index, %error, "Redis can't be used; going on until it works");
            }
        } else if !std::mem::replace(&mut said, true) {
            error!(what, partition = partition.index, %error, "refused by Redis; going on until that is mended");
        }
        mend(partition, &error).await;
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LAST_PAUSE);
    }
}

/// Makes the groups again where they are missing: FLUSHALL, or a failover to an empty replica.
pub async fn mend(partition: &Partition, error: &StoreError) {
    if !error.is_no_group() {
        return;
    }
    match partition.ensure_groups().await {
        Ok(0) => {}
        Ok(_) => error!(
            partition = partition.index,
            "the consumer group was gone: Redis was flushed or replaced by an empty one; made it again"
        ),
        Err(error) => {
            if partition.outage.begin() {
                warn!(partition = partition.index, %error, "the consumer group can't be made");
            }
        }
    }
}

/// Says once that a loop's steps fail, and once that they work again.
#[derive(Debug, Default)]
pub struct Trouble {
    failing: bool,
}

impl Trouble {
    /// Notes how a step ended, and makes a missing group again.
    pub async fn note(&mut self, what: &'static str, partition: &Partition, result: Result<(), StoreError>) {
        let was_failing = std::mem::replace(&mut self.failing, result.is_err());
        match result {
            Ok(()) if was_failing => info!(what, partition = partition.index, "works again"),
            Ok(()) => {}
            Err(error) => {
                if !was_failing && !error.is_disconnected() {
                    warn!(what, partition = partition.index, %error, "failed; trying again");
                }
                mend(partition, &error).await;
            }
        }
    }
}
