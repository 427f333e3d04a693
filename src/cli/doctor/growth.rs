//! Until when the memory of a server lasts, from two looks at it and from what has been piling up.
//!
//! Two rates are compared and the faster one counts: that of the moment, the growth of the data between two looks a
//! few seconds apart; and that of the backlog, the data there is over the age of the oldest entry that waits. The
//! first is no use when events are rare, the second none when a storm has just begun. Both look at data alone:
//! buffers come and go.

use std::time::Duration;

/// A backlog younger than this says nothing of a rate.
const YOUNGEST: Duration = Duration::from_secs(60);

/// One server at two moments.
#[derive(Debug, Clone, Copy)]
pub(super) struct Looks {
    /// Between the two.
    pub(super) apart: Duration,
    /// Bytes of data.
    pub(super) data: (u64, u64),
    /// Events, parked deliveries and dead letters in the whole deployment.
    pub(super) held: (u64, u64),
    /// Age of the oldest event or parked delivery.
    pub(super) oldest: Option<Duration>,
}

/// Where it goes.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Trend {
    /// What is held shrinks.
    Emptying,
    /// Nothing is held, or it stays.
    Steady,
    /// It grows by so many bytes a second.
    Filling { rate: f64, by: Estimate },
}

/// What a rate was taken from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Estimate {
    /// The two looks.
    Moment,
    /// The age of the backlog.
    Backlog,
}

#[expect(clippy::cast_precision_loss, reason = "an estimate needs no more than 53 bits")]
fn float(n: u64) -> f64 {
    n as f64
}

/// The trend that two looks show.
pub(super) fn trend(looks: &Looks) -> Trend {
    let (before, after) = looks.held;
    if after < before {
        return Trend::Emptying;
    }
    let growth = float(looks.data.1.saturating_sub(looks.data.0));
    let moment = if after > before {
        growth / looks.apart.as_secs_f64().max(0.001)
    } else {
        0.0
    };
    let backlog = match looks.oldest.filter(|age| *age >= YOUNGEST) {
        Some(age) => float(looks.data.1) / age.as_secs_f64(),
        None => 0.0,
    };
    match (moment, backlog) {
        (moment, backlog) if moment < 1.0 && backlog < 1.0 => Trend::Steady,
        (moment, backlog) if moment >= backlog => Trend::Filling {
            rate: moment,
            by: Estimate::Moment,
        },
        (_, rate) => Trend::Filling {
            rate,
            by: Estimate::Backlog,
        },
    }
}

/// How long so many bytes last at a rate; none where it is for ever or beyond all planning (a century).
pub(super) fn lasts(bytes: u64, rate: f64) -> Option<Duration> {
    const CENTURY: f64 = 100.0 * 365.0 * 86_400.0;
    let seconds = float(bytes) / rate;
    (seconds.is_finite() && seconds < CENTURY).then(|| Duration::from_secs_f64(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looks(data: (u64, u64), held: (u64, u64), oldest: Option<u64>) -> Looks {
        Looks {
            apart: Duration::from_secs(2),
            data,
            held,
            oldest: oldest.map(Duration::from_secs),
        }
    }

    #[test]
    fn the_faster_rate_counts() {
        let filling = |rate, by| Trend::Filling { rate, by };
        for (looks, expected) in [
            (looks((0, 0), (0, 0), None), Trend::Steady),
            // Data without entries are buffers of the server's own.
            (looks((1_000, 9_000), (5, 5), None), Trend::Steady),
            (looks((1_000, 900), (5, 4), Some(9_000)), Trend::Emptying),
            (
                looks((1_000, 2_000), (5, 6), Some(10)),
                filling(500.0, Estimate::Moment),
            ),
            (
                looks((36_000, 36_000), (5, 5), Some(3_600)),
                filling(10.0, Estimate::Backlog),
            ),
            (
                looks((36_000, 36_002), (5, 6), Some(3_600)),
                filling(36_002.0 / 3_600.0, Estimate::Backlog),
            ),
        ] {
            assert_eq!(trend(&looks), expected, "{looks:?}");
        }
    }

    #[test]
    fn what_lasts_for_ever_has_no_end() {
        assert_eq!(lasts(3_600, 1.0), Some(Duration::from_secs(3_600)));
        assert_eq!(lasts(u64::MAX, 1.0), None);
        assert_eq!(lasts(1, 0.0), None);
    }
}
