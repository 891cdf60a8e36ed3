//! The figures, as a Markdown table and as JSON.

use serde_json::{Map, Value, json};

use highwater_benches::figures::Figure;
use highwater_benches::pace::median;
use highwater_benches::tables::{REFERENCE, compared, group, row};
use highwater_benches::{machine, peer};

use crate::options::Options;
use crate::work::Row;

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
        median(&self.samples[column])
    }
}

/// Everything that was measured.
pub(crate) struct Report {
    records: usize,
    rounds: usize,
    slice_ms: u128,
    columns: Vec<Column>,
    lines: Vec<Line>,
    versions: Vec<(String, String)>,
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
            versions: machine::versions()
                .into_iter()
                .map(|(name, version)| (name.to_owned(), version.to_owned()))
                .collect(),
        }
    }

    /// Adds the column of go-memdb.
    pub(crate) fn add_peer(&mut self, figures: &[Figure]) -> Result<(), String> {
        for line in &mut self.lines {
            let key = line.row.key;
            let figure = figures.iter().find(|it| it.row == key);
            let figure = figure.ok_or_else(|| format!("{} told no {key}", peer::NAME))?;
            line.samples.push(figure.samples.clone());
        }
        self.columns.push(Column {
            name: peer::NAME,
            title: peer::NAME,
            how: peer::HOW,
        });
        let told = figures.iter().filter_map(|it| it.versions.as_deref());
        self.versions.extend(
            told.flat_map(|told| told.split(", "))
                .filter_map(|it| it.split_once(' '))
                .map(|(name, version)| (name.to_owned(), version.to_owned())),
        );
        Ok(())
    }

    /// How many times the reference's figure a system's is, if the reference was measured.
    fn ratio(&self, line: &Line, column: usize) -> Option<f64> {
        let reference = self.columns.iter().position(|it| it.name == REFERENCE)?;
        Some(line.median(column) / line.median(reference))
    }

    fn cell(&self, line: &Line, column: usize) -> String {
        let reference = (self.columns[column].name != REFERENCE)
            .then(|| self.ratio(line, column))
            .flatten();
        compared(line.median(column), reference)
    }

    /// The table, and below it what it means.
    pub(crate) fn markdown(&self) -> String {
        let records = group(&self.records.to_string());
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
        let versions: Vec<_> = self
            .versions
            .iter()
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
        let versions: Map<String, Value> = self
            .versions
            .iter()
            .map(|(name, version)| (name.clone(), version.clone().into()))
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
