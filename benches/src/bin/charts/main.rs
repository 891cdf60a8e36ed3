//! `bench-charts [FILE]`: draws what `scaling` measured, as SVG beside FILE, and writes the tables.
//!
//! FILE is `docs/figures/results.jsonl` if none is named.

mod chart;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::ExitCode;

use chart::{Axis, Chart, Line, Panel};
use highwater_benches::figures::{self, Figure, Run};
use highwater_benches::machine::from_workspace;
use highwater_benches::pace::float;
use highwater_benches::systems::KEYS;
use highwater_benches::tables::{self, COMMIT, group};

fn main() -> ExitCode {
    let file = std::env::args().nth(1);
    let file = from_workspace(file.as_deref().unwrap_or("docs/figures/results.jsonl"));
    match draw_all(&file) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("bench-charts: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn draw_all(file: &Path) -> Result<(), String> {
    let (runs, figures) = figures::read(file)?;
    let folder = file.parent().unwrap_or(Path::new("."));
    let by_records = [
        (
            "commit",
            "upsert_1",
            "Upsert of one record with six index entries, a commit each",
            Axis::Time,
        ),
        ("get", "get", "Get by id", Axis::Time),
        ("scan", "scan", "Full scan, per record", Axis::Time),
        (
            "memory",
            "bytes_per_entry",
            "Memory per index entry",
            Axis::Bytes,
        ),
    ];
    for (name, row, title, axis) in by_records {
        let panels = KEYS
            .iter()
            .map(|keys| Panel {
                title: format!("Primary keys: {}", called(keys)),
                lines: lines(
                    figures
                        .iter()
                        .filter(|it| it.level == "table" && it.row == row && it.keys == *keys)
                        .map(|it| (it, it.records)),
                ),
            })
            .collect();
        let chart = Chart {
            title: title.to_owned(),
            across: "records in the table",
            up: axis,
            panels,
        };
        draw(&chart, &folder.join(format!("{name}.svg")))?;
    }
    draw(&sizes(&figures), &folder.join("commit-size.svg"))?;

    let tables = folder.join("README.md");
    fs::write(&tables, page(&runs, &figures, file))
        .map_err(|error| format!("{}: {error}", tables.display()))?;
    println!("wrote {}", tables.display());
    Ok(())
}

fn draw(chart: &Chart, file: &Path) -> Result<(), String> {
    if chart.panels.iter().all(|panel| panel.lines.is_empty()) {
        println!("nothing to draw for {}", file.display());
        return Ok(());
    }
    chart
        .draw(file)
        .map_err(|error| format!("{}: {error}", file.display()))?;
    println!("wrote {}", file.display());
    Ok(())
}

fn called(keys: &str) -> &str {
    match keys {
        "text" => "sequential text",
        "uuid" => "random UUIDs",
        "u64" => "integers",
        other => other,
    }
}

/// A line for each system, through its figures at some count.
fn lines<'a>(figures: impl Iterator<Item = (&'a Figure, usize)>) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    for (figure, at) in figures {
        let point = (float(at), figure.value);
        match lines.iter_mut().find(|it| it.system == figure.system) {
            Some(line) => line.points.push(point),
            None => lines.push(Line {
                system: figure.system.clone(),
                points: vec![point],
            }),
        }
    }
    for line in &mut lines {
        line.points.sort_by(|a, b| a.0.total_cmp(&b.0));
    }
    lines
}

/// Commits of many sizes, in the largest stores of each kind of key that they were measured in.
fn sizes(figures: &[Figure]) -> Chart {
    let sized = |it: &Figure| -> Option<usize> { it.row.strip_prefix(COMMIT)?.parse().ok() };
    let stores: BTreeSet<(&str, usize)> = figures
        .iter()
        .filter(|it| sized(it).is_some())
        .map(|it| (it.keys.as_str(), it.records))
        .collect();
    let panels = KEYS
        .iter()
        .filter_map(|keys| stores.iter().rev().find(|store| store.0 == *keys))
        .map(|&(keys, records)| Panel {
            title: format!(
                "{} records, primary keys: {}",
                group(&records.to_string()),
                called(keys)
            ),
            lines: lines(
                figures
                    .iter()
                    .filter(|it| it.keys == keys && it.records == records)
                    .filter_map(|it| Some((it, sized(it)?))),
            ),
        })
        .collect();
    Chart {
        title: "Cost per record of one commit".to_owned(),
        across: "records written by the commit",
        up: Axis::Time,
        panels,
    }
}

/// The tables, and where their figures are from.
fn page(runs: &[Run], figures: &[Figure], file: &Path) -> String {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let mut text = format!(
        "# Figures\n\nWritten by `bench-charts` from [{name}]({name}), as are the charts here. In \
         parentheses: how many times\n{}'s figure. What is measured, and how, is in \
         [performance.md](../performance.md).\n\n",
        tables::REFERENCE
    );
    text.push_str(&tables::markdown(figures));
    text.push_str("## Runs\n\n");
    text.extend(runs.iter().map(|run| {
        let from: BTreeSet<&str> = figures
            .iter()
            .filter(|it| it.run == run.run)
            .map(|it| it.system.as_str())
            .collect();
        let from = from.into_iter().collect::<Vec<_>>().join(", ");
        format!(
            "* {}: `{}`: {from}. {}. {}.\n",
            run.run, run.options, run.machine, run.versions
        )
    }));
    let told: BTreeSet<&str> = figures
        .iter()
        .filter_map(|it| it.versions.as_deref())
        .collect();
    text.extend(told.into_iter().map(|told| format!("* {told}.\n")));
    text
}
