//! The feed of commits.

mod store_schema;

use highwater::{
    Feed, FeedItem, HistoryId, LogIndex, Position, Retention, Snapshot, Start, Store, StoreOptions,
    SubscribeError, Subscription, TableEvent,
};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use store_schema::*;

fn position(index: u64) -> Position {
    Position {
        history: HistoryId::UNNAMED,
        index: LogIndex(index),
    }
}

/// The events that are there, each as its index and what happened to nodes.
fn drain(feed: &mut Subscription<Catalog>) -> Vec<(u64, String)> {
    let mut events = Vec::new();
    while let Some(event) = feed.try_next().unwrap() {
        let text = |row: Option<&highwater::Row<Node>>| {
            row.map_or_else(String::new, |row| format!("{}{}", row.name, row.address))
        };
        let changes: Vec<String> = event
            .nodes()
            .map(|change| format!("{}>{}", text(change.before), text(change.after)))
            .collect();
        events.push((event.index().0, changes.join(" ")));
    }
    events
}

fn events(expected: &[(u64, &str)]) -> Vec<(u64, String)> {
    expected
        .iter()
        .map(|(index, changes)| (*index, (*changes).to_owned()))
        .collect()
}

#[test]
fn each_commit_once_in_order_with_net_changes() {
    let store = Store::<Catalog>::new();
    commit_at(&store, 1, |txn| {
        txn.nodes_mut().insert(node("a", 1)).unwrap();
    });
    let mut feed = store.subscribe(Start::Now).unwrap();
    assert_eq!(feed.position(), position(1));
    assert!(feed.try_next().unwrap().is_none());
    commit_at(&store, 3, |txn| {
        let mut nodes = txn.nodes_mut();
        nodes.insert(node("c", 1)).unwrap();
        nodes.insert(node("b", 1)).unwrap();
        nodes.update(node("a", 2)).unwrap();
        nodes.update(node("a", 3)).unwrap();
        nodes.update(node("b", 4)).unwrap();
        // Left out: there was nothing, and is nothing.
        nodes.insert(node("d", 1)).unwrap();
        nodes.delete("d").unwrap();
        // No change at all.
        nodes.upsert(node("c", 1)).unwrap();
    });
    // Gone and back is one change.
    commit_at(&store, 4, |txn| {
        txn.nodes_mut().delete("a").unwrap();
        txn.nodes_mut().insert(node("a", 9)).unwrap();
        txn.nodes_mut().delete("c").unwrap();
    });
    assert_eq!(
        drain(&mut feed),
        events(&[(3, ">c1 >b4 a1>a3"), (4, "a3>a9 c1>")])
    );
    assert_eq!(feed.position(), position(4));
    // What is left of nothing is no event.
    commit_at(&store, 5, |txn| {
        txn.nodes_mut().insert(node("x", 1)).unwrap();
        txn.nodes_mut().delete("x").unwrap();
    });
    assert_eq!(drain(&mut feed), []);
    assert_eq!(feed.position(), position(5));
}

#[test]
fn an_event_has_every_table() {
    let store = Store::<Catalog>::new();
    let mut feed = store.subscribe(Start::Now).unwrap();
    commit_at(&store, 2, |txn| {
        txn.services_mut().insert(service("s", "n", "x")).unwrap();
        txn.checks_mut().insert(check("n", 1, &[])).unwrap();
    });
    let event = feed.try_next().unwrap().unwrap();
    assert_eq!(event.position(), position(2));
    let copy = event.clone();
    let [service] = &copy.services().collect::<Vec<_>>()[..] else {
        panic!()
    };
    assert!(service.before.is_none());
    let after = service.after.unwrap();
    assert_eq!(
        (after.id.as_str(), after.modify_index()),
        ("s", LogIndex(2))
    );
    assert_eq!((event.nodes().count(), event.checks().len()), (0, 1));
}

#[test]
fn rolled_back_changes_are_not_told() {
    let store = Store::<Catalog>::new();
    commit_at(&store, 1, |txn| {
        txn.nodes_mut().insert(node("a", 1)).unwrap();
    });
    let mut feed = store.subscribe(Start::Now).unwrap();
    commit_at(&store, 2, |txn| {
        txn.nodes_mut().update(node("a", 2)).unwrap();
        let savepoint = txn.savepoint();
        txn.nodes_mut().update(node("a", 3)).unwrap();
        txn.nodes_mut().insert(node("b", 3)).unwrap();
        txn.services_mut().insert(service("s", "n", "x")).unwrap();
        txn.rollback_to(savepoint);
        txn.nodes_mut().insert(node("c", 3)).unwrap();
    });
    drop({
        let mut txn = at(&store, 3);
        txn.nodes_mut().insert(node("z", 1)).unwrap();
        txn
    });
    assert_eq!(drain(&mut feed), events(&[(2, "a1>a2 >c3")]));
}

#[test]
fn a_batch_is_told_entry_by_entry() {
    let store = Store::<Catalog>::new();
    let mut feed = store.subscribe(Start::Now).unwrap();
    let mut txn = at(&store, 5);
    txn.nodes_mut().insert(node("a", 1)).unwrap();
    txn.next_entry(LogIndex(6)).unwrap();
    txn.next_entry(LogIndex(8)).unwrap();
    txn.nodes_mut().update(node("a", 2)).unwrap();
    txn.next_entry(LogIndex(9)).unwrap();
    assert_eq!(drain(&mut feed), []);
    txn.commit().unwrap();
    let mut resumed = store.subscribe(Start::After(position(5))).unwrap();
    assert_eq!(drain(&mut feed), events(&[(5, ">a1"), (8, "a1>a2")]));
    assert_eq!(drain(&mut resumed), events(&[(8, "a1>a2")]));
    assert_eq!(feed.position(), position(9));
}

#[test]
fn resumes_without_a_gap_or_says_so() {
    let window = 40;
    let store = Store::<Catalog>::with_options(StoreOptions {
        window,
        ..StoreOptions::default()
    });
    let mut slow = store.subscribe(Start::Now).unwrap();
    for i in 1..=500 {
        commit_at(&store, i * 2, |txn| {
            txn.nodes_mut()
                .upsert(node("a", u32::try_from(i).unwrap()))
                .unwrap();
        });
        // Every position of the last `window` entries can be resumed from.
        let from = i.saturating_sub(window as u64 - 1) * 2;
        let mut feed = store.subscribe(Start::After(position(from))).unwrap();
        let indexes: Vec<u64> = drain(&mut feed)
            .into_iter()
            .map(|(index, _)| index)
            .collect();
        let expected: Vec<u64> = (from / 2 + 1..=i).map(|i| i * 2).collect();
        assert_eq!(indexes, expected);
    }
    let Err(SubscribeError::Compacted { oldest }) = slow.try_next() else {
        panic!()
    };
    assert!(oldest.index > LogIndex(0) && oldest.index <= LogIndex(1000 - 2 * 40));
    let again = store.subscribe(Start::After(slow.position())).unwrap_err();
    assert_eq!(again, SubscribeError::Compacted { oldest });
    let mut feed = store.subscribe(Start::After(oldest)).unwrap();
    let all = drain(&mut feed);
    assert_eq!(all.first().unwrap().0, oldest.index.0 + 2);
    assert_eq!(all.last().unwrap().0, 1000);
    let before = Position {
        index: LogIndex(oldest.index.0 - 1),
        ..oldest
    };
    assert!(store.subscribe(Start::After(before)).is_err());
    let foreign = Position {
        history: HistoryId(3),
        index: LogIndex(1000),
    };
    assert_eq!(
        store.subscribe(Start::After(foreign)).unwrap_err(),
        SubscribeError::HistoryChanged {
            now: position(1000)
        }
    );
}

#[test]
fn large_entries_count_for_more() {
    let store = Store::<Catalog>::new();
    let mut feed = store.subscribe(Start::Now).unwrap();
    for i in 1..=40_u32 {
        commit_at(&store, u64::from(i), |txn| {
            for n in 0..3_000 {
                txn.nodes_mut().upsert(node(&n.to_string(), i)).unwrap();
            }
        });
        if i == 10 {
            // Not yet beyond the limit.
            assert_eq!(feed.try_next().unwrap().unwrap().nodes().len(), 3_000);
        }
    }
    let Err(SubscribeError::Compacted { oldest }) = feed.try_next() else {
        panic!()
    };
    assert!(oldest.index >= LogIndex(10), "{oldest}");
    let mut feed = store.subscribe(Start::After(oldest)).unwrap();
    assert_eq!(drain(&mut feed).len() as u64, 40 - oldest.index.0);
}

#[test]
fn entries_without_data_move_the_position_only() {
    let store = Store::<Catalog>::new();
    let mut feed = store.subscribe(Start::Now).unwrap();
    store.advance_to(LogIndex(5)).unwrap();
    assert_eq!(feed.position(), position(0));
    assert!(feed.next(shortly()).unwrap().is_none());
    assert_eq!(feed.position(), position(5));
    // From a position that is still to come.
    let mut ahead = store.subscribe(Start::After(position(8))).unwrap();
    commit_at(&store, 7, |txn| {
        txn.nodes_mut().insert(node("a", 1)).unwrap();
    });
    assert!(ahead.try_next().unwrap().is_none());
    assert_eq!(ahead.position(), position(8));
    commit_at(&store, 9, |txn| {
        txn.nodes_mut().insert(node("b", 1)).unwrap();
    });
    assert_eq!(drain(&mut ahead), events(&[(9, ">b1")]));
}

#[test]
fn continues_a_snapshot_without_gap_or_repetition() {
    let window = 4_096;
    let store = Store::<Catalog>::with_options(StoreOptions {
        window,
        ..StoreOptions::default()
    });
    let writer = {
        let store = store.clone();
        thread::spawn(move || {
            for i in 1..=2_000_u32 {
                commit_at(&store, u64::from(i), |txn| {
                    txn.nodes_mut()
                        .upsert(node(&(i % 7).to_string(), i))
                        .unwrap();
                });
            }
        })
    };
    for _ in 0..20 {
        let snap = store.snapshot();
        let mut last = snap.index().0;
        if last == 2_000 {
            // Nothing will come.
            break;
        }
        let mut feed = store.subscribe(Start::After(snap.position())).unwrap();
        for _ in 0..5 {
            let Some(event) = feed.next(soon()).unwrap() else {
                break;
            };
            assert_eq!(event.index().0, last + 1);
            last += 1;
            // What is told can be read.
            assert!(store.snapshot().index() >= event.index());
            if last == 2_000 {
                break;
            }
        }
        if last == 2_000 {
            break;
        }
    }
    writer.join().unwrap();
}

#[test]
fn waits_blocking_and_async_and_ends_with_the_store() {
    let store = Store::<Catalog>::new();
    let followers: Vec<_> = [true, false]
        .map(|blocking| {
            let mut feed = store.subscribe(Start::Now).unwrap();
            thread::spawn(move || {
                let mut seen = Vec::new();
                loop {
                    let event = if blocking {
                        feed.next(soon())
                            .map(|event| event.expect("in half a minute"))
                    } else {
                        block_on(feed.next_async())
                    };
                    match event {
                        Ok(event) => seen.push(event.index().0),
                        Err(error) => return (seen, error, feed.position()),
                    }
                }
            })
        })
        .into();
    for i in 1..=200_u64 {
        if i % 3 == 0 {
            store.advance_to(LogIndex(i)).unwrap();
        } else {
            commit_at(&store, i, |txn| {
                txn.nodes_mut()
                    .upsert(node("a", u32::try_from(i).unwrap()))
                    .unwrap();
            });
        }
        if i % 40 == 0 {
            thread::sleep(Duration::from_millis(2));
        }
    }
    store.halt("enough");
    for follower in followers {
        let (seen, error, position) = follower.join().unwrap();
        assert_eq!(seen, (1..=200).filter(|i| i % 3 != 0).collect::<Vec<u64>>());
        assert_eq!(
            error,
            SubscribeError::Halted {
                reason: "enough".to_owned()
            }
        );
        assert_eq!(position.index, LogIndex(200));
    }
    let mut feed = store.subscribe(Start::Now);
    assert!(matches!(
        feed.as_mut().map(|_| ()),
        Err(SubscribeError::Halted { .. })
    ));
    let passed = Instant::now();
    assert!(store.snapshot_at_least(LogIndex(200), passed).is_ok());
}

#[test]
fn a_restore_ends_what_it_cannot_continue() {
    let image = |history: u128, index: u64| {
        let history = HistoryId(history);
        let other = Store::<Catalog>::with_options(StoreOptions {
            history,
            ..StoreOptions::default()
        });
        commit_at(&other, index, |txn| {
            txn.nodes_mut().insert(node("r", 1)).unwrap();
        });
        let mut image = Vec::new();
        other.snapshot().write_image(&mut image).unwrap();
        image
    };
    let store = Store::<Catalog>::new();
    commit_at(&store, 5, |txn| {
        txn.nodes_mut().insert(node("a", 1)).unwrap();
    });
    let mut feed = store.subscribe(Start::Now).unwrap();
    let mut ahead = store.subscribe(Start::After(position(9))).unwrap();
    // The same history further on: nobody can say what happened in between.
    store.restore(&image(0, 9)[..]).unwrap();
    assert_eq!(
        feed.try_next().unwrap_err(),
        SubscribeError::Compacted {
            oldest: position(9)
        }
    );
    commit_at(&store, 10, |txn| {
        txn.nodes_mut().insert(node("b", 1)).unwrap();
    });
    assert_eq!(drain(&mut ahead), events(&[(10, ">b1")]));
    // Back in the same history: later indexes are other commits, also once they are reached.
    store.rewind(&image(0, 3)[..]).unwrap();
    for index in 4..20 {
        let address = u32::try_from(index).unwrap();
        commit_at(&store, index, |txn| {
            drop(txn.nodes_mut().upsert(node("c", address)).unwrap());
        });
    }
    assert_eq!(
        ahead.try_next().unwrap_err(),
        SubscribeError::HistoryChanged { now: position(19) }
    );
    let mut feed = store.subscribe(Start::Now).unwrap();
    store.restore(&image(8, 100)[..]).unwrap();
    let now = store.position();
    assert_eq!(
        feed.next(soon()).unwrap_err(),
        SubscribeError::HistoryChanged { now }
    );
    let from = Start::After(position(19));
    assert_eq!(
        store.subscribe(from).unwrap_err(),
        SubscribeError::HistoryChanged { now }
    );
}

#[test]
fn who_waits_is_told_of_a_rewind() {
    let store = Store::<Catalog>::new();
    let write = |index| {
        commit_at(&store, index, |txn| {
            txn.nodes_mut()
                .upsert(node("a", u32::try_from(index).unwrap()))
                .unwrap();
        });
    };
    write(1);
    let mut image = Vec::new();
    store.snapshot().write_image(&mut image).unwrap();
    write(9);
    let mut feed = store.subscribe(Start::Now).unwrap();
    let waiting = thread::spawn(move || block_on(feed.next_async()).map(|event| event.index()));
    thread::sleep(Duration::from_millis(20));
    // What it waits for, index 10, is farther away than before.
    store.rewind(&image[..]).unwrap();
    let told = waiting.join().unwrap();
    assert_eq!(
        told,
        Err(SubscribeError::HistoryChanged { now: position(1) })
    );
}

#[test]
fn a_snapshot_and_what_comes_after_it() {
    let store = Store::<Catalog>::with_options(StoreOptions {
        window: 2,
        ..StoreOptions::default()
    });
    let write = |store: &Store<Catalog>, index| {
        commit_at(store, index, |txn| {
            txn.nodes_mut()
                .upsert(node("a", u32::try_from(index).unwrap()))
                .unwrap();
        });
    };
    for index in 1..=500 {
        write(&store, index);
    }
    // The beginning is not kept any more.
    assert!(store.subscribe(Start::After(position(1))).is_err());
    let (snapshot, mut feed) = store.follow().unwrap();
    assert_eq!(snapshot.nodes().get("a").unwrap().modify_index().0, 500);
    assert_eq!(feed.position(), snapshot.position());
    assert_eq!(drain(&mut feed), []);
    write(&store, 501);
    assert_eq!(drain(&mut feed), events(&[(501, "a500>a501")]));

    // Beside a writer: nothing twice, nothing left out.
    let writer = {
        let store = store.clone();
        thread::spawn(move || (502..=2500).for_each(|index| write(&store, index)))
    };
    loop {
        let done = writer.is_finished();
        let (snapshot, mut feed) = store.follow().unwrap();
        let mut last = snapshot.nodes().get("a").unwrap().modify_index().0;
        assert_eq!(last, snapshot.index().0);
        drop(snapshot);
        loop {
            match feed.try_next() {
                Ok(Some(event)) => {
                    assert_eq!(event.index().0, last + 1);
                    last += 1;
                }
                // The end, or it was slower than the writer.
                Ok(None) | Err(SubscribeError::Compacted { .. }) => break,
                Err(error) => panic!("{error}"),
            }
        }
        if done {
            break;
        }
    }
    writer.join().unwrap();
    store.close();
    assert!(matches!(store.follow(), Err(SubscribeError::Closed)));
}

fn put_node(store: &Store<Catalog>, index: u64, name: &str) {
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
        other => panic!("{}", matches!(other, FeedItem::Event(_))),
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
        assert!(matches!(
            feed.try_next(),
            Err(SubscribeError::Halted { .. })
        ));
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
            Err(SubscribeError::Compacted { .. }) => "compacted".to_owned(),
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
    let text = move |item: Result<FeedItem<highwater::Event<Catalog>>, SubscribeError>| match item {
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
    #[cfg(feature = "crossbeam-channel")]
    {
        // A channel of one: it is waited for.
        let (sender, receiver) = crossbeam_channel::bounded(1);
        feed().send_to(sender).unwrap();
        followers.push(thread::spawn(move || {
            receiver.into_iter().map(text).collect::<Vec<_>>()
        }));
        // One that nobody receives from ends by itself.
        let (sender, receiver) = crossbeam_channel::bounded(0);
        feed().send_to(sender).unwrap();
        drop(receiver);
    }
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
        let mut whole = store.subscribe(Start::Now).unwrap();
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
            let event = whole.try_next().unwrap();
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

/// A subscriber's own copy of the nodes.
type Nodes = BTreeMap<String, u32>;

fn copy(snapshot: &Snapshot<Catalog>) -> Nodes {
    let nodes = snapshot.nodes();
    nodes
        .iter()
        .map(|row| (row.name.clone(), row.address))
        .collect()
}

/// Keeps a copy of what is told, and compares it with the store as it was at bookmarks; says how
/// often. `stall`: how slow it is now and then.
fn rebuild(store: &Store<Catalog>, stop: &AtomicBool, stall: u64) -> usize {
    let mut compared = 0;
    'begin: loop {
        let (snapshot, _) = store.follow().unwrap();
        // Events up to a snapshot are in the copy that was made of it.
        let (mut mine, mut from) = (copy(&snapshot), snapshot.position());
        let Ok(mut feed) = store.feed(Start::After(from)) else {
            continue;
        };
        drop(snapshot);
        let mut told = 0_u64;
        let mut next = None;
        loop {
            let last = stop.load(Ordering::Relaxed);
            if last || told.is_multiple_of(50) {
                feed.request_bookmark();
            }
            let item = next.take().unwrap_or_else(|| feed.next(shortly()));
            match item {
                Ok(None) => feed.request_bookmark(),
                Ok(Some(FeedItem::Event(event))) if event.index() <= from.index => {}
                Ok(Some(FeedItem::Event(event))) => {
                    for change in event.nodes() {
                        match (change.before, change.after) {
                            (_, Some(row)) => mine.insert(row.name.clone(), row.address),
                            (Some(row), None) => mine.remove(&row.name),
                            (None, None) => panic!("no change"),
                        };
                    }
                    told += 1;
                    if told % 500 == 100 * stall {
                        thread::sleep(Duration::from_millis(4 * stall));
                    }
                }
                Ok(Some(FeedItem::Bookmark(at))) => {
                    // Before the copy there is the snapshot it was begun with.
                    let then = (at.index >= from.index).then(|| store.as_of(at));
                    let after = feed.try_next();
                    // If nothing was replaced until then, that was of this line.
                    let replaced = matches!(after, Ok(Some(FeedItem::Restored(_))));
                    if let (Some(Ok(then)), false) = (then, replaced) {
                        assert_eq!(mine, copy(&then), "at {at}");
                        compared += 1;
                        if last {
                            return compared;
                        }
                    }
                    next = after.transpose().map(|item| item.map(Some));
                }
                Ok(Some(FeedItem::Restored(_))) => {
                    let now = store.snapshot();
                    (mine, from) = (copy(&now), now.position());
                }
                Ok(Some(item)) => panic!("{item:?}"),
                // It was too slow.
                Err(SubscribeError::Compacted { .. }) => continue 'begin,
                Err(error) => panic!("{error}"),
            }
        }
    }
}

/// A writer, restores, and subscribers that stall: each one's own copy, made of what it is told, is
/// at each bookmark what the store was then. A second here; longer with `SOAK_SECONDS`.
#[test]
fn what_subscribers_rebuild_is_what_the_store_was() {
    let seconds = std::env::var("SOAK_SECONDS");
    let seconds = seconds.ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    let end = Instant::now() + Duration::from_secs(seconds);
    let store = Store::<Catalog>::with_options(StoreOptions {
        window: 64,
        retain: Retention {
            versions: 4_096,
            ..Retention::default()
        },
        ..StoreOptions::default()
    });
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let followers = [0, 1, 2].map(|stall| {
            let (store, stop) = (&store, &stop);
            scope.spawn(move || rebuild(store, stop, stall))
        });
        let mut image = Vec::new();
        let mut round = 0_u64;
        while Instant::now() < end {
            round += 1;
            let index = store.position().index.0 + 1 + round % 3 / 2;
            commit_at(&store, index, |txn| {
                for key in 0..round % 4 {
                    let name = format!("n{}", (round * 7 + key) % 50);
                    if (round + key).is_multiple_of(5) {
                        drop(txn.nodes_mut().delete(&name).unwrap());
                    } else {
                        let address = u32::try_from(round % 1_000_000).unwrap();
                        drop(txn.nodes_mut().upsert(node(&name, address)).unwrap());
                    }
                }
            });
            match round % 400 {
                50 => {
                    image.clear();
                    store.snapshot().write_image(&mut image).unwrap();
                }
                150 => drop(store.rewind(&image[..]).unwrap()),
                _ => {}
            }
            if round.is_multiple_of(20) {
                thread::sleep(Duration::from_millis(1));
            }
        }
        stop.store(true, Ordering::Relaxed);
        for follower in followers {
            assert!(follower.join().unwrap() > 0);
        }
    });
}
