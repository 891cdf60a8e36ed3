//! [`ChangedSince`]: the records of a table, the latest change first.

use std::fmt;
use std::iter::FusedIterator;

use crate::schema::{Row, Table};
use crate::tree;

/// Records by falling modify index, those of one entry by primary key: what
/// [`TableReader::changed_since`](crate::TableReader::changed_since) finds.
///
/// It goes one way: nothing is kept in this order, and the latest is what the tree can find at once.
#[must_use = "iterators do nothing unless they are used"]
pub struct ChangedSince<'a, T: Table>(tree::Newest<'a, Row<T>>);

impl<'a, T: Table> ChangedSince<'a, T> {
    pub(super) fn new(rows: tree::Newest<'a, Row<T>>) -> Self {
        ChangedSince(rows)
    }
}

impl<T: Table> Clone for ChangedSince<'_, T> {
    fn clone(&self) -> Self {
        ChangedSince(self.0.clone())
    }
}

impl<T: Table> fmt::Debug for ChangedSince<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChangedSince").finish_non_exhaustive()
    }
}

impl<'a, T: Table> Iterator for ChangedSince<'a, T> {
    type Item = &'a Row<T>;

    fn next(&mut self) -> Option<&'a Row<T>> {
        self.0.next()
    }
}

impl<T: Table> FusedIterator for ChangedSince<'_, T> {}
