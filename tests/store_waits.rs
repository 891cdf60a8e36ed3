//! Waiting for an index, ways to read, the retained past, and the end of a store.

mod store_schema;

use highwater::WaitError::HistoryChanged;
use highwater::{
    AsOfError, CommitError, HistoryId, LogIndex, Position, ReadError, ReadMode, ReadSession,
    Retention, Snapshot, Store, StoreError, StoreOptions, WaitError,
};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::task::Poll;
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
    let mut feed = store.subscribe(highwater::Start::Now).unwrap();
    let snap = store.snapshot();
    let txn = at(&store, 2);
    let other = store.clone();
    drop(store);
    assert!(!watch.has_fired());
    drop(other);
    assert!(watch.has_fired());
    assert_eq!(
        feed.try_next().unwrap_err(),
        highwater::SubscribeError::Closed
    );
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

fn retaining(retain: Retention) -> Store<Catalog> {
    Store::with_options(StoreOptions {
        retain: Some(retain),
        ..StoreOptions::default()
    })
}

fn put_at(store: &Store<Catalog>, index: u64) {
    commit_at(store, index, |txn| {
        let address = u32::try_from(index).unwrap();
        drop(txn.nodes_mut().upsert(node("a", address)).unwrap());
    });
}

/// What a snapshot shows, and whether its indexes are what its records say.
fn address(snapshot: &Snapshot<Catalog>) -> Option<u32> {
    assert_eq!(snapshot.check(), Ok(()));
    snapshot.nodes().get("a").map(|row| row.address)
}

#[test]
fn the_past_is_found_by_its_exact_index() {
    let store = retaining(Retention {
        versions: 3,
        ..Retention::default()
    });
    put_at(&store, 4);
    let mut txn = at(&store, 6);
    txn.nodes_mut().update(node("a", 6)).unwrap();
    txn.next_entry(LogIndex(7)).unwrap();
    txn.nodes_mut().update(node("a", 7)).unwrap();
    txn.next_entry(LogIndex(8)).unwrap();
    txn.commit().unwrap();
    store.advance_to(LogIndex(9)).unwrap();
    let seen = |index: u64| {
        store.as_of(LogIndex(index)).map(|past| {
            assert_eq!(past.index(), LogIndex(index));
            address(&past)
        })
    };
    assert_eq!(seen(9), Ok(Some(7)));
    assert_eq!(seen(8), Ok(Some(7)));
    assert_eq!(seen(4), Ok(Some(4)));
    assert_eq!(seen(0), Ok(None));
    let unpublished = |wanted, before, after| {
        let [wanted, before, after] = [wanted, before, after].map(LogIndex);
        Err(AsOfError::Unpublished {
            wanted,
            before,
            after,
        })
    };
    // Inside the batch, and in gaps.
    assert_eq!(seen(7), unpublished(7, 4, 8));
    assert_eq!(seen(6), unpublished(6, 4, 8));
    assert_eq!(seen(3), unpublished(3, 0, 4));
    assert_eq!(
        seen(10),
        Err(AsOfError::NotApplied {
            wanted: LogIndex(10),
            applied: LogIndex(9)
        })
    );
    put_at(&store, 12);
    let compacted = |wanted, oldest| {
        Err(AsOfError::Compacted {
            wanted: LogIndex(wanted),
            oldest: at_position(oldest),
        })
    };
    assert_eq!(seen(0), compacted(0, 4));
    assert_eq!(seen(3), compacted(3, 4));
    assert_eq!(seen(4), Ok(Some(4)));
    assert_eq!(seen(11), unpublished(11, 9, 12));
    let foreign = Position {
        history: HistoryId(3),
        index: LogIndex(4),
    };
    assert_eq!(
        store.as_of(foreign).unwrap_err(),
        AsOfError::OtherHistory {
            wanted: HistoryId(3),
            now: HistoryId(0)
        }
    );
    // Without a setting there is the newest.
    let store = Store::<Catalog>::new();
    put_at(&store, 1);
    put_at(&store, 2);
    assert_eq!(address(&store.as_of(LogIndex(2)).unwrap()), Some(2));
    assert_eq!(
        store.as_of(LogIndex(1)).unwrap_err(),
        AsOfError::Compacted {
            wanted: LogIndex(1),
            oldest: at_position(2)
        }
    );
}

#[test]
fn the_past_ends_where_a_restore_goes_back() {
    let retain = Retention {
        versions: 100,
        ..Retention::default()
    };
    let store = retaining(retain);
    for index in 1..=30 {
        put_at(&store, index);
    }
    let kept = store.as_of(LogIndex(3)).unwrap();
    // Further on in the same history: the past is still past.
    store.restore(&image(0, 40)[..]).unwrap();
    assert_eq!(address(&store.as_of(LogIndex(30)).unwrap()), Some(30));
    assert_eq!(
        store.as_of(LogIndex(35)).unwrap_err(),
        AsOfError::Unpublished {
            wanted: LogIndex(35),
            before: LogIndex(30),
            after: LogIndex(40)
        }
    );
    // Back: the same indexes are other commits from now on.
    store.rewind(&image(0, 20)[..]).unwrap();
    assert_eq!(
        store.as_of(LogIndex(10)).unwrap_err(),
        AsOfError::Compacted {
            wanted: LogIndex(10),
            oldest: at_position(20)
        }
    );
    // Commits let the old line go.
    for index in 21..=30 {
        put_at(&store, index);
        assert_eq!(
            address(&store.as_of(LogIndex(index)).unwrap()),
            Some(u32::try_from(index).unwrap())
        );
    }
    assert_eq!(store.stats().retained, 10);
    assert_eq!(store.as_of(LogIndex(20)).unwrap().nodes().len(), 1);
    // Who holds a snapshot of it has it.
    assert_eq!(address(&kept), Some(3));
    store.restore(&image(9, 100)[..]).unwrap();
    let oldest = store.position();
    assert_eq!(
        store.as_of(LogIndex(30)).unwrap_err(),
        AsOfError::Compacted {
            wanted: LogIndex(30),
            oldest
        }
    );
    store.collect();
    assert_eq!(
        (store.stats().retained, store.stats().retained_bytes),
        (0, 0)
    );
}

#[test]
fn the_past_is_limited_by_age_and_by_bytes() {
    let store = retaining(Retention {
        versions: usize::MAX,
        age: Duration::ZERO,
        ..Retention::default()
    });
    for index in 1..=20 {
        put_at(&store, index);
        thread::sleep(Duration::from_millis(1));
    }
    // The last one to go was not too old when it was added.
    assert!(store.stats().retained <= 1);
    store.collect();
    assert_eq!(store.stats().retained, 0);

    let limit = 64 << 10;
    let store = retaining(Retention {
        versions: usize::MAX,
        bytes: limit,
        ..Retention::default()
    });
    let fill = |index: u64| {
        commit_at(&store, index, |txn| {
            for n in 0..500 {
                let address = u32::try_from(index).unwrap();
                drop(
                    txn.nodes_mut()
                        .upsert(node(&format!("n{n}"), address))
                        .unwrap(),
                );
            }
        });
    };
    (1..=10).for_each(fill);
    let stats = store.stats();
    assert!(stats.retained_bytes <= limit, "{stats:?}");
    assert!(stats.retained >= 1, "{stats:?}");
    // What is counted is what is pinned, and nothing beside it.
    store.collect();
    let stats = store.stats();
    assert_eq!(stats.retained_bytes, stats.pinned_bytes);
    assert_eq!(stats.versions, 1 + stats.retained);
    // Also of what goes at once, with savepoints and nodes of its own among it.
    let retained = stats.retained;
    commit_at(&store, 11, |txn| {
        let mut nodes = txn.nodes_mut();
        drop(nodes.upsert(node("n99x", 1)).unwrap());
        assert_eq!(nodes.delete_prefix("n49").unwrap().len(), 11);
        let savepoint = txn.savepoint();
        txn.nodes_mut().delete_prefix("n1").unwrap();
        txn.rollback_to(savepoint);
        let savepoint = txn.savepoint();
        assert_eq!(txn.nodes_mut().delete_prefix("n99").unwrap().len(), 2);
        txn.release(savepoint);
    });
    store.collect();
    let stats = store.stats();
    assert_eq!(stats.retained_bytes, stats.pinned_bytes);
    assert_eq!(stats.retained, retained + 1);
    // A restore lets the whole content be the past's.
    store.restore(&image(0, 50)[..]).unwrap();
    store.collect();
    let stats = store.stats();
    assert!(stats.retained_bytes <= limit && stats.pinned_bytes == stats.retained_bytes);
}

/// One step of a history with a past.
#[derive(Clone, Debug)]
enum Step {
    /// A batch of entries, each with the keys it sets, and how far its index is from the last.
    Batch(Vec<(u64, Vec<u8>)>),
    Advance(u64),
    Abort(u8),
    Hold(prop::sample::Index),
    Let,
    Rewind,
    Collect,
}

fn step() -> impl Strategy<Value = Step> {
    let entry = (1..3_u64, prop::collection::vec(0..40_u8, 0..4));
    prop_oneof![
        8 => prop::collection::vec(entry, 1..4).prop_map(Step::Batch),
        1 => (1..4_u64).prop_map(Step::Advance),
        1 => any::<u8>().prop_map(Step::Abort),
        2 => any::<prop::sample::Index>().prop_map(Step::Hold),
        1 => Just(Step::Let),
        1 => Just(Step::Rewind),
        1 => Just(Step::Collect),
    ]
}

type Content = BTreeMap<String, u32>;

fn content(snapshot: &Snapshot<Catalog>) -> Content {
    assert_eq!(snapshot.check(), Ok(()));
    let nodes = snapshot.nodes().iter();
    nodes.map(|row| (row.name.clone(), row.address)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Every index is asked for after every step: the model has what was published.
    #[test]
    fn as_of_equals_what_was(steps in prop::collection::vec(step(), 1..40), versions in 1..12_usize) {
        let store = retaining(Retention { versions, ..Retention::default() });
        let mut image = Vec::new();
        let mut early = None;
        let mut published = BTreeMap::from([(0, Content::new())]);
        let mut held: Vec<(Snapshot<Catalog>, Content)> = Vec::new();
        let mut now = Content::new();
        let mut index = 0;
        for step in steps {
            match step {
                Step::Batch(entries) => {
                    let mut txn = at(&store, index + entries[0].0);
                    for (n, (gap, keys)) in entries.into_iter().enumerate() {
                        index += gap;
                        if n > 0 {
                            txn.next_entry(LogIndex(index)).unwrap();
                        }
                        for key in keys {
                            let (name, address) = (format!("k{key}"), u32::try_from(index).unwrap());
                            drop(txn.nodes_mut().upsert(node(&name, address)).unwrap());
                            now.insert(name, address);
                        }
                    }
                    txn.commit().unwrap();
                    published.insert(index, now.clone());
                }
                Step::Advance(gap) => {
                    index += gap;
                    store.advance_to(LogIndex(index)).unwrap();
                    published.insert(index, now.clone());
                }
                Step::Abort(key) => {
                    let mut txn = at(&store, index + 1);
                    drop(txn.nodes_mut().upsert(node(&format!("k{key}"), 0)).unwrap());
                }
                Step::Hold(which) => {
                    let indexes: Vec<u64> = published.keys().copied().collect();
                    let wanted = *which.get(&indexes);
                    if let Ok(past) = store.as_of(LogIndex(wanted)) {
                        held.push((past, published[&wanted].clone()));
                    }
                }
                Step::Let => drop(held.pop()),
                Step::Rewind => match early.take() {
                    None if index > 0 => {
                        image.clear();
                        store.snapshot().write_image(&mut image).unwrap();
                        early = Some((index, now.clone()));
                    }
                    Some((back, then)) if back < index => {
                        store.rewind(&image[..]).unwrap();
                        (index, now) = (back, then);
                        published = BTreeMap::from([(index, now.clone())]);
                    }
                    other => early = other,
                },
                Step::Collect => store.collect(),
            }
            for wanted in 0..=index + 1 {
                let found = store.as_of(LogIndex(wanted));
                let retained: Vec<u64> = published.keys().rev().take(1 + versions).copied().collect();
                let oldest = *retained.last().unwrap();
                match published.get(&wanted).filter(|_| wanted >= oldest) {
                    Some(then) => prop_assert_eq!(&content(&found.unwrap()), then),
                    None if wanted > index => {
                        prop_assert!(matches!(found, Err(AsOfError::NotApplied { .. })), "{:?}", found);
                    }
                    None if wanted < oldest => {
                        // An old line is let go of a few at a time, so there may be less.
                        prop_assert!(matches!(found, Err(AsOfError::Compacted { .. })), "{:?}", found);
                    }
                    None => {
                        let before = *published.range(..wanted).next_back().unwrap().0;
                        let after = *published.range(wanted..).next().unwrap().0;
                        let [wanted, before, after] = [wanted, before, after].map(LogIndex);
                        prop_assert_eq!(found.unwrap_err(), AsOfError::Unpublished { wanted, before, after });
                    }
                }
            }
            prop_assert!(store.stats().retained <= versions);
            for (snapshot, then) in &held {
                prop_assert_eq!(&content(snapshot), then);
            }
        }
        drop(held);
        store.collect();
        let stats = store.stats();
        prop_assert_eq!(stats.versions, 1 + stats.retained);
    }
}

#[test]
fn the_past_is_there_while_commits_go_on() {
    let store = retaining(Retention {
        versions: 1_000_000,
        ..Retention::default()
    });
    thread::scope(|scope| {
        scope.spawn(|| (1..=3_000).for_each(|index| put_at(&store, index)));
        for _ in 0..2 {
            scope.spawn(|| {
                let mut last = LogIndex(0);
                while last < LogIndex(3_000) {
                    last = store.position().index;
                    // Published, so found: also in the moment in which it is replaced.
                    let past = store.as_of(last).unwrap();
                    let shown = past
                        .nodes()
                        .get("a")
                        .map_or(0, |row| u64::from(row.address));
                    assert_eq!(shown, last.0);
                }
            });
        }
    });
    assert_eq!(store.stats().retained, 3_000);
}

#[test]
fn one_entry_for_every_way_to_read() {
    let store = retaining(Retention {
        versions: 2,
        ..Retention::default()
    });
    for index in 1..=5 {
        put_at(&store, index);
    }
    let ready = || std::future::ready(());
    let both = |mode: ReadMode| {
        let blocking = store
            .read(mode, Instant::now())
            .map(|snapshot| snapshot.index().0);
        let on_executor = block_on(store.read_async(mode, ready()));
        assert_eq!(on_executor.map(|snapshot| snapshot.index().0), blocking);
        blocking
    };
    let exactly = |index: u64| ReadMode::Exactly(LogIndex(index).into());
    assert_eq!(both(ReadMode::Any), Ok(5));
    assert_eq!(both(LogIndex(4).into()), Ok(5));
    assert_eq!(both(at_position(5).into()), Ok(5));
    let lagging = |wanted| {
        Err(ReadError::Wait(WaitError::Lagging {
            wanted: LogIndex(wanted),
            applied: LogIndex(5),
        }))
    };
    assert_eq!(both(LogIndex(6).into()), lagging(6));
    assert_eq!(both(exactly(5)), Ok(5));
    assert_eq!(both(exactly(3)), Ok(3));
    assert_eq!(
        both(exactly(2)),
        Err(ReadError::AsOf(AsOfError::Compacted {
            wanted: LogIndex(2),
            oldest: at_position(3)
        }))
    );
    assert_eq!(both(exactly(6)), lagging(6));
    // It is waited for; if it is past when the wait ends, it is looked for in the past.
    thread::scope(|scope| {
        let waiting = [6, 8].map(|index| scope.spawn(move || index)).map(|index| {
            let store = &store;
            let index = index.join().unwrap();
            scope.spawn(move || {
                store
                    .read(exactly(index), soon())
                    .map(|past| past.index().0)
            })
        });
        thread::sleep(Duration::from_millis(5));
        put_at(&store, 6);
        let mut txn = at(&store, 7);
        txn.next_entry(LogIndex(8)).unwrap();
        txn.next_entry(LogIndex(9)).unwrap();
        txn.commit().unwrap();
        let [found, inside] = waiting.map(|waiting| waiting.join().unwrap());
        assert_eq!(found, Ok(6));
        assert!(matches!(
            inside,
            Err(ReadError::AsOf(AsOfError::Unpublished { .. }))
        ));
    });
}

#[test]
fn a_bound_on_staleness_waits_for_the_drivers_word() {
    let store = Store::<Catalog>::new();
    put_at(&store, 3);
    let fresh = |most: Duration| ReadMode::MaxStale(most);
    let hour = Duration::from_hours(1);
    let not_heard = ReadError::Stale {
        allowed: hour,
        heard: None,
    };
    assert_eq!(
        store.read(fresh(hour), Instant::now()).unwrap_err(),
        not_heard
    );
    let ready = std::future::ready(());
    assert_eq!(
        block_on(store.read_async(fresh(hour), ready)).unwrap_err(),
        not_heard
    );
    assert_eq!(store.staleness(), None);
    // Heard of, and caught up with.
    let said = |index| Position {
        history: HistoryId::UNNAMED,
        index,
    };
    store.note_committed(said(LogIndex(3)), Instant::now());
    assert!(store.read(fresh(hour), Instant::now()).is_ok());
    assert!(store.staleness().unwrap() < hour);
    // That was before now.
    let now = Instant::now();
    assert!(matches!(
        store.read(fresh(Duration::ZERO), now).unwrap_err(),
        ReadError::Stale { heard: Some(_), .. }
    ));
    // Those who wait go on when it is said, and applied; one that says less does not count.
    for blocking in [true, false] {
        let index = store.position().index;
        let (second, third) = (index.next(), index.next().next());
        let reader = {
            let store = store.clone();
            thread::spawn(move || {
                if blocking {
                    store.read(fresh(Duration::ZERO), soon())
                } else {
                    let never = std::future::pending();
                    block_on(store.read_async(fresh(Duration::ZERO), never))
                }
            })
        };
        thread::sleep(Duration::from_millis(10));
        store.note_committed(said(index), now);
        thread::sleep(Duration::from_millis(5));
        assert!(!reader.is_finished());
        store.note_committed(said(third), Instant::now());
        put_at(&store, second.0);
        thread::sleep(Duration::from_millis(5));
        assert!(!reader.is_finished());
        put_at(&store, third.0);
        assert_eq!(reader.join().unwrap().unwrap().index(), third);
    }
    // A thousand words that the store lags behind with: it is no staler than what it has caught up
    // with.
    let index = store.position().index.0;
    let begin = Instant::now();
    for ahead in 1..=1000 {
        store.note_committed(said(LogIndex(index + ahead)), Instant::now());
    }
    assert!(store.staleness().is_some());
    assert!(store.read(fresh(begin.elapsed()), shortly()).is_err());
    put_at(&store, index + 1000);
    assert!(store.staleness().unwrap() <= begin.elapsed());
    // Another history: what was said is of no matter.
    store.restore(&image(5, 9_000)[..]).unwrap();
    assert_eq!(store.staleness(), None);
    // The old log's leader may still be heard of: it says nothing of this one.
    store.note_committed(said(LogIndex(1)), Instant::now());
    assert_eq!(store.staleness(), None);
    let now = Instant::now();
    assert!(store.read(fresh(hour), now).is_err());
    store.note_committed(store.position(), now);
    assert!(store.read(fresh(hour), now).is_ok());
    let reader = {
        let store = store.clone();
        thread::spawn(move || store.read(fresh(Duration::ZERO), soon()).map(|_| ()))
    };
    thread::sleep(Duration::from_millis(5));
    store.halt("broken");
    assert_eq!(
        reader.join().unwrap(),
        Err(ReadError::Wait(WaitError::Halted {
            reason: "broken".to_owned()
        }))
    );
    store.note_authority();
    assert_eq!(store.staleness(), Some(Duration::ZERO));
    assert!(store.read(fresh(Duration::ZERO), Instant::now()).is_ok());
}

#[test]
fn a_session_never_reads_below_what_it_has_seen() {
    let [leader, follower] = [(); 2].map(|()| {
        Store::<Catalog>::with_options(StoreOptions {
            history: HistoryId(0x2a),
            retain: Some(Retention {
                versions: 10,
                ..Retention::default()
            }),
            ..StoreOptions::default()
        })
    });
    let mut session = ReadSession::new();
    assert_eq!(session.to_string(), "0");
    put_at(&leader, 1);
    put_at(&leader, 2);
    // The answer of a write is a bare index: of the history that is read next.
    session.observe(LogIndex(2)).unwrap();
    session.observe(LogIndex(1)).unwrap();
    assert_eq!(session.to_string(), "2");
    let passed = Instant::now();
    assert_eq!(
        session.read(&follower, ReadMode::Any, passed).unwrap_err(),
        ReadError::Wait(WaitError::Lagging {
            wanted: LogIndex(2),
            applied: LogIndex(0)
        })
    );
    let snapshot = session.read(&leader, ReadMode::Any, passed).unwrap();
    assert_eq!(
        (snapshot.index(), session.to_string()),
        (LogIndex(2), "2@2a".to_owned())
    );
    // What a query has answered counts; over to the other, through bytes.
    put_at(&leader, 3);
    let answer = leader
        .blocking_query(LogIndex(0), soon(), |db| db.nodes().len())
        .unwrap();
    session.observe(&answer).unwrap();
    let json = serde_json::to_string(&session).unwrap();
    assert_eq!(json, "\"3@2a\"");
    let mut session: ReadSession = serde_json::from_str(&json).unwrap();
    let reader = {
        let follower = follower.clone();
        thread::spawn(move || {
            let never = std::future::pending();
            let seen = block_on(session.read_async(&follower, ReadMode::Any, never));
            (seen.unwrap().index(), session)
        })
    };
    for index in 1..=3 {
        put_at(&follower, index);
    }
    let (seen, mut session) = reader.join().unwrap();
    assert_eq!(seen, LogIndex(3));
    // Exactly an older one is none for it, though it is retained.
    let exactly = |index| ReadMode::Exactly(LogIndex(index).into());
    assert!(follower.read(exactly(2), passed).is_ok());
    assert_eq!(
        session.read(&follower, exactly(2), passed).unwrap_err(),
        ReadError::BeforeSession {
            wanted: LogIndex(2),
            seen: LogIndex(3)
        }
    );
    put_at(&follower, 4);
    assert_eq!(
        session.read(&follower, exactly(3), passed).unwrap().index(),
        LogIndex(3)
    );
    assert_eq!(
        session
            .read(&follower, LogIndex(4), passed)
            .unwrap()
            .index(),
        LogIndex(4)
    );
    assert_eq!(
        session.mark(),
        Position {
            history: HistoryId(0x2a),
            index: LogIndex(4)
        }
        .into()
    );
    // Another history is an error, and leaves it as it was.
    let other = Store::<Catalog>::new();
    put_at(&other, 100);
    let before = session.clone();
    let told = session.read(&other, ReadMode::Any, soon()).unwrap_err();
    assert!(matches!(told, ReadError::Wait(HistoryChanged { .. })));
    let told = session.observe(other.position()).unwrap_err();
    assert!(matches!(told, HistoryChanged { .. }));
    assert_eq!(session, before);
}

#[test]
fn a_session_asks_its_timer_no_more_when_it_is_over() {
    let store = Store::<Catalog>::new();
    let mut session = ReadSession::new();
    session.observe(LogIndex(1)).unwrap();
    let until = async { store.advance_to(LogIndex(1)).unwrap() };
    let read = session.read_async(&store, LogIndex(5), until);
    assert_eq!(
        block_on(read).unwrap_err(),
        ReadError::Wait(WaitError::Lagging {
            wanted: LogIndex(5),
            applied: LogIndex(1)
        })
    );
}

#[test]
fn a_session_does_not_go_back_with_the_store() {
    let store = Store::<Catalog>::new();
    put_at(&store, 1);
    let mut old = Vec::new();
    store.snapshot().write_image(&mut old).unwrap();
    put_at(&store, 3);
    let mut session = ReadSession::new();
    session.observe(store.position()).unwrap();
    // The store is far enough, but while the driver's word is waited for it goes back.
    let mut polls = 0;
    let until = std::future::poll_fn(|_| {
        polls += 1;
        if polls > 1 {
            return Poll::Ready(());
        }
        let position = store.rewind(&old[..]).unwrap();
        store.note_committed(position, Instant::now());
        Poll::Pending
    });
    let read = session.read_async(&store, ReadMode::MaxStale(Duration::ZERO), until);
    assert_eq!(
        block_on(read).unwrap_err(),
        ReadError::Wait(WaitError::Lagging {
            wanted: LogIndex(3),
            applied: LogIndex(1)
        })
    );
    assert_eq!(session.to_string(), "3@0");
}

proptest! {
    #[test]
    fn a_sessions_token_says_the_same(index in any::<u64>(), history in any::<Option<u128>>()) {
        let mut session = ReadSession::new();
        let index = LogIndex(index);
        match history.map(HistoryId) {
            None => session.observe(index).unwrap(),
            Some(history) => session.observe(Position { history, index }).unwrap(),
        }
        prop_assert_eq!(session.to_string().parse::<ReadSession>().unwrap(), session);
    }

    /// Whatever text comes, it is refused or it is a token, which says itself again.
    #[test]
    fn a_token_from_outside(text in "[0-9a-fA-F@+ -]{0,40}|.*") {
        if let Ok(session) = text.parse::<ReadSession>() {
            prop_assert_eq!(session.to_string().parse::<ReadSession>(), Ok(session));
            prop_assert!(text.starts_with(|c: char| c.is_ascii_digit()));
        }
    }
}
