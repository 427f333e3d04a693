//! How the test subscriber behaves, as people write it: `ok`, `slow:250ms`, `500`, `429:5`, `refuse:10s`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::domain::units::Period;

/// Every way to be a subscriber.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// `ok`: 200 at once.
    Ok,
    /// `slow:250ms`: 200 after a while.
    Slow(Period),
    /// `hang`: takes the request and never answers.
    Hang,
    /// `500`, or any other status.
    Status(u16),
    /// `429:5`: 429 with `Retry-After`, in seconds.
    Throttle(u32),
    /// `refuse`, `refuse:10s`: closes the listener and every connection; with a time, works again after it.
    Refuse(Option<Period>),
    /// `reset`: takes the request and resets the connection.
    Reset,
    /// `drip`: 200 at once, then a body that never ends, a byte at a time.
    Drip,
    /// `flood`: 200 at once, then a body that never ends, as fast as it is read.
    Flood,
    /// `garbage`: answers with something that is not HTTP.
    Garbage,
    /// `random:42`: mostly ok, sometimes each of the others; the same for the same seed and order.
    Random(u64),
}

/// No such mode.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no mode; write ok, slow:250ms, hang, 500 (any status), 429:5 (seconds to wait), refuse, refuse:10s, \
     reset, drip, flood, garbage or random:42"
)]
pub struct UnknownMode(String);

impl Mode {
    /// What to do with request number `request`: itself, or what the seed says.
    #[must_use]
    pub fn of_request(self, request: u64) -> Self {
        let Self::Random(seed) = self else { return self };
        match scramble(seed ^ scramble(request)) % 100 {
            0..=69 => Self::Ok,
            70..=79 => Self::Slow(Period(Duration::from_millis(50))),
            80..=85 => Self::Status(500),
            86..=89 => Self::Status(503),
            90..=92 => Self::Throttle(1),
            93..=95 => Self::Reset,
            96..=97 => Self::Garbage,
            98 => Self::Drip,
            _ => Self::Hang,
        }
    }
}

/// SplitMix64's output function: spreads neighbouring numbers over all of them.
fn scramble(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

impl FromStr for Mode {
    type Err = UnknownMode;

    fn from_str(text: &str) -> Result<Self, UnknownMode> {
        let text = text.trim();
        let unknown = || UnknownMode(text.to_owned());
        let (name, value) = match text.split_once(':') {
            Some((name, value)) => (name, Some(value)),
            None => (text, None),
        };
        let period = |value: &str| value.parse::<Period>().map_err(|_| unknown());
        match (name, value) {
            ("ok", None) => Ok(Self::Ok),
            ("slow", Some(value)) => Ok(Self::Slow(period(value)?)),
            ("hang", None) => Ok(Self::Hang),
            ("429", None) => Ok(Self::Throttle(5)),
            ("429", Some(value)) => value.parse().map(Self::Throttle).map_err(|_| unknown()),
            ("refuse", None) => Ok(Self::Refuse(None)),
            ("refuse", Some(value)) => Ok(Self::Refuse(Some(period(value)?))),
            ("reset", None) => Ok(Self::Reset),
            ("drip", None) => Ok(Self::Drip),
            ("flood", None) => Ok(Self::Flood),
            ("garbage", None) => Ok(Self::Garbage),
            ("random", Some(value)) => value.parse().map(Self::Random).map_err(|_| unknown()),
            (status, None) => match status.parse() {
                Ok(status @ 200..=599) => Ok(Self::Status(status)),
                _ => Err(unknown()),
            },
            _ => Err(unknown()),
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ok => f.write_str("ok"),
            Self::Slow(period) => write!(f, "slow:{period}"),
            Self::Hang => f.write_str("hang"),
            Self::Status(status) => write!(f, "{status}"),
            Self::Throttle(seconds) => write!(f, "429:{seconds}"),
            Self::Refuse(None) => f.write_str("refuse"),
            Self::Refuse(Some(period)) => write!(f, "refuse:{period}"),
            Self::Reset => f.write_str("reset"),
            Self::Drip => f.write_str("drip"),
            Self::Flood => f.write_str("flood"),
            Self::Garbage => f.write_str("garbage"),
            Self::Random(seed) => write!(f, "random:{seed}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_written_as_they_are_read() {
        for text in [
            "ok",
            "slow:250ms",
            "hang",
            "500",
            "204",
            "429:5",
            "refuse",
            "refuse:10s",
            "reset",
            "drip",
            "flood",
            "garbage",
            "random:42",
        ] {
            assert_eq!(text.parse::<Mode>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "slow",
            "slow:fast",
            "99",
            "600",
            "429:soon",
            "ok:1",
            "random",
            "teapot",
        ] {
            assert!(text.parse::<Mode>().is_err(), "{text}");
        }
    }

    #[test]
    fn random_is_the_same_for_the_same_seed() {
        let drawn = |seed: u64| (0..1000).map(|n| Mode::Random(seed).of_request(n)).collect::<Vec<_>>();
        assert_eq!(drawn(1), drawn(1));
        assert_ne!(drawn(1), drawn(2));
        let ok = drawn(3).into_iter().filter(|mode| *mode == Mode::Ok).count();
        assert!((600..800).contains(&ok), "{ok}");
    }
}
