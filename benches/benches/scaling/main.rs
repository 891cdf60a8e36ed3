//! `scaling`: how the costs grow with the number of records, for three kinds of primary keys, and
//! with the size of a commit; and trees alone.
//!
//! Each system does its work in a process of its own, one after the other on the same records, so
//! that tens of millions of records fit. Figures are appended to a file line by line, as they come:
//! a run can be made in pieces, and the last figure of a thing counts.

mod options;
mod subject;

use std::process::{Command, ExitCode, Stdio};

use highwater_benches::data::ENTRIES;
use highwater_benches::figures::{self, Figure, Run, SUM, Subject};
use highwater_benches::memory::{self, Memory};
use highwater_benches::pace::float;
use highwater_benches::{machine, peer, tables};
use options::{Level, Options, Parsed};

fn main() -> ExitCode {
    let done = match Options::parse(std::env::args().skip(1)) {
        Ok(Parsed::Run(options)) => run(&options),
        Ok(Parsed::Subject(asked)) => subject::measure(&asked),
        Ok(Parsed::Help) => {
            print!("{}", options::HELP);
            return ExitCode::SUCCESS;
        }
        Err(problem) => Err(format!("{problem}; --help tells the options")),
    };
    match done {
        // Leaving this way frees no store: that would take longer than some rows.
        Ok(()) => std::process::exit(0),
        Err(problem) => {
            eprintln!("scaling: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<(), String> {
    let mut keep = Keep {
        options,
        name: machine::run_name(),
        figures: Vec::new(),
    };
    keep.begin()?;
    for &records in &options.records {
        for keys in &options.keys {
            let mut measured = false;
            for &system in &options.systems {
                let subject = Subject {
                    level: options.level.name(),
                    system,
                    keys,
                    records,
                };
                // Counting bytes alone needs no process that is timed.
                if options.times() {
                    eprintln!("{system}, {records} records, keys {keys}");
                    keep.add(told(options, &subject)?)?;
                    measured = true;
                }
            }
            if measured {
                figures::agree(&keep.figures)?;
            }
        }
    }
    if options.wants("bytes") {
        bytes(options, &mut keep)?;
    }
    print!("{}", tables::markdown(&keep.figures));
    Ok(())
}

/// What is measured, as it comes.
struct Keep<'a> {
    options: &'a Options,
    name: String,
    figures: Vec<Figure>,
}

impl Keep<'_> {
    fn begin(&self) -> Result<(), String> {
        let Some(out) = &self.options.out else {
            return Ok(());
        };
        let versions: Vec<_> = machine::versions()
            .into_iter()
            .map(|(name, version)| format!("{name} {version}"))
            .collect();
        let run = Run {
            run: self.name.clone(),
            machine: machine::line(),
            versions: versions.join(", "),
            options: self.options.asked.clone(),
        };
        figures::append(out, &run)
    }

    fn add(&mut self, figures: Vec<Figure>) -> Result<(), String> {
        for figure in figures {
            let figure = Figure {
                run: self.name.clone(),
                ..figure
            };
            if let Some(out) = &self.options.out {
                figures::append(out, &figure)?;
            }
            self.figures.push(figure);
        }
        Ok(())
    }
}

/// What the process of one system tells.
fn told(options: &Options, subject: &Subject<'_>) -> Result<Vec<Figure>, String> {
    let records = subject.records.to_string();
    let rounds = options.rounds.to_string();
    let slice = options.slice.as_millis().to_string();
    let rows = options.rows.join(",");
    let arguments = [
        "--records",
        &records,
        "--keys",
        subject.keys,
        "--rows",
        &rows,
        "--slice-ms",
        &slice,
        "--rounds",
        &rounds,
    ];
    if [peer::NAME, peer::TREE].contains(&subject.system) {
        let level = [subject.level];
        return peer::run(&[&level[..], &arguments[..]].concat());
    }
    let this = std::env::current_exe().map_err(|error| error.to_string())?;
    let output = Command::new(this)
        .args(["--subject", subject.level, subject.system])
        .args(arguments)
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| error.to_string())?;
    if !output.status.success() {
        return Err(format!(
            "{} with {records} records ended with {}",
            subject.system, output.status
        ));
    }
    let figures = figures::heard(&String::from_utf8_lossy(&output.stdout))?;
    if figures.iter().any(|it| it.row == SUM) {
        Ok(figures)
    } else {
        Err(format!("{} told no {SUM}", subject.system))
    }
}

/// The memory of all systems written in Rust; go-memdb tells its own.
fn bytes(options: &Options, keep: &mut Keep<'_>) -> Result<(), String> {
    for &records in &options.records {
        let subjects: Vec<Subject<'_>> = options
            .keys
            .iter()
            .flat_map(|&keys| {
                options.systems.iter().map(move |&system| Subject {
                    level: options.level.name(),
                    system,
                    keys,
                    records,
                })
            })
            .filter(|it| ![peer::NAME, peer::TREE].contains(&it.system))
            .collect();
        let asked: Vec<_> = subjects
            .iter()
            .map(|it| match options.level {
                Level::Table => (it.system, it.keys, records),
                Level::Tree => (it.system, "tree", records),
            })
            .collect();
        let entries = match options.level {
            Level::Table => ENTRIES,
            Level::Tree => 1,
        };
        let all = memory::measure(env!("CARGO_BIN_EXE_bench-bytes"), &asked)?;
        for (subject, Memory { kept, records: own }) in subjects.iter().zip(all) {
            let (count, entries) = (float(records), float(records * entries));
            keep.add(vec![
                subject.figure("bytes_per_record", "bytes", vec![kept / count]),
                subject.figure("bytes_per_entry", "bytes", vec![(kept - own) / entries]),
            ])?;
        }
    }
    Ok(())
}
