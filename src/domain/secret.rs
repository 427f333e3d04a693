//! Values that are stored and sent but never shown, and how they look while they are sealed.

use std::fmt;

use serde::{Deserialize, Serialize};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Bytes of a sealing key (AES-256).
pub const KEY_BYTES: usize = 32;

/// A value that is stored and sent but never shown: `Debug` prints dots.
///
/// Stored as a text, or sealed as an object, so that no text is ever mistaken for a sealed value. One that can't be
/// opened stays as it is: it can be kept, moved and replaced, but not revealed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(Form);

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
enum Form {
    Open(String),
    Closed(Closed),
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Closed {
    sealed: String,
    #[serde(skip)]
    because: Option<Locked>,
}

/// Why a sealed value can't be revealed. Names the key, never the value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Locked {
    /// Its key is none of those that are configured.
    #[error(
        "it is sealed with the key {key}, which this process does not have; add that key to secrets.previous_keys, or \
         set the value anew"
    )]
    UnknownKey {
        /// The key's id, as it is stored with the value.
        key: String,
    },
    /// It was changed, cut or copied here from elsewhere.
    #[error(
        "it is sealed with the key {key} and does not open here: it was changed, or copied from elsewhere; set the \
         value anew"
    )]
    Damaged {
        /// The key's id, as it is stored with the value.
        key: String,
    },
}

impl Secret {
    /// Wraps a secret value.
    #[must_use]
    pub fn new(value: impl Into<String>) -> Self {
        Self(Form::Open(value.into()))
    }

    /// Wraps the text of a sealed value.
    #[must_use]
    pub fn sealed(text: impl Into<String>) -> Self {
        Self(Form::Closed(Closed {
            sealed: text.into(),
            because: None,
        }))
    }

    /// The value itself, for the one place that sends or signs with it.
    ///
    /// # Errors
    /// When it is sealed and could not be opened.
    pub fn reveal(&self) -> Result<&str, Locked> {
        match &self.0 {
            Form::Open(value) => Ok(value),
            Form::Closed(closed) => Err(closed.because.clone().unwrap_or_else(|| Locked::UnknownKey {
                key: "(not looked for)".to_owned(),
            })),
        }
    }

    /// The sealed text, where it is sealed.
    #[must_use]
    pub fn closed(&self) -> Option<&str> {
        match &self.0 {
            Form::Open(_) => None,
            Form::Closed(closed) => Some(&closed.sealed),
        }
    }

    /// Notes why it could not be opened.
    pub fn lock(&mut self, why: Locked) {
        if let Form::Closed(closed) = &mut self.0 {
            closed.because = Some(why);
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("••••••")
    }
}

/// Reads a sealing key: 32 bytes in base64 or as hexadecimal digits.
#[must_use]
pub fn key_bytes(text: &str) -> Option<[u8; KEY_BYTES]> {
    let text = text.trim();
    if text.len() == 2 * KEY_BYTES && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        let mut key = [0; KEY_BYTES];
        for (at, byte) in key.iter_mut().enumerate() {
            *byte = u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()?;
        }
        return Some(key);
    }
    STANDARD.decode(text).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_is_taken_for_a_sealed_value() {
        let sealed = Secret::sealed("sealed:v1:00000000:AAAA");
        let plain = Secret::new("sealed:v1:00000000:AAAA");
        let json = |secret: &Secret| serde_json::to_string(secret).expect("it can be written");
        assert_eq!(json(&sealed), r#"{"sealed":"sealed:v1:00000000:AAAA"}"#);
        assert_eq!(json(&plain), r#""sealed:v1:00000000:AAAA""#);
        for secret in [sealed, plain] {
            let read: Secret = serde_json::from_str(&json(&secret)).expect("it can be read");
            assert_eq!(read, secret);
        }
    }

    #[test]
    fn neither_form_is_shown() {
        for secret in [Secret::new("hunter2"), Secret::sealed("hunter2")] {
            assert_eq!(format!("{secret:?}"), "••••••");
        }
        let locked = Secret::sealed("hunter2").reveal().expect_err("sealed").to_string();
        assert!(!locked.contains("hunter2"), "{locked}");
    }

    #[test]
    fn keys_are_read_in_both_spellings() {
        let hex = "00".repeat(31) + "fF";
        let base64 = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAP8=";
        assert_eq!(key_bytes(&hex), key_bytes(base64));
        assert!(key_bytes(&hex).is_some());
        for wrong in ["", "hunter2", &hex[1..], &base64[4..], "ää", &"é".repeat(32)] {
            assert_eq!(key_bytes(wrong), None, "{wrong}");
        }
    }
}
