//! What a run has found: sections of rows of figures, as JSON with every sample and as Markdown with medians. Written after each
//! part, so that a run that is broken off leaves what it had.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use crate::machine::Machine;

/// The whole run.
#[derive(Serialize)]
pub(crate) struct Report {
    pub(crate) machine: Machine,
    pub(crate) sections: Vec<Section>,
}

/// One measured thing.
#[derive(Serialize)]
pub(crate) struct Section {
    pub(crate) name: &'static str,
    title: &'static str,
    remarks: Vec<String>,
    rows: Vec<Row>,
    /// Why it ended before its end.
    pub(crate) failure: Option<String>,
    pub(crate) seconds: f64,
}

/// One line of a table.
#[derive(Serialize)]
pub(crate) struct Row {
    what: String,
    figures: Vec<Figure>,
}

#[derive(Serialize)]
struct Figure {
    column: &'static str,
    median: f64,
    samples: Vec<f64>,
}

impl Report {
    /// Both forms, into this folder.
    pub(crate) fn write(&self, folder: &Path) -> anyhow::Result<()> {
        fs::create_dir_all(folder)?;
        fs::write(folder.join("results.json"), serde_json::to_string_pretty(self)? + "\n")?;
        fs::write(folder.join("RESULTS.md"), self.markdown())?;
        Ok(())
    }

    pub(crate) fn markdown(&self) -> String {
        let sections: Vec<_> = self.sections.iter().map(Section::markdown).collect();
        format!("# What Hookfast costs\n\n{}\n{}", self.machine.markdown(), sections.join("\n"))
    }
}

impl Section {
    pub(crate) fn new(name: &'static str, title: &'static str) -> Self {
        Self { name, title, remarks: Vec::new(), rows: Vec::new(), failure: None, seconds: 0.0 }
    }

    /// How it was measured, or what is to be known of it.
    pub(crate) fn remark(&mut self, remark: impl Into<String>) {
        self.remarks.push(remark.into());
    }

    pub(crate) fn push(&mut self, row: Row) {
        eprintln!("{}", row.line());
        self.rows.push(row);
    }

    pub(crate) fn markdown(&self) -> String {
        let mut columns: Vec<&str> = Vec::new();
        for figure in self.rows.iter().flat_map(|row| &row.figures) {
            if !columns.contains(&figure.column) {
                columns.push(figure.column);
            }
        }
        let mut text = format!("## {}\n\n", self.title);
        self.remarks.iter().for_each(|remark| text.push_str(&format!("{remark}\n")));
        if !self.rows.is_empty() {
            text.push_str(&format!("\n| | {} |\n| --- |{}\n", columns.join(" | "), " ---: |".repeat(columns.len())));
        }
        for row in &self.rows {
            let cells: Vec<_> = columns.iter().map(|column| row.cell(column)).collect();
            text.push_str(&format!("| {} | {} |\n", row.what, cells.join(" | ")));
        }
        if let Some(failure) = &self.failure {
            text.push_str(&format!("\n**Failed**: {failure}\n"));
        }
        text
    }
}

impl Row {
    pub(crate) fn of(what: impl Into<String>) -> Self {
        Self { what: what.into(), figures: Vec::new() }
    }

    /// One more sample of a column.
    pub(crate) fn figure(&mut self, column: &'static str, sample: f64) {
        match self.figures.iter_mut().find(|figure| figure.column == column) {
            Some(figure) => {
                figure.samples.push(sample);
                figure.median = median(&figure.samples);
            }
            None => self.figures.push(Figure { column, median: sample, samples: vec![sample] }),
        }
    }

    /// As many samples of a column as there are rounds.
    pub(crate) fn samples(&mut self, column: &'static str, rounds: usize, sample: impl Fn() -> anyhow::Result<f64>) -> anyhow::Result<()> {
        (0..rounds).try_for_each(|_| sample().map(|sample| self.figure(column, sample)))
    }

    /// The last sample of a column; not a number where there is none.
    pub(crate) fn last(&self, column: &str) -> f64 {
        let samples = self.figures.iter().find(|figure| figure.column == column).map(|figure| &figure.samples);
        samples.and_then(|samples| samples.last().copied()).unwrap_or(f64::NAN)
    }

    /// The median, and behind that of the first column what the samples range over.
    fn cell(&self, column: &str) -> String {
        let Some(position) = self.figures.iter().position(|figure| figure.column == column) else { return String::new() };
        let Figure { median, samples, .. } = &self.figures[position];
        let (least, most) = (samples.iter().copied().fold(f64::INFINITY, f64::min), samples.iter().copied().fold(0.0, f64::max));
        let range = if position == 0 && samples.len() > 1 { format!(" ({}–{})", plain(least), plain(most)) } else { String::new() };
        format!("{}{range}", plain(*median))
    }

    fn line(&self) -> String {
        let figures: Vec<_> = self.figures.iter().map(|figure| format!("{} {}", self.cell(figure.column), figure.column)).collect();
        format!("  {}: {}", self.what, figures.join(", "))
    }
}

fn median(samples: &[f64]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[middle] } else { f64::midpoint(sorted[middle - 1], sorted[middle]) }
}

/// Three digits that count.
fn plain(value: f64) -> String {
    match value.abs() {
        size if size >= 99.95 || size == 0.0 => format!("{value:.0}"),
        size if size >= 9.995 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// Milliseconds, for a figure.
pub(crate) fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_shows_medians_and_the_range_of_its_first_column() {
        let mut section = Section::new("ingest", "Ingest");
        let mut row = Row::of("SQLite");
        [20_000.0, 30_000.0, 22_000.0].into_iter().for_each(|rate| row.figure("events/s", rate));
        [3.0, 5.0].into_iter().for_each(|millis| row.figure("p99 ms", millis));
        section.push(row);
        section.failure = Some("no PostgreSQL".into());
        let table = "## Ingest\n\n\n| | events/s | p99 ms |\n| --- | ---: | ---: |\n| SQLite | 22000 (20000–30000) | 4.00 |\n\n**Failed**: no PostgreSQL\n";
        assert_eq!(section.markdown(), table);
    }
}
