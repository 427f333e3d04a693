//! What the walk knows: which events were accepted and for whom, who received what, what each worker believes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use holdfast::domain::ids::{Member, StreamId};
use holdfast::store::Partition;
use holdfast::store::connect::Connection;
use holdfast::store::drain::Redelivery;
use holdfast::store::settle::RefusalLimits;
use holdfast::store::workers::Claim;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::store::state::State;
use crate::store::{id, raw};

pub(super) const LIMITS: RefusalLimits = RefusalLimits {
    bury_after: 2,
    open_after: 3,
};

/// A worker and what it believes to hold; a zombie goes on believing.
pub(super) struct Worker {
    pub(super) name: String,
    pub(super) events: BTreeSet<StreamId>,
    pub(super) drains: Vec<(Redelivery, Vec<Member>)>,
}

pub(super) struct World {
    /// The test's own hands.
    pub(super) admin: Connection,
    pub(super) partition: Arc<Partition>,
    pub(super) random: StdRng,
    pub(super) seed: u64,
    pub(super) log: Vec<String>,
    /// How often each kind of step was taken.
    pub(super) taken: BTreeMap<&'static str, u32>,
    pub(super) workers: Vec<Worker>,
    /// Those that died, or are only thought to.
    pub(super) zombies: Vec<Worker>,
    pub(super) named: u32,
    /// Subscriptions and whether they were removed.
    pub(super) subscriptions: BTreeMap<String, bool>,
    pub(super) version: u64,
    /// Accepted events and who wants them.
    pub(super) events: BTreeMap<StreamId, BTreeSet<String>>,
    /// Deliveries that were answered 2xx.
    pub(super) received: BTreeSet<(StreamId, String)>,
    /// Deliveries that a worker wrote to its file.
    pub(super) written: BTreeSet<(StreamId, String)>,
    pub(super) full: bool,
    pub(super) state: State,
}

impl World {
    pub(super) async fn new(admin: Connection, partition: Arc<Partition>, seed: u64) -> Self {
        partition.ensure_groups().await.unwrap();
        // Every other walk remembers what it settles.
        partition.recording.set(seed.is_multiple_of(2));
        let mut world = Self {
            state: State::read(&admin, &partition, &[]).await,
            admin,
            partition,
            random: StdRng::seed_from_u64(seed),
            seed,
            log: Vec::new(),
            taken: BTreeMap::new(),
            workers: Vec::new(),
            zombies: Vec::new(),
            named: 0,
            subscriptions: ["s0", "s1", "s2"].map(|name| (name.to_owned(), false)).into(),
            version: 0,
            events: BTreeMap::new(),
            received: BTreeSet::new(),
            written: BTreeSet::new(),
            full: false,
        };
        for _ in 0..3 {
            world.hire();
        }
        world
    }

    pub(super) fn hire(&mut self) {
        self.named += 1;
        self.workers.push(Worker {
            name: format!("w{}", self.named),
            events: BTreeSet::new(),
            drains: Vec::new(),
        });
    }

    /// A worker by its number; those after the living are zombies.
    pub(super) fn worker(&mut self, at: usize) -> &mut Worker {
        let living = self.workers.len();
        if at < living {
            &mut self.workers[at]
        } else {
            &mut self.zombies[at - living]
        }
    }

    pub(super) fn note(&mut self, step: String) {
        self.log.push(step);
    }

    pub(super) async fn look(&self, subscriptions: &[&str]) -> State {
        State::read(&self.admin, &self.partition, subscriptions).await
    }

    /// Reads everything and checks it against what the walk knows.
    pub(super) async fn check(&mut self) {
        let names: Vec<&str> = self.subscriptions.keys().map(String::as_str).collect();
        let state = self.look(&names).await;
        let mut faults = state.faults();
        faults.extend(self.lost(&state));
        let behind = |state: &State| state.behind.iter().cloned().collect::<BTreeSet<String>>();
        let version = |state: &State| state.total("behind_version");
        if behind(&state) != behind(&self.state) && version(&state) <= version(&self.state) {
            faults.push("those behind changed, their version did not".to_owned());
        }
        self.state = state;
        assert!(
            faults.is_empty(),
            "HOLDFAST_TEST_SEED={}\n{}\n{faults:#?}\n{:#?}",
            self.seed,
            self.log.join("\n"),
            self.state
        );
    }

    /// Deliveries of accepted events that are nowhere.
    pub(super) fn lost(&self, state: &State) -> Vec<String> {
        let waiting: BTreeSet<&str> = state.events.iter().map(String::as_str).collect();
        let dead: BTreeSet<(&str, &str)> = state
            .dead
            .iter()
            .map(|(_, subscription, member)| (subscription.as_str(), member.as_str()))
            .collect();
        let mut lost = Vec::new();
        for (event, wanted) in &self.events {
            let member = Member(*event).to_string();
            if waiting.contains(event.to_string().as_str()) || dead.contains(&("", member.as_str())) {
                continue;
            }
            for name in wanted {
                let kept = self.received.contains(&(*event, name.clone()))
                    || self.written.contains(&(*event, name.clone()))
                    || state.queues[name].contains_key(&member)
                    || dead.contains(&(name.as_str(), member.as_str()))
                    || self.subscriptions[name];
                if !kept {
                    lost.push(format!("{event} for {name} is lost"));
                }
            }
        }
        let orphans = state
            .events_pending
            .iter()
            .filter(|(id, _)| !waiting.contains(id.as_str()));
        lost.extend(orphans.map(|(id, owner)| format!("{id} is pending at {owner} but gone")));
        lost
    }

    /// New entries of a stream, without waiting.
    pub(super) async fn read(&self, stream: &str, worker: &str, most: usize) -> Vec<(StreamId, Vec<String>)> {
        let events = &self.partition.keys().events;
        let key = format!("{}{stream}", events.trim_end_matches("events"));
        let most = most.to_string();
        let words = [
            "XREADGROUP",
            "GROUP",
            "workers",
            worker,
            "COUNT",
            &most,
            "STREAMS",
            &key,
            ">",
        ];
        type Streams = Vec<(String, Vec<(String, Vec<String>)>)>;
        let answer: Option<Streams> = raw(&self.admin, &words).await;
        let entries = answer.into_iter().flatten().flat_map(|(_, entries)| entries);
        entries.map(|(id, fields)| (id.parse().unwrap(), fields)).collect()
    }

    /// Takes over what a worker holds; what comes is known to the one that asked.
    pub(super) async fn claim(&mut self, at: usize, dead: &str) {
        let me = self.workers[at].name.clone();
        let beats = self.partition.heartbeat(&me).await.unwrap();
        let observed = beats
            .iter()
            .find(|(name, _)| name == dead)
            .map_or(-1.0, |(_, beat)| *beat);
        let claim = self
            .partition
            .claim(&me, dead, observed, Duration::ZERO, 2)
            .await
            .unwrap();
        let Claim::Claimed { gone, entries, .. } = claim else {
            return;
        };
        assert_eq!(gone, 0, "nobody deletes entries here");
        for (_, entry) in entries {
            match entry.field("subscription") {
                Some(name) => {
                    let subscription = id(std::str::from_utf8(name).unwrap());
                    let redelivery = Redelivery {
                        id: entry.id,
                        subscription,
                        worker: me.clone(),
                    };
                    self.workers[at].drains.push((redelivery, Vec::new()));
                }
                None => {
                    self.workers[at].events.insert(entry.id);
                }
            }
        }
    }

    pub(super) async fn set_full(&mut self, full: bool) {
        self.full = full;
        let limit = if full { "1" } else { "0" };
        let _: String = raw(&self.admin, &["CONFIG", "SET", "maxmemory", limit]).await;
    }

    /// The subscriber answered 2xx.
    pub(super) fn receive(&mut self, redelivery: &Redelivery, members: &[Member]) {
        let name = redelivery.subscription.as_str();
        self.received
            .extend(members.iter().map(|member| (member.0, name.to_owned())));
    }

    /// A number below `end`.
    pub(super) fn below(&mut self, end: usize) -> usize {
        self.random.random_range(0..end)
    }

    /// True one time in `n`.
    pub(super) fn one_in(&mut self, n: u32) -> bool {
        self.random.random_ratio(1, n)
    }
}
