//! One operation on one table.
//!
//! Each runs in two halves. The first has all user code (key encoding, key extraction,
//! `PartialEq`) and every check; whatever fails or panics there, no tree was touched. The second
//! edits the trees and records the operation, and cannot fail.
#![expect(
    clippy::needless_pass_by_value,
    reason = "keys are given as what can look one up, by value or by reference"
)]

use std::fmt;
use std::marker::PhantomData;

use super::erased::{append_entry_key, check_len, for_each_only_in, index_keys, not_unique};
use super::error::{KeyText, WriteError};
use super::plan::Plan;
use super::reader::TableReader;
use super::txn::Txn;
use super::view::{RawView, Readable};
use crate::feed::Replaced;
use crate::key::{AsKey, KeyBuf, KeySink};
use crate::position::LogIndex;
use crate::schema::{Row, Table};

/// Buffers of one operation after the other.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    primary: KeyBuf,
    /// The entries of the table and its indexes that are put in, and those that are taken out.
    puts: Plan,
    takes: Plan,
    /// The keys of the new and of the old record, index by index.
    new: Vec<KeySink>,
    old: Vec<KeySink>,
}

/// What has to be true of the record before.
#[derive(Clone, Copy)]
enum Must {
    BeNew,
    Exist,
    BeAnything,
}

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

impl<'a, T: Readable> TableWriter<'a, T> {
    pub(super) fn new(view: &'a mut RawView, table: usize, base: usize) -> Self {
        TableWriter {
            view,
            table,
            base,
            record: PhantomData,
        }
    }

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

    fn put(
        &mut self,
        record: T,
        must: Must,
        expected: Option<LogIndex>,
    ) -> Result<Option<Row<T>>, WriteError> {
        let base = self.base;
        let Txn {
            edition,
            index,
            log,
            scratch,
            ..
        } = self.view.txn_mut();
        let Scratch {
            primary,
            puts,
            takes,
            new,
            old,
        } = &mut **scratch;

        primary.clear();
        record.encode_key(primary);
        check_len(T::NAME, None, primary.len())?;
        grow(new, T::INDEXES.len());
        grow(old, T::INDEXES.len());
        puts.clear();
        puts.push(base, |buf| buf.extend(primary.as_bytes()));
        for (i, def) in T::INDEXES.iter().enumerate() {
            index_keys(i, &record, &mut new[i]);
            for key in new[i].iter() {
                puts.push(base + 1 + i, |buf| {
                    append_entry_key(def.unique, key, primary.as_bytes(), buf);
                });
            }
        }
        edition.prefetch(puts.iter());
        let previous = edition
            .tree::<Row<T>>(base)
            .get(primary.as_bytes())
            .cloned();
        check_expected(expected, previous.as_ref(), primary)?;
        match (must, &previous) {
            (Must::BeNew, Some(_)) => {
                let key = KeyText::new(primary.as_bytes());
                return Err(WriteError::AlreadyExists {
                    table: T::NAME.into(),
                    key,
                });
            }
            (Must::Exist, None) => return Err(not_found::<T>(primary)),
            _ => {}
        }
        if previous.as_ref().is_some_and(|row| **row == record) {
            return Ok(previous);
        }
        takes.clear();
        for (i, def) in T::INDEXES.iter().enumerate() {
            match &previous {
                Some(row) => index_keys::<T>(i, row, &mut old[i]),
                None => old[i].clear(),
            }
            let tree = edition.tree::<Row<T>>(base + 1 + i);
            for key in new[i].iter() {
                let len = key.len() + if def.unique { 0 } else { primary.len() };
                check_len(T::NAME, Some(def.name), len)?;
                if def.unique
                    && let Some(holder) = tree.get(key)
                    && !previous.as_ref().is_some_and(|row| same(row, holder))
                {
                    return Err(not_unique(i, key, holder));
                }
            }
            for_each_only_in(&old[i], &new[i], |key| {
                takes.push(base + 1 + i, |buf| {
                    append_entry_key(def.unique, key, primary.as_bytes(), buf);
                });
            });
        }
        edition.prefetch(takes.iter());

        let created = previous.as_ref().map_or(*index, Row::create_index);
        let row = Row::new(record, created, *index);
        for (tree, key) in takes.iter() {
            edition.remove(tree, key, index.0);
        }
        for (tree, key) in puts.iter() {
            edition.insert(tree, key, row.clone(), index.0);
        }
        log.push(
            self.table,
            *index,
            Replaced {
                before: previous.clone(),
                after: Some(row),
            },
        );
        Ok(previous)
    }

    fn take(
        &mut self,
        key: &impl AsKey<T::Key>,
        expected: Option<LogIndex>,
    ) -> Result<Option<Row<T>>, WriteError> {
        let base = self.base;
        let Txn {
            edition,
            index,
            log,
            scratch,
            ..
        } = self.view.txn_mut();
        let Scratch {
            primary,
            takes,
            old,
            ..
        } = &mut **scratch;

        primary.clear();
        key.encode_as(primary);
        let previous = edition
            .tree::<Row<T>>(base)
            .get(primary.as_bytes())
            .cloned();
        check_expected(expected, previous.as_ref(), primary)?;
        let Some(row) = previous else { return Ok(None) };
        grow(old, T::INDEXES.len());
        takes.clear();
        takes.push(base, |buf| buf.extend(primary.as_bytes()));
        for (i, def) in T::INDEXES.iter().enumerate() {
            index_keys::<T>(i, &row, &mut old[i]);
            for key in old[i].iter() {
                takes.push(base + 1 + i, |buf| {
                    append_entry_key(def.unique, key, primary.as_bytes(), buf);
                });
            }
        }
        edition.prefetch(takes.iter());

        for (tree, key) in takes.iter() {
            edition.remove(tree, key, index.0);
        }
        log.push(
            self.table,
            *index,
            Replaced {
                before: Some(row.clone()),
                after: None,
            },
        );
        Ok(Some(row))
    }
}

fn grow(sinks: &mut Vec<KeySink>, len: usize) {
    if sinks.len() < len {
        sinks.resize_with(len, KeySink::new);
    }
}

/// Whether two rows are one.
fn same<T>(row: &Row<T>, other: &Row<T>) -> bool {
    std::ptr::eq(&raw const **row, &raw const **other)
}

/// What `put` returns where the record had to exist.
fn present<T>(previous: Option<Row<T>>) -> Row<T> {
    previous.expect("an update of an absent record is refused")
}

fn not_found<T: Table>(primary: &KeyBuf) -> WriteError {
    WriteError::NotFound {
        table: T::NAME.into(),
        key: KeyText::new(primary.as_bytes()),
    }
}

fn check_expected<T: Table>(
    expected: Option<LogIndex>,
    previous: Option<&Row<T>>,
    primary: &KeyBuf,
) -> Result<(), WriteError> {
    let found = previous.map_or(LogIndex::ZERO, Row::modify_index);
    match expected {
        Some(expected) if expected != found => Err(WriteError::Conflict {
            table: T::NAME.into(),
            key: KeyText::new(primary.as_bytes()),
            expected,
            found,
        }),
        _ => Ok(()),
    }
}
