//! A transaction beside what it should have made of the model.

use super::state::{Blob, Blobs, Bytes, State, compare, stored};
use highwater::{Savepoint, WriteError, WriteTxn};

pub(super) fn is_past_limit(error: &WriteError) -> bool {
    matches!(error, WriteError::KeyTooLong { .. })
}

pub(super) struct Open {
    pub(super) txn: WriteTxn<Blobs>,
    pub(super) index: u64,
    pub(super) state: State,
    pub(super) savepoints: Vec<(Savepoint, State)>,
}

impl Open {
    pub(super) fn put(&mut self, record: Blob) {
        let key = record.key.clone();
        let result = self.txn.blobs_mut().upsert(record.clone());
        let state = &mut self.state;
        match result {
            Err(WriteError::NotUnique { .. }) => {
                assert!(
                    state
                        .holder(record.serial)
                        .is_some_and(|holder| *holder != key)
                );
            }
            Err(error) => assert!(is_past_limit(&error), "{error}"),
            Ok(before) => {
                let old = state.rows.get(&key);
                assert_eq!(before.as_ref().map(stored).as_ref(), old);
                assert!(
                    state
                        .holder(record.serial)
                        .is_none_or(|holder| *holder == key)
                );
                if old.is_some_and(|old| old.0 == record) {
                    return;
                }
                let created = old.map_or(self.index, |old| old.1);
                state
                    .rows
                    .insert(key.clone(), (record, created, self.index));
                state.touched.insert(key, self.index);
            }
        }
    }

    pub(super) fn delete_prefix(&mut self, prefix: &Bytes) {
        let gone = self.txn.blobs_mut().delete_prefix(&prefix[..]);
        let rows = &self.state.rows;
        let keys = rows.keys().filter(|key| key.starts_with(prefix));
        let keys: Vec<Bytes> = keys.cloned().collect();
        let expected = keys.iter().map(|key| rows[key].clone());
        assert!(
            gone.expect("nothing forbids it")
                .iter()
                .map(stored)
                .eq(expected)
        );
        for key in keys {
            self.state.delete(&key, self.index);
        }
    }

    /// Records, all or none: the error is that of the first that is refused.
    pub(super) fn insert_all(&mut self, clear: bool, keys: Vec<Bytes>) {
        if clear {
            self.delete_prefix(&Bytes::new());
        }
        let records: Vec<Blob> = (0_u8..)
            .zip(keys)
            .map(|(n, key)| Blob {
                key,
                group: vec![n],
                serial: (n % 2 == 0).then_some(n),
                value: n,
            })
            .collect();
        let mut after = self.state.clone();
        let mut fault = None;
        for record in &records {
            let taken = after.rows.contains_key(&record.key);
            if taken || after.holder(record.serial).is_some() {
                fault = Some(taken);
                break;
            }
            let row = (record.clone(), self.index, self.index);
            after.rows.insert(record.key.clone(), row);
            after.touched.insert(record.key.clone(), self.index);
        }
        match self.txn.blobs_mut().insert_all(records) {
            Ok(()) => {
                assert_eq!(fault, None);
                self.state = after;
            }
            Err(WriteError::AlreadyExists { .. }) => assert_eq!(fault, Some(true)),
            Err(WriteError::NotUnique { .. }) => assert_eq!(fault, Some(false)),
            Err(error) => assert!(is_past_limit(&error), "{error}"),
        }
        compare(&self.txn, &self.state);
    }
}
