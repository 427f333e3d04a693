//! Everything that can happen next: what workers, schedulers, subscribers and operators do, and each fault.

use super::rules::{Rule, Rules};
use super::scripts::Scripts;
use super::state::{Drain, Due, Event, Held, Place, Stage, State, Subscription, Verdict, Worker};

/// One step. Those with `lost` are done twice where it is true: the reply to the first was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Publish(Event),
    Read {
        worker: Worker,
        event: Event,
        lost: bool,
    },
    ReadRedelivery {
        worker: Worker,
        lost: bool,
    },
    /// Own entries that the worker does not know of are adopted.
    Sweep(Worker),
    Send(Worker, Event, Subscription, Verdict),
    Settle {
        worker: Worker,
        event: Event,
        lost: bool,
    },
    TimePasses,
    /// Only where a scheduler looks and injects in two steps.
    SeeDue(Worker),
    Reinject(Worker, Subscription),
    Fetch(Worker),
    /// While it holds something.
    FetchMore(Worker),
    SendParked(Worker, Verdict),
    Report {
        worker: Worker,
        lost: bool,
    },
    Finish {
        worker: Worker,
        lost: bool,
    },
    /// A peer sees that the heartbeat has not moved for long.
    Watch(Worker),
    Beat(Worker),
    Claim {
        worker: Worker,
        dead: Worker,
        lost: bool,
    },
    Crash(Worker),
    /// It is asked to stop.
    Quiet(Worker),
    LeaveDrain {
        worker: Worker,
        lost: bool,
    },
    /// Its last heartbeat says that it left.
    Goodbye(Worker),
    Retain(Subscription),
    /// A worker is offered what is beyond a limit, for its file.
    Offer(Worker, Subscription),
    WriteLine(Worker),
    Overflowed {
        worker: Worker,
        lost: bool,
    },
    Suspend(Subscription),
    Resume(Subscription),
    Remove(Subscription),
    Replay(Event, Subscription),
}

impl Step {
    /// Whether it is something that must not be needed for a delivery.
    pub(crate) fn is_fault(self) -> bool {
        match self {
            Self::Read { lost, .. }
            | Self::ReadRedelivery { lost, .. }
            | Self::Settle { lost, .. }
            | Self::Report { lost, .. }
            | Self::Finish { lost, .. }
            | Self::LeaveDrain { lost, .. }
            | Self::Overflowed { lost, .. }
            | Self::Claim { lost, .. } => lost,
            Self::Crash(_) | Self::Quiet(_) | Self::Suspend(_) | Self::Remove(_) | Self::Replay(..) => true,
            Self::Retain(_) | Self::Offer(..) => true,
            _ => false,
        }
    }
}

/// The steps of a model with these rules.
pub(crate) struct Steps {
    pub(crate) rules: Rules,
}

/// Collects the states that follow from one.
pub(super) struct Next<'a> {
    pub(super) from: &'a State,
    pub(super) rules: Rules,
    out: Vec<(Step, State)>,
}

impl Steps {
    pub(crate) fn from(&self, state: &State) -> Vec<(Step, State)> {
        let mut next = Next {
            from: state,
            rules: self.rules,
            out: Vec::new(),
        };
        next.world();
        for worker in 0..state.pods.len() {
            if state.pods[worker].alive {
                if !state.pods[worker].leaving {
                    next.reading(worker);
                    next.scheduler(worker);
                }
                next.direct(worker);
                next.drain(worker);
                next.leaving(worker);
                next.limits(worker);
            }
            next.death(worker);
        }
        next.operator();
        next.out
    }
}

impl Next<'_> {
    pub(super) fn add(&mut self, step: Step, change: impl FnOnce(&mut Scripts)) {
        let mut state = self.from.clone();
        change(&mut Scripts {
            state: &mut state,
            rules: self.rules,
        });
        if state != *self.from {
            self.out.push((step, state));
        }
    }

    /// The same with its reply, and without it where a reply may still be lost.
    pub(super) fn add_with_loss(&mut self, step: impl Fn(bool) -> Step, change: impl Fn(&mut Scripts, bool)) {
        self.add(step(false), |on| change(on, false));
        if self.from.left.lost_replies > 0 {
            self.add(step(true), |on| {
                on.state.left.lost_replies -= 1;
                change(on, true);
            });
        }
    }

    fn world(&mut self) {
        let unborn = self.from.events.iter().position(|place| *place == Place::Unborn);
        if let Some(event) = unborn {
            self.add(Step::Publish(event), |on| on.state.events[event] = Place::Unread);
        }
        self.add(Step::TimePasses, |on| {
            for circuit in &mut on.state.circuits {
                circuit.floor = false;
                circuit.wakeup = circuit.wakeup.map(|_| Due::Now);
            }
            for parked in on
                .state
                .deliveries
                .iter_mut()
                .flatten()
                .filter_map(|d| d.parked.as_mut())
            {
                parked.due = Due::Now;
            }
        });
    }

    fn reading(&mut self, worker: Worker) {
        let unread = self.from.events.iter().position(|place| *place == Place::Unread);
        if let Some(event) = unread {
            let step = |lost| Step::Read { worker, event, lost };
            self.add_with_loss(step, |on, lost| {
                on.state.events[event] = Place::Pending(worker);
                if !lost {
                    on.state.pods[worker].held[event] = Some(Held::default());
                }
            });
        }
        let free = self.from.pods[worker].drain.is_none();
        let out = &self.from.redeliveries;
        if let Some(at) = out.iter().position(|entry| free && entry.place == Place::Unread) {
            let step = |lost| Step::ReadRedelivery { worker, lost };
            self.add_with_loss(step, |on, lost| {
                on.state.redeliveries[at].place = Place::Pending(worker);
                if !lost {
                    adopt(on.state, worker);
                }
            });
        }
        if self.rules.has(Rule::OwnSweep) {
            self.add(Step::Sweep(worker), |on| {
                for event in 0..on.state.events.len() {
                    if on.state.events[event] == Place::Pending(worker) {
                        on.state.pods[worker].held[event].get_or_insert_default();
                    }
                }
                adopt(on.state, worker);
            });
        }
    }

    /// The direct path: sends what is held, then settles it.
    fn direct(&mut self, worker: Worker) {
        for event in 0..self.from.events.len() {
            let Some(held) = self.from.pods[worker].held[event] else {
                continue;
            };
            let subscriptions = self.from.circuits.len();
            let unsent = (0..subscriptions).find(|s| held.verdicts[*s].is_none());
            let Some(s) = unsent else {
                let step = |lost| Step::Settle { worker, event, lost };
                self.add_with_loss(step, |on, lost| {
                    let next = on.settle(worker, event, held);
                    on.state.pods[worker].held[event] = if lost { Some(held) } else { next };
                });
                continue;
            };
            let verdicts = if self.from.circuits[s].behind {
                vec![Verdict::Behind]
            } else {
                self.from.answers(event)
            };
            for verdict in verdicts {
                self.add(Step::Send(worker, event, s, verdict), |on| {
                    on.state.note_answer(event, s, verdict);
                    let held = on.state.pods[worker].held[event].as_mut();
                    held.expect("it is held").verdicts[s] = Some(verdict);
                });
            }
        }
    }

    /// The retry path.
    fn drain(&mut self, worker: Worker) {
        let Some(drain) = self.from.pods[worker].drain else {
            return;
        };
        let s = drain.subscription;
        if drain.stage.event().is_some() {
            self.add(Step::FetchMore(worker), |on| on.fetch_more(worker, drain));
        }
        match drain.stage {
            Stage::Begin => self.add(Step::Fetch(worker), |on| {
                on.state.pods[worker].drain = on.fetch(worker, drain);
            }),
            Stage::Holds(event) => {
                for verdict in self.from.answers(event) {
                    self.add(Step::SendParked(worker, verdict), |on| {
                        if !on.rules.has(Rule::LeavesAfterSuccess) {
                            on.state.deliveries[event][s].parked = None;
                            on.state.deliveries[event][s].ended += 1;
                        }
                        on.state.note_answer(event, s, verdict);
                        let stage = Stage::Answered(event, verdict);
                        on.state.pods[worker].drain = Some(Drain { stage, ..drain });
                    });
                }
            }
            Stage::Answered(event, verdict) => {
                let refused_before = self.from.deliveries[event][s].refusals > 0;
                let suspect = drain.succeeded && drain.passed == Some(event);
                let is_to_blame = verdict == Verdict::Broken && (suspect || refused_before);
                let step = |lost| Step::Report { worker, lost };
                self.add_with_loss(step, |on, lost| {
                    let next = match verdict {
                        Verdict::Delivered => on.delivered(worker, drain, event),
                        Verdict::Refused => on.refused(worker, drain, event),
                        Verdict::Broken if is_to_blame => on.refused(worker, drain, event),
                        _ => {
                            on.failed(worker, drain, event, verdict);
                            None
                        }
                    };
                    on.state.pods[worker].drain = if lost { Some(drain) } else { next };
                });
            }
            Stage::End => {
                let step = |lost| Step::Finish { worker, lost };
                self.add_with_loss(step, |on, lost| {
                    let next = on.finish(worker, drain);
                    on.state.pods[worker].drain = if lost { Some(drain) } else { next };
                });
            }
        }
    }

    fn scheduler(&mut self, worker: Worker) {
        let in_two_steps = !self.rules.has(Rule::ZremDecides);
        for s in 0..self.from.circuits.len() {
            let due = self.from.circuits[s].wakeup == Some(Due::Now);
            let saw = self.from.pods[worker].saw_due;
            if in_two_steps && due && !saw {
                self.add(Step::SeeDue(worker), |on| on.state.pods[worker].saw_due = true);
            }
            if (due && !in_two_steps) || saw {
                self.add(Step::Reinject(worker, s), |on| {
                    on.reinject(s);
                    on.state.pods[worker].saw_due = false;
                });
            }
        }
    }
}

/// A worker without a drain takes on a redelivery that is pending at it.
pub(super) fn adopt(state: &mut State, worker: Worker) {
    let mut out = state.redeliveries.iter();
    let mine = out.find(|entry| entry.place == Place::Pending(worker));
    if let (Some(entry), None) = (mine, state.pods[worker].drain) {
        state.pods[worker].drain = Some(Drain {
            id: entry.id,
            subscription: entry.subscription,
            stage: Stage::Begin,
            passed: None,
            probe: false,
            succeeded: false,
        });
    }
}
