//! The retained past: snapshots by their exact index.

use crate::store_schema::*;
use crate::{at_position, image};
use highwater::{
    AsOfError, HistoryId, LogIndex, Position, Retention, Snapshot, Store, StoreOptions,
};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

pub(crate) fn retaining(retain: Retention) -> Store<Catalog> {
    Store::with_options(StoreOptions {
        retain: Some(retain),
        ..StoreOptions::default()
    })
}

pub(crate) fn put_at(store: &Store<Catalog>, index: u64) {
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
    let refused = store.as_of(LogIndex(1)).unwrap_err();
    assert_eq!(
        refused,
        AsOfError::NothingRetained {
            wanted: LogIndex(1),
            newest: at_position(2)
        }
    );
    assert!(refused.to_string().contains("StoreOptions::retain"));
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
