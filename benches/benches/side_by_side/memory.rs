//! How many bytes each system keeps, told by processes that count allocations.

use std::process::{Child, Command, Stdio};
use std::thread::available_parallelism;

use crate::options::Options;

/// What `bench-bytes` says of one system.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    /// Bytes it keeps, records and indexes.
    pub(crate) kept: f64,
    /// Bytes of the records alone.
    pub(crate) records: f64,
}

/// Asks for each system, as many at a time as there are processors: nothing is timed meanwhile.
pub(crate) fn measure(options: &Options) -> Result<Vec<Memory>, String> {
    eprintln!("counting bytes");
    let at_once = available_parallelism().map_or(1, usize::from);
    let mut all = Vec::new();
    for systems in options.systems.chunks(at_once) {
        let started: Vec<Child> = systems
            .iter()
            .map(|system| start(system, options.records))
            .collect::<Result<_, _>>()?;
        for (system, child) in systems.iter().zip(started) {
            let memory =
                finish(child).map_err(|error| format!("counting the bytes of {system}: {error}"));
            all.push(memory?);
        }
    }
    Ok(all)
}

fn start(system: &str, records: usize) -> Result<Child, String> {
    Command::new(env!("CARGO_BIN_EXE_bench-bytes"))
        .args([system, &records.to_string()])
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("{}: {error}", env!("CARGO_BIN_EXE_bench-bytes")))
}

fn finish(child: Child) -> Result<Memory, String> {
    let output = child
        .wait_with_output()
        .map_err(|error| error.to_string())?;
    if !output.status.success() {
        return Err(format!("ended with {}", output.status));
    }
    let said: serde_json::Value =
        serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())?;
    let number = |key: &str| said[key].as_f64().ok_or_else(|| format!("told no {key}"));
    Ok(Memory {
        kept: number("kept")?,
        records: number("records")?,
    })
}
