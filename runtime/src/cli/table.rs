//! Tables without borders: aligned columns, two spaces apart, one row a line.

use std::fmt;

use super::output::plain;

/// A heading and rows of as many cells. An empty cell shows as `-`, so that every row has as many words for `awk`.
pub(super) struct Table<const N: usize> {
    heading: [&'static str; N],
    rows: Vec<[String; N]>,
}

impl<const N: usize> Table<N> {
    /// Puts rows under a heading. Control characters in cells become spaces.
    pub(super) fn new(heading: [&'static str; N], rows: impl IntoIterator<Item = [String; N]>) -> Self {
        let cell = |text: String| if text.is_empty() { "-".into() } else { plain(&text) };
        Self { heading, rows: rows.into_iter().map(|row| row.map(cell)).collect() }
    }

    fn widths(&self) -> [usize; N] {
        std::array::from_fn(|column| {
            let cells = self.rows.iter().map(|row| row[column].chars().count());
            cells.max().unwrap_or(0).max(self.heading[column].len())
        })
    }
}

impl<const N: usize> fmt::Display for Table<N> {
    /// Nothing where there are no rows.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.rows.is_empty() {
            return Ok(());
        }
        let widths = self.widths();
        write_row(f, &self.heading, &widths)?;
        self.rows.iter().try_for_each(|row| write_row(f, row, &widths))
    }
}

fn write_row(f: &mut fmt::Formatter<'_>, cells: &[impl AsRef<str>], widths: &[usize]) -> fmt::Result {
    let padded = cells.iter().zip(widths).map(|(cell, width)| format!("{:width$}", cell.as_ref())).collect::<Vec<_>>();
    writeln!(f, "{}", padded.join("  ").trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [["a", "größer", "x"], ["long", "", "y"]].map(|row| row.map(String::from));
        let table = Table::new(["ONE", "TWO", "THREE"], rows).to_string();
        assert_eq!(table, "ONE   TWO     THREE\na     größer  x\nlong  -       y\n");
    }

    #[test]
    fn a_cell_cannot_command_the_terminal() {
        let table = Table::new(["A"], [["\u{1b}[2J\nb".to_owned()]]).to_string();
        assert_eq!(table, "A\n [2J b\n");
    }

    #[test]
    fn no_rows_are_no_table() {
        assert_eq!(Table::new(["A"], []).to_string(), "");
    }
}
