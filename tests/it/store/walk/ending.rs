//! The end of a walk: everybody is well again, so everything must be delivered and nothing be left of it.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use holdfast::store::drain::{Fetched, Finished, Redelivery};
use holdfast::store::settle::Verdict;

use super::world::{LIMITS, World};
use crate::store::{id, names, outcome, settlement};

impl World {
    /// Everybody is well again: everything must be delivered, and nothing be left of it.
    pub(super) async fn settle_down(&mut self) {
        self.set_full(false).await;
        for (name, removed) in self.subscriptions.clone() {
            self.version += 1;
            if !removed {
                self.partition
                    .set_suspended(&id(&name), self.version, false)
                    .await
                    .unwrap();
            }
        }
        self.workers.clear();
        self.named = 1_000_000;
        self.hire();
        let started = Instant::now();
        while !self.is_over() {
            assert!(
                started.elapsed() < Duration::from_secs(10),
                "HOLDFAST_TEST_SEED={} never ends\n{}\n{:#?}",
                self.seed,
                self.log.join("\n"),
                self.state
            );
            let holders = self.state.events_pending.iter().chain(&self.state.redeliveries_pending);
            let holders: BTreeSet<String> = holders.map(|(_, owner)| owner.clone()).collect();
            let me = self.workers[0].name.clone();
            for dead in holders.iter().filter(|name| **name != me) {
                self.claim(0, dead).await;
            }
            self.deliver_all().await;
            self.check().await;
        }
        let missing: Vec<_> = self.lost(&self.state);
        assert_eq!(missing, Vec::<String>::new());
    }

    fn is_over(&self) -> bool {
        let state = &self.state;
        let quiet = state.events.is_empty() && state.redeliveries.is_empty() && state.wakeups.is_empty();
        quiet && state.parked() == 0 && state.behind.is_empty() && state.bodies.is_empty()
    }

    async fn deliver_all(&mut self) {
        let me = self.workers[0].name.clone();
        for (event, _) in self.read("events", &me, 1_000).await {
            self.workers[0].events.insert(event);
        }
        for event in std::mem::take(&mut self.workers[0].events) {
            let wanted = self.events[&event].clone();
            let outcomes = wanted
                .iter()
                .map(|name| outcome(name, Verdict::Delivered, Duration::ZERO))
                .collect();
            self.partition
                .settle(&me, LIMITS, &[settlement(event, outcomes)])
                .await
                .unwrap();
            self.received.extend(wanted.into_iter().map(|name| (event, name)));
        }
        self.partition.reinject().await.unwrap();
        for (entry, fields) in self.read("redeliveries", &me, 1_000).await {
            let redelivery = Redelivery {
                id: entry,
                subscription: id(&fields[1]),
                worker: me.clone(),
            };
            self.workers[0].drains.push((redelivery, Vec::new()));
        }
        for (redelivery, _) in std::mem::take(&mut self.workers[0].drains) {
            self.drain(&redelivery).await;
        }
    }

    async fn drain(&mut self, redelivery: &Redelivery) {
        loop {
            let fetched = self
                .partition
                .fetch(redelivery, 100, Duration::ZERO, std::iter::empty());
            match fetched.await.unwrap() {
                Fetched::Lost | Fetched::Done => return,
                Fetched::Empty | Fetched::Rest => {
                    if self.partition.finish(redelivery).await.unwrap() != Finished::More {
                        return;
                    }
                }
                Fetched::Due { parked, .. } => {
                    self.receive(redelivery, &names(&parked));
                    self.partition.delivered(redelivery, &names(&parked)).await.unwrap();
                }
            }
        }
    }
}
