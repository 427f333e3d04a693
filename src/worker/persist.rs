//! Repeats a call to the store until it succeeds: what became of a delivery must not be lost to an outage
//! of Redis. Only calls that are safe to repeat come here.

use std::time::Duration;

use tokio::time::Instant;
use tracing::{info, warn};

use crate::store::{Partition, StoreError};

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LAST_PAUSE: Duration = Duration::from_secs(2);

/// Calls until it succeeds. A missing group is made again; one line is logged when trouble starts and one
/// when it is over. Ends otherwise only with the task.
pub async fn persist<T, F>(what: &'static str, partition: &Partition, call: impl Fn() -> F) -> T
where
    F: Future<Output = Result<T, StoreError>>,
{
    let mut pause = FIRST_PAUSE;
    let mut failing_since = None;
    loop {
        match call().await {
            Ok(answer) => {
                if let Some(since) = failing_since {
                    let outage: Duration = Instant::now().duration_since(since);
                    info!(
                        what,
                        partition = partition.index,
                        outage_ms = outage.as_millis(),
                        "works again"
                    );
                }
                return answer;
            }
            Err(error) => {
                if failing_since.is_none() {
                    warn!(what, partition = partition.index, %error, "failed; going on until it works");
                    failing_since = Some(Instant::now());
                }
                mend(partition, &error).await;
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LAST_PAUSE);
            }
        }
    }
}

/// Makes the groups again where they are missing: FLUSHALL, or a failover to an empty replica.
pub async fn mend(partition: &Partition, error: &StoreError) {
    if !error.is_no_group() {
        return;
    }
    warn!(
        partition = partition.index,
        "the consumer group is gone: Redis was flushed or replaced by an empty one; making it again"
    );
    if let Err(error) = partition.ensure_groups().await {
        warn!(partition = partition.index, %error, "the consumer group can't be made");
    }
}
