//! One check of `doctor`: what was looked at, how it is, and what to do about it.

use serde::Serialize;

use crate::cli::text::plain;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum Level {
    Ok,
    Warn,
    Fail,
}

/// What one check found.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Check {
    /// What was looked at, one word or two.
    pub(super) check: &'static str,
    pub(super) level: Level,
    /// What was found.
    pub(super) found: String,
    /// What to do about it; never empty unless all is well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) advice: Option<String>,
}

impl Check {
    pub(super) fn ok(check: &'static str, found: impl Into<String>) -> Self {
        Self {
            check,
            level: Level::Ok,
            found: found.into(),
            advice: None,
        }
    }

    pub(super) fn warn(check: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self {
            check,
            level: Level::Warn,
            found: found.into(),
            advice: Some(advice.into()),
        }
    }

    pub(super) fn fail(check: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self {
            check,
            level: Level::Fail,
            found: found.into(),
            advice: Some(advice.into()),
        }
    }

    /// A check that could not be made.
    pub(super) fn unknown(check: &'static str, error: &impl std::fmt::Display) -> Self {
        Self::fail(
            check,
            format!("not checked: {error}"),
            "mend that, then run holdfast doctor again",
        )
    }

    /// The check as lines for people, each ended by a line break.
    pub(super) fn lines(&self) -> String {
        let level = match self.level {
            Level::Ok => "ok",
            Level::Warn => "WARN",
            Level::Fail => "FAIL",
        };
        let mut parts = self.found.lines();
        let first = plain(parts.next().unwrap_or_default());
        let mut text = format!("{level:4}  {:13}  {first}\n", self.check);
        let advice = self.advice.iter().map(|advice| format!("-> {advice}"));
        for line in parts.map(str::to_owned).chain(advice) {
            text.push_str(&format!("{:21}{}\n", "", plain(&line)));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advice_stands_below_and_nothing_steers_the_terminal() {
        let check = Check::warn("clock", "it is \u{1b}[31moff\nby 3s", "set it");
        let lines = check.lines();
        assert_eq!(lines.lines().count(), 3);
        assert!(lines.starts_with("WARN  clock") && lines.ends_with("-> set it\n") && !lines.contains('\u{1b}'));
    }
}
