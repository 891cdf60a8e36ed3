//! A system at work: it, its records, and each kind of work that is timed.

use std::fmt::Debug;
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::check;
use crate::data::{Data, LOAD, Random, Texts};
use crate::pace::Done;
use crate::record::{Keys, Record};
use crate::systems::System;

/// The records, and the orders in which they are asked for: the same for all systems.
#[derive(Debug)]
pub struct Orders<R: Record> {
    /// The records.
    pub data: Data,
    /// Every record once, in random order.
    pub order: Vec<usize>,
    /// The keys in that order.
    keys: R::Keys,
    /// Nodes in random order.
    pub nodes: Texts,
    /// Prefixes of ids that are text, in random order.
    pub prefixes: Texts,
}

impl<R: Record> Orders<R> {
    /// The orders of so many records.
    pub fn new(records: usize) -> Self {
        let data = Data::new(records);
        let mut random = Random::new(2);
        let order = random.permutation(records);
        let keys = R::keys(&order);
        let nodes = Texts::new(random.permutation(data.nodes()).into_iter().map(Data::node));
        let prefixes = Texts::new(
            random
                .permutation(data.prefixes())
                .into_iter()
                .map(Data::prefix),
        );
        Self {
            data,
            order,
            keys,
            nodes,
            prefixes,
        }
    }
}

/// A system and where it is in the work.
#[derive(Debug)]
pub struct Entrant<R: Record, S> {
    /// The system.
    pub system: S,
    /// What it is asked for.
    pub orders: Arc<Orders<R>>,
    /// Where in the random order it goes on.
    at: usize,
    /// The last revision it has written.
    revision: u64,
}

/// Reads a little of each record it is shown, so that none is fetched or decoded in vain.
#[derive(Debug, Default)]
pub struct Eye {
    seen: usize,
    ports: u64,
}

impl Eye {
    /// Looks at a record.
    pub fn see(&mut self, record: &impl Record) {
        self.seen += 1;
        self.ports = self.ports.wrapping_add(u64::from(black_box(record).port()));
    }
}

impl Drop for Eye {
    fn drop(&mut self) {
        black_box(self.ports);
    }
}

impl<R: Record, S: System<R>> Entrant<R, S> {
    /// An empty system.
    pub fn new(orders: Arc<Orders<R>>) -> Self {
        Self {
            system: S::create(),
            orders,
            at: 0,
            revision: 0,
        }
    }

    /// Where to begin in the random order so as not to do the last work again.
    pub fn advance(&mut self, by: usize) -> usize {
        let at = self.at;
        self.at = (at + by) % self.orders.order.len();
        at
    }

    /// A revision that no record has been written with.
    pub fn revise(&mut self) -> u64 {
        self.revision += 1;
        self.revision
    }

    /// Writes a part of the first load, in one transaction.
    pub fn load(&self, part: &[usize]) -> Duration {
        let records: Vec<R> = part
            .iter()
            .map(|&i| self.orders.data.record(i, 0))
            .collect();
        let start = Instant::now();
        self.system.upsert(records);
        start.elapsed()
    }

    /// What the system's answers come to ([`check::sum`]).
    pub fn sum(&self) -> u64 {
        check::sum(&self.system, &self.orders.data)
    }

    /// Gets records on one view.
    pub fn get(&self, at: usize, times: usize) -> Done {
        let keys = self.orders.keys.cycle_from(at).take(times);
        let view = self.system.view();
        let mut eye = Eye::default();
        let start = Instant::now();
        for key in keys {
            S::get(&view, key, |record| eye.see(record));
        }
        let elapsed = start.elapsed();
        assert_eq!(eye.seen, times, "{} finds every id", S::NAME);
        Done::alone(times, elapsed)
    }

    /// Takes and drops views.
    pub fn view(&self, times: usize) -> Done {
        let start = Instant::now();
        for _ in 0..times {
            black_box(&self.system.view());
        }
        Done::alone(times, start.elapsed())
    }

    /// Gets records, each on a view of its own.
    pub fn view_and_get(&self, at: usize, times: usize) -> Done {
        let keys = self.orders.keys.cycle_from(at).take(times);
        let mut eye = Eye::default();
        let start = Instant::now();
        for key in keys {
            S::get(&self.system.view(), key, |record| eye.see(record));
        }
        let elapsed = start.elapsed();
        assert_eq!(eye.seen, times, "{} finds every id", S::NAME);
        Done::alone(times, elapsed)
    }

    /// Lists what is under each of `keys`, on one view.
    pub fn list(
        &self,
        keys: &Texts,
        at: usize,
        times: usize,
        list: impl Fn(&S::View<'_>, &str, &mut Eye),
    ) -> Done {
        let keys = keys.cycle_from(at).take(times);
        let view = self.system.view();
        let mut eye = Eye::default();
        let start = Instant::now();
        for key in keys {
            list(&view, key, &mut eye);
        }
        let elapsed = start.elapsed();
        assert!(
            eye.seen >= times,
            "{} finds something under every key",
            S::NAME
        );
        Done::alone(times, elapsed)
    }

    /// Sees all records, on one view.
    pub fn scan(&self, times: usize) -> Done {
        let view = self.system.view();
        let mut eye = Eye::default();
        let start = Instant::now();
        for _ in 0..times {
            S::scan(&view, |record| eye.see(record));
        }
        let elapsed = start.elapsed();
        assert_eq!(
            eye.seen,
            times * self.orders.order.len(),
            "{} sees every record",
            S::NAME
        );
        Done::alone(eye.seen, elapsed)
    }

    /// Records of a new revision, from number `at` of the random order on.
    fn next_revision(&mut self, at: usize) -> impl Iterator<Item = R> + use<'_, R, S> {
        let revision = self.revise();
        let data = &self.orders.data;
        self.orders
            .order
            .iter()
            .cycle()
            .skip(at)
            .map(move |&i| data.record(i, revision))
    }

    /// Replaces records, so many in a commit.
    pub fn upsert(&mut self, at: usize, times: usize, per_commit: usize) -> Done {
        let times = times.next_multiple_of(per_commit);
        let mut records = self
            .next_revision(at)
            .take(times)
            .collect::<Vec<_>>()
            .into_iter();
        let start = Instant::now();
        while !records.as_slice().is_empty() {
            self.system.upsert(records.by_ref().take(per_commit));
        }
        Done::alone(times, start.elapsed())
    }

    /// Deletes records, each in a commit of its own, and puts them back untimed.
    pub fn delete(&mut self, at: usize, times: usize) -> Done {
        let times = times.min(self.orders.order.len());
        let keys = self.orders.keys.cycle_from(at).take(times);
        let mut deleted = 0;
        let start = Instant::now();
        for key in keys {
            deleted += usize::from(self.system.delete(key));
        }
        let elapsed = start.elapsed();
        assert_eq!(deleted, times, "{} finds what to delete", S::NAME);
        let mut records = self
            .next_revision(at)
            .take(times)
            .collect::<Vec<_>>()
            .into_iter();
        while !records.as_slice().is_empty() {
            self.system.upsert(records.by_ref().take(LOAD));
        }
        Done::alone(times, elapsed)
    }

    /// Gets records, each on a view of its own, beside a writer, for as long as `slice`.
    pub fn get_beside_writer(&mut self, at: usize, slice: Duration) -> Done {
        /// Reads between looks at the clock.
        const STRIDE: usize = 16;

        let revision = self.revise();
        let (orders, system) = (&*self.orders, &self.system);
        // The writer is half way round from the reader.
        let to_write = orders
            .order
            .iter()
            .cycle()
            .skip(at + orders.order.len() / 2);
        let (stop, commits) = (&AtomicBool::new(false), &AtomicU64::new(0));
        let done = std::thread::scope(|scope| {
            scope.spawn(move || {
                for &i in to_write {
                    system.upsert([orders.data.record(i, revision)]);
                    commits.fetch_add(1, Ordering::Relaxed);
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                }
            });
            while commits.load(Ordering::Relaxed) == 0 {
                std::thread::yield_now();
            }
            let mut keys = orders.keys.cycle_from(at);
            let mut eye = Eye::default();
            let (before, start) = (commits.load(Ordering::Relaxed), Instant::now());
            let mut elapsed = Duration::ZERO;
            while elapsed < slice {
                for key in keys.by_ref().take(STRIDE) {
                    S::get(&system.view(), key, |record| eye.see(record));
                }
                elapsed = start.elapsed();
            }
            let commits = commits.load(Ordering::Relaxed) - before;
            stop.store(true, Ordering::Relaxed);
            Done {
                units: eye.seen,
                elapsed,
                commits,
            }
        });
        self.advance(done.units);
        done
    }
}
