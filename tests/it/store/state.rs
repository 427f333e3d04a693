//! Everything a partition holds at one moment, and what must be true of it at every moment.

use std::collections::{BTreeMap, BTreeSet};

use fred::prelude::LuaInterface;
use fred::types::Value;
use holdfast::domain::ids::StreamId;
use holdfast::store::Partition;
use holdfast::store::connect::Connection;
use serde::Deserialize;
use serde::de::{Deserializer, Error};

const SCRIPT: &str = include_str!("state.lua");

/// What `state.lua` answers. Lua writes an empty list as `{}`.
#[derive(Debug, Deserialize)]
pub(super) struct State {
    #[serde(deserialize_with = "list")]
    pub(super) events: Vec<String>,
    #[serde(deserialize_with = "list")]
    pub(super) events_pending: Vec<(String, String)>,
    pub(super) redeliveries: BTreeMap<String, String>,
    #[serde(deserialize_with = "list")]
    pub(super) redeliveries_pending: Vec<(String, String)>,
    /// The last redelivery that the group handed out.
    last: String,
    /// Id, subscription, member.
    #[serde(deserialize_with = "list")]
    pub(super) dead: Vec<(String, String, String)>,
    pub(super) queues: BTreeMap<String, BTreeMap<String, f64>>,
    pub(super) circuits: BTreeMap<String, BTreeMap<String, String>>,
    tries: BTreeMap<String, serde_json::Value>,
    pub(super) wakeups: BTreeMap<String, f64>,
    #[serde(deserialize_with = "list")]
    pub(super) behind: Vec<String>,
    pub(super) removed: BTreeMap<String, f64>,
    #[serde(deserialize_with = "list")]
    pub(super) bodies: Vec<String>,
    pub(super) refs: BTreeMap<String, String>,
    pub(super) ledger: BTreeMap<String, String>,
}

fn list<'de, D: Deserializer<'de>, T: serde::de::DeserializeOwned>(value: D) -> Result<Vec<T>, D::Error> {
    match serde_json::Value::deserialize(value)? {
        serde_json::Value::Object(map) if map.is_empty() => Ok(Vec::new()),
        other => serde_json::from_value(other).map_err(D::Error::custom),
    }
}

impl State {
    pub(super) async fn read(admin: &Connection, partition: &Partition, subscriptions: &[&str]) -> Self {
        let arguments: Vec<Value> = subscriptions.iter().map(|id| Value::from(*id)).collect();
        let client = admin.client();
        let json: String = client
            .eval(SCRIPT, vec![partition.keys().events.as_str()], arguments)
            .await
            .unwrap();
        serde_json::from_str(&json).unwrap_or_else(|error| panic!("{error}: {json}"))
    }

    /// Deliveries parked now.
    pub(super) fn parked(&self) -> usize {
        self.queues.values().map(BTreeMap::len).sum()
    }

    pub(super) fn total(&self, name: &str) -> i64 {
        self.ledger.get(name).map_or(0, |total| total.parse().unwrap())
    }

    /// What is broken; empty when all is well.
    pub(super) fn faults(&self) -> Vec<String> {
        let mut faults = self.book_faults();
        faults.extend(self.body_faults());
        for (id, queue) in &self.queues {
            faults.extend(self.circuit_faults(id, !queue.is_empty()));
        }
        faults
    }

    fn book_faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let ends = ["delivered", "parked", "dead_lettered", "overflowed", "dropped"];
        let held: i64 = ends.iter().map(|end| self.total(end)).sum();
        if self.total("wanted") + self.total("replayed") != held {
            faults.push(format!("the ledger does not balance: {:?}", self.ledger));
        }
        if usize::try_from(self.total("parked")) != Ok(self.parked()) {
            faults.push(format!(
                "{} are parked, the ledger says {:?}",
                self.parked(),
                self.ledger
            ));
        }
        faults
    }

    /// Bodies and references match their holders exactly; tries belong to parked deliveries.
    fn body_faults(&self) -> Vec<String> {
        let mut holders: BTreeMap<&str, u64> = BTreeMap::new();
        for member in self.queues.values().flat_map(BTreeMap::keys) {
            *holders.entry(member).or_default() += 1;
        }
        let mut faults = Vec::new();
        let bodies: BTreeSet<&str> = self.bodies.iter().map(String::as_str).collect();
        if bodies != holders.keys().copied().collect() {
            faults.push(format!("bodies {bodies:?} are held by {holders:?}"));
        }
        let wanted: BTreeMap<&str, u64> = holders
            .iter()
            .filter(|(_, count)| **count > 1)
            .map(|(member, count)| (*member, count - 1))
            .collect();
        let refs: BTreeMap<&str, u64> = self
            .refs
            .iter()
            .map(|(member, count)| (member.as_str(), count.parse().unwrap()))
            .collect();
        if refs != wanted {
            faults.push(format!("references are {refs:?} where {wanted:?} are right"));
        }
        for (id, tries) in &self.tries {
            for member in tries
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|tried| tried.as_str())
            {
                if !self.queues[id].contains_key(member) {
                    faults.push(format!("{id} kept the tries of {member}, which is not parked"));
                }
            }
        }
        faults
    }

    /// Invariant 3, and what the circuit's fields mean for each other.
    fn circuit_faults(&self, id: &str, waiting: bool) -> Vec<String> {
        let circuit = &self.circuits[id];
        let (suspended, entry) = (circuit.contains_key("suspended"), circuit.get("entry"));
        let wakeup = self.wakeups.contains_key(id);
        let behind = self.behind.iter().any(|known| known == id);
        let mut faults = Vec::new();
        let mut rule = |broken: bool, what: &str| {
            if broken {
                faults.push(format!("{id}: {what}; wake-up {wakeup}, circuit {circuit:?}"));
            }
        };
        let removed = self.removed.contains_key(id);
        rule(wakeup && entry.is_some(), "a wake-up and a redelivery");
        rule(wakeup && suspended, "a wake-up while suspended");
        rule(
            waiting && !suspended && !removed && !wakeup && entry.is_none(),
            "nothing will wake it",
        );
        rule(
            entry.is_some_and(|entry| !self.will_arrive(entry)),
            "its redelivery reaches nobody",
        );
        rule(circuit.contains_key("behind") != behind, "behind in one place only");
        rule(circuit.contains_key("open") && !behind, "open but not behind");
        rule(suspended && !behind && !removed, "suspended but not behind");
        faults
    }

    /// Whether a redelivery is pending at a worker, or not read yet.
    fn will_arrive(&self, entry: &str) -> bool {
        let id = |text: &str| text.parse::<StreamId>().unwrap();
        let pending = self.redeliveries_pending.iter().any(|(pending, _)| pending == entry);
        self.redeliveries.contains_key(entry) && (pending || id(entry) > id(&self.last))
    }
}
