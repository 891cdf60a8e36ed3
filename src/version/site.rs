//! Trees that are built beside an edition, on any thread.

use super::reclaim::free_unborn;
use crate::tree::{Edits, Link, RawTree, Stamp, Value, ValueKind};
use std::fmt;

/// Where trees for one edition are built. [`Edition::adopt`](super::Edition::adopt) takes them over;
/// dropped before, it leaves nothing behind.
pub(crate) struct Site {
    edits: Edits,
    /// The edition's headers as they were; those of `built` have been filled.
    trees: Box<[RawTree]>,
    built: Vec<usize>,
}

// SAFETY: the raw pointers in it are to nodes that it made and nobody else has seen; values are
// `Send`.
unsafe impl Send for Site {}

impl Site {
    /// `trees`: the edition's headers.
    pub(super) fn new(edits: Edits, trees: Box<[RawTree]>) -> Self {
        Site {
            edits,
            trees,
            built: Vec::new(),
        }
    }

    /// The birth of the nodes made here.
    pub(super) fn generation(&self) -> u64 {
        self.edits.generation
    }

    /// The numbers of the trees that were built.
    pub(super) fn built(&self) -> &[usize] {
        &self.built
    }

    /// Gives the memory of all nodes to `edits`, and returns the trees that were built.
    pub(super) fn give(mut self, edits: &mut Edits) -> Vec<(usize, RawTree)> {
        edits.absorb(std::mem::take(&mut self.edits));
        let built = std::mem::take(&mut self.built);
        let header = |id: usize| (id, self.trees[id].share());
        built.into_iter().map(header).collect()
    }

    /// Fills tree number `id`, which must be empty, with keys in order, each once.
    ///
    /// # Panics
    /// As [`RawTree::build`].
    pub(crate) fn build<V: Value, K: AsRef<[u8]>>(
        &mut self,
        id: usize,
        entries: impl Iterator<Item = (K, V)>,
        stamp: Stamp,
    ) {
        // SAFETY: all nodes of an empty tree are those that are made here.
        unsafe { self.trees[id].build(&mut self.edits, entries, stamp) };
        self.built.push(id);
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let mut roots: Vec<Link> = self
            .built
            .drain(..)
            .map(|id| self.trees[id].root())
            .filter(|root| !root.is_null())
            .collect();
        let kinds: Vec<&'static ValueKind> = self.trees.iter().map(RawTree::kind).collect();
        free_unborn(&mut roots, 0, &mut self.edits, &kinds, &mut { usize::MAX });
        drop(std::mem::take(&mut self.edits.garbage));
    }
}

impl fmt::Debug for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Site")
            .field("built", &self.built)
            .finish_non_exhaustive()
    }
}
