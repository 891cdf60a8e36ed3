//! What is different between two snapshots of a table.

use std::fmt;
use std::iter::FusedIterator;

use super::reader::TableReader;
use crate::feed::Change;
use crate::schema::{Row, Table};
use crate::tree;

/// The records of a table that differ between two snapshots, by primary key, from either end:
/// [`TableReader::diff`].
#[must_use = "iterators do nothing unless they are used"]
pub struct Diff<'a, T: Table>(pub(super) tree::Diff<'a, Row<T>>);

impl<T: Table> Clone for Diff<'_, T> {
    fn clone(&self) -> Self {
        Diff(self.0.clone())
    }
}

impl<T: Table> fmt::Debug for Diff<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Diff").finish_non_exhaustive()
    }
}

impl<'a, T: Table> TableReader<'a, T> {
    /// The records that are others here than in an older snapshot: created, changed or deleted
    /// since. By primary key.
    ///
    /// Takes time for what differs, however large the table is: what two snapshots of a store share
    /// is passed over. They may also be of two stores, or of one before and after a restore; then
    /// all is compared, and a record that is equal and has the same indexes is no change.
    ///
    /// ```
    /// use highwater::{Schema, Store, Table};
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
    /// let store = Store::<Cluster>::new();
    /// let before = store.snapshot();
    /// let mut txn = store.write()?;
    /// txn.nodes_mut().insert(Node { name: "n1".into() })?;
    /// txn.commit()?;
    /// let after = store.snapshot();
    /// let changes = after.nodes().diff(&before.nodes());
    /// assert_eq!(changes.clone().count(), 1);
    /// for change in changes {
    ///     assert!(change.before.is_none());
    ///     assert_eq!(change.after.unwrap().name, "n1");
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn diff(&self, older: &TableReader<'a, T>) -> Diff<'a, T> {
        Diff(self.whole().diff(older.whole()))
    }
}

/// A record before and after.
type Pair<'a, T> = (Option<&'a Row<T>>, Option<&'a Row<T>>);

/// Whether it is a change, where versions do not share the record.
fn differ<T: Table>((before, after): &Pair<'_, T>) -> bool {
    before.zip(*after).is_none_or(|(before, after)| {
        let indexes = |row: &Row<T>| (row.create_index(), row.modify_index());
        indexes(before) != indexes(after) || before != after
    })
}

impl<'a, T: Table> Iterator for Diff<'a, T> {
    type Item = Change<'a, T>;

    fn next(&mut self) -> Option<Change<'a, T>> {
        let (before, after) = self.0.find(differ)?;
        Some(Change { before, after })
    }
}

impl<T: Table> DoubleEndedIterator for Diff<'_, T> {
    fn next_back(&mut self) -> Option<Self::Item> {
        let (before, after) = self.0.rfind(differ)?;
        Some(Change { before, after })
    }
}

impl<T: Table> FusedIterator for Diff<'_, T> {}
