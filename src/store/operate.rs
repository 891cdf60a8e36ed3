//! One operation on one record.
//!
//! Each runs in two halves. The first has all user code (key encoding, key extraction,
//! `PartialEq`) and every check; whatever fails or panics there, no tree was touched. The second
//! edits the trees and records the operation, and cannot fail.

use super::error::{KeyText, WriteError};
use super::keys::{append_entry_key, check_len, for_each_only_in, index_keys, not_unique};
use super::plan::Plan;
use super::txn::Txn;
use crate::feed::Replaced;
use crate::key::{Key, KeyBuf, KeySink};
use crate::position::LogIndex;
use crate::schema::{Row, Table};

/// Buffers of one operation after the other.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    pub(super) primary: KeyBuf,
    /// The entries of the table and its indexes that are put in, and those that are taken out.
    puts: Plan,
    takes: Plan,
    /// The keys of the new and of the old record, index by index.
    new: Vec<KeySink>,
    old: Vec<KeySink>,
}

impl Scratch {
    /// Whether it has so much memory that it is not worth keeping: that of a record with very many, or
    /// very long, keys.
    pub(super) fn is_large(&self) -> bool {
        const LARGE: usize = 64 << 10;
        let sinks = self.new.iter().chain(&self.old).map(KeySink::reserved);
        let plans = self.puts.reserved() + self.takes.reserved();
        self.primary.reserved() + plans + sinks.sum::<usize>() > LARGE
    }
}

/// What has to be true of the record before.
#[derive(Clone, Copy)]
pub(super) enum Must {
    BeNew,
    Exist,
    BeAnything,
}

/// Which table: its number in the schema, and its first tree.
#[derive(Clone, Copy, Debug)]
pub(crate) struct At {
    pub(super) table: usize,
    pub(super) base: usize,
}

impl Txn {
    /// Adds or replaces a record; returns the previous one.
    pub(super) fn put<T: Table>(
        &mut self,
        at: At,
        record: T,
        must: Must,
        expected: Option<LogIndex>,
    ) -> Result<Option<Row<T>>, WriteError> {
        let At { table, base } = at;
        let Txn {
            edition,
            index,
            log,
            scratch,
            ..
        } = self;
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
                let key = KeyText::new(primary.as_bytes(), T::Key::show);
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
            table,
            *index,
            Replaced {
                before: previous.clone(),
                after: Some(row),
            },
        );
        Ok(previous)
    }

    /// Takes away the record whose primary key `encode` appends, and returns it.
    pub(super) fn take<T: Table>(
        &mut self,
        at: At,
        encode: impl FnOnce(&mut KeyBuf),
        expected: Option<LogIndex>,
    ) -> Result<Option<Row<T>>, WriteError> {
        let At { table, base } = at;
        let Txn {
            edition,
            index,
            log,
            scratch,
            ..
        } = self;
        let Scratch {
            primary,
            takes,
            old,
            ..
        } = &mut **scratch;

        primary.clear();
        encode(primary);
        let previous = edition
            .tree::<Row<T>>(base)
            .get(primary.as_bytes())
            .cloned();
        check_expected(expected, previous.as_ref(), primary)?;
        let Some(row) = previous else { return Ok(None) };
        takes.clear();
        takes.push(base, |buf| buf.extend(primary.as_bytes()));
        plan_index_takes(base, &row, primary, old, takes);
        edition.prefetch(takes.iter());

        for (tree, key) in takes.iter() {
            edition.remove(tree, key, index.0);
        }
        log.push(
            table,
            *index,
            Replaced {
                before: Some(row.clone()),
                after: None,
            },
        );
        Ok(Some(row))
    }

    /// Takes away these rows, which are all whose primary keys begin with `prefix`.
    pub(super) fn take_prefix<T: Table>(&mut self, at: At, prefix: &[u8], rows: &[Row<T>]) {
        let At { table, base } = at;
        let Txn {
            edition,
            index,
            log,
            scratch,
            ..
        } = self;
        let Scratch { primary, old, .. } = &mut **scratch;
        // Not the scratch's, which would keep the memory.
        let mut takes = Plan::default();
        for row in rows {
            primary.clear();
            row.encode_key(primary);
            plan_index_takes(base, row, primary, old, &mut takes);
        }

        edition.cut(base, prefix, index.0);
        for (tree, key) in takes.iter() {
            edition.remove(tree, key, index.0);
        }
        for row in rows {
            let op = Replaced {
                before: Some(row.clone()),
                after: None,
            };
            log.push(table, *index, op);
        }
    }
}

/// Plans to take out the entries that a row has in the indexes of its table.
fn plan_index_takes<T: Table>(
    base: usize,
    row: &Row<T>,
    primary: &KeyBuf,
    keys: &mut Vec<KeySink>,
    takes: &mut Plan,
) {
    grow(keys, T::INDEXES.len());
    for (i, def) in T::INDEXES.iter().enumerate() {
        index_keys::<T>(i, row, &mut keys[i]);
        for key in keys[i].iter() {
            takes.push(base + 1 + i, |buf| {
                append_entry_key(def.unique, key, primary.as_bytes(), buf);
            });
        }
    }
}

fn grow(sinks: &mut Vec<KeySink>, len: usize) {
    if sinks.len() < len {
        sinks.resize_with(len, KeySink::new);
    }
}

/// Whether two rows are one.
pub(super) fn same<T>(row: &Row<T>, other: &Row<T>) -> bool {
    std::ptr::eq(&raw const **row, &raw const **other)
}

pub(super) fn not_found<T: Table>(primary: &KeyBuf) -> WriteError {
    WriteError::NotFound {
        table: T::NAME.into(),
        key: KeyText::new(primary.as_bytes(), T::Key::show),
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
            key: KeyText::new(primary.as_bytes(), T::Key::show),
            expected,
            found,
        }),
        _ => Ok(()),
    }
}

#[cfg(all(test, feature = "derive"))]
mod tests {
    use crate::sync::lock;
    use crate::{Schema, Store, Table};
    use serde::{Deserialize, Serialize};
    use std::collections::BTreeSet;

    #[derive(Clone, PartialEq, Serialize, Deserialize, Table)]
    struct Tagged {
        #[primary_key]
        id: u8,
        #[index(each)]
        tags: BTreeSet<String>,
    }

    #[derive(Schema)]
    struct Tags {
        tagged: Tagged,
    }

    #[test]
    fn buffers_are_kept_but_for_those_of_a_record_with_very_many_keys() {
        let store = Store::<Tags>::new();
        for (id, tags, kept) in [(1, 10, true), (2, 20_000, false), (3, 10, true)] {
            let tags = (0..tags).map(|tag| tag.to_string()).collect();
            let mut txn = store.write().unwrap();
            drop(txn.tagged_mut().upsert(Tagged { id, tags }));
            txn.commit().unwrap();
            assert_eq!(lock(&store.core().scratch).is_some(), kept);
        }
    }
}
