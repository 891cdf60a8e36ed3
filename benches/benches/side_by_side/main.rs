//! `side_by_side`: the same work done by highwater and by its peers, as a table of medians.
//!
//! All systems are alive at once and hold the same records. The work is done in short slices, one
//! system after the other, round after round, so that whatever else the machine does falls on all of
//! them; each figure is the median over the rounds. A slice is a stretch of time, not a number of
//! operations: slow systems do fewer.

mod contender;
mod options;
mod report;
mod rounds;
mod work;

use std::process::ExitCode;

use highwater_benches::figures::{Figure, SUM};
use highwater_benches::record::{Record, Service};
use highwater_benches::{memory, peer};
use options::{Options, Parsed};

fn main() -> ExitCode {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(Parsed::Run(options)) => options,
        Ok(Parsed::Help) => {
            print!("{}", options::HELP);
            return ExitCode::SUCCESS;
        }
        Err(problem) => {
            eprintln!("side_by_side: {problem}; --help tells the options");
            return ExitCode::FAILURE;
        }
    };
    match run(&options) {
        // Leaving this way frees no store: that would take longer than some rows.
        Ok(()) => std::process::exit(0),
        Err(problem) => {
            eprintln!("side_by_side: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<(), String> {
    let go = if options.go { go(options)? } else { Vec::new() };
    let subjects: Vec<_> = options
        .systems
        .iter()
        .map(|&system| (system, Service::KEYS, options.records))
        .collect();
    let memory = memory::measure(env!("CARGO_BIN_EXE_bench-bytes"), &subjects)?;
    let sum = go.iter().find(|it| it.row == SUM);
    let mut report = rounds::measure(options, &memory, sum.and_then(|it| it.sum.as_deref()));
    if options.go {
        report.add_peer(&go)?;
    }
    print!("{}", report.markdown());
    if let Some(file) = &options.json {
        let text = format!("{:#}\n", report.json());
        std::fs::write(file, text).map_err(|error| format!("{}: {error}", file.display()))?;
        eprintln!("wrote {}", file.display());
    }
    Ok(())
}

/// The rows of go-memdb.
fn go(options: &Options) -> Result<Vec<Figure>, String> {
    eprintln!("{} does all rows", peer::NAME);
    peer::run(&[
        "table",
        "--records",
        &options.records.to_string(),
        "--slice-ms",
        &options.slice.as_millis().to_string(),
        "--rounds",
        &options.rounds.to_string(),
    ])
}
