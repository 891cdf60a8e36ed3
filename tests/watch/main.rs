//! Blocking queries and watches: what wakes them, and what does not.
//!
//! | module | is about |
//! |---|---|
//! | `covers` | what a watch covers |
//! | `blocking_query` | when a query answers, and how often it runs |
//! | `waiting` | who waits: threads, futures, many of them |
//! | `restores` | what a restore does to who waits |
//! | `replicas` | random logs, on several replicas |

mod blocking_query;
mod covers;
mod replicas;
mod restores;
#[path = "../store_schema/mod.rs"]
mod store_schema;
mod waiting;

use highwater::{Store, WriteTxn};
use store_schema::*;

/// A store with services `a`, `c`, `e`, `g` on nodes `n1`, `n1`, `n2`, `n2`.
fn store() -> Store<Catalog> {
    let store = Store::<Catalog>::new();
    commit_at(&store, 10, |txn| {
        for (id, node) in [("a", "n1"), ("c", "n1"), ("e", "n2"), ("g", "n2")] {
            txn.services_mut().insert(service(id, node, "s")).unwrap();
        }
    });
    store
}

fn put(txn: &mut WriteTxn<Catalog>, id: &str, on: &str, note: u32) {
    txn.services_mut()
        .upsert(Service {
            note,
            ..service(id, on, "s")
        })
        .unwrap();
}

/// What was read does not matter, but that it was.
fn ignore<T>(_: T) {}
