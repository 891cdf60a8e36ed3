//! Figures as Markdown tables.

use std::collections::BTreeSet;

use crate::figures::{Figure, SUM};
use crate::peer;
use crate::systems::KEYS;

/// The system that the others are compared with.
pub const REFERENCE: &str = "highwater";

/// Systems in the order of columns.
const SYSTEMS: [&str; 8] = [
    REFERENCE,
    "im",
    "imbl",
    "rpds",
    "rart",
    "std",
    peer::NAME,
    peer::TREE,
];

/// Tables in their order: level, row, title.
const TABLES: [(&str, &str, &str); 11] = [
    (
        "table",
        "upsert_1",
        "Upsert of one record, a commit each, ns",
    ),
    ("table", "get", "Get by id, ns"),
    ("table", "scan", "Full scan, ns per record"),
    ("table", "bytes_per_entry", "Memory per index entry, bytes"),
    ("table", "bytes_per_record", "Memory per record, bytes"),
    (
        "table",
        "resident_per_record",
        "Memory of the process after the load, bytes per record",
    ),
    (
        "tree",
        "fill",
        "A tree alone: filled, a commit for each insert, ns per insert",
    ),
    (
        "tree",
        "replace",
        "A tree alone: replace, a commit each, ns",
    ),
    ("tree", "get", "A tree alone: get, ns"),
    ("tree", "iterate", "A tree alone: walk, ns per item"),
    (
        "tree",
        "bytes_per_entry",
        "A tree alone: memory per key, bytes",
    ),
];

/// What commits of many records are called in data, before the number of records.
pub const COMMIT: &str = "commit_";

/// All tables that there are figures for.
pub fn markdown(figures: &[Figure]) -> String {
    let mut text = String::new();
    for (level, row, title) in TABLES {
        let chosen: Vec<&Figure> = figures
            .iter()
            .filter(|it| it.level == level && it.row == row)
            .collect();
        let lines: BTreeSet<_> = chosen.iter().map(|it| store(it)).collect();
        let lines: Vec<_> = lines
            .into_iter()
            .map(|(_, keys, records)| {
                let name = format!("{keys}, {}", group(&records.to_string()));
                let cells = chosen
                    .iter()
                    .copied()
                    .filter(move |it| it.keys == keys && it.records == records);
                (name, cells.collect())
            })
            .collect();
        text.push_str(&table(title, "keys, records", &lines));
    }
    text + &commits(figures) + &watches(figures)
}

/// What a figure was measured in: a kind of keys, by its place among them, and a number of records.
fn store(figure: &Figure) -> (Option<usize>, &str, usize) {
    let place = KEYS.iter().position(|keys| *keys == figure.keys);
    (place, &figure.keys, figure.records)
}

/// The cost of a record in commits of many sizes, for each number of records and kind of keys.
fn commits(figures: &[Figure]) -> String {
    let commits: Vec<(usize, &Figure)> = figures
        .iter()
        .filter_map(|it| Some((it.row.strip_prefix(COMMIT)?.parse().ok()?, it)))
        .collect();
    let stores: BTreeSet<_> = commits.iter().map(|(_, it)| store(it)).collect();
    let mut text = String::new();
    for (_, keys, records) in stores {
        let own: Vec<_> = commits
            .iter()
            .filter(|(_, it)| it.keys == keys && it.records == records)
            .collect();
        let sizes: BTreeSet<usize> = own.iter().map(|(size, _)| *size).collect();
        let lines: Vec<_> = sizes
            .into_iter()
            .map(|size| {
                let cells = own.iter().filter(|(it, _)| *it == size).map(|(_, it)| *it);
                (group(&size.to_string()), cells.collect())
            })
            .collect();
        let title = format!(
            "One commit of many records, ns per record ({} records, keys {keys})",
            group(&records.to_string())
        );
        text.push_str(&table(&title, "records in the commit", &lines));
    }
    text
}

fn watches(figures: &[Figure]) -> String {
    let lines: Vec<_> = figures
        .iter()
        .filter(|it| it.level == "watches" && it.row != SUM)
        .map(|it| (format!("{}, {}", it.row, it.unit), vec![it]))
        .collect();
    table(
        "Watches of one key each, and commits that wake them",
        "",
        &lines,
    )
}

/// A table with a column for each system that some line has a figure of.
fn table(title: &str, corner: &str, lines: &[(String, Vec<&Figure>)]) -> String {
    if lines.is_empty() {
        return String::new();
    }
    let systems: Vec<&str> = SYSTEMS
        .into_iter()
        .filter(|name| lines.iter().any(|(_, cells)| of(cells, name).is_some()))
        .collect();
    let mut rows = vec![
        format!("## {title}\n"),
        row(
            corner.to_owned(),
            systems.iter().map(|name| (*name).to_owned()),
        ),
        row(":---".to_owned(), systems.iter().map(|_| "---:".to_owned())),
    ];
    for (name, cells) in lines {
        let reference = of(cells, REFERENCE);
        let cells = systems.iter().map(|system| match of(cells, system) {
            None => String::new(),
            Some(value) => compared(
                value,
                reference
                    .filter(|_| *system != REFERENCE)
                    .map(|reference| value / reference),
            ),
        });
        rows.push(row(name.clone(), cells));
    }
    rows.join("\n") + "\n\n"
}

fn of(cells: &[&Figure], system: &str) -> Option<f64> {
    let found = cells.iter().find(|it| it.system == system)?;
    Some(found.value)
}

/// A row of a Markdown table.
pub fn row(title: String, cells: impl Iterator<Item = String>) -> String {
    let cells: Vec<String> = std::iter::once(title).chain(cells).collect();
    format!("| {} |", cells.join(" | "))
}

/// A figure, and how many times the reference's it is.
pub fn compared(value: f64, ratio: Option<f64>) -> String {
    let value = thousands(value);
    match ratio {
        Some(ratio) => format!(
            "{value} ({ratio:.prec$}x)",
            prec = usize::from(ratio < 99.5)
        ),
        None => value,
    }
}

/// A number for people: a decimal if it is small, else thousands set apart.
fn thousands(value: f64) -> String {
    if value.abs() < 99.95 {
        return format!("{value:.1}");
    }
    group(&format!("{value:.0}"))
}

/// Digits with thousands set apart.
pub fn group(digits: &str) -> String {
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) && !text.ends_with('-') {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
