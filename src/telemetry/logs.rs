//! Log lines on standard error: for people on a terminal, JSON for machines otherwise.
//!
//! Called once at the start of a command that runs for long. Standard output stays free for results.

use std::io::IsTerminal;

use tracing_subscriber::filter::{LevelFilter, ParseError, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{Layer, fmt, registry};

use crate::config::{Log, LogFormat};

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// `log.level` has a part that is neither a level nor `module=level`.
    #[error(
        "log.level (HOLDFAST_LOG__LEVEL) has the part {part:?}: write error, warn, info, debug, trace or off, \
         or such a list as info,holdfast=debug"
    )]
    Level {
        /// The part that is wrong.
        part: String,
    },
    /// `log.level` is well formed and was refused all the same.
    #[error("log.level (HOLDFAST_LOG__LEVEL) can't be used: {0}")]
    Directives(#[from] ParseError),
    /// Logging was set up before.
    #[error("logging is already set up in this process: {0}")]
    Twice(#[from] TryInitError),
}

/// Sets up logging for the process.
///
/// # Errors
/// When `log.level` is malformed, or logging was set up before.
pub fn init(log: &Log) -> Result<(), LogError> {
    let filter = directives(&log.level)?;
    let terminal = std::io::stderr().is_terminal();
    let json = match log.format {
        LogFormat::Auto => !terminal,
        LogFormat::Pretty => false,
        LogFormat::Json => true,
    };
    // A closed standard error must not end the process: failures to write a line are not reported.
    let lines = fmt::layer().with_writer(std::io::stderr).log_internal_errors(false);
    let lines = if json {
        lines.json().flatten_event(true).boxed()
    } else {
        let colour = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        lines.with_ansi(colour).boxed()
    };
    registry().with(lines.with_filter(filter)).try_init()?;
    Ok(())
}

/// Reads `info,holdfast=debug`. The parser behind it takes a misspelt level for a module's name and then
/// logs nothing, so each part is checked first.
fn directives(text: &str) -> Result<Targets, LogError> {
    for part in text.split(',').map(str::trim) {
        let level = part.rsplit_once('=').map_or(part, |(_, level)| level);
        if level.is_empty() || level.parse::<LevelFilter>().is_err() {
            return Err(LogError::Level { part: part.to_owned() });
        }
    }
    let spaceless: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    let targets: Targets = spaceless.parse()?;
    // The Redis client repeats for each connection what is said once here.
    let quiet = targets.default_level().is_some_and(|level| level <= LevelFilter::INFO) && !spaceless.contains("fred");
    Ok(if quiet {
        targets.with_target("fred", LevelFilter::OFF)
    } else {
        targets
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing::Level;

    #[test]
    fn levels_and_directives_are_read() {
        let targets = directives("warn, holdfast=debug").expect("valid");
        assert!(targets.would_enable("holdfast::store", &Level::DEBUG));
        assert!(!targets.would_enable("hyper", &Level::INFO));
        assert!(
            directives("INFO")
                .expect("any case")
                .would_enable("hyper", &Level::INFO)
        );
    }

    #[test]
    fn a_misspelt_level_is_named() {
        for (text, part) in [
            ("inof", "inof"),
            ("info,holdfast=loud", "holdfast=loud"),
            ("info,", ""),
            ("holdfast=", "holdfast="),
        ] {
            let error = directives(text).expect_err(text).to_string();
            assert!(error.contains(&format!("{part:?}")), "{error}");
            assert!(error.contains("HOLDFAST_LOG__LEVEL"), "{error}");
        }
    }
}
