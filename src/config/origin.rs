//! The settings by name: which there are, what each is now, and where its value came from.
//!
//! `holdfast config` prints [`describe`]; the loaders ask [`names`] what exists. Both come from serialising
//! the structs, so a new field needs no entry anywhere else.

use std::fmt;

use serde::Serialize;
use serde_json::Value;

use super::{Config, Loaded};

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Origin {
    /// The built-in default.
    #[default]
    Default,
    /// A line of a file.
    File {
        /// The file as it was named.
        path: String,
        /// The line, counted from 1.
        line: usize,
    },
    /// The environment variable of this name.
    Environment(String),
}

/// One setting as `holdfast config` shows it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Setting {
    /// Section and key in the TOML files, `retry.delay`.
    pub key: String,
    /// The environment variable that sets it, `HOLDFAST_RETRY__DELAY`.
    pub env: String,
    /// The effective value, secrets masked; null where it is absent.
    pub value: Value,
    /// Where the value came from.
    pub origin: Origin,
}

/// Every effective value with its origin, in the order of the structs; secrets are masked.
#[must_use]
pub fn describe(loaded: &Loaded) -> Vec<Setting> {
    flatten(&loaded.config)
        .into_iter()
        .map(|(key, value)| Setting {
            env: variable(&key),
            origin: loaded.origin(&key),
            key,
            value,
        })
        .collect()
}

/// Every setting that exists, with its default.
pub(super) fn names() -> Vec<(String, Value)> {
    flatten(&Config::default())
}

/// The environment variable that sets `retry.delay`.
pub(super) fn variable(key: &str) -> String {
    format!("HOLDFAST_{}", key.to_uppercase().replace('.', "__"))
}

/// `section.key` and value of every setting, as they may be shown.
pub(super) fn flatten(config: &Config) -> Vec<(String, Value)> {
    let Ok(Value::Object(sections)) = serde_json::to_value(config) else {
        return Vec::new();
    };
    let mut all = Vec::new();
    for (section, keys) in sections {
        let Value::Object(keys) = keys else { continue };
        all.extend(keys.into_iter().map(|(key, value)| (format!("{section}.{key}"), value)));
    }
    all
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "{path}:{line}"),
            Self::Environment(name) => f.write_str(name),
        }
    }
}

impl Serialize for Origin {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_has_a_name_and_a_variable() {
        let names = names();
        assert!(names.len() > 50, "{}", names.len());
        assert!(
            names
                .iter()
                .any(|(key, default)| key == "retry.delay" && default == "5s")
        );
        assert_eq!(variable("retry.max_delay"), "HOLDFAST_RETRY__MAX_DELAY");
    }
}
