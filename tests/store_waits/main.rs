//! Waiting for an index, ways to read, the retained past, and the end of a store.

mod past;
mod reads;
#[path = "../store_schema/mod.rs"]
mod store_schema;

use highwater::WaitError::HistoryChanged;
use highwater::{
    CommitError, HistoryId, LogIndex, Position, Store, StoreError, StoreOptions, WaitError,
};
use std::thread;
use std::time::{Duration, Instant};
use store_schema::*;

#[test]
fn waits_for_an_index() {
    let store = Store::<Catalog>::new();
    let long_ago = Instant::now();
    assert_eq!(
        store
            .snapshot_at_least(LogIndex(0), long_ago)
            .unwrap()
            .index(),
        LogIndex(0)
    );
    assert_eq!(
        store.snapshot_at_least(LogIndex(3), shortly()).unwrap_err(),
        WaitError::Lagging {
            wanted: LogIndex(3),
            applied: LogIndex(0)
        }
    );
    let waiters: Vec<_> = (1..=6_u64)
        .map(|index| {
            let store = store.clone();
            thread::spawn(move || {
                let snap = if index % 2 == 0 {
                    store.snapshot_at_least(LogIndex(index), soon())
                } else {
                    let never = std::future::pending();
                    block_on(store.snapshot_at_least_async(LogIndex(index), never))
                };
                assert!(snap.unwrap().index() >= LogIndex(index));
            })
        })
        .collect();
    thread::sleep(Duration::from_millis(5));
    commit_at(&store, 2, |txn| {
        txn.nodes_mut().insert(node("a", 1)).unwrap();
    });
    // Entries without data count.
    store.advance_to(LogIndex(5)).unwrap();
    let mut txn = at(&store, 6);
    txn.next_entry(LogIndex(7)).unwrap();
    txn.commit().unwrap();
    for waiter in waiters {
        waiter.join().unwrap();
    }
    let ready = std::future::ready(());
    assert_eq!(
        block_on(store.snapshot_at_least_async(LogIndex(8), ready)).unwrap_err(),
        WaitError::Lagging {
            wanted: LogIndex(8),
            applied: LogIndex(7)
        }
    );
}

#[test]
fn a_store_that_ends_tells_its_waiters_and_goes_on_reading() {
    type End = fn(Store<Catalog>);
    let halted = || "bad entry".to_owned();
    let ends: [(End, WaitError, StoreError); 3] = [
        (|store| store.close(), WaitError::Closed, StoreError::Closed),
        (
            |store| store.halt("bad entry"),
            WaitError::Halted { reason: halted() },
            StoreError::Halted { reason: halted() },
        ),
        // Twice: the first reason stays.
        (
            |store| {
                store.halt("bad entry");
                store.close();
            },
            WaitError::Halted { reason: halted() },
            StoreError::Halted { reason: halted() },
        ),
    ];
    for (end, wait_error, store_error) in ends {
        let store = Store::<Catalog>::new();
        commit_at(&store, 1, |txn| {
            txn.nodes_mut().insert(node("a", 1)).unwrap();
        });
        let waiter = {
            let store = store.clone();
            thread::spawn(move || store.snapshot_at_least(LogIndex(2), soon()).unwrap_err())
        };
        let asker = {
            let store = store.clone();
            thread::spawn(move || {
                store
                    .blocking_query(LogIndex(1), soon(), |db| db.nodes().len())
                    .unwrap_err()
            })
        };
        let txn = at(&store, 2);
        thread::sleep(Duration::from_millis(5));
        end(store.clone());
        assert_eq!(waiter.join().unwrap(), wait_error);
        assert_eq!(asker.join().unwrap(), wait_error);
        // The running transaction cannot commit, nor can a new one begin.
        assert!(txn.commit().is_err());
        assert_eq!(store.write().unwrap_err(), store_error);
        assert_eq!(store.write_at(LogIndex(9)).unwrap_err(), store_error);
        assert_eq!(store.advance_to(LogIndex(9)).unwrap_err(), store_error);
        // What can be answered at once is.
        assert_eq!(store.snapshot().nodes().len(), 1);
        assert_eq!(
            store
                .snapshot_at_least(LogIndex(1), soon())
                .unwrap()
                .index(),
            LogIndex(1)
        );
        let answer = store
            .blocking_query(LogIndex(0), soon(), |db| db.nodes().len())
            .unwrap();
        assert_eq!((answer.value, answer.changed), (1, true));
        assert_eq!(
            store
                .blocking_query(LogIndex(1), soon(), |db| db.nodes().len())
                .unwrap_err(),
            wait_error
        );
    }
}

#[test]
fn the_last_handle_closes_the_store() {
    let store = Store::<Catalog>::new();
    commit_at(&store, 1, |txn| {
        txn.nodes_mut().insert(node("a", 1)).unwrap();
    });
    let (_, watch) = store.watch(|db| db.nodes().contains("b"));
    let mut feed = store.feed(highwater::Start::Now).unwrap();
    let snap = store.snapshot();
    let txn = at(&store, 2);
    let other = store.clone();
    drop(store);
    assert!(!watch.has_fired());
    drop(other);
    assert!(watch.has_fired());
    assert_eq!(event(&mut feed).unwrap_err(), highwater::FeedError::Closed);
    assert_eq!(txn.commit(), Err(CommitError::Closed));
    assert_eq!(snap.nodes().get("a").unwrap().address, 1);
}

#[test]
fn a_position_of_another_history_is_an_error_at_once() {
    let history = HistoryId(7);
    let store = Store::<Catalog>::with_options(StoreOptions {
        history,
        ..StoreOptions::default()
    });
    let at = |history, index| Position {
        history,
        index: LogIndex(index),
    };
    let foreign = HistoryChanged {
        began: HistoryId(8),
        now: history,
    };
    // Also if its index is long passed.
    for index in [0, 1, 100] {
        let wanted = at(HistoryId(8), index);
        assert_eq!(
            store.snapshot_at_least(wanted, soon()).unwrap_err(),
            foreign
        );
        let never = std::future::pending();
        let told = block_on(store.snapshot_at_least_async(wanted, never));
        assert_eq!(told.unwrap_err(), foreign);
    }
    let waiter = {
        let store = store.clone();
        thread::spawn(move || store.snapshot_at_least(at(history, 2), soon()))
    };
    store.advance_to(LogIndex(2)).unwrap();
    let snapshot = waiter.join().unwrap().unwrap();
    assert_eq!(snapshot.position(), at(history, 2));
}

fn at_position(index: u64) -> Position {
    Position {
        history: HistoryId::UNNAMED,
        index: LogIndex(index),
    }
}

/// An image of a store of that history, at that index, with one node.
fn image(history: u128, index: u64) -> Vec<u8> {
    let other = Store::<Catalog>::with_options(StoreOptions {
        history: HistoryId(history),
        ..StoreOptions::default()
    });
    commit_at(&other, index, |txn| {
        txn.nodes_mut().insert(node("restored", 1)).unwrap();
    });
    let mut image = Vec::new();
    other.snapshot().write_image(&mut image).unwrap();
    image
}
