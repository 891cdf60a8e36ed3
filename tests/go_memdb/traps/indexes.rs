//! Log indexes of what a query covers.

use crate::store_schema::*;
use highwater::{LogIndex, Store};

/// consul PR #577, #2673, #5498.
#[test]
fn consul_195_an_index_does_not_fall_when_its_last_record_goes() {
    let store = Store::<Catalog>::new();
    // nomad #6403, consul PR #4437: of nothing it is 1, so that a client does not ask from 0 for ever.
    assert_eq!(
        store.snapshot().services().prefix("a").log_index(),
        LogIndex(1)
    );
    commit_at(&store, 5, |txn| {
        txn.services_mut().insert(service("a", "n", "s")).unwrap();
    });
    commit_at(&store, 7, |txn| {
        txn.services_mut().insert(service("b", "m", "s")).unwrap();
    });
    commit_at(&store, 9, |txn| {
        txn.services_mut().delete("b").unwrap();
    });
    let snap = store.snapshot();
    assert!(snap.services().by_node("m").log_index() >= LogIndex(9));
    assert!(snap.services().log_index_of("b") >= LogIndex(9));
    assert_eq!(snap.services().log_index(), LogIndex(9));
}

/// consul #1244, #2216, #3899, #4810, #6530, #6919, #12398, #12399, nomad #5170: one thing after the other was
/// given an index of its own, when queries of it had not blocked in production.
#[test]
fn consul_3890_what_one_query_covers_has_an_index_of_its_own() {
    let store = Store::<Catalog>::new();
    for (index, id, node, name) in [
        (2, "web/1", "n", "web"),
        (3, "web/2", "m", "web"),
        (4, "db/1", "n", "db"),
    ] {
        commit_at(&store, index, |txn| {
            txn.services_mut().insert(service(id, node, name)).unwrap();
        });
    }
    for (index, node) in [(5, "n"), (6, "m")] {
        commit_at(&store, index, |txn| {
            txn.checks_mut().insert(check(node, 1, &[])).unwrap();
        });
    }
    let snap = store.snapshot();
    let (services, checks) = (snap.services(), snap.checks());
    let by_name = services.name_node_index();
    for (what, index, expected) in [
        ("a key", services.log_index_of("web/1"), 2),
        ("another key", services.log_index_of("web/2"), 3),
        ("a node", services.by_node("n").log_index(), 4),
        ("another node", services.by_node("m").log_index(), 3),
        ("a name", by_name.leading("web").log_index(), 3),
        ("another name", by_name.leading("db").log_index(), 4),
        ("a prefix", services.prefix("db/").log_index(), 4),
        ("the checks of a node", checks.leading("n").log_index(), 5),
        ("of another", checks.leading("m").log_index(), 6),
        ("a table", services.log_index(), 4),
        ("another table", checks.log_index(), 6),
        ("a table without records", snap.nodes().log_index(), 1),
    ] {
        assert_eq!(index, LogIndex(expected), "{what}");
    }
    // consul #4810: the last of a name, and the last of a node.
    commit_at(&store, 7, |txn| {
        txn.services_mut().delete("web/2").unwrap();
    });
    let snap = store.snapshot();
    let services = snap.services();
    let web = services.name_node_index().leading("web");
    for index in [
        web.log_index(),
        services.by_node("m").log_index(),
        services.log_index(),
    ] {
        assert_eq!(index, LogIndex(7));
    }
}
