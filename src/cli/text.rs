//! Numbers, times and texts as people read them.

/// A number with its thousands apart: `1,000,000`.
pub(super) fn number(n: impl Into<i128>) -> String {
    let n: i128 = n.into();
    let digits = n.unsigned_abs().to_string();
    let mut text = String::from(if n < 0 { "-" } else { "" });
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A length of time in its two largest units: `850ms`, `3m 12s`, `2d 4h`.
pub(super) fn span(millis: u64) -> String {
    if millis < 1_000 {
        return format!("{millis}ms");
    }
    let seconds = millis / 1_000;
    let (large, large_unit, small, small_unit) = match seconds {
        0..60 => return format!("{seconds}s"),
        60..3_600 => (seconds / 60, "m", seconds % 60, "s"),
        3_600..86_400 => (seconds / 3_600, "h", seconds % 3_600 / 60, "m"),
        _ => (seconds / 86_400, "d", seconds % 86_400 / 3_600, "h"),
    };
    if small == 0 {
        return format!("{large}{large_unit}");
    }
    format!("{large}{large_unit} {small}{small_unit}")
}

/// A size with one decimal in the largest unit: `1.5 MiB`.
pub(super) fn size(bytes: u64) -> String {
    let mut unit = 1_u64;
    let mut name = "B";
    for next in ["KiB", "MiB", "GiB", "TiB"] {
        if bytes / unit < 1_024 {
            break;
        }
        unit *= 1_024;
        name = next;
    }
    if unit == 1 {
        return format!("{bytes} {name}");
    }
    let tenths = u128::from(bytes) * 10 / u128::from(unit);
    format!("{}.{} {name}", tenths / 10, tenths % 10)
}

/// At most so many characters, the last an ellipsis where something is left out.
pub(super) fn short(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let kept: String = text.chars().take(most.saturating_sub(1)).collect();
    format!("{kept}…")
}

/// The same for an error, whose end, the innermost cause, says most.
pub(super) fn short_error(text: &str, most: usize) -> String {
    let length = text.chars().count();
    if length <= most {
        return text.to_owned();
    }
    let head: String = text.chars().take(most / 4).collect();
    let tail: String = text.chars().skip(length + most / 4 + 1 - most).collect();
    format!("{head}…{tail}")
}

/// Without control characters: what subscribers and hardware wrote must not steer a terminal.
pub(super) fn plain(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c })
        .collect()
}

/// `1 event`, `2 events`; the noun's plural takes an s, or `y` becomes `ies`.
pub(super) fn count(n: u64, noun: &str) -> String {
    let shown = number(n);
    match (n, noun.strip_suffix('y')) {
        (1, _) => format!("{shown} {noun}"),
        (_, Some(stem)) => format!("{shown} {stem}ies"),
        (_, None) => format!("{shown} {noun}s"),
    }
}

/// A time of Redis' clock, in ms since the epoch, as RFC 3339 to the second.
pub(super) fn time(millis: u64) -> String {
    let seconds = i64::try_from(millis / 1_000).unwrap_or(i64::MAX);
    jiff::Timestamp::from_second(seconds).map_or_else(|_| format!("{millis} ms"), |time| time.to_string())
}

/// Now, by this machine's clock, as RFC 3339 to the second.
pub(super) fn now() -> String {
    let now = jiff::Timestamp::now();
    jiff::Timestamp::from_second(now.as_second()).unwrap_or(now).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_times_and_sizes_read_well() {
        assert_eq!(number(0_u64), "0");
        assert_eq!(number(999_u64), "999");
        assert_eq!(number(-1_234_567_i64), "-1,234,567");
        for (millis, text) in [
            (0, "0ms"),
            (850, "850ms"),
            (59_999, "59s"),
            (60_000, "1m"),
            (192_000, "3m 12s"),
            (7_200_000, "2h"),
            (187_200_000, "2d 4h"),
        ] {
            assert_eq!(span(millis), text);
        }
        assert_eq!(size(1_023), "1023 B");
        assert_eq!(size(1_572_864), "1.5 MiB");
        assert_eq!(size(u64::MAX), "16777215.9 TiB");
        assert_eq!(time(1_795_392_000_123), "2026-11-23T00:00:00Z");
    }

    #[test]
    fn nouns_follow_their_number() {
        assert_eq!(count(1, "delivery"), "1 delivery");
        assert_eq!(count(2_000, "delivery"), "2,000 deliveries");
        assert_eq!(count(0, "event"), "0 events");
    }

    #[test]
    fn long_texts_are_cut_by_characters() {
        assert_eq!(short("••••", 4), "••••");
        assert_eq!(short("•••••", 4), "•••…");
        assert_eq!(short_error("connect: refused", 16), "connect: refused");
        assert_eq!(short_error("connect: tcp: refused", 16), "conn…cp: refused");
    }
}
