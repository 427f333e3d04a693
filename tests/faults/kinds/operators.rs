//! What operators do: wipe, delete, rotate, forbid.

use crate::stage::Stage;

/// 24: everything in Redis is wiped; the subscriptions are made again.
pub(crate) async fn flushed(stage: &mut Stage) {
    stage.progress(20).await;
}
