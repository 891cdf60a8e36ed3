//! The versions that are not known to be dead.
//!
//! The writer alone adds and removes; others only look, under the lock.

use super::record::{Record, Version};
use crate::sync::{Mutex, lock};
use std::collections::BTreeMap;
use std::ptr::NonNull;

/// Records by generation. One that is in here is alive: it is removed before it is destroyed.
pub(super) struct Live<P: Send + Sync + 'static>(Mutex<BTreeMap<u64, NonNull<Record<P>>>>);

impl<P: Send + Sync + 'static> Live<P> {
    pub(super) fn new() -> Self {
        Live(Mutex::new(BTreeMap::new()))
    }

    /// Adds a version.
    pub(super) fn add(&self, version: &Version<P>) {
        lock(&self.0).insert(version.record().generation, version.into());
    }

    /// Adds one, and returns the newest that is no younger than `until`, which there is.
    pub(super) fn add_after(&self, version: &Version<P>, until: u64) -> NonNull<Record<P>> {
        let mut live = lock(&self.0);
        let last = live.range(..=until).next_back().map(|(_, &record)| record);
        live.insert(version.record().generation, version.into());
        last.expect("what it comes after is held")
    }

    /// Removes a version that is dead.
    pub(super) fn remove(&self, generation: u64) {
        lock(&self.0).remove(&generation);
    }

    /// The newest of them that is no younger than `until`, and its generation.
    pub(super) fn newest(&self, until: u64) -> Option<(u64, NonNull<Record<P>>)> {
        let live = lock(&self.0);
        let (&generation, &record) = live.range(..=until).next_back()?;
        Some((generation, record))
    }

    /// How many have handles, and what `look` finds in the oldest of those.
    pub(super) fn held<R>(&self, look: impl FnOnce(&P) -> R) -> (usize, Option<R>) {
        let live = lock(&self.0);
        // SAFETY: what is in the map is not destroyed while it is locked, and what is read of it
        // never changes, or is atomic.
        let records = live.values().map(|record| unsafe { record.as_ref() });
        let mut held = records.filter(|record| record.is_held());
        let oldest = held.next();
        let count = usize::from(oldest.is_some()) + held.count();
        (count, oldest.map(|record| look(&record.payload)))
    }

    /// All of them.
    #[cfg(all(test, not(loom)))]
    pub(super) fn all(&self) -> Vec<NonNull<Record<P>>> {
        lock(&self.0).values().copied().collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        lock(&self.0).is_empty()
    }
}
