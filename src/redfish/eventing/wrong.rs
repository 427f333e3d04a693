//! What is wrong with a request, as messages of the Base registry that name the property.

use serde_json::Value;

/// The longest value that a message quotes, in characters.
const QUOTED: usize = 100;

/// One thing that is wrong with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wrong {
    /// The message in the Base registry, such as `PropertyUnknown`.
    pub(crate) key: &'static str,
    /// What the message is filled with, in order; shows no secret.
    pub(crate) args: Vec<String>,
    /// The property it is about, with slashes between its levels; empty where it is about none.
    pub(crate) property: String,
    /// What to write instead, where the message alone does not say.
    pub(crate) advice: Option<String>,
}

impl Wrong {
    fn about(key: &'static str, property: &str, args: Vec<String>) -> Self {
        Self {
            key,
            args,
            property: property.to_owned(),
            advice: None,
        }
    }

    fn of_value(key: &'static str, property: &str, value: &Value) -> Self {
        Self::about(key, property, vec![quoted(value), property.to_owned()])
    }

    /// The schema, or this service, has no such property.
    pub(super) fn unknown(property: &str) -> Self {
        Self::about("PropertyUnknown", property, vec![property.to_owned()])
    }

    /// A property that must be there is not.
    pub(super) fn missing(property: &str) -> Self {
        Self::about("PropertyMissing", property, vec![property.to_owned()])
    }

    /// The property can't be changed, or not any more.
    pub(super) fn not_writable(property: &str) -> Self {
        Self::about("PropertyNotWritable", property, vec![property.to_owned()])
    }

    /// A number where a text belongs, or the like.
    pub(super) fn kind(property: &str, value: &Value) -> Self {
        Self::of_value("PropertyValueTypeError", property, value)
    }

    /// Not one of the values that may be chosen here.
    pub(super) fn choice(property: &str, value: &Value) -> Self {
        Self::of_value("PropertyValueNotInList", property, value)
    }

    /// A number that is too small or too large.
    pub(super) fn range(property: &str, value: &Value) -> Self {
        Self::of_value("PropertyValueOutOfRange", property, value)
    }

    /// A text that does not read as what it should be.
    pub(super) fn format(property: &str, value: &Value) -> Self {
        Self::of_value("PropertyValueFormatError", property, value)
    }

    /// A value that can't be right, with what to write instead; nothing is quoted.
    pub(super) fn value(property: &str, advice: impl Into<String>) -> Self {
        Self::about("PropertyValueError", property, vec![property.to_owned()]).with(advice)
    }

    /// A value that goes ill with that of another property.
    pub(super) fn conflict(property: &str, other: &str) -> Self {
        Self::about(
            "PropertyValueConflict",
            property,
            vec![property.to_owned(), other.to_owned()],
        )
    }

    /// Nothing was asked for.
    pub(super) fn nothing() -> Self {
        Self::about("NoOperation", "", Vec::new())
    }

    /// The same with what to write instead.
    pub(super) fn with(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }
}

/// A value as a message shows it: as JSON, texts without their quotes, cut off where it is long.
fn quoted(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    text.chars().take(QUOTED).collect()
}
