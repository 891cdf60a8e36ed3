//! What the command line asks for.

use std::path::PathBuf;
use std::time::Duration;

use highwater_benches::machine::from_workspace;
use highwater_benches::systems::{EXTRA, NAMES};

pub(crate) const HELP: &str = "\
The same work done by highwater and by its peers, side by side.

  cargo bench -p highwater-benches --bench side_by_side -- [OPTIONS]

  --quick        100,000 records and short slices: under two minutes
  --records N    N records (1,000,000 without --quick)
  --only A,B     these systems alone: highwater, im, imbl, std, sqlite, redb,
                 or imbl-ids, which is left out otherwise
  --go           go-memdb too, in a process of its own (installs Debian's Go and
                 go-memdb if they are absent)
  --json FILE    also writes the table as data; under cargo, a relative FILE is
                 taken from the workspace's root
  --help         this text

Without any option, and not started by `cargo bench`, it only tries everything
out on a few records.
";

/// Fewest records that fill a prefix and a node.
const LEAST: usize = 100;

/// What to measure, and for how long.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) records: usize,
    pub(crate) systems: Vec<&'static str>,
    /// Whether go-memdb is measured too.
    pub(crate) go: bool,
    pub(crate) json: Option<PathBuf>,
    /// How long one system does one kind of work in one round.
    pub(crate) slice: Duration,
    pub(crate) rounds: usize,
}

pub(crate) enum Parsed {
    Run(Options),
    Help,
}

impl Options {
    pub(crate) fn parse(arguments: impl Iterator<Item = String>) -> Result<Parsed, String> {
        let mut arguments = arguments.peekable();
        let tried_out = arguments.peek().is_none();
        let (mut quick, mut go, mut records, mut json) = (false, false, None, None);
        let mut systems: Vec<_> = NAMES
            .iter()
            .copied()
            .filter(|it| !EXTRA.contains(it))
            .collect();
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
            match argument.as_str() {
                // From cargo, for harnesses that also run tests.
                "--bench" => {}
                "--quick" => quick = true,
                "--go" => go = true,
                "--records" => records = Some(count(&value()?)?),
                "--only" => systems = only(&value()?)?,
                "--json" => json = Some(from_workspace(&value()?)),
                "--help" | "-h" => return Ok(Parsed::Help),
                _ => return Err(format!("there is no option {argument}")),
            }
        }
        let (usual, slice, rounds) = match (tried_out, quick) {
            (true, _) => (2_000, 1, 2),
            (false, true) => (100_000, 15, 15),
            (false, false) => (1_000_000, 50, 15),
        };
        let slice = Duration::from_millis(slice);
        Ok(Parsed::Run(Self {
            records: records.unwrap_or(usual),
            systems,
            go,
            json,
            slice,
            rounds,
        }))
    }
}

fn count(text: &str) -> Result<usize, String> {
    match text.replace(['_', ','], "").parse() {
        Ok(records) if records >= LEAST => Ok(records),
        _ => Err(format!(
            "--records {text}: a number from {LEAST} on is wanted"
        )),
    }
}

fn only(text: &str) -> Result<Vec<&'static str>, String> {
    let wanted: Vec<&str> = text.split(',').map(str::trim).collect();
    if let Some(unknown) = wanted.iter().find(|name| !NAMES.contains(name)) {
        return Err(format!(
            "--only {unknown}: the systems are {}",
            NAMES.join(", ")
        ));
    }
    Ok(NAMES
        .iter()
        .copied()
        .filter(|name| wanted.contains(name))
        .collect())
}
