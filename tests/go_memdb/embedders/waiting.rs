//! Indexes of queries, waits for them, blocking queries.

use super::{image, put};
use crate::store_schema::*;
use crate::things::watch;
use highwater::{HistoryId, LogIndex, Position, Store, StoreOptions, WaitError};
use std::future::pending;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Instant;

/// consul PR #577, #2673: the graveyard, with its timers and its writes to reap, of one table alone.
#[test]
fn what_was_deleted_below_a_prefix_raises_its_index() {
    let store = Store::<Catalog>::new();
    put(&store, 2, "web/a");
    put(&store, 3, "web/b");
    put(&store, 4, "db/a");
    commit_at(&store, 6, |txn| {
        txn.services_mut().delete("web/a").unwrap();
    });
    let below = |prefix: &str| store.snapshot().services().prefix(prefix).log_index();
    assert_eq!(below("web/"), LogIndex(6));
    assert_eq!(below("db/"), LogIndex(4));
    commit_at(&store, 8, |txn| {
        txn.services_mut().delete("web/b").unwrap();
    });
    assert!(below("web/") >= LogIndex(8));
}

/// How often a task was woken.
#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// nomad polls for it.
#[test]
fn snapshot_min_index_is_woken() {
    let store = Store::<Catalog>::new();
    put(&store, 5, "a");
    // Less, and equal: at once, also without any time.
    for index in [3, 5] {
        let snap = store.snapshot_at_least(LogIndex(index), Instant::now());
        assert_eq!(snap.unwrap().index(), LogIndex(5));
    }
    let late = store.snapshot_at_least(LogIndex(6), Instant::now());
    assert!(matches!(
        late.unwrap_err(),
        WaitError::Lagging {
            wanted: LogIndex(6),
            applied: LogIndex(5)
        }
    ));
    // What is waited for wakes, and nothing before it.
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(woken.clone());
    let mut context = Context::from_waker(&waker);
    let mut waiting = pin!(store.snapshot_at_least_async(LogIndex(7), pending()));
    assert!(waiting.as_mut().poll(&mut context).is_pending());
    put(&store, 6, "b");
    assert_eq!(woken.0.load(Ordering::SeqCst), 0);
    put(&store, 8, "c");
    assert_eq!(woken.0.load(Ordering::SeqCst), 1);
    let Poll::Ready(snap) = waiting.as_mut().poll(&mut context) else {
        panic!("it is woken, and not ready")
    };
    assert_eq!(snap.unwrap().index(), LogIndex(8));
    // A thread that waits is woken alike.
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| store.snapshot_at_least(LogIndex(9), soon()));
        put(&store, 10, "d");
        assert_eq!(waiting.join().unwrap().unwrap().index(), LogIndex(10));
    });
}

/// nomad PR #1339: barriers and no-ops never reach the store.
#[test]
fn entries_without_data_raise_the_index() {
    let store = Store::<Catalog>::new();
    put(&store, 1, "a");
    let read = watch(&store, |db| db.services().iter().count());
    store.advance_to(LogIndex(7)).unwrap();
    assert_eq!(store.position().index, LogIndex(7));
    assert!(store.snapshot_at_least(LogIndex(7), Instant::now()).is_ok());
    assert!(!read.has_fired());
    assert_eq!(store.snapshot().services().log_index(), LogIndex(1));
}

#[test]
fn a_blocking_query_returns_for_what_it_read() {
    let store = Store::<Catalog>::new();
    let get = |db: &CatalogView| db.services().get("a").map(|row| row.note);
    // consul PR #4437, nomad #6403: of nothing it is 1; from 0 it does not block, from 1 it does.
    let first = store
        .blocking_query(LogIndex(0), Instant::now(), get)
        .unwrap();
    assert_eq!(
        (first.value, first.index, first.changed),
        (None, LogIndex(1), true)
    );
    let late = store
        .blocking_query(first.index, Instant::now(), get)
        .unwrap();
    assert!(!late.changed);
    // As a client does it, with the last index that it was told.
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let mut after = first.index;
            loop {
                let answer = store.blocking_query(after, soon(), get).unwrap();
                if answer.value.is_some() {
                    return answer;
                }
                assert!(answer.index > after);
                after = answer.index;
            }
        });
        for (index, id) in [(2, "b"), (3, "c"), (4, "a")] {
            put(&store, index, id);
        }
        let answer = waiting.join().unwrap();
        assert_eq!((answer.value, answer.index), (Some(4), LogIndex(4)));
    });
    // From there to gone.
    commit_at(&store, 5, |txn| {
        txn.services_mut().delete("a").unwrap();
    });
    let gone = store.blocking_query(LogIndex(4), soon(), get).unwrap();
    assert_eq!(gone.value, None);
    assert!(gone.index >= LogIndex(5));
}

/// Until a watch is registered.
fn somebody_waits(store: &Store<Catalog>) {
    let limit = soon();
    while store.stats().watchers == 0 {
        assert!(Instant::now() < limit);
        std::thread::yield_now();
    }
}

/// consul PRs #12110 and #12362: a query of what does not exist ran again for each write of its table.
#[test]
fn a_query_of_what_is_absent_waits_for_it_alone() {
    let store = Store::<Catalog>::new();
    put(&store, 1, "a");
    let runs = AtomicUsize::new(0);
    let answer = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            store.blocking_query(LogIndex(1), soon(), |db| {
                runs.fetch_add(1, Ordering::Relaxed);
                db.services().contains("absent")
            })
        });
        somebody_waits(&store);
        for index in 2..20 {
            put(&store, index, &format!("absent-{index}"));
        }
        put(&store, 20, "absent");
        waiting.join().unwrap().unwrap()
    });
    assert_eq!((answer.value, answer.index), (true, LogIndex(20)));
    assert_eq!(runs.into_inner(), 2);
}

/// consul PR #5358: a client whose index is above that of a store that was taken back would wait until the
/// store is there again.
#[test]
fn an_index_of_a_store_that_went_back_is_seen_as_such() {
    let store = Store::<Catalog>::new();
    put(&store, 4, "a");
    let old = image(&store);
    put(&store, 9, "a");
    let list = |db: &CatalogView| db.services().iter().map(|row| row.note).sum::<u32>();
    let query = |after, until| store.blocking_query(LogIndex(after), until, list).unwrap();
    let before = query(0, soon());
    assert_eq!((before.value, before.index), (9, LogIndex(9)));
    store.rewind(&old[..]).unwrap();
    let lower = query(9, Instant::now());
    assert_eq!(
        (lower.value, lower.index, lower.changed),
        (4, LogIndex(4), false)
    );
    // So it begins again.
    assert_eq!(query(0, soon()).index, LogIndex(4));
    // Where histories have names it is told at once.
    let other = Store::<Catalog>::with_options(StoreOptions {
        history: HistoryId(9),
        ..StoreOptions::default()
    });
    put(&other, 2, "a");
    store.restore(&image(&other)[..]).unwrap();
    let after = Position {
        index: before.index,
        ..before.position
    };
    let answer = store.blocking_query(after, soon(), list);
    assert!(matches!(answer, Err(WaitError::HistoryChanged { .. })));
}

/// A second Abandon of a store panicked.
#[test]
fn what_has_ended_may_be_ended_again() {
    let store = Store::<Catalog>::new();
    store.close();
    store.close();
    let wait = store.snapshot_at_least(LogIndex(1), soon());
    assert!(matches!(wait, Err(WaitError::Closed)));
}

/// A query abandoned by a restore is answered by what is there then, and the next one waits again.
#[test]
fn a_restore_ends_no_wait_and_makes_none_spin() {
    let store = Store::<Catalog>::new();
    put(&store, 4, "a");
    let other = Store::<Catalog>::with_options(StoreOptions {
        history: HistoryId(9),
        ..StoreOptions::default()
    });
    put(&other, 2, "b");
    let list = |db: &CatalogView| ids(db.services().iter()).join(",");
    let answer = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| store.blocking_query(LogIndex(4), soon(), list));
        somebody_waits(&store);
        store.restore(&image(&other)[..]).unwrap();
        waiting.join().unwrap().unwrap()
    });
    assert_eq!(
        (answer.value.as_str(), answer.position),
        ("b", other.position())
    );
    let mut runs = 0;
    let next = store.blocking_query(answer.index, shortly(), |db| {
        runs += 1;
        list(db)
    });
    assert!(!next.unwrap().changed && runs == 1);
}

/// A wait of nomad's was bound to the store that a restore had thrown away.
#[test]
fn a_wait_for_an_index_goes_on_over_a_restore_of_the_same_history() {
    let store = Store::<Catalog>::new();
    put(&store, 1, "a");
    let newer = Store::<Catalog>::new();
    put(&newer, 8, "b");
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| store.snapshot_at_least(LogIndex(8), soon()));
        store.restore(&image(&newer)[..]).unwrap();
        let snap = waiting.join().unwrap().unwrap();
        assert_eq!(ids(snap.services().iter()), ["b"]);
    });
    let other = Position {
        history: HistoryId(1),
        index: LogIndex(1),
    };
    let wait = store.snapshot_at_least(other, soon());
    assert!(matches!(wait, Err(WaitError::HistoryChanged { .. })));
}
