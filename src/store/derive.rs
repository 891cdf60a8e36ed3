//! Tables that are a function of other tables' records, kept up to date by the changes.
//!
//! What an entry has changed of a source is told, net, to the functions of the tables that are derived
//! from it, at the end of the entry: before rules are tested and its change set is closed. So no
//! snapshot, event or watch ever has the one without the other, and a savepoint that is rolled back
//! takes both along. How far operations were told is kept beside the log of them: who asks in the
//! middle of an entry (a command's end, of an entry that goes on) asks for what came since.
//!
//! A restore tells them all records of its sources, as if each had just been inserted.

use std::any::TypeId;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use super::core::Core;
use super::erased::TableOps;
use super::error::WriteError;
use super::operate::At;
use super::txn::Attempt;
use super::view::{RawView, Readable};
use super::write::TableWriter;
use crate::feed::{Replaced, TableChanges};
use crate::schema::{Table, same_text};

/// So many records are told at once when all are.
const AT_ONCE: usize = 1024;

/// One source of a derived table `T`, and what is done with its changes. Made by `#[derive(Table)]`.
pub struct Derivation<T> {
    /// The source's name.
    source: &'static str,
    /// Its record type.
    record: fn() -> TypeId,
    tell: fn(SourceChanges<'_>, &mut TableWriter<'_, T>) -> Result<(), WriteError>,
}

impl<T> Derivation<T> {
    /// What `tell` does with the changes of the table of this name and record type.
    #[must_use]
    pub const fn new(
        source: &'static str,
        record: fn() -> TypeId,
        tell: fn(SourceChanges<'_>, &mut TableWriter<'_, T>) -> Result<(), WriteError>,
    ) -> Self {
        Derivation {
            source,
            record,
            tell,
        }
    }
}

impl<T> fmt::Debug for Derivation<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Derivation").field(&self.source).finish()
    }
}

impl<T: Table + Readable> Derivation<T> {
    pub(super) fn source(&self) -> &'static str {
        self.source
    }

    pub(super) fn record(&self) -> TypeId {
        (self.record)()
    }

    pub(super) fn run(
        &self,
        view: &mut RawView,
        At { table, base }: At,
        changes: &dyn TableChanges,
    ) -> Result<(), WriteError> {
        (self.tell)(
            SourceChanges(changes),
            &mut TableWriter::new(view, table, base),
        )
    }
}

/// The changes of a source, its record type erased.
#[derive(Clone, Copy, Debug)]
pub struct SourceChanges<'a>(&'a dyn TableChanges);

impl SourceChanges<'_> {
    /// Tells each: the record before and after.
    pub fn each<S: Table>(
        self,
        mut tell: impl FnMut(Option<&S>, Option<&S>) -> Result<(), WriteError>,
    ) -> Result<(), WriteError> {
        let mut changes = self.0.typed::<S>().iter();
        changes.try_for_each(|Replaced { before, after }| tell(before.as_deref(), after.as_deref()))
    }
}

/// What stands where a [`TableWriter`] would, of a table that is derived: it is written by the functions
/// that it is declared with, and read-only for everyone else. So this has no methods, and a write is an
/// error of the compiler, that there is no such method. To change what is in the table, change what it is
/// derived from.
///
/// ```compile_fail,E0599
/// use highwater::{Schema, Store, Table, TableWriter, WriteError};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
/// pub struct Service {
///     #[primary_key]
///     pub id: u32,
/// }
///
/// #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
/// #[table(derived_from = Service, by = Total::count)]
/// pub struct Total {
///     #[primary_key]
///     pub what: String,
///     pub services: u32,
/// }
/// # impl Total {
/// #     fn count(
/// #         _: Option<&Service>, _: Option<&Service>, _: &mut TableWriter<'_, Total>,
/// #     ) -> Result<(), WriteError> {
/// #         Ok(())
/// #     }
/// # }
///
/// #[derive(Schema)]
/// pub struct Catalog {
///     services: Service,
///     totals: Total,
/// }
///
/// let mut txn = Store::<Catalog>::new().write().unwrap();
/// assert!(txn.totals().is_empty());
/// // error: no method named `insert` found for struct `DerivedTable`
/// txn.totals_mut().insert(Total { what: "all".into(), services: 1 });
/// ```
pub struct DerivedTable<'a, T>(PhantomData<&'a mut T>);

impl<T> fmt::Debug for DerivedTable<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DerivedTable")
    }
}

impl<'a, T> From<TableWriter<'a, T>> for DerivedTable<'a, T> {
    fn from(_: TableWriter<'a, T>) -> Self {
        DerivedTable(PhantomData)
    }
}

/// Whether every source of a table is among `names`.
#[must_use]
pub const fn knows_sources<T>(derivations: &[Derivation<T>], names: &[&str]) -> bool {
    let mut i = 0;
    while i < derivations.len() {
        let mut n = 0;
        while n < names.len() && !same_text(names[n], derivations[i].source) {
            n += 1;
        }
        if n == names.len() {
            return false;
        }
        i += 1;
    }
    true
}

/// Whether no source of a table is of some sort, as `sort` says of each of `names`.
#[must_use]
pub const fn derives_from_no<T>(
    sort: &[bool],
    derivations: &[Derivation<T>],
    names: &[&str],
) -> bool {
    let mut i = 0;
    while i < derivations.len() {
        let mut n = 0;
        while n < names.len() {
            if sort[n] && same_text(names[n], derivations[i].source) {
                return false;
            }
            n += 1;
        }
        i += 1;
    }
    true
}

/// One source of one derived table of a schema.
#[derive(Debug)]
pub(super) struct Deriving {
    source: usize,
    table: usize,
    /// Which of the table's sources it is.
    number: usize,
}

impl Deriving {
    /// All of a schema, in declared order.
    pub(super) fn of(tables: &[Box<dyn TableOps>]) -> Box<[Deriving]> {
        let mut all = Vec::new();
        for (table, ops) in tables.iter().enumerate() {
            for (number, name) in ops.sources().into_iter().enumerate() {
                // That the schema has it is tested when the schema is compiled.
                if let Some(source) = tables.iter().position(|ops| ops.name() == name) {
                    all.push(Deriving {
                        source,
                        table,
                        number,
                    });
                }
            }
        }
        all.into()
    }
}

impl RawView {
    /// Tells derived tables what the running entry has changed since they were told last. After an
    /// error, or a panic, a part of it may be done.
    pub(super) fn derive(&mut self) -> Result<(), WriteError> {
        let core = Arc::clone(&self.txn().core);
        for deriving in core.tables.derivings() {
            let txn = self.txn();
            let told = told(&txn.told, deriving.source);
            let Some(log) = txn.log.table(deriving.source) else {
                continue;
            };
            if log.len() > told {
                let changes = log.net_from(told);
                self.tell(&core, deriving, &*changes)?;
            }
        }
        if !core.tables.derivings().is_empty() {
            let txn = self.txn_mut();
            txn.told = txn.log.mark();
        }
        Ok(())
    }

    /// The same, all or nothing.
    pub(super) fn derive_together(&mut self) -> Result<(), WriteError> {
        let txn = self.txn();
        let untold = |deriving: &Deriving| {
            let log = txn.log.table(deriving.source);
            log.is_some_and(|log| log.len() > told(&txn.told, deriving.source))
        };
        if !txn.core.tables.derivings().iter().any(untold) {
            return Ok(());
        }
        let mut attempt = Attempt::begin(self);
        attempt.holder.derive()?;
        attempt.keep = true;
        Ok(())
    }

    /// Makes derived tables anew of all records of their sources.
    pub(super) fn derive_anew(&mut self) -> Result<(), WriteError> {
        let core = Arc::clone(&self.txn().core);
        for deriving in core.tables.derivings() {
            if deriving.number == 0 {
                let At { table, base } = core.tables.at(deriving.table);
                let txn = self.txn_mut();
                core.tables[table].reset(&mut txn.edition, base, txn.index.0);
            }
            let source = &core.tables[deriving.source];
            let base = core.tables.base(deriving.source);
            let mut from = Vec::new();
            loop {
                let rows = source.rows_from(self.txn(), base, &mut from, AT_ONCE);
                if rows.len() == 0 {
                    break;
                }
                self.tell(&core, deriving, &*rows)?;
            }
        }
        Ok(())
    }

    fn tell(
        &mut self,
        core: &Core,
        deriving: &Deriving,
        changes: &dyn TableChanges,
    ) -> Result<(), WriteError> {
        let at = core.tables.at(deriving.table);
        core.tables[deriving.table].derive(self, at, deriving.number, changes)
    }
}

/// How many operations of a table were told.
fn told(told: &[(usize, usize)], table: usize) -> usize {
    let found = told.iter().find(|(of, _)| *of == table);
    found.map_or(0, |(_, len)| *len)
}
