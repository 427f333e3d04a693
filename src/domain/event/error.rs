//! Why a message could not be read. Intake answers with it, a dead letter is kept with it.

use super::{MAX_DEPTH, MAX_RECORDS};

/// A message that is no Redfish event. Lines and columns count from 1, columns in bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    /// Nothing, or only blanks.
    #[error("the message is empty; send one JSON object with the event")]
    Empty,
    /// Bytes that are no UTF-8.
    #[error("the message is not UTF-8 at line {line} column {column}; encode it in UTF-8")]
    NotUtf8 {
        /// Line of the first such byte.
        line: usize,
        /// Column of the first such byte.
        column: usize,
    },
    /// Broken JSON.
    #[error("the message is not JSON at line {line} column {column}: {reason}; send it as the event's source wrote it")]
    NotJson {
        /// Line of the fault.
        line: usize,
        /// Column of the fault.
        column: usize,
        /// What was wrong there.
        reason: String,
    },
    /// JSON, but something else than an object.
    #[error("the message is {found}; send one event or metric report as a JSON object")]
    NotAnObject {
        /// What it is instead.
        found: &'static str,
    },
    /// More after the end of the object.
    #[error("the message goes on after its end, at line {line} column {column}; send one JSON object a message")]
    TrailingData {
        /// Line of what follows.
        line: usize,
        /// Column of what follows.
        column: usize,
    },
    /// An escape that is half of a surrogate pair: no receiver could decode it.
    #[error(
        "the message has half of a surrogate pair at line {line} column {column}; escape both halves or write the character itself"
    )]
    LoneSurrogate {
        /// Line of the escape.
        line: usize,
        /// Column of the escape.
        column: usize,
    },
    /// Objects and arrays nested deeper than receivers can be expected to follow.
    #[error("the message nests deeper than {MAX_DEPTH} levels at line {line} column {column}; flatten it")]
    TooDeep {
        /// Line of the bracket that is too deep.
        line: usize,
        /// Column of that bracket.
        column: usize,
    },
    /// An envelope member that decides about delivery, twice.
    #[error("the message has the member {member} twice, so receivers would differ in what it says; send it once")]
    Repeated {
        /// The member's standard name.
        member: &'static str,
    },
    /// `Events` holds no records.
    #[error("the member Events is neither an array nor an object; put the event's records into an array")]
    NoRecords,
    /// More records than one message may hold.
    #[error("the message has {found} records and {MAX_RECORDS} are allowed; send them in several messages")]
    TooManyRecords {
        /// How many it has.
        found: usize,
    },
}

impl EventError {
    /// Line and column of a byte offset, both from 1.
    pub(super) fn position(text: &[u8], offset: usize) -> (usize, usize) {
        let before = text.get(..offset).unwrap_or(text);
        let line_start = before.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
        let line = before.iter().filter(|&&byte| byte == b'\n').count() + 1;
        (line, offset - line_start + 1)
    }
}
