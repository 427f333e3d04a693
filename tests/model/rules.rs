//! The rules of the protocol that the model can leave out, one at a time.

/// A rule; each is there because without it something is lost, wedged, doubled or robbed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Rule {
    /// `settle` acknowledges and parks in one step.
    ParkWithAck,
    /// `settle` writes nothing when its acknowledgement returns 0.
    FirstSettlementWins,
    /// A chunk that is not the last parks only while the event is the worker's own.
    ChunkNeedsMine,
    /// `claim` compares the heartbeat with the one that was observed.
    ClaimChecksScore,
    /// `claim` deletes the consumer only when nothing is left pending at it.
    ConsumerGoesLast,
    /// A worker adopts its own pending entries that it does not know of.
    OwnSweep,
    /// `finish` looks for what is due before it clears *behind*.
    FinishChecksDue,
    /// `arm` never makes a wake-up later.
    ArmNeverLater,
    /// `arm` makes none while a redelivery is out.
    ArmKnowsEntry,
    /// `arm` makes none while the subscription is suspended.
    ArmKnowsSuspension,
    /// `reinject` goes by the answer of ZREM.
    ZremDecides,
    /// `failed` parks the wake-up in the step that ends the redelivery.
    FailedArms,
    /// `failed`, `refused` and `finish` need the redelivery to be pending at the caller.
    DrainNeedsMine,
    /// `failed` ends its redelivery before it arms.
    DoneBeforeArm,
    /// `delivered` takes a delivery out of its queue only after its 2xx.
    LeavesAfterSuccess,
    /// `resume` arms what waits.
    ResumeArms,
    /// `park` parks nothing for a subscription that was removed.
    TombstoneStopsPark,
    /// `replay` goes by whether it still found the dead letter.
    ReplayFindsFirst,
    /// `fetch` gives out no probe before Retry-After is over.
    FetchKnowsFloor,
    /// `fetch` arms when it ends a redelivery for that.
    FloorArms,
    /// `fetch` ends no drain that holds something.
    FetchSparesHeld,
    /// What is beyond a limit is left to the drain that may be sending it, also when the circuit opens meanwhile.
    LimitsSpareDrains,
    /// A probe passes over the oldest when that got the same HTTP answer again and again.
    ProbesWalk,
    /// `leave` arms what the drain that it gives back leaves behind.
    LeaveArms,
    /// A worker says that it left when nothing of it runs any more.
    GoodbyeComesLast,
    /// A line is on disk before its delivery leaves the queue.
    FileFirst,
    /// `delivered` and `overflowed` count only what left the queue by them.
    OnlyWhatLeavesCounts,
}

/// Those in force.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules(Option<Rule>);

impl Rules {
    pub(crate) const ALL: Self = Self(None);

    pub(crate) fn without(rule: Rule) -> Self {
        Self(Some(rule))
    }

    pub(crate) fn has(self, rule: Rule) -> bool {
        self.0 != Some(rule)
    }
}
