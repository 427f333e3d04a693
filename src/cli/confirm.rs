//! Asks before something is lost for good.

use std::io::{BufRead, IsTerminal, Write};

/// Asks on the terminal; without one, `--yes` has to be given beforehand.
///
/// # Errors
/// When the answer is not yes, or there is nobody to ask.
pub(super) fn confirm(what: &str, yes: bool) -> anyhow::Result<()> {
    if yes {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() {
        anyhow::bail!("{what}; add --yes if that is what you want");
    }
    let mut terminal = std::io::stderr();
    write!(terminal, "{what}. Go on? [y/N] ")?;
    terminal.flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    if matches!(answer.trim().to_lowercase().as_str(), "y" | "yes") {
        return Ok(());
    }
    anyhow::bail!("nothing was changed")
}
