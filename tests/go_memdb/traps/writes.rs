//! Inserts, deletions, and what a transaction leaves.

use crate::store_schema::*;
use crate::things::{Thing, names, thing, things, watch};
use highwater::{Row, Schema, Store, Table, WriteError};
use serde::{Deserialize, Serialize};

/// PR #49 of go-memdb: the same record may keep its key.
#[test]
fn memdb_7_unique_is_enforced_and_the_loser_takes_nothing_away() {
    let store = Store::<Catalog>::new();
    commit_at(&store, 1, |txn| {
        txn.services_mut().insert(with_port("a", 80)).unwrap();
        let error = txn.services_mut().insert(with_port("b", 80)).unwrap_err();
        assert!(matches!(error, WriteError::NotUnique { .. }));
        assert_eq!(txn.services().by_port(80).unwrap().id, "a");
        // The same record may keep its key.
        let same = Service {
            note: 1,
            ..with_port("a", 80)
        };
        assert!(txn.services_mut().update(same).is_ok());
        txn.services_mut().delete("b").unwrap();
    });
    let snap = store.snapshot();
    assert_eq!(snap.services().by_port(80).unwrap().id, "a");
    snap.check().unwrap();
}

fn with_port(id: &str, port: u16) -> Service {
    Service {
        port: Some(port),
        ..service(id, "n", "s")
    }
}

#[test]
fn memdb_a_failed_insert_leaves_no_part_of_itself_and_always_fails_alike() {
    for _ in 0..50 {
        let store = Store::<Catalog>::new();
        let mut txn = store.write().unwrap();
        txn.checks_mut().insert(check("n", 1, &["b", "c"])).unwrap();
        let error = txn
            .checks_mut()
            .insert(check("n", 2, &["c", "a", "b"]))
            .unwrap_err();
        let WriteError::NotUnique { key, .. } = &error else {
            panic!("{error}")
        };
        assert_eq!(key.to_string(), "\"b\"");
        assert_eq!(txn.checks().len(), 1);
        assert!(txn.checks().by_aliases("a").is_none());
        txn.commit().unwrap();
        store.snapshot().check().unwrap();
    }
}

#[test]
fn memdb_95_a_record_that_is_found_several_times_is_deleted_once() {
    let store = Store::<Catalog>::new();
    commit_at(&store, 1, |txn| {
        txn.services_mut()
            .insert(tagged("a", &["xa", "xb", "xc"]))
            .unwrap();
        txn.services_mut().insert(tagged("b", &["y"])).unwrap();
        let gone = txn
            .services_mut()
            .delete_query(|services| services.tags_index().prefix("x"))
            .unwrap();
        assert_eq!(ids(gone.iter()), ["a"]);
        assert_eq!(ids(txn.services().iter()), ["b"]);
    });
    store.snapshot().check().unwrap();
}

/// iradix PR #107: a write below the prefix and its deletion, in one transaction.
#[test]
fn memdb_a_prefix_is_deleted_from_every_index() {
    let store = Store::<Catalog>::new();
    commit_at(&store, 1, |txn| {
        for id in ["ab", "ac", "b"] {
            txn.services_mut()
                .insert(tagged(id, &["one", "two"]))
                .unwrap();
        }
    });
    let absent = watch(&store, |db| db.services().get("abc").is_some());
    let other = watch(&store, |db| db.services().get("b").is_some());
    let prefix = watch(&store, |db| db.services().prefix("ab").count());
    let tag = watch(&store, |db| db.services().by_tags("two").count());
    commit_at(&store, 2, |txn| {
        txn.services_mut().insert(tagged("abc", &["two"])).unwrap();
        assert_eq!(txn.services_mut().delete_prefix("a").unwrap().len(), 3);
        assert_eq!(txn.services().len(), 1);
        assert!(txn.services_mut().delete_prefix("zz").unwrap().is_empty());
    });
    assert!(prefix.has_fired() && tag.has_fired());
    assert!(!other.has_fired() && !absent.has_fired());
    let snap = store.snapshot();
    snap.check().unwrap();
    assert_eq!(ids(snap.services().by_tags("two")), ["b"]);
    // In an index without regard to case a prefix is no part of the stored text.
    let store = things([thing("a", 1), thing("B", 2)]);
    let mut txn = store.write().unwrap();
    let gone = txn
        .things_mut()
        .delete_query(|things| things.kind_index().prefix("kI"));
    assert_eq!(gone.unwrap().len(), 2);
    txn.commit().unwrap();
    store.snapshot().check().unwrap();
}

/// There the index of UUIDs panicked at it.
#[test]
fn memdb_a_prefix_of_an_id_is_deleted() {
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
    struct Task {
        #[primary_key]
        id: [u8; 16],
        #[index]
        parent: [u8; 16],
    }

    #[derive(Schema)]
    struct Tasks {
        tasks: Task,
    }

    let id = |first: u8, second: u8| {
        let mut id = [0; 16];
        id[..2].copy_from_slice(&[first, second]);
        id
    };
    let store = Store::<Tasks>::new();
    let mut txn = store.write().unwrap();
    for (first, second) in [(8, 255), (9, 0), (9, 1), (9, 255), (10, 0)] {
        let (id, parent) = (id(first, second), id(second, first));
        txn.tasks_mut().insert(Task { id, parent }).unwrap();
    }
    assert!(txn.tasks_mut().delete_prefix(&[9, 7]).unwrap().is_empty());
    let gone = txn.tasks_mut().delete_prefix(&[9, 1]).unwrap();
    assert_eq!(gone[0].id, id(9, 1));
    assert_eq!(txn.tasks_mut().delete_prefix(&[9]).unwrap().len(), 2);
    let left: Vec<_> = txn.tasks().iter().map(|task| task.id).collect();
    assert_eq!(left, [id(8, 255), id(10, 0)]);
    assert_eq!(txn.tasks().parent_index().len(), 2);
    // By what another index finds, too.
    let gone = txn
        .tasks_mut()
        .delete_query(|tasks| tasks.parent_index().prefix(&[255]));
    assert_eq!(gone.unwrap().len(), 1);
    txn.commit().unwrap();
    store.snapshot().check().unwrap();
}

/// go-memdb #86, #87, #88, consul #9566, PRs #9591 and #9592: a deletion while iterating, in production.
#[test]
fn memdb_85_what_is_read_may_be_deleted_meanwhile() {
    let store = things((0..100).map(|n| thing(&format!("{n:02}"), n % 3)));
    let mut txn = store.write().unwrap();
    // Handles do not borrow the transaction.
    let rows: Vec<Row<Thing>> = txn.things().by_age(1).cloned().collect();
    for row in &rows {
        txn.things_mut().delete(&row.id).unwrap();
    }
    assert_eq!((rows.len(), txn.things().len()), (33, 67));
    // A snapshot goes on, whatever is written.
    let snap = store.snapshot();
    let mut iter = snap.things().iter();
    assert!(iter.next().is_some());
    txn.things_mut().delete_where(|_| true).unwrap();
    txn.commit().unwrap();
    assert_eq!(iter.count(), 99);
}

/// go-memdb #123, #157, PR #90; nomad #16256, #16257, #19937, #23673, #23682, #27548; vault PR #16487;
/// openbao PR #718: the same, for ten years.
#[test]
fn memdb_99_who_has_a_record_cannot_change_what_is_stored() {
    let store = things([thing("a", 1)]);
    let mut copy: Thing = (**store.snapshot().things().get("a").unwrap()).clone();
    copy.age = 7;
    let snap = store.snapshot();
    assert_eq!(names(snap.things().by_age(1)), ["a"]);
    assert!(snap.things().by_age(7).next().is_none());
    // An update in place that fails has changed its copy alone.
    let mut txn = store.write().unwrap();
    let renamed = txn.things_mut().update_with("a", |thing| {
        thing.age = 9;
        thing.id.push('x');
    });
    assert!(matches!(renamed, Err(WriteError::KeyChanged { .. })));
    assert_eq!(names(txn.things().by_age(1)), ["a"]);
    txn.commit().unwrap();
    store.snapshot().check().unwrap();
}

#[test]
fn memdb_changes_are_net_and_need_not_be_asked_for_first() {
    let store = Store::<Catalog>::new();
    commit_at(&store, 1, |txn| {
        txn.nodes_mut().insert(node("kept", 1)).unwrap();
        txn.nodes_mut().insert(node("gone", 1)).unwrap();
    });
    let mut txn = at(&store, 2);
    txn.nodes_mut().insert(node("new", 1)).unwrap();
    txn.nodes_mut().update(node("new", 2)).unwrap();
    txn.nodes_mut().insert(node("brief", 1)).unwrap();
    txn.nodes_mut().delete("brief").unwrap();
    txn.nodes_mut().delete("gone").unwrap();
    txn.nodes_mut().update(node("kept", 2)).unwrap();
    let changes = txn.changes();
    let told: Vec<_> = changes
        .nodes()
        .map(|change| {
            let of = |row: Option<&Row<Node>>| row.map(|row| (row.name.clone(), row.address));
            (of(change.before), of(change.after))
        })
        .collect();
    let of = |name: &str, address| Some((name.to_owned(), address));
    assert_eq!(
        told,
        [
            (None, of("new", 2)),
            (of("gone", 1), None),
            (of("kept", 1), of("kept", 2)),
        ]
    );
    assert_eq!(changes.services().count(), 0);
    txn.nodes_mut().delete_where(|_| true).unwrap();
    assert_eq!(changes.nodes().count(), 3);
    assert_eq!(txn.changes().nodes().count(), 2);
}

#[test]
fn memdb_an_abandoned_attempt_is_undone_whole() {
    let store = Store::<Catalog>::new();
    let mut txn = store.write().unwrap();
    txn.services_mut()
        .insert(service("kept", "n", "s"))
        .unwrap();
    let failed: Result<(), WriteError> = txn.attempt(|txn| {
        txn.services_mut().insert(tagged("a", &["x"]))?;
        txn.services_mut().delete("kept")?;
        txn.services_mut().insert(tagged("a", &["y"]))
    });
    assert!(failed.is_err());
    assert_eq!(ids(txn.services().iter()), ["kept"]);
    assert_eq!(txn.services().tags_index().len(), 0);
    txn.commit().unwrap();
    store.snapshot().check().unwrap();
}

/// The merge of a node with its only child was seen by older transactions.
#[test]
fn iradix_what_a_deletion_merges_is_not_seen_by_who_began_before() {
    let store = things(["aa", "ab", "b"].map(|id| thing(id, 1)));
    let before = store.snapshot();
    let mut txn = store.write().unwrap();
    txn.things_mut().delete("ab").unwrap();
    let savepoint = txn.savepoint();
    txn.things_mut().delete("b").unwrap();
    assert_eq!(names(txn.things().iter()), ["aa"]);
    txn.rollback_to(savepoint);
    assert_eq!(names(txn.things().iter()), ["aa", "b"]);
    txn.commit().unwrap();
    assert_eq!(names(before.things().iter()), ["aa", "ab", "b"]);
}
