//! Transactions, tables and watches without a bound to go over.

use crate::store_schema::*;
use crate::things::watch;
use allocation_counter::measure;
use highwater::{Stats, Store, StoreOptions, Watch};

/// consul #2724, iradix PR #13: a crash when very many were deleted. spicedb PR #1639: an import that was too large
/// for the list of what to tell, and slow from there on.
#[test]
fn memdb_51_no_number_of_rows_or_watches_is_too_many() {
    let store = Store::<Catalog>::new();
    let id = |n: usize| format!("s{n:05}");
    commit_at(&store, 1, |txn| {
        for n in 0..9000 {
            txn.services_mut()
                .insert(service(&id(n), "n", "s"))
                .unwrap();
        }
    });
    let watches: Vec<_> = (0..9000)
        .step_by(30)
        .map(|n| watch(&store, |db| db.services().get(id(n)).is_some()))
        .collect();
    let range = watch(&store, |db| db.services().range("s08000".."s08500").count());
    // All but the first hundred go.
    commit_at(&store, 2, |txn| {
        let gone = txn.services_mut().delete_where(|row| *row.id >= *"s00100");
        assert_eq!(gone.unwrap().len(), 8900);
    });
    let fired: Vec<_> = watches.iter().map(Watch::has_fired).collect();
    assert_eq!(fired.iter().filter(|fired| !**fired).count(), 4);
    assert!(!fired[0] && !fired[3] && fired[4] && range.has_fired());
    store.snapshot().check().unwrap();
}

/// iradix PRs #4 and #6, consul #1421: out of memory by the nodes that a transaction had noted as its own; and
/// when only so many were, all others were copied at each write.
#[test]
fn iradix_2_a_transaction_copies_what_it_writes_once() {
    let written = |rounds: u32| -> Stats {
        let store = Store::<Catalog>::new();
        commit_at(&store, 1, |txn| {
            for n in 0..9000 {
                txn.nodes_mut().insert(node(&n.to_string(), 0)).unwrap();
            }
        });
        commit_at(&store, 2, |txn| {
            for round in 1..=rounds {
                for n in 0..9000 {
                    txn.nodes_mut().update(node(&n.to_string(), round)).unwrap();
                }
            }
        });
        store.stats()
    };
    let (once, often) = (written(1), written(20));
    assert_eq!(often.live_bytes, once.live_bytes);
    assert!(
        often.reserved_bytes <= once.reserved_bytes,
        "{often:?} after {once:?}"
    );
}

/// cilium #44310: what a transaction had noted of its watches was kept, at that size, for all to come.
#[test]
fn statedb_162_nothing_is_left_of_a_huge_transaction() {
    let store = Store::<Catalog>::with_options(StoreOptions {
        window: 4,
        ..StoreOptions::default()
    });
    let _watches = ["a", "b"].map(|id| watch(&store, |db| db.services().contains(id)));
    let small = |index| {
        commit_at(&store, index, |txn| {
            let count = u32::try_from(index).unwrap();
            txn.nodes_mut().upsert(node("n", count)).unwrap();
        });
    };
    let settle = |from| {
        for index in from..from + 20 {
            small(index);
        }
        store.collect();
    };
    let (mut largest, mut reserved) = (0, 0);
    settle(1);
    let left = measure(|| {
        let huge = measure(|| {
            commit_at(&store, 100, |txn| {
                for n in 0..20_000 {
                    let id = format!("s{n:05}");
                    txn.services_mut().insert(service(&id, &id, "s")).unwrap();
                }
            });
        });
        (largest, reserved) = (huge.bytes_current, store.stats().reserved_bytes);
        commit_at(&store, 101, |txn| {
            txn.services_mut().delete_where(|_| true).unwrap();
        });
        // They leave the window, and with it the last that remembers them.
        settle(102);
    });
    assert!(largest > 4_000_000, "{largest}");
    assert!(left.bytes_current < largest / 10, "{left:?} of {largest}");
    assert!(
        store.stats().reserved_bytes <= reserved / 2,
        "{:?} of {reserved}",
        store.stats()
    );
}
