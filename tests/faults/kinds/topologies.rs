//! Deployments of several servers that lose one, or move what they hold.

use crate::stage::Stage;

/// 19: the Sentinel set's master is killed.
pub(crate) async fn master_killed(stage: &mut Stage) {
    let master = stage.servers.master();
    stage.servers.nodes[master].kill9();
}
