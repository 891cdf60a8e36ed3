//! Who waits: threads and futures, one for several watches, many at once; none holds a version.

use crate::store_schema::*;
use crate::{ignore, put, store};
use highwater::{LogIndex, Schema, Store, StoreOptions, Table, WatchSet};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

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
