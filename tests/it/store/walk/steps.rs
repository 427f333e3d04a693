//! The steps of a walk, each what somebody could do at any moment.

use std::collections::BTreeSet;
use std::time::Duration;

use holdfast::domain::ids::{Member, StreamId};
use holdfast::store::circuits::Wake;
use holdfast::store::dead_letters::Replayed;
use holdfast::store::drain::Redelivery;
use holdfast::store::recent::Bounds;
use holdfast::store::settle::{Outcome, Settlement, Verdict};

use super::world::{LIMITS, World};
use crate::store::{LONG, frame, id, settlement};

const VERDICTS: [Verdict; 9] = [
    Verdict::Delivered,
    Verdict::Delivered,
    Verdict::Delivered,
    Verdict::Unavailable,
    Verdict::Behind,
    Verdict::WaitedTooLong,
    Verdict::Refused,
    Verdict::NotTried,
    Verdict::GivenUp,
];

impl World {
    /// One random step, and the check after it.
    pub(super) async fn step(&mut self) {
        let name = match self.below(104) {
            0..12 => self.publish().await,
            12..22 => self.read_events().await,
            22..34 => self.settle().await,
            34..40 => self.reinject().await,
            40..46 => self.read_redeliveries().await,
            46..56 => self.fetch().await,
            56..64 => self.delivered().await,
            64..69 => self.refused().await,
            69..75 => self.failed().await,
            75..79 => self.end().await,
            79..81 => self.crash(),
            81..86 => self.take_over().await,
            86..89 => self.suspend().await,
            89..91 => self.subscribe_or_remove().await,
            91 => self.replay().await,
            92 => self.wake().await,
            93 => self.audit().await,
            94..98 => self.publish().await,
            100..104 => self.keep_limits().await,
            _ => {
                let full = !self.full && self.one_in(3);
                self.set_full(full).await;
                "limit"
            }
        };
        *self.taken.entry(name).or_default() += 1;
        self.check().await;
    }

    async fn publish(&mut self) -> &'static str {
        let name = format!("event {}", self.events.len());
        match self.partition.publish(&frame(&name)).await {
            Ok(event) => {
                assert!(!self.full, "a full Redis took an event");
                let all: Vec<String> = self.present();
                let wanted: BTreeSet<String> = all.into_iter().filter(|_| !self.one_in(3)).collect();
                self.note(format!("publish {event} for {wanted:?}"));
                self.events.insert(event, wanted);
            }
            Err(error) => assert!(self.full && error.is_memory_limit(), "{error}"),
        }
        "publish"
    }

    fn present(&self) -> Vec<String> {
        let present = self.subscriptions.iter().filter(|(_, removed)| !**removed);
        present.map(|(name, _)| name.clone()).collect()
    }

    fn anybody(&mut self) -> usize {
        let all = self.workers.len() + self.zombies.len();
        self.below(all)
    }

    async fn read_events(&mut self) -> &'static str {
        let at = self.anybody();
        let name = self.worker(at).name.clone();
        let entries = self.read("events", &name, 2).await;
        self.note(format!("{name} reads {} events", entries.len()));
        self.worker(at)
            .events
            .extend(entries.into_iter().map(|(event, _)| event));
        "read"
    }

    async fn settle(&mut self) -> &'static str {
        let at = self.anybody();
        let name = self.worker(at).name.clone();
        let held: Vec<StreamId> = self.worker(at).events.iter().copied().take(3).collect();
        let mut batch: Vec<Settlement> = Vec::new();
        for event in held {
            batch.push(self.outcomes(event));
            // At times it forgets that it did, or did not hear that it had.
            if !self.one_in(5) {
                self.worker(at).events.remove(&event);
            }
        }
        let told: Vec<String> = batch
            .iter()
            .map(|one| {
                let verdicts = one
                    .outcomes
                    .iter()
                    .map(|o| format!("{}:{:?}", o.subscription, o.verdict));
                format!("{} {:?} {:?}", one.id, one.rejected, verdicts.collect::<Vec<_>>())
            })
            .collect();
        self.note(format!("{name} settles {told:?}"));
        for one in &batch {
            let delivered = one.outcomes.iter().filter(|o| o.verdict == Verdict::Delivered);
            let received = delivered.map(|o| (one.id, o.subscription.as_str().to_owned()));
            self.received.extend(received);
        }
        let settled = self.partition.settle(&name, LIMITS, &batch).await.unwrap();
        assert_eq!(settled.won.len(), batch.len());
        for (one, won) in batch.iter().zip(&settled.won) {
            let pending = self
                .state
                .events_pending
                .iter()
                .any(|(id, _)| *id == one.id.to_string());
            assert_eq!(*won, pending, "the first settlement of {} wins, and no other", one.id);
        }
        "settle"
    }

    fn outcomes(&mut self, event: StreamId) -> Settlement {
        let wanted = self.events.get(&event).cloned().unwrap_or_default();
        let rejected = self.one_in(20).then(|| "not JSON".to_owned());
        let mut outcomes = Vec::new();
        for name in wanted {
            let at = self.below(VERDICTS.len());
            outcomes.push(Outcome {
                subscription: id(&name),
                verdict: VERDICTS[at],
                wait: self.wait(),
                floor: if self.one_in(4) { self.wait() } else { Duration::ZERO },
                error: "HTTP 503".to_owned(),
            });
        }
        if rejected.is_some() {
            outcomes.clear();
        }
        Settlement {
            rejected,
            ..settlement(event, outcomes)
        }
    }

    /// Short, so that what waits comes due within the walk.
    pub(super) fn wait(&mut self) -> Duration {
        let millis = if self.one_in(2) { 0 } else { self.below(4) };
        Duration::from_millis(u64::try_from(millis).unwrap())
    }

    pub(super) async fn reinject(&mut self) -> &'static str {
        let (one, other) = tokio::join!(self.partition.reinject(), self.partition.reinject());
        let moved = one.unwrap().lateness.len() + other.unwrap().lateness.len();
        self.note(format!("schedulers move {moved}"));
        "reinject"
    }

    pub(super) async fn read_redeliveries(&mut self) -> &'static str {
        let at = self.anybody();
        let worker = self.worker(at).name.clone();
        for (entry, fields) in self.read("redeliveries", &worker, 2).await {
            self.note(format!("{worker} takes redelivery {entry} of {}", fields[1]));
            let redelivery = Redelivery {
                id: entry,
                subscription: id(&fields[1]),
                worker: worker.clone(),
            };
            self.worker(at).drains.push((redelivery, Vec::new()));
        }
        "take"
    }

    fn crash(&mut self) -> &'static str {
        let at = self.below(self.workers.len());
        let dead = self.workers.swap_remove(at);
        self.note(format!("{} dies, or only pauses", dead.name));
        self.zombies.push(dead);
        if self.zombies.len() > 3 {
            self.zombies.remove(0);
        }
        self.hire();
        "crash"
    }

    async fn take_over(&mut self) -> &'static str {
        let at = self.below(self.workers.len());
        let pending = self.state.events_pending.iter().chain(&self.state.redeliveries_pending);
        let living: Vec<&str> = self.workers.iter().map(|worker| worker.name.as_str()).collect();
        let dead: BTreeSet<String> = pending
            .map(|(_, owner)| owner.clone())
            .filter(|owner| !living.contains(&owner.as_str()))
            .collect();
        for name in &dead {
            self.note(format!("{} takes over from {name}", self.workers[at].name));
            self.claim(at, name).await;
        }
        "claim"
    }

    async fn suspend(&mut self) -> &'static str {
        let all: Vec<String> = self.subscriptions.keys().cloned().collect();
        let name = all[self.below(all.len())].clone();
        let suspended = self.one_in(3);
        // Some come late, with a version that is over.
        let version = if self.one_in(4) { self.version } else { self.version + 1 };
        self.version = version.max(self.version);
        let applied = self
            .partition
            .set_suspended(&id(&name), version, suspended)
            .await
            .unwrap();
        self.note(format!("{name} suspended={suspended} version {version}: {applied}"));
        "suspend"
    }

    async fn subscribe_or_remove(&mut self) -> &'static str {
        let present = self.present();
        if present.len() < 3 || (present.len() < 6 && self.one_in(2)) {
            let name = format!("s{}", self.subscriptions.len());
            self.note(format!("{name} subscribes"));
            self.subscriptions.insert(name, false);
            return "subscribe";
        }
        let name = present[self.below(present.len())].clone();
        self.note(format!("{name} is removed"));
        self.partition.remove(&id(&name)).await.unwrap();
        self.subscriptions.insert(name, true);
        "remove"
    }

    async fn replay(&mut self) -> &'static str {
        if self.state.dead.is_empty() {
            return "idle";
        }
        let at = self.below(self.state.dead.len());
        let (letter, subscription, member) = self.state.dead[at].clone();
        let replayed = self.partition.replay(letter.parse().unwrap()).await.unwrap();
        self.note(format!("replay of {member} for {subscription:?}: {replayed:?}"));
        if subscription.is_empty() && replayed == Replayed::Replayed {
            // It has a new id, and is wanted by those who wanted the old one.
            let old: Member = member.parse().unwrap();
            let wanted = self.events.remove(&old.0).unwrap_or_default();
            self.check().await;
            let events = self.state.events.iter().map(|id| id.parse::<StreamId>().unwrap());
            let new: Vec<StreamId> = events.filter(|id| !self.events.contains_key(id)).collect();
            assert_eq!(new.len(), 1, "one event came back");
            self.events.insert(new[0], wanted);
        }
        "replay"
    }

    async fn wake(&mut self) -> &'static str {
        let all: Vec<String> = self.subscriptions.keys().cloned().collect();
        let name = all[self.below(all.len())].clone();
        let how = [Wake::Due, Wake::PastFloor, Wake::Fresh][self.below(3)];
        let woken = self.partition.wake(&id(&name), how).await.unwrap().reinjected;
        self.note(format!("wake {name} {how:?}: {woken}"));
        "wake"
    }

    /// Nothing needs repair.
    async fn audit(&mut self) -> &'static str {
        let all: Vec<_> = self.subscriptions.keys().map(|name| id(name)).collect();
        let repaired = self.partition.audit(&all, |_| LONG).await.unwrap();
        let bounds = Bounds {
            max_age_ms: 1_000,
            max_bytes: u64::from(self.one_in(2)) * 512,
        };
        self.partition.trim(bounds).await.unwrap();
        self.note(format!("audit: {repaired}"));
        assert_eq!(repaired, 0, "repaired where all was well: {:#?}", self.state);
        "audit"
    }
}
