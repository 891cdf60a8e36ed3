//! Restores and other histories: what becomes of who watches or waits.

use crate::store;
use crate::store_schema::*;
use highwater::{HistoryId, LogIndex, Position, Store, StoreOptions, WaitError};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

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
