//! Every method of a transaction.

use crate::store_schema::*;
use crate::things::{Thing, names, thing, things};
use highwater::{LogIndex, Store, WriteError};
use std::sync::mpsc;

#[test]
fn insert_replaces_and_old_keys_find_nothing() {
    let store = Store::<Catalog>::new();
    let mut txn = store.write().unwrap();
    txn.services_mut().upsert(tagged("a", &["x", "y"])).unwrap();
    let previous = txn.services_mut().upsert(tagged("a", &["y", "z"])).unwrap();
    assert!(previous.unwrap().tags.contains("x"));
    // In the transaction, and after the commit.
    let check = |db: &CatalogView| {
        assert_eq!(db.services().by_tags("x").count(), 0);
        assert_eq!(ids(db.services().by_tags("y")), ["a"]);
        assert_eq!(ids(db.services().by_tags("z")), ["a"]);
        assert_eq!(db.services().len(), 1);
    };
    check(&txn);
    txn.commit().unwrap();
    check(&store.snapshot());
}

#[test]
fn insert_tells_new_records_from_old_ones() {
    let store = things([thing("a", 1)]);
    let mut txn = store.write().unwrap();
    let mut things = txn.things_mut();
    assert!(matches!(
        things.insert(thing("a", 2)),
        Err(WriteError::AlreadyExists { .. })
    ));
    assert!(matches!(
        things.update(thing("b", 2)),
        Err(WriteError::NotFound { .. })
    ));
}

#[test]
fn delete_of_what_is_absent_is_no_error_but_says_so() {
    let store = things([thing("a", 1), thing("b", 1)]);
    let mut txn = store.write().unwrap();
    assert_eq!(txn.things_mut().delete("a").unwrap().unwrap().age, 1);
    assert!(txn.things_mut().delete("a").unwrap().is_none());
    assert_eq!(names(txn.things().by_age(1)), ["b"]);
    txn.commit().unwrap();
    assert_eq!(names(store.snapshot().things().by_age(1)), ["b"]);
}

#[test]
fn delete_all_by_any_query() {
    let store = things((0..10).map(|n| thing(&n.to_string(), n % 3)));
    let mut txn = store.write().unwrap();
    let gone = txn
        .things_mut()
        .delete_query(|things| things.age_index().range(1..))
        .unwrap();
    assert_eq!(gone.len(), 6);
    assert_eq!(names(txn.things().iter()), ["0", "3", "6", "9"]);
    let gone = txn.things_mut().delete_query(|things| things.by_age(7));
    assert!(gone.unwrap().is_empty());
}

#[test]
fn delete_prefix_takes_what_begins_so() {
    let store = things(["a", "ab", "abc", "b"].map(|id| thing(id, 1)));
    let mut txn = store.write().unwrap();
    assert_eq!(txn.things_mut().delete_prefix("ab").unwrap().len(), 2);
    assert_eq!(names(txn.things().iter()), ["a", "b"]);
    assert_eq!(names(txn.things().by_age(1)), ["a", "b"]);
    // The empty prefix begins all.
    assert_eq!(txn.things_mut().delete_prefix("").unwrap().len(), 2);
}

#[test]
fn first_and_last_of_every_index() {
    let ages = [("a", 5), ("b", 2), ("c", 5), ("d", 2)];
    let store = things(ages.map(|(id, age)| thing(id, age)));
    let snap = store.snapshot();
    let things = snap.things();
    assert_eq!(
        (&*things.first().unwrap().id, &*things.last().unwrap().id),
        ("a", "d")
    );
    // Ties are in the order of the primary key.
    let ages = things.age_index();
    assert_eq!(
        (&*ages.first().unwrap().id, &*ages.last().unwrap().id),
        ("b", "c")
    );
    let mut fives = things.by_age(5);
    assert_eq!(
        (&*fives.next().unwrap().id, &*fives.next_back().unwrap().id),
        ("a", "c")
    );
}

#[test]
fn get_and_get_reverse() {
    let ages = [("a", 1), ("b", 2), ("c", 1)];
    let store = things(ages.map(|(id, age)| thing(id, age)));
    let txn = store.write().unwrap();
    assert_eq!(names(txn.things().by_age(1)), ["a", "c"]);
    assert_eq!(names(txn.things().by_age(1).rev()), ["c", "a"]);
    assert_eq!(names(txn.things().iter().rev()), ["c", "b", "a"]);
    assert_eq!(txn.things().by_age(3).count(), 0);
}

#[test]
fn get_prefix_of_text() {
    let store = Store::<Catalog>::new();
    commit_at(&store, 1, |txn| {
        txn.services_mut()
            .insert(tagged("a", &["xa", "xb", "y"]))
            .unwrap();
        txn.services_mut().insert(tagged("b", &["xa"])).unwrap();
    });
    let snap = store.snapshot();
    // A record has an entry for each of its values.
    assert_eq!(
        ids(snap.services().tags_index().prefix("x")),
        ["a", "b", "a"]
    );
    assert_eq!(
        ids(snap.services().tags_index().prefix("")),
        ["a", "b", "a", "a"]
    );
    assert_eq!(ids(snap.services().prefix("b")), ["b"]);
}

#[test]
fn lower_bound_and_reverse_lower_bound() {
    let store = things([("a", 10), ("b", 20), ("c", 30)].map(|(id, age)| thing(id, age)));
    let snap = store.snapshot();
    let ages = snap.things().age_index();
    for (bound, from, to) in [
        (20, &["b", "c"][..], &["b", "a"][..]),
        (15, &["b", "c"], &["a"]),
        (i32::MIN, &["a", "b", "c"], &[]),
        (40, &[], &["c", "b", "a"]),
    ] {
        assert_eq!(names(ages.range(bound..)), from);
        assert_eq!(names(ages.range(..=bound).rev()), to);
    }
    assert_eq!(names(snap.things().range("b"..)), ["b", "c"]);
}

#[test]
fn longest_prefix_of_text() {
    let store = things(["", "foo", "foobar", "z"].map(|id| thing(id, 1)));
    let snap = store.snapshot();
    for (text, found) in [
        ("foobarbaz", "foobar"),
        ("foobar", "foobar"),
        ("fooba", "foo"),
        ("fo", ""),
        ("zz", "z"),
        ("", ""),
    ] {
        assert_eq!(snap.things().longest_prefix(text).unwrap().id, found);
    }
}

#[test]
fn result_iterator_is_an_iterator() {
    let store = things((0..6).map(|n| thing(&n.to_string(), n)));
    let snap = store.snapshot();
    let mut iter = snap.things().iter();
    assert_eq!(iter.next().unwrap().id, "0");
    // A filter, a copy with its place, and what is left after the end.
    let odd = iter.clone().filter(|thing| thing.age % 2 == 1);
    assert_eq!(names(odd), ["1", "3", "5"]);
    assert_eq!(names(iter.by_ref()), ["1", "2", "3", "4", "5"]);
    assert!(iter.next().is_none() && iter.next().is_none());
}

#[test]
fn reads_in_a_transaction_see_its_own_writes() {
    let store = things([thing("a", 1)]);
    let mut txn = store.write().unwrap();
    txn.things_mut().insert(thing("b", 1)).unwrap();
    assert_eq!(names(txn.things().by_age(1)), ["a", "b"]);
}

#[test]
fn txn_snapshot_has_what_was_written_and_nothing_after() {
    let store = things([thing("a", 1)]);
    let mut txn = store.write().unwrap();
    txn.things_mut().insert(thing("b", 1)).unwrap();
    let so_far = txn.snapshot().unwrap();
    txn.things_mut().delete_where(|_| true).unwrap();
    txn.things_mut().insert(thing("c", 1)).unwrap();
    assert_eq!(names(so_far.things().by_age(1)), ["a", "b"]);
    assert_eq!(names(store.snapshot().things().by_age(1)), ["a"]);
    // It is none of the log's, and stays after an abort.
    assert_ne!(so_far.position().history, store.position().history);
    drop(txn);
    assert_eq!(names(so_far.things().by_age(1)), ["a", "b"]);
    assert_eq!(store.snapshot().things().len(), 1);
}

#[test]
fn track_changes_of_the_feed_are_those_of_the_transaction() {
    let store = Store::<Catalog>::new();
    let (_, mut feed) = store.follow().unwrap();
    let mut txn = at(&store, 3);
    txn.nodes_mut().insert(node("a", 1)).unwrap();
    let changes = txn.changes();
    assert_eq!(changes.nodes().count(), 1);
    txn.commit().unwrap();
    let event = event(&mut feed).unwrap().unwrap();
    assert_eq!(event.index(), LogIndex(3));
    let told = event.nodes().map(|change| change.after.cloned());
    assert!(told.eq(changes.nodes().map(|change| change.after.cloned())));
}

#[test]
fn defer_runs_after_the_commit_and_never_after_an_abort() {
    let store = things([]);
    let (send, receive) = mpsc::channel();
    for (id, commit) in [("a", false), ("b", true)] {
        let mut txn = store.write().unwrap();
        txn.things_mut().insert(thing(id, 1)).unwrap();
        let (send, store) = (send.clone(), store.clone());
        txn.after_commit(move |index| {
            // The writer's slot is free, and the commit is there to be seen.
            assert!(store.try_write().unwrap().is_some());
            send.send((index, store.snapshot().things().len())).unwrap();
        });
        if commit {
            txn.commit().unwrap();
        }
    }
    assert_eq!(receive.try_iter().collect::<Vec<_>>(), [(LogIndex(1), 1)]);
}

#[test]
fn abort_leaves_nothing_behind() {
    let store = things([thing("a", 1)]);
    let before = store.position();
    let mut txn = store.write().unwrap();
    txn.things_mut().upsert(thing("a", 2)).unwrap();
    txn.things_mut().insert(thing("b", 2)).unwrap();
    drop(txn);
    let snap = store.snapshot();
    assert_eq!(
        (snap.position(), names(snap.things().by_age(1))),
        (before, vec!["a"])
    );
    assert_eq!(snap.things().by_age(2).count(), 0);
}

#[test]
fn an_update_changes_a_copy() {
    let store = things([thing("a", 1)]);
    let mut txn = store.write().unwrap();
    let with = |thing: &mut Thing| thing.sizes.push("xl".to_owned());
    let before = txn.things_mut().update_with("a", with).unwrap();
    assert!(before.sizes.is_empty());
    assert_eq!(txn.things().get("a").unwrap().sizes, ["xl"]);
}
