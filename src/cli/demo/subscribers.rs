//! The demo's three subscribers, and the verdict over what they received.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use jiff::Timestamp;

use crate::cli::sink::{Counts, Mode, Sink, SinkOptions};
use crate::domain::ids::SubscriptionId;
use crate::domain::subscription::Subscription;
use crate::store::Store;
use crate::store::census::Ledger;

/// A subscriber of the story.
#[derive(Debug, Clone, Copy)]
pub(super) struct Role {
    pub(super) name: &'static str,
    at: usize,
}

pub(super) const HEALTHY: Role = Role { name: "healthy", at: 0 };
pub(super) const UNSTEADY: Role = Role {
    name: "unsteady",
    at: 1,
};
pub(super) const HANGING: Role = Role { name: "hanging", at: 2 };
pub(super) const ROLES: [Role; 3] = [HEALTHY, UNSTEADY, HANGING];

/// The sinks, in the order of [`ROLES`].
pub(super) struct Subscribers(Arc<Vec<Sink>>);

impl Subscribers {
    /// Starts three sinks and subscribes each to everything.
    pub(super) async fn start(store: &Store) -> anyhow::Result<Self> {
        let mut sinks = Vec::new();
        for role in ROLES {
            let options = SinkOptions {
                listen: ([127, 0, 0, 1], 0).into(),
                mode: if role.at == HANGING.at { Mode::Hang } else { Mode::Ok },
                ..SinkOptions::default()
            };
            let sink = Sink::start(options).await.context("a subscriber can't listen")?;
            let id = SubscriptionId::new(role.name)?;
            let destination = sink.url("/events").parse().context("the subscriber's URL")?;
            let subscription = Subscription::new(id, destination, Timestamp::now().to_string());
            store.add_subscription(subscription).await?;
            sinks.push(sink);
        }
        Ok(Self(Arc::new(sinks)))
    }

    /// Changes how a subscriber behaves.
    pub(super) async fn set(&self, role: Role, mode: Mode) {
        self.0[role.at].set_mode(mode).await;
    }

    /// What each has received so far.
    pub(super) fn counts(&self) -> Vec<Counts> {
        self.0.iter().map(Sink::counts).collect()
    }

    /// The distinct deliveries of each, to be asked again and again by the display.
    pub(super) fn watch(&self) -> Box<dyn Fn() -> Vec<u64> + Send + Sync> {
        let sinks = Arc::clone(&self.0);
        Box::new(move || sinks.iter().map(|sink| sink.counts().distinct).collect())
    }

    /// Prints what each has received.
    pub(super) fn print_counts(&self) {
        for (role, counts) in ROLES.iter().zip(self.counts()) {
            println!(
                "  {:<9} {:>6} received, {} twice",
                role.name, counts.distinct, counts.duplicates
            );
        }
    }

    /// Prints the ledger and decides: every event reached every subscriber, or the demo failed.
    pub(super) async fn verdict(&self, store: &Store, events: usize, took: Duration) -> anyhow::Result<()> {
        let mut ledger = Ledger::default();
        for partition in store.partitions() {
            ledger = ledger.plus(partition.snapshot(Duration::ZERO).await?.ledger);
        }
        let counts = self.counts();
        let wanted = events as u64 * counts.len() as u64;
        let received: u64 = counts.iter().map(|counts| counts.distinct).sum();
        let twice: u64 = counts.iter().map(|counts| counts.duplicates).sum();
        let lost = wanted.saturating_sub(received);

        println!("\nThe ledger after {:.0} s", took.as_secs_f64());
        println!("  accepted    {events} events, {wanted} deliveries wanted");
        println!("  delivered   {received}");
        println!("  parked      {}", ledger.parked);
        println!("  dead        {}", ledger.dead_lettered);
        println!("  duplicates  {twice} (sent again after the SIGKILL, with the same delivery id)");
        println!("  lost        {lost}");
        self.print_counts();
        if lost > 0 || ledger.imbalance() != 0 {
            bail!(
                "{lost} deliveries were lost; the ledger is off by {}",
                ledger.imbalance()
            );
        }
        println!("\nNothing was lost. Next: `./dev run`, then \"Try it\" in the README.");
        Ok(())
    }
}
