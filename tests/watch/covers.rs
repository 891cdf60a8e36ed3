//! What a watch covers: the changes that fire it, and those that do not.

use crate::store_schema::*;
use crate::{ignore, put, store};
use highwater::{LogIndex, Store, StoreOptions, WriteTxn};

/// Reads, then commits: whether the watch of what was read is fired, both when it was registered
/// before the commit and when the commit came between the read and the registration.
fn fires(read: impl Fn(&CatalogView), write: impl Fn(&mut WriteTxn<Catalog>)) -> bool {
    let before = store();
    let (answer, watch) = before.watch(&read);
    assert!(answer.changed && answer.index >= LogIndex(1) && !watch.has_fired());
    commit_at(&before, 20, &write);

    let between = store();
    let (_, late) = between.watch(|db| {
        read(db);
        commit_at(&between, 20, &write);
    });
    assert_eq!(watch.has_fired(), late.has_fired(), "before and between");
    // The index of the same query says so, too.
    let (again, _) = before.watch(&read);
    assert!(!watch.has_fired() || again.index == LogIndex(20));
    watch.has_fired()
}

#[test]
fn a_point_wakes_for_its_own_key() {
    let read = |db: &CatalogView| ignore(db.services().get("c"));
    assert!(fires(read, |txn| put(txn, "c", "n1", 1)));
    assert!(fires(read, |txn| drop(
        txn.services_mut().delete("c").unwrap()
    )));
    assert!(!fires(read, |txn| put(txn, "d", "n1", 1)));
    assert!(!fires(read, |txn| put(txn, "cc", "n1", 1)));
    assert!(!fires(read, |txn| drop(
        txn.services_mut().delete("a").unwrap()
    )));
    // A write that changes nothing, and one that leaves nothing.
    assert!(!fires(read, |txn| put(txn, "c", "n1", 0)));
    assert!(!fires(read, |txn| txn
        .nodes_mut()
        .insert(node("c", 1))
        .unwrap()));
    assert!(!fires(
        |db| ignore(db.services().contains("x")),
        |txn| {
            put(txn, "x", "n1", 0);
            txn.services_mut().delete("x").unwrap();
        }
    ));
}

#[test]
fn an_absent_key_wakes_when_it_comes() {
    let read = |db: &CatalogView| ignore(db.services().contains("d"));
    assert!(fires(read, |txn| put(txn, "d", "n1", 1)));
    for other in ["b", "c", "dd", "f"] {
        assert!(!fires(read, |txn| put(txn, other, "n1", 1)), "{other}");
    }
    assert!(!fires(read, |txn| drop(
        txn.services_mut().delete("e").unwrap()
    )));
    let empty = |db: &CatalogView| ignore(db.nodes().contains("d"));
    assert!(!fires(empty, |txn| txn
        .nodes_mut()
        .insert(node("x", 1))
        .unwrap()));
    assert!(fires(empty, |txn| txn
        .nodes_mut()
        .insert(node("d", 1))
        .unwrap()));
}

#[test]
fn look_ups_in_an_index_wake_for_their_records() {
    let read = |db: &CatalogView| ignore(db.services().by_node("n1").count());
    assert!(fires(read, |txn| put(txn, "a", "n1", 1)));
    assert!(fires(read, |txn| put(txn, "a", "n2", 0)));
    assert!(fires(read, |txn| put(txn, "e", "n1", 0)));
    assert!(fires(read, |txn| drop(
        txn.services_mut().delete("c").unwrap()
    )));
    assert!(!fires(read, |txn| put(txn, "e", "n2", 1)));
    assert!(!fires(read, |txn| put(txn, "x", "n11", 1)));
    let read = |db: &CatalogView| ignore(db.services().by_port(80));
    let with = |port| Service {
        port: Some(port),
        ..service("p", "n3", "s")
    };
    assert!(fires(read, |txn| txn
        .services_mut()
        .insert(with(80))
        .unwrap()));
    assert!(!fires(read, |txn| txn
        .services_mut()
        .insert(with(81))
        .unwrap()));
    let read = |db: &CatalogView| ignore(db.services().by_tags("t").count());
    assert!(fires(read, |txn| drop(
        txn.services_mut().upsert(tagged("x", &["s", "t"])).unwrap()
    )));
    assert!(!fires(read, |txn| drop(
        txn.services_mut().upsert(tagged("x", &["s"])).unwrap()
    )));
}

#[test]
fn prefixes_ranges_and_tables() {
    let read = |db: &CatalogView| ignore(db.services().range("b".."e").count());
    assert!(fires(read, |txn| put(txn, "b", "n", 1)));
    assert!(fires(read, |txn| put(txn, "dzz", "n", 1)));
    assert!(!fires(read, |txn| put(txn, "e", "n", 1)));
    assert!(!fires(read, |txn| put(txn, "a", "n", 1)));
    let read = |db: &CatalogView| ignore(db.services().range("e"..).count());
    assert!(fires(read, |txn| put(txn, "zzz", "n", 1)));
    assert!(!fires(read, |txn| put(txn, "dzzz", "n", 1)));
    let read = |db: &CatalogView| ignore(db.services().prefix("c").count());
    assert!(fires(read, |txn| put(txn, "cc", "n", 1)));
    assert!(!fires(read, |txn| put(txn, "d", "n", 1)));
    let read = |db: &CatalogView| ignore(db.services().len());
    assert!(fires(read, |txn| put(txn, "zz", "n", 1)));
    assert!(!fires(read, |txn| txn
        .nodes_mut()
        .insert(node("zz", 1))
        .unwrap()));
    let read = |db: &CatalogView| ignore(db.services().longest_prefix("caa"));
    assert!(fires(read, |txn| put(txn, "ca", "n", 1)));
    assert!(fires(read, |txn| put(txn, "caa", "n", 1)));
    assert!(fires(read, |txn| put(txn, "c", "n", 1)));
    assert!(!fires(read, |txn| put(txn, "cab", "n", 1)));
    assert!(!fires(read, |txn| put(txn, "caaa", "n", 1)));
    // A long text, of which each length is not watched by itself.
    let text = format!("ca{}", "x".repeat(20_000));
    let longer = format!("ca{}", "x".repeat(1000));
    let read = |db: &CatalogView| ignore(db.services().longest_prefix(&text));
    assert!(fires(read, |txn| put(txn, "ca", "n", 1)));
    assert!(fires(read, |txn| put(txn, &longer, "n", 1)));
    assert!(fires(read, |txn| put(txn, "c", "n", 1)));
    assert!(!fires(read, |txn| put(txn, "b", "n", 1)));
    assert!(!fires(read, |txn| put(txn, "cay", "n", 1)));
    // A range that is empty by its bounds covers nothing.
    let read = |db: &CatalogView| ignore(db.services().range("x".."b").count());
    assert!(!fires(read, |txn| put(txn, "f", "n", 1)));
}

#[test]
fn only_what_was_yielded_counts() {
    // The first: what is before it, and it.
    let read = |db: &CatalogView| ignore(db.services().first());
    assert!(fires(read, |txn| put(txn, "Z", "n", 1)));
    assert!(fires(read, |txn| put(txn, "a", "n1", 1)));
    assert!(!fires(read, |txn| put(txn, "aa", "n", 1)));
    // The last of a prefix.
    let read = |db: &CatalogView| ignore(db.services().by_node("n1").next_back());
    assert!(fires(read, |txn| put(txn, "c", "n1", 1)));
    assert!(fires(read, |txn| put(txn, "d", "n1", 1)));
    assert!(!fires(read, |txn| put(txn, "b", "n1", 1)));
    // A page.
    let read = |db: &CatalogView| ignore(db.services().iter().take(2).count());
    assert!(fires(read, |txn| put(txn, "b", "n", 1)));
    assert!(!fires(read, |txn| put(txn, "d", "n", 1)));
    // Both ends, and not the middle.
    let read = |db: &CatalogView| {
        let mut rows = db.services().iter();
        assert!(rows.next().is_some() && rows.next_back().is_some());
    };
    assert!(fires(read, |txn| put(txn, "A", "n", 1)));
    assert!(fires(read, |txn| put(txn, "h", "n", 1)));
    assert!(!fires(read, |txn| put(txn, "d", "n", 1)));
    // Nothing asked of an iterator is nothing read.
    let read = |db: &CatalogView| drop(db.services().iter());
    assert!(!fires(read, |txn| put(txn, "a", "n", 1)));
    // One that has come to its end was read whole.
    let read = |db: &CatalogView| ignore(db.services().prefix("x").next());
    assert!(fires(read, |txn| put(txn, "xyz", "n", 1)));
    // A forgotten one, and a cloned one, count as a whole.
    let read = |db: &CatalogView| {
        let mut rows = db.services().iter();
        rows.next();
        std::mem::forget(rows);
    };
    assert!(fires(read, |txn| put(txn, "z", "n", 1)));
    let read = |db: &CatalogView| drop(db.services().range("b".."f").clone());
    assert!(fires(read, |txn| put(txn, "e", "n", 1)));
    assert!(!fires(read, |txn| put(txn, "g", "n", 1)));
}

#[test]
fn undecided_counts_as_changed() {
    // The window holds a few entries; many more come between reading and registering, and raise
    // the stamp of the absent key's path.
    let store = Store::<Catalog>::with_options(StoreOptions {
        window: 1,
        ..StoreOptions::default()
    });
    commit_at(&store, 1, |txn| put(txn, "a", "n", 0));
    let (_, watch) = store.watch(|db| {
        assert!(!db.services().contains("b"));
        for i in 2..200 {
            commit_at(&store, i, |txn| put(txn, &format!("c{i}"), "n", 0));
        }
    });
    assert!(watch.has_fired());
    // With a window that holds them they decide.
    let store = Store::<Catalog>::new();
    commit_at(&store, 1, |txn| put(txn, "a", "n", 0));
    let (_, watch) = store.watch(|db| {
        assert!(!db.services().contains("b"));
        for i in 2..200 {
            commit_at(&store, i, |txn| put(txn, &format!("c{i}"), "n", 0));
        }
    });
    assert!(!watch.has_fired());
}

#[test]
fn very_many_reads_miss_nothing_and_answer_exactly() {
    let store = Store::<Catalog>::new();
    let keys: Vec<String> = (0..20_000).map(|n| format!("k{n:05}")).collect();
    commit_at(&store, 1, |txn| {
        for key in keys.iter().step_by(2) {
            put(txn, key, "n", 0);
        }
    });
    let read = |db: &CatalogView| {
        keys.iter()
            .filter(|key| db.services().contains(*key))
            .count()
    };
    for (round, key) in keys.iter().step_by(1_357).enumerate() {
        let (answer, watch) = store.watch(read);
        let index = 2 * u64::try_from(round).unwrap();
        assert_eq!((answer.value >= 10_000, answer.index.0), (true, index + 1));
        commit_at(&store, index + 2, |txn| {
            put(txn, "far away", "n", u32::try_from(round).unwrap() + 1);
        });
        assert!(!watch.has_fired());
        commit_at(&store, index + 3, |txn| {
            put(txn, key, "n", u32::try_from(round).unwrap() + 1);
        });
        assert!(watch.has_fired(), "{key}");
    }
}
