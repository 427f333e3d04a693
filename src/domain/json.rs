//! Walks over JSON text without copying it: members and elements as slices of what was read.
//!
//! Used where bytes of hardware are judged or passed on: a parsed value would lose how numbers and text were written.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// Why a text is not one JSON object.
#[derive(Debug)]
pub(super) enum NotOneObject {
    /// It is broken, or something else.
    Broken(serde_json::Error),
    /// It goes on after its end.
    Trailing(serde_json::Error),
}

/// Calls a function with each member of the object that is all of the text, in order.
///
/// # Errors
/// When the text is anything but one JSON object; members before the fault have been seen then.
pub(super) fn members_of<'a>(text: &'a str, each: impl FnMut(&str, &'a RawValue)) -> Result<(), NotOneObject> {
    let mut reader = serde_json::Deserializer::from_str(text);
    reader.deserialize_map(Members(each)).map_err(NotOneObject::Broken)?;
    reader.end().map_err(NotOneObject::Trailing)
}

/// Calls a function with each element of an array, in order; false when the value is no array.
pub(super) fn elements_of<'a>(value: &'a RawValue, each: impl FnMut(&'a RawValue)) -> bool {
    let mut reader = serde_json::Deserializer::from_str(value.get());
    value.get().starts_with('[') && reader.deserialize_seq(Elements(each)).is_ok()
}

/// A string, or a number as it is written: some controllers send numbers where the standard has strings.
pub(super) fn text_of(value: &RawValue) -> Option<Cow<'_, str>> {
    let written = value.get();
    match written.as_bytes().first()? {
        b'"' => string_of(value),
        b'-' | b'0'..=b'9' => Some(Cow::Borrowed(written)),
        _ => None,
    }
}

/// The content of a string; `None` for anything else.
pub(super) fn string_of(value: &RawValue) -> Option<Cow<'_, str>> {
    let written = value.get();
    match plain(value) {
        Some(text) => Some(Cow::Borrowed(text)),
        None if written.starts_with('"') => serde_json::from_str(written).ok().map(Cow::Owned),
        None => None,
    }
}

/// The content of a string that has no escapes; `None` for anything else.
pub(super) fn plain(value: &RawValue) -> Option<&str> {
    let content = value.get().strip_prefix('"')?.strip_suffix('"')?;
    (!content.contains('\\')).then_some(content)
}

/// A text as JSON writes it.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A member's name; copied only where it has escapes.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

struct Members<F>(F);

impl<'de, F: FnMut(&str, &'de RawValue)> Visitor<'de> for Members<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<Name<'de>>()? {
            (self.0)(&name.0, map.next_value()?);
        }
        Ok(())
    }
}

struct Elements<F>(F);

impl<'de, F: FnMut(&'de RawValue)> Visitor<'de> for Elements<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON array")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<(), A::Error> {
        while let Some(element) = list.next_element()? {
            (self.0)(element);
        }
        Ok(())
    }
}
