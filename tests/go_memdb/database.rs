//! The schema, stores, snapshots and forks.

use crate::store_schema::*;
use crate::things::{Things, names, thing, things, watch};
use highwater::{LogIndex, Row, Store, StoreError, Watch};
use std::thread;

#[test]
fn schema_tables_and_indexes_are_declared_and_told() {
    let description = Store::<Catalog>::describe();
    let tables: Vec<_> = description.tables.iter().map(|table| table.name).collect();
    assert_eq!(tables, ["services", "nodes", "checks"]);
    let services = &description.tables[0];
    assert_eq!(services.primary_key, ["id"]);
    let indexes: Vec<_> = services
        .indexes
        .iter()
        .map(|index| (index.name, index.unique))
        .collect();
    let expected = [
        ("name_node", false),
        ("node", false),
        ("tags", false),
        ("port", true),
    ];
    assert_eq!(indexes, expected);
    assert_eq!(description.tables[2].primary_key, ["node", "number"]);
}

#[test]
fn new_memdb_is_empty_and_at_index_zero() {
    let store = Store::<Catalog>::new();
    assert_eq!(store.position().index, LogIndex(0));
    assert!(store.snapshot().services().is_empty());
    assert!(store.snapshot().services().first().is_none());
    assert_eq!(store.snapshot().services().node_index().len(), 0);
}

#[test]
fn txn_write_has_one_writer_and_can_be_tried() {
    let store = Store::<Catalog>::new();
    let txn = store.write().unwrap();
    thread::scope(|scope| {
        let other = scope.spawn(|| store.try_write().map(|txn| txn.is_none()));
        assert_eq!(other.join().unwrap(), Ok(true));
    });
    // Who has it is told so, for nobody else will ever give it back.
    assert_eq!(store.try_write().map(drop), Err(StoreError::Nested));
    // A reader waits for nobody.
    assert!(store.snapshot().services().is_empty());
    drop(txn);
    assert!(store.try_write().unwrap().is_some());
}

#[test]
fn txn_read_sees_one_state_for_as_long_as_it_is_held() {
    let store = things([thing("a", 1)]);
    let snap = store.snapshot();
    let mut txn = store.write().unwrap();
    txn.things_mut().insert(thing("b", 2)).unwrap();
    txn.things_mut().update(thing("a", 3)).unwrap();
    // Dirty, non-repeatable and phantom reads.
    for _ in 0..2 {
        assert_eq!(snap.things().get("a").unwrap().age, 1);
        assert_eq!(names(snap.things().iter()), ["a"]);
        assert!(snap.things().by_age(2).next().is_none());
    }
    txn.commit().unwrap();
    assert_eq!(names(snap.things().iter()), ["a"]);
    assert_eq!(names(store.snapshot().things().iter()), ["a", "b"]);
}

#[test]
fn snapshot_may_be_written_and_tells_nobody() {
    let store = Store::<Catalog>::new();
    commit_at(&store, 1, |txn| {
        txn.services_mut().insert(service("a", "n", "s")).unwrap();
    });
    let watches = [
        watch(&store, |db| db.services().iter().count()),
        watch(&store, |db| db.services().contains("c")),
        watch(&store, |db| db.services().prefix("c").count()),
    ];
    let snap = store.snapshot();
    let fork = snap.fork();
    commit_at(&fork, 2, |txn| {
        txn.services_mut().delete("a").unwrap();
        txn.services_mut().insert(service("b", "n", "s")).unwrap();
    });
    assert_eq!(ids(fork.snapshot().services().iter()), ["b"]);
    assert_eq!(ids(snap.services().iter()), ["a"]);
    assert!(!watches.iter().any(Watch::has_fired));
    // The same index, of another history.
    commit_at(&store, 2, |txn| {
        txn.services_mut().insert(service("c", "n", "s")).unwrap();
    });
    assert!(watches.iter().all(Watch::has_fired));
    assert_eq!(ids(store.snapshot().services().iter()), ["a", "c"]);
    assert!(fork.position().history.is_fork());
}

#[test]
fn objects_are_shared_and_stay_what_they_were() {
    let store = things([thing("a", 1)]);
    let row: Row<_> = store.snapshot().things().get("a").unwrap().clone();
    let found = store.snapshot().things().by_age(1).next().unwrap().clone();
    assert!(std::ptr::eq(&raw const *row, &raw const *found));
    let mut txn = store.write().unwrap();
    let previous = txn
        .things_mut()
        .update_with("a", |thing| thing.age = 2)
        .unwrap();
    assert!(std::ptr::eq(&raw const *row, &raw const *previous));
    txn.things_mut().delete("a").unwrap();
    txn.commit().unwrap();
    drop::<Store<Things>>(store);
    assert_eq!((row.age, row.create_index()), (1, LogIndex(1)));
}
