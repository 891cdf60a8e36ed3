//! Who follows a part of a table sleeps while others are changed, and misses nothing.

use crate::items::put_node;
use crate::store_schema::*;
use highwater::{Feed, FeedItem, Start, Store, StoreOptions, SubscribeError, TableEvent};
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
    for index in 1..=498 {
        put_node(&store, index, &format!("b{index}"));
    }
    assert_eq!(count(), 0);
    put_node(&store, 499, "a1");
    assert_eq!(count(), 1);
    assert_eq!(index(feed.try_next().unwrap().unwrap()), 499);
    // Half of what is kept has gone by: it moves on, lest it be passed by.
    wait(&mut feed, &woken);
    for index in 500..=998 {
        put_node(&store, index, "b");
    }
    assert_eq!(count(), 1);
    put_node(&store, 999, "b");
    assert_eq!(count(), 2);
    wait(&mut feed, &woken);
    assert_eq!(feed.position(), store.position());
    // Each entry wakes one that wants bookmarks when it is idle.
    let mut feed = feed.bookmark_when_idle(Duration::from_secs(3600));
    put_node(&store, 1_000, "a1");
    assert_eq!(index(feed.try_next().unwrap().unwrap()), 1_000);
    wait(&mut feed, &woken);
    let before = count();
    put_node(&store, 1_001, "b");
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
    assert!(matches!(feed.try_next(), Err(SubscribeError::Closed)));
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

/// Entries with so many changes that they push all before out of what is kept.
#[test]
fn what_is_no_longer_kept_is_missed_only_if_it_concerned() {
    let store = keeping(2);
    put_node(&store, 1, "a1");
    let mut asleep = of_a(&store);
    let mut behind = of_a(&store);
    let push = |index: u64| {
        commit_at(&store, index, |txn| {
            let names = (0..30_000).map(|n| node(&format!("b{n}"), u32::try_from(index).unwrap()));
            for node in names {
                drop(txn.nodes_mut().upsert(node).unwrap());
            }
        });
    };
    (2..=5).for_each(push);
    let from = Start::After(behind.position());
    // Whoever follows all of them, even from the start, is too late.
    assert!(matches!(
        store.feed(from),
        Err(SubscribeError::Compacted { .. })
    ));
    assert!(store.feed_of(from, |db| db.nodes().prefix("a")).is_ok());
    assert!(matches!(asleep.try_next(), Ok(None)));
    assert_eq!(asleep.position(), store.position());
    put_node(&store, 6, "a1");
    assert_eq!(index(asleep.try_next().unwrap().unwrap()), 6);
    // This one was not there in time, and what it missed is no longer kept.
    (7..=10).for_each(push);
    assert!(matches!(behind.try_next(), Ok(Some(FeedItem::Bookmark(_)))));
    assert!(matches!(
        behind.try_next(),
        Err(SubscribeError::Compacted { .. })
    ));
    assert!(matches!(
        store.feed_of(from, |db| db.nodes().prefix("a")),
        Err(SubscribeError::Compacted { .. })
    ));
}
