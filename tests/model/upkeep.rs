//! The scripts that serve neither the direct path nor a drain: takeover, shutdown, limits, and an operator's.

use super::rules::Rule;
use super::scripts::{How, Scripts};
use super::state::{Circuit, Delivery, Drain, Due, Event, Parked, Place, Pod, Subscription, Watch, Worker};

impl Scripts<'_> {
    /// A worker that shuts down gives its drain back.
    pub(crate) fn leave(&mut self, w: Worker, drain: Drain) {
        let (s, id) = (drain.subscription, drain.id);
        if !self.mine(id, w) {
            return;
        }
        let current = self.state.circuits[s].entry == Some(id);
        self.done(s, id, w);
        if !current || !self.rules.has(Rule::LeaveArms) {
            return;
        }
        if self.state.oldest_due(s).is_some() {
            self.arm(s, Due::Now, How::Lt);
        } else if !self.state.circuits[s].suspended {
            self.close(s);
            self.arm_earliest(s);
        }
    }

    /// What is beyond a limit of its subscription: the oldest, unless a drain may be sending it.
    pub(crate) fn beyond_limit(&self, s: Subscription) -> Option<Event> {
        let circuit = &self.state.circuits[s];
        let taken = |id: u8| {
            let mut out = self.state.redeliveries.iter();
            out.any(|entry| entry.id == id && matches!(entry.place, Place::Pending(_)))
        };
        let is_drain = !circuit.open || (circuit.held && self.rules.has(Rule::LimitsSpareDrains));
        let spared = circuit.entry.is_some_and(taken) && is_drain;
        let parked = |of: &Vec<Delivery>| of[s].parked.is_some();
        self.state
            .deliveries
            .iter()
            .position(parked)
            .filter(|_| !spared && !circuit.removed)
    }

    /// `retain` as it makes a dead letter.
    pub(crate) fn retain(&mut self, s: Subscription) {
        if let Some(e) = self.beyond_limit(s) {
            let sent_by = |(w, pod): (Worker, &Pod)| {
                let owns = pod.drain.is_some_and(|drain| !drain.probe && self.mine(drain.id, w));
                owns && self.state.sends(w, e, s)
            };
            if self.state.pods.iter().enumerate().any(sent_by) {
                self.state.misdeed = Some("what is being sent is given up");
            }
            self.bury(e, s);
        }
    }

    /// What is in a file leaves its queue.
    pub(crate) fn overflowed(&mut self, s: Subscription, e: Event) {
        let delivery = self.delivery(e, s);
        let left = delivery.parked.take().is_some();
        if left || !self.rules.has(Rule::OnlyWhatLeavesCounts) {
            self.delivery(e, s).ended += 1;
        }
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
        let works = self.state.pods[dead].left && self.state.pods[dead].alive;
        if (moved || works) && event.is_some() {
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
                of[s].ended += 1;
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
