//! The store's handle: taking snapshots, beginning transactions, ending it.

use std::fmt;
use std::marker::PhantomData;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;
use std::time::Instant;

use super::core::{Core, Restored, Root, StoreOptions};
use super::error::{StoreError, WriteError};
use super::fork::Origin;
use super::snapshot::Snapshot;
use super::txn::{Turn, Txn, WriteTxn};
use super::view::{RawView, Schema};
use crate::position::{LogIndex, Position};
use crate::version::Edition;
use crate::watch::Ended;

/// A handle of a store; cheap to clone. When the last one is dropped, waiters are told that the
/// store is closed; snapshots live on.
///
/// # Examples
///
/// ```
/// use highwater::{LogIndex, Schema, Store, Table};
/// use serde::{Deserialize, Serialize};
/// use std::time::Instant;
///
/// #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
/// pub struct Service {
///     #[primary_key]
///     pub id: String,
///     #[index]
///     pub node: String,
/// }
///
/// #[derive(Schema)]
/// pub struct Catalog {
///     services: Service,
/// }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = Store::<Catalog>::new();
/// let mut txn = store.write()?;
/// txn.services_mut().insert(Service { id: "web-1".into(), node: "n1".into() })?;
/// assert_eq!(txn.commit()?, LogIndex(1));
///
/// let snap = store.snapshot();
/// assert_eq!(snap.services().by_node("n1").count(), 1);
///
/// // Answered at once, because it was changed after index 0.
/// let answer = store.blocking_query(LogIndex(0), Instant::now(), |db| {
///     db.services().by_node("n1").cloned().collect::<Vec<_>>()
/// })?;
/// assert_eq!((answer.value.len(), answer.index), (1, LogIndex(1)));
/// # Ok(())
/// # }
/// ```
///
/// # Closures that read
///
/// What [`watch`](Self::watch), [`blocking_query`](Self::blocking_query) and
/// [`Snapshot::guarded`](Snapshot::guarded) run reads a view that is gone when it returns: so it gives out what
/// is its own, a record's fields, a [`Row`](crate::Row) (by `cloned()`), or a record
/// ([`to_record`](crate::Row::to_record)). Written where it is used it needs no types. Put into a
/// variable first, it needs its parameter's: the schema's view. What [`feed_of`](Self::feed_of) takes gives
/// the query itself, which borrows of the view: written where it is used, or a function.
///
/// ```
/// # use highwater::{Row, Rows, Schema, Start, Store, Table};
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
/// # pub struct Service { #[primary_key] pub id: String, #[index] pub node: String }
/// # #[derive(Schema)]
/// # pub struct Catalog { services: Service }
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let store = Store::<Catalog>::new();
/// let (count, watch) = store.watch(|db| db.services().by_node("n1").count());
///
/// let on_n1 = |db: &CatalogView| -> Vec<Service> {
///     db.services().by_node("n1").map(Row::to_record).collect()
/// };
/// let (services, guard) = store.snapshot().guarded(on_n1);
///
/// fn of_n1(db: &CatalogView) -> Rows<'_, Service> {
///     db.services().by_node("n1")
/// }
/// let feed = store.feed_of(Start::Now, of_n1)?;
/// # Ok(())
/// # }
/// ```
pub struct Store<S: Schema> {
    handle: Arc<Handle>,
    /// It is the driver's own.
    drives: bool,
    schema: PhantomData<fn() -> S>,
}

/// What the `Store` handles share, and nothing else does: its end is the store's.
struct Handle(Arc<Core>);

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.watches.end(Ended::Closed);
    }
}

impl<S: Schema> Clone for Store<S> {
    fn clone(&self) -> Self {
        Store {
            handle: Arc::clone(&self.handle),
            drives: self.drives,
            schema: PhantomData,
        }
    }
}

impl<S: Schema> Default for Store<S> {
    fn default() -> Self {
        Store::new()
    }
}

impl<S: Schema> fmt::Debug for Store<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("tables", &self.core().tables)
            .field("position", &self.position())
            .finish_non_exhaustive()
    }
}

/// A panic in a transaction, or in the program's own code within it, leaves nothing behind, so that who
/// catches one meets no store that is half changed.
impl<S: Schema> UnwindSafe for Store<S> {}
impl<S: Schema> RefUnwindSafe for Store<S> {}

/// Nothing that is in a snapshot is ever changed.
impl<S: Schema> UnwindSafe for Snapshot<S> {}
impl<S: Schema> RefUnwindSafe for Snapshot<S> {}

impl<S: Schema> Store<S> {
    /// An empty store at log index 0 of the unnamed history.
    ///
    /// # Panics
    ///
    /// If a reference, or a derived table, of the schema means another record type than the schema's
    /// table of that name. If a [`Table`](crate::Table) that was written without the derive breaks a rule of
    /// local or of derived tables ([`Table::LOCAL`](crate::Table::LOCAL)).
    pub fn new() -> Self {
        Store::with_options(StoreOptions::default())
    }

    /// An empty store at log index 0.
    ///
    /// # Panics
    ///
    /// As [`new`](Self::new).
    #[expect(
        clippy::needless_pass_by_value,
        reason = "settings are made for one store"
    )]
    pub fn with_options(options: StoreOptions) -> Self {
        Store::of(Core::new(S::tables(), &options))
    }

    /// The first handle.
    pub(super) fn of(core: Core) -> Self {
        Store {
            handle: Arc::new(Handle(Arc::new(core))),
            drives: false,
            schema: PhantomData,
        }
    }

    /// A handle that may write, as others may not from now on: for the driver of this name.
    #[cfg(feature = "_disk")]
    pub(crate) fn drive(&self, driver: &'static str) -> Self {
        self.core().driver.get_or_init(|| driver);
        Store {
            handle: Arc::clone(&self.handle),
            drives: true,
            schema: PhantomData,
        }
    }

    pub(super) fn core(&self) -> &Arc<Core> {
        &self.handle.0
    }

    /// The newest snapshot. O(1), lock-free; on a closed or halted store, too.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot<S> {
        Snapshot::new(self.core().current())
    }

    /// The position of the newest snapshot.
    pub fn position(&self) -> Position {
        self.core().current().payload().position
    }

    /// Waits for the writer's slot; the commit gets the next index.
    ///
    /// A store that a driver writes ([`StoreError::Driven`]), and a thread that has a transaction
    /// already ([`StoreError::Nested`]), get none.
    pub fn write(&self) -> Result<WriteTxn<S>, StoreError> {
        self.count(self.edit()?)
    }

    /// Waits for the writer's slot, if this handle may write.
    fn edit(&self) -> Result<Edition<Root>, StoreError> {
        self.may_write()?;
        let edition = self.core().versions.wait_to_edit();
        let edition = edition.ok_or(StoreError::Nested)?;
        self.open()?;
        Ok(edition)
    }

    /// Whether this handle takes writes.
    pub(crate) fn may_write(&self) -> Result<(), StoreError> {
        self.open()?;
        match self.core().driver.get() {
            Some(by) if !self.drives => Err(StoreError::Driven { by }),
            _ => Ok(()),
        }
    }

    /// The same without waiting: nothing if another thread has a transaction.
    pub fn try_write(&self) -> Result<Option<WriteTxn<S>>, StoreError> {
        self.may_write()?;
        match self.core().versions.try_edit() {
            Some(edition) => self.count(edition).map(Some),
            None => self.not_nested().map(|()| None),
        }
    }

    /// Whether this thread could wait for the writer's slot.
    pub(crate) fn not_nested(&self) -> Result<(), StoreError> {
        if self.core().versions.is_editing_here() {
            return Err(StoreError::Nested);
        }
        Ok(())
    }

    fn count(&self, edition: Edition<Root>) -> Result<WriteTxn<S>, StoreError> {
        self.open()?;
        let applied = edition.base().payload().position.index;
        let next = applied
            .0
            .checked_add(1)
            .ok_or(StoreError::IndexesExhausted)?;
        Ok(WriteTxn::new(Txn::begin(
            self.core(),
            edition,
            LogIndex(next),
            true,
        )))
    }

    /// For a driver: waits for the writer's slot; the commit gets `index`, which may leave a gap.
    /// An index that is applied already is not to be applied again, and says so.
    ///
    /// ```
    /// use highwater::{LogIndex, Schema, Store, Table, Turn};
    /// use serde::{Deserialize, Serialize};
    ///
    /// #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
    /// struct Node {
    ///     #[primary_key]
    ///     name: String,
    /// }
    ///
    /// #[derive(Schema)]
    /// struct Cluster {
    ///     nodes: Node,
    /// }
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let store = Store::<Cluster>::new();
    /// // The second is the same entry, delivered again.
    /// for index in [LogIndex(7), LogIndex(7)] {
    ///     match store.write_at(index)? {
    ///         Turn::Apply(mut txn) => {
    ///             txn.nodes_mut().insert(Node { name: "n1".into() })?;
    ///             txn.commit()?;
    ///         }
    ///         Turn::AlreadyApplied { applied } => assert_eq!(applied, LogIndex(7)),
    ///     }
    /// }
    /// assert_eq!(store.snapshot().index(), LogIndex(7));
    /// # Ok(())
    /// # }
    /// ```
    pub fn write_at(&self, index: LogIndex) -> Result<Turn<S>, StoreError> {
        let edition = self.edit()?;
        let applied = edition.base().payload().position.index;
        if index <= applied {
            return Ok(Turn::AlreadyApplied { applied });
        }
        Ok(Turn::Apply(WriteTxn::new(Txn::begin(
            self.core(),
            edition,
            index,
            false,
        ))))
    }

    /// Entries up to `index` carried no data (or were rejected): raises the applied index and
    /// wakes who waits for it. Nothing happens if it is applied already.
    pub fn advance_to(&self, index: LogIndex) -> Result<(), StoreError> {
        match self.write_at(index)? {
            // The store may have been closed or halted since: as in `write_at`.
            Turn::Apply(txn) => match txn.commit() {
                Ok(_) => Ok(()),
                Err(_) => self.open(),
            },
            Turn::AlreadyApplied { .. } => Ok(()),
        }
    }

    /// No more writes or waits: waiters get `Closed`. Reads go on.
    pub fn close(&self) {
        self.core().watches.end(Ended::Closed);
    }

    /// The same with a reason, for a driver that met something it must not apply: `Halted`.
    pub fn halt(&self, reason: &str) {
        self.core().watches.end(Ended::Halted(reason.into()));
    }

    /// Frees what no snapshot needs any more, for an idle store. Every commit frees more than it
    /// adds, so that a store that is written to never needs it. Lets go of all retained snapshots
    /// that are beyond the limits.
    ///
    /// Waits for the writer's slot, and gives it to who waits after every few thousand nodes; rows
    /// are dropped while it is free. Does nothing on a thread that has a transaction open.
    pub fn collect(&self) {
        self.core().past.collect(self.core());
        self.core().versions.collect();
    }

    /// Replaces the content by what `build` makes of an edition of the newest version: it empties
    /// and fills all trees and says where that is; what is derived is then made anew, unless it is
    /// `refused`. Readers go on; then all watches fire. On an
    /// error the store is unchanged. Holds the writer's slot meanwhile. Returns the position of the
    /// store then: of a fork, and of what was a fork's, as of a new fork from there.
    pub(crate) fn restore_with<E: From<StoreError>>(
        &self,
        build: impl FnOnce(&mut Edition<Root>, &Core) -> Result<Restored, E>,
        refused: impl FnOnce(WriteError) -> E,
    ) -> Result<Position, E> {
        let mut edition = self.edit()?;
        let core = self.core();
        let Restored {
            position: from,
            driver,
            kept,
        } = build(&mut edition, core)?;
        let (position, origin) = if core.forked || from.history.is_fork() {
            Origin::begin(from, None)
        } else {
            (from, None)
        };
        let (edition, told) = self.derived(edition, position.index).map_err(refused)?;
        let base = edition.base().payload();
        let number = base.number + 1;
        let back = position.index < base.position.index;
        let line = if back || position.history != base.position.history {
            number
        } else {
            base.line
        };
        let window = base.window.restarted(position.index);
        let root = Root {
            number,
            restored: number,
            line,
            position,
            origin,
            published: Instant::now(),
            window,
            driver,
            kept,
        };
        let trash = core.publish(edition, root);
        core.watches.restored();
        drop((trash, told));
        Ok(position)
    }

    /// An edition with the derived tables made anew at `index`, and without what is local and refers to
    /// what is gone; and rows, to be dropped when all is done.
    fn derived(
        &self,
        edition: Edition<Root>,
        index: LogIndex,
    ) -> Result<(Edition<Root>, impl Sized + use<S>), WriteError> {
        let mut view = RawView::writing(Txn::begin(self.core(), edition, index, false));
        view.derive_anew()?;
        view.txn_mut().leave_behind()?;
        Ok(view.into_txn().into_parts())
    }

    pub(crate) fn open(&self) -> Result<(), StoreError> {
        self.core()
            .watches
            .ended()
            .map_or(Ok(()), |ended| Err(ended.into()))
    }
}
