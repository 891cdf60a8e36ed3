//! The figures, as a Markdown table and as JSON.

use serde_json::{Map, Value, json};

use crate::machine;
use crate::options::Options;
use crate::work::Row;

/// The system that the others are compared with.
const REFERENCE: &str = "highwater";

/// A system.
pub(crate) struct Column {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) how: &'static str,
}

/// A row: for each system, what was measured in each round.
pub(crate) struct Line {
    row: Row,
    samples: Vec<Vec<f64>>,
}

impl Line {
    pub(crate) fn new(row: Row, samples: Vec<Vec<f64>>) -> Self {
        Self { row, samples }
    }

    fn median(&self, column: usize) -> f64 {
        let mut sorted = self.samples[column].clone();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        if sorted.len() % 2 == 1 {
            sorted[middle]
        } else {
            f64::midpoint(sorted[middle - 1], sorted[middle])
        }
    }
}

/// Everything that was measured.
pub(crate) struct Report {
    records: usize,
    rounds: usize,
    slice_ms: u128,
    columns: Vec<Column>,
    lines: Vec<Line>,
}

impl Report {
    pub(crate) fn new(options: &Options, columns: Vec<Column>, lines: Vec<Line>) -> Self {
        let Options {
            records,
            rounds,
            slice,
            ..
        } = *options;
        Self {
            records,
            rounds,
            slice_ms: slice.as_millis(),
            columns,
            lines,
        }
    }

    /// How many times the reference's figure a system's is, if the reference was measured.
    fn ratio(&self, line: &Line, column: usize) -> Option<f64> {
        let reference = self.columns.iter().position(|it| it.name == REFERENCE)?;
        Some(line.median(column) / line.median(reference))
    }

    fn cell(&self, line: &Line, column: usize) -> String {
        let value = thousands(line.median(column));
        match self.ratio(line, column) {
            Some(ratio) if self.columns[column].name != REFERENCE => {
                format!(
                    "{value} ({ratio:.prec$}x)",
                    prec = usize::from(ratio < 99.5)
                )
            }
            _ => value,
        }
    }

    /// The table, and below it what it means.
    pub(crate) fn markdown(&self) -> String {
        let records = thousands_of(self.records);
        let mut lines = vec![
            row(
                format!("{records} records; ns per operation"),
                self.columns.iter().map(|it| it.title.to_owned()),
            ),
            row(
                ":---".to_owned(),
                self.columns.iter().map(|_| "---:".to_owned()),
            ),
        ];
        lines.extend(self.lines.iter().map(|line| {
            let cells = (0..self.columns.len()).map(|i| self.cell(line, i));
            row(line.row.title.to_owned(), cells)
        }));
        lines.push(format!(
            "\nIn parentheses: how many times {REFERENCE}'s figure. Medians of {} rounds of {} ms each.",
            self.rounds, self.slice_ms
        ));
        let versions: Vec<_> = machine::versions()
            .into_iter()
            .map(|(name, version)| format!("{name} {version}"))
            .collect();
        lines.push(format!("Machine: {}.", machine::line()));
        lines.push(format!("Versions: {}.", versions.join(", ")));
        lines.push("\nRows:\n".to_owned());
        lines.extend(
            self.lines
                .iter()
                .map(|it| format!("* {}: {}", it.row.title, it.row.note)),
        );
        lines.push("\nSystems:\n".to_owned());
        lines.extend(
            self.columns
                .iter()
                .map(|it| format!("* {}: {}", it.title, it.how)),
        );
        lines.push(String::new());
        lines.join("\n")
    }

    /// The same as data.
    pub(crate) fn json(&self) -> Value {
        let systems = self
            .columns
            .iter()
            .map(|column| json!({ "name": column.name, "title": column.title, "how": column.how }));
        let rows = self.lines.iter().map(|line| {
            let cells: Map<String, Value> = (self.columns.iter().enumerate())
                .map(|(i, column)| {
                    let cell = json!({
                        "median": line.median(i),
                        "ratio": self.ratio(line, i),
                        "samples": line.samples[i],
                    });
                    (column.name.to_owned(), cell)
                })
                .collect();
            let Row {
                key,
                title,
                unit,
                note,
            } = line.row;
            json!({ "key": key, "title": title, "unit": unit, "note": note, "cells": cells })
        });
        let versions: Map<String, Value> = machine::versions()
            .into_iter()
            .map(|(name, version)| (name.to_owned(), version.into()))
            .collect();
        json!({
            "records": self.records,
            "rounds": self.rounds,
            "slice_ms": u64::try_from(self.slice_ms).unwrap_or(u64::MAX),
            "machine": machine::line(),
            "versions": versions,
            "systems": systems.collect::<Vec<_>>(),
            "rows": rows.collect::<Vec<_>>(),
        })
    }
}

/// A row of a Markdown table.
fn row(title: String, cells: impl Iterator<Item = String>) -> String {
    let cells: Vec<String> = std::iter::once(title).chain(cells).collect();
    format!("| {} |", cells.join(" | "))
}

/// A number for people: a decimal if it is small, else thousands set apart.
fn thousands(value: f64) -> String {
    if value.abs() < 99.95 {
        return format!("{value:.1}");
    }
    group(&format!("{value:.0}"))
}

fn thousands_of(n: usize) -> String {
    group(&n.to_string())
}

fn group(digits: &str) -> String {
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) && !text.ends_with('-') {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
