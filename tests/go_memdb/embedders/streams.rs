//! Streams of changes.

use super::{image, put};
use crate::store_schema::*;
use highwater::{Event, Feed, FeedError, FeedItem, LogIndex, Start, Store, StoreOptions};

/// consul PR #12673, nomad #11296: duplicates after a resume, streams that a restore leaves alone.
#[test]
fn a_stream_is_resumed_after_what_it_told_and_tells_of_a_restore() {
    let store = Store::<Catalog>::new();
    let mut feed = store.feed(Start::Now).unwrap();
    for index in [2, 3, 5] {
        put(&store, index, "a");
    }
    let first = event(&mut feed).unwrap().unwrap();
    assert_eq!(first.index(), LogIndex(2));
    let mut again = store.feed(Start::After(first.position())).unwrap();
    for index in [3, 5] {
        assert_eq!(event(&mut again).unwrap().unwrap().index(), LogIndex(index));
    }
    let old = image(&store);
    put(&store, 6, "b");
    store.rewind(&old[..]).unwrap();
    assert!(matches!(
        again.try_next(),
        Ok(Some(FeedItem::Restored(position))) if position.index == LogIndex(5)
    ));
    // A snapshot and what comes after it: the gap is closed.
    let (snap, mut feed) = store.follow().unwrap();
    assert_eq!(ids(snap.services().iter()), ["a"]);
    put(&store, 6, "c");
    assert_eq!(event(&mut feed).unwrap().unwrap().index(), LogIndex(6));
}

/// consul PR #16538: what was published before the commit could not be read yet.
#[test]
fn an_event_that_is_told_can_be_read() {
    let store = Store::<Catalog>::new();
    let mut feed = store.feed(Start::Now).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for index in 1..=200 {
                put(&store, index, "a");
            }
        });
        let mut told = 0;
        while told < 200 {
            let item = feed.next(soon()).unwrap().expect("it hangs");
            if let FeedItem::Event(event) = item {
                told += 1;
                assert_eq!(event.index(), LogIndex(told));
                assert!(store.position().index >= event.index());
            }
        }
    });
}

/// consul's publisher blocked the log when 64 were not taken, and kept what the slowest had not read; nomad's
/// events were dropped, and one asked for the closest that was left.
#[test]
fn who_is_slow_holds_up_nobody_and_is_told_where_to_go_on() {
    let store = Store::<Catalog>::with_options(StoreOptions {
        window: 8,
        ..StoreOptions::default()
    });
    put(&store, 1, "a");
    let mut slow = store.feed(Start::Now).unwrap();
    for index in 2..=1000 {
        put(&store, index, "a");
    }
    let Err(FeedError::Compacted { oldest }) = event(&mut slow) else {
        panic!("it is still told")
    };
    assert_eq!(slow.position().index, LogIndex(1));
    let mut closest = store.feed(Start::After(oldest)).unwrap();
    let mut told = Vec::new();
    while let Some(event) = event(&mut closest).unwrap() {
        told.push(event.index().0);
    }
    assert!(told.len() >= 8);
    assert!(told.iter().copied().eq(oldest.index.0 + 1..=1000));
}

/// What `reader` is told of services until its right to it changes, here by its record among the nodes: that
/// is in the same stream, so nothing that comes after it is told.
fn told_until_revoked(feed: &mut Feed<Event<Catalog>>, reader: &str) -> (Vec<u64>, bool) {
    let mut told = Vec::new();
    while let Some(event) = event(feed).unwrap() {
        if event.nodes().any(|change| {
            let either = change.before.or(change.after);
            either.is_some_and(|node| node.name == reader)
        }) {
            return (told, true);
        }
        if event.services().len() > 0 {
            told.push(event.index().0);
        }
    }
    (told, false)
}

/// consul closes the subscriptions of a token that has changed.
#[test]
fn a_subscription_ends_where_the_right_to_it_does() {
    let store = Store::<Catalog>::new();
    let mut feed = store.feed(Start::Now).unwrap();
    put(&store, 1, "a");
    commit_at(&store, 2, |txn| {
        txn.nodes_mut().insert(node("other", 1)).unwrap();
    });
    put(&store, 3, "b");
    assert_eq!(told_until_revoked(&mut feed, "me"), (vec![1, 3], false));
    put(&store, 4, "c");
    commit_at(&store, 5, |txn| {
        txn.nodes_mut().insert(node("me", 0)).unwrap();
        txn.services_mut()
            .insert(service("secret", "n", "s"))
            .unwrap();
    });
    put(&store, 6, "d");
    assert_eq!(told_until_revoked(&mut feed, "me"), (vec![4], true));
}
