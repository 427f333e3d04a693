//! The scripts, each one step of the model, under the names of `src/store/lua`. What a rule guards is marked by
//! the rule's name.
//!
//! Not in the model: `retain` and `overflowed`, which take deliveries out of a queue whoever drains it and make no
//! wake-up (the random walk has them), and what is kept or read for looking things up only: `recent`, `sources`,
//! `trim`, `parked`, `obituaries`, `census`, `snapshot`.

use super::rules::{Rule, Rules};
use super::state::{
    Circuit, Delivery, Drain, Due, Event, Held, Parked, Place, Pod, Redelivery, Stage, State, Subscription, Verdict,
    Watch, Worker,
};

/// How `arm` treats a wake-up that is there: `ZADD NX` or `ZADD LT`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum How {
    Nx,
    Lt,
}

/// Refusals of one delivery that bury it.
const BURY_AFTER: u8 = 2;

/// A state while a script runs on it.
pub(crate) struct Scripts<'a> {
    pub(crate) state: &'a mut State,
    pub(crate) rules: Rules,
}

impl Scripts<'_> {
    fn circuit(&mut self, s: Subscription) -> &mut Circuit {
        &mut self.state.circuits[s]
    }

    fn delivery(&mut self, e: Event, s: Subscription) -> &mut Delivery {
        &mut self.state.deliveries[e][s]
    }

    fn mine(&self, id: u8, w: Worker) -> bool {
        let out = &self.state.redeliveries;
        out.iter()
            .any(|entry| entry.id == id && entry.place == Place::Pending(w))
    }

    fn arm(&mut self, s: Subscription, at: Due, how: How) {
        let circuit = self.state.circuits[s];
        let suspended = circuit.suspended && self.rules.has(Rule::ArmKnowsSuspension);
        let out = circuit.entry.is_some() && self.rules.has(Rule::ArmKnowsEntry);
        if suspended || out || !self.state.waits(s) {
            return;
        }
        let wakeup = match (circuit.wakeup, how) {
            (None, _) => at,
            (Some(_), _) if !self.rules.has(Rule::ArmNeverLater) => at,
            (Some(known), How::Nx) => known,
            (Some(Due::Now), How::Lt) => Due::Now,
            (Some(Due::Later), How::Lt) => at,
        };
        if circuit.wakeup == Some(Due::Now) && wakeup == Due::Later {
            self.state.misdeed = Some("a wake-up is made later");
        }
        self.circuit(s).wakeup = Some(wakeup);
    }

    fn arm_earliest(&mut self, s: Subscription) {
        if self.state.waits(s) {
            let due = self.state.oldest_due(s).map_or(Due::Later, |_| Due::Now);
            self.arm(s, due, How::Lt);
        }
    }

    /// Whether it is new.
    fn park(&mut self, e: Event, s: Subscription, parked: Parked) -> bool {
        let removed = self.state.circuits[s].removed && self.rules.has(Rule::TombstoneStopsPark);
        let delivery = self.delivery(e, s);
        if removed {
            delivery.dropped = true;
            return false;
        }
        if delivery.parked.is_some() {
            return false;
        }
        delivery.parked = Some(parked);
        delivery.wanted += 1;
        true
    }

    fn bury(&mut self, e: Event, s: Subscription) {
        let delivery = self.delivery(e, s);
        *delivery = Delivery {
            dead: true,
            received: delivery.received,
            ..Delivery::default()
        };
    }

    /// Ends a redelivery.
    fn done(&mut self, s: Subscription, id: u8, by: Worker) {
        let out = &mut self.state.redeliveries;
        if let Some(at) = out.iter().position(|entry| entry.id == id) {
            let entry = out.remove(at);
            if matches!(entry.place, Place::Pending(owner) if owner != by) {
                self.state.misdeed = Some("a worker ends another's drain");
            }
        }
        if self.circuit(s).entry == Some(id) {
            self.circuit(s).entry = None;
        }
    }

    fn inject(&mut self, s: Subscription) {
        let state = &*self.state;
        let remembered = |id: u8| {
            let drains = state.pods.iter().filter_map(|pod| pod.drain);
            state.redeliveries.iter().any(|entry| entry.id == id)
                || drains.into_iter().any(|drain| drain.id == id)
                || state.circuits.iter().any(|circuit| circuit.entry == Some(id))
        };
        // An id that nobody remembers is as good as a new one, and there are few of them.
        let id = (0..u8::MAX).find(|id| !remembered(*id)).expect("a free id");
        self.state.redeliveries.push(Redelivery {
            id,
            subscription: s,
            place: Place::Unread,
        });
        self.circuit(s).entry = Some(id);
    }

    /// Writes what became of the deliveries `from..to` of an event.
    fn write(&mut self, e: Event, held: &Held, from: Subscription, to: Subscription) {
        let in_order = Parked {
            due: Due::Now,
            in_order: true,
        };
        for s in from..to {
            let was_behind = self.state.circuits[s].behind;
            let behind_or_set = if was_behind { How::Nx } else { How::Lt };
            match held.verdicts[s].expect("every delivery has a verdict") {
                Verdict::Delivered => {
                    self.delivery(e, s).wanted += 1;
                    if was_behind {
                        self.arm(s, Due::Now, How::Lt);
                    }
                }
                Verdict::Unavailable => {
                    self.park(e, s, in_order);
                    self.open(s);
                    self.arm(s, Due::Later, How::Nx);
                }
                Verdict::Behind => {
                    self.park(e, s, in_order);
                    self.circuit(s).behind = !self.state.circuits[s].removed;
                    self.arm(s, Due::Now, behind_or_set);
                }
                Verdict::Refused => {
                    let later = Parked {
                        due: Due::Later,
                        in_order: false,
                    };
                    if self.park(e, s, later) {
                        self.delivery(e, s).refusals = 1;
                    }
                    self.arm(s, Due::Later, behind_or_set);
                }
            }
        }
    }

    fn open(&mut self, s: Subscription) {
        let removed = self.state.circuits[s].removed;
        let circuit = self.circuit(s);
        (circuit.open, circuit.behind) = (!removed, !removed);
    }

    /// One call of `settle`, and that it counts nothing of an event that is settled. A worker that was taken over
    /// between two chunks may count what the other counted too: both POSTs were made, and the books balance.
    pub(crate) fn settle(&mut self, w: Worker, e: Event, held: Held) -> Option<Held> {
        let settled = self.state.events[e] == Place::Acknowledged && !held.acknowledged;
        let before = self.state.deliveries[e].clone();
        let next = self.settle_chunk(w, e, held);
        let counted = self.state.deliveries[e].iter().zip(before);
        if settled && counted.into_iter().any(|(now, before)| now.wanted > before.wanted) {
            self.state.misdeed = Some("a delivery is counted twice");
        }
        next
    }

    /// An event two deliveries needs two calls, as one with more than 256 does.
    fn settle_chunk(&mut self, w: Worker, e: Event, mut held: Held) -> Option<Held> {
        let last = self.state.circuits.len();
        if last > 1 && !held.first_chunk {
            if self.rules.has(Rule::ChunkNeedsMine) && self.state.events[e] != Place::Pending(w) {
                return None;
            }
            held.first_chunk = true;
            // What was delivered is counted with the last chunk.
            if held.verdicts[0] != Some(Verdict::Delivered) {
                self.write(e, &held, 0, 1);
            }
            return Some(held);
        }
        if !held.acknowledged {
            let settled = self.state.events[e] == Place::Acknowledged;
            if settled && self.rules.has(Rule::FirstSettlementWins) {
                return None;
            }
            self.state.events[e] = Place::Acknowledged;
            if !self.rules.has(Rule::ParkWithAck) {
                held.acknowledged = true;
                return Some(held);
            }
        }
        let from = usize::from(last > 1);
        if from == 1 && held.verdicts[0] == Some(Verdict::Delivered) {
            self.write(e, &held, 0, 1);
        }
        self.write(e, &held, from, last);
        None
    }

    pub(crate) fn reinject(&mut self, s: Subscription) {
        let due = self.circuit(s).wakeup == Some(Due::Now);
        if due || !self.rules.has(Rule::ZremDecides) {
            self.circuit(s).wakeup = None;
            self.inject(s);
        }
    }

    /// The drain as it goes on; `None` where it ended.
    pub(crate) fn fetch(&mut self, w: Worker, drain: Drain) -> Option<Drain> {
        let (s, id) = (drain.subscription, drain.id);
        if !self.mine(id, w) {
            return None;
        }
        let circuit = self.state.circuits[s];
        if circuit.entry != Some(id) || circuit.suspended || circuit.removed {
            self.done(s, id, w);
            return None;
        }
        let stage = match self.state.oldest_due(s) {
            Some(e) => Stage::Holds(e),
            None if circuit.open && self.state.waits(s) => {
                self.done(s, id, w);
                self.arm_earliest(s);
                return None;
            }
            None => Stage::End,
        };
        Some(Drain { stage, ..drain })
    }

    pub(crate) fn delivered(&mut self, w: Worker, drain: Drain, e: Event) -> Option<Drain> {
        let s = drain.subscription;
        self.delivery(e, s).parked = None;
        if !self.mine(drain.id, w) {
            if self.circuit(s).behind {
                self.arm(s, Due::Now, How::Lt);
            }
            return None;
        }
        self.circuit(s).open = false;
        Some(Drain {
            stage: Stage::Begin,
            ..drain
        })
    }

    fn fenced(&self, id: u8, w: Worker) -> bool {
        self.rules.has(Rule::DrainNeedsMine) && !self.mine(id, w)
    }

    pub(crate) fn failed(&mut self, w: Worker, drain: Drain, e: Event) {
        let (s, id) = (drain.subscription, drain.id);
        if self.fenced(id, w) {
            return;
        }
        if self.rules.has(Rule::DoneBeforeArm) {
            self.done(s, id, w);
        }
        if let Some(parked) = &mut self.delivery(e, s).parked {
            *parked = Parked {
                due: Due::Now,
                in_order: true,
            };
        }
        if self.state.waits(s) {
            self.open(s);
            if self.rules.has(Rule::FailedArms) {
                self.arm(s, Due::Later, How::Nx);
            }
        } else {
            self.close(s);
        }
        if !self.rules.has(Rule::DoneBeforeArm) {
            self.done(s, id, w);
        }
    }

    /// Nothing is due any more: not open, and behind only while suspended.
    fn close(&mut self, s: Subscription) {
        let circuit = self.circuit(s);
        (circuit.open, circuit.behind) = (false, circuit.suspended);
    }

    pub(crate) fn refused(&mut self, w: Worker, drain: Drain, e: Event) -> Option<Drain> {
        let s = drain.subscription;
        if self.fenced(drain.id, w) {
            return None;
        }
        let delivery = self.delivery(e, s);
        if delivery.parked.is_some() {
            delivery.refusals += 1;
            if delivery.refusals >= BURY_AFTER {
                self.bury(e, s);
            } else {
                delivery.parked = Some(Parked {
                    due: Due::Later,
                    in_order: false,
                });
            }
            self.circuit(s).open = false;
        }
        Some(Drain {
            stage: Stage::Begin,
            ..drain
        })
    }

    pub(crate) fn finish(&mut self, w: Worker, drain: Drain) -> Option<Drain> {
        let (s, id) = (drain.subscription, drain.id);
        if self.fenced(id, w) {
            return None;
        }
        let circuit = self.state.circuits[s];
        if circuit.entry != Some(id) || circuit.suspended {
            self.done(s, id, w);
            return None;
        }
        if self.rules.has(Rule::FinishChecksDue) && self.state.oldest_due(s).is_some() {
            return Some(Drain {
                stage: Stage::Begin,
                ..drain
            });
        }
        self.done(s, id, w);
        self.close(s);
        self.arm_earliest(s);
        None
    }

    /// Takes over at most one entry of each stream; answers the event that came.
    pub(crate) fn claim(&mut self, me: Worker, dead: Worker) -> Option<Event> {
        let moved = self.state.pods[dead].watch == Watch::Moved;
        if moved && self.rules.has(Rule::ClaimChecksScore) {
            return None;
        }
        let events = &mut self.state.events;
        let event = events.iter().position(|place| *place == Place::Pending(dead));
        if let Some(e) = event {
            events[e] = Place::Pending(me);
        }
        let out = &mut self.state.redeliveries;
        if let Some(entry) = out.iter_mut().find(|entry| entry.place == Place::Pending(dead)) {
            entry.place = Place::Pending(me);
        }
        if !self.rules.has(Rule::ConsumerGoesLast) {
            let places = out.iter_mut().map(|entry| &mut entry.place).chain(events);
            for place in places.filter(|place| **place == Place::Pending(dead)) {
                *place = Place::Orphan;
            }
        }
        if moved && event.is_some() {
            self.state.misdeed = Some("a living worker is robbed");
        }
        event
    }

    pub(crate) fn suspend(&mut self, s: Subscription) {
        let circuit = self.circuit(s);
        (circuit.wakeup, circuit.suspended, circuit.behind) = (None, true, true);
    }

    pub(crate) fn resume(&mut self, s: Subscription) {
        self.circuit(s).suspended = false;
        if !self.rules.has(Rule::ResumeArms) {
            return;
        }
        if self.state.oldest_due(s).is_some() {
            self.arm(s, Due::Now, How::Lt);
        } else if self.circuit(s).entry.is_none() {
            self.close(s);
            self.arm_earliest(s);
        }
    }

    pub(crate) fn remove(&mut self, s: Subscription) {
        let entry = self.circuit(s).entry;
        *self.circuit(s) = Circuit {
            removed: true,
            entry,
            ..Circuit::default()
        };
        for of in &mut self.state.deliveries {
            if of[s].parked.take().is_some() {
                of[s].dropped = true;
            }
        }
    }

    pub(crate) fn replay(&mut self, e: Event, s: Subscription) {
        if !self.state.deliveries[e][s].dead && self.rules.has(Rule::ReplayFindsFirst) {
            return;
        }
        self.delivery(e, s).dead = false;
        let again = Parked {
            due: Due::Now,
            in_order: false,
        };
        if self.park(e, s, again) {
            if self.delivery(e, s).wanted > 1 {
                self.state.misdeed = Some("a delivery is counted twice");
            }
            let how = if self.circuit(s).behind { How::Nx } else { How::Lt };
            self.arm(s, Due::Now, how);
        }
    }
}

impl Pod {
    /// Forgets everything.
    pub(crate) fn die(&mut self) {
        *self = Self {
            watch: self.watch,
            ..Self::default()
        };
    }
}
