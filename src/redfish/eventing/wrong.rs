//! What is wrong with a property at any depth, as messages of the Base registry that name it.
//!
//! A property is named by its path: `Oem/Holdfast/Coalesce`, `EventTypes/0`.

use serde_json::Value;

use crate::redfish::frame::{Message, message, shown};

/// What stands for a value that may be a secret.
pub(super) const MASKED: &str = "••••••";

/// The schema, or this service, has no such property.
pub(super) fn unknown(property: &str) -> Message {
    about(property, message::property_unknown(property))
}

/// A property that must be there is not.
pub(super) fn missing(property: &str) -> Message {
    about(property, message::property_missing(property))
}

/// The property can't be changed, or not any more.
pub(super) fn not_writable(property: &str) -> Message {
    about(property, message::property_not_writable(property))
}

/// A number where a text belongs, or the like.
pub(super) fn kind(property: &str, value: &Value) -> Message {
    about(property, message::property_value_type(shown(value), property))
}

/// The same where the value may be a secret.
pub(super) fn kind_masked(property: &str) -> Message {
    about(property, message::property_value_type(MASKED, property))
}

/// Not one of the values that may be chosen here.
pub(super) fn choice(property: &str, value: &Value) -> Message {
    about(property, message::property_value_not_in_list(shown(value), property))
}

/// A number that is too small or too large.
pub(super) fn range(property: &str, value: &Value) -> Message {
    about(property, message::property_value_out_of_range(shown(value), property))
}

/// A value that can't be right, with what to write instead; nothing is quoted.
pub(super) fn value(property: &str, advice: impl Into<String>) -> Message {
    about(property, message::property_value_error(property)).advise(advice)
}

/// A value that goes ill with that of another property.
pub(super) fn conflict(property: &str, other: &str) -> Message {
    about(property, message::property_value_conflict(property, other))
}

fn about(property: &str, message: Message) -> Message {
    message.about(format!("#/{property}"))
}
