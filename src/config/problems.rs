//! What was wrong with the configuration, all of it at once, in words an operator can act on.
//!
//! Made by the loaders and the rules. A message names the variable or the file and line, the value (never a
//! secret's, and never that of an unknown name, which may be a misspelt password) and what is allowed.

use std::fmt;

use super::origin::{Origin, variable};

/// Why the configuration can't be used; lists every problem found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError {
    /// One sentence for each problem.
    pub problems: Vec<String>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [only] = self.problems.as_slice() {
            return write!(f, "the configuration can't be used: {only}");
        }
        write!(
            f,
            "the configuration can't be used, it has {} problems:",
            self.problems.len()
        )?;
        self.problems.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

/// A value that is not what its setting allows. `shown` must be masked already.
pub(super) fn bad_value(key: &str, origin: &Origin, shown: &str, allowed: &str) -> String {
    let shown = if shown.chars().count() > 100 {
        format!("{}…", shown.chars().take(100).collect::<String>())
    } else {
        shown.to_owned()
    };
    format!("{}={shown}: must be {allowed}", place(key, origin))
}

/// The variable, or the file, line and key.
pub(super) fn place(key: &str, origin: &Origin) -> String {
    match origin {
        Origin::Environment(name) => name.clone(),
        Origin::File { .. } => format!("{origin}: {key}"),
        Origin::Default => format!("{key} (default)"),
    }
}

/// A variable that is no setting.
pub(super) fn unknown_variable(name: &str, keys: &[String]) -> String {
    let variables: Vec<String> = keys.iter().map(|key| variable(key)).collect();
    match nearest(&name.to_uppercase(), &variables, "__") {
        Some(similar) => format!("{name}: no such setting; did you mean {similar}?"),
        None => format!(
            "{name}: no such setting; variables are named HOLDFAST_<SECTION>__<KEY>, `holdfast config` lists them all"
        ),
    }
}

/// A key in a file that is no setting.
pub(super) fn unknown_key(origin: &Origin, key: &str, keys: &[String]) -> String {
    match nearest(key, keys, ".") {
        Some(similar) => format!("{origin}: no setting is called {key}; did you mean {similar}?"),
        None => format!("{origin}: no setting is called {key}; `holdfast config` lists them all"),
    }
}

/// The name that was most likely meant: a few letters away, or the same key without its section.
fn nearest<'a>(given: &str, known: &'a [String], separator: &str) -> Option<&'a str> {
    let (name, distance) = known
        .iter()
        .map(|name| (name, distance(given, name)))
        .min_by_key(|(_, distance)| *distance)?;
    if distance <= 3 && distance * 3 <= name.len() {
        return Some(name);
    }
    let bare = given.trim_start_matches("HOLDFAST_");
    let mut same_key = known
        .iter()
        .filter(|name| name.rsplit(separator).next().is_some_and(|key| key == bare));
    match (same_key.next(), same_key.next()) {
        (Some(name), None) => Some(name),
        _ => None,
    }
}

/// Levenshtein distance: insertions, deletions and changes of one character.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let change = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = change.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> Vec<String> {
        ["redis.url", "retry.delay", "retry.max_delay", "log.level"]
            .map(str::to_owned)
            .to_vec()
    }

    #[test]
    fn misspelt_names_are_guessed() {
        for (given, meant) in [
            ("HOLDFAST_RETRY_DELAY", "HOLDFAST_RETRY__DELAY"),
            ("HOLDFAST_RETRY__DELY", "HOLDFAST_RETRY__DELAY"),
            ("HOLDFAST_retry__delay", "HOLDFAST_RETRY__DELAY"),
            ("HOLDFAST_DELAY", "HOLDFAST_RETRY__DELAY"),
            ("HOLDFAST_LOGLEVEL", "HOLDFAST_LOG__LEVEL"),
        ] {
            let message = unknown_variable(given, &keys());
            assert!(message.ends_with(&format!("did you mean {meant}?")), "{message}");
        }
    }

    #[test]
    fn a_name_like_no_setting_is_not_guessed() {
        let message = unknown_variable("HOLDFAST_COLOUR", &keys());
        assert!(!message.contains("did you mean"), "{message}");
        assert!(message.contains("HOLDFAST_<SECTION>__<KEY>"), "{message}");
    }

    #[test]
    fn distances_are_those_of_levenshtein() {
        for (a, b, expected) in [
            ("", "", 0),
            ("", "abc", 3),
            ("kitten", "sitting", 3),
            ("delay", "dely", 1),
        ] {
            assert_eq!(distance(a, b), expected, "{a} {b}");
        }
    }
}
