//! The table at the end of a run.

use crate::check::Verdict;

/// One row.
pub(crate) struct Row {
    pub(crate) number: u8,
    pub(crate) name: &'static str,
    pub(crate) result: Result<Verdict, String>,
}

impl Row {
    /// Whether the fault was played and a promise was broken.
    pub(crate) fn is_failure(&self) -> bool {
        !self.problems().is_empty()
    }

    /// What is wrong, in words.
    pub(crate) fn problems(&self) -> &[String] {
        self.result.as_ref().map_or(&[], |verdict| &verdict.problems)
    }
}

/// Prints what happened to each fault.
pub(crate) fn print(rows: &[Row], seed: u64) {
    println!(
        "\n{:>2} {:<32} {:>7} {:>8} {:>8} {:>5} {:>11} {:>9}  verdict",
        "", "fault", "events", "unknown", "refused", "lost", "duplicates", "recovery"
    );
    for row in rows {
        println!("{}", line(row));
    }
    let failures = rows.iter().filter(|row| row.is_failure()).count();
    let skipped = rows.iter().filter(|row| row.result.is_err()).count();
    println!(
        "\n{} faults played, {failures} failed, {skipped} not tested; seed {seed}",
        rows.len() - skipped
    );
}

/// A row of the table.
pub(crate) fn line(row: &Row) -> String {
    let verdict = match &row.result {
        Ok(verdict) => verdict,
        Err(why) => return format!("{:>2} {:<32} not tested: {why}", row.number, row.name),
    };
    let recovery = verdict
        .recovery
        .map_or_else(|| "never".to_owned(), |time| format!("{:.1} s", time.as_secs_f64()));
    format!(
        "{:>2} {:<32} {:>7} {:>8} {:>8} {:>5} {:>11} {:>9}  {}",
        row.number,
        row.name,
        verdict.accepted,
        verdict.unknown,
        verdict.refused,
        verdict.lost,
        verdict.duplicates,
        recovery,
        if verdict.problems.is_empty() { "ok" } else { "FAILED" }
    )
}
