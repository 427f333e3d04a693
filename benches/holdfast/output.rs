//! What was measured, as a table for people, JSON for programs and Markdown for the README.

use std::path::Path;

use serde_json::{Value, json};

use crate::Plan;
use crate::deployment::settings_for_all;
use crate::stats::Samples;

/// What a figure is held to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Mark {
    AtLeast(f64),
    AtMost(f64),
}

/// One measured figure.
#[derive(Debug)]
pub(crate) struct Row {
    /// What it is.
    what: String,
    samples: Samples,
    /// Written behind every figure, with the space it needs.
    unit: &'static str,
    mark: Option<Mark>,
    /// How it came about, for those who want to know.
    notes: Vec<String>,
}

impl Row {
    /// A figure without a mark.
    pub(crate) fn new(what: impl Into<String>, unit: &'static str, samples: Samples) -> Self {
        Self {
            what: what.into(),
            samples,
            unit,
            mark: None,
            notes: Vec::new(),
        }
    }

    /// Held to a mark.
    pub(crate) fn mark(mut self, mark: Mark) -> Self {
        self.mark = Some(mark);
        self
    }

    /// With a remark.
    pub(crate) fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    fn marked(&self) -> String {
        match self.mark {
            None => "–".to_owned(),
            Some(Mark::AtLeast(mark)) => format!("≥ {}{}", number(mark), self.unit),
            Some(Mark::AtMost(mark)) => format!("≤ {}{}", number(mark), self.unit),
        }
    }

    fn measured(&self) -> String {
        let (least, median, most) = (self.samples.least(), self.samples.median(), self.samples.most());
        if self.samples.values().len() == 1 {
            return format!("{}{}", number(median), self.unit);
        }
        format!("{}{} ({}–{})", number(median), self.unit, number(least), number(most))
    }

    fn verdict(&self, plan: Plan) -> &'static str {
        let median = self.samples.median();
        match self.mark {
            None => "–",
            Some(_) if plan.quick => "not judged",
            Some(Mark::AtLeast(mark)) if median >= mark => "met",
            Some(Mark::AtMost(mark)) if median <= mark => "met",
            Some(_) => "missed",
        }
    }

    fn json(&self, plan: Plan) -> Value {
        json!({
            "what": self.what,
            "unit": self.unit.trim(),
            "mark": self.marked(),
            "median": self.samples.median(),
            "least": self.samples.least(),
            "most": self.samples.most(),
            "samples": self.samples.values(),
            "verdict": self.verdict(plan),
            "notes": self.notes,
        })
    }
}

/// Everything measured so far.
#[derive(Debug)]
pub(crate) struct Report {
    plan: Plan,
    machine: String,
    rows: Vec<Row>,
}

impl Report {
    pub(crate) fn new(plan: Plan) -> Self {
        Self {
            plan,
            machine: machine(),
            rows: Vec::new(),
        }
    }

    /// Where this was measured.
    pub(crate) fn machine(&self) -> &str {
        &self.machine
    }

    /// Adds figures and shows them.
    pub(crate) fn add(&mut self, rows: Vec<Row>) {
        for row in &rows {
            let verdict = row.verdict(self.plan);
            println!("   {}: {}, mark {}: {verdict}", row.what, row.measured(), row.marked());
            for note in &row.notes {
                println!("      {note}");
            }
        }
        self.rows.extend(rows);
    }

    /// All figures, in columns.
    pub(crate) fn table(&self) -> String {
        let cells = self.rows.iter().map(|row| self.cells(row));
        let cells: Vec<[String; 4]> = std::iter::once(HEADINGS.map(str::to_owned)).chain(cells).collect();
        let width = |column: usize| cells.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: [usize; 4] = std::array::from_fn(width);
        let line = |row: &[String; 4]| {
            let padded = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
            padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        };
        cells.iter().map(line).collect::<Vec<_>>().join("\n")
    }

    fn markdown(&self) -> String {
        let line = |cells: [String; 4]| format!("| {} |\n", cells.join(" | "));
        let mut text = line(HEADINGS.map(str::to_owned)) + &line(["---"; 4].map(str::to_owned));
        text.extend(self.rows.iter().map(|row| line(self.cells(row))));
        text + "\n" + &self.machine + "\n"
    }

    fn cells(&self, row: &Row) -> [String; 4] {
        let verdict = row.verdict(self.plan).to_owned();
        [row.what.clone(), row.marked(), row.measured(), verdict]
    }

    /// Writes `bench.json` and `bench.md`.
    pub(crate) fn write(&self, directory: &Path) {
        let rows: Vec<Value> = self.rows.iter().map(|row| row.json(self.plan)).collect();
        let all = json!({ "machine": self.machine, "quick": self.plan.quick, "rows": rows });
        std::fs::create_dir_all(directory).unwrap();
        std::fs::write(directory.join("bench.json"), format!("{all:#}\n")).unwrap();
        std::fs::write(directory.join("bench.md"), self.markdown()).unwrap();
    }
}

const HEADINGS: [&str; 4] = ["what", "mark", "measured: median (least–most)", "verdict"];

/// Three digits that matter.
fn number(value: f64) -> String {
    let magnitude = value.abs();
    match magnitude {
        _ if magnitude >= 1_000.0 => thousands(value),
        _ if magnitude >= 100.0 || value == value.trunc() => format!("{value:.0}"),
        _ if magnitude >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// `1,234,567`
fn thousands(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cpu = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(':'))
        .map_or("unknown processor", |(_, name)| name.trim());
    let redis = std::process::Command::new("redis-server").arg("--version").output();
    let redis = redis.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let redis = redis.unwrap_or_default();
    let redis = redis
        .split_whitespace()
        .find_map(|word| word.strip_prefix("v="))
        .unwrap_or("unknown");
    let profile = if cfg!(debug_assertions) {
        "debug build"
    } else {
        "release build"
    };
    let settings = match settings_for_all() {
        none if none.is_empty() => none,
        some => format!(", {}", some.trim_end()),
    };
    let day = jiff::Timestamp::now().strftime("%Y-%m-%d").to_string();
    format!(
        "{day}, {cpu}, {cores} cores shared by worker, Redis {redis} (append-only file, everysec), subscribers and producer; Holdfast {}, {profile}{settings}",
        env!("CARGO_PKG_VERSION")
    )
}
