//! A model of the protocol, small enough that every state of it is visited: workers that die, freeze and come back
//! at any step, schedulers, lost replies, late and repeated settlements, refusals, an operator.
//!
//! `tests/it/store/walk.rs` is its counterpart: a random walk over the real scripts on a real Redis. A change of a
//! script belongs into `scripts.rs` or `upkeep.rs` here too.

mod ends;
mod explore;
mod rules;
mod scripts;
mod state;
mod steps;
mod upkeep;

use explore::{Explored, explore};
use rules::{Rule, Rules};
use state::{Faults, State};
use steps::Steps;

/// Sizes and faults of one model.
struct Model {
    workers: usize,
    events: usize,
    subscriptions: usize,
    faults: Faults,
}

const NO_FAULTS: Faults = Faults {
    failures: 0,
    refusals: 0,
    crashes: 0,
    pauses: 0,
    lost_replies: 0,
    suspensions: 0,
    removals: 0,
    replays: 0,
    floors: 0,
    leaves: 0,
    buried: 0,
    filed: 0,
    broken: false,
    once: false,
};

/// Two events, failures, a crash.
const TWO_EVENTS: Model = Model {
    workers: 2,
    events: 2,
    subscriptions: 1,
    faults: Faults {
        failures: 2,
        crashes: 1,
        ..NO_FAULTS
    },
};

/// One event, and everything that can go wrong with a worker.
const ONE_EVENT: Model = Model {
    workers: 2,
    events: 1,
    subscriptions: 1,
    faults: Faults {
        failures: 1,
        crashes: 1,
        pauses: 1,
        lost_replies: 1,
        ..NO_FAULTS
    },
};

/// A crash while another worker seems dead.
const THREE_WORKERS: Model = Model {
    workers: 3,
    events: 1,
    subscriptions: 1,
    faults: Faults {
        failures: 1,
        crashes: 1,
        pauses: 1,
        ..NO_FAULTS
    },
};

/// An event that is settled in two chunks.
const TWO_CHUNKS: Model = Model {
    workers: 2,
    events: 1,
    subscriptions: 2,
    faults: Faults {
        failures: 1,
        pauses: 1,
        ..NO_FAULTS
    },
};

/// Refusals up to a dead letter, and its replay.
const REFUSALS: Model = Model {
    workers: 2,
    events: 1,
    subscriptions: 1,
    faults: Faults {
        failures: 1,
        refusals: 2,
        crashes: 1,
        lost_replies: 1,
        replays: 1,
        ..NO_FAULTS
    },
};

/// An operator suspends and removes while two events are on their way.
const OPERATOR: Model = Model {
    workers: 1,
    events: 2,
    subscriptions: 1,
    faults: Faults {
        failures: 2,
        lost_replies: 1,
        suspensions: 1,
        removals: 1,
        ..NO_FAULTS
    },
};

/// Answers with Retry-After, to what is on its way and to a probe.
const FLOORS: Model = Model {
    workers: 2,
    events: 2,
    subscriptions: 1,
    faults: Faults {
        failures: 2,
        crashes: 1,
        lost_replies: 1,
        floors: 1,
        ..NO_FAULTS
    },
};

/// Suspended, resumed and asked for a pause while two workers may drain, and nobody freezes: each is sent by one of
/// them at a time.
const TWO_DRAINS: Model = Model {
    workers: 2,
    events: 2,
    subscriptions: 1,
    faults: Faults {
        failures: 1,
        suspensions: 1,
        floors: 1,
        once: true,
        ..NO_FAULTS
    },
};

/// An event that gets the same answer for ever, with a good one behind it.
const BROKEN: Model = Model {
    workers: 2,
    events: 2,
    subscriptions: 1,
    faults: Faults {
        failures: 1,
        crashes: 1,
        lost_replies: 1,
        broken: true,
        ..NO_FAULTS
    },
};

/// A worker shuts down at any moment.
const LEAVING: Model = Model {
    workers: 2,
    events: 2,
    subscriptions: 1,
    faults: Faults {
        failures: 1,
        lost_replies: 1,
        leaves: 1,
        ..NO_FAULTS
    },
};

/// The same while another dies.
const LEAVING_AND_DYING: Model = Model {
    workers: 3,
    events: 1,
    subscriptions: 1,
    faults: Faults {
        failures: 1,
        crashes: 1,
        lost_replies: 1,
        leaves: 1,
        ..NO_FAULTS
    },
};

/// Limits move what waits while it is probed and while workers crash.
const LIMITS: Model = Model {
    workers: 2,
    events: 2,
    subscriptions: 1,
    faults: Faults {
        failures: 1,
        crashes: 1,
        buried: 1,
        filed: 1,
        ..NO_FAULTS
    },
};

/// Limits move what waits while a circuit opens under a drain.
const LIMITED_DRAIN: Model = Model {
    workers: 2,
    events: 2,
    subscriptions: 1,
    faults: Faults {
        failures: 1,
        refusals: 1,
        buried: 1,
        ..NO_FAULTS
    },
};

fn run(model: &Model, rules: Rules) -> Explored {
    let first = State::new(model.workers, model.events, model.subscriptions, model.faults);
    explore(first, &Steps { rules })
}

fn holds(model: &Model) {
    let explored = run(model, Rules::ALL);
    println!("{} states", explored.states);
    assert!(explored.problem.is_none(), "{:?}", explored.problem);
    assert!(explored.states > 1_000, "{} states are too few", explored.states);
}

#[test]
fn two_events_and_a_crash() {
    holds(&TWO_EVENTS);
}

#[test]
fn a_crash_a_pause_and_a_lost_reply() {
    holds(&ONE_EVENT);
}

#[test]
fn three_workers() {
    holds(&THREE_WORKERS);
}

#[test]
fn a_settlement_in_two_chunks() {
    holds(&TWO_CHUNKS);
}

#[test]
fn refusals_dead_letters_and_replay() {
    holds(&REFUSALS);
}

#[test]
fn an_operator_at_any_moment() {
    holds(&OPERATOR);
}

#[test]
fn a_subscriber_that_asks_for_a_pause() {
    holds(&FLOORS);
}

#[test]
fn nothing_is_on_its_way_twice() {
    holds(&TWO_DRAINS);
}

#[test]
fn a_broken_event_in_front() {
    holds(&BROKEN);
}

#[test]
fn a_worker_that_leaves() {
    holds(&LEAVING);
}

#[test]
fn a_worker_that_leaves_while_another_dies() {
    holds(&LEAVING_AND_DYING);
}

#[test]
fn limits_of_what_waits() {
    holds(&LIMITS);
}

#[test]
fn limits_while_a_circuit_opens_under_a_drain() {
    holds(&LIMITED_DRAIN);
}

/// Without any one of the rules something goes wrong, and this: the shortest way to it is printed.
#[test]
fn every_rule_is_needed() {
    let table = [
        (Rule::ParkWithAck, &ONE_EVENT, "an event is lost"),
        (Rule::FirstSettlementWins, &ONE_EVENT, "a delivery is counted twice"),
        (Rule::ChunkNeedsMine, &TWO_CHUNKS, "a delivery is counted twice"),
        (Rule::ClaimChecksScore, &ONE_EVENT, "a living worker is robbed"),
        (Rule::ConsumerGoesLast, &TWO_EVENTS, "what waits is never delivered"),
        (Rule::OwnSweep, &ONE_EVENT, "what waits is never delivered"),
        (
            Rule::FinishChecksDue,
            &TWO_EVENTS,
            "not behind while older deliveries are due",
        ),
        (Rule::ArmNeverLater, &TWO_EVENTS, "a wake-up is made later"),
        (Rule::ArmKnowsEntry, &TWO_EVENTS, "a wake-up and a redelivery"),
        (Rule::ArmKnowsSuspension, &OPERATOR, "a wake-up while suspended"),
        (Rule::ZremDecides, &ONE_EVENT, "two redeliveries for one subscription"),
        (Rule::FailedArms, &TWO_EVENTS, "nothing will wake it"),
        (Rule::DrainNeedsMine, &ONE_EVENT, "a worker ends another's drain"),
        (Rule::DoneBeforeArm, &TWO_EVENTS, "nothing will wake it"),
        (Rule::LeavesAfterSuccess, &TWO_EVENTS, "an event is lost"),
        (Rule::ResumeArms, &OPERATOR, "nothing will wake it"),
        (Rule::TombstoneStopsPark, &OPERATOR, "parked for a removed subscription"),
        (Rule::ReplayFindsFirst, &REFUSALS, "a delivery is counted twice"),
        (Rule::FetchKnowsFloor, &FLOORS, "a subscriber is not left alone"),
        (Rule::FloorArms, &FLOORS, "nothing will wake it"),
        (Rule::FetchSparesHeld, &TWO_DRAINS, "a delivery is on its way twice"),
        (
            Rule::LimitsSpareDrains,
            &LIMITED_DRAIN,
            "what is being sent is given up",
        ),
        (Rule::ProbesWalk, &BROKEN, "what waits is never delivered"),
        (Rule::LeaveArms, &LEAVING, "nothing will wake it"),
        (Rule::GoodbyeComesLast, &LEAVING, "a living worker is robbed"),
        (Rule::FileFirst, &LIMITS, "an event is lost"),
        (Rule::OnlyWhatLeavesCounts, &LIMITS, "the books do not balance"),
    ];
    for (rule, model, consequence) in table {
        let Some((found, steps)) = run(model, Rules::without(rule)).problem else {
            panic!("nothing goes wrong without {rule:?}");
        };
        println!("without {rule:?}, {found}: {steps:?}");
        assert_eq!(found, consequence, "{rule:?}");
    }
}
