//! How many bytes each system keeps, told by processes that count allocations.

use std::process::{Child, Command, Stdio};
use std::thread::available_parallelism;

/// What `bench-bytes` says of one system.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// Bytes it keeps, records and indexes.
    pub kept: f64,
    /// Bytes of the records alone.
    pub records: f64,
}

/// Asks `program`, which is `bench-bytes`, for what a system, keys of a kind and a number of records
/// come to: as many at a time as there are processors, since nothing is timed meanwhile.
pub fn measure(program: &str, subjects: &[(&str, &str, usize)]) -> Result<Vec<Memory>, String> {
    eprintln!("counting bytes");
    let at_once = available_parallelism().map_or(1, usize::from);
    let mut all = Vec::new();
    for subjects in subjects.chunks(at_once) {
        let started: Vec<Child> = subjects
            .iter()
            .map(|&subject| start(program, subject))
            .collect::<Result<_, _>>()?;
        for ((system, ..), child) in subjects.iter().zip(started) {
            let memory =
                finish(child).map_err(|error| format!("counting the bytes of {system}: {error}"));
            all.push(memory?);
        }
    }
    Ok(all)
}

fn start(program: &str, (system, keys, records): (&str, &str, usize)) -> Result<Child, String> {
    Command::new(program)
        .args([system, &records.to_string(), keys])
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("{program}: {error}"))
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
