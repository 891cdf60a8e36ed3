//! Who follows a part of a table sleeps while others are changed, and misses nothing.

use crate::items::put_node;
use crate::store_schema::*;
use highwater::{Feed, FeedError, FeedItem, LogIndex, Start, Store, StoreOptions, TableEvent};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Wake, Waker};
use std::thread;
use std::time::Duration;

/// A store that keeps so many entries for who follows.
fn keeping(window: usize) -> Store<Catalog> {
    Store::with_options(StoreOptions {
        window,
        ..StoreOptions::default()
    })
}

/// A feed of the nodes that begin with "a", whose first bookmark was told.
fn of_a(store: &Store<Catalog>) -> Feed<TableEvent<Node>> {
    let mut feed = store
        .feed_of(Start::Now, |db| db.nodes().prefix("a"))
        .unwrap();
    assert!(matches!(feed.try_next(), Ok(Some(FeedItem::Bookmark(_)))));
    feed
}

fn index(item: FeedItem<TableEvent<Node>>) -> u64 {
    match item {
        FeedItem::Event(event) => event.index().0,
        item => panic!("{item:?}"),
    }
}

/// How often a task was woken.
#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Waits for an item without getting one.
fn wait(feed: &mut Feed<TableEvent<Node>>, woken: &Arc<Woken>) {
    let waker = Waker::from(Arc::clone(woken));
    let next = pin!(feed.next_async());
    assert!(next.poll(&mut Context::from_waker(&waker)).is_pending());
}

#[test]
fn only_what_is_followed_wakes() {
    let store = keeping(1_000);
    let mut feed = of_a(&store);
    let woken = Arc::new(Woken::default());
    let count = || woken.0.load(Ordering::Relaxed);
    wait(&mut feed, &woken);
    for index in 1..=123 {
        put_node(&store, index, &format!("b{index}"));
    }
    assert_eq!(count(), 0);
    put_node(&store, 124, "a1");
    assert_eq!(count(), 1);
    assert_eq!(index(feed.try_next().unwrap().unwrap()), 124);
    // An eighth of what is kept has gone by: it moves on, lest it be passed by.
    wait(&mut feed, &woken);
    for index in 125..=248 {
        put_node(&store, index, "b");
    }
    assert_eq!(count(), 1);
    put_node(&store, 249, "b");
    assert_eq!(count(), 2);
    wait(&mut feed, &woken);
    assert_eq!(feed.position(), store.position());
    // Each entry wakes one that wants bookmarks when it is idle.
    let mut feed = feed.bookmark_when_idle(Duration::from_hours(1));
    put_node(&store, 250, "a1");
    assert_eq!(index(feed.try_next().unwrap().unwrap()), 250);
    wait(&mut feed, &woken);
    let before = count();
    put_node(&store, 251, "b");
    assert_eq!(count(), before + 1);
}

#[test]
fn restores_and_ends_wake_who_follows_a_part() {
    let store = keeping(1_000);
    put_node(&store, 1, "b");
    let mut image = Vec::new();
    store.snapshot().write_image(&mut image).unwrap();
    put_node(&store, 2, "b");
    let mut feed = of_a(&store);
    let woken = Arc::new(Woken::default());
    wait(&mut feed, &woken);
    store.rewind(&image[..]).unwrap();
    assert!(woken.0.load(Ordering::Relaxed) > 0);
    assert!(matches!(
        feed.try_next(),
        Ok(Some(FeedItem::Restored(position))) if position.index.0 == 1
    ));
    wait(&mut feed, &woken);
    let before = woken.0.load(Ordering::Relaxed);
    store.close();
    assert!(woken.0.load(Ordering::Relaxed) > before);
    assert!(matches!(feed.try_next(), Ok(Some(FeedItem::Bookmark(_)))));
    assert!(matches!(feed.try_next(), Err(FeedError::Closed)));
}

#[test]
fn a_thread_waits_for_the_one_change_that_concerns_it() {
    let store = keeping(4_096);
    let mut feed = of_a(&store);
    let waiting = thread::spawn(move || index(feed.next(soon()).unwrap().unwrap()));
    for index in 1..=2_000 {
        put_node(&store, index, &format!("b{}", index % 100));
    }
    put_node(&store, 2_001, "a1");
    assert_eq!(waiting.join().unwrap(), 2_001);
}

/// Changes so many nodes that are not followed.
fn put_many(store: &Store<Catalog>, index: u64, count: u64) {
    commit_at(store, index, |txn| {
        for n in 0..count {
            let address = u32::try_from(index).unwrap();
            let node = node(&format!("b{n}"), address);
            drop(txn.nodes_mut().upsert(node).unwrap());
        }
    });
}

/// Entries with so many changes that they push all before out of what is kept.
#[test]
fn who_looks_when_it_is_woken_misses_nothing_however_large_the_entries() {
    let store = keeping(1_000);
    put_node(&store, 1, "a1");
    let mut feed = of_a(&store);
    let woken = Arc::new(Woken::default());
    wait(&mut feed, &woken);
    let mut seen = 0;
    for index in 2..=100 {
        // Also one that is as large as all that is kept, and right after it what is followed.
        let large = index % 33 == 0;
        put_many(&store, index, if large { 70_000 } else { 1_000 });
        let told = woken.0.load(Ordering::Relaxed);
        if told > seen {
            seen = told;
            wait(&mut feed, &woken);
        }
    }
    assert!((10..60).contains(&seen), "{seen}");
    put_node(&store, 101, "a1");
    assert!(woken.0.load(Ordering::Relaxed) > seen);
    assert_eq!(index(feed.try_next().unwrap().unwrap()), 101);
}

/// A batch, published as one, of nearly as many entries as are kept.
#[test]
fn a_batch_does_not_pass_who_sleeps_by() {
    let store = keeping(1_000);
    let mut feed = of_a(&store);
    let woken = Arc::new(Woken::default());
    wait(&mut feed, &woken);
    for index in 1..=124 {
        put_node(&store, index, "b");
    }
    let mut txn = at(&store, 125);
    for index in 125..=900 {
        let name = if index == 130 { "a1" } else { "b" };
        let address = u32::try_from(index).unwrap();
        drop(txn.nodes_mut().upsert(node(name, address)).unwrap());
        if index < 900 {
            txn.next_entry(LogIndex(index + 1)).unwrap();
        }
    }
    txn.commit().unwrap();
    assert_eq!(index(feed.try_next().unwrap().unwrap()), 130);
}

#[test]
fn who_does_not_look_misses_what_concerns_it_and_is_told_so() {
    let store = keeping(2);
    put_node(&store, 1, "a1");
    let [mut lucky, mut late] = [of_a(&store), of_a(&store)];
    let from = Start::After(late.position());
    (2..=5).for_each(|index| put_many(&store, index, 30_000));
    // Nothing that concerns it is among what is no longer kept.
    assert!(matches!(lucky.try_next(), Ok(None)));
    assert_eq!(lucky.position(), store.position());
    // Whoever comes from elsewhere may have seen anything.
    let resumed = store.feed_of(from, |db| db.nodes().prefix("a"));
    assert!(matches!(resumed, Err(FeedError::Compacted { .. })));
    put_node(&store, 6, "a1");
    (7..=10).for_each(|index| put_many(&store, index, 30_000));
    assert!(matches!(late.try_next(), Ok(Some(FeedItem::Bookmark(_)))));
    assert!(matches!(late.try_next(), Err(FeedError::Compacted { .. })));
}
