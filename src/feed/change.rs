//! The changes of one log entry: recorded operation by operation, made net when the entry ends.
//!
//! While an entry runs, each table has a log of its operations in order, so that going back to a
//! savepoint is a truncation. At the end each record's operations become one change. Most entries
//! touch a record once; their logs are the net changes already and are not looked at again.

use std::any::Any;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::sync::Arc;

use smallvec::SmallVec;

use crate::key::KeyBuf;
use crate::position::LogIndex;
use crate::schema::{Row, Table};

/// One record's net change in a commit: created (`before` is none), updated, or deleted (`after`
/// is none).
pub struct Change<'a, T> {
    /// The record before the commit.
    pub before: Option<&'a Row<T>>,
    /// The record after the commit.
    pub after: Option<&'a Row<T>>,
}

impl<T> Clone for Change<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Change<'_, T> {}

impl<T: fmt::Debug> fmt::Debug for Change<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Change")
            .field("before", &self.before)
            .field("after", &self.after)
            .finish()
    }
}

/// One operation of an entry, or, once the entry has ended, one record's net change.
#[derive(Debug)]
pub(crate) struct Replaced<T> {
    pub(crate) before: Option<Row<T>>,
    pub(crate) after: Option<Row<T>>,
}

/// The operations or net changes of one table.
struct Log<T> {
    /// Mostly one.
    ops: SmallVec<[Replaced<T>; 1]>,
    /// Some record may have been touched more than once.
    revisited: bool,
    /// Some record was deleted. One inserted later may be the same.
    deleted: bool,
}

impl<T> fmt::Debug for Log<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log")
            .field("len", &self.ops.len())
            .finish_non_exhaustive()
    }
}

impl<T> Log<T> {
    /// The operations from number `from` on.
    fn copy_from(&self, from: usize) -> Self {
        let ops = self.ops[from..].iter().map(|op| Replaced {
            before: op.before.clone(),
            after: op.after.clone(),
        });
        Log {
            ops: ops.collect(),
            ..*self
        }
    }
}

/// The changes of one table, its record type erased.
pub(crate) trait TableChanges: Any + Send + Sync + fmt::Debug {
    /// How many there are.
    fn len(&self) -> usize;
    /// Takes away the operations from number `len` on.
    fn split_off(&mut self, len: usize) -> Box<dyn Any + Send + Sync>;
    /// The same operations again.
    fn copy(&self) -> Box<dyn TableChanges>;
    /// The net changes of the operations from number `from` on.
    fn net_from(&self, from: usize) -> Box<dyn TableChanges>;
    /// Makes one change of each record's operations, in the order of first touch. What begins and
    /// ends absent is left out.
    fn make_net(&mut self);
}

impl<T: Table> TableChanges for Log<T> {
    fn len(&self) -> usize {
        self.ops.len()
    }

    fn split_off(&mut self, len: usize) -> Box<dyn Any + Send + Sync> {
        Box::new(self.ops.drain(len..).collect::<Vec<_>>())
    }

    fn copy(&self) -> Box<dyn TableChanges> {
        Box::new(self.copy_from(0))
    }

    fn net_from(&self, from: usize) -> Box<dyn TableChanges> {
        let mut copy = self.copy_from(from);
        copy.make_net();
        Box::new(copy)
    }

    fn make_net(&mut self) {
        if !self.revisited {
            return;
        }
        // User code first: if it panics, the log is as it was.
        let key_of = |op: &Replaced<T>| {
            let mut key = KeyBuf::new();
            if let Some(row) = op.after.as_ref().or(op.before.as_ref()) {
                row.encode_key(&mut key);
            }
            key
        };
        let keys: Vec<KeyBuf> = self.ops.iter().map(key_of).collect();
        let mut net: SmallVec<[Replaced<T>; 1]> = SmallVec::with_capacity(self.ops.len());
        let mut first: HashMap<KeyBuf, usize> = HashMap::with_capacity(self.ops.len());
        for (op, key) in self.ops.drain(..).zip(keys) {
            match first.entry(key) {
                Entry::Occupied(at) => net[*at.get()].after = op.after,
                Entry::Vacant(slot) => {
                    slot.insert(net.len());
                    net.push(op);
                }
            }
        }
        net.retain(|change| change.before.is_some() || change.after.is_some());
        self.ops = net;
        self.revisited = false;
    }
}

impl dyn TableChanges {
    /// As if these rows, of different keys, were inserted.
    pub(crate) fn insertions<T: Table>(rows: impl Iterator<Item = Row<T>>) -> Box<Self> {
        let insertion = |row| Replaced {
            before: None,
            after: Some(row),
        };
        Box::new(Log {
            ops: rows.map(insertion).collect(),
            revisited: false,
            deleted: false,
        })
    }

    /// The changes as those of table `T`; none if they are another table's.
    pub(crate) fn typed<T: 'static>(&self) -> &[Replaced<T>] {
        let any: &dyn Any = self;
        any.downcast_ref::<Log<T>>().map_or(&[], |log| &log.ops)
    }
}

/// How long each table's log was: a place to come back to.
pub(crate) type Mark = SmallVec<[(usize, usize); 2]>;

/// The operations of the running entry, by table.
#[derive(Debug, Default)]
pub(crate) struct ChangeLog {
    tables: SmallVec<[(usize, Box<dyn TableChanges>); 1]>,
}

impl ChangeLog {
    /// Appends an operation of entry `entry` on table number `table`. O(1).
    pub(crate) fn push<T: Table>(&mut self, table: usize, entry: LogIndex, op: Replaced<T>) {
        let at = self
            .tables
            .iter()
            .position(|(of, _)| *of == table)
            .unwrap_or_else(|| {
                let log = Log::<T> {
                    ops: SmallVec::new(),
                    revisited: false,
                    deleted: false,
                };
                self.tables.push((table, Box::new(log)));
                self.tables.len() - 1
            });
        let any: &mut dyn Any = &mut *self.tables[at].1;
        let Some(log) = any.downcast_mut::<Log<T>>() else {
            unreachable!(
                "table {table} is recorded with another record type than {}",
                T::NAME
            );
        };
        log.revisited |= match &op.before {
            Some(before) => before.modify_index() == entry,
            None => log.deleted,
        };
        log.deleted |= op.after.is_none();
        log.ops.push(op);
    }

    /// The operations by table, tables in the order of first touch.
    pub(crate) fn tables(&self) -> impl Iterator<Item = (usize, &dyn TableChanges)> {
        self.tables.iter().map(|(table, log)| (*table, &**log))
    }

    /// The operations on table number `table`, if there are any.
    pub(crate) fn table(&self, table: usize) -> Option<&dyn TableChanges> {
        self.tables()
            .find_map(|(of, log)| (of == table).then_some(log))
    }

    /// Where the log is now.
    pub(crate) fn mark(&self) -> Mark {
        self.tables
            .iter()
            .map(|(table, log)| (*table, log.len()))
            .collect()
    }

    /// Takes away everything after `mark`. The operations are handed back, because rows are not
    /// to be dropped in the middle of a transaction.
    pub(crate) fn back_to(&mut self, mark: &Mark) -> Vec<Box<dyn Any + Send + Sync>> {
        let mut taken = Vec::new();
        for (table, log) in &mut self.tables {
            let len = mark
                .iter()
                .find(|(of, _)| of == table)
                .map_or(0, |(_, len)| *len);
            if len < log.len() {
                taken.push(log.split_off(len));
            }
        }
        taken
    }

    /// The net changes of entry `index` so far. The log goes on.
    pub(crate) fn so_far(&self, index: LogIndex) -> Arc<ChangeSet> {
        let tables = self.tables.iter().map(|(table, log)| (*table, log.copy()));
        let mut copy = ChangeLog {
            tables: tables.collect(),
        };
        copy.finish(index).unwrap_or_else(|| {
            Arc::new(ChangeSet {
                index,
                count: 0,
                tables: SmallVec::new(),
            })
        })
    }

    /// The net changes of entry `index`, or nothing if there is none; the log is empty then.
    /// Marks taken before are void. Runs user code (key encoding): if it panics, the log still
    /// says all that was done.
    pub(crate) fn finish(&mut self, index: LogIndex) -> Option<Arc<ChangeSet>> {
        let mut count = 0;
        for (_, log) in &mut self.tables {
            log.make_net();
            count += log.len();
        }
        let mut tables = std::mem::take(&mut self.tables);
        if count == 0 {
            return None;
        }
        tables.retain(|(_, log)| log.len() > 0);
        Some(Arc::new(ChangeSet {
            index,
            count,
            tables,
        }))
    }
}

/// The net changes of one log entry.
#[derive(Debug)]
pub(crate) struct ChangeSet {
    index: LogIndex,
    count: usize,
    tables: SmallVec<[(usize, Box<dyn TableChanges>); 1]>,
}

impl ChangeSet {
    /// The entry's index.
    pub(crate) fn index(&self) -> LogIndex {
        self.index
    }

    /// How many records changed.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// The changes of table number `table`.
    pub(crate) fn table(&self, table: usize) -> Option<&dyn TableChanges> {
        self.tables
            .iter()
            .find(|(of, _)| *of == table)
            .map(|(_, changes)| &**changes)
    }
}

/// The changes of one entry, of all tables.
#[derive(Clone, Debug)]
pub struct RawChanges(Arc<ChangeSet>);

impl RawChanges {
    pub(crate) fn new(set: Arc<ChangeSet>) -> Self {
        RawChanges(set)
    }

    /// The changes of table number `table`, whose records are `T`.
    pub fn table<T: 'static>(&self, table: usize) -> Changes<'_, T> {
        let changes = self
            .0
            .table(table)
            .map_or(&[][..], |changes| changes.typed::<T>());
        Changes(changes.iter())
    }

    /// How many records changed, over all tables.
    pub fn count(&self) -> usize {
        self.0.count()
    }
}

/// Iterator over one table's changes of an entry, in the order in which the records were first
/// touched.
#[must_use = "iterators do nothing unless they are used"]
pub struct Changes<'a, T>(std::slice::Iter<'a, Replaced<T>>);

impl<'a, T> Changes<'a, T> {
    pub(super) fn of(changes: &'a [Replaced<T>]) -> Self {
        Changes(changes.iter())
    }
}

impl<T> Clone for Changes<'_, T> {
    fn clone(&self) -> Self {
        Changes(self.0.clone())
    }
}

impl<T> fmt::Debug for Changes<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Changes")
            .field("left", &self.0.len())
            .finish()
    }
}

impl<'a, T> Iterator for Changes<'a, T> {
    type Item = Change<'a, T>;

    fn next(&mut self) -> Option<Change<'a, T>> {
        self.0.next().map(|op| Change {
            before: op.before.as_ref(),
            after: op.after.as_ref(),
        })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl<T> ExactSizeIterator for Changes<'_, T> {}
