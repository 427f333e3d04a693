//! The scripts, each one step of the model, under the names of `src/store/lua`. What a rule guards is marked by
//! the rule's name.
//!
//! Not in the model: what is kept or read for looking things up only (`recent`, `sources`, `trim`, `parked`,
//! `obituaries`, `census`, `snapshot`), and `wake`, which is an `arm` and a `reinject`. There is one partition: no
//! script touches a key of two, so that the steps of several are those of each in any order, and what is shown of one
//! holds for each.

use super::rules::{Rule, Rules};
use super::state::{
    Circuit, Delivery, Drain, Due, Event, Held, Parked, Place, Pod, Redelivery, Stage, State, Subscription, Verdict,
    Worker,
};

/// How `arm` treats a wake-up that is there: `ZADD NX` or `ZADD LT`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    Nx,
    Lt,
}

/// Refusals of one delivery that bury it.
const BURY_AFTER: u8 = 2;
/// Equal answers that make the oldest a suspect.
const SUSPECT_AFTER: u8 = 2;

/// A state while a script runs on it.
pub(crate) struct Scripts<'a> {
    pub(crate) state: &'a mut State,
    pub(crate) rules: Rules,
}

impl Scripts<'_> {
    pub(super) fn circuit(&mut self, s: Subscription) -> &mut Circuit {
        &mut self.state.circuits[s]
    }

    pub(super) fn delivery(&mut self, e: Event, s: Subscription) -> &mut Delivery {
        &mut self.state.deliveries[e][s]
    }

    pub(super) fn mine(&self, id: u8, w: Worker) -> bool {
        let out = &self.state.redeliveries;
        out.iter()
            .any(|entry| entry.id == id && entry.place == Place::Pending(w))
    }

    pub(super) fn arm(&mut self, s: Subscription, at: Due, how: How) {
        let circuit = self.state.circuits[s];
        let suspended = circuit.suspended && self.rules.has(Rule::ArmKnowsSuspension);
        let out = circuit.entry.is_some() && self.rules.has(Rule::ArmKnowsEntry);
        if suspended || out || !self.state.waits(s) {
            return;
        }
        let at = if circuit.floor { Due::Later } else { at };
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

    pub(super) fn arm_earliest(&mut self, s: Subscription) {
        if self.state.waits(s) {
            let due = self.state.oldest_due(s).map_or(Due::Later, |_| Due::Now);
            self.arm(s, due, How::Lt);
        }
    }

    /// Whether it is new.
    pub(super) fn park(&mut self, e: Event, s: Subscription, parked: Parked) -> bool {
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

    pub(super) fn bury(&mut self, e: Event, s: Subscription) {
        let delivery = self.delivery(e, s);
        *delivery = Delivery {
            dead: true,
            received: delivery.received,
            ..Delivery::default()
        };
    }

    /// Ends a redelivery.
    pub(super) fn done(&mut self, s: Subscription, id: u8, by: Worker) {
        let out = &mut self.state.redeliveries;
        if let Some(at) = out.iter().position(|entry| entry.id == id) {
            let entry = out.remove(at);
            if matches!(entry.place, Place::Pending(owner) if owner != by) {
                self.state.misdeed = Some("a worker ends another's drain");
            }
        }
        if self.circuit(s).entry == Some(id) {
            self.circuit(s).entry = None;
            self.circuit(s).held = false;
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
                    self.delivery(e, s).ended += 1;
                    if was_behind {
                        self.arm(s, Due::Now, How::Lt);
                    }
                }
                verdict @ (Verdict::Unavailable | Verdict::Floored | Verdict::Broken) => {
                    self.park(e, s, in_order);
                    self.circuit(s).floor |= verdict == Verdict::Floored && !self.state.circuits[s].removed;
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
        circuit.held |= !circuit.open && !removed && circuit.entry.is_some();
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
        if circuit.open && circuit.floor && self.rules.has(Rule::FetchKnowsFloor) {
            self.done(s, id, w);
            if self.rules.has(Rule::FloorArms) {
                self.arm(s, Due::Later, How::Nx);
            }
            return None;
        }
        if circuit.open && circuit.floor {
            self.state.misdeed = Some("a subscriber is not left alone");
        }
        let mut passed = drain.passed;
        let stage = match self.state.oldest_due(s) {
            Some(e) => {
                let behind = self.walk(s, e);
                passed = behind.map(|_| e).or(passed);
                Stage::Holds(behind.unwrap_or(e))
            }
            None if circuit.open && self.state.waits(s) => {
                self.done(s, id, w);
                self.arm_earliest(s);
                return None;
            }
            None => Stage::End,
        };
        let others = (0..self.state.pods.len()).filter(|other| *other != w);
        let doubled = |e: Event| others.into_iter().any(|other| self.state.sends(other, e, s));
        if self.state.left.once && stage.event().is_some_and(doubled) {
            self.state.misdeed = Some("a delivery is on its way twice");
        }
        Some(Drain {
            stage,
            passed,
            probe: circuit.open,
            ..drain
        })
    }

    /// `fetch` by a drain that holds something: where nothing more may be sent, that still comes to its end.
    pub(crate) fn fetch_more(&mut self, w: Worker, drain: Drain) {
        let (s, id) = (drain.subscription, drain.id);
        let circuit = self.state.circuits[s];
        let floored = circuit.open && circuit.floor;
        let is_ours = self.mine(id, w) && circuit.entry == Some(id);
        if self.rules.has(Rule::FetchSparesHeld) || !is_ours || !(circuit.suspended || floored) {
            return;
        }
        self.done(s, id, w);
        self.arm(s, Due::Later, How::Nx);
    }

    /// The delivery behind a suspect that is probed in its place.
    fn walk(&self, s: Subscription, oldest: Event) -> Option<Event> {
        let circuit = &self.state.circuits[s];
        let suspected = circuit.suspect == Some((oldest, SUSPECT_AFTER));
        if !circuit.open || !suspected || !self.rules.has(Rule::ProbesWalk) {
            return None;
        }
        let due = |e: &Event| {
            self.state.deliveries[*e][s]
                .parked
                .is_some_and(|parked| parked.due == Due::Now)
        };
        (oldest + 1..self.state.deliveries.len()).find(due)
    }

    /// What an answer of the oldest, or of one behind it, says about the suspect.
    fn suspect(&mut self, s: Subscription, e: Event, verdict: Verdict) {
        let circuit = self.circuit(s);
        circuit.suspect = match circuit.suspect {
            _ if verdict != Verdict::Broken => None,
            Some((known, same)) if known == e => Some((e, SUSPECT_AFTER.min(same + 1))),
            _ => Some((e, 1)),
        };
    }

    pub(crate) fn delivered(&mut self, w: Worker, drain: Drain, e: Event) -> Option<Drain> {
        let s = drain.subscription;
        let left = self.delivery(e, s).parked.take().is_some();
        if left || !self.rules.has(Rule::OnlyWhatLeavesCounts) {
            self.delivery(e, s).ended += 1;
        }
        if !self.mine(drain.id, w) {
            if self.circuit(s).behind {
                self.arm(s, Due::Now, How::Lt);
            }
            return None;
        }
        self.answered(s);
        Some(Drain {
            stage: Stage::Begin,
            succeeded: true,
            ..drain
        })
    }

    fn fenced(&self, id: u8, w: Worker) -> bool {
        self.rules.has(Rule::DrainNeedsMine) && !self.mine(id, w)
    }

    /// An answer closes the circuit.
    fn answered(&mut self, s: Subscription) {
        let circuit = self.circuit(s);
        (circuit.open, circuit.floor, circuit.suspect) = (false, false, None);
    }

    pub(crate) fn failed(&mut self, w: Worker, drain: Drain, e: Event, verdict: Verdict) {
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
            self.suspect(s, e, verdict);
            self.circuit(s).floor |= verdict == Verdict::Floored && !self.state.circuits[s].removed;
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
    pub(super) fn close(&mut self, s: Subscription) {
        self.answered(s);
        let circuit = self.circuit(s);
        circuit.behind = circuit.suspended;
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
            self.answered(s);
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
}

impl Pod {
    /// Forgets everything.
    pub(crate) fn die(&mut self) {
        *self = Self {
            watch: self.watch,
            left: self.left,
            ..Self::default()
        };
    }
}
