//! What is different between two snapshots of a table.

use std::fmt;

use super::reader::TableReader;
use crate::feed::Change;
use crate::schema::{Row, Table};
use crate::tree;

/// The records of a table that differ between two snapshots, by primary key:
/// [`TableReader::diff`].
#[must_use = "iterators do nothing unless they are used"]
pub struct Diff<'a, T: Table>(pub(super) tree::Diff<'a, Row<T>>);

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
    /// let changes: Vec<_> = after.nodes().diff(&before.nodes()).collect();
    /// assert!(changes[0].before.is_none());
    /// assert_eq!(changes[0].after.unwrap().name, "n1");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn diff(&self, older: &TableReader<'a, T>) -> Diff<'a, T> {
        Diff(self.whole().diff(older.whole()))
    }
}

impl<'a, T: Table> Iterator for Diff<'a, T> {
    type Item = Change<'a, T>;

    fn next(&mut self) -> Option<Change<'a, T>> {
        let differ = |(before, after): &(Option<&Row<T>>, Option<&Row<T>>)| {
            before.zip(*after).is_none_or(|(before, after)| {
                let indexes = |row: &Row<T>| (row.create_index(), row.modify_index());
                indexes(before) != indexes(after) || before != after
            })
        };
        let (before, after) = self.0.find(differ)?;
        Some(Change { before, after })
    }
}
