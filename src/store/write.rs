//! Writes of one table.
#![expect(
    clippy::needless_pass_by_value,
    reason = "keys are given as what can look one up, by value or by reference"
)]

use std::fmt;
use std::marker::PhantomData;

use super::error::{KeyText, WriteError};
use super::fill::Batch;
use super::matches::Matches;
use super::operate::{At, Must, not_found};
use super::reader::TableReader;
use super::rows::Rows;
use super::txn::Attempt;
use super::view::{RawView, Readable};
use crate::feed::Replaced;
use crate::key::{AsKey, AsPrefix, Key, KeyBuf};
use crate::position::LogIndex;
use crate::schema::{Row, Table};

/// Writes of one table: `txn.services_mut()`.
///
/// Each operation does all of what it says or returns an error and does nothing. One that changes
/// nothing (the record equals the stored one) touches nothing: the modify index stays, and nobody
/// is woken. Cost of each: O(key length) for the table and each of its indexes.
pub struct TableWriter<'a, T> {
    view: &'a mut RawView,
    table: usize,
    base: usize,
    record: PhantomData<fn() -> T>,
}

impl<T> fmt::Debug for TableWriter<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TableWriter")
            .field("view", self.view)
            .field("table", &self.table)
            .finish_non_exhaustive()
    }
}

impl<'a, T> TableWriter<'a, T> {
    pub(super) fn new(view: &'a mut RawView, table: usize, base: usize) -> Self {
        TableWriter {
            view,
            table,
            base,
            record: PhantomData,
        }
    }
}

impl<T: Table + Readable> TableWriter<'_, T> {
    /// Reads of the table, with everything written so far.
    pub fn read(&self) -> T::Reader<'_> {
        TableReader::new(self.view, self.table, self.base).into()
    }

    /// Adds a record, which must be new: [`WriteError::AlreadyExists`] if its primary key is
    /// taken.
    pub fn insert(&mut self, record: T) -> Result<(), WriteError> {
        self.put(record, Must::BeNew, None).map(|_| ())
    }

    /// Replaces a record, which must exist ([`WriteError::NotFound`]); returns the previous one.
    pub fn update(&mut self, record: T) -> Result<Row<T>, WriteError> {
        self.put(record, Must::Exist, None).map(present)
    }

    /// Adds or replaces a record; returns the previous one.
    pub fn upsert(&mut self, record: T) -> Result<Option<Row<T>>, WriteError> {
        self.put(record, Must::BeAnything, None)
    }

    /// Takes a record away and returns it; nothing if there is none.
    pub fn delete(&mut self, key: impl AsKey<T::Key>) -> Result<Option<Row<T>>, WriteError> {
        self.take(&key, None)
    }

    /// Adds or replaces a record if its modify index is `expected`; with `LogIndex(0)` it must be
    /// absent. Otherwise [`WriteError::Conflict`].
    pub fn upsert_if(
        &mut self,
        record: T,
        expected: LogIndex,
    ) -> Result<Option<Row<T>>, WriteError> {
        self.put(record, Must::BeAnything, Some(expected))
    }

    /// Replaces a record if it exists and its modify index is `expected`.
    pub fn update_if(&mut self, record: T, expected: LogIndex) -> Result<Row<T>, WriteError> {
        self.put(record, Must::Exist, Some(expected)).map(present)
    }

    /// Takes a record away if it exists and its modify index is `expected`.
    pub fn delete_if(
        &mut self,
        key: impl AsKey<T::Key>,
        expected: LogIndex,
    ) -> Result<Row<T>, WriteError> {
        match self.take(&key, Some(expected))? {
            Some(row) => Ok(row),
            // `LogIndex(0)` was expected of a record that is absent.
            None => Err(not_found::<T>(&self.view.txn().scratch.primary)),
        }
    }

    /// Changes a record in place: `change` is given a copy, which then takes the record's place.
    /// Returns the previous one; [`WriteError::NotFound`] if there is none.
    ///
    /// [`WriteError::KeyChanged`] if `change` gives it another primary key: that is another record.
    pub fn update_with(
        &mut self,
        key: impl AsKey<T::Key>,
        change: impl FnOnce(&mut T),
    ) -> Result<Row<T>, WriteError>
    where
        T: Clone,
    {
        let mut primary = KeyBuf::new();
        key.encode_as(&mut primary);
        let rows = self.view.tree::<Row<T>>(self.base);
        let Some(row) = rows.get(primary.as_bytes()) else {
            return Err(not_found::<T>(&primary));
        };
        let mut record = T::clone(row);
        change(&mut record);
        let mut changed = KeyBuf::new();
        record.encode_key(&mut changed);
        if changed != primary {
            return Err(WriteError::KeyChanged {
                table: T::NAME.into(),
                key: KeyText::new(primary.as_bytes(), T::Key::show),
                changed: KeyText::new(changed.as_bytes(), T::Key::show),
            });
        }
        self.put(record, Must::Exist, None).map(present)
    }

    /// Takes away every record for which `which` is true, and returns them. Looks at all records
    /// of the table; where an index knows them, [`delete_query`](Self::delete_query) is faster.
    pub fn delete_where(
        &mut self,
        mut which: impl FnMut(&Row<T>) -> bool,
    ) -> Result<Vec<Row<T>>, WriteError> {
        let all = TableReader::<T>::new(self.view, self.table, self.base);
        let rows = all.iter().filter(|row| which(row)).cloned().collect();
        self.delete_all(rows)
    }

    /// Takes away every record that a query finds, each once, and returns them.
    ///
    /// ```
    /// # use highwater::{Schema, Store, Table};
    /// # use serde::{Deserialize, Serialize};
    /// # #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
    /// # pub struct Service {
    /// #     #[primary_key] pub id: u32,
    /// #     #[index] pub node: String,
    /// # }
    /// # #[derive(Schema)]
    /// # pub struct Catalog { services: Service }
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let store = Store::<Catalog>::new();
    /// let mut txn = store.write()?;
    /// # for id in 0..3 { txn.services_mut().insert(Service { id, node: "n1".into() })?; }
    /// let gone = txn.services_mut().delete_query(|services| services.by_node("n1"))?;
    /// assert_eq!(gone.len(), 3);
    /// # Ok(())
    /// # }
    /// ```
    pub fn delete_query(
        &mut self,
        query: impl for<'r> FnOnce(&'r T::Reader<'r>) -> Rows<'r, T>,
    ) -> Result<Vec<Row<T>>, WriteError> {
        let rows = query(&self.read()).cloned().collect();
        self.delete_all(rows)
    }

    /// The same of what look-ups that meet find ([`Matches`]).
    pub fn delete_matching(
        &mut self,
        query: impl for<'r> FnOnce(&'r T::Reader<'r>) -> Matches<'r, T>,
    ) -> Result<Vec<Row<T>>, WriteError> {
        let rows = query(&self.read()).cloned().collect();
        self.delete_all(rows)
    }

    /// Takes away every record whose primary key begins with `prefix`, and returns them. They are
    /// taken out of the table at once, and out of each index one by one.
    pub fn delete_prefix(
        &mut self,
        prefix: impl AsPrefix<T::Key>,
    ) -> Result<Vec<Row<T>>, WriteError> {
        let mut encoded = KeyBuf::new();
        prefix.encode_prefix(&mut encoded);
        let rows = self.view.tree::<Row<T>>(self.base);
        let rows = rows.prefix(encoded.as_bytes()).cloned().collect();
        let at = self.at();
        self.view
            .txn_mut()
            .delete_prefix(at, encoded.as_bytes(), rows)
    }

    fn at(&self) -> At {
        At {
            table: self.table,
            base: self.base,
        }
    }

    /// Adds records, which must be new, in any order: all of them, or on an error none. In an empty
    /// table that is several times as fast as one by one: each tree is built bottom-up, on up to
    /// [`StoreOptions::threads`](crate::StoreOptions::threads) threads.
    ///
    /// Takes memory for the entries of one index at a time and thread beside what the table takes
    /// itself. The error is that of the first record that cannot be inserted.
    pub fn insert_all(&mut self, records: impl IntoIterator<Item = T>) -> Result<(), WriteError> {
        if !TableReader::<T>::new(self.view, self.table, self.base).is_empty() {
            let mut attempt = Attempt::begin(self.view);
            for record in records {
                TableWriter::new(attempt.holder, self.table, self.base).insert(record)?;
            }
            attempt.keep = true;
            return Ok(());
        }
        let index = self.view.txn().index;
        let mut batch = Batch::new();
        let mut key = KeyBuf::new();
        for record in records {
            key.clear();
            record.encode_key(&mut key);
            batch.push(key.as_bytes(), Row::new(record, index, index));
        }
        let txn = self.view.txn_mut();
        let threads = txn.threads();
        batch
            .fill(&mut txn.edition, self.base, index.0, threads)
            .map_err(|(_, error)| error)?;
        for row in batch.into_rows() {
            let op = Replaced {
                before: None,
                after: Some(row),
            };
            txn.log.push(self.table, index, op);
        }
        Ok(())
    }

    fn put(
        &mut self,
        record: T,
        must: Must,
        expected: Option<LogIndex>,
    ) -> Result<Option<Row<T>>, WriteError> {
        let at = self.at();
        self.view.txn_mut().put(at, record, must, expected)
    }

    fn take(
        &mut self,
        key: &impl AsKey<T::Key>,
        expected: Option<LogIndex>,
    ) -> Result<Option<Row<T>>, WriteError> {
        let at = self.at();
        let encode = |out: &mut KeyBuf| key.encode_as(out);
        self.view.txn_mut().delete(at, encode, expected)
    }

    fn delete_all(&mut self, rows: Vec<Row<T>>) -> Result<Vec<Row<T>>, WriteError> {
        let at = self.at();
        self.view.txn_mut().delete_all(at, rows)
    }
}

/// What `put` returns where the record had to exist.
fn present<T>(previous: Option<Row<T>>) -> Row<T> {
    previous.expect("an update of an absent record is refused")
}
