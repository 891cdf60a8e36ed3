//! Memory: what a store says that it holds, what a snapshot pins, and when it is freed.

use crate::store_schema::*;
use crate::{load, numbered};
use highwater::Store;
use std::thread;

#[test]
fn stats_say_what_there_is() {
    let store = Store::<Catalog>::new();
    let empty = store.stats();
    assert_eq!((empty.records(), empty.index_entries()), (0, 0));
    assert_eq!((empty.live_bytes, empty.pinned_bytes), (0, 0));
    load(&store, 100);
    let mut txn = store.write().unwrap();
    txn.nodes_mut().insert(node("n", 1)).unwrap();
    // What is not committed is not counted.
    assert_eq!(store.stats().records(), 100);
    txn.commit().unwrap();
    let (_, _watch) = store.watch(|db| db.nodes().len());

    let stats = store.stats();
    assert_eq!(
        (stats.position, stats.oldest),
        (store.position(), store.position())
    );
    let tables: Vec<_> = stats
        .tables
        .iter()
        .map(|table| (table.name, table.records, table.index_entries))
        .collect();
    // By node, and by name and node.
    assert_eq!(
        tables,
        [("services", 100, 200), ("nodes", 1, 0), ("checks", 0, 0)]
    );
    assert_eq!((stats.records(), stats.index_entries()), (101, 200));
    assert_eq!(
        stats.live_bytes,
        stats.tables.iter().map(|table| table.bytes).sum::<u64>()
    );
    assert!(stats.tables[0].bytes > 300 * 32 && stats.tables[2].bytes == 0);
    assert_eq!((stats.versions, stats.watchers), (1, 1));
    store.collect();
    let stats = store.stats();
    assert_eq!((stats.pinned_bytes, stats.nodes.leaves), (0, 301));
    assert!(stats.reserved_bytes >= stats.live_bytes);
}

#[test]
fn a_held_snapshot_pins_its_own_nodes_alone() {
    const RECORDS: u32 = 2000;
    let store = Store::<Catalog>::new();
    load(&store, RECORDS);
    store.collect();
    let held = store.snapshot();
    let own = store.stats().live_bytes;
    let mut most = 0;
    for round in 1..6 {
        for record in numbered(0..RECORDS, round) {
            let mut txn = store.write().unwrap();
            txn.services_mut().update(record).unwrap();
            txn.commit().unwrap();
            if store.position().index.0.is_multiple_of(64) {
                let stats = store.stats();
                most = most.max(stats.live_bytes + stats.pinned_bytes);
                assert!(
                    stats.pinned_bytes <= own + stats.live_bytes * 3 / 10,
                    "{stats:?}"
                );
            }
        }
    }
    assert!(most > own * 3 / 2, "the snapshot pins something");
    let stats = store.stats();
    assert_eq!((stats.versions, stats.oldest), (2, held.position()));
    assert_eq!(held.services().get("s00007").unwrap().note, 0);
    // Dropping it frees nothing; the commits that follow do, each a bounded part.
    drop(held);
    let mut nodes = store.stats().nodes.leaves;
    assert_eq!(nodes, stats.nodes.leaves);
    for record in numbered(0..20, 9) {
        let mut txn = store.write().unwrap();
        txn.services_mut().update(record).unwrap();
        txn.commit().unwrap();
        let now = store.stats().nodes.leaves;
        assert!(
            now < nodes && now + 400 > nodes,
            "{nodes} leaves, then {now}"
        );
        nodes = now;
    }
    store.collect();
    let stats = store.stats();
    assert_eq!((stats.pinned_bytes, stats.versions), (0, 1));
}

#[test]
fn what_a_restore_replaced_goes_in_steps() {
    let store = Store::<Catalog>::new();
    let mut empty = Vec::new();
    store.snapshot().write_image(&mut empty).unwrap();
    load(&store, 20_000);
    store.collect();
    let before = store.stats();
    store.rewind(&empty[..]).unwrap();
    let after = store.stats();
    assert_eq!((after.records(), after.live_bytes), (0, 0));
    assert!(after.pinned_bytes > before.live_bytes * 9 / 10, "{after:?}");
    // Commits go on, and each frees a part of it.
    load(&store, 1);
    assert!(store.stats().pinned_bytes < after.pinned_bytes);
    // A writer does not wait for a collection's end, nor a reader for anything.
    thread::scope(|scope| {
        scope.spawn(|| store.collect());
        for round in 1..50 {
            let mut txn = store.write().unwrap();
            txn.nodes_mut().upsert(node("n", round)).unwrap();
            txn.commit().unwrap();
            assert_eq!(store.snapshot().services().len(), 1);
        }
    });
    store.collect();
    assert_eq!(store.stats().pinned_bytes, 0);
}
