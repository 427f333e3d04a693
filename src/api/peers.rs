//! Who else takes events in, asked while this pod can't reach Redis.
//!
//! A pod that alone is cut off from Redis should be sent nothing: its peers take events in. When none of them reaches
//! Redis either, all would leave the load balancer, and senders would find nobody who tells them to come again. So
//! `/readyz` of a pod without Redis asks the others' `/intakez`, which tells of that pod alone: nobody asks back.

use std::net::SocketAddr;
use std::time::Duration;

use futures::future::join_all;
use reqwest::{Client, StatusCode};
use tokio::net::lookup_host;
use tokio::time::timeout;

/// The header by which a pod knows its own answer.
pub(super) const POD: &str = "holdfast-pod";
/// The others have this long: twice what each gives Redis. With the look-up, and what Redis had before that, it is
/// less than the 3 s of a readiness probe in the manifests.
const PATIENCE: Duration = Duration::from_secs(1);
/// Their addresses are looked up for so long.
const LOOKUP: Duration = Duration::from_millis(500);
/// As many are asked: in a deployment of more, these tell enough.
const MOST: usize = 64;

/// Where the metrics listeners of all pods are.
#[derive(Debug)]
pub(super) struct Peers {
    /// Names with ports; each may stand for many addresses.
    places: Vec<String>,
    client: Client,
}

/// What one address answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    /// It is this pod's.
    Own,
    /// It takes events in.
    TakesIn,
    /// It does not, or never does.
    Without,
    /// Nothing within its time.
    Silent,
}

impl Peers {
    /// Those at these places, `host:port` with commas between them.
    ///
    /// # Errors
    /// When no HTTP client can be made.
    pub(super) fn at(places: &str) -> reqwest::Result<Self> {
        let places = places.split(',').map(|place| place.trim().to_owned());
        Ok(Self {
            places: places.filter(|place| !place.is_empty()).collect(),
            client: Client::builder().no_proxy().timeout(PATIENCE).build()?,
        })
    }

    /// Whether it is left to this pod (`own` is its name) to answer senders: others were heard of, and none takes
    /// events in; or there are none.
    pub(super) async fn leave_it_to(&self, own: &str) -> bool {
        let addresses = timeout(LOOKUP, self.addresses()).await.unwrap_or_default();
        let asked = addresses.iter().take(MOST).map(|address| self.ask(*address, own));
        left_to_me(&join_all(asked).await)
    }

    async fn addresses(&self) -> Vec<SocketAddr> {
        let found = join_all(self.places.iter().map(lookup_host)).await;
        found.into_iter().flatten().flatten().collect()
    }

    async fn ask(&self, address: SocketAddr, own: &str) -> Answer {
        let asked = self.client.get(format!("http://{address}/intakez")).send();
        let Ok(answer) = asked.await else {
            return Answer::Silent;
        };
        match answer.headers().get(POD) {
            // Something else that listens there.
            None => Answer::Silent,
            Some(pod) if pod == own => Answer::Own,
            Some(_) if answer.status() == StatusCode::OK => Answer::TakesIn,
            Some(_) => Answer::Without,
        }
    }
}

/// Who hears nobody can't tell whether Redis is away or only this pod is cut off from everything; it does not stay.
fn left_to_me(answers: &[Answer]) -> bool {
    let heard = |one| answers.contains(&one);
    let alone = !answers.is_empty() && answers.iter().all(|answer| *answer == Answer::Own);
    !heard(Answer::TakesIn) && (heard(Answer::Without) || alone)
}

#[cfg(test)]
mod tests {
    use super::Answer::{Own, Silent, TakesIn, Without};
    use super::left_to_me;

    #[test]
    fn somebody_stays_when_nobody_reaches_redis() {
        for (answers, stays) in [
            (&[Own, Without][..], true),
            (&[Own, Without, Silent], true),
            (&[Own], true),
            (&[Own, Without, TakesIn], false),
            (&[Own, Silent], false),
            (&[Silent], false),
            (&[], false),
        ] {
            assert_eq!(left_to_me(answers), stays, "{answers:?}");
        }
    }
}
