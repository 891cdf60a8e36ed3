//! What Consul and Nomad have built beside go-memdb.
//!
//! | module | is about |
//! |---|---|
//! | `waiting` | indexes of queries, waits for them, blocking queries |
//! | `streams` | streams of changes |
//! | `images` | snapshots of the state, and restores |
//! | `commands` | what replicas make of the log |
//! | `gates` | servers of several versions behind one log |
//! | `times` | which index was when |
//! | `usage` | counts that are kept |

mod commands;
mod gates;
mod images;
mod streams;
mod times;
mod usage;

mod waiting;

use crate::store_schema::*;
use highwater::Store;

pub(crate) fn image(store: &Store<Catalog>) -> Vec<u8> {
    let mut image = Vec::new();
    store.snapshot().write_image(&mut image).unwrap();
    image
}

pub(crate) fn put(store: &Store<Catalog>, index: u64, id: &str) {
    commit_at(store, index, |txn| {
        let note = u32::try_from(index).unwrap();
        let record = Service {
            note,
            ..service(id, "n", "s")
        };
        txn.services_mut().upsert(record).unwrap();
    });
}
