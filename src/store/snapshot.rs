//! An immutable view of all tables at one position.

use std::fmt;
use std::ops::Deref;

use super::core::{Root, Tables};
use super::error::WriteError;
use super::txn::WriteTxn;
use super::view::{RawView, Schema, View};
use crate::position::{LogIndex, Position};
use crate::version::Version;

/// An immutable view of all tables at one position. Derefs to the generated view.
///
/// Taking one is O(1) and lock-free, cloning and dropping it likewise; it can be sent to and read
/// from any thread, and kept: what it pins is only what later commits replace.
pub struct Snapshot<S: Schema> {
    view: S::View,
}

impl<S: Schema> Snapshot<S> {
    pub(super) fn new(version: Version<Root>) -> Self {
        Snapshot {
            view: S::View::from_raw(RawView::snapshot(version)),
        }
    }

    /// The version it reads.
    pub(crate) fn version(&self) -> &Version<Root> {
        self.view.raw().version()
    }

    /// The position it is of: everything up to here is in it, nothing after.
    pub fn position(&self) -> Position {
        self.version().payload().position
    }

    /// The log index it is of.
    pub fn index(&self) -> LogIndex {
        self.position().index
    }

    /// The driver's own bytes, stored with the last commit that set them.
    pub fn driver_state(&self) -> Option<&[u8]> {
        self.version().payload().driver.as_deref()
    }

    /// Whether every index holds exactly what the records say. O(n); for tests.
    #[doc(hidden)]
    pub fn check(&self) -> Result<(), String> {
        let tables = Tables::new(S::tables());
        let mut results = tables
            .iter()
            .enumerate()
            .map(|(i, table)| table.check(self.version(), tables.base(i)));
        results.try_for_each(|result| result)
    }
}

impl<S: Schema> WriteTxn<S> {
    /// What the transaction has written so far, as a snapshot: a view of all tables that stays as it is
    /// while the transaction goes on, to walk over records while others are written, to compare with
    /// later ([`diff`](crate::TableReader::diff)), or to hand to another thread.
    ///
    /// O(number of indexes); what is written after it is copied once more, as after a
    /// [`savepoint`](Self::savepoint). It is read, cloned, kept and [forked](Snapshot::fork) like any
    /// other, whatever becomes of the transaction: rolled back, dropped or committed. (While somebody has
    /// one, to roll back or drop the transaction takes time for all it has written.)
    ///
    /// What is derived of the current entry so far is written before, as it is at the entry's end: an error
    /// is one of what derives it, and nothing has changed then. Other rules are tested at the entry's end
    /// alone: what it breaks on the way ([`check_rules`](Self::check_rules) tells) is broken in such a
    /// snapshot, and in a fork or an image of it.
    ///
    /// Its index is that of the current entry, but nothing says that it will be in the log like this. So
    /// its position is of a history of its own ([`HistoryId::is_fork`](crate::HistoryId::is_fork)), as a
    /// fork's is: guards and cursors made on it are refused by the store. That history is another on every
    /// replica: a command is neither to write it into a record nor to answer with it.
    ///
    /// ```
    /// # use highwater::{Schema, Store, Table};
    /// # use serde::{Deserialize, Serialize};
    /// # #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
    /// # pub struct Node { #[primary_key] pub name: String, pub jobs: u32 }
    /// # #[derive(Schema)]
    /// # pub struct Cluster { nodes: Node }
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let store = Store::<Cluster>::new();
    /// let mut txn = store.write()?;
    /// txn.nodes_mut().insert(Node { name: "n1".into(), jobs: 0 })?;
    /// txn.nodes_mut().insert(Node { name: "n2".into(), jobs: 2 })?;
    ///
    /// // Writing while walking: the walk is over what there was.
    /// for node in txn.snapshot()?.nodes().iter() {
    ///     let name = format!("{}-standby", node.name);
    ///     txn.nodes_mut().insert(Node { name, jobs: node.jobs })?;
    /// }
    /// assert_eq!(txn.nodes().len(), 4);
    /// # Ok(())
    /// # }
    /// ```
    pub fn snapshot(&mut self) -> Result<Snapshot<S>, WriteError> {
        self.derive_together()?;
        Ok(Snapshot::new(self.txn_mut().snapshot()))
    }
}

impl<S: Schema> Clone for Snapshot<S> {
    fn clone(&self) -> Self {
        Snapshot::new(self.version().clone())
    }
}

impl<S: Schema> Deref for Snapshot<S> {
    type Target = S::View;

    fn deref(&self) -> &S::View {
        &self.view
    }
}

impl<S: Schema> fmt::Debug for Snapshot<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot")
            .field("position", &self.position())
            .finish_non_exhaustive()
    }
}
