//! References between tables and checks of records.
//!
//! What a deletion does to those that refer to the record is done within the deletion. Whether all
//! references and checks hold is asked at the end of an entry, of what the entry has changed: in
//! between they may be broken.
//!
//! Replicas differ in what is local, so it has no say: its references only take its own records away
//! with those that they refer to. Whether they refer to anything is not asked.

use std::sync::Arc;

use smallvec::SmallVec;

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
    /// Its own indexes that refer to a table, and that table; of a table that is not local.
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
    /// Whether what it refers to has to be there.
    binds: bool,
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
                    let binds = !ops.is_local();
                    if binds {
                        rules[table].targets.push((index, target));
                    }
                    rules[target].referrers.push(Referrer {
                        table,
                        index,
                        follow,
                        binds,
                    });
                }
            }
        }
        rules.into()
    }

    fn is_empty(&self) -> bool {
        self.referrers.is_empty() && self.targets.is_empty() && !self.checks
    }

    /// The indexes that refer to its records in one way, in declared order.
    fn referrers(&self, follow: Follow) -> impl Iterator<Item = &Referrer> {
        self.referrers
            .iter()
            .filter(move |referrer| referrer.follow == follow)
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
        self.together(|txn| {
            let taken = txn.take::<T>(at, encode, expected)?;
            if taken.is_some() {
                let primary = txn.scratch.primary.clone();
                txn.follow(vec![(at.table, primary)])?;
            }
            Ok(taken)
        })
    }

    /// Takes rows of one table away, of which some may be there several times; all or none.
    pub(super) fn delete_all<T: Table>(
        &mut self,
        at: At,
        rows: Vec<Row<T>>,
    ) -> Result<Vec<Row<T>>, WriteError> {
        let acts = self.core.tables.rules(at.table).acts();
        let all = |txn: &mut Txn| {
            let (mut deleted, mut gone) = (Vec::with_capacity(rows.len()), Vec::new());
            for row in rows {
                let Some(taken) = txn.take::<T>(at, |out| row.encode_key(out), None)? else {
                    continue;
                };
                deleted.push(taken);
                if acts {
                    gone.push((at.table, txn.scratch.primary.clone()));
                }
            }
            txn.follow(gone)?;
            Ok(deleted)
        };
        if acts {
            self.together(all)
        } else {
            // Nothing can fail.
            all(self)
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

    /// Does what follows from the deletion of records, each by its table and primary key, to those that
    /// refer to them, and so on. References are taken away when all is gone that is to go: that cannot be
    /// in the way.
    fn follow(&mut self, mut gone: Vec<(usize, KeyBuf)>) -> Result<(), WriteError> {
        let core = Arc::clone(&self.core);
        let tables = &core.tables;
        let mut left = Vec::new();
        while let Some((table, key)) = gone.pop() {
            for referrer in tables.rules(table).referrers(Follow::Cascade) {
                let (ops, at) = (&tables[referrer.table], tables.at(referrer.table));
                for primary in ops.referring(self, at, referrer.index, key.as_bytes()) {
                    if ops.delete(self, at, primary.as_bytes())? {
                        gone.push((referrer.table, primary));
                    }
                }
            }
            if tables
                .rules(table)
                .referrers(Follow::SetNull)
                .next()
                .is_some()
            {
                left.push((table, key));
            }
        }
        for (table, key) in left {
            for referrer in tables.rules(table).referrers(Follow::SetNull) {
                let (ops, at) = (&tables[referrer.table], tables.at(referrer.table));
                for primary in ops.referring(self, at, referrer.index, key.as_bytes()) {
                    ops.set_null(self, at, referrer.index, primary.as_bytes())?;
                }
            }
        }
        Ok(())
    }

    /// Takes away what is local and refers to nothing: after a restore, which takes records away without
    /// asking who refers to them.
    pub(super) fn leave_behind(&mut self) -> Result<(), WriteError> {
        let core = Arc::clone(&self.core);
        let tables = &core.tables;
        for (target, rules) in tables.all_rules().iter().enumerate() {
            for referrer in rules.referrers.iter().filter(|referrer| !referrer.binds) {
                let (ops, at) = (&tables[referrer.table], tables.at(referrer.table));
                let there = |key: &[u8]| tables[target].has(self, tables.at(target), key);
                let mut gone = Vec::new();
                for primary in ops.referring_to_none(self, at, referrer.index, &there) {
                    if ops.delete(self, at, primary.as_bytes())? {
                        gone.push((referrer.table, primary));
                    }
                }
                self.follow(gone)?;
            }
        }
        Ok(())
    }

    /// Tests the rules of the schema on what the running entry has changed so far. Runs user code.
    ///
    /// Tables in declared order: which of them was touched first may be a matter of what is local.
    pub(super) fn check_rules(&self) -> Result<(), WriteError> {
        let core = &self.core;
        let mut touched: SmallVec<[_; 4]> = self.log.tables().collect();
        touched.sort_unstable_by_key(|(table, _)| *table);
        for (table, changes) in touched {
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
                for referrer in rules.referrers.iter().filter(|referrer| referrer.binds) {
                    let ops = &core.tables[referrer.table];
                    let of = core.tables.at(referrer.table);
                    let holder = ops.first_referring(txn, of, referrer.index, primary.as_bytes());
                    if let Some(holder) = holder {
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
