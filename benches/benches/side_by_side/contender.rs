//! One system in the contest: it, and how each kind of work is done with it.

use std::fmt::Debug;
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use highwater_benches::check::check;
use highwater_benches::data::{Data, LOAD, Random, Service, Texts};
use highwater_benches::systems::{System, Visitor, visit};

use crate::work::Work;

/// The records, and the orders in which they are asked for: the same for all systems.
pub(crate) struct Keys {
    pub(crate) data: Data,
    /// Every record once, in random order.
    pub(crate) order: Vec<usize>,
    /// The ids in that order.
    ids: Texts,
    nodes: Texts,
    prefixes: Texts,
}

impl Keys {
    pub(crate) fn new(records: usize) -> Self {
        let data = Data::new(records);
        let mut random = Random::new(2);
        let order = random.permutation(records);
        let ids = Texts::new(order.iter().map(|&i| Data::id(i)));
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
            ids,
            nodes,
            prefixes,
        }
    }
}

/// What a system did in a slice.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Done {
    /// Operations, or records where the row counts records.
    pub(crate) units: usize,
    pub(crate) elapsed: Duration,
    /// Commits of the writer beside, if there was one.
    pub(crate) commits: u64,
}

/// A system with everything but its type.
pub(crate) trait Contender {
    fn name(&self) -> &'static str;
    fn title(&self) -> &'static str;
    fn how(&self) -> &'static str;
    /// Writes a part of the first load.
    fn load(&self, part: &[usize]) -> Duration;
    /// Does some work `times` times (or for `slice`, where a second thread is at work).
    fn work(&mut self, work: Work, times: usize, slice: Duration) -> Done;
    /// Panics if the system does not do the work it is measured for.
    fn check(&mut self);
}

struct Entrant<S> {
    system: S,
    keys: Arc<Keys>,
    /// Where in the random order it goes on.
    at: usize,
    /// The last revision it has written.
    revision: u64,
}

/// Makes the contender called `name`, which must be the name of a system.
pub(crate) fn contender(name: &str, keys: &Arc<Keys>) -> Box<dyn Contender> {
    struct Enter {
        keys: Arc<Keys>,
        made: Option<Box<dyn Contender>>,
    }
    impl Visitor for Enter {
        fn visit<S: System + 'static>(&mut self) {
            let keys = Arc::clone(&self.keys);
            self.made = Some(Box::new(Entrant {
                system: S::create(),
                keys,
                at: 0,
                revision: 0,
            }));
        }
    }
    let mut enter = Enter {
        keys: Arc::clone(keys),
        made: None,
    };
    visit(name, &mut enter);
    enter.made.expect("options name systems that there are")
}

/// Reads a little of each record it is shown, so that none is fetched or decoded in vain.
#[derive(Default)]
struct Eye {
    seen: usize,
    ports: u64,
}

impl Eye {
    fn see(&mut self, service: &Service) {
        self.seen += 1;
        self.ports = self.ports.wrapping_add(u64::from(black_box(service).port));
    }
}

impl Drop for Eye {
    fn drop(&mut self) {
        black_box(self.ports);
    }
}

impl<S: System> Contender for Entrant<S> {
    fn name(&self) -> &'static str {
        S::NAME
    }

    fn title(&self) -> &'static str {
        S::TITLE
    }

    fn how(&self) -> &'static str {
        S::HOW
    }

    fn load(&self, part: &[usize]) -> Duration {
        let records: Vec<Service> = part.iter().map(|&i| self.keys.data.record(i, 0)).collect();
        let start = Instant::now();
        self.system.upsert(records);
        start.elapsed()
    }

    fn check(&mut self) {
        self.revision += 1;
        check(&self.system, &self.keys.data, self.revision);
    }

    fn work(&mut self, work: Work, times: usize, slice: Duration) -> Done {
        let at = self.at;
        self.at = (at + times) % self.keys.order.len();
        match work {
            Work::Get => self.get(at, times),
            Work::View => self.view(times),
            Work::ViewAndGet => self.view_and_get(at, times),
            Work::ListByNode => self.list(&self.keys.nodes, at, times, |view, node, eye| {
                S::by_node(view, node, |service| eye.see(service));
            }),
            Work::Scan => self.scan(times),
            Work::ScanPrefix => self.list(&self.keys.prefixes, at, times, |view, prefix, eye| {
                S::by_prefix(view, prefix, |service| eye.see(service));
            }),
            Work::UpsertOne => self.upsert(at, times, 1),
            Work::UpsertHundred => self.upsert(at, times, 100),
            Work::DeleteOne => self.delete(at, times),
            Work::GetBesideWriter => self.get_beside_writer(at, slice),
        }
    }
}

impl<S: System> Entrant<S> {
    fn get(&self, at: usize, times: usize) -> Done {
        let ids = self.keys.ids.cycle_from(at).take(times);
        let view = self.system.view();
        let mut eye = Eye::default();
        let start = Instant::now();
        for id in ids {
            S::get(&view, id, |service| eye.see(service));
        }
        let elapsed = start.elapsed();
        assert_eq!(eye.seen, times, "{} finds every id", S::NAME);
        Done {
            units: times,
            elapsed,
            commits: 0,
        }
    }

    fn view(&self, times: usize) -> Done {
        let start = Instant::now();
        for _ in 0..times {
            black_box(&self.system.view());
        }
        Done {
            units: times,
            elapsed: start.elapsed(),
            commits: 0,
        }
    }

    fn view_and_get(&self, at: usize, times: usize) -> Done {
        let ids = self.keys.ids.cycle_from(at).take(times);
        let mut eye = Eye::default();
        let start = Instant::now();
        for id in ids {
            S::get(&self.system.view(), id, |service| eye.see(service));
        }
        let elapsed = start.elapsed();
        assert_eq!(eye.seen, times, "{} finds every id", S::NAME);
        Done {
            units: times,
            elapsed,
            commits: 0,
        }
    }

    fn list(
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
        Done {
            units: times,
            elapsed,
            commits: 0,
        }
    }

    fn scan(&self, times: usize) -> Done {
        let view = self.system.view();
        let mut eye = Eye::default();
        let start = Instant::now();
        for _ in 0..times {
            S::scan(&view, |service| eye.see(service));
        }
        let elapsed = start.elapsed();
        assert_eq!(
            eye.seen,
            times * self.keys.order.len(),
            "{} sees every record",
            S::NAME
        );
        Done {
            units: eye.seen,
            elapsed,
            commits: 0,
        }
    }

    /// Records of a new revision, from number `at` of the random order on.
    fn next_revision(&mut self, at: usize) -> impl Iterator<Item = Service> + use<'_, S> {
        self.revision += 1;
        let (data, revision) = (&self.keys.data, self.revision);
        self.keys
            .order
            .iter()
            .cycle()
            .skip(at)
            .map(move |&i| data.record(i, revision))
    }

    fn upsert(&mut self, at: usize, times: usize, per_commit: usize) -> Done {
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
        Done {
            units: times,
            elapsed: start.elapsed(),
            commits: 0,
        }
    }

    fn delete(&mut self, at: usize, times: usize) -> Done {
        let times = times.min(self.keys.order.len());
        let ids = self.keys.ids.cycle_from(at).take(times);
        let mut deleted = 0;
        let start = Instant::now();
        for id in ids {
            deleted += usize::from(self.system.delete(id));
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
        Done {
            units: times,
            elapsed,
            commits: 0,
        }
    }

    fn get_beside_writer(&mut self, at: usize, slice: Duration) -> Done {
        /// Reads between looks at the clock.
        const STRIDE: usize = 16;

        self.revision += 1;
        let (keys, system, revision) = (&*self.keys, &self.system, self.revision);
        // The writer is half way round from the reader.
        let to_write = keys.order.iter().cycle().skip(at + keys.order.len() / 2);
        let (stop, commits) = (&AtomicBool::new(false), &AtomicU64::new(0));
        let done = std::thread::scope(|scope| {
            scope.spawn(move || {
                for &i in to_write {
                    system.upsert([keys.data.record(i, revision)]);
                    commits.fetch_add(1, Ordering::Relaxed);
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                }
            });
            while commits.load(Ordering::Relaxed) == 0 {
                std::thread::yield_now();
            }
            let mut ids = keys.ids.cycle_from(at);
            let mut eye = Eye::default();
            let (before, start) = (commits.load(Ordering::Relaxed), Instant::now());
            let mut elapsed = Duration::ZERO;
            while elapsed < slice {
                for id in ids.by_ref().take(STRIDE) {
                    S::get(&system.view(), id, |service| eye.see(service));
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
        self.at = (at + done.units) % self.keys.order.len();
        done
    }
}
