//! A TOML file as a layer of the configuration, each value with its line.
//!
//! Called by the loader. Reports every unknown name in the file, not only the first.

use std::path::Path;

use figment::value::{Empty, Value as FigmentValue};
use serde_json::Value;
use toml::de::{DeTable, DeValue};

use super::load::Given;
use super::origin::Origin;
use super::problems::unknown_key;
use super::secret::mask;

/// The settings in the TOML `text` of `path`.
pub(super) fn read(path: &Path, text: &str, names: &[(String, Value)], problems: &mut Vec<String>) -> Vec<Given> {
    let parsed = DeTable::parse(text).and_then(|spans| Ok((spans, text.parse::<toml::Table>()?)));
    let (spans, values) = match parsed {
        Ok(both) => both,
        Err(error) => {
            // Only the message: the error's own display quotes the line, which may hold a password.
            let origin = origin(path, text, error.span().map_or(0, |span| span.start));
            problems.push(format!("{origin}: not valid TOML: {}", error.message()));
            return Vec::new();
        }
    };
    let keys: Vec<String> = names.iter().map(|(key, _)| key.clone()).collect();
    let mut given = Vec::new();
    for (section, table) in spans.get_ref() {
        let section_origin = origin(path, text, section.span().start);
        let section: &str = section.get_ref();
        if !keys.iter().any(|key| key.split('.').next() == Some(section)) {
            problems.push(unknown_section(&section_origin, section, &keys));
            continue;
        }
        let DeValue::Table(entries) = table.get_ref() else {
            problems.push(format!(
                "{section_origin}: {section} must be a section, written [{section}]"
            ));
            continue;
        };
        for name in entries.keys() {
            let key = format!("{section}.{}", name.get_ref());
            let origin = origin(path, text, name.span().start);
            let Some((_, default)) = names.iter().find(|(known, _)| *known == key) else {
                problems.push(unknown_key(&origin, &key, &keys));
                continue;
            };
            if let Some(value) = values.get(section).and_then(|table| table.get(name.get_ref().as_ref())) {
                given.push(setting(key, value, default, origin));
            }
        }
    }
    given
}

/// One value of the file. An empty text unsets a setting that may be absent, as TOML has no null.
fn setting(key: String, value: &toml::Value, default: &Value, origin: Origin) -> Given {
    let unset = default.is_null() && value.as_str() == Some("");
    Given {
        value: if unset {
            FigmentValue::from(Empty::None)
        } else {
            FigmentValue::serialize(value).unwrap_or_else(|_| FigmentValue::from(Empty::Unit))
        },
        shown: mask(&key, &value.to_string()),
        key,
        origin,
    }
}

fn unknown_section(origin: &Origin, section: &str, keys: &[String]) -> String {
    let mut sections: Vec<&str> = keys.iter().filter_map(|key| key.split('.').next()).collect();
    sections.dedup();
    format!(
        "{origin}: no section is called {section}; there are {}",
        sections.join(", ")
    )
}

/// The line of the byte `offset`.
fn origin(path: &Path, text: &str, offset: usize) -> Origin {
    let before = text.as_bytes().get(..offset).unwrap_or(text.as_bytes());
    Origin::File {
        path: path.display().to_string(),
        line: before.iter().filter(|byte| **byte == b'\n').count() + 1,
    }
}
