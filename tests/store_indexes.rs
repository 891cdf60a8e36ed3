//! Log indexes: of commits, of batches, of records, of queries.

mod store_schema;

use highwater::{
    CommitError, HistoryId, LogIndex, Position, Store, StoreError, StoreOptions, Turn, WriteTxn,
};
use store_schema::*;

#[test]
fn create_and_modify_indexes() {
    let store = Store::<Catalog>::new();
    let indexes = |name: &str| {
        let snap = store.snapshot();
        snap.nodes()
            .get(name)
            .map(|row| (row.create_index().0, row.modify_index().0))
    };
    commit_at(&store, 3, |txn| {
        txn.nodes_mut().insert(node("a", 1)).unwrap();
    });
    assert_eq!(indexes("a"), Some((3, 3)));
    commit_at(&store, 8, |txn| {
        drop(txn.nodes_mut().update(node("a", 2)).unwrap());
    });
    assert_eq!(indexes("a"), Some((3, 8)));
    // The same record again changes nothing.
    commit_at(&store, 9, |txn| {
        assert_eq!(
            *txn.nodes_mut().upsert(node("a", 2)).unwrap().unwrap(),
            node("a", 2)
        );
    });
    assert_eq!(indexes("a"), Some((3, 8)));
    commit_at(&store, 10, |txn| {
        txn.nodes_mut().delete("a").unwrap();
        txn.nodes_mut().insert(node("a", 2)).unwrap();
    });
    assert_eq!(indexes("a"), Some((10, 10)));
}

#[test]
fn log_indexes_rise_and_are_used_once() {
    let store = Store::<Catalog>::new();
    assert_eq!(store.position(), Position::default());
    // Nothing changed: nothing published, no index used.
    let mut txn = store.write().unwrap();
    assert_eq!(txn.index(), LogIndex(1));
    txn.nodes_mut().insert(node("a", 1)).unwrap();
    txn.nodes_mut().delete("a").unwrap();
    assert_eq!(txn.commit(), Ok(LogIndex(0)));
    // A dropped transaction uses none either.
    let mut txn = store.write().unwrap();
    txn.nodes_mut().insert(node("a", 1)).unwrap();
    drop(txn);
    assert!(store.snapshot().nodes().is_empty());
    let mut txn = store.write().unwrap();
    txn.nodes_mut().insert(node("a", 1)).unwrap();
    assert_eq!(store.try_write().map(drop), Err(StoreError::Nested));
    assert_eq!(txn.commit(), Ok(LogIndex(1)));
    assert!(store.try_write().unwrap().is_some());
    // A driver's indexes may leave gaps; what is applied is not applied again.
    commit_at(&store, 7, |txn| {
        txn.nodes_mut().insert(node("b", 1)).unwrap();
    });
    for index in [0, 1, 6, 7] {
        let turn = store.write_at(LogIndex(index)).unwrap();
        assert!(
            matches!(
                turn,
                Turn::AlreadyApplied {
                    applied: LogIndex(7)
                }
            ),
            "{index}"
        );
    }
    // Entries without data.
    store.advance_to(LogIndex(9)).unwrap();
    store.advance_to(LogIndex(8)).unwrap();
    assert_eq!(store.position().index, LogIndex(9));
    commit_at(&store, 12, |_| ());
    assert_eq!(store.snapshot().index(), LogIndex(12));
    assert_eq!(store.snapshot().nodes().log_index(), LogIndex(7));
    store.advance_to(LogIndex(u64::MAX)).unwrap();
    assert_eq!(store.write().unwrap_err(), StoreError::IndexesExhausted);
}

#[test]
fn a_batch_publishes_once_and_keeps_its_entries_apart() {
    let store = Store::<Catalog>::new();
    let mut txn = at(&store, 10);
    txn.nodes_mut().insert(node("a", 1)).unwrap();
    assert_eq!(
        txn.next_entry(LogIndex(10)),
        Err(CommitError::IndexNotHigher {
            given: LogIndex(10),
            last: LogIndex(10)
        })
    );
    txn.next_entry(LogIndex(12)).unwrap();
    assert_eq!(txn.index(), LogIndex(12));
    txn.nodes_mut().insert(node("b", 1)).unwrap();
    txn.nodes_mut().update(node("a", 2)).unwrap();
    txn.next_entry(LogIndex(15)).unwrap();
    assert_eq!(store.position().index, LogIndex(0));
    assert_eq!(txn.commit(), Ok(LogIndex(15)));
    let snap = store.snapshot();
    let indexes: Vec<_> = snap
        .nodes()
        .iter()
        .map(|row| (row.create_index().0, row.modify_index().0))
        .collect();
    assert_eq!(indexes, [(10, 12), (12, 12)]);
    assert_eq!(snap.nodes().log_index(), LogIndex(12));
}

#[test]
fn every_query_has_an_index() {
    let store = Store::<Catalog>::new();
    let snap = store.snapshot();
    // Never 0, which would ask at once again.
    assert_eq!(snap.services().log_index(), LogIndex(1));
    assert_eq!(snap.services().log_index_of("a"), LogIndex(1));
    assert_eq!(snap.services().by_node("a").log_index(), LogIndex(1));

    let put = |index, service: Service| {
        commit_at(&store, index, |txn| {
            drop(txn.services_mut().upsert(service).unwrap());
        });
    };
    put(10, service("a/1", "n1", "web"));
    put(20, service("a/2", "n2", "web"));
    put(30, service("b/1", "n1", "db"));
    let snap = store.snapshot();
    let services = snap.services();
    assert_eq!(services.log_index_of("a/1"), LogIndex(10));
    assert_eq!(services.log_index_of("a/2"), LogIndex(20));
    assert_eq!(services.prefix("a/").log_index(), LogIndex(20));
    assert_eq!(services.by_node("n2").log_index(), LogIndex(20));
    assert_eq!(services.log_index(), LogIndex(30));
    assert_eq!(snap.nodes().log_index(), LogIndex(1));

    // A deletion raises the index of what it was in; the sibling keeps its own.
    commit_at(&store, 40, |txn| {
        drop(txn.services_mut().delete("a/2").unwrap());
    });
    let snap = store.snapshot();
    let services = snap.services();
    assert_eq!(services.log_index_of("a/1"), LogIndex(10));
    assert_eq!(services.log_index_of("a/2"), LogIndex(40));
    assert_eq!(services.prefix("a/").log_index(), LogIndex(40));
    assert_eq!(services.by_node("n2").log_index(), LogIndex(40));
    assert_eq!(services.log_index_of("b/1"), LogIndex(30));
    assert_eq!(services.get("b/1").unwrap().modify_index(), LogIndex(30));
    // Also the last one's.
    commit_at(&store, 50, |txn| {
        txn.services_mut().delete("a/1").unwrap();
        txn.services_mut().delete("b/1").unwrap();
    });
    let snap = store.snapshot();
    assert_eq!(snap.services().log_index(), LogIndex(50));
    assert_eq!(snap.services().prefix("a/").log_index(), LogIndex(50));
    assert_eq!(snap.services().range("x"..).log_index(), LogIndex(50));
    assert_eq!(snap.services().range("x".."a").log_index(), LogIndex(1));
}

#[test]
fn query_indexes_do_not_depend_on_batching() {
    let entry = |txn: &mut WriteTxn<Catalog>, i: u64| {
        let key = |n: u64| format!("{:03}", n * 7919 % 40);
        txn.services_mut()
            .upsert(Service {
                note: u32::try_from(i).unwrap(),
                ..service(&key(i), &key(i / 3), "")
            })
            .unwrap();
        txn.services_mut().delete(key(i + 5)).unwrap();
        if i.is_multiple_of(4) {
            // Undone, and nothing left of it.
            let savepoint = txn.savepoint();
            txn.services_mut()
                .upsert(service(&key(i + 11), "other", ""))
                .unwrap();
            txn.rollback_to(savepoint);
        }
        if i.is_multiple_of(5) {
            txn.services_mut()
                .upsert(service("brief", "brief", ""))
                .unwrap();
            txn.services_mut().delete("brief").unwrap();
        }
    };
    let build = |batch: u64| {
        let store = Store::<Catalog>::new();
        let mut i = 1;
        while i <= 120 {
            let mut txn = at(&store, i);
            entry(&mut txn, i);
            for _ in 1..batch {
                i += 1;
                txn.next_entry(LogIndex(i)).unwrap();
                entry(&mut txn, i);
            }
            txn.commit().unwrap();
            i += 1;
        }
        store
    };
    let indexes = |store: &Store<Catalog>| {
        let snap = store.snapshot();
        let services = snap.services();
        let mut out = vec![services.log_index(), services.prefix("").log_index()];
        for n in 0..45 {
            let key = format!("{n:03}");
            out.push(services.log_index_of(key.as_str()));
            out.push(services.prefix(&key[..2]).log_index());
            out.push(services.by_node(key.as_str()).log_index());
            out.push(services.node_index().range(key.as_str()..).log_index());
        }
        out
    };
    let one = indexes(&build(1));
    for batch in [2, 5, 40, 120] {
        assert_eq!(indexes(&build(batch)), one, "in batches of {batch}");
    }
}

#[test]
fn options_name_the_history() {
    let history = HistoryId(77);
    let store = Store::<Catalog>::with_options(StoreOptions {
        history,
        ..StoreOptions::default()
    });
    assert_eq!(
        store.position(),
        Position {
            history,
            index: LogIndex(0)
        }
    );
    commit_at(&store, 4, |_| ());
    assert_eq!(
        store.snapshot().position(),
        Position {
            history,
            index: LogIndex(4)
        }
    );
}
