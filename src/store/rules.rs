//! References between tables and checks of records.
//!
//! What a deletion does to those that refer to the record is done within the deletion. Whether all
//! references and checks hold is asked at the end of an entry, of what the entry has changed: in
//! between they may be broken.

use std::sync::Arc;

use super::core::Core;
use super::erased::{Follow, TableOps};
use super::error::{KeyText, WriteError};
use super::keys::index_keys;
use super::operate::{At, same};
use super::txn::Txn;
use crate::feed::Replaced;
use crate::key::{Key, KeyBuf, KeySink};
use crate::schema::{Row, Table};

/// What the references and checks of a schema say of one table.
#[derive(Debug, Default)]
pub(super) struct Rules {
    /// The indexes that refer to its records, in declared order.
    referrers: Vec<Referrer>,
    /// Its own indexes that refer to a table, and that table.
    targets: Vec<(usize, usize)>,
    /// Its records have to meet checks.
    checks: bool,
}

/// An index of a table whose keys are primary keys of another.
#[derive(Debug)]
struct Referrer {
    table: usize,
    index: usize,
    follow: Follow,
}

impl Rules {
    /// The rules of each table.
    pub(super) fn of(tables: &[Box<dyn TableOps>]) -> Box<[Rules]> {
        let mut rules: Vec<Rules> = tables
            .iter()
            .map(|table| Rules {
                checks: !table.checks().is_empty(),
                ..Rules::default()
            })
            .collect();
        for (table, ops) in tables.iter().enumerate() {
            for (index, info) in (0..).map_while(|i| ops.index(i)).enumerate() {
                // That the schema has the table is tested when the schema is compiled.
                if let Some((name, follow)) = info.references
                    && let Some(target) = tables.iter().position(|ops| ops.name() == name)
                {
                    rules[table].targets.push((index, target));
                    rules[target].referrers.push(Referrer {
                        table,
                        index,
                        follow,
                    });
                }
            }
        }
        rules.into()
    }

    fn is_empty(&self) -> bool {
        self.referrers.is_empty() && self.targets.is_empty() && !self.checks
    }

    /// Whether a deletion does something to other records.
    fn acts(&self) -> bool {
        let acts = |referrer: &Referrer| referrer.follow != Follow::Restrict;
        self.referrers.iter().any(acts)
    }
}

/// Several operations that are one: undone together unless all is well.
struct Together<'a> {
    txn: &'a mut Txn,
    depth: usize,
    keep: bool,
}

impl Drop for Together<'_> {
    fn drop(&mut self) {
        if self.keep {
            self.txn.release_to(self.depth);
        } else {
            self.txn.roll_back_to(self.depth);
        }
    }
}

impl Txn {
    /// Runs operations of which all or none are to be done.
    fn together<R>(
        &mut self,
        run: impl FnOnce(&mut Txn) -> Result<R, WriteError>,
    ) -> Result<R, WriteError> {
        let depth = self.savepoints();
        self.savepoint();
        let mut together = Together {
            txn: self,
            depth,
            keep: false,
        };
        let result = run(together.txn);
        together.keep = result.is_ok();
        result
    }

    /// Takes a record away, as [`take`](Self::take) does, with what follows from it.
    pub(super) fn delete<T: Table>(
        &mut self,
        at: At,
        encode: impl FnOnce(&mut KeyBuf),
        expected: Option<crate::LogIndex>,
    ) -> Result<Option<Row<T>>, WriteError> {
        if !self.core.tables.rules(at.table).acts() {
            return self.take(at, encode, expected);
        }
        self.together(|txn| txn.delete_within(at, encode, expected))
    }

    /// The same within operations that are one.
    fn delete_within<T: Table>(
        &mut self,
        at: At,
        encode: impl FnOnce(&mut KeyBuf),
        expected: Option<crate::LogIndex>,
    ) -> Result<Option<Row<T>>, WriteError> {
        let taken = self.take::<T>(at, encode, expected)?;
        if taken.is_some() && self.core.tables.rules(at.table).acts() {
            let core = Arc::clone(&self.core);
            let primary = self.scratch.primary.clone();
            self.follow(&core, at.table, primary)?;
        }
        Ok(taken)
    }

    /// Takes rows of one table away, of which some may be there several times; all or none.
    pub(super) fn delete_all<T: Table>(
        &mut self,
        at: At,
        rows: Vec<Row<T>>,
    ) -> Result<Vec<Row<T>>, WriteError> {
        let each = |txn: &mut Txn| {
            let mut deleted = Vec::with_capacity(rows.len());
            for row in rows {
                deleted.extend(txn.delete_within::<T>(at, |out| row.encode_key(out), None)?);
            }
            Ok(deleted)
        };
        if self.core.tables.rules(at.table).acts() {
            self.together(each)
        } else {
            // Nothing can fail.
            each(self)
        }
    }

    /// Takes the rows of one table away, which are those whose primary keys begin with `prefix`; all
    /// or none.
    pub(super) fn delete_prefix<T: Table>(
        &mut self,
        at: At,
        prefix: &[u8],
        rows: Vec<Row<T>>,
    ) -> Result<Vec<Row<T>>, WriteError> {
        if self.core.tables.rules(at.table).acts() {
            return self.delete_all(at, rows);
        }
        self.take_prefix(at, prefix, &rows);
        Ok(rows)
    }

    /// Does what follows from the deletion of a record to those that refer to it, and so on.
    fn follow(
        &mut self,
        core: &Arc<Core>,
        table: usize,
        primary: KeyBuf,
    ) -> Result<(), WriteError> {
        let mut gone = vec![(table, primary)];
        while let Some((table, key)) = gone.pop() {
            for referrer in &core.tables.rules(table).referrers {
                let Referrer {
                    table,
                    index,
                    follow,
                } = *referrer;
                let (ops, at) = (&core.tables[table], core.tables.at(table));
                if follow == Follow::Restrict {
                    continue;
                }
                for primary in ops.referring(self, at, index, key.as_bytes()) {
                    if follow == Follow::SetNull {
                        ops.set_null(self, at, index, primary.as_bytes())?;
                    } else if ops.delete(self, at, primary.as_bytes())? {
                        gone.push((table, primary));
                    }
                }
            }
        }
        Ok(())
    }

    /// Tests the rules of the schema on what the running entry has changed so far. Runs user code.
    pub(super) fn check_rules(&self) -> Result<(), WriteError> {
        let core = &self.core;
        for (table, changes) in self.log.tables() {
            if !core.tables.rules(table).is_empty() {
                core.tables[table].verify(self, core.tables.at(table), changes)?;
            }
        }
        Ok(())
    }
}

/// Tests the rules on the records that operations on table `T` have left, or taken away.
pub(super) fn verify<T: Table>(txn: &Txn, at: At, ops: &[Replaced<T>]) -> Result<(), WriteError> {
    let core = &txn.core;
    let rules = core.tables.rules(at.table);
    let (mut primary, mut keys) = (KeyBuf::new(), KeySink::new());
    for Replaced { before, after } in ops {
        let Some(row) = after.as_ref().or(before.as_ref()) else {
            continue;
        };
        primary.clear();
        row.encode_key(&mut primary);
        let key = || KeyText::new(primary.as_bytes(), T::Key::show);
        let now = txn.edition.tree::<Row<T>>(at.base).get(primary.as_bytes());
        match (now, after) {
            (Some(now), Some(after)) if same(now, after) => {
                if let Some(check) = T::CHECKS.iter().find(|check| !(check.holds)(now)) {
                    return Err(WriteError::CheckFailed {
                        table: T::NAME.into(),
                        check: check.name.into(),
                        key: key(),
                    });
                }
                for &(index, target) in &rules.targets {
                    let ops = &core.tables[target];
                    index_keys::<T>(index, now, &mut keys);
                    let absent = |key: &&[u8]| !ops.has(txn, core.tables.at(target), key);
                    if let Some(absent) = keys.iter().find(absent) {
                        return Err(WriteError::NoTarget {
                            table: T::NAME.into(),
                            index: T::INDEXES[index].name.into(),
                            record: key(),
                            target: ops.name().into(),
                            key: KeyText::new(absent, T::INDEXES[index].show),
                        });
                    }
                }
            }
            // A later operation has left another record, and is tested itself.
            (Some(_), _) => {}
            (None, _) => {
                for referrer in &rules.referrers {
                    let ops = &core.tables[referrer.table];
                    let of = core.tables.at(referrer.table);
                    let holders = ops.referring(txn, of, referrer.index, primary.as_bytes());
                    if let Some(holder) = holders.first() {
                        let index = ops.index(referrer.index).map_or("", |index| index.name);
                        return Err(WriteError::Referenced {
                            table: T::NAME.into(),
                            key: key(),
                            by: ops.name().into(),
                            index: index.into(),
                            holder: KeyText::new(holder.as_bytes(), ops.shows(0).0),
                        });
                    }
                }
            }
        }
    }
    Ok(())
}
