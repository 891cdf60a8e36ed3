//! Snapshots of transactions that go on: what they show, and that they last, whatever becomes of the
//! transaction.

mod store_schema;

use highwater::fsm::Rejected;
use highwater::{
    Conflict, CursorError, LogIndex, Retention, Snapshot, Store, StoreOptions, WriteTxn,
};
use std::thread;
use store_schema::*;

fn names(snap: &Snapshot<Catalog>) -> Vec<(String, u32)> {
    let nodes = snap.nodes().iter();
    nodes
        .map(|node| (node.name.clone(), node.address))
        .collect()
}

fn put(txn: &mut WriteTxn<Catalog>, name: &str, address: u32) {
    txn.nodes_mut().upsert(node(name, address)).unwrap();
}

fn pair(name: &str, address: u32) -> (String, u32) {
    (name.to_owned(), address)
}

#[test]
fn it_has_what_was_written_so_far_and_nothing_after() {
    let store = Store::<Catalog>::new();
    commit_at(&store, 3, |txn| put(txn, "a", 1));
    let mut txn = at(&store, 5);
    let untouched = txn.snapshot().unwrap();
    put(&mut txn, "a", 2);
    put(&mut txn, "b", 3);
    txn.services_mut().insert(tagged("s", &["t"])).unwrap();
    let first = txn.snapshot().unwrap();
    txn.nodes_mut().delete("a").unwrap();
    put(&mut txn, "c", 4);
    txn.services_mut().delete("s").unwrap();
    let second = txn.snapshot().unwrap();

    assert_eq!(names(&untouched), [pair("a", 1)]);
    assert_eq!(names(&first), [pair("a", 2), pair("b", 3)]);
    assert_eq!(names(&second), [pair("b", 3), pair("c", 4)]);
    assert_eq!(first.services().by_tags("t").count(), 1);
    assert_eq!(second.services().by_tags("t").count(), 0);
    assert_eq!(first.index(), LogIndex(5));
    assert_eq!(first.nodes().get("a").unwrap().modify_index(), LogIndex(5));
    // What two of them, or one and the store, differ in.
    assert_eq!(second.nodes().diff(&first.nodes()).count(), 2);
    assert_eq!(first.nodes().diff(&store.snapshot().nodes()).count(), 2);
    // Nobody else sees it yet.
    assert_eq!(names(&store.snapshot()), [pair("a", 1)]);
    txn.commit().unwrap();
    assert_eq!(names(&first), [pair("a", 2), pair("b", 3)]);
    assert_eq!(names(&store.snapshot()), names(&second));
}

#[test]
fn it_outlives_what_becomes_of_the_transaction() {
    let store = Store::<Catalog>::new();
    commit_at(&store, 1, |txn| put(txn, "a", 1));

    let mut txn = at(&store, 2);
    put(&mut txn, "a", 2);
    let before = txn.savepoint();
    put(&mut txn, "b", 2);
    let undone = txn.snapshot().unwrap();
    txn.rollback_to(before);
    assert_eq!(txn.nodes().len(), 1);
    put(&mut txn, "c", 2);
    let kept = txn.snapshot().unwrap();
    drop(txn);

    let mut txn = at(&store, 2);
    put(&mut txn, "d", 2);
    let committed = txn.snapshot().unwrap();
    txn.commit().unwrap();
    for index in 3..40 {
        commit_at(&store, index, |txn| {
            txn.nodes_mut().delete_prefix("").unwrap();
            put(txn, &format!("e{index}"), 3);
            put(txn, "a", u32::try_from(index).unwrap());
        });
    }
    store.collect();
    drop(store);
    assert_eq!(names(&undone), [pair("a", 2), pair("b", 2)]);
    assert_eq!(names(&kept), [pair("a", 2), pair("c", 2)]);
    assert_eq!(names(&committed), [pair("a", 1), pair("d", 2)]);
    for snap in [undone, kept, committed] {
        snap.check().unwrap();
    }
}

#[test]
fn records_are_written_while_they_are_walked_over() {
    let store = Store::<Catalog>::new();
    let mut txn = store.write().unwrap();
    for n in 0..200 {
        put(&mut txn, &format!("n{n:03}"), n);
    }
    for node in txn.snapshot().unwrap().nodes().iter() {
        match node.address % 3 {
            0 => drop(txn.nodes_mut().delete(&node.name).unwrap()),
            1 => put(&mut txn, &node.name, node.address + 1000),
            _ => put(&mut txn, &format!("{}-copy", node.name), node.address),
        }
    }
    txn.commit().unwrap();
    let snap = store.snapshot();
    snap.check().unwrap();
    assert_eq!(snap.nodes().len(), 200 - 67 + 66);
    assert!(
        snap.nodes()
            .iter()
            .all(|node| node.address % 3 != 0 || node.address > 999)
    );
}

#[test]
fn it_is_read_on_another_thread_while_the_transaction_goes_on() {
    let store = Store::<Catalog>::new();
    let mut txn = store.write().unwrap();
    thread::scope(|scope| {
        for round in 0..50 {
            put(&mut txn, &format!("n{round:02}"), round);
            let snap = txn.snapshot().unwrap();
            scope.spawn(move || {
                let addresses = snap.nodes().iter().map(|node| node.address);
                assert!(addresses.eq(0..=round));
            });
        }
    });
    txn.commit().unwrap();
}

#[test]
fn its_history_is_its_own() {
    let store = Store::<Catalog>::new();
    commit_at(&store, 1, |txn| put(txn, "a", 1));
    let (_, of_store) = store.snapshot().guarded(|db| db.nodes().len());
    let mut txn = at(&store, 2);
    put(&mut txn, "b", 2);
    let snap = txn.snapshot().unwrap();
    assert!(snap.position().history.is_fork());
    assert_ne!(snap.position(), txn.snapshot().unwrap().position());
    let (_, guard) = snap.guarded(|db| db.nodes().len());
    let mut page = snap.nodes().iter();
    page.next();
    let cursor = page.cursor().unwrap();
    txn.commit().unwrap();

    let newest = store.snapshot();
    let resumed = newest.nodes().iter().resume(&cursor);
    assert!(matches!(resumed, Err(CursorError::OtherHistory { .. })));
    let txn = at(&store, 3);
    let refused = txn.validate(&guard).unwrap_err();
    assert!(matches!(refused, Conflict::OtherHistory { .. }));
    let text = refused.to_string();
    assert!(
        text.contains("read it in a snapshot of the store"),
        "{text}"
    );
    // Made again in the same way it would never hold.
    assert!(!Rejected::from(refused).is_conflict());
    drop(txn);
    // It goes on in a fork, in which what was read of the store holds or not, as it would there.
    let fork = snap.fork();
    assert_eq!(fork.position().index, LogIndex(2));
    let txn = fork.write().unwrap();
    assert!(matches!(
        txn.validate(&of_store),
        Err(Conflict::Changed { .. })
    ));
    drop(txn);
    // Its image is one of a fork.
    let mut image = Vec::new();
    snap.write_image(&mut image).unwrap();
    let restored = Store::<Catalog>::from_image(&image[..]).unwrap();
    assert_eq!(names(&restored.snapshot()), names(&snap));
    assert!(restored.position().history.is_fork());
}

#[test]
fn it_has_the_drivers_bytes_that_were_set() {
    let store = Store::<Catalog>::new();
    let mut txn = store.write().unwrap();
    txn.set_driver_state(b"one".to_vec());
    let snap = txn.snapshot().unwrap();
    txn.set_driver_state(b"two".to_vec());
    assert_eq!(snap.driver_state(), Some(&b"one"[..]));
}

#[test]
fn its_memory_goes_with_it() {
    let store = Store::<Catalog>::new();
    commit_at(&store, 1, |txn| {
        for n in 0..2000 {
            put(txn, &format!("n{n}"), n);
        }
    });
    let whole = store.stats().live_bytes;
    let mut txn = at(&store, 2);
    let mut held = Vec::new();
    for n in 0..100 {
        put(&mut txn, &format!("n{n}"), n + 1);
        held.push(txn.snapshot().unwrap());
    }
    drop(txn);
    store.collect();
    let pinned = store.stats().pinned_bytes;
    // What was written, and paths to it, a hundred times; not the whole again.
    assert!(pinned > 0 && pinned < whole, "{pinned} of {whole}");
    assert_eq!(store.stats().versions, 101);
    held.truncate(1);
    store.collect();
    let stats = store.stats();
    assert!(stats.pinned_bytes < pinned / 20, "{stats:?}");
    drop(held);
    store.collect();
    let stats = store.stats();
    assert_eq!((stats.pinned_bytes, stats.versions), (0, 1));
    assert_eq!(stats.live_bytes, whole);
}

#[test]
fn one_that_nobody_keeps_costs_no_memory() {
    let store = Store::<Catalog>::new();
    let mut txn = at(&store, 1);
    let mut most = 0;
    for n in 0..2000 {
        put(&mut txn, "a", n);
        assert_eq!(txn.snapshot().unwrap().nodes().get("a").unwrap().address, n);
        most = most.max(store.stats().versions);
    }
    // The store's own and the last.
    assert_eq!(most, 2);
    txn.commit().unwrap();
    store.collect();
    assert_eq!(store.stats().nodes.leaves, 1);
}

#[test]
fn what_the_past_pins_is_told_also_of_commits_that_had_snapshots() {
    let retain = Some(Retention::default());
    let options = StoreOptions {
        retain,
        ..StoreOptions::default()
    };
    let store = Store::<Catalog>::with_options(options);
    commit_at(&store, 1, |txn| {
        for n in 0..500 {
            put(txn, &format!("n{n:03}"), n);
            txn.services_mut()
                .insert(service(&format!("s{n:03}"), "n", "s"))
                .unwrap();
        }
    });
    let mut txn = at(&store, 2);
    put(&mut txn, "n001", 7);
    let first = txn.snapshot().unwrap();
    put(&mut txn, "n301", 7);
    txn.services_mut().delete_prefix("s1").unwrap();
    let second = txn.snapshot().unwrap();
    txn.nodes_mut().delete_prefix("n2").unwrap();
    txn.services_mut().delete_prefix("s").unwrap();
    txn.commit().unwrap();
    drop((first, second));
    store.collect();
    let stats = store.stats();
    assert_eq!(stats.retained, 2);
    assert!(stats.retained_bytes > 0);
    assert_eq!(stats.retained_bytes, stats.pinned_bytes);
}
