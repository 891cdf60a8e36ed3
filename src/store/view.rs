//! What the derives implement and name: the generated views, and the one raw view beneath them.

use std::fmt;
use std::sync::Arc;

use super::core::{Root, Tables};
use super::derive::Derivation;
use super::erased::TableOps;
use super::reader::TableReader;
use super::track::Tracker;
use super::txn::Txn;
use super::write::TableWriter;
use crate::feed::{Changes, RawChanges};
use crate::schema::IndexDef;
use crate::tree::{Tree, Value};
use crate::version::Version;

/// Ties a table to the types its look-ups and writes are methods of. Implemented by `#[derive(Table)]`.
///
/// All that generated code needs of a table it asks of this trait, so that where it is missing there
/// is one error. It does not ask for [`Table`](crate::Table) itself, so that what a record type lacks
/// for that is told once, there.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a table",
    label = "not a record type",
    note = "put `#[derive(highwater::Table)]` on the struct, and `#[primary_key]` on a field of it"
)]
pub trait Readable: Sized + 'static {
    /// `ServiceReader<'a>`: one method an index.
    type Reader<'a>: From<TableReader<'a, Self>> + Copy;

    /// [`TableWriter`]; of a table that is derived, [`DerivedTable`](super::DerivedTable).
    type Writer<'a>: From<TableWriter<'a, Self>>;

    /// What it is derived from, if it is.
    const DERIVATIONS: &'static [Derivation<Self>] = &[];

    /// Whether it is derived from others.
    const DERIVED: bool = !Self::DERIVATIONS.is_empty();

    /// The table's name.
    const TABLE: &'static str;

    /// How many trees the table has: that of the primary key, and one an index.
    const TREES: usize = 1 + Self::REFERRING.len();

    /// Whether it is the process's own, and not derived.
    const OWN: bool;

    /// Its indexes, some of which may refer to other tables.
    const REFERRING: &'static [IndexDef<Self>];

    /// Reads of the table. `table` is its ordinal in the schema, `base` the number of trees of the tables
    /// before it.
    fn read(view: &RawView, table: usize, base: usize) -> Self::Reader<'_> {
        TableReader::new(view, table, base).into()
    }

    /// Writes of the table.
    fn write(view: &mut RawView, table: usize, base: usize) -> Self::Writer<'_> {
        TableWriter::new(view, table, base).into()
    }

    /// [`RawChanges::table`].
    fn changes(changes: &RawChanges, table: usize) -> Changes<'_, Self> {
        changes.table(table)
    }

    /// How many of them there are.
    fn changed(changes: &RawChanges, table: usize) -> usize {
        Self::changes(changes, table).len()
    }

    /// [`table_ops`](super::table_ops).
    fn ops() -> Box<dyn TableOps>;
}

/// A set of tables: what a [`Store`](crate::Store) is a store of.
///
/// Implemented by `#[derive(Schema)]`, which says what it generates beside this.
///
/// # Examples
///
/// ```
/// use highwater::{Schema, Table};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
/// pub struct Node {
///     #[primary_key]
///     name: String,
///     #[index(unique)]
///     address: std::net::IpAddr,
/// }
///
/// #[derive(Schema)]
/// pub struct Catalog {
///     nodes: Node,
/// }
///
/// assert_eq!(Catalog::TABLES, ["node"]);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a schema",
    label = "not a set of tables",
    note = "put `#[derive(highwater::Schema)]` on a struct that has a field for each table"
)]
pub trait Schema: Sized + 'static {
    /// Names of the tables, in declared order.
    const TABLES: &'static [&'static str];

    /// What its snapshots and transactions deref to, with one method a table: `CatalogView`, which has
    /// `services()`, and `services_mut()` taking `&mut self`.
    type View: View;

    /// What an event of a feed derefs to, with one method a table: `CatalogChanges`.
    type Changes: From<RawChanges> + fmt::Debug + Send + Sync + Clone;

    /// For generated code: what is done to each table, in declared order.
    #[doc(hidden)]
    fn tables() -> Vec<Box<dyn TableOps>>;
}

/// The generated view: a newtype around [`RawView`].
pub trait View: Sized + 'static + Send + Sync + fmt::Debug {
    /// Wraps.
    fn from_raw(raw: RawView) -> Self;
    /// What is wrapped.
    fn raw(&self) -> &RawView;
    /// What is wrapped, for writing.
    fn raw_mut(&mut self) -> &mut RawView;
    /// Unwraps.
    fn into_raw(self) -> RawView;
}

/// What a view reads: a snapshot, a tracked snapshot, or a write transaction's working state.
///
/// A transaction's view owns all there is of the transaction, so that exchanging two views
/// exchanges two transactions and nothing else.
pub struct RawView(Source);

enum Source {
    Snapshot(Version<Root>),
    Tracked(Version<Root>, Tracker),
    Txn(Box<Txn>),
}

impl fmt::Debug for RawView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Source::Snapshot(version) => f
                .debug_tuple("Snapshot")
                .field(&version.payload().position)
                .finish(),
            Source::Tracked(version, _) => f
                .debug_tuple("Tracked")
                .field(&version.payload().position)
                .finish(),
            Source::Txn(txn) => txn.fmt(f),
        }
    }
}

impl RawView {
    pub(super) fn snapshot(version: Version<Root>) -> Self {
        RawView(Source::Snapshot(version))
    }

    /// `tables`: those of the view's schema.
    pub(super) fn tracked(version: Version<Root>, tables: Arc<Tables>) -> Self {
        RawView(Source::Tracked(version, Tracker::new(tables)))
    }

    pub(super) fn writing(txn: Box<Txn>) -> Self {
        RawView(Source::Txn(txn))
    }

    /// Tree number `id` as it is here.
    pub(super) fn tree<V: Value>(&self, id: usize) -> Tree<'_, V> {
        match &self.0 {
            Source::Snapshot(version) | Source::Tracked(version, _) => version.tree(id),
            Source::Txn(txn) => txn.edition.tree(id),
        }
    }

    /// Where reads are to be recorded, if they are.
    pub(super) fn tracker(&self) -> Option<&Tracker> {
        match &self.0 {
            Source::Tracked(_, tracker) => Some(tracker),
            Source::Snapshot(_) | Source::Txn(_) => None,
        }
    }

    /// The version of a snapshot.
    pub(super) fn version(&self) -> &Version<Root> {
        match &self.0 {
            Source::Snapshot(version) | Source::Tracked(version, _) => version,
            Source::Txn(txn) => txn.edition.base(),
        }
    }

    /// The version and the reads of a tracked snapshot.
    pub(super) fn into_tracked(self) -> (Version<Root>, Tracker) {
        match self.0 {
            Source::Tracked(version, tracker) => (version, tracker),
            Source::Snapshot(_) | Source::Txn(_) => unreachable!("a view that was not tracked"),
        }
    }

    /// The transaction behind a `WriteTxn`'s view: nothing else has one, and a view of another
    /// kind cannot get there, because views are only ever lent.
    pub(super) fn txn(&self) -> &Txn {
        match &self.0 {
            Source::Txn(txn) => txn,
            Source::Snapshot(_) | Source::Tracked(..) => unreachable!("not a write transaction"),
        }
    }

    pub(super) fn txn_mut(&mut self) -> &mut Txn {
        match &mut self.0 {
            Source::Txn(txn) => txn,
            Source::Snapshot(_) | Source::Tracked(..) => unreachable!("not a write transaction"),
        }
    }

    pub(super) fn into_txn(self) -> Box<Txn> {
        match self.0 {
            Source::Txn(txn) => txn,
            Source::Snapshot(_) | Source::Tracked(..) => unreachable!("not a write transaction"),
        }
    }
}
