//! Makes a value that conforms of one that does not, where its meaning is plain.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::super::json::{elements_of, members_of, quoted, string_of, text_of};
use super::super::message_id::MessageKey;
use super::super::terms::{EventType, Severity};
use super::form::{DIAGNOSTIC_DATA_TYPES, Form, is_integer, is_message_id};
use super::{time, uri};

/// What becomes of a value that does not conform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) enum Mended {
    /// Another spelling of the same.
    Same(String),
    /// The nearest that conforms; it says less than what came, which is to be kept beside it.
    Less(String),
    /// It says nothing that could be kept: null, or an empty text.
    Nothing,
    /// It has no place there and is to be kept elsewhere.
    Misplaced,
}

/// Mends a value that does not fit the form.
pub(in super::super) fn mend(form: Form, value: &RawValue) -> Mended {
    if value.get() == "null" {
        return Mended::Nothing;
    }
    match form {
        Form::Text => same(text_or_flag(value).map(|text| quoted(&text))),
        Form::Integer => same(trimmed(value).filter(|text| is_integer(text)).map(Cow::into_owned)),
        Form::Flag => same(flag(value)),
        Form::Time => match trimmed(value) {
            Some(text) if text.is_empty() => Mended::Nothing,
            Some(text) => same(time::normal(&text).map(|time| quoted(&time))),
            None => Mended::Misplaced,
        },
        Form::MessageId => message_id(value),
        Form::EventType => event_type(value),
        Form::Health => match trimmed(value) {
            Some(text) if text.is_empty() => Mended::Nothing,
            Some(text) => severity(&text).map_or(Mended::Misplaced, |(word, same)| as_word(&word, same)),
            None => Mended::Misplaced,
        },
        Form::Severity => match text_of(value) {
            Some(text) => {
                severity(&text).map_or_else(|| Mended::Same(quoted(&text)), |(word, same)| as_word(&word, same))
            }
            None => Mended::Misplaced,
        },
        Form::DiagnosticDataType => same(string_of(value).and_then(|text| {
            let known = DIAGNOSTIC_DATA_TYPES
                .iter()
                .find(|word| word.eq_ignore_ascii_case(text.trim()))?;
            Some(quoted(known))
        })),
        Form::Texts => texts(value),
        Form::Link => link(value),
        Form::Uri => match string_of(value) {
            Some(text) if uri::is_reference(&text) => Mended::Same(quoted(&text)),
            Some(text) => Mended::Less(quoted(&reference(&text))),
            None => Mended::Misplaced,
        },
        Form::Address | Form::Actions | Form::Cper | Form::Oem | Form::Objects | Form::List | Form::Type => {
            Mended::Misplaced
        }
    }
}

fn same(text: Option<String>) -> Mended {
    text.map_or(Mended::Misplaced, Mended::Same)
}

fn as_word(word: &str, same: bool) -> Mended {
    if same {
        Mended::Same(quoted(word))
    } else {
        Mended::Less(quoted(word))
    }
}

fn trimmed(value: &RawValue) -> Option<Cow<'_, str>> {
    let text = text_of(value)?;
    Some(match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.trim()),
        Cow::Owned(text) => Cow::Owned(text.trim().to_owned()),
    })
}

fn text_or_flag(value: &RawValue) -> Option<Cow<'_, str>> {
    match value.get() {
        flag @ ("true" | "false") => Some(Cow::Borrowed(flag)),
        _ => text_of(value),
    }
}

fn flag(value: &RawValue) -> Option<String> {
    let text = string_of(value)?.trim().to_ascii_lowercase();
    matches!(text.as_str(), "true" | "false").then_some(text)
}

/// The severity's word, and whether it is the same word in another case.
fn severity(text: &str) -> Option<(String, bool)> {
    let word = Severity::read(text)?.to_string();
    let same = word.eq_ignore_ascii_case(text.trim());
    Some((word, same))
}

fn event_type(value: &RawValue) -> Mended {
    let Some(text) = trimmed(value) else {
        return Mended::Misplaced;
    };
    let word = EventType::read(&text).to_string();
    as_word(&word, text.is_empty() || word.eq_ignore_ascii_case(&text))
}

/// Ids without a version or without a registry: `Alert.LinkDown` becomes `Alert.1.0.LinkDown`, and `FAN0001`
/// `Oem.1.0.FAN0001`, so that registry and key stay what they are.
fn message_id(value: &RawValue) -> Mended {
    let Some(text) = trimmed(value) else {
        return Mended::Misplaced;
    };
    if is_message_id(&text) {
        return Mended::Same(quoted(&text));
    }
    let letters = |text: &str| -> String { text.chars().filter(char::is_ascii_alphanumeric).collect() };
    let Some(key) = MessageKey::read(&text) else {
        return Mended::Nothing;
    };
    let registry = text.split_once('.').map(|(registry, _)| letters(registry));
    let registry = registry.filter(|registry| !registry.is_empty() && key.registry().is_some());
    let key = text.rsplit('.').map(letters).find(|key| !key.is_empty());
    let Some(key) = key else { return Mended::Misplaced };
    let registry = registry.as_deref().unwrap_or("Oem");
    Mended::Less(quoted(&format!("{registry}.1.0.{key}")))
}

/// Numbers and flags as they are written, null as an empty text, anything else as its JSON: so that arguments keep
/// their places. A single value is a list of one.
fn texts(value: &RawValue) -> Mended {
    let text = |element: &RawValue| match element.get() {
        "null" => String::new(),
        written => text_of(element).map_or_else(|| written.to_owned(), Cow::into_owned),
    };
    let mut all = Vec::new();
    let is_list = elements_of(value, |element| all.push(quoted(&text(element))));
    if !is_list {
        all = vec![quoted(&text(value))];
    }
    Mended::Same(format!("[{}]", all.join(",")))
}

/// A plain text, or an object that says more than where the resource is.
fn link(value: &RawValue) -> Mended {
    let as_link = |text: &str| format!(r#"{{"@odata.id":{}}}"#, quoted(&reference(text)));
    if let Some(text) = string_of(value) {
        return match text.trim() {
            "" => Mended::Nothing,
            text if uri::is_reference(text) => Mended::Same(as_link(text)),
            text => Mended::Less(as_link(text)),
        };
    }
    let (mut found, mut members) = (None, 0);
    let walked = members_of(value.get(), |name, value| {
        members += 1;
        if name.eq_ignore_ascii_case("@odata.id") {
            found = string_of(value).map(Cow::into_owned);
        }
    });
    match found {
        Some(text) if walked.is_ok() && members == 1 && uri::is_reference(&text) => Mended::Same(as_link(&text)),
        Some(text) if walked.is_ok() => Mended::Less(as_link(&text)),
        _ => Mended::Misplaced,
    }
}

fn reference(text: &str) -> Cow<'_, str> {
    let text = text.trim();
    if uri::is_reference(text) {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(uri::encoded(text))
    }
}
