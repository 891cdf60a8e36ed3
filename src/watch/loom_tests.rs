//! Every interleaving of two or three threads, under `--cfg loom`.
//!
//! `wait` has no deadline here (loom's clock stands still): a wake-up that is lost shows as a
//! deadlock. An atomic number, written and read relaxed, stands for the published root, so that
//! nothing but the room's own fences orders it.
use super::*;
use crate::sync::{AtomicU64, thread};
use loom::sync::Notify;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Wake, Waker};
use std::time::{Duration, Instant};

struct Changed(usize, &'static [u8]);

impl ChangedKeys for Changed {
    fn for_each(&self, tree: usize, f: &mut dyn FnMut(&[u8])) {
        if tree == self.0 {
            f(self.1);
        }
    }

    fn version(&self) -> u64 {
        1
    }
}

/// The waker of a task that is a thread.
struct Woken(Notify);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.notify();
    }
}

const HISTORY: HistoryId = HistoryId(1);

fn at(index: u64) -> Position {
    Position {
        history: HISTORY,
        index: LogIndex(index),
    }
}

fn point(tree: usize) -> (usize, Region) {
    (tree, Region::Point((*b"k").into()))
}

fn never() -> Instant {
    Instant::now() + Duration::from_secs(1 << 20)
}

impl Watches {
    /// A watch that has seen nothing yet.
    fn register(self: &Arc<Self>, regions: Vec<(usize, Region)>) -> Watch {
        self.register_seen(regions, 0)
    }
}

fn assert_empty(watches: &Arc<Watches>) {
    assert_eq!(watches.len(), 0);
    assert!(
        watches
            .trees
            .iter()
            .all(|registry| lock(registry).is_empty())
    );
    assert!(lock(&watches.indexes).take_all().is_empty());
    assert_eq!(Arc::strong_count(watches), 1);
}

/// A store as far as this room is concerned.
fn model(trees: usize, check: impl Fn(Arc<Watches>, Arc<AtomicU64>) + Sync + Send + 'static) {
    bounded_model(trees, None, check);
}

/// The same with so many preemptions at most: for three threads.
fn bounded_model(
    trees: usize,
    preemptions: Option<usize>,
    check: impl Fn(Arc<Watches>, Arc<AtomicU64>) + Sync + Send + 'static,
) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = preemptions.or(builder.preemption_bound);
    builder.check(move || {
        let watches = Watches::new(trees);
        check(Arc::clone(&watches), Arc::new(AtomicU64::new(0)));
        assert_empty(&watches);
    });
}

fn publish(root: &AtomicU64, watches: &Watches, changed: &Changed) {
    root.store(1, Ordering::Relaxed);
    watches.published(at(1), changed);
}

#[test]
fn loom_register_vs_published() {
    model(1, |watches, root| {
        let writer = {
            let (watches, root) = (Arc::clone(&watches), Arc::clone(&root));
            thread::spawn(move || publish(&root, &watches, &Changed(0, b"k")))
        };
        let seen = root.load(Ordering::Relaxed);
        let watch = watches.register_seen(vec![point(0)], seen);
        if root.load(Ordering::Relaxed) == seen && seen == 0 {
            assert!(watch.wait(never()));
            assert_eq!(root.load(Ordering::Relaxed), 1);
        } else if seen == 1 {
            // What it has seen does not fire it.
            assert!(!watch.has_fired());
        }
        drop(watch);
        writer.join().unwrap();
    });
}

#[test]
fn loom_register_in_two_trees_vs_published() {
    model(2, |watches, root| {
        let writer = {
            let (watches, root) = (Arc::clone(&watches), Arc::clone(&root));
            thread::spawn(move || publish(&root, &watches, &Changed(1, b"k")))
        };
        let watch = watches.register(vec![point(0), point(1)]);
        if root.load(Ordering::Relaxed) == 0 {
            assert!(watch.wait(never()));
        }
        drop(watch);
        writer.join().unwrap();
    });
}

#[test]
fn loom_fire_vs_drop() {
    model(2, |watches, root| {
        let watch = watches.register(vec![point(0), point(1)]);
        let writer = {
            let (watches, root) = (Arc::clone(&watches), Arc::clone(&root));
            thread::spawn(move || publish(&root, &watches, &Changed(1, b"k")))
        };
        drop(watch);
        writer.join().unwrap();
    });
}

/// A member's number is not given to another while it is still being fired.
#[test]
fn loom_fire_vs_drop_and_register() {
    model(1, |watches, root| {
        let watch = watches.register(vec![point(0)]);
        let writer = {
            let (watches, root) = (Arc::clone(&watches), Arc::clone(&root));
            thread::spawn(move || publish(&root, &watches, &Changed(0, b"k")))
        };
        drop(watch);
        let next = watches.register_seen(vec![point(0)], 1);
        writer.join().unwrap();
        assert!(!next.has_fired());
        assert_eq!(watches.len(), 1);
        next.fire();
        assert_eq!(watches.len(), 0);
    });
}

#[test]
fn loom_two_commits_fire_one_watch() {
    model(1, |watches, root| {
        let watch = watches.register(vec![point(0)]);
        let writers: Vec<_> = (0..2)
            .map(|_| {
                let (watches, root) = (Arc::clone(&watches), Arc::clone(&root));
                thread::spawn(move || publish(&root, &watches, &Changed(0, b"k")))
            })
            .collect();
        assert!(watch.wait(never()));
        drop(watch);
        for writer in writers {
            writer.join().unwrap();
        }
    });
}

#[test]
fn loom_wait_vs_fire() {
    model(1, |watches, _| {
        let watch = Arc::new(watches.register(vec![point(0)]));
        let other = {
            let watch = Arc::clone(&watch);
            thread::spawn(move || assert!(watch.wait(never())))
        };
        watch.fire();
        assert!(watch.wait(never()));
        other.join().unwrap();
    });
}

#[test]
fn loom_poll_vs_fire() {
    model(1, |watches, root| {
        let mut watch = watches.register(vec![point(0)]);
        let writer = {
            let (watches, root) = (Arc::clone(&watches), Arc::clone(&root));
            thread::spawn(move || publish(&root, &watches, &Changed(0, b"k")))
        };
        let woken = Arc::new(Woken(Notify::new()));
        let waker = Waker::from(Arc::clone(&woken));
        while Pin::new(&mut watch)
            .poll(&mut Context::from_waker(&waker))
            .is_pending()
        {
            woken.0.wait();
        }
        drop(watch);
        writer.join().unwrap();
    });
}

#[test]
fn loom_end_vs_register() {
    model(1, |watches, _| {
        let ender = {
            let watches = Arc::clone(&watches);
            thread::spawn(move || watches.end(Ended::Closed))
        };
        let watch = watches.register(vec![point(0)]);
        assert!(watch.wait(never()));
        assert_eq!(watches.ended(), Some(Ended::Closed));
        let waiter = watches.register_index(HISTORY, LogIndex(1));
        assert!(waiter.wait(never()));
        drop((watch, waiter));
        ender.join().unwrap();
    });
}

#[test]
fn loom_join_vs_published() {
    model(1, |watches, root| {
        let first = watches.register(vec![(0, Region::Point((*b"j").into()))]);
        let second = watches.register(vec![point(0)]);
        let writer = {
            let (watches, root) = (Arc::clone(&watches), Arc::clone(&root));
            thread::spawn(move || publish(&root, &watches, &Changed(0, b"k")))
        };
        let mut set = WatchSet::new();
        set.add(first);
        set.add(second);
        assert!(set.wait(never()));
        drop(set);
        writer.join().unwrap();
    });
}

#[test]
fn loom_coarsen_vs_published() {
    model(1, |watches, root| {
        let keys: [&[u8]; 3] = [b"i", b"j", b"k"];
        let watch = watches.register(keys.map(|key| (0, Region::Point(key.into()))).to_vec());
        let writer = {
            let (watches, root) = (Arc::clone(&watches), Arc::clone(&root));
            thread::spawn(move || publish(&root, &watches, &Changed(0, b"k")))
        };
        watches.coarsen(&watch.shared, 2);
        assert!(watch.wait(never()));
        drop(watch);
        writer.join().unwrap();
    });
}

#[test]
fn loom_coarsen_vs_end() {
    model(1, |watches, _| {
        let keys: [&[u8]; 3] = [b"i", b"j", b"k"];
        let watch = watches.register(keys.map(|key| (0, Region::Point(key.into()))).to_vec());
        let ender = {
            let watches = Arc::clone(&watches);
            thread::spawn(move || watches.end(Ended::Closed))
        };
        watches.coarsen(&watch.shared, 2);
        assert!(watch.wait(never()));
        drop(watch);
        ender.join().unwrap();
    });
}

/// The driver's word is written under a lock, under which it is looked at, too.
#[test]
fn loom_contact_vs_register() {
    model(1, |watches, _| {
        let word = Arc::new(Mutex::new(false));
        let driver = {
            let (watches, word) = (Arc::clone(&watches), Arc::clone(&word));
            thread::spawn(move || {
                *lock(&word) = true;
                watches.contacted();
            })
        };
        let watch = watches.register_contact();
        if !*lock(&word) {
            assert!(watch.wait(never()));
        }
        drop(watch);
        driver.join().unwrap();
    });
}

/// What may happen to a store, each seen as a new root.
const EVENTS: [fn(&AtomicU64, &Watches); 3] = [
    |root, watches| publish(root, watches, &Changed(0, b"k")),
    |root, watches| {
        root.store(1, Ordering::Relaxed);
        watches.restored();
    },
    |root, watches| {
        root.store(1, Ordering::Relaxed);
        watches.end(Ended::Closed);
    },
];

/// Each event, on a thread of its own, beside what `holder` does; before that `prepare` is called.
fn beside_each_event<T: 'static>(
    prepare: fn(&Arc<Watches>) -> T,
    holder: fn(T, &Arc<Watches>, &AtomicU64),
) {
    for event in EVENTS {
        model(1, move |watches, root| {
            let prepared = prepare(&watches);
            let other = {
                let (watches, root) = (Arc::clone(&watches), Arc::clone(&root));
                thread::spawn(move || event(&root, &watches))
            };
            holder(prepared, &watches, &root);
            other.join().unwrap();
        });
    }
}

#[test]
fn loom_register_vs_each_event() {
    beside_each_event(
        |_| (),
        |(), watches, root| {
            let watch = watches.register(vec![point(0)]);
            if root.load(Ordering::Relaxed) == 0 {
                assert!(watch.wait(never()));
                assert_eq!(root.load(Ordering::Relaxed), 1);
            }
        },
    );
}

#[test]
fn loom_drop_vs_each_event() {
    beside_each_event(
        |watches| watches.register(vec![point(0)]),
        |watch, _, _| drop(watch),
    );
}

/// Who has waited long enough goes, and comes again.
#[test]
fn loom_deadline_vs_each_event() {
    beside_each_event(
        |watches| watches.register(vec![point(0)]),
        |watch, watches, root| {
            if watch.wait(Instant::now()) {
                assert_eq!(root.load(Ordering::Relaxed), 1);
                return;
            }
            drop(watch);
            let again = watches.register(vec![point(0)]);
            if root.load(Ordering::Relaxed) == 0 {
                assert!(again.wait(never()));
            }
        },
    );
}

#[test]
fn loom_join_vs_each_event() {
    beside_each_event(
        |watches| {
            let other = (0, Region::Point((*b"j").into()));
            [vec![point(0)], vec![other]].map(|part| watches.register(part))
        },
        |[first, second], _, root| {
            let mut set: WatchSet = [first].into_iter().collect();
            set.add(second);
            assert!(set.wait(never()));
            assert_eq!(root.load(Ordering::Relaxed), 1);
        },
    );
}

#[test]
fn loom_index_waiter_registers_vs_each_event() {
    beside_each_event(
        |_| (),
        |(), watches, root| {
            let waiter = watches.register_index(HISTORY, LogIndex(1));
            if root.load(Ordering::Relaxed) == 0 {
                assert!(waiter.wait(never()));
                assert_eq!(root.load(Ordering::Relaxed), 1);
            }
        },
    );
}

#[test]
fn loom_index_waiter_goes_vs_each_event() {
    beside_each_event(
        |watches| watches.register_index(HISTORY, LogIndex(1)),
        |waiter, _, root| {
            if waiter.wait(Instant::now()) {
                assert_eq!(root.load(Ordering::Relaxed), 1);
            }
        },
    );
}

#[test]
fn loom_events_vs_one_another() {
    for [first, second] in [[0, 1], [0, 2], [1, 2]] {
        bounded_model(1, Some(2), move |watches, root| {
            let watch = watches.register(vec![point(0)]);
            let others = [first, second].map(|event| {
                let (watches, root) = (Arc::clone(&watches), Arc::clone(&root));
                thread::spawn(move || EVENTS[event](&root, &watches))
            });
            assert!(watch.wait(never()));
            drop(watch);
            for other in others {
                other.join().unwrap();
            }
        });
    }
}
