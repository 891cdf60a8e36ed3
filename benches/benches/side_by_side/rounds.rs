//! The contest: the load, then round after round of slices.

use std::sync::Arc;
use std::time::Duration;

use highwater_benches::data::{ENTRIES, LOAD as LOAD_SIZE};

use crate::contender::{Contender, Done, Keys, contender};
use crate::memory::Memory;
use crate::options::Options;
use crate::report::{Column, Line, Report};
use crate::work::{BYTES_PER_ENTRY, BYTES_PER_RECORD, COMMIT_BESIDE_READER, LOAD, Row, Work};

/// Most operations in one slice: bounds what is prepared for it.
const MOST: usize = 1_000_000;
/// Most records written in one slice.
const MOST_WRITES: usize = 50_000;

/// Measures everything and checks, before and after, that all systems do the work.
pub(crate) fn measure(options: &Options, memory: &[Memory]) -> Report {
    let keys = Arc::new(Keys::new(options.records));
    let mut contenders: Vec<_> = options
        .systems
        .iter()
        .map(|name| contender(name, &keys))
        .collect();

    let mut lines = vec![load(&contenders, &keys)];
    for contender in &mut contenders {
        contender.check();
    }
    for work in Work::ALL {
        lines.extend(rounds(options, &mut contenders, work));
    }
    for contender in &mut contenders {
        contender.check();
    }
    lines.extend(bytes(options, memory));

    let columns = contenders.iter().map(|contender| Column {
        name: contender.name(),
        title: contender.title(),
        how: contender.how(),
    });
    let report = Report::new(options, columns.collect(), lines);
    // Freeing every node of every store would take longer than some rows.
    std::mem::forget(contenders);
    report
}

fn load(contenders: &[Box<dyn Contender>], keys: &Keys) -> Line {
    eprintln!(
        "loading {} records into {} systems",
        keys.order.len(),
        contenders.len()
    );
    let mut total = vec![Duration::ZERO; contenders.len()];
    for (turn, part) in keys.order.chunks(LOAD_SIZE).enumerate() {
        for i in turns(contenders.len(), turn) {
            total[i] += contenders[i].load(part);
        }
    }
    let each = total
        .iter()
        .map(|total| vec![per(*total, keys.order.len())]);
    Line::new(LOAD, each.collect())
}

/// The numbers `0..n`, beginning elsewhere at each turn.
fn turns(n: usize, turn: usize) -> impl Iterator<Item = usize> {
    (0..n).map(move |i| (i + turn) % n)
}

fn rounds(options: &Options, contenders: &mut [Box<dyn Contender>], work: Work) -> Vec<Line> {
    eprintln!("{}", work.row().title);
    let most = match work {
        Work::UpsertOne | Work::UpsertHundred => MOST_WRITES,
        Work::DeleteOne => MOST_WRITES.min(options.records / 2),
        _ => MOST,
    };
    let times: Vec<usize> = contenders
        .iter_mut()
        .map(|it| pace(&mut **it, work, options.slice, most))
        .collect();
    let mut samples = vec![Vec::with_capacity(options.rounds); contenders.len()];
    let mut beside = samples.clone();
    for round in 0..options.rounds {
        for i in turns(contenders.len(), round) {
            let Done {
                units,
                elapsed,
                commits,
            } = contenders[i].work(work, times[i], options.slice);
            samples[i].push(per(elapsed, units));
            if work == Work::GetBesideWriter {
                beside[i].push(per(elapsed, usize::try_from(commits).expect("it is small")));
            }
        }
    }
    let mut lines = vec![Line::new(work.row(), samples)];
    if work == Work::GetBesideWriter {
        lines.push(Line::new(COMMIT_BESIDE_READER, beside));
    }
    lines
}

/// How often the work can be done in a slice; finding out warms the system up.
fn pace(contender: &mut dyn Contender, work: Work, slice: Duration, most: usize) -> usize {
    let mut times = 1;
    loop {
        let elapsed = contender.work(work, times, slice / 8).elapsed;
        if elapsed >= slice / 8 || times >= most {
            let fit = slice.as_secs_f64() / elapsed.as_secs_f64().max(1e-9);
            // Each factor is far below 2^53, and the product is cut to a range of `usize`.
            return whole((fit * float(times)).clamp(1.0, float(most)));
        }
        times = (times * 4).min(most);
    }
}

fn bytes(options: &Options, memory: &[Memory]) -> [Line; 2] {
    let all = |row: Row, each: fn(&Memory) -> f64, divisor: usize| {
        Line::new(
            row,
            memory
                .iter()
                .map(|it| vec![each(it) / float(divisor)])
                .collect(),
        )
    };
    let records = options.records;
    [
        all(BYTES_PER_RECORD, |it| it.kept, records),
        all(
            BYTES_PER_ENTRY,
            |it| it.kept - it.records,
            records * ENTRIES,
        ),
    ]
}

/// Nanoseconds per unit.
fn per(elapsed: Duration, units: usize) -> f64 {
    elapsed.as_secs_f64() * 1e9 / float(units.max(1))
}

#[expect(clippy::cast_precision_loss, reason = "counts here are far below 2^53")]
fn float(n: usize) -> f64 {
    n as f64
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the caller keeps it between 1 and a small bound"
)]
fn whole(x: f64) -> usize {
    x as usize
}
