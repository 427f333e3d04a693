//! Waiting for a condition, never for a time.

use std::time::{Duration, Instant};

/// Polls `condition` until it answers true; fails the test with `what` when it does not in time.
pub(crate) async fn wait_until<F>(what: &str, timeout: Duration, mut condition: F)
where
    F: AsyncFnMut() -> bool,
{
    let start = Instant::now();
    let mut pause = Duration::from_millis(2);
    while !condition().await {
        assert!(start.elapsed() < timeout, "waited {timeout:?} in vain until {what}");
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

/// Fails the test with `what` if `condition` turns false within `period`.
pub(crate) async fn holds<F>(what: &str, period: Duration, mut condition: F)
where
    F: AsyncFnMut() -> bool,
{
    let start = Instant::now();
    while start.elapsed() < period {
        assert!(
            condition().await,
            "after {:?} it was no longer true that {what}",
            start.elapsed()
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
