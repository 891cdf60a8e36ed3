//! What the command line asks for.

use std::path::PathBuf;
use std::time::Duration;

use highwater_benches::machine::from_workspace;
use highwater_benches::peer;
use highwater_benches::record::{Record, Service};
use highwater_benches::systems::{KEYED, KEYS};
use highwater_benches::trees::TREES;

pub(crate) const HELP: &str = "\
How costs grow with the number of records, for three kinds of primary keys.

  cargo bench -p highwater-benches --bench scaling -- [OPTIONS]

  --records A,B  so many records (10,000, 100,000 and 1,000,000 without)
  --keys A,B     these kinds of keys alone: text, uuid, u64
  --only A,B     these systems alone: highwater, im, imbl, std, go-memdb
                 (go-memdb is left out unless it is named here or by --go)
  --go           go-memdb (iradix with --tree) too; installs Debian's Go and
                 go-memdb if they are absent
  --rows A,B     these rows alone: get, scan, upsert_1, resident (memory of the
                 process), bytes (counted, in a process of its own), and sizes,
                 which is left out otherwise: commits of 1 to 1,000,000 records
  --tree         trees alone, one ordered key each: highwater, im, imbl, rpds,
                 rart, std, iradix; rows fill, get, iterate, replace, bytes
  --quick        short slices, few rounds: 5 of 15 ms each, not 15 of 50
  --rounds N     so many rounds
  --slice-ms N   slices of so many milliseconds
  --out FILE     appends the figures to FILE, a line each, as they come; under
                 cargo, a relative FILE is taken from the workspace's root
  --help         this text

Without any option, and not started by `cargo bench`, it only tries everything
out on a few records.
";

/// Fewest records that fill a prefix and a node.
const LEAST: usize = 100;

const TABLE_ROWS: &[&str] = &["get", "scan", "upsert_1", "resident", "bytes", "sizes"];
const TREE_ROWS: &[&str] = &["fill", "get", "iterate", "replace", "bytes"];

/// What is measured: tables with six index entries a record, or trees alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    Table,
    Tree,
}

impl Level {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::Tree => "tree",
        }
    }

    fn rows(self) -> &'static [&'static str] {
        match self {
            Self::Table => TABLE_ROWS,
            Self::Tree => TREE_ROWS,
        }
    }

    /// All systems, and last the one that is not written in Rust.
    fn systems(self) -> Vec<&'static str> {
        match self {
            Self::Table => [KEYED, &[peer::NAME]].concat(),
            Self::Tree => [TREES, &[peer::TREE]].concat(),
        }
    }
}

/// What to measure, and for how long.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) level: Level,
    pub(crate) records: Vec<usize>,
    pub(crate) keys: Vec<&'static str>,
    pub(crate) systems: Vec<&'static str>,
    pub(crate) rows: Vec<&'static str>,
    /// How long one system does one kind of work in one round.
    pub(crate) slice: Duration,
    pub(crate) rounds: usize,
    pub(crate) out: Option<PathBuf>,
    /// The command line.
    pub(crate) asked: String,
}

/// What one process is asked: one system, keys of one kind, one number of records.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) system: &'static str,
    pub(crate) options: Options,
}

pub(crate) enum Parsed {
    Run(Options),
    Subject(Asked),
    Help,
}

impl Options {
    pub(crate) fn wants(&self, row: &str) -> bool {
        self.rows.contains(&row)
    }

    /// Whether a row is timed.
    pub(crate) fn times(&self) -> bool {
        self.rows.iter().any(|&row| row != "bytes")
    }

    pub(crate) fn parse(arguments: impl Iterator<Item = String>) -> Result<Parsed, String> {
        let arguments: Vec<String> = arguments.filter(|it| it != "--bench").collect();
        let asked = arguments.join(" ");
        let tried_out = std::env::args().len() == 1;
        let mut given = arguments.into_iter();
        let (mut tree, mut go, mut quick, mut out) = (false, false, false, None);
        let (mut records, mut keys, mut only, mut rows) = (None, None, None, None);
        let (mut slice, mut rounds, mut subject) = (None, None, None);
        while let Some(argument) = given.next() {
            let mut value = || given.next().ok_or(format!("{argument} needs a value"));
            match argument.as_str() {
                "--tree" => tree = true,
                "--go" => go = true,
                "--quick" => quick = true,
                "--records" => records = Some(value()?),
                "--keys" => keys = Some(value()?),
                "--only" => only = Some(value()?),
                "--rows" => rows = Some(value()?),
                "--slice-ms" => slice = Some(number(&argument, &value()?)?),
                "--rounds" => rounds = Some(number(&argument, &value()?)?),
                "--out" => out = Some(from_workspace(&value()?)),
                "--subject" => {
                    tree = value()? == Level::Tree.name();
                    subject = Some(value()?);
                }
                "--help" | "-h" => return Ok(Parsed::Help),
                _ => return Err(format!("there is no option {argument}")),
            }
        }
        let level = if tree { Level::Tree } else { Level::Table };
        let systems = level.systems();
        let (rust, peer) = systems.split_at(systems.len() - 1);
        let mut chosen = match &only {
            Some(only) => among("--only", only, &systems)?,
            None => rust.to_vec(),
        };
        if go && !chosen.contains(&peer[0]) {
            chosen.push(peer[0]);
        }
        let (default_slice, default_rounds) = match (tried_out, quick) {
            (true, _) => (1, 2),
            (false, true) => (15, 5),
            (false, false) => (50, 15),
        };
        let options = Self {
            level,
            records: match records {
                Some(text) => counts(&text)?,
                None if tried_out => vec![1_000],
                None => vec![10_000, 100_000, 1_000_000],
            },
            keys: match (level, keys) {
                (Level::Table, None) => KEYS.to_vec(),
                (Level::Table, Some(keys)) => among("--keys", &keys, KEYS)?,
                (Level::Tree, Some(keys)) => among("--keys", &keys, &[Service::KEYS])?,
                (Level::Tree, None) => vec![Service::KEYS],
            },
            systems: chosen,
            rows: match rows {
                Some(rows) => among("--rows", &rows, level.rows())?,
                None => level
                    .rows()
                    .iter()
                    .copied()
                    .filter(|&it| it != "sizes" || tried_out)
                    .collect(),
            },
            slice: Duration::from_millis(slice.unwrap_or(default_slice)),
            rounds: usize::try_from(rounds.unwrap_or(default_rounds))
                .map_err(|error| format!("--rounds: {error}"))?,
            out,
            asked,
        };
        Ok(match subject {
            None => Parsed::Run(options),
            Some(system) => Parsed::Subject(Asked {
                system: among("--subject", &system, rust)?[0],
                options,
            }),
        })
    }
}

fn number(option: &str, text: &str) -> Result<u64, String> {
    match text.parse() {
        Ok(number) if number > 0 => Ok(number),
        _ => Err(format!("{option} {text}: a number from 1 on is wanted")),
    }
}

fn counts(text: &str) -> Result<Vec<usize>, String> {
    text.split(',')
        .map(|one| match one.trim().replace('_', "").parse() {
            Ok(records) if records >= LEAST => Ok(records),
            _ => Err(format!(
                "--records {one}: numbers from {LEAST} on are wanted, separated by commas"
            )),
        })
        .collect()
}

/// Those of `all` that `text` names.
fn among(option: &str, text: &str, all: &[&'static str]) -> Result<Vec<&'static str>, String> {
    text.split(',')
        .map(|one| {
            let found = all.iter().copied().find(|it| *it == one.trim());
            found.ok_or_else(|| format!("{option} {one}: there is {}", all.join(", ")))
        })
        .collect()
}
