//! Blocking queries and watches: what wakes them, and what does not.

mod store_schema;

use highwater::{
    HistoryId, LogIndex, Position, Schema, Store, StoreOptions, Table, WaitError, WatchSet,
    WriteTxn,
};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use std::cell::Cell;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};
use store_schema::*;

/// A store with services `a`, `c`, `e`, `g` on nodes `n1`, `n1`, `n2`, `n2`.
fn store() -> Store<Catalog> {
    let store = Store::<Catalog>::new();
    commit_at(&store, 10, |txn| {
        for (id, node) in [("a", "n1"), ("c", "n1"), ("e", "n2"), ("g", "n2")] {
            txn.services_mut().insert(service(id, node, "s")).unwrap();
        }
    });
    store
}

fn put(txn: &mut WriteTxn<Catalog>, id: &str, on: &str, note: u32) {
    txn.services_mut()
        .upsert(Service {
            note,
            ..service(id, on, "s")
        })
        .unwrap();
}

/// What was read does not matter, but that it was.
fn ignore<T>(_: T) {}

/// Reads, then commits: whether the watch of what was read is fired, both when it was registered
/// before the commit and when the commit came between the read and the registration.
fn fires(read: impl Fn(&CatalogView), write: impl Fn(&mut WriteTxn<Catalog>)) -> bool {
    let before = store();
    let (answer, watch) = before.watch(&read);
    assert!(answer.changed && answer.index >= LogIndex(1) && !watch.has_fired());
    commit_at(&before, 20, &write);

    let between = store();
    let (_, late) = between.watch(|db| {
        read(db);
        commit_at(&between, 20, &write);
    });
    assert_eq!(watch.has_fired(), late.has_fired(), "before and between");
    // The index of the same query says so, too.
    let (again, _) = before.watch(&read);
    assert!(!watch.has_fired() || again.index == LogIndex(20));
    watch.has_fired()
}

#[test]
fn a_point_wakes_for_its_own_key() {
    let read = |db: &CatalogView| ignore(db.services().get("c"));
    assert!(fires(read, |txn| put(txn, "c", "n1", 1)));
    assert!(fires(read, |txn| drop(
        txn.services_mut().delete("c").unwrap()
    )));
    assert!(!fires(read, |txn| put(txn, "d", "n1", 1)));
    assert!(!fires(read, |txn| put(txn, "cc", "n1", 1)));
    assert!(!fires(read, |txn| drop(
        txn.services_mut().delete("a").unwrap()
    )));
    // A write that changes nothing, and one that leaves nothing.
    assert!(!fires(read, |txn| put(txn, "c", "n1", 0)));
    assert!(!fires(read, |txn| txn
        .nodes_mut()
        .insert(node("c", 1))
        .unwrap()));
    assert!(!fires(
        |db| ignore(db.services().contains("x")),
        |txn| {
            put(txn, "x", "n1", 0);
            txn.services_mut().delete("x").unwrap();
        }
    ));
}

#[test]
fn an_absent_key_wakes_when_it_comes() {
    let read = |db: &CatalogView| ignore(db.services().contains("d"));
    assert!(fires(read, |txn| put(txn, "d", "n1", 1)));
    for other in ["b", "c", "dd", "f"] {
        assert!(!fires(read, |txn| put(txn, other, "n1", 1)), "{other}");
    }
    assert!(!fires(read, |txn| drop(
        txn.services_mut().delete("e").unwrap()
    )));
    let empty = |db: &CatalogView| ignore(db.nodes().contains("d"));
    assert!(!fires(empty, |txn| txn
        .nodes_mut()
        .insert(node("x", 1))
        .unwrap()));
    assert!(fires(empty, |txn| txn
        .nodes_mut()
        .insert(node("d", 1))
        .unwrap()));
}

#[test]
fn look_ups_in_an_index_wake_for_their_records() {
    let read = |db: &CatalogView| ignore(db.services().by_node("n1").count());
    assert!(fires(read, |txn| put(txn, "a", "n1", 1)));
    assert!(fires(read, |txn| put(txn, "a", "n2", 0)));
    assert!(fires(read, |txn| put(txn, "e", "n1", 0)));
    assert!(fires(read, |txn| drop(
        txn.services_mut().delete("c").unwrap()
    )));
    assert!(!fires(read, |txn| put(txn, "e", "n2", 1)));
    assert!(!fires(read, |txn| put(txn, "x", "n11", 1)));
    let read = |db: &CatalogView| ignore(db.services().by_port(80));
    let with = |port| Service {
        port: Some(port),
        ..service("p", "n3", "s")
    };
    assert!(fires(read, |txn| txn
        .services_mut()
        .insert(with(80))
        .unwrap()));
    assert!(!fires(read, |txn| txn
        .services_mut()
        .insert(with(81))
        .unwrap()));
    let read = |db: &CatalogView| ignore(db.services().by_tags("t").count());
    assert!(fires(read, |txn| drop(
        txn.services_mut().upsert(tagged("x", &["s", "t"])).unwrap()
    )));
    assert!(!fires(read, |txn| drop(
        txn.services_mut().upsert(tagged("x", &["s"])).unwrap()
    )));
}

#[test]
fn prefixes_ranges_and_tables() {
    let read = |db: &CatalogView| ignore(db.services().range("b".."e").count());
    assert!(fires(read, |txn| put(txn, "b", "n", 1)));
    assert!(fires(read, |txn| put(txn, "dzz", "n", 1)));
    assert!(!fires(read, |txn| put(txn, "e", "n", 1)));
    assert!(!fires(read, |txn| put(txn, "a", "n", 1)));
    let read = |db: &CatalogView| ignore(db.services().range("e"..).count());
    assert!(fires(read, |txn| put(txn, "zzz", "n", 1)));
    assert!(!fires(read, |txn| put(txn, "dzzz", "n", 1)));
    let read = |db: &CatalogView| ignore(db.services().prefix("c").count());
    assert!(fires(read, |txn| put(txn, "cc", "n", 1)));
    assert!(!fires(read, |txn| put(txn, "d", "n", 1)));
    let read = |db: &CatalogView| ignore(db.services().len());
    assert!(fires(read, |txn| put(txn, "zz", "n", 1)));
    assert!(!fires(read, |txn| txn
        .nodes_mut()
        .insert(node("zz", 1))
        .unwrap()));
    let read = |db: &CatalogView| ignore(db.services().longest_prefix("caa"));
    assert!(fires(read, |txn| put(txn, "ca", "n", 1)));
    assert!(fires(read, |txn| put(txn, "caa", "n", 1)));
    assert!(fires(read, |txn| put(txn, "c", "n", 1)));
    assert!(!fires(read, |txn| put(txn, "cab", "n", 1)));
    assert!(!fires(read, |txn| put(txn, "caaa", "n", 1)));
    // A long text, of which each length is not watched by itself.
    let text = format!("ca{}", "x".repeat(20_000));
    let longer = format!("ca{}", "x".repeat(1000));
    let read = |db: &CatalogView| ignore(db.services().longest_prefix(&text));
    assert!(fires(read, |txn| put(txn, "ca", "n", 1)));
    assert!(fires(read, |txn| put(txn, &longer, "n", 1)));
    assert!(fires(read, |txn| put(txn, "c", "n", 1)));
    assert!(!fires(read, |txn| put(txn, "b", "n", 1)));
    assert!(!fires(read, |txn| put(txn, "cay", "n", 1)));
    // A range that is empty by its bounds covers nothing.
    let read = |db: &CatalogView| ignore(db.services().range("x".."b").count());
    assert!(!fires(read, |txn| put(txn, "f", "n", 1)));
}

#[test]
fn only_what_was_yielded_counts() {
    // The first: what is before it, and it.
    let read = |db: &CatalogView| ignore(db.services().first());
    assert!(fires(read, |txn| put(txn, "Z", "n", 1)));
    assert!(fires(read, |txn| put(txn, "a", "n1", 1)));
    assert!(!fires(read, |txn| put(txn, "aa", "n", 1)));
    // The last of a prefix.
    let read = |db: &CatalogView| ignore(db.services().by_node("n1").next_back());
    assert!(fires(read, |txn| put(txn, "c", "n1", 1)));
    assert!(fires(read, |txn| put(txn, "d", "n1", 1)));
    assert!(!fires(read, |txn| put(txn, "b", "n1", 1)));
    // A page.
    let read = |db: &CatalogView| ignore(db.services().iter().take(2).count());
    assert!(fires(read, |txn| put(txn, "b", "n", 1)));
    assert!(!fires(read, |txn| put(txn, "d", "n", 1)));
    // Both ends, and not the middle.
    let read = |db: &CatalogView| {
        let mut rows = db.services().iter();
        assert!(rows.next().is_some() && rows.next_back().is_some());
    };
    assert!(fires(read, |txn| put(txn, "A", "n", 1)));
    assert!(fires(read, |txn| put(txn, "h", "n", 1)));
    assert!(!fires(read, |txn| put(txn, "d", "n", 1)));
    // Nothing asked of an iterator is nothing read.
    let read = |db: &CatalogView| drop(db.services().iter());
    assert!(!fires(read, |txn| put(txn, "a", "n", 1)));
    // One that has come to its end was read whole.
    let read = |db: &CatalogView| ignore(db.services().prefix("x").next());
    assert!(fires(read, |txn| put(txn, "xyz", "n", 1)));
    // A forgotten one, and a cloned one, count as a whole.
    let read = |db: &CatalogView| {
        let mut rows = db.services().iter();
        rows.next();
        std::mem::forget(rows);
    };
    assert!(fires(read, |txn| put(txn, "z", "n", 1)));
    let read = |db: &CatalogView| drop(db.services().range("b".."f").clone());
    assert!(fires(read, |txn| put(txn, "e", "n", 1)));
    assert!(!fires(read, |txn| put(txn, "g", "n", 1)));
}

#[test]
fn a_blocking_query_answers_at_once_if_its_index_is_past() {
    let store = store();
    let query = |after: u64| {
        store.blocking_query(LogIndex(after), shortly(), |db| {
            db.services().by_node("n1").cloned().collect::<Vec<_>>()
        })
    };
    let answer = query(9).unwrap();
    assert_eq!(
        (answer.value.len(), answer.index.0, answer.changed),
        (2, 10, true)
    );
    assert_eq!(answer.position, store.position());
    let answer = query(10).unwrap();
    assert_eq!(
        (answer.value.len(), answer.index.0, answer.changed),
        (2, 10, false)
    );
    // A commit elsewhere does not raise it.
    commit_at(&store, 30, |txn| put(txn, "x", "n9", 1));
    let answer = query(10).unwrap();
    assert_eq!((answer.index.0, answer.changed), (10, false));
    // Reading nothing is never past.
    let nothing = store.blocking_query(LogIndex(1), shortly(), |_| 5).unwrap();
    assert_eq!(
        (nothing.value, nothing.index.0, nothing.changed),
        (5, 1, false)
    );
    // A deadline that has passed is no reason to wait.
    let passed = Instant::now().checked_sub(Duration::from_secs(1)).unwrap();
    assert!(
        !store
            .blocking_query(LogIndex(99), passed, |_| ())
            .unwrap()
            .changed
    );
}

/// Starts a blocking query, runs `write` when it waits, and returns how often the closure ran.
fn runs_until_answer(blocking: bool, write: impl Fn(&Store<Catalog>)) -> (usize, u64) {
    let store = store();
    let runs = Arc::new(AtomicUsize::new(0));
    let waiter = {
        let (store, runs) = (store.clone(), Arc::clone(&runs));
        thread::spawn(move || {
            let read = |db: &CatalogView| {
                runs.fetch_add(1, Ordering::SeqCst);
                db.services().by_node("n2").count()
            };
            let answer = if blocking {
                store.blocking_query(LogIndex(10), soon(), read)
            } else {
                let never = std::future::pending();
                block_on(store.blocking_query_async(LogIndex(10), never, read))
            };
            let answer = answer.unwrap();
            assert!(answer.changed);
            answer.index.0
        })
    };
    while runs.load(Ordering::SeqCst) == 0 {
        thread::yield_now();
    }
    write(&store);
    let index = waiter.join().unwrap();
    (runs.load(Ordering::SeqCst), index)
}

#[test]
fn a_blocking_query_runs_again_only_for_what_it_read() {
    for blocking in [true, false] {
        let (runs, index) = runs_until_answer(blocking, |store| {
            for i in 11..200_u32 {
                commit_at(store, u64::from(i), |txn| put(txn, "a", "n1", i));
            }
            store.advance_to(LogIndex(300)).unwrap();
            thread::sleep(Duration::from_millis(10));
            commit_at(store, 400, |txn| put(txn, "e", "n2", 1));
        });
        assert_eq!((runs, index), (2, 400));
        // A deletion wakes; so does an entry within a batch.
        let (runs, index) = runs_until_answer(blocking, |store| {
            let mut txn = at(store, 20);
            txn.services_mut().delete("g").unwrap();
            txn.next_entry(LogIndex(25)).unwrap();
            put(&mut txn, "x", "n1", 1);
            txn.commit().unwrap();
        });
        assert_eq!((runs, index), (2, 20));
    }
}

#[test]
fn commits_between_reading_and_registering_are_not_missed() {
    let store = store();
    let round = Cell::new(0_u64);
    let answer = store.blocking_query(LogIndex(10), soon(), |db| {
        let found = db.services().by_node("n1").count();
        round.set(round.get() + 1);
        // On the first run, one elsewhere; then none; the query waits for the other thread.
        if round.get() == 1 {
            commit_at(&store, 11, |txn| put(txn, "x", "n7", 1));
            let store = store.clone();
            thread::spawn(move || {
                thread::sleep(Duration::from_millis(10));
                commit_at(&store, 12, |txn| put(txn, "y", "n1", 1));
            });
        }
        found
    });
    let answer = answer.unwrap();
    assert_eq!((answer.value, answer.index.0, round.get()), (3, 12, 2));
    // On each run one that it covers: the next run sees it.
    let answer = store.blocking_query(LogIndex(12), soon(), |db| {
        if db.services().by_node("n1").count() == 3 {
            commit_at(&store, 13, |txn| put(txn, "z", "n1", 1));
        }
        db.services().by_node("n1").count()
    });
    let answer = answer.unwrap();
    assert_eq!((answer.value, answer.index.0), (4, 13));
}

#[test]
fn undecided_counts_as_changed() {
    // The window holds a few entries; many more come between reading and registering, and raise
    // the stamp of the absent key's path.
    let store = Store::<Catalog>::with_options(StoreOptions {
        window: 1,
        ..StoreOptions::default()
    });
    commit_at(&store, 1, |txn| put(txn, "a", "n", 0));
    let (_, watch) = store.watch(|db| {
        assert!(!db.services().contains("b"));
        for i in 2..200 {
            commit_at(&store, i, |txn| put(txn, &format!("c{i}"), "n", 0));
        }
    });
    assert!(watch.has_fired());
    // With a window that holds them they decide.
    let store = Store::<Catalog>::new();
    commit_at(&store, 1, |txn| put(txn, "a", "n", 0));
    let (_, watch) = store.watch(|db| {
        assert!(!db.services().contains("b"));
        for i in 2..200 {
            commit_at(&store, i, |txn| put(txn, &format!("c{i}"), "n", 0));
        }
    });
    assert!(!watch.has_fired());
}

#[test]
fn a_deadline_returns_the_last_answer() {
    let store = store();
    let later = async { thread::sleep(Duration::from_millis(5)) };
    let answer =
        block_on(store.blocking_query_async(LogIndex(10), later, |db| db.services().len()));
    let answer = answer.unwrap();
    assert_eq!(
        (answer.value, answer.index.0, answer.changed),
        (4, 10, false)
    );
}

#[test]
fn watches_are_futures_and_last() {
    let store = store();
    let (_, mut watch) = store.watch(|db| db.services().len());
    assert!(!watch.wait(shortly()));
    let other = store.clone();
    let writer = thread::spawn(move || {
        thread::sleep(Duration::from_millis(5));
        commit_at(&other, 11, |txn| put(txn, "x", "n", 1));
    });
    block_on(&mut watch);
    writer.join().unwrap();
    assert!(watch.has_fired() && watch.wait(soon()));
    block_on(watch);
    // Everything the closure read is covered by the one watch.
    let (answer, watch) =
        store.watch(|db| (db.nodes().contains("n"), db.services().get("a").is_some()));
    assert_eq!(answer.value, (false, true));
    assert_eq!(answer.index, LogIndex(10));
    commit_at(&store, 12, |txn| put(txn, "b", "n", 1));
    assert!(!watch.has_fired());
    commit_at(&store, 13, |txn| {
        txn.nodes_mut().insert(node("n", 1)).unwrap();
    });
    assert!(watch.wait(soon()));
}

/// A record that tells how many of them there are.
#[derive(Debug, Serialize, Deserialize, Table)]
struct Held {
    #[primary_key]
    id: u32,
    #[serde(skip)]
    _alive: Arc<()>,
    round: u32,
}

impl PartialEq for Held {
    fn eq(&self, other: &Self) -> bool {
        (self.id, self.round) == (other.id, other.round)
    }
}

#[derive(Schema)]
struct Holding {
    held: Held,
}

#[test]
fn who_waits_holds_no_version() {
    let store = Store::<Holding>::with_options(StoreOptions {
        window: 1,
        ..StoreOptions::default()
    });
    let alive = Arc::new(());
    let write = |id, round| {
        let mut txn = store.write().unwrap();
        txn.held_mut()
            .upsert(Held {
                id,
                _alive: Arc::clone(&alive),
                round,
            })
            .unwrap();
        txn.commit().unwrap();
    };
    write(1, 0);
    let mut watches = Vec::new();
    let waiting = Arc::new(Mutex::new(false));
    let waiter = {
        let (store, waiting) = (store.clone(), Arc::clone(&waiting));
        thread::spawn(move || {
            store.blocking_query(LogIndex(1 << 40), soon(), |db| {
                *waiting.lock().unwrap() = true;
                db.held().get(7_u32).map(|row| row.round)
            })
        })
    };
    while !*waiting.lock().unwrap() {
        thread::yield_now();
    }
    for round in 1..100 {
        let (_, watch) = store.watch(|db| db.held().get(1_u32).map(|row| row.round));
        watches.push(watch);
        write(1, round);
    }
    store.collect();
    // One in the table, and some in the window of recent changes.
    let left = Arc::strong_count(&alive) - 1;
    assert!(left < 40, "{left} records are alive");
    assert!(watches.iter().all(highwater::Watch::has_fired));
    store.close();
    assert!(waiter.join().unwrap().is_err());
}

/// An image of a store of the given history with one node.
fn image(history: u128, index: u64) -> Vec<u8> {
    let history = HistoryId(history);
    let other = Store::<Catalog>::with_options(StoreOptions {
        history,
        ..StoreOptions::default()
    });
    commit_at(&other, index, |txn| {
        txn.nodes_mut().insert(node("restored", 1)).unwrap();
    });
    let mut image = Vec::new();
    other.snapshot().write_image(&mut image).unwrap();
    image
}

#[test]
fn a_restore_fires_every_watch_and_answers_every_query() {
    // Another history at a lower index; the same further on; the same, taken back.
    for (history, index, back) in [(9, 3, false), (0, 30, false), (0, 3, true)] {
        let store = store();
        let (_, watch) = store.watch(|db| db.nodes().contains("restored"));
        let (_, other) = store.watch(|db| db.services().contains("a"));
        let runs = Arc::new(AtomicUsize::new(0));
        let asker = {
            let (store, runs) = (store.clone(), Arc::clone(&runs));
            thread::spawn(move || {
                let answer = store.blocking_query(LogIndex(10), soon(), |db| {
                    runs.fetch_add(1, Ordering::SeqCst);
                    db.nodes().len()
                });
                answer.unwrap()
            })
        };
        while runs.load(Ordering::SeqCst) == 0 {
            thread::yield_now();
        }
        let (_, between) = store.watch(|db| {
            let found = db.nodes().len();
            let image = image(history, index);
            let restored = if back {
                store.rewind(&image[..])
            } else {
                store.restore(&image[..])
            };
            assert_eq!(restored.unwrap(), store.position());
            found
        });
        assert!(watch.has_fired() && other.has_fired() && between.has_fired());
        let answer = asker.join().unwrap();
        assert_eq!((answer.value, answer.changed), (1, true));
        assert_eq!(answer.position, store.position());
        assert_eq!(store.snapshot().services().len(), 0);
        // Watches registered after it fire for changes only.
        let (_, watch) = store.watch(|db| db.nodes().contains("later"));
        commit_at(&store, index + 1, |txn| {
            txn.nodes_mut().insert(node("x", 1)).unwrap();
        });
        assert!(!watch.has_fired());
        commit_at(&store, index + 2, |txn| {
            txn.nodes_mut().insert(node("later", 1)).unwrap();
        });
        assert!(watch.has_fired());
    }
}

#[test]
fn a_bare_index_is_of_the_history_the_wait_began_in() {
    let store = store();
    let waiters = [20, 40].map(|index| {
        let store = store.clone();
        thread::spawn(move || store.snapshot_at_least(LogIndex(index), soon()))
    });
    thread::sleep(Duration::from_millis(10));
    // The same history: an index that is reached by it is reached.
    store.restore(&image(0, 25)[..]).unwrap();
    let [reached, waiting] = waiters;
    assert_eq!(reached.join().unwrap().unwrap().index(), LogIndex(25));
    store.restore(&image(7, 100)[..]).unwrap();
    assert_eq!(
        waiting.join().unwrap().unwrap_err(),
        WaitError::HistoryChanged {
            began: HistoryId(0),
            now: HistoryId(7)
        }
    );
}

#[test]
fn a_query_after_a_position_of_another_history_is_an_error_at_once() {
    let store = store();
    let after = |history, index| Position {
        history: HistoryId(history),
        index: LogIndex(index),
    };
    let read = |db: &CatalogView| db.services().by_node("n2").count();
    let changed = |began, now| WaitError::HistoryChanged {
        began: HistoryId(began),
        now: HistoryId(now),
    };
    for index in [0, 9, 10, 11] {
        let told = store.blocking_query(after(8, index), soon(), read);
        assert_eq!(told, Err(changed(8, 0)));
        let never = std::future::pending();
        let told = block_on(store.blocking_query_async(after(8, index), never, read));
        assert_eq!(told, Err(changed(8, 0)));
    }
    // Of its own it is answered as a bare index is.
    let answer = store.blocking_query(after(0, 9), soon(), read).unwrap();
    assert_eq!((answer.value, answer.index), (2, LogIndex(10)));
    let same = Position {
        index: answer.index,
        ..answer.position
    };
    let late = store.blocking_query(same, shortly(), read).unwrap();
    assert!(!late.changed);

    // The history may change while it waits.
    let waiting = || {
        let (running, run) = std::sync::mpsc::channel();
        let store = store.clone();
        let waiter = thread::spawn(move || {
            store.blocking_query(same, soon(), |db| {
                let _ = running.send(());
                read(db)
            })
        });
        run.recv().unwrap();
        waiter
    };
    let waiter = waiting();
    // The same history at an earlier index: an answer, from which nothing goes on.
    store.rewind(&image(0, 5)[..]).unwrap();
    let answer = waiter.join().unwrap().unwrap();
    assert!(answer.changed && answer.index < same.index, "{answer:?}");
    let waiter = waiting();
    store.restore(&image(7, 100)[..]).unwrap();
    assert_eq!(waiter.join().unwrap(), Err(changed(0, 7)));
}

#[test]
fn many_waiters_on_few_threads() {
    // Futures without an executor: each is polled once to be registered.
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Wake, Waker};
    struct Count(AtomicUsize);
    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let store = store();
    let count = Arc::new(Count(AtomicUsize::new(0)));
    let waker = Waker::from(Arc::clone(&count));
    let mut context = Context::from_waker(&waker);
    let mut waiting: Vec<_> = (0..2_000)
        .map(|i| {
            let store = store.clone();
            Box::pin(async move {
                let never = std::future::pending();
                let id = format!("w{i}");
                store
                    .blocking_query_async(LogIndex(10), never, |db| {
                        db.services().contains(id.as_str())
                    })
                    .await
            })
        })
        .collect();
    for future in &mut waiting {
        assert!(pin!(future).as_mut().poll(&mut context).is_pending());
    }
    let mut woken = BTreeSet::new();
    for (i, index) in (0..2_000).step_by(97).zip(20..) {
        commit_at(&store, index, |txn| put(txn, &format!("w{i}"), "n", 1));
        woken.insert(i);
    }
    assert_eq!(count.0.load(Ordering::SeqCst), woken.len());
    for (i, future) in waiting.iter_mut().enumerate() {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(answer) => {
                assert!(answer.unwrap().value);
                assert!(woken.remove(&i));
            }
            Poll::Pending => assert!(!woken.contains(&i)),
        }
    }
    assert!(woken.is_empty());
}

#[test]
fn no_wake_up_is_lost_under_load() {
    // Readers follow a counter by blocking queries alone; a lost wake-up is a hang.
    let store = store();
    let readers: Vec<_> = (0..4)
        .map(|reader| {
            let store = store.clone();
            thread::spawn(move || {
                let mut after = LogIndex(0);
                let mut last = 0;
                while last < 600 {
                    let read = |db: &CatalogView| match reader {
                        0 => db.services().get("k").map_or(0, |row| row.note),
                        1 => db.services().by_node("kn").map(|row| row.note).sum(),
                        2 => db.services().prefix("k").map(|row| row.note).sum(),
                        _ => db
                            .services()
                            .range("k".."l")
                            .next()
                            .map_or(0, |row| row.note),
                    };
                    let answer = store.blocking_query(after, soon(), read).unwrap();
                    assert!(answer.changed, "no change for half a minute");
                    assert!(answer.value >= last && answer.index > after);
                    (after, last) = (answer.index, answer.value);
                }
            })
        })
        .collect();
    for i in 1..=600_u32 {
        commit_at(&store, 10 + u64::from(i), |txn| put(txn, "k", "kn", i));
        if i % 50 == 0 {
            thread::sleep(Duration::from_millis(1));
        }
    }
    for reader in readers {
        reader.join().unwrap();
    }
}

#[test]
fn watches_are_joined_into_one_waiter() {
    let store = store();
    // Empty, it waits for nothing.
    assert!(!WatchSet::new().wait(shortly()));
    for blocking in [true, false] {
        let mut set = WatchSet::new();
        let (_, watch) = store.watch(|db| ignore(db.services().by_node("n7").count()));
        set.add(watch);
        let index = store.position().index.0;
        commit_at(&store, index + 1, |txn| {
            put(txn, "a", "n1", u32::try_from(index).unwrap());
        });
        let (_, watch) = store.watch(|db| ignore(db.nodes().contains("x")));
        set.extend([watch]);
        commit_at(&store, index + 2, |txn| {
            put(txn, "b", "n1", u32::try_from(index).unwrap());
        });
        assert!(!set.has_fired() && !set.wait(shortly()));
        let writer = {
            let store = store.clone();
            thread::spawn(move || {
                thread::sleep(Duration::from_millis(5));
                commit_at(&store, index + 3, |txn| {
                    let address = u32::try_from(index).unwrap();
                    drop(txn.nodes_mut().upsert(node("x", address)).unwrap());
                });
            })
        };
        if blocking {
            assert!(set.wait(soon()));
        } else {
            block_on(&mut set);
        }
        writer.join().unwrap();
        assert!(set.has_fired());
    }
    // What has changed already fires it when it is added; so does the end of the store.
    let (_, fired) = store.watch(|db| {
        ignore(db.services().get("c"));
        commit_at(&store, 100, |txn| put(txn, "c", "n1", 7));
    });
    let set: WatchSet = [fired].into_iter().collect();
    assert!(set.has_fired());
    let set: WatchSet = ["x", "y"]
        .map(|id| store.watch(|db| ignore(db.services().get(id))).1)
        .into_iter()
        .collect();
    let (stats, before) = (store.stats().watchers, set.has_fired());
    assert_eq!((stats, before), (1, false));
    store.close();
    assert!(set.has_fired());
}

#[test]
fn very_many_reads_miss_nothing_and_answer_exactly() {
    let store = Store::<Catalog>::new();
    let keys: Vec<String> = (0..20_000).map(|n| format!("k{n:05}")).collect();
    commit_at(&store, 1, |txn| {
        for key in keys.iter().step_by(2) {
            put(txn, key, "n", 0);
        }
    });
    let read = |db: &CatalogView| {
        keys.iter()
            .filter(|key| db.services().contains(*key))
            .count()
    };
    for (round, key) in keys.iter().step_by(1_357).enumerate() {
        let (answer, watch) = store.watch(read);
        let index = 2 * u64::try_from(round).unwrap();
        assert_eq!((answer.value >= 10_000, answer.index.0), (true, index + 1));
        commit_at(&store, index + 2, |txn| {
            put(txn, "far away", "n", u32::try_from(round).unwrap() + 1);
        });
        assert!(!watch.has_fired());
        commit_at(&store, index + 3, |txn| {
            put(txn, key, "n", u32::try_from(round).unwrap() + 1);
        });
        assert!(watch.has_fired(), "{key}");
    }
}

/// A query of the services.
#[derive(Clone, Debug)]
enum Query {
    Point(String),
    Prefix(String),
    Range(String, Option<String>),
    Page(String, usize),
    LastOf(String),
    OnNode(String),
    NodePrefix(String),
    NodeRange(String, Option<String>),
}

/// What it finds: each record's key and when it was changed.
fn find(db: &CatalogView, query: &Query) -> Vec<(String, u64)> {
    let services = db.services();
    let found = |row: &highwater::Row<Service>| (row.id.clone(), row.modify_index().0);
    match query {
        Query::Point(id) => services.get(id).map(found).into_iter().collect(),
        Query::Prefix(prefix) => services.prefix(prefix).map(found).collect(),
        Query::Range(lo, Some(hi)) => services
            .range(lo.as_str()..hi.as_str())
            .map(found)
            .collect(),
        Query::Range(lo, None) => services.range(lo.as_str()..).map(found).collect(),
        Query::Page(lo, len) => services
            .range(lo.as_str()..)
            .take(*len)
            .map(found)
            .collect(),
        Query::LastOf(prefix) => services
            .prefix(prefix)
            .next_back()
            .map(found)
            .into_iter()
            .collect(),
        Query::OnNode(node) => services.by_node(node).map(found).collect(),
        Query::NodePrefix(prefix) => services.node_index().prefix(prefix).map(found).collect(),
        Query::NodeRange(lo, Some(hi)) => {
            let rows = services.node_index().range(lo.as_str()..hi.as_str());
            rows.map(found).collect()
        }
        Query::NodeRange(lo, None) => services
            .node_index()
            .range(lo.as_str()..)
            .map(found)
            .collect(),
    }
}

fn word() -> impl Strategy<Value = String> {
    "[abc]{0,3}"
}

fn query() -> impl Strategy<Value = Query> {
    prop_oneof![
        word().prop_map(Query::Point),
        (word(), prop::option::of(word())).prop_map(|(lo, hi)| Query::Range(lo, hi)),
        (word(), 1..4_usize).prop_map(|(lo, len)| Query::Page(lo, len)),
        word().prop_map(Query::LastOf),
        word().prop_map(Query::OnNode),
        (word(), prop::option::of(word())).prop_map(|(lo, hi)| Query::NodeRange(lo, hi)),
    ]
}

/// Every prefix of up to two letters, of keys and of nodes.
fn prefixes() -> Vec<Query> {
    let letters = ["", "a", "b", "c"];
    let pairs = letters
        .iter()
        .flat_map(|a| letters.iter().map(move |b| format!("{a}{b}")));
    let all: BTreeSet<String> = pairs.collect();
    let both = |prefix: &String| {
        [
            Query::Prefix(prefix.clone()),
            Query::NodePrefix(prefix.clone()),
        ]
    };
    all.iter().flat_map(both).collect()
}

/// What an entry does: a service by its id, set on a node with a note, or deleted.
type Entry = Vec<(String, Option<(String, u32)>)>;

fn apply(txn: &mut WriteTxn<Catalog>, entry: &Entry) {
    for (id, what) in entry {
        match what {
            Some((on, note)) => put(txn, id, on, *note),
            None => drop(txn.services_mut().delete(id).unwrap()),
        }
    }
}

/// Applies all entries after the store's index, the first one being 1, in batches of these sizes, and
/// calls `then` after each.
fn feed(
    store: &Store<Catalog>,
    entries: &[Entry],
    sizes: &[usize],
    mut then: impl FnMut(&Store<Catalog>),
) {
    let mut sizes = sizes.iter().cycle();
    let mut next = usize::try_from(store.position().index.0).unwrap();
    while next < entries.len() {
        let last = entries.len().min(next + sizes.next().unwrap());
        let index = u64::try_from(next).unwrap() + 1;
        let mut txn = at(store, index);
        for (index, entry) in (index..).zip(&entries[next..last]) {
            if txn.index() < LogIndex(index) {
                txn.next_entry(LogIndex(index)).unwrap();
            }
            apply(&mut txn, entry);
        }
        txn.commit().unwrap();
        next = last;
        then(store);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// A watch on every prefix and on many ranges: a commit fires exactly those whose content it
    /// changes. And the index of each query never falls, is that of the change, and is the same in a
    /// replica that is fed in other batches, and in one that was restored from an image midway.
    #[test]
    fn exactly_what_changed_fires_and_every_replica_says_the_same_index(
        entries in prop::collection::vec(
            prop::collection::vec((word(), prop::option::weighted(0.7, (word(), 0..3_u32))), 0..4),
            1..25,
        ),
        queries in prop::collection::vec(query(), 20..40),
        batches in prop::collection::vec(1..5_usize, 1..5),
        midway in any::<prop::sample::Index>(),
    ) {
        let queries: Vec<Query> = prefixes().into_iter().chain(queries).collect();
        let ask = |store: &Store<Catalog>| -> Vec<_> {
            queries.iter().map(|query| store.watch(|db| find(db, query))).collect()
        };
        let midway = midway.index(entries.len());
        let mut image = Vec::new();
        let first = Store::<Catalog>::new();
        let mut before = ask(&first);
        // The indexes of all queries, after each entry.
        let mut indexes = vec![before.iter().map(|(answer, _)| answer.index).collect::<Vec<_>>()];
        feed(&first, &entries, &[1], |store| {
            let now = ask(store);
            let index = store.position().index;
            for ((query, (was, watch)), (is, _)) in queries.iter().zip(&before).zip(&now) {
                let changed = was.value != is.value;
                assert_eq!(watch.has_fired(), changed, "{query:?} at {index}");
                assert!(is.index >= was.index, "{query:?} at {index}");
                if changed {
                    assert_eq!(is.index, index, "{query:?}");
                }
                if let (Query::Point(_), [(_, modified)]) = (query, &is.value[..]) {
                    assert_eq!(is.index.0, *modified);
                }
            }
            indexes.push(now.iter().map(|(answer, _)| answer.index).collect());
            before = now;
            if index.0 == u64::try_from(midway).unwrap() + 1 {
                store.snapshot().write_image(&mut image).unwrap();
            }
        });
        let same = |store: &Store<Catalog>| {
            let at = usize::try_from(store.position().index.0).unwrap();
            let here: Vec<LogIndex> = ask(store).iter().map(|(answer, _)| answer.index).collect();
            for ((query, here), there) in queries.iter().zip(here).zip(&indexes[at]) {
                assert_eq!(here, *there, "{query:?} at {at}");
            }
        };
        let second = Store::<Catalog>::new();
        feed(&second, &entries, &batches, same);
        let third = Store::<Catalog>::from_image(&image[..]).unwrap();
        same(&third);
        feed(&third, &entries, &batches, same);
    }
}
