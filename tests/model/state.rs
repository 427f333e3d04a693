//! What Redis holds, what each worker believes, and what must be true of it at every moment.
//!
//! Bodies, counts and times are left out; a due time is *now*, or *later* until time passes.

/// The most of each that a model may have.
pub(crate) const WORKERS: usize = 3;
pub(crate) const EVENTS: usize = 2;
pub(crate) const SUBSCRIPTIONS: usize = 2;

pub(crate) type Worker = usize;
pub(crate) type Event = usize;
pub(crate) type Subscription = usize;

/// Where an event's entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) enum Place {
    /// Not published yet, or not part of this model.
    #[default]
    Unborn,
    Unread,
    Pending(Worker),
    /// Read, but pending at nobody: its consumer was deleted.
    Orphan,
    Acknowledged,
}

/// When something is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Due {
    Now,
    Later,
}

/// A member of a retry queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Parked {
    pub(crate) due: Due,
    /// Parked to keep order (score 0), rather than for a time of its own or by a replay.
    pub(crate) in_order: bool,
}

/// What became of one event for one subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct Delivery {
    pub(crate) parked: Option<Parked>,
    pub(crate) received: bool,
    pub(crate) dead: bool,
    /// Dropped with its subscription.
    pub(crate) dropped: bool,
    pub(crate) refusals: u8,
    /// A line of a worker's file.
    pub(crate) filed: bool,
    /// How often the ledger counted it as wanted, without its dead letters.
    pub(crate) wanted: u8,
    /// How often it counted what became of it.
    pub(crate) ended: u8,
}

/// A subscription's circuit and its place among those that wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct Circuit {
    pub(crate) open: bool,
    pub(crate) behind: bool,
    pub(crate) suspended: bool,
    pub(crate) removed: bool,
    pub(crate) wakeup: Option<Due>,
    /// The outstanding redelivery.
    pub(crate) entry: Option<u8>,
    /// The redelivery that is out is a drain that began before the circuit opened.
    pub(crate) held: bool,
    /// Retry-After forbids a probe for now.
    pub(crate) floor: bool,
    /// Got the same HTTP answer so many times as the oldest.
    pub(crate) suspect: Option<(Event, u8)>,
}

/// An entry of the redelivery stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Redelivery {
    pub(crate) id: u8,
    pub(crate) subscription: Subscription,
    pub(crate) place: Place,
}

/// What an answer of a subscriber, or its absence, means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Verdict {
    Delivered,
    Unavailable,
    Refused,
    /// Not sent: the subscription is behind.
    Behind,
    /// Unavailable, and not to be asked for a while.
    Floored,
    /// An HTTP answer that only the broken event gets.
    Broken,
}

/// A worker's view of an event that it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct Held {
    pub(crate) verdicts: [Option<Verdict>; SUBSCRIPTIONS],
    /// The chunk of its first subscription is written.
    pub(crate) first_chunk: bool,
    /// Acknowledged, not parked yet: only where that is two steps.
    pub(crate) acknowledged: bool,
}

/// Where a drain stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Stage {
    /// To fetch what is due.
    Begin,
    /// To send this one.
    Holds(Event),
    /// To report this one.
    Answered(Event, Verdict),
    /// Nothing is due: to finish.
    End,
}

impl Stage {
    /// The one that it is about.
    pub(crate) fn event(self) -> Option<Event> {
        match self {
            Self::Holds(event) | Self::Answered(event, _) => Some(event),
            Self::Begin | Self::End => None,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Drain {
    pub(crate) id: u8,
    pub(crate) subscription: Subscription,
    pub(crate) stage: Stage,
    /// What it fetched last is a probe.
    pub(crate) probe: bool,
    /// Passed over for a probe behind it.
    pub(crate) passed: Option<Event>,
    /// Something that it sent has succeeded.
    pub(crate) succeeded: bool,
}

/// A delivery that a worker moves from its queue to its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Overflow {
    pub(crate) event: Event,
    pub(crate) subscription: Subscription,
    /// Its line is on disk.
    pub(crate) written: bool,
}

/// What a peer saw of a worker's heartbeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) enum Watch {
    #[default]
    Unwatched,
    /// It has not moved for the dead-after time.
    Still,
    /// It was still, and moved after the look.
    Moved,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct Pod {
    pub(crate) alive: bool,
    /// Shuts down: takes on nothing new.
    pub(crate) leaving: bool,
    /// Its heartbeat says that it left.
    pub(crate) left: bool,
    pub(crate) watch: Watch,
    pub(crate) held: [Option<Held>; EVENTS],
    pub(crate) drain: Option<Drain>,
    pub(crate) overflow: Option<Overflow>,
    /// Saw that a wake-up is due, and injects it whatever became of it: only where ZREM does not decide.
    pub(crate) saw_due: bool,
}

/// How many faults may still happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct Faults {
    /// Requests that find their subscriber unavailable.
    pub(crate) failures: u8,
    pub(crate) refusals: u8,
    pub(crate) crashes: u8,
    pub(crate) pauses: u8,
    pub(crate) lost_replies: u8,
    pub(crate) suspensions: u8,
    pub(crate) removals: u8,
    pub(crate) replays: u8,
    /// Answers that ask for a pause.
    pub(crate) floors: u8,
    /// Workers that shut down.
    pub(crate) leaves: u8,
    /// Deliveries beyond a limit that become dead letters, and such that go to a file.
    pub(crate) buried: u8,
    pub(crate) filed: u8,
    /// The first event gets the same HTTP answer for ever.
    pub(crate) broken: bool,
    /// No fault can make a worker go on with what is another's: no delivery may be on its way twice.
    pub(crate) once: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct State {
    pub(crate) events: Vec<Place>,
    /// Per event, per subscription.
    pub(crate) deliveries: Vec<Vec<Delivery>>,
    pub(crate) circuits: Vec<Circuit>,
    pub(crate) redeliveries: Vec<Redelivery>,
    pub(crate) pods: Vec<Pod>,
    pub(crate) left: Faults,
    /// What a step did that no step may do.
    pub(crate) misdeed: Option<&'static str>,
}

impl State {
    pub(crate) fn new(workers: usize, events: usize, subscriptions: usize, left: Faults) -> Self {
        assert!(workers <= WORKERS && events <= EVENTS && subscriptions <= SUBSCRIPTIONS);
        let alive = Pod {
            alive: true,
            ..Pod::default()
        };
        Self {
            events: vec![Place::Unborn; events],
            deliveries: vec![vec![Delivery::default(); subscriptions]; events],
            circuits: vec![Circuit::default(); subscriptions],
            redeliveries: Vec::new(),
            pods: vec![alive; workers],
            left,
            misdeed: None,
        }
    }

    /// The subscriber answered, or did not.
    pub(crate) fn note_answer(&mut self, e: Event, s: Subscription, verdict: Verdict) {
        match verdict {
            Verdict::Delivered => self.deliveries[e][s].received = true,
            Verdict::Unavailable => self.left.failures -= 1,
            Verdict::Refused => self.left.refusals -= 1,
            Verdict::Floored => self.left.floors -= 1,
            Verdict::Behind | Verdict::Broken => {}
        }
    }

    /// Whether a worker's drain sends this one, or is about to, or has its answer.
    pub(crate) fn sends(&self, w: Worker, e: Event, s: Subscription) -> bool {
        let of = |drain: &Drain| drain.subscription == s && drain.stage.event() == Some(e);
        self.pods[w].drain.as_ref().is_some_and(of)
    }

    /// Whether anything is parked for a subscription.
    pub(crate) fn waits(&self, s: Subscription) -> bool {
        self.deliveries.iter().any(|of| of[s].parked.is_some())
    }

    /// The oldest delivery that is due.
    pub(crate) fn oldest_due(&self, s: Subscription) -> Option<Event> {
        self.deliveries
            .iter()
            .position(|of| of[s].parked.is_some_and(|parked| parked.due == Due::Now))
    }

    /// What a subscriber may answer to an event now.
    pub(crate) fn answers(&self, e: Event) -> Vec<Verdict> {
        if self.left.broken && e == 0 {
            return vec![Verdict::Broken];
        }
        let answers = [
            (true, Verdict::Delivered),
            (self.left.failures > 0, Verdict::Unavailable),
            (self.left.refusals > 0, Verdict::Refused),
            (self.left.floors > 0, Verdict::Floored),
        ];
        let may = answers.into_iter().filter(|(may, _)| *may);
        may.map(|(_, verdict)| verdict).collect()
    }

    /// Whether a worker lives that does not shut down, besides this one.
    pub(crate) fn has_other(&self, worker: Worker) -> bool {
        let mut others = self.pods.iter().enumerate().filter(|(other, _)| *other != worker);
        others.any(|(_, pod)| pod.alive && !pod.leaving)
    }

    /// What is broken.
    pub(crate) fn problem(&self) -> Option<&'static str> {
        if self.misdeed.is_some() {
            return self.misdeed;
        }
        let deliveries = self.events.iter().zip(&self.deliveries);
        for (place, of) in deliveries {
            let kept = |d: &Delivery| d.parked.is_some() || d.received || d.dead || d.dropped || d.filed;
            if *place == Place::Acknowledged && !of.iter().all(kept) {
                return Some("an event is lost");
            }
            let balanced = |d: &Delivery| d.wanted == u8::from(d.parked.is_some()) + d.ended;
            if !of.iter().all(balanced) {
                return Some("the books do not balance");
            }
        }
        (0..self.circuits.len()).find_map(|s| self.problem_of(s))
    }

    /// Invariant 3, order, and what the circuit's fields mean for each other.
    fn problem_of(&self, s: Subscription) -> Option<&'static str> {
        let circuit = &self.circuits[s];
        let out = self.redeliveries.iter().filter(|entry| entry.subscription == s);
        let will_arrive = |id: u8| {
            let place = self.redeliveries.iter().find(|entry| entry.id == id);
            place.is_some_and(|entry| entry.place != Place::Orphan)
        };
        let in_order = |of: &Vec<Delivery>| of[s].parked.is_some_and(|parked| parked.in_order);
        let active = !circuit.suspended && !circuit.removed;
        let rules = [
            (
                circuit.wakeup.is_some() && circuit.entry.is_some(),
                "a wake-up and a redelivery",
            ),
            (
                circuit.wakeup.is_some() && circuit.suspended,
                "a wake-up while suspended",
            ),
            (
                self.waits(s) && active && circuit.wakeup.is_none() && circuit.entry.is_none(),
                "nothing will wake it",
            ),
            (
                circuit.entry.is_some_and(|id| !will_arrive(id)),
                "its redelivery reaches nobody",
            ),
            (out.count() > 1, "two redeliveries for one subscription"),
            (self.waits(s) && circuit.removed, "parked for a removed subscription"),
            (circuit.open && !circuit.behind, "open but not behind"),
            (
                !circuit.behind && self.deliveries.iter().any(in_order),
                "not behind while older deliveries are due",
            ),
        ];
        rules.into_iter().find_map(|(broken, what)| broken.then_some(what))
    }

    /// Everything is delivered, or given up by policy, and nobody has anything left to do for it. A broken event
    /// that waits alone is probed for ever.
    pub(crate) fn is_over(&self) -> bool {
        let settled = self.events.iter().all(|place| *place == Place::Acknowledged);
        let others = self.deliveries.iter().skip(usize::from(self.left.broken));
        let nothing_waits = others.flatten().all(|delivery| delivery.parked.is_none());
        settled && self.redeliveries.is_empty() && nothing_waits
    }
}
