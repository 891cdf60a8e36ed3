//! What snapshots are and what queries find.
//!
//! | module | is about |
//! |---|---|
//! | `snapshots` | what a snapshot is, and what differs between two |
//! | `queries` | what is found, counted and explained |
//! | `pages` | going on where a query was |
//! | `memory` | what is held, pinned and freed |

mod memory;
mod pages;
mod queries;
mod snapshots;
#[path = "../store_schema/mod.rs"]
mod store_schema;

use highwater::Store;
use store_schema::*;

/// Services by number; a revision changes the note alone.
fn numbered(numbers: std::ops::Range<u32>, note: u32) -> impl Iterator<Item = Service> {
    numbers.map(move |i| Service {
        note,
        ..service(&format!("s{i:05}"), &format!("n{:03}", i / 20), "web")
    })
}

fn load(store: &Store<Catalog>, records: u32) {
    let mut txn = store.write().unwrap();
    for record in numbered(0..records, 0) {
        txn.services_mut().insert(record).unwrap();
    }
    txn.commit().unwrap();
}
