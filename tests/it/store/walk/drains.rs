//! The steps of a walk that belong to drains: what their owners do, and what zombies try.

use holdfast::domain::ids::Member;
use holdfast::store::drain::{Failure, Fetched, Finished, Redelivery, RefusedAs};
use std::time::Duration;

use super::world::{LIMITS, World};
use crate::store::names;

impl World {
    /// Takes a drain that holds at least `least` deliveries out of a random worker's hands.
    fn drain_of(&mut self, least: usize) -> Option<(usize, Redelivery, Vec<Member>)> {
        let mut fit = Vec::new();
        for at in 0..self.workers.len() + self.zombies.len() {
            let drains = self.worker(at).drains.iter().enumerate();
            fit.extend(
                drains
                    .filter(|(_, (_, held))| held.len() >= least)
                    .map(|(nth, _)| (at, nth)),
            );
        }
        if fit.is_empty() {
            return None;
        }
        let (at, nth) = fit[self.below(fit.len())];
        let (redelivery, held) = self.worker(at).drains.swap_remove(nth);
        Some((at, redelivery, held))
    }

    fn keep(&mut self, at: usize, redelivery: Redelivery, held: Vec<Member>) {
        self.worker(at).drains.push((redelivery, held));
    }

    pub(super) async fn fetch(&mut self) -> &'static str {
        let Some((at, redelivery, mut held)) = self.drain_of(0) else {
            self.reinject().await;
            return self.read_redeliveries().await;
        };
        let most = 1 + self.below(4);
        let fetched = self
            .partition
            .fetch(&redelivery, most, Duration::ZERO, held.iter().copied());
        let fetched = fetched.await.unwrap();
        self.note(format!("{} fetches {}: {fetched:?}", redelivery.worker, redelivery.id));
        if let Fetched::Due { probe, parked, .. } = &fetched {
            assert!(parked.len() <= if *probe { 1 } else { most });
            assert!(parked.iter().all(|parked| parked.body.is_some()));
            let mut sorted = names(parked);
            assert!(sorted.iter().all(|member| !held.contains(member)));
            held.append(&mut sorted);
        }
        if !matches!(fetched, Fetched::Lost | Fetched::Done) || self.one_in(3) {
            self.keep(at, redelivery, held);
        }
        "fetch"
    }

    pub(super) async fn delivered(&mut self) -> &'static str {
        let Some((at, redelivery, mut held)) = self.drain_of(1) else {
            return self.fetch().await;
        };
        let done: Vec<Member> = held.drain(..self.below(held.len() + 1)).collect();
        self.receive(&redelivery, &done);
        let delivered = self.partition.delivered(&redelivery, &done).await.unwrap();
        self.note(format!("{} delivered {done:?}: {delivered:?}", redelivery.worker));
        assert!(delivered.left as usize <= done.len());
        if !delivered.lost || self.one_in(2) {
            self.keep(at, redelivery, held);
        }
        "delivered"
    }

    pub(super) async fn refused(&mut self) -> &'static str {
        let Some((at, redelivery, mut held)) = self.drain_of(1) else {
            return self.fetch().await;
        };
        let member = held.swap_remove(0);
        let wait = self.wait();
        let refused = self.partition.refused(&redelivery, member, wait, LIMITS, "HTTP 404");
        let (refused, _) = refused.await.unwrap();
        self.note(format!("{} was refused {member}: {refused:?}", redelivery.worker));
        if refused == RefusedAs::Lost && !self.one_in(3) {
            return "refused";
        }
        self.keep(at, redelivery, held);
        "refused"
    }

    pub(super) async fn failed(&mut self) -> &'static str {
        let Some((at, redelivery, held)) = self.drain_of(1) else {
            return self.fetch().await;
        };
        let member = held[0];
        let failure = Failure {
            member,
            wait: self.wait(),
            floor: self.wait(),
            status: [None, Some(500), Some(502)][self.below(3)],
            tried: !self.one_in(4),
            max_attempts: if self.one_in(3) { 2 } else { 0 },
            error: "refused".to_owned(),
        };
        let failed = self.partition.failed(&redelivery, &failure).await.unwrap();
        self.note(format!("{} failed {member}: {failed:?}", redelivery.worker));
        if self.one_in(4) {
            self.keep(at, redelivery, held);
        }
        "failed"
    }

    /// Finishes, gives back or buries.
    pub(super) async fn end(&mut self) -> &'static str {
        let Some((at, redelivery, held)) = self.drain_of(0) else {
            return self.fetch().await;
        };
        let mut over = true;
        match (self.below(6), held.first()) {
            (0, _) => self.partition.leave_drain(&redelivery).await.unwrap(),
            (1, Some(member)) => {
                over = false;
                let buried = self.partition.bury(&redelivery, *member, "poison", "it killed workers");
                buried.await.unwrap();
            }
            _ => over = self.partition.finish(&redelivery).await.unwrap() != Finished::More,
        }
        self.note(format!("{} ends {}: {over}", redelivery.worker, redelivery.id));
        if !over || self.one_in(4) {
            self.keep(at, redelivery, held);
        }
        "end"
    }
}
