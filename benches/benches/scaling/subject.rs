//! What the process of one system does: it loads, says what its answers come to, and is timed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use highwater_benches::data::{Data, Random, Texts};
use highwater_benches::entrant::{Entrant, Orders};
use highwater_benches::figures::{Subject, say};
use highwater_benches::machine::resident;
use highwater_benches::pace::{Done, MOST, MOST_WRITES, float, pace, per};
use highwater_benches::record::Record;
use highwater_benches::systems::{KeyedVisitor, System, visit_keyed};
use highwater_benches::tables::COMMIT;
use highwater_benches::trees::{self, Tree, TreeVisitor, item, visit_tree};

use crate::options::{Asked, Level, Options};

/// Records in one commit. go-memdb's cost jumps somewhere about 2,500.
const SIZES: [usize; 9] = [1, 10, 100, 1_000, 2_000, 3_000, 10_000, 100_000, 1_000_000];

/// Commits of one size that took so long are enough, however few.
const ENOUGH: Duration = Duration::from_secs(2);
/// A commit that is expected to take longer is not made, nor are larger ones.
const LONGEST: Duration = Duration::from_mins(2);

/// How many commits of a size make a sample, and how many samples are taken at most.
fn commits_of(size: usize) -> (usize, usize) {
    match size {
        ..=3_000 => (2_000_usize.div_ceil(size), 9),
        3_001..=10_000 => (1, 3),
        _ => (1, 1),
    }
}

/// Does what is asked and prints the figures.
pub(crate) fn measure(asked: &Asked) -> Result<(), String> {
    let Asked { system, options } = asked;
    let (&[keys], &[records]) = (&options.keys[..], &options.records[..]) else {
        return Err("--subject wants one kind of keys and one number of records".to_owned());
    };
    let mut timed = Timed {
        options,
        subject: Subject {
            level: options.level.name(),
            system,
            keys,
            records,
        },
    };
    let known = match options.level {
        Level::Table => visit_keyed(system, keys, &mut timed),
        Level::Tree => visit_tree(system, &mut timed),
    };
    if known {
        Ok(())
    } else {
        Err(format!("there is no {system}"))
    }
}

struct Timed<'a> {
    options: &'a Options,
    subject: Subject<'a>,
}

impl Timed<'_> {
    fn say(&self, row: &str, samples: Vec<f64>) {
        say(&self.subject.figure(row, "ns", samples));
    }

    /// Times a row in slices, if it is wanted.
    fn rounds(&self, row: &str, most: usize, mut work: impl FnMut(usize) -> Done) {
        if !self.options.wants(row) {
            return;
        }
        let times = pace(self.options.slice, most, &mut work);
        let samples = (0..self.options.rounds).map(|_| work(times).per_unit());
        self.say(row, samples.collect());
    }

    fn sizes<R: Record, S: System<R>>(&self, entrant: &mut Entrant<R, S>) {
        let mut before = Duration::ZERO;
        for size in SIZES.into_iter().filter(|&it| it <= self.subject.records) {
            // A record is expected to cost what it did in smaller commits.
            if before.as_secs_f64() * float(size) > LONGEST.as_secs_f64() {
                eprintln!("left out: commits of {size} records take too long");
                break;
            }
            let (commits, most) = commits_of(size);
            let (mut samples, mut spent) = (Vec::new(), Duration::ZERO);
            while samples.len() < most && spent < ENOUGH {
                let at = entrant.advance(size * commits);
                let done = entrant.upsert(at, size * commits, size);
                spent += done.elapsed;
                before = done.elapsed.div_f64(float(done.units));
                samples.push(done.per_unit());
            }
            self.say(&format!("{COMMIT}{size}"), samples);
        }
    }
}

impl KeyedVisitor for Timed<'_> {
    fn visit<R: Record, S: System<R> + 'static>(&mut self) {
        let orders = Arc::new(Orders::<R>::new(self.subject.records));
        let mut entrant = Entrant::<R, S>::new(Arc::clone(&orders));
        // Not timed, so in transactions that grow with the records: maps that are shared with
        // nobody are edited in place.
        let before = resident();
        for part in orders.order.chunks(Data::large_load(orders.data.len())) {
            entrant.load(part);
        }
        if self.options.wants("resident")
            && let (Some(before), Some(after)) = (before, resident())
        {
            let per_record = (after - before) / float(self.subject.records);
            say(&self
                .subject
                .figure("resident_per_record", "bytes", vec![per_record]));
        }
        say(&self.subject.sum(entrant.sum()));
        self.rounds("get", MOST, |times| {
            let at = entrant.advance(times);
            entrant.get(at, times)
        });
        self.rounds("upsert_1", MOST_WRITES, |times| {
            let at = entrant.advance(times);
            entrant.upsert(at, times, 1)
        });
        self.rounds("scan", MOST, |times| entrant.scan(times));
        if self.options.wants("sizes") {
            self.sizes(&mut entrant);
        }
        // Millions of nodes need not be freed one by one.
        std::mem::forget(entrant);
    }
}

impl TreeVisitor for Timed<'_> {
    fn visit<T: Tree + 'static>(&mut self) {
        let order = Random::new(2).permutation(self.subject.records);
        let ids = Texts::new(order.iter().map(|&i| Data::id(i)));
        let mut tree = T::create();
        let items: Vec<_> = order.iter().map(|&i| item(i)).collect();
        let start = Instant::now();
        for item in items {
            tree.insert(item);
        }
        let filled = per(start.elapsed(), order.len());
        if self.options.wants("fill") {
            self.say("fill", vec![filled]);
        }
        say(&self.subject.sum(trees::sum(&tree, &ids)));

        let mut at = 0;
        let mut from = |times: usize| {
            let from = at;
            at = (at + times) % order.len();
            from
        };
        self.rounds("get", MOST, |times| {
            let ids = ids.cycle_from(from(times)).take(times);
            let (view, mut values) = (tree.view(), 0_u64);
            let start = Instant::now();
            for id in ids {
                T::get(&view, id, |item| values = values.wrapping_add(item.value));
            }
            let elapsed = start.elapsed();
            std::hint::black_box(values);
            Done::alone(times, elapsed)
        });
        self.rounds("iterate", MOST, |times| {
            let (view, mut seen, mut values) = (tree.view(), 0, 0_u64);
            let start = Instant::now();
            for _ in 0..times {
                T::walk(&view, |item| {
                    seen += 1;
                    values = values.wrapping_add(item.value);
                });
            }
            let elapsed = start.elapsed();
            std::hint::black_box(values);
            assert_eq!(seen, times * order.len(), "{} sees all", T::NAME);
            Done::alone(seen, elapsed)
        });
        self.rounds("replace", MOST_WRITES, |times| {
            let from = from(times);
            // Other values than before, so that something is written.
            let items: Vec<_> = (from..from + times)
                .map(|to| {
                    let mut item = item(order[to % order.len()]);
                    item.value = u64::try_from(to).expect("it is small");
                    item
                })
                .collect();
            let start = Instant::now();
            for item in items {
                tree.insert(item);
            }
            Done::alone(times, start.elapsed())
        });
        std::mem::forget(tree);
    }
}
