//! `holdfast config`: every effective setting with its origin, as a table or as JSON.
//!
//! Reads what a start would read and fails as a start would; shows no secret.

use std::io::Write;
use std::path::Path;

use serde_json::Value;

use super::table::Table;
use crate::config::{self, Setting};

/// Prints the settings that a start with the same file and environment would use.
///
/// # Errors
/// When the configuration can't be used (every problem is listed), or `out` can't be written.
pub fn run(file: Option<&Path>, json: bool, out: &mut impl Write) -> anyhow::Result<()> {
    let settings = config::describe(&config::load(file, config::environment())?);
    if json {
        serde_json::to_writer_pretty(&mut *out, &settings)?;
        writeln!(out)?;
    } else {
        write!(out, "{}", table(&settings))?;
    }
    Ok(())
}

/// One line for each setting: its variable, value and origin, in columns.
fn table(settings: &[Setting]) -> Table {
    let mut table = Table::new(&["VARIABLE", "VALUE", "ORIGIN"]);
    for setting in settings {
        table.row([setting.env.clone(), text(&setting.value), setting.origin.to_string()]);
    }
    table
}

/// A value without JSON's quotes; `-` where it is not set.
fn text(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.escape_debug().to_string(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Origin;

    #[test]
    fn columns_line_up() {
        let setting = |env: &str, value: Value| Setting {
            key: String::new(),
            env: env.to_owned(),
            value,
            origin: Origin::Default,
        };
        let shown = table(&[
            setting("HOLDFAST_REDIS__PASSWORD", "••••••".into()),
            setting("HOLDFAST_LOG__LEVEL", "info".into()),
            setting("HOLDFAST_WORKER__NAME", Value::Null),
        ])
        .to_string();
        let columns: Vec<usize> = shown
            .lines()
            .skip(1)
            .map(|line| line.chars().collect::<Vec<_>>().len() - "default".len())
            .collect();
        assert_eq!(columns.len(), 3);
        assert!(columns.iter().all(|column| *column == columns[0]), "{shown}");
    }
}
