//! One pass over the bytes for the two things that a lazy JSON parser skips: how deep the text nests, and
//! whether every escaped surrogate has its other half.
//!
//! Called before parsing. It keeps hostile nesting from every parser behind it, ours and the subscribers'.

use super::error::EventError;

/// Objects and arrays may nest this deep: several times what Redfish needs and less than what common JSON
/// parsers allow.
pub const MAX_DEPTH: usize = 100;

/// Checks depth and surrogates. Text that is no JSON may pass: the parser finds the rest.
///
/// # Errors
/// [`EventError::TooDeep`] and [`EventError::LoneSurrogate`], with their place.
pub(super) fn check(text: &[u8]) -> Result<(), EventError> {
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        match byte {
            b'"' => at = end_of_string(text, at + 1)?,
            b'{' | b'[' => {
                depth += 1;
                if depth > MAX_DEPTH {
                    let (line, column) = EventError::position(text, at);
                    return Err(EventError::TooDeep { line, column });
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        at += 1;
    }
    Ok(())
}

/// Offset of the quote that ends the string which goes on at `at`, or of the end of the text.
fn end_of_string(text: &[u8], mut at: usize) -> Result<usize, EventError> {
    loop {
        match text.get(at) {
            None | Some(b'"') => return Ok(at),
            Some(b'\\') if text.get(at + 1) == Some(&b'u') => at = end_of_escape(text, at)?,
            Some(b'\\') => at += 2,
            Some(_) => at += 1,
        }
    }
}

/// Offset after the `\u` escape at `at`, both halves when it is a surrogate pair.
fn end_of_escape(text: &[u8], at: usize) -> Result<usize, EventError> {
    match code_unit(text, at) {
        Some(0xD800..=0xDBFF) if matches!(code_unit(text, at + 6), Some(0xDC00..=0xDFFF)) => Ok(at + 12),
        Some(0xD800..=0xDFFF) => {
            let (line, column) = EventError::position(text, at);
            Err(EventError::LoneSurrogate { line, column })
        }
        _ => Ok(at + 2),
    }
}

/// The code unit of the `\uXXXX` at `at`; `None` when there is none.
fn code_unit(text: &[u8], at: usize) -> Option<u32> {
    let digits = text.get(at..at + 6)?.strip_prefix(b"\\u")?;
    digits
        .iter()
        .try_fold(0, |unit, &digit| Some(unit << 4 | char::from(digit).to_digit(16)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_is_bounded_wherever_it_is() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert_eq!(check(nested(MAX_DEPTH).as_bytes()), Ok(()));
        assert_eq!(
            check(nested(MAX_DEPTH + 1).as_bytes()),
            Err(EventError::TooDeep {
                line: 1,
                column: MAX_DEPTH + 1
            })
        );
        let brackets = "[".repeat(500);
        assert_eq!(check(format!(r#"{{"a":"{brackets}\"{brackets}"}}"#).as_bytes()), Ok(()));
        assert_eq!(
            check(nested(1).repeat(500).as_bytes()),
            Ok(()),
            "side by side is not deep"
        );
    }

    #[test]
    fn surrogates_come_in_pairs() {
        for whole in [r#""\ud83d\ude00""#, r#""\\ud800""#, r#""\u0000""#, r#""\u12""#, r#""\"#] {
            assert_eq!(check(whole.as_bytes()), Ok(()), "{whole}");
        }
        for half in [
            r#""\ud83d""#,
            r#""\ude00""#,
            r#""\ud83d\ud83d\ude00""#,
            r#""\uD83Dx\ude00""#,
        ] {
            assert!(
                matches!(check(half.as_bytes()), Err(EventError::LoneSurrogate { line: 1, .. })),
                "{half}"
            );
        }
    }
}
