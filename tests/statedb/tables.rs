//! Objects, indexes, reads and writes.

use crate::device::{Agent, Device, commit, device, ids, put};
use highwater::{LogIndex, Row, Schema, Store, StoreError, Table, WriteError};
use serde::{Deserialize, Serialize};

#[test]
fn get_and_list_find_exactly_what_is_asked_for() {
    let store = Store::<Agent>::new();
    put(
        &store,
        [
            device(1, &["a"]),
            device(2, &["a", "aa"]),
            device(3, &["aaa"]),
        ],
    );
    let snap = store.snapshot();
    let devices = snap.devices();
    assert_eq!(devices.by_name("eth2").unwrap().id, 2);
    // cilium #29324: an exact look-up of what begins others.
    assert!(devices.by_name("eth").is_none());
    assert_eq!(ids(devices.by_tags("a")), [1, 2]);
    assert_eq!(ids(devices.by_tags("aa")), [2]);
    assert_eq!(ids(devices.tags_index().prefix("aa")), [2, 3]);
    assert_eq!(ids(devices.tags_index().range("aa"..)), [2, 3]);
    assert_eq!(ids(devices.range(2..)), [2, 3]);
    // `AllReverse`, `PrefixReverse`.
    assert_eq!(ids(devices.iter().rev()), [3, 2, 1]);
    assert_eq!(ids(devices.tags_index().prefix("aa").rev()), [3, 2]);
    assert_eq!(ids(devices.by_tags("a").rev()), [2, 1]);
    // Those between 0x0000_0000 and 0x0000_00ff.
    assert_eq!(ids(devices.range(0..=0xff)), [1, 2, 3]);
}

#[test]
fn the_empty_key_is_a_key() {
    let store = Store::<Agent>::new();
    let unnamed = Device {
        name: String::new(),
        ..device(0, &[""])
    };
    for others in [0, 3] {
        put(&store, (1..=others).map(|id| device(id, &["x"])));
        let mut txn = store.write().unwrap();
        txn.devices_mut().insert(unnamed.clone()).unwrap();
        let devices = txn.devices();
        assert_eq!(devices.by_name("").unwrap().id, 0);
        assert_eq!(ids(devices.by_tags("")), [0]);
        assert_eq!(ids(devices.name_index().prefix("").take(1)), [0]);
        assert_eq!(ids(devices.tags_index().iter().take(1)), [0]);
    }
}

#[test]
fn insert_modify_and_delete_tell_what_was_there() {
    let store = Store::<Agent>::new();
    commit(&store, |txn| {
        let mut devices = txn.devices_mut();
        assert!(devices.upsert(device(1, &["a"])).unwrap().is_none());
        assert_eq!(
            *devices.upsert(device(1, &["b"])).unwrap().unwrap(),
            device(1, &["a"])
        );
        // Modify: what is new is made of what was there.
        let merge = |new: Device, old: Option<&Row<Device>>| match old {
            Some(old) => Device {
                tags: Vec::from(old.tags.clone())
                    .into_iter()
                    .chain(Vec::from(new.tags))
                    .collect::<Vec<_>>()
                    .into(),
                ..new
            },
            None => new,
        };
        for id in [1, 2] {
            let merged = merge(device(id, &["c"]), devices.read().get(id));
            devices.upsert(merged).unwrap();
        }
        assert_eq!(ids(devices.read().by_tags("b")), [1]);
        assert_eq!(ids(devices.read().by_tags("c")), [1, 2]);
        assert!(devices.delete(3).unwrap().is_none());
        assert_eq!(devices.delete(1).unwrap().unwrap().name, "eth1");
    });
    // DeleteAll.
    commit(&store, |txn| {
        assert_eq!(txn.devices_mut().delete_where(|_| true).unwrap().len(), 1);
    });
    assert!(store.snapshot().devices().is_empty());
}

/// An optimistic change: what took long was done on a snapshot.
#[test]
fn compare_and_swap_and_compare_and_delete() {
    let store = Store::<Agent>::new();
    let first = put(&store, [device(1, &[]), device(2, &[])]);
    let seen = store.snapshot().devices().get(1).unwrap().modify_index();
    assert_eq!(seen, first);
    let second = put(&store, [device(1, &["other"])]);
    commit(&store, |txn| {
        let mut devices = txn.devices_mut();
        let error = devices.update_if(device(1, &["mine"]), seen).unwrap_err();
        let WriteError::Conflict {
            expected, found, ..
        } = error
        else {
            panic!("{error}")
        };
        assert_eq!((expected, found), (first, second));
        let error = devices.delete_if(1, seen).unwrap_err();
        assert!(matches!(error, WriteError::Conflict { .. }));
        // What was not written since.
        assert_eq!(devices.delete_if(2, seen).unwrap().id, 2);
        devices.update_if(device(1, &["mine"]), second).unwrap();
        // What is not there is no conflict with what is.
        let error = devices.update_if(device(9, &[]), LogIndex(0)).unwrap_err();
        assert!(matches!(error, WriteError::NotFound { .. }));
    });
    assert_eq!(ids(store.snapshot().devices().by_tags("mine")), [1]);
}

/// Of a transaction over several tables see `store_writes.rs`; two of one store take turns, two of two stores
/// do not.
#[test]
fn what_is_written_at_once_is_in_stores_of_its_own() {
    let (one, other) = (Store::<Agent>::new(), Store::<Agent>::new());
    let mut first = one.write().unwrap();
    assert_eq!(one.try_write().map(drop), Err(StoreError::Nested));
    let mut second = other.write().unwrap();
    first.devices_mut().insert(device(1, &[])).unwrap();
    second.devices_mut().insert(device(2, &[])).unwrap();
    second.commit().unwrap();
    first.commit().unwrap();
    assert_eq!(ids(one.snapshot().devices().iter()), [1]);
    assert_eq!(ids(other.snapshot().devices().iter()), [2]);
}

/// The iterators are Rust's: collected, mapped, filtered, begun again.
#[test]
fn collect_map_and_filter() {
    let store = Store::<Agent>::new();
    put(&store, (1..=4).map(|id| device(id, &["a"])));
    let snap = store.snapshot();
    let objects = snap.devices().by_tags("a");
    let with_revision: Vec<_> = objects
        .clone()
        .map(|row| (row.id, row.modify_index()))
        .collect();
    assert_eq!(with_revision[3], (4, LogIndex(1)));
    let even: Vec<u32> = objects
        .clone()
        .map(|row| row.id)
        .filter(|id| id % 2 == 0)
        .collect();
    assert_eq!(even, [2, 4]);
    assert_eq!(objects.count(), 4);
}

/// `part.Set`: a set in a record of which an update copies little, and the old record keeps what it had.
#[test]
fn a_record_may_have_a_persistent_set() {
    let store = Store::<Agent>::new();
    put(&store, [device(1, &["a", "b"])]);
    let before = store.snapshot().devices().get(1).unwrap().clone();
    commit(&store, |txn| {
        let change = |device: &mut Device| device.tags.0.insert_mut("c".to_owned());
        txn.devices_mut().update_with(1, change).unwrap();
    });
    assert_eq!(Vec::from(before.tags.clone()), ["a", "b"]);
    assert_eq!(ids(store.snapshot().devices().by_tags("c")), [1]);
}

/// Ports by a prefix of their bits, as text of noughts and ones.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
#[index(unique, by_bits(with = Range::bits -> String))]
struct Range {
    #[primary_key]
    id: u32,
    port: u16,
    len: usize,
}

#[derive(Schema)]
struct Ports {
    ranges: Range,
}

impl Range {
    fn bits(&self) -> String {
        format!("{:016b}", self.port)[..self.len].to_owned()
    }
}

/// Of networks see `store_prefixes.rs` and `store_reads`.
#[test]
fn a_longest_prefix_of_any_bits() {
    let store = Store::<Ports>::new();
    let mut txn = store.write().unwrap();
    for (id, port, len) in [(1, 4096, 4), (2, 4096, 8), (3, 0, 0), (4, 5000, 16)] {
        txn.ranges_mut().insert(Range { id, port, len }).unwrap();
    }
    let ranges = txn.ranges();
    let longest = |port: u16| {
        let bits = format!("{port:016b}");
        ranges.bits_index().longest_prefix(&bits).next().unwrap().id
    };
    assert_eq!(
        [80, 4100, 5000, 5001, 8191, 8192].map(longest),
        [3, 2, 4, 1, 1, 3]
    );
    // Those within a range.
    let within: Vec<u32> = ranges
        .bits_index()
        .prefix("0001")
        .map(|range| range.id)
        .collect();
    assert_eq!(within, [1, 2, 4]);
}
