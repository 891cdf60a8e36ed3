//! What was measured, as lines of JSON: how the systems' processes say it, and how it is kept.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::pace::median;

/// The row in which a system says what its answers come to.
pub const SUM: &str = "sum";

/// One figure.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// The run it is from; how a run was made is in [`Run`].
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub run: String,
    /// `table`, `tree` or `watches`.
    pub level: String,
    /// What was measured.
    pub system: String,
    /// The kind of its keys.
    pub keys: String,
    /// How many records it held.
    pub records: usize,
    /// What was done.
    pub row: String,
    /// What is counted.
    pub unit: String,
    /// The median of the samples.
    pub value: f64,
    /// What each round gave.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub samples: Vec<f64>,
    /// What the system's answers come to, in hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sum: Option<String>,
    /// Its version, where it says so itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub versions: Option<String>,
}

/// How a run was made: a line of its own before the first of its figures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// Its name.
    pub run: String,
    /// What it ran on.
    pub machine: String,
    /// Of the crates that were compared.
    pub versions: String,
    /// What was asked for.
    pub options: String,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Either {
    Figure(Figure),
    Run(Run),
}

/// The figures of what is asked of one system.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// `table` or `tree`.
    pub level: &'a str,
    /// Its name.
    pub system: &'a str,
    /// The kind of its keys.
    pub keys: &'a str,
    /// How many records it holds.
    pub records: usize,
}

impl Subject<'_> {
    /// The figure of a row.
    pub fn figure(&self, row: &str, unit: &str, mut samples: Vec<f64>) -> Figure {
        for sample in &mut samples {
            // No figure is exact to a tenth.
            *sample = (*sample * 10.0).round() / 10.0;
        }
        Figure {
            row: row.to_owned(),
            unit: unit.to_owned(),
            value: median(&samples),
            samples,
            ..self.blank()
        }
    }

    /// What its answers come to.
    pub fn sum(&self, sum: u64) -> Figure {
        Figure {
            row: SUM.to_owned(),
            sum: Some(format!("{sum:016x}")),
            ..self.blank()
        }
    }

    fn blank(&self) -> Figure {
        Figure {
            level: self.level.to_owned(),
            system: self.system.to_owned(),
            keys: self.keys.to_owned(),
            records: self.records,
            ..Figure::default()
        }
    }
}

/// Prints a figure for the process that started this one.
pub fn say(figure: &Figure) {
    println!("{}", line(figure));
}

/// Reads what [`say`] printed.
pub fn heard(text: &str) -> Result<Vec<Figure>, String> {
    text.lines()
        .map(|line| serde_json::from_str(line).map_err(|error| format!("{error} in: {line}")))
        .collect()
}

/// Appends a line to a file of figures.
pub fn append(file: &Path, what: &impl Serialize) -> Result<(), String> {
    let appended = || {
        if let Some(folder) = file.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut open = OpenOptions::new().create(true).append(true).open(file)?;
        writeln!(open, "{}", line(what))
    };
    appended().map_err(|error| format!("{}: {error}", file.display()))
}

fn line(what: &impl Serialize) -> String {
    serde_json::to_string(what).expect("figures are numbers and text")
}

/// All that a file holds. Of figures of the same thing only the last: a run in pieces, or a part run
/// again, gives one whole.
pub fn read(file: &Path) -> Result<(Vec<Run>, Vec<Figure>), String> {
    let text = fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    let (mut runs, mut figures) = (Vec::new(), Vec::<Figure>::new());
    for (number, line) in (1..).zip(text.lines()) {
        match serde_json::from_str(line) {
            Ok(Either::Run(run)) => runs.push(run),
            Ok(Either::Figure(figure)) => {
                figures.retain(|it| !same_thing(it, &figure));
                figures.push(figure);
            }
            Err(error) => return Err(format!("{}:{number}: {error}", file.display())),
        }
    }
    runs.retain(|run| figures.iter().any(|figure| figure.run == run.run));
    Ok((runs, figures))
}

fn same_thing(a: &Figure, b: &Figure) -> bool {
    (&a.level, &a.system, &a.keys, a.records, &a.row)
        == (&b.level, &b.system, &b.keys, b.records, &b.row)
}

/// That all systems' answers to the same questions come to the same.
pub fn agree(figures: &[Figure]) -> Result<(), String> {
    for figure in figures {
        let first = figures.iter().find(|it| {
            it.row == SUM
                && (&it.level, &it.keys, it.records)
                    == (&figure.level, &figure.keys, figure.records)
        });
        if let Some(first) = first
            && figure.row == SUM
            && first.sum != figure.sum
        {
            return Err(format!(
                "{} and {} answer differently: {} records, keys {}",
                first.system, figure.system, figure.records, figure.keys
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(system: &str) -> Subject<'_> {
        Subject {
            level: "table",
            system,
            keys: "text",
            records: 100,
        }
    }

    #[test]
    fn the_last_figure_of_a_thing_counts() {
        let file = std::env::temp_dir().join(format!("figures-{}.jsonl", std::process::id()));
        let run = |name: &str| Run {
            run: name.to_owned(),
            machine: String::new(),
            versions: String::new(),
            options: String::new(),
        };
        for (name, value) in [("first", 1.0), ("second", 2.0)] {
            append(&file, &run(name)).unwrap();
            let figure = subject("a").figure("get", "ns", vec![value]);
            let figure = Figure {
                run: name.to_owned(),
                ..figure
            };
            append(&file, &figure).unwrap();
        }
        let (runs, figures) = read(&file).unwrap();
        fs::remove_file(&file).unwrap();
        assert_eq!(runs, [run("second")]);
        assert_eq!(figures.len(), 1);
        assert_eq!(figures[0].value.to_bits(), 2.0_f64.to_bits());
    }

    #[test]
    fn different_answers_are_an_error() {
        let same = [subject("a").sum(1), subject("b").sum(1)];
        assert!(agree(&same).is_ok());
        let other = [subject("a").sum(1), subject("b").sum(2)];
        assert!(agree(&other).unwrap_err().contains("a and b"));
    }
}
