//! Feeds: bookmarks, restores, and what is told of a part of a table.

use crate::position;
use crate::store_schema::*;
use highwater::{
    Feed, FeedError, FeedItem, LogIndex, Snapshot, Start, Store, StoreOptions, TableEvent,
};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::thread;
use std::time::Duration;

pub(crate) fn put_node(store: &Store<Catalog>, index: u64, name: &str) {
    commit_at(store, index, |txn| {
        let address = u32::try_from(index).unwrap();
        drop(txn.nodes_mut().upsert(node(name, address)).unwrap());
    });
}

/// An item as text: an event's index, and where a bookmark or a restore is.
fn shown<E>(item: &FeedItem<E>, index: impl Fn(&E) -> u64) -> String {
    match item {
        FeedItem::Event(event) => index(event).to_string(),
        FeedItem::Bookmark(position) => format!("|{}", position.index),
        FeedItem::Restored(position) => format!("restored {}", position.index),
    }
}

/// What there is, item by item.
fn items<E>(feed: &mut Feed<E>, index: impl Fn(&E) -> u64 + Copy) -> Vec<String> {
    let mut shown_items = Vec::new();
    while let Some(item) = feed.try_next().unwrap() {
        shown_items.push(shown(&item, index));
    }
    shown_items
}

fn of_nodes(event: &TableEvent<Node>) -> u64 {
    event.index().0
}

#[test]
fn bookmarks_come_first_last_on_request_and_when_idle() {
    let store = Store::<Catalog>::new();
    put_node(&store, 1, "a");
    let mut feed = store
        .feed_of(Start::After(position(0)), |db| db.nodes().prefix("a"))
        .unwrap();
    // The first: where it begins.
    assert_eq!(items(&mut feed, of_nodes), ["|0", "1"]);
    for index in 2..5 {
        put_node(&store, index, "b");
    }
    // Nothing of that is told, but it is gone by.
    assert_eq!(items(&mut feed, of_nodes), [""; 0]);
    assert_eq!(feed.position(), position(4));
    feed.request_bookmark();
    put_node(&store, 5, "ab");
    put_node(&store, 6, "c");
    assert_eq!(items(&mut feed, of_nodes), ["5", "|6"]);
    assert!(feed.next(shortly()).unwrap().is_none());
    // When idle: if something has gone by.
    let mut feed = feed.bookmark_when_idle(Duration::ZERO);
    assert_eq!(items(&mut feed, of_nodes), [""; 0]);
    store.advance_to(LogIndex(7)).unwrap();
    assert_eq!(items(&mut feed, of_nodes), ["|7"]);
    put_node(&store, 8, "c");
    put_node(&store, 9, "a");
    assert_eq!(items(&mut feed, of_nodes), ["9"]);
    // The last, and the end as often as it is asked for.
    put_node(&store, 10, "c");
    store.halt("enough");
    assert_eq!(shown(&feed.next(soon()).unwrap().unwrap(), of_nodes), "|10");
    for _ in 0..2 {
        assert!(matches!(feed.try_next(), Err(FeedError::Halted { .. })));
    }
}

#[test]
fn a_slow_feed_ends_with_where_to_resume() {
    let store = Store::<Catalog>::with_options(StoreOptions {
        window: 4,
        ..StoreOptions::default()
    });
    let mut feed = store.feed(Start::Now).unwrap();
    put_node(&store, 1, "a");
    let index = |event: &highwater::Event<Catalog>| event.index().0;
    assert_eq!(items(&mut feed, index), ["|0", "1"]);
    for index in 2..200 {
        put_node(&store, index, "a");
    }
    let told: Vec<String> = feed
        .into_iter()
        .map(|item| match item {
            Ok(item) => shown(&item, index),
            Err(FeedError::Compacted { .. }) => "compacted".to_owned(),
            Err(error) => panic!("{error}"),
        })
        .collect();
    assert_eq!(told, ["|1", "compacted"]);
}

#[test]
fn a_restore_is_told_as_such() {
    let other = Store::<Catalog>::new();
    put_node(&other, 5, "restored");
    let mut image = Vec::new();
    other.snapshot().write_image(&mut image).unwrap();
    let store = Store::<Catalog>::new();
    put_node(&store, 1, "a");
    let mut feed = store.feed_of(Start::Now, |db| db.nodes().iter()).unwrap();
    assert_eq!(items(&mut feed, of_nodes), ["|1"]);
    // Further on: what was not told before it is not told any more.
    put_node(&store, 2, "a");
    store.restore(&image[..]).unwrap();
    put_node(&store, 6, "b");
    assert_eq!(items(&mut feed, of_nodes), ["restored 5", "6"]);
    // To the same place, and back: who waits is woken.
    for index in 7..9 {
        put_node(&store, index, "b");
    }
    assert_eq!(items(&mut feed, of_nodes), ["7", "8"]);
    let waiting = thread::spawn(move || {
        let item = feed.next(soon()).unwrap().unwrap();
        (shown(&item, of_nodes), feed)
    });
    thread::sleep(Duration::from_millis(5));
    store.rewind(&image[..]).unwrap();
    let (told, mut feed) = waiting.join().unwrap();
    assert_eq!(told, "restored 5");
    put_node(&store, 6, "c");
    assert_eq!(items(&mut feed, of_nodes), ["6"]);
    store.rewind(&image[..]).unwrap();
    store.rewind(&image[..]).unwrap();
    assert_eq!(items(&mut feed, of_nodes), ["restored 5"]);
}

#[test]
fn a_feed_is_an_iterator_a_stream_and_a_channel() {
    let store = Store::<Catalog>::new();
    let feed = || store.feed(Start::Now).unwrap();
    let index = |event: &highwater::Event<Catalog>| event.index().0;
    let text = move |item: Result<FeedItem<highwater::Event<Catalog>>, FeedError>| match item {
        Ok(item) => shown(&item, index),
        Err(end) => end.to_string(),
    };
    let mut followers = Vec::new();
    let iterated = feed();
    followers.push(thread::spawn(move || {
        iterated.into_iter().map(text).collect::<Vec<_>>()
    }));
    let mut awaited = feed();
    followers.push(thread::spawn(move || {
        let mut told = Vec::new();
        loop {
            let item = block_on(awaited.next_async());
            let end = item.is_err();
            told.push(text(item));
            if end {
                return told;
            }
        }
    }));
    #[cfg(feature = "stream")]
    {
        use futures_util::StreamExt;
        let streamed = feed();
        followers.push(thread::spawn(move || {
            block_on(streamed.map(text).collect::<Vec<_>>())
        }));
    }
    // A channel of one: it is waited for.
    let (sender, receiver) = crossbeam_channel::bounded(1);
    feed()
        .send_with(move |item| sender.send(item).is_ok())
        .unwrap();
    followers.push(thread::spawn(move || {
        receiver.into_iter().map(text).collect::<Vec<_>>()
    }));
    // One that nobody receives from ends by itself.
    let (sender, receiver) = std::sync::mpsc::sync_channel(0);
    feed()
        .send_with(move |item| sender.send(item).is_ok())
        .unwrap();
    drop(receiver);
    thread::sleep(Duration::from_millis(5));
    for index in 1..=300 {
        put_node(&store, index, "a");
        if index % 60 == 0 {
            thread::sleep(Duration::from_millis(1));
        }
    }
    store.close();
    for follower in followers {
        let told = follower.join().unwrap();
        let events: Vec<u64> = told.iter().filter_map(|text| text.parse().ok()).collect();
        assert_eq!(events, (1..=300).collect::<Vec<_>>());
        assert_eq!(told[told.len() - 2..], ["|300", "the store is closed"]);
    }
}

type Ids = BTreeSet<String>;

fn found(snapshot: &Snapshot<Catalog>, query: usize) -> Ids {
    let db = snapshot.services();
    let rows = match query {
        0 => db.iter(),
        1 => db.by_node("n1"),
        2 => db.node_index().prefix("n"),
        3 => db.range("b".."d"),
        4 => db.by_tags("x"),
        _ => db.name_node_index().leading("s"),
    };
    rows.map(|row| row.id.clone()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// A feed of a query tells of exactly those changes whose record is found by it before or after.
    #[test]
    fn a_feed_of_a_query_tells_what_changes_it(
        commits in prop::collection::vec(
            prop::collection::vec(
                ("[a-e]", prop::option::weighted(0.8, ("n1|n2|m", "s|t", prop::option::of("x|y"), 0..3_u32))),
                1..5,
            ),
            1..12,
        ),
    ) {
        let store = Store::<Catalog>::new();
        let mut whole = store.feed(Start::Now).unwrap();
        let mut feeds = [
            store.feed_of(Start::Now, |db| db.services().iter()).unwrap(),
            store.feed_of(Start::Now, |db| db.services().by_node("n1")).unwrap(),
            store.feed_of(Start::Now, |db| db.services().node_index().prefix("n")).unwrap(),
            store.feed_of(Start::Now, |db| db.services().range("b".."d")).unwrap(),
            store.feed_of(Start::Now, |db| db.services().by_tags("x")).unwrap(),
            store.feed_of(Start::Now, |db| db.services().name_node_index().leading("s")).unwrap(),
        ];
        let mut filtered = store
            .feed_of(Start::Now, |db| db.services().iter())
            .unwrap()
            .filter(|change| change.after.is_none());
        for feed in feeds.iter_mut().chain([&mut filtered]) {
            prop_assert_eq!(items(feed, |event| event.index().0), ["|0"]);
        }
        let mut before = store.snapshot();
        for (index, commit) in (1..).zip(commits) {
            commit_at(&store, index, |txn| {
                for (id, what) in commit {
                    match what {
                        None => drop(txn.services_mut().delete(&id).unwrap()),
                        Some((node, name, tag, note)) => {
                            let tags = tag.into_iter().collect();
                            let record = Service { tags, note, ..service(&id, &node, &name) };
                            drop(txn.services_mut().upsert(record).unwrap());
                        }
                    }
                }
            });
            let after = store.snapshot();
            let event = event(&mut whole).unwrap();
            let changed = |which: fn(&highwater::Change<'_, Service>) -> bool| -> Ids {
                let changes = event.iter().flat_map(|event| event.services());
                let id = |change: highwater::Change<'_, Service>| {
                    change.before.or(change.after).map(|row| row.id.clone())
                };
                changes.filter(which).filter_map(id).collect()
            };
            let told = |feed: &mut Feed<TableEvent<Service>>| -> Ids {
                let mut ids = Ids::new();
                if let Some(item) = feed.try_next().unwrap() {
                    let FeedItem::Event(event) = item else { panic!("an event") };
                    assert_eq!(event.position(), position(index));
                    for change in event.clone().changes() {
                        let row = change.before.or(change.after).unwrap();
                        assert!(ids.insert(row.id.clone()));
                    }
                    assert!(!ids.is_empty());
                }
                ids
            };
            for (query, feed) in feeds.iter_mut().enumerate() {
                let covered: Ids = &found(&before, query) | &found(&after, query);
                prop_assert_eq!(told(feed), &covered & &changed(|_| true), "query {}", query);
            }
            prop_assert_eq!(told(&mut filtered), changed(|change| change.after.is_none()));
            before = after;
        }
    }
}
