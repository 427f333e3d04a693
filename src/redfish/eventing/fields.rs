//! Reads the values of a request's properties, each refused with the message that fits.

use serde_json::{Map, Value};
use url::Url;

use super::wrong;
use crate::redfish::frame::Message;

/// The members of a body that are properties: annotations of OData are passed over, as DSP0266 wants it.
pub(super) fn properties(body: &Map<String, Value>) -> impl Iterator<Item = (&str, &Value)> {
    let all = body.iter().map(|(name, value)| (name.as_str(), value));
    all.filter(|(name, _)| !name.starts_with("@odata."))
}

/// A text.
pub(super) fn text(property: &str, value: &Value) -> Result<String, Message> {
    let text = value.as_str().ok_or_else(|| wrong::kind(property, value))?;
    Ok(text.to_owned())
}

/// A text, or null for none.
pub(super) fn text_or_null(property: &str, value: &Value) -> Result<Option<String>, Message> {
    or_null(value, |value| text(property, value))
}

/// True or false.
pub(super) fn truth(property: &str, value: &Value) -> Result<bool, Message> {
    value.as_bool().ok_or_else(|| wrong::kind(property, value))
}

/// A whole number from `least` to `most`.
pub(super) fn number(property: &str, value: &Value, least: u64, most: u64) -> Result<u64, Message> {
    // A negative one is a number all the same.
    if !value.is_u64() && !value.is_i64() {
        return Err(wrong::kind(property, value));
    }
    let number = value.as_u64().filter(|number| (least..=most).contains(number));
    number.ok_or_else(|| wrong::range(property, value).advise(format!("it must be from {least} to {most}")))
}

/// A number within bounds, or null for none.
pub(super) fn number_or_null(property: &str, value: &Value, least: u64, most: u64) -> Result<Option<u64>, Message> {
    or_null(value, |value| number(property, value, least, most))
}

/// One of a few words, spelt exactly so.
pub(super) fn word<T: Copy>(property: &str, value: &Value, words: &[(&str, T)]) -> Result<T, Message> {
    let given = value.as_str().ok_or_else(|| wrong::kind(property, value))?;
    let found = words.iter().find(|(word, _)| *word == given);
    found.map(|(_, meaning)| *meaning).ok_or_else(|| {
        let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        wrong::choice(property, value).advise(format!("use {}", words.join(", ")))
    })
}

/// A list, each of its values read on its own.
pub(super) fn list<T>(
    property: &str,
    value: &Value,
    read: impl Fn(&str, &Value) -> Result<T, Message>,
) -> Result<Vec<T>, Message> {
    let values = value.as_array().ok_or_else(|| wrong::kind(property, value))?;
    values
        .iter()
        .enumerate()
        .map(|(at, value)| read(&format!("{property}/{at}"), value))
        .collect()
}

/// An object.
pub(super) fn object<'a>(property: &str, value: &'a Value) -> Result<&'a Map<String, Value>, Message> {
    value.as_object().ok_or_else(|| wrong::kind(property, value))
}

/// A link to a resource: an object with nothing but its `@odata.id`.
pub(super) fn link(property: &str, value: &Value) -> Result<String, Message> {
    let link = object(property, value)?;
    let place = format!("{property}/@odata.id");
    if let Some(other) = link.keys().find(|name| *name != "@odata.id") {
        return Err(wrong::unknown(&format!("{property}/{other}")));
    }
    text(&place, link.get("@odata.id").ok_or_else(|| wrong::missing(&place))?)
}

/// A URL. What is wrong with it is said without quoting it, for it may hold a password.
pub(super) fn url(property: &str, value: &Value) -> Result<Url, Message> {
    let text = value.as_str().ok_or_else(|| wrong::kind(property, value))?;
    text.parse()
        .map_err(|error| wrong::value(property, format!("it is no URL ({error}); write https://HOST/PATH")))
}

fn or_null<T>(value: &Value, read: impl FnOnce(&Value) -> Result<T, Message>) -> Result<Option<T>, Message> {
    if value.is_null() {
        Ok(None)
    } else {
        read(value).map(Some)
    }
}
