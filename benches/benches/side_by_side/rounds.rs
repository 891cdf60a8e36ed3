//! The contest: the load, then round after round of slices.

use std::sync::Arc;
use std::time::Duration;

use highwater_benches::data::{ENTRIES, LOAD as LOAD_SIZE};
use highwater_benches::entrant::Orders;
use highwater_benches::memory::Memory;
use highwater_benches::pace::{Done, MOST, MOST_WRITES, float, pace, per};
use highwater_benches::record::Service;

use crate::contender::{Contender, contender};
use crate::options::Options;
use crate::report::{Column, Line, Report};
use crate::work::{BYTES_PER_ENTRY, BYTES_PER_RECORD, COMMIT_BESIDE_READER, LOAD, Row, Work};

/// Measures everything and checks, before and after, that all systems do the work. Their answers
/// have to come to the same, and to `sum` if there is one.
pub(crate) fn measure(options: &Options, memory: &[Memory], sum: Option<&str>) -> Report {
    let keys = Arc::new(Orders::new(options.records));
    let mut contenders: Vec<_> = options
        .systems
        .iter()
        .map(|name| contender(name, &keys))
        .collect();

    let mut lines = vec![load(&contenders, &keys)];
    let mut sum = sum.map(str::to_owned);
    for contender in &mut contenders {
        let own = format!("{:016x}", contender.sum());
        let others = sum.get_or_insert(own.clone());
        assert_eq!(
            own,
            *others,
            "{} answers as the others do",
            contender.name()
        );
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

fn load(contenders: &[Box<dyn Contender>], keys: &Orders<Service>) -> Line {
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
        .map(|it| {
            pace(options.slice, most, |times| {
                it.work(work, times, options.slice / 8)
            })
        })
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
