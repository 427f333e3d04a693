//! Columns that line up, for people; programs get JSON.

use std::fmt;

use super::text::plain;

/// A table under construction.
pub(super) struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<String>>,
}

struct Column {
    title: &'static str,
    right: bool,
}

impl Table {
    /// A table with these titles; one that starts with `>` heads a column of numbers, set to the right.
    pub(super) fn new(titles: &[&'static str]) -> Self {
        let column = |title: &&'static str| Column {
            title: title.trim_start_matches('>'),
            right: title.starts_with('>'),
        };
        Self {
            columns: titles.iter().map(column).collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a row; control characters, which could play tricks on a terminal, are replaced.
    pub(super) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.iter().map(|cell| plain(cell)).collect());
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |at: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(at).map(String::as_str));
            let lengths = cells.chain([self.columns[at].title]).map(|cell| cell.chars().count());
            lengths.max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.columns.len()).map(width).collect();
        let titles: Vec<String> = self.columns.iter().map(|column| column.title.to_owned()).collect();
        for row in std::iter::once(&titles).chain(&self.rows) {
            let mut line = String::new();
            for ((cell, column), width) in row.iter().zip(&self.columns).zip(&widths) {
                if column.right {
                    line.push_str(&format!("{cell:>width$}  "));
                } else {
                    line.push_str(&format!("{cell:width$}  "));
                }
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_lines_end_without_blanks() {
        let mut table = Table::new(&["ID", ">PARKED", "ERROR"]);
        table.row(["a".to_owned(), "7".to_owned(), "••••".to_owned()]);
        table.row(["longer".to_owned(), "1,000,000".to_owned(), String::new()]);
        assert_eq!(
            table.to_string(),
            "ID         PARKED  ERROR\na               7  ••••\nlonger  1,000,000\n"
        );
    }

    #[test]
    fn a_subscriber_cannot_play_tricks_on_the_terminal() {
        let mut table = Table::new(&["ERROR"]);
        table.row(["\u{1b}[2Jgone\n".to_owned()]);
        assert_eq!(table.to_string(), "ERROR\n\u{fffd}[2Jgone\u{fffd}\n");
    }
}
