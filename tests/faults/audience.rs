//! The subscribers of a run: real listeners, subscribed by the command line.

use std::collections::HashSet;
use std::net::IpAddr;

use holdfast::cli::sink::{Mode, Sink, SinkOptions};
use serde_json::Value;
use tokio::process::Command;

use crate::books::{Got, Page};
use crate::producer::marks;
use crate::support::LOOPBACK;

/// A subscriber that remembers everything.
pub(crate) struct Subscriber {
    /// What it is for, in the report.
    pub(crate) name: &'static str,
    /// Its subscription.
    pub(crate) id: String,
    pub(crate) sink: Sink,
    /// Events parked for it before any was sent.
    pub(crate) in_order: HashSet<u64>,
    /// The first event that it must get.
    pub(crate) owed_from: u64,
    /// It does not remember this delivery, by its place: for trying the harness itself.
    pub(crate) forgets: Option<usize>,
}

impl Subscriber {
    /// Listens on an address and subscribes to everything.
    pub(crate) async fn join(redis: &str, name: &'static str, address: IpAddr, options: &[&str]) -> Self {
        let sink = Sink::start(SinkOptions {
            listen: (address, 0).into(),
            mode: Mode::Ok,
            keep: 1_000_000,
        })
        .await
        .unwrap();
        let id = subscribe(redis, &sink.url("/events"), options).await;
        Self {
            name,
            id,
            sink,
            in_order: HashSet::new(),
            owed_from: 0,
            forgets: None,
        }
    }

    /// Its page of the books; what is kept for it is found elsewhere.
    pub(crate) fn page(&self, seed: u64) -> Page {
        let deliveries = self.sink.deliveries();
        let got = deliveries
            .iter()
            .filter(|delivery| (200..300).contains(&delivery.status))
            .enumerate()
            .filter(|(place, _)| self.forgets != Some(*place))
            .map(|(_, delivery)| Got {
                id: delivery.id.clone(),
                number: marks(seed, &String::from_utf8_lossy(&delivery.body)).first().copied(),
            });
        Page {
            subscriber: self.name,
            got: got.collect(),
            kept: HashSet::new(),
            in_order: self.in_order.clone(),
            owed_from: self.owed_from,
        }
    }

    /// Every request in order, one a line.
    pub(crate) fn log(&self) -> String {
        let deliveries = self.sink.deliveries();
        let lines = deliveries
            .iter()
            .map(|seen| format!("{:9.3} {} {} {}\n", ms(seen.ms), seen.id, seen.attempt, seen.status));
        lines.collect()
    }
}

fn ms(ms: u64) -> f64 {
    std::time::Duration::from_millis(ms).as_secs_f64()
}

/// Subscribes a destination to everything; answers the subscription's id.
pub(crate) async fn subscribe(redis: &str, url: &str, options: &[&str]) -> String {
    let words = [&["subscriptions", "add", url, "--json"], options].concat();
    let answer: Value = serde_json::from_str(&holdfast(redis, &words).await).unwrap();
    answer["id"].as_str().unwrap().to_owned()
}

/// Runs a verb of the command line and answers what it printed.
pub(crate) async fn holdfast(redis: &str, words: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_holdfast"))
        .args(words)
        .env("HOLDFAST_REDIS__URL", redis)
        .env(LOOPBACK.0, LOOPBACK.1)
        .output()
        .await
        .unwrap();
    let problem = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "holdfast {words:?}: {problem}");
    String::from_utf8(output.stdout).unwrap()
}
