//! Channels, watch sets, and waiting.

use crate::store_schema::*;
use crate::things::watch;
use highwater::{LogIndex, Store, Watch};
use std::time::Instant;

fn filled() -> Store<Catalog> {
    let store = Store::<Catalog>::new();
    commit_at(&store, 1, |txn| {
        for (id, node) in [("a", "n"), ("b", "m"), ("c", "n")] {
            txn.services_mut().insert(service(id, node, "s")).unwrap();
        }
    });
    store
}

fn touch(store: &Store<Catalog>, id: &str) {
    let mut txn = store.write().unwrap();
    txn.services_mut()
        .update_with(id, |service| service.note += 1)
        .unwrap();
    txn.commit().unwrap();
}

#[test]
fn first_watch_and_last_watch_are_of_what_they_found() {
    let store = filled();
    let first = watch(&store, |db| db.services().by_node("n").next().is_some());
    let last = watch(&store, |db| db.services().last().is_some());
    touch(&store, "b");
    assert!(!first.has_fired() && !last.has_fired());
    touch(&store, "c");
    assert!(!first.has_fired() && last.has_fired());
    touch(&store, "a");
    assert!(first.has_fired());
}

#[test]
fn lower_bound_can_be_watched() {
    let store = filled();
    let from = watch(&store, |db| db.services().range("b"..).count());
    let up_to = watch(&store, |db| db.services().range(..="b").rev().count());
    touch(&store, "a");
    assert!(!from.has_fired() && up_to.has_fired());
    let up_to = watch(&store, |db| db.services().range(..="b").rev().count());
    commit_at(&store, 5, |txn| {
        txn.services_mut().insert(service("d", "n", "s")).unwrap();
    });
    assert!(from.has_fired() && !up_to.has_fired());
}

#[test]
fn watch_set_of_many_is_one() {
    let store = filled();
    // However many look-ups: one watch, one waiter.
    let many = watch(&store, |db| {
        let absent = (0..1000)
            .filter(|n| db.services().contains(format!("x{n}")))
            .count();
        absent + db.services().by_node("m").count() + db.nodes().len()
    });
    assert_eq!(store.stats().watchers, 1);
    touch(&store, "a");
    assert!(!many.has_fired());
    commit_at(&store, 3, |txn| {
        txn.services_mut()
            .insert(service("x999", "z", "s"))
            .unwrap();
    });
    assert!(many.has_fired());
}

#[test]
fn watch_ctx_ends_at_the_deadline_and_an_empty_set_has_nothing_to_wait_for() {
    let store = filled();
    let never = watch(&store, |_| 0);
    touch(&store, "a");
    assert!(!never.wait(Instant::now()));
    assert!(!never.has_fired());
    let (_, once) = store.watch(|db| db.services().contains("a"));
    touch(&store, "a");
    // It stays fired; what comes then needs another.
    assert!(once.wait(soon()) && once.wait(soon()) && once.has_fired());
}

#[test]
fn watch_ch_is_a_future() {
    let store = filled();
    let (_, watch) = store.watch(|db| db.services().contains("z"));
    let writer = std::thread::spawn({
        let store = store.clone();
        move || {
            commit_at(&store, 2, |txn| {
                txn.services_mut().insert(service("z", "n", "s")).unwrap();
            });
        }
    });
    block_on(watch);
    assert!(store.snapshot().services().contains("z"));
    writer.join().unwrap();
}

/// go-memdb #24, statedb PR #53: woken before there was anything to see.
#[test]
fn visible_before_it_is_told() {
    let store = filled();
    let watches: Vec<Watch> = (0..4)
        .map(|_| watch(&store, |db| db.services().contains("z")))
        .collect();
    std::thread::scope(|scope| {
        for watch in &watches {
            let store = &store;
            scope.spawn(move || {
                assert!(watch.wait(soon()));
                assert!(store.snapshot().services().contains("z"));
            });
        }
        commit_at(&store, 2, |txn| {
            txn.services_mut().insert(service("z", "n", "s")).unwrap();
        });
    });
}

#[test]
fn abort_tells_nobody() {
    let store = filled();
    let all = watch(&store, |db| db.services().iter().count());
    let mut txn = store.write().unwrap();
    txn.services_mut().delete_where(|_| true).unwrap();
    drop(txn);
    assert!(!all.has_fired());
    assert_eq!(store.position().index, LogIndex(1));
}
