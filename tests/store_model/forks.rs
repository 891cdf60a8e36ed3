//! A store and forks of it, and of those: each behaves as its own model.

use crate::item::Item;
use crate::op::{Op, op};
use crate::query::pool;
use crate::state::{Shop, ShopView};
use crate::world::{Held, World};
use highwater::{
    Conflict, CursorError, FeedError, FeedItem, Guard, HistoryId, ImageError, LogIndex, Position,
    ReadMode, Start, Store, StoreOptions, WaitError,
};
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

#[derive(Clone, Debug)]
enum Step {
    Do(usize, Op),
    /// Of the newest snapshot.
    Fork(usize),
    /// Of one that is held.
    ForkHeld(usize, usize),
    /// The store goes with all that uses it; the snapshots stay.
    Leave(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let n = any::<usize>;
    prop_oneof![
        40 => (n(), op()).prop_map(|(world, op)| Step::Do(world, op)),
        2 => n().prop_map(Step::Fork),
        2 => (n(), n()).prop_map(|(world, held)| Step::ForkHeld(world, held)),
        1 => n().prop_map(Step::Leave),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn a_store_and_its_forks_behave_as_their_models(steps in vec(step(), 1..160)) {
        let pool: Vec<_> = pool().into_iter().step_by(4).collect();
        let mut worlds = vec![World::new(&pool)];
        let mut left: Vec<Held> = Vec::new();
        for step in steps {
            let count = worlds.len();
            match step {
                Step::Do(world, op) => worlds[world % count].step(op),
                Step::Fork(world) if count < 5 => {
                    let world = &worlds[world % count];
                    worlds.push(world.fork(&world.newest()));
                }
                Step::ForkHeld(world, held) if count < 5 => {
                    let world = &worlds[world % count];
                    if !world.held.is_empty() {
                        worlds.push(world.fork(&world.held[held % world.held.len()]));
                    }
                }
                Step::Leave(world) if count > 1 => {
                    left.extend(worlds.swap_remove(world % count).held);
                }
                Step::Fork(_) | Step::ForkHeld(..) | Step::Leave(_) => {}
            }
        }
        // The stores go one after the other, the parent first; what is left of each stays as it is.
        for mut world in worlds {
            world.commit();
            left.push(world.newest());
            left.append(&mut world.held);
            drop(world);
            left.iter().for_each(Held::check);
        }
        while !left.is_empty() {
            left.swap_remove(left.len() / 2);
            left.iter().for_each(Held::check);
        }
    }
}

const LOG: HistoryId = HistoryId(7);

fn put(store: &Store<Shop>, id: &str, value: u8) -> LogIndex {
    let mut txn = store.write().unwrap();
    let item = Item {
        id: id.to_owned(),
        group: 1,
        tags: BTreeSet::new(),
        serial: None,
        value,
        name: String::new(),
        labels: BTreeMap::new(),
        net: "10.0.0.0/8".parse().unwrap(),
        code: Vec::new(),
        site: None,
    };
    txn.items_mut().upsert(item).unwrap();
    txn.commit().unwrap()
}

/// A store of the log with two items, at index 2.
fn store() -> Store<Shop> {
    let store = Store::with_options(StoreOptions {
        history: LOG,
        ..StoreOptions::default()
    });
    put(&store, "a", 1);
    put(&store, "b", 1);
    store
}

fn value(store: &Store<Shop>, id: &str) -> Option<u8> {
    store.snapshot().items().get(id).map(|item| item.value)
}

fn read_a(db: &ShopView) -> Option<u8> {
    db.items().get("a").map(|item| item.value)
}

#[test]
fn what_was_only_tried_is_no_word_of_the_log() {
    let store = store();
    let (_, before) = store.snapshot().guarded(read_a);
    let fork = store.fork();
    let history = fork.position().history;
    assert!(history.is_fork() && !LOG.is_fork() && !HistoryId::UNNAMED.is_fork());
    assert_eq!(fork.position(), at(history, 2));
    // Both go on to index 3, with another value each.
    assert_eq!(put(&fork, "a", 5), put(&store, "a", 6));
    assert_eq!((value(&fork, "a"), value(&store, "a")), (Some(5), Some(6)));

    // The log's word up to where the fork began holds in the fork, too: `a` has changed in both.
    for store in [&store, &fork] {
        let txn = store.write().unwrap();
        assert!(matches!(
            txn.validate(&before),
            Err(Conflict::Changed { .. })
        ));
    }
    let (_, unchanged) = store.snapshot().guarded(|db| db.items().get("b").is_some());
    let again = store.snapshot().fork();
    assert_eq!(again.write().unwrap().validate(&unchanged), Ok(()));
    // What came later is not in it, although the number of its index is.
    put(&fork, "c", 1);
    let (_, later) = store.snapshot().guarded(read_a);
    let refused = Err(Conflict::OtherHistory {
        read: LOG,
        now: history,
    });
    assert_eq!(fork.write().unwrap().validate(&later), refused);
    // Nothing of the fork is in the store.
    let (_, tried) = fork.snapshot().guarded(read_a);
    let refused = Err(Conflict::OtherHistory {
        read: history,
        now: LOG,
    });
    assert_eq!(store.write().unwrap().validate(&tried), refused);
    let snap = fork.snapshot();
    let mut page = snap.items().iter();
    page.next();
    let resumed = store.snapshot();
    let resumed = resumed.items().iter().resume(&page.cursor().unwrap());
    assert!(matches!(resumed, Err(CursorError::OtherHistory { .. })));
    let from = Start::After(fork.position());
    assert!(matches!(
        store.feed(from),
        Err(FeedError::HistoryChanged { .. })
    ));
    let waited = store.snapshot_at_least(fork.position(), Instant::now());
    assert!(matches!(waited, Err(WaitError::HistoryChanged { .. })));
}

fn at(history: HistoryId, index: u64) -> Position {
    Position {
        history,
        index: LogIndex(index),
    }
}

#[test]
fn what_one_fork_tried_is_no_word_of_another() {
    let store = store();
    let (_, of_store) = store.snapshot().guarded(read_a);
    let [fork, sibling] = [store.fork(), store.fork()];
    // Each has another value, at the same index.
    assert_eq!(put(&fork, "a", 2), put(&sibling, "a", 3));
    let (_, of_fork) = fork.snapshot().guarded(read_a);
    let child = fork.fork();
    // The child and its parent go apart, too.
    assert_eq!(put(&fork, "a", 4), put(&child, "a", 5));
    let (_, of_later) = fork.snapshot().guarded(read_a);
    let (_, of_child) = child.snapshot().guarded(read_a);
    let refused = |guard: &Guard, by: &Store<Shop>| {
        let told = by.write().unwrap().validate(guard);
        assert_eq!(
            told,
            Err(Conflict::OtherHistory {
                read: guard.position().history,
                now: by.position().history,
            })
        );
    };
    refused(&of_fork, &sibling);
    refused(&of_later, &child);
    refused(&of_child, &fork);
    for (one, other) in [(&fork, &sibling), (&fork, &child), (&child, &fork)] {
        let snap = one.snapshot();
        let mut page = snap.items().iter();
        page.next();
        let resumed = other.snapshot();
        let resumed = resumed.items().iter().resume(&page.cursor().unwrap());
        assert!(matches!(resumed, Err(CursorError::OtherHistory { .. })));
        let waited = other.snapshot_at_least(one.position(), Instant::now());
        assert!(matches!(waited, Err(WaitError::HistoryChanged { .. })));
        let from = other.feed(Start::After(one.position()));
        assert!(matches!(from, Err(FeedError::HistoryChanged { .. })));
    }
    // What all ancestors said before, each up to where the line left it, is compared.
    for guard in [&of_store, &of_fork] {
        let told = child.write().unwrap().validate(guard);
        assert!(matches!(told, Err(Conflict::Changed { .. })));
    }
    let read_b = |db: &ShopView| db.items().get("b").map(|item| item.value);
    for ancestor in [&store, &sibling, &fork] {
        let (_, guard) = ancestor.snapshot().guarded(read_b);
        let grandchild = ancestor.fork().fork();
        put(&grandchild, "a", 6);
        let again = grandchild.fork();
        assert_eq!(again.write().unwrap().validate(&guard), Ok(()));
    }
}

type Restore = fn(&Store<Shop>, &[u8]) -> Result<Position, ImageError>;

#[test]
fn what_is_restored_in_a_fork_does_not_make_it_the_log() {
    let store = store();
    let mut image = Vec::new();
    store.snapshot().write_image(&mut image).unwrap();
    let (_, of_store) = store.snapshot().guarded(read_a);
    let ways: [Restore; 3] = [
        |fork, image| fork.restore(image),
        |fork, image| fork.rewind(image),
        |fork, image| fork.restore_at(image, at(LOG, 8), None),
    ];
    for (way, restore) in ways.into_iter().enumerate() {
        let fork = store.fork();
        put(&fork, "a", 2);
        let (_, before) = fork.snapshot().guarded(read_a);
        let position = restore(&fork, &image).unwrap();
        assert_eq!(fork.position(), position);
        assert_eq!(position.index, LogIndex(if way == 2 { 8 } else { 2 }));
        assert_eq!(value(&fork, "a"), Some(1));
        // Nothing that is said of the fork from now on, or was before, is the other's word.
        let (_, after) = fork.snapshot().guarded(read_a);
        let told = store.write().unwrap().validate(&after);
        assert!(matches!(told, Err(Conflict::OtherHistory { .. })));
        let txn = fork.write().unwrap();
        assert_eq!(txn.validate(&after), Ok(()));
        assert!(matches!(
            txn.validate(&before),
            Err(Conflict::OtherHistory { .. })
        ));
        // The image's is, as long as the records are as they were in it.
        let told = txn.validate(&of_store);
        if way == 2 {
            assert!(matches!(told, Err(Conflict::Changed { .. })));
        } else {
            assert_eq!(told, Ok(()));
        }
    }
    // A store of what was tried is no fork's, nor another such store.
    let fork = store.fork();
    let mut image = Vec::new();
    fork.snapshot().write_image(&mut image).unwrap();
    let [one, other] = [(); 2].map(|()| Store::<Shop>::from_image(&image[..]).unwrap());
    let (_, of_fork) = fork.snapshot().guarded(read_a);
    assert_eq!(one.write().unwrap().validate(&of_fork), Ok(()));
    let (_, of_one) = one.snapshot().guarded(read_a);
    for store in [&fork, &other] {
        let told = store.write().unwrap().validate(&of_one);
        assert!(matches!(told, Err(Conflict::OtherHistory { .. })));
    }
}

#[test]
fn a_fork_is_never_stale() {
    let fork = store().fork();
    assert_eq!(fork.staleness(), Some(Duration::ZERO));
    let fresh = ReadMode::MaxStale(Duration::ZERO);
    assert!(fork.read(fresh, Instant::now()).is_ok());
}

#[test]
fn a_long_line_of_forks_ends() {
    let mut fork = store();
    let (_, guard) = fork.snapshot().guarded(read_a);
    for _ in 0..20_000 {
        fork = fork.fork();
    }
    assert_eq!(fork.write().unwrap().validate(&guard), Ok(()));
}

#[test]
fn who_waits_for_the_one_does_not_wait_for_the_other() {
    let store = store();
    let fork = store.fork();
    let (_, of_store) = store.watch(read_a);
    let (_, of_fork) = fork.watch(read_a);
    let mut feed = fork.feed(Start::After(fork.position())).unwrap();
    assert!(matches!(feed.try_next(), Ok(Some(FeedItem::Bookmark(_)))));
    put(&store, "a", 2);
    assert!(of_store.has_fired() && !of_fork.has_fired());
    assert!(feed.try_next().unwrap().is_none());
    let (_, of_store) = store.watch(read_a);
    put(&fork, "a", 3);
    assert!(of_fork.has_fired() && !of_store.has_fired());
    match feed.try_next() {
        Ok(Some(FeedItem::Event(event))) => assert_eq!(event.items().count(), 1),
        other => panic!("{other:?}"),
    }
    // Each has one writer.
    let _running = store.write().unwrap();
    put(&fork, "a", 4);
    let deadline = Instant::now() + Duration::from_secs(30);
    assert_eq!(
        fork.snapshot_at_least(LogIndex(4), deadline)
            .unwrap()
            .index(),
        LogIndex(4)
    );
}

#[test]
fn a_fork_outlives_and_outruns_what_it_is_of() {
    let store = store();
    store.halt("for the test");
    let fork = store.fork();
    let snap = store.snapshot();
    drop(store);
    put(&fork, "a", 9);
    let again = fork.fork();
    put(&again, "b", 9);
    assert_eq!((value(&fork, "a"), value(&fork, "b")), (Some(9), Some(1)));
    drop(fork);
    assert_eq!((value(&again, "a"), value(&again, "b")), (Some(9), Some(9)));
    assert_eq!(snap.items().get("a").unwrap().value, 1);
    let now = again.snapshot();
    let changed = now.items().diff(&snap.items());
    assert!(
        changed
            .map(|change| &change.after.unwrap().id)
            .eq(["a", "b"])
    );
}

#[test]
fn hooks_run_for_what_is_so_alone() {
    let store = store();
    let ran = Arc::new(AtomicUsize::new(0));
    for (store, expected) in [(store.fork(), 0), (store.clone(), 1)] {
        let mut txn = store.write().unwrap();
        txn.items_mut().delete("a").unwrap();
        let ran_here = Arc::clone(&ran);
        txn.after_commit(move |_| {
            ran_here.fetch_add(1, Ordering::Relaxed);
        });
        txn.commit().unwrap();
        assert_eq!(ran.load(Ordering::Relaxed), expected);
    }
}

#[test]
fn a_fork_gives_back_what_it_held() {
    let store = store();
    store.collect();
    let before = store.stats();
    let fork = store.fork();
    assert_eq!(fork.stats().nodes.leaves, 0);
    assert_eq!(fork.stats().live_bytes, before.live_bytes);
    for round in 0..100 {
        put(&fork, "a", round);
    }
    assert_eq!(store.stats().nodes, before.nodes);
    let mut image = Vec::new();
    store.snapshot().write_image(&mut image).unwrap();
    // From an image it is a fork of the image: what was tried is gone.
    assert_eq!(fork.restore(&image[..]).unwrap(), fork.position());
    assert_eq!(value(&fork, "a"), Some(1));
    put(&store, "a", 7);
    store.collect();
    assert!(store.stats().pinned_bytes > 0);
    drop(fork);
    store.collect();
    let after = store.stats();
    assert_eq!((after.nodes, after.pinned_bytes), (before.nodes, 0));
}
