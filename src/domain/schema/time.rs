//! Times: RFC 3339, and what controllers write in its place.

/// Whether a text is a date-time by RFC 3339. A leap second counts as none: not every reader takes it.
pub(super) fn is_rfc3339(text: &str) -> bool {
    normal(text).is_some_and(|normal| normal == text)
}

/// The time in the form of RFC 3339: a colon in the offset (`-0500`, `-05`), a `T`, and UTC where no offset is given;
/// `None` when it is no time.
pub(super) fn normal(text: &str) -> Option<String> {
    let text = text.trim();
    let (date, rest) = (text.get(..10)?, text.get(11..)?);
    let separator = text.as_bytes().get(10)?;
    let rest = if *separator == b' ' { rest.trim_start() } else { rest };
    let zone = rest.find(['Z', 'z', '+', '-', ' ']).unwrap_or(rest.len());
    let (clock, zone) = rest.split_at(zone);
    let valid = matches!(separator, b'T' | b't' | b' ') && is_date(date) && is_clock(clock);
    let zone = offset(zone.trim_start())?;
    valid.then(|| format!("{date}T{clock}{zone}"))
}

fn is_date(text: &str) -> bool {
    let &[_, _, _, _, b'-', _, _, b'-', _, _] = text.as_bytes() else {
        return false;
    };
    let number = |from: usize, to: usize| digits(text.get(from..to)?);
    let (Some(year), Some(month), Some(day)) = (number(0, 4), number(5, 7), number(8, 10)) else {
        return false;
    };
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 => 28 + u32::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return false,
    };
    (1..=days).contains(&day)
}

/// `HH:MM:SS`, with a fraction or without.
fn is_clock(text: &str) -> bool {
    let (whole, fraction) = text
        .split_once('.')
        .map_or((text, None), |(whole, fraction)| (whole, Some(fraction)));
    let &[_, _, b':', _, _, b':', _, _] = whole.as_bytes() else {
        return false;
    };
    let below = |from: usize, most: u32| {
        let number = whole.get(from..from + 2).and_then(digits);
        number.is_some_and(|number| number < most)
    };
    let fraction = fraction.is_none_or(|fraction| (1..=9).contains(&fraction.len()) && digits(fraction).is_some());
    below(0, 24) && below(3, 60) && below(6, 60) && fraction
}

fn offset(text: &str) -> Option<String> {
    if matches!(text, "" | "Z" | "z") {
        return Some("Z".to_owned());
    }
    let sign = text.get(..1).filter(|sign| matches!(*sign, "+" | "-"))?;
    let rest = text.get(1..)?;
    let (hours, minutes) = match rest.len() {
        2 => (rest, "00"),
        4 => rest.split_at(2),
        5 => rest.split_once(':').filter(|(hours, _)| hours.len() == 2)?,
        _ => return None,
    };
    let valid = digits(hours)? < 24 && digits(minutes)? < 60;
    valid.then(|| format!("{sign}{hours}:{minutes}"))
}

fn digits(text: &str) -> Option<u32> {
    text.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_become_rfc_3339() {
        for (given, expected) in [
            ("2026-02-03T04:05:06Z", Some("2026-02-03T04:05:06Z")),
            ("2026-02-03T04:05:06.123-05:00", Some("2026-02-03T04:05:06.123-05:00")),
            ("2021-07-13T15:09:55+0300", Some("2021-07-13T15:09:55+03:00")),
            ("2021-07-13T15:09:55-0500", Some("2021-07-13T15:09:55-05:00")),
            ("2021-07-13T15:09:55+03", Some("2021-07-13T15:09:55+03:00")),
            ("2018-05-04T04:14:33", Some("2018-05-04T04:14:33Z")),
            (" 2018-05-04 04:14:33 +0000 ", Some("2018-05-04T04:14:33+00:00")),
            ("2024-02-29t00:00:00z", Some("2024-02-29T00:00:00Z")),
            ("2023-02-29T00:00:00Z", None),
            ("1900-02-29T00:00:00Z", None),
            ("2023-13-01T00:00:00Z", None),
            ("2023-01-01T24:00:00Z", None),
            ("2023-01-01T23:59:60Z", None),
            ("2023-01-01T23:59Z", None),
            ("2023-01-01T23:59:59.Z", None),
            ("2023-01-01T23:59:59+24:00", None),
            ("2023-01-01T23:59:59+3:000", None),
            ("2023-01-01", None),
            ("", None),
            ("gestern um zehn", None),
            ("ééééééééééé", None),
        ] {
            assert_eq!(normal(given).as_deref(), expected, "{given}");
            if let Some(expected) = expected {
                assert!(is_rfc3339(expected), "{expected}");
                assert_eq!(is_rfc3339(given), given == expected, "{given}");
            }
        }
    }
}
