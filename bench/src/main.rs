//! `cargo run --release -p hookfast-bench`: measures Hookfast on this machine, beside what the machine itself can do. The whole run
//! is on this page; a file for each measured thing.

mod cores;
mod usage;
mod patience;
mod load;
mod databases;
mod upstream;
mod server;
mod site;
mod machine;
mod report;
mod scale;
mod bench;
mod floor;
mod ingest;
mod end_to_end;
mod verification;
mod effects;
mod plugin_call;
mod sources;
mod slow_disk;
mod plugins;
mod backlog;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::ensure;
use clap::Parser;

use bench::Bench;
use machine::Machine;
use report::{Report, Section};
use scale::Scale;

/// Measures Hookfast on this machine. Databases are put where temporary files are ($TMPDIR), which should be a disk.
#[derive(Parser)]
struct Arguments {
    /// At most a minute; figures are rough
    #[arg(long)]
    quick: bool,
    /// Only this part; may be repeated
    #[arg(long, value_name = "PART", value_parser = PARTS.map(|part| part.name))]
    only: Vec<String>,
    /// Where RESULTS.md and results.json go [default: bench/results, for a part of a run bench/results/partial]
    #[arg(long, value_name = "FOLDER")]
    results: Option<PathBuf>,
}

impl Arguments {
    /// What is worth keeping is not overwritten by a quick look.
    fn results(&self) -> PathBuf {
        let whole = if self.quick || !self.only.is_empty() { "results/partial" } else { "results" };
        self.results.clone().unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join(whole))
    }
}

struct Part {
    name: &'static str,
    title: &'static str,
    measure: fn(&Bench, &mut Section) -> anyhow::Result<()>,
}

const fn part(name: &'static str, title: &'static str, measure: fn(&Bench, &mut Section) -> anyhow::Result<()>) -> Part {
    Part { name, title, measure }
}

const PARTS: [Part; 11] = [
    part("floor", "The floor: disk and databases without Hookfast", floor::measure),
    part("ingest", "Ingest: acknowledged webhooks of 2 KB", ingest::measure),
    part("sizes", "Ingest: larger bodies", ingest::measure_sizes),
    part("slow-disk", "A disk that syncs slowly", slow_disk::measure),
    part("end-to-end", "End to end: received, stored, run, settled", end_to_end::measure),
    part("effects", "What effects cost", effects::measure),
    part("verification", "Proving who sent it", verification::measure),
    part("plugin-call", "One call of a plugin", plugin_call::measure),
    part("sources", "Many sources", sources::measure),
    part("plugins", "Many plugins", plugins::measure),
    part("backlog", "A backlog", backlog::measure),
];

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    ensure!(!cfg!(debug_assertions), "figures of a debug build mean nothing: run it with --release");
    let bench = Bench::new(if arguments.quick { Scale::QUICK } else { Scale::FULL })?;
    let mut report = Report { machine: Machine::look(), sections: Vec::new() };
    let is_wanted = |part: &&Part| arguments.only.is_empty() || arguments.only.iter().any(|name| name == part.name);
    for part in PARTS.iter().filter(is_wanted) {
        report.sections.push(run(part, &bench));
        report.write(&arguments.results())?;
    }
    println!("{}", report.markdown());
    let failed = report.sections.iter().any(|section| section.failure.is_some());
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// A part that fails says so in the report, and the run goes on.
fn run(part: &Part, bench: &Bench) -> Section {
    eprintln!("{}", part.title);
    let started = Instant::now();
    let mut section = Section::new(part.name, part.title);
    let measured = catch_unwind(AssertUnwindSafe(|| (part.measure)(bench, &mut section)));
    section.failure = match measured {
        Ok(measured) => measured.err().map(|error| format!("{error:#}")),
        Err(panic) => Some(panic.downcast_ref::<String>().cloned().unwrap_or_else(|| "a panic: see above".to_owned())),
    };
    section.seconds = started.elapsed().as_secs_f64();
    if let Some(failure) = &section.failure {
        eprintln!("  failed: {failure}");
    }
    section
}
