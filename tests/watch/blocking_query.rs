//! Blocking queries: when they answer, and how often they run.

use crate::store_schema::*;
use crate::{put, store};
use highwater::{LogIndex, Store};
use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

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
