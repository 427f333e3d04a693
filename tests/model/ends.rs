//! What can happen to workers and queues from outside: deaths and takeovers, shutdowns, limits, an operator.

use super::rules::Rule;
use super::state::{Overflow, Stage, Watch, Worker};
use super::steps::{Next, Step, adopt};

impl Next<'_> {
    /// Death, what looks like it, and the takeover.
    pub(super) fn death(&mut self, worker: Worker) {
        let pod = &self.from.pods[worker];
        if pod.alive && self.from.has_other(worker) && self.from.left.crashes > 0 {
            self.add(Step::Crash(worker), |on| {
                on.state.left.crashes -= 1;
                on.state.pods[worker].die();
            });
        }
        let takes_over = |other: &Worker| {
            let pod = &self.from.pods[*other];
            *other != worker && pod.alive && !pod.leaving
        };
        let others: Vec<Worker> = (0..self.from.pods.len()).filter(takes_over).collect();
        if !pod.left && pod.watch != Watch::Still && (!pod.alive || self.from.left.pauses > 0) {
            self.add(Step::Watch(worker), |on| {
                on.state.left.pauses -= u8::from(on.state.pods[worker].alive);
                on.state.pods[worker].watch = Watch::Still;
            });
        }
        if pod.alive && pod.watch == Watch::Still {
            self.add(Step::Beat(worker), |on| on.state.pods[worker].watch = Watch::Moved);
        }
        if pod.watch == Watch::Unwatched && !pod.left {
            return;
        }
        for me in others {
            let step = |lost| Step::Claim {
                worker: me,
                dead: worker,
                lost,
            };
            self.add_with_loss(step, |on, lost| {
                let came = on.claim(me, worker);
                if on.state.pods[worker].watch == Watch::Moved {
                    on.state.pods[worker].watch = Watch::Unwatched;
                }
                if let (Some(event), false) = (came, lost) {
                    on.state.pods[me].held[event].get_or_insert_default();
                }
                if !lost {
                    adopt(on.state, me);
                }
            });
        }
    }

    pub(super) fn operator(&mut self) {
        let left = self.from.left;
        for s in 0..self.from.circuits.len() {
            let circuit = self.from.circuits[s];
            if circuit.suspended {
                self.add(Step::Resume(s), |on| on.resume(s));
            } else if left.suspensions > 0 && !circuit.removed {
                self.add(Step::Suspend(s), |on| {
                    on.state.left.suspensions -= 1;
                    on.suspend(s);
                });
            }
            if left.removals > 0 && !circuit.removed {
                self.add(Step::Remove(s), |on| {
                    on.state.left.removals -= 1;
                    on.remove(s);
                });
            }
            // An operator who saw a dead letter may ask for its replay when it is no longer there.
            for event in (0..self.from.events.len()).filter(|_| left.replays > 0) {
                self.add(Step::Replay(event, s), |on| {
                    let found = on.state.deliveries[event][s].dead;
                    on.replay(event, s);
                    on.state.left.replays -= u8::from(found);
                });
            }
        }
    }

    /// Shutting down: what runs comes to its end, the drain is given back, and the last heartbeat says so. At its
    /// deadline a worker leaves what it still holds.
    pub(super) fn leaving(&mut self, worker: Worker) {
        let pod = &self.from.pods[worker];
        if !pod.leaving && self.from.left.leaves > 0 && self.from.has_other(worker) {
            self.add(Step::Quiet(worker), |on| {
                on.state.left.leaves -= 1;
                on.state.pods[worker].leaving = true;
            });
        }
        if !pod.leaving {
            return;
        }
        if let Some(drain) = pod.drain.filter(|drain| !matches!(drain.stage, Stage::Answered(..))) {
            let step = |lost| Step::LeaveDrain { worker, lost };
            self.add_with_loss(step, |on, lost| {
                on.leave(worker, drain);
                on.state.pods[worker].drain = lost.then_some(drain);
            });
        }
        self.add(Step::Goodbye(worker), |on| {
            on.state.pods[worker].left = true;
            if on.rules.has(Rule::GoodbyeComesLast) {
                on.state.pods[worker].die();
            }
        });
    }

    /// Limits of subscriptions: dead letters, or lines of this worker's file.
    pub(super) fn limits(&mut self, worker: Worker) {
        if let Some(overflow) = self.from.pods[worker].overflow {
            self.overflow(worker, overflow);
            return;
        }
        for s in 0..self.from.circuits.len() {
            if self.from.left.buried > 0 {
                self.add(Step::Retain(s), |on| {
                    let moves = on.beyond_limit(s).is_some();
                    on.retain(s);
                    on.state.left.buried -= u8::from(moves);
                });
            }
            if self.from.left.filed > 0 {
                self.add(Step::Offer(worker, s), |on| {
                    let offered = on.beyond_limit(s).map(|event| Overflow {
                        event,
                        subscription: s,
                        written: false,
                    });
                    on.state.pods[worker].overflow = offered;
                    on.state.left.filed -= u8::from(offered.is_some());
                });
            }
        }
    }

    fn overflow(&mut self, worker: Worker, overflow: Overflow) {
        let (e, s) = (overflow.event, overflow.subscription);
        if !overflow.written {
            self.add(Step::WriteLine(worker), |on| {
                on.state.deliveries[e][s].filed = true;
                on.state.pods[worker].overflow = Some(Overflow {
                    written: true,
                    ..overflow
                });
            });
        }
        if overflow.written || !self.rules.has(Rule::FileFirst) {
            let step = |lost| Step::Overflowed { worker, lost };
            self.add_with_loss(step, |on, lost| {
                on.overflowed(s, e);
                on.state.pods[worker].overflow = lost.then_some(overflow);
            });
        }
    }
}
