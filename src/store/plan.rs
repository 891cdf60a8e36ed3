//! The entries that one operation changes in the trees of its table.

use crate::key::{KeyBuf, KeySink};
use smallvec::SmallVec;

/// Entries of trees, each key encoded once, before the first of them is changed.
#[derive(Debug, Default)]
pub(super) struct Plan {
    keys: KeySink,
    /// The tree of each.
    trees: SmallVec<[usize; 8]>,
}

impl Plan {
    /// Takes out all entries; keeps the memory.
    pub(super) fn clear(&mut self) {
        self.keys.clear();
        self.trees.clear();
    }

    /// How many bytes of memory it has beside itself, but for a few.
    pub(super) fn reserved(&self) -> usize {
        self.keys.reserved() + self.trees.capacity() * size_of::<usize>()
    }

    /// Adds the entry of a tree whose key `write` appends.
    pub(super) fn push(&mut self, tree: usize, write: impl FnOnce(&mut KeyBuf)) {
        self.keys.push(write);
        self.trees.push(tree);
    }

    /// The trees and keys, in the order they were added.
    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, &[u8])> {
        self.trees.iter().copied().zip(self.keys.iter())
    }
}
