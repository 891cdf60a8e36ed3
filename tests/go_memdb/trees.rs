//! What the radix tree offers by itself: here a table whose records are their keys.

use highwater::{Row, Schema, Store, Table};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
struct Entry {
    #[primary_key]
    key: Vec<u8>,
    value: u32,
}

#[derive(Schema)]
struct Tree {
    entries: Entry,
}

fn tree(keys: &[&str]) -> Store<Tree> {
    let store = Store::<Tree>::new();
    let mut txn = store.write().unwrap();
    for (value, key) in (0..).zip(keys) {
        let key = key.as_bytes().to_vec();
        txn.entries_mut().insert(Entry { key, value }).unwrap();
    }
    txn.commit().unwrap();
    store
}

fn keys<'a>(rows: impl IntoIterator<Item = &'a Row<Entry>>) -> Vec<&'a str> {
    let text = |row: &'a Row<Entry>| std::str::from_utf8(&row.key).unwrap();
    rows.into_iter().map(text).collect()
}

#[test]
fn insert_and_delete_tell_the_old_value() {
    let store = tree(&["a"]);
    let mut txn = store.write().unwrap();
    let entry = |value| Entry {
        key: b"a".to_vec(),
        value,
    };
    assert_eq!(
        txn.entries_mut().upsert(entry(7)).unwrap().unwrap().value,
        0
    );
    assert_eq!(txn.entries_mut().delete(b"a").unwrap().unwrap().value, 7);
    assert!(txn.entries_mut().upsert(entry(8)).unwrap().is_none());
}

#[test]
fn len_minimum_and_maximum() {
    let store = tree(&["b", "", "ba", "a"]);
    let snap = store.snapshot();
    let entries = snap.entries();
    assert_eq!(entries.len(), 4);
    assert_eq!(keys(entries.first()), [""]);
    assert_eq!(keys(entries.last()), ["ba"]);
}

/// `WalkBackwards` went wrong where a key begins others.
#[test]
fn walk_walk_backwards_and_walk_prefix() {
    let store = tree(&["b", "f", "fo", "foo", "fp", ""]);
    let snap = store.snapshot();
    let entries = snap.entries();
    assert_eq!(keys(entries.iter()), ["", "b", "f", "fo", "foo", "fp"]);
    assert_eq!(
        keys(entries.iter().rev()),
        ["fp", "foo", "fo", "f", "b", ""]
    );
    assert_eq!(keys(entries.prefix(b"fo")), ["fo", "foo"]);
    assert_eq!(keys(entries.prefix(b"fo").rev()), ["foo", "fo"]);
    assert_eq!(keys(entries.prefix(b"")).len(), 6);
}

#[test]
fn walk_path_has_every_key_on_the_way() {
    let store = tree(&["", "f", "foo", "foobar", "fox"]);
    let snap = store.snapshot();
    let entries = snap.entries();
    let path = b"foobaz";
    assert_eq!(keys(entries.prefixes_of(path)), ["", "f", "foo"]);
    assert_eq!(keys(entries.longest_prefix(path)), ["foo"]);
}

#[test]
fn previous_goes_back_from_where_one_is() {
    let store = tree(&["a", "b", "c", "d"]);
    let snap = store.snapshot();
    // From both ends towards the middle, and no further.
    let mut range = snap.entries().range(&b"a"[..]..&b"d"[..]);
    assert_eq!(keys(range.next()), ["a"]);
    assert_eq!(keys(range.next_back()), ["c"]);
    assert_eq!(keys(range.next_back()), ["b"]);
    assert!(range.next().is_none() && range.next_back().is_none());
}

#[test]
fn every_older_version_stays_as_it_was() {
    let store = Store::<Tree>::new();
    let mut versions = Vec::new();
    let key = |n: u32| (n * 7919 % 512).to_string().into_bytes();
    for n in 0..512 {
        versions.push((store.snapshot(), n as usize));
        let mut txn = store.write().unwrap();
        let entry = Entry {
            key: key(n),
            value: n,
        };
        txn.entries_mut().insert(entry).unwrap();
        txn.commit().unwrap();
    }
    for n in (0..512).rev() {
        let mut txn = store.write().unwrap();
        txn.entries_mut().delete(key(n)).unwrap();
        txn.commit().unwrap();
    }
    for (snap, len) in versions {
        assert_eq!(snap.entries().len(), len);
        let all = (0..512).filter(|n| snap.entries().contains(key(*n)));
        assert!(all.eq(0..u32::try_from(len).unwrap()));
    }
}

#[test]
fn huge_transactions_are_sorted() {
    let store = Store::<Tree>::new();
    let mut txn = store.write().unwrap();
    let scattered = |n: u32| n.wrapping_mul(2_654_435_769).to_be_bytes().to_vec();
    for value in 0..60_000 {
        let key = scattered(value);
        txn.entries_mut().insert(Entry { key, value }).unwrap();
    }
    assert!(txn.entries().iter().is_sorted_by(|a, b| a.key < b.key));
    txn.commit().unwrap();
    assert_eq!(store.snapshot().entries().len(), 60_000);
}
