//! An immutable view of all tables at one position.

use std::fmt;
use std::ops::Deref;

use super::core::{Root, Tables};
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
