//! The peer that is not written in Rust: go-memdb, by a program of its own under `peers/`.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::figures::{self, Figure};

/// What it is called in options and data, and in the table.
pub const NAME: &str = "go-memdb";
/// What its tree alone is called.
pub const TREE: &str = "iradix";
/// How it does the work.
pub const HOW: &str = "`benches/peers/go-memdb`, a Go program: it does the same to the same records \
                       in a process of its own, before the others. Indexes of fields by their names, \
                       as its documentation has them. Its memory is the live heap after a \
                       collection. The medians leave out most of the time that its garbage \
                       collector takes.";

/// Runs it, and reads what it says.
pub fn run(arguments: &[&str]) -> Result<Vec<Figure>, String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/go-memdb/run");
    let output = Command::new(&script)
        .args(arguments)
        .arg("--json")
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("{}: {error}", script.display()))?;
    if !output.status.success() {
        return Err(format!("{} ended with {}", script.display(), output.status));
    }
    figures::heard(&String::from_utf8_lossy(&output.stdout))
}
