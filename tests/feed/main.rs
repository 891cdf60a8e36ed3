//! The feed of commits.

mod items;
mod parts;
mod soak;
#[path = "../store_schema/mod.rs"]
mod store_schema;

use highwater::{
    Event, Feed, FeedError, FeedItem, HistoryId, LogIndex, Position, Start, Store, StoreOptions,
};
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
fn drain(feed: &mut Feed<Event<Catalog>>) -> Vec<(u64, String)> {
    let mut events = Vec::new();
    while let Some(event) = event(feed).unwrap() {
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
    let mut feed = store.feed(Start::Now).unwrap();
    assert_eq!(feed.position(), position(1));
    assert!(event(&mut feed).unwrap().is_none());
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
    let mut feed = store.feed(Start::Now).unwrap();
    commit_at(&store, 2, |txn| {
        txn.services_mut().insert(service("s", "n", "x")).unwrap();
        txn.checks_mut().insert(check("n", 1, &[])).unwrap();
    });
    let event = event(&mut feed).unwrap().unwrap();
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
    let shown = format!("{event:?}");
    let counts = "changes: CatalogChanges { services: 1, checks: 1 }";
    assert!(shown.contains(counts), "{shown}");
}

#[test]
fn rolled_back_changes_are_not_told() {
    let store = Store::<Catalog>::new();
    commit_at(&store, 1, |txn| {
        txn.nodes_mut().insert(node("a", 1)).unwrap();
    });
    let mut feed = store.feed(Start::Now).unwrap();
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
    let mut feed = store.feed(Start::Now).unwrap();
    let mut txn = at(&store, 5);
    txn.nodes_mut().insert(node("a", 1)).unwrap();
    txn.next_entry(LogIndex(6)).unwrap();
    txn.next_entry(LogIndex(8)).unwrap();
    txn.nodes_mut().update(node("a", 2)).unwrap();
    txn.next_entry(LogIndex(9)).unwrap();
    assert_eq!(drain(&mut feed), []);
    txn.commit().unwrap();
    let mut resumed = store.feed(Start::After(position(5))).unwrap();
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
    let mut slow = store.feed(Start::Now).unwrap();
    for i in 1..=500 {
        commit_at(&store, i * 2, |txn| {
            txn.nodes_mut()
                .upsert(node("a", u32::try_from(i).unwrap()))
                .unwrap();
        });
        // Every position of the last `window` entries can be resumed from.
        let from = i.saturating_sub(window as u64 - 1) * 2;
        let mut feed = store.feed(Start::After(position(from))).unwrap();
        let indexes: Vec<u64> = drain(&mut feed)
            .into_iter()
            .map(|(index, _)| index)
            .collect();
        let expected: Vec<u64> = (from / 2 + 1..=i).map(|i| i * 2).collect();
        assert_eq!(indexes, expected);
    }
    let Err(FeedError::Compacted { oldest }) = event(&mut slow) else {
        panic!()
    };
    assert!(oldest.index > LogIndex(0) && oldest.index <= LogIndex(1000 - 2 * 40));
    let again = store.feed(Start::After(slow.position())).unwrap_err();
    assert_eq!(again, FeedError::Compacted { oldest });
    let mut feed = store.feed(Start::After(oldest)).unwrap();
    let all = drain(&mut feed);
    assert_eq!(all.first().unwrap().0, oldest.index.0 + 2);
    assert_eq!(all.last().unwrap().0, 1000);
    let before = Position {
        index: LogIndex(oldest.index.0 - 1),
        ..oldest
    };
    assert!(store.feed(Start::After(before)).is_err());
    let foreign = Position {
        history: HistoryId(3),
        index: LogIndex(1000),
    };
    assert_eq!(
        store.feed(Start::After(foreign)).unwrap_err(),
        FeedError::HistoryChanged {
            now: position(1000)
        }
    );
}

#[test]
fn large_entries_count_for_more() {
    let store = Store::<Catalog>::new();
    let mut feed = store.feed(Start::Now).unwrap();
    for i in 1..=40_u32 {
        commit_at(&store, u64::from(i), |txn| {
            for n in 0..3_000 {
                txn.nodes_mut().upsert(node(&n.to_string(), i)).unwrap();
            }
        });
        if i == 10 {
            // Not yet beyond the limit.
            assert_eq!(event(&mut feed).unwrap().unwrap().nodes().len(), 3_000);
        }
    }
    let Err(FeedError::Compacted { oldest }) = event(&mut feed) else {
        panic!()
    };
    assert!(oldest.index >= LogIndex(10), "{oldest}");
    let mut feed = store.feed(Start::After(oldest)).unwrap();
    assert_eq!(drain(&mut feed).len() as u64, 40 - oldest.index.0);
}

#[test]
fn entries_without_data_move_the_position_only() {
    let store = Store::<Catalog>::new();
    let mut feed = store.feed(Start::Now).unwrap();
    assert_eq!(drain(&mut feed), []);
    store.advance_to(LogIndex(5)).unwrap();
    assert_eq!(feed.position(), position(0));
    assert!(feed.next(shortly()).unwrap().is_none());
    assert_eq!(feed.position(), position(5));
    // From a position that is still to come.
    let mut ahead = store.feed(Start::After(position(8))).unwrap();
    commit_at(&store, 7, |txn| {
        txn.nodes_mut().insert(node("a", 1)).unwrap();
    });
    assert!(event(&mut ahead).unwrap().is_none());
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
        let mut feed = store.feed(Start::After(snap.position())).unwrap();
        for _ in 0..5 {
            let event = match feed.next(soon()).unwrap().expect("in half a minute") {
                FeedItem::Event(event) => event,
                FeedItem::Bookmark(position) => {
                    assert_eq!(position, snap.position());
                    continue;
                }
                FeedItem::Restored(position) => panic!("restored at {position}"),
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
            let mut feed = store.feed(Start::Now).unwrap();
            thread::spawn(move || {
                let mut seen = Vec::new();
                loop {
                    let item = if blocking {
                        feed.next(soon())
                            .map(|item| item.expect("in half a minute"))
                    } else {
                        block_on(feed.next_async())
                    };
                    match item {
                        Ok(FeedItem::Event(event)) => seen.push(event.index().0),
                        Ok(FeedItem::Bookmark(_)) => {}
                        Ok(FeedItem::Restored(position)) => panic!("restored at {position}"),
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
            FeedError::Halted {
                reason: "enough".to_owned()
            }
        );
        assert_eq!(position.index, LogIndex(200));
    }
    let mut feed = store.feed(Start::Now);
    assert!(matches!(
        feed.as_mut().map(|_| ()),
        Err(FeedError::Halted { .. })
    ));
    let passed = Instant::now();
    assert!(store.snapshot_at_least(LogIndex(200), passed).is_ok());
}

/// What is there, which is no event: bookmarks and restores, as the index and whether it is a restore.
fn between(feed: &mut Feed<Event<Catalog>>) -> Vec<(u64, bool)> {
    let mut told = Vec::new();
    while let Some(item) = feed.try_next().unwrap() {
        told.push(match item {
            FeedItem::Bookmark(position) => (position.index.0, false),
            FeedItem::Restored(position) => (position.index.0, true),
            FeedItem::Event(event) => panic!("{event:?}"),
        });
    }
    told
}

#[test]
fn what_was_before_a_restore_is_not_resumed_and_what_comes_after_it_is_told() {
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
    let mut feed = store.feed(Start::Now).unwrap();
    assert_eq!(between(&mut feed), [(5, false)]);
    // The same history further on: nobody can say what happened in between.
    store.restore(&image(0, 9)[..]).unwrap();
    assert_eq!(
        store.feed(Start::After(position(5))).unwrap_err(),
        FeedError::Compacted {
            oldest: position(9)
        }
    );
    assert_eq!(between(&mut feed), [(9, true)]);
    let mut resumed = store.feed(Start::After(position(9))).unwrap();
    commit_at(&store, 10, |txn| {
        txn.nodes_mut().insert(node("b", 1)).unwrap();
    });
    assert_eq!(drain(&mut resumed), events(&[(10, ">b1")]));
    assert_eq!(drain(&mut feed), events(&[(10, ">b1")]));
    // Back in the same history: later indexes are other commits, and told as such.
    store.rewind(&image(0, 3)[..]).unwrap();
    for index in 4..20 {
        let address = u32::try_from(index).unwrap();
        commit_at(&store, index, |txn| {
            drop(txn.nodes_mut().upsert(node("c", address)).unwrap());
        });
    }
    assert!(matches!(
        feed.try_next(),
        Ok(Some(FeedItem::Restored(told))) if told == position(3)
    ));
    let all: Vec<u64> = drain(&mut feed)
        .into_iter()
        .map(|(index, _)| index)
        .collect();
    assert_eq!(all, (4..20).collect::<Vec<_>>());
    // Another history: no position of the one before means anything in it.
    store.restore(&image(8, 2)[..]).unwrap();
    let now = store.position();
    assert_eq!(now.to_string(), "2@8");
    let refused = store.feed(Start::After(position(19))).unwrap_err();
    assert_eq!(refused, FeedError::HistoryChanged { now });
    assert_eq!(between(&mut feed), [(2, true)]);
    assert_eq!(feed.position(), now);
    commit_at(&store, 3, |txn| {
        txn.nodes_mut().insert(node("d", 1)).unwrap();
    });
    assert_eq!(drain(&mut feed), events(&[(3, ">d1")]));
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
    let mut feed = store.feed(Start::Now).unwrap();
    assert_eq!(between(&mut feed), [(9, false)]);
    let waiting = thread::spawn(move || block_on(feed.next_async()));
    thread::sleep(Duration::from_millis(20));
    // What it waits for, index 10, is farther away than before.
    store.rewind(&image[..]).unwrap();
    let told = waiting.join().unwrap();
    assert!(matches!(told, Ok(FeedItem::Restored(told)) if told == position(1)));
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
    assert!(store.feed(Start::After(position(1))).is_err());
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
            match event(&mut feed) {
                Ok(Some(event)) => {
                    assert_eq!(event.index().0, last + 1);
                    last += 1;
                }
                // The end, or it was slower than the writer.
                Ok(None) | Err(FeedError::Compacted { .. }) => break,
                Err(error) => panic!("{error}"),
            }
        }
        if done {
            break;
        }
    }
    writer.join().unwrap();
    store.close();
    assert!(matches!(store.follow(), Err(FeedError::Closed)));
}
