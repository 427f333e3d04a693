//! The page of the admin listener: what it answers over HTTP, and how it looks to a browser in an outage.

mod answers;
mod browser;
mod outage;

use crate::engine::harness::{Deployment, SOON};
use crate::support::wait_until;

/// Where the admin listener of a deployment's only pod is: it took a free port and says which in its log.
async fn admin(deployment: &Deployment) -> String {
    let address = || {
        let log = deployment.pods[0].stderr();
        let (_, rest) = log.split_once(r#""admin":""#)?;
        Some(rest.split_once('"')?.0.to_owned())
    };
    wait_until("the pod listens", SOON, async || address().is_some()).await;
    format!("http://{}", address().unwrap())
}
