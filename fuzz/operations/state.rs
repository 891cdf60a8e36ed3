//! The table, and the model of it: what the store should hold.

use highwater::{Schema, Table};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

pub(super) type Bytes = Vec<u8>;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
pub(super) struct Blob {
    #[primary_key]
    pub(super) key: Bytes,
    #[index]
    pub(super) group: Bytes,
    #[index(each, unique)]
    pub(super) serial: Option<u8>,
    pub(super) value: u8,
}

#[derive(Schema)]
pub(super) struct Blobs {
    blobs: Blob,
}

/// A stored record with its create and modify index.
pub(super) type Stored = (Blob, u64, u64);

/// What the store should hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct State {
    pub(super) rows: BTreeMap<Bytes, Stored>,
    /// The last change of each key there ever was.
    pub(super) touched: BTreeMap<Bytes, u64>,
}

impl State {
    /// Whom the serial number belongs to.
    pub(super) fn holder(&self, serial: Option<u8>) -> Option<&Bytes> {
        let serial = serial?;
        self.rows
            .iter()
            .find(|(_, row)| row.0.serial == Some(serial))
            .map(|(key, _)| key)
    }

    pub(super) fn delete(&mut self, key: &Bytes, index: u64) -> bool {
        let there = self.rows.remove(key).is_some();
        if there {
            self.touched.insert(key.clone(), index);
        }
        there
    }

    /// Of either group, without a serial number.
    pub(super) fn matches(&self, db: &BlobsView, [one, other]: [&Bytes; 2], serial: u8) {
        let group = |group| db.blobs().group_index().matching(group);
        let of_serial = db.blobs().serial_index().matching(serial);
        let found = group(one).or(group(other)).and_not(of_serial);
        let matches = |row: &&Stored| {
            (row.0.group == *one || row.0.group == *other) && row.0.serial != Some(serial)
        };
        let expected = self.rows.values().filter(matches);
        assert!(found.clone().map(stored).eq(expected.clone().cloned()));
        assert!(found.rev().map(stored).eq(expected.rev().cloned()));
    }
}

pub(super) fn stored(row: &highwater::Row<Blob>) -> Stored {
    ((**row).clone(), row.create_index().0, row.modify_index().0)
}

/// Compares what is read with the model.
pub(super) fn compare(db: &BlobsView, state: &State) {
    let blobs = db.blobs();
    assert_eq!(blobs.len(), state.rows.len());
    assert!(blobs.iter().map(stored).eq(state.rows.values().cloned()));
    assert!(
        blobs
            .iter()
            .rev()
            .map(stored)
            .eq(state.rows.values().rev().cloned())
    );
    let mut groups: Vec<_> = state.rows.values().cloned().collect();
    groups.sort_by(|a, b| (&a.0.group, &a.0.key).cmp(&(&b.0.group, &b.0.key)));
    assert!(blobs.group_index().iter().map(stored).eq(groups));
    let mut serials: Vec<_> = state
        .rows
        .values()
        .filter(|row| row.0.serial.is_some())
        .cloned()
        .collect();
    serials.sort_by_key(|row| row.0.serial);
    assert!(blobs.serial_index().iter().map(stored).eq(serials));
}
