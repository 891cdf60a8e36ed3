//! Cutting a whole subtree off: all keys that begin with some bytes, at once.

use super::children::{child_link, remove_child};
use super::edit::Edits;
use super::node::{Inner, Link, key_bytes, keys, set_keys};
use super::{RawTree, Stamp};
use std::ptr;

impl Edits {
    /// Takes every key that begins with `prefix` out of a tree, and returns the root of the subtree
    /// that held them, for the caller to give up, and the bytes of its nodes; null, and nothing is
    /// touched, if there is none.
    ///
    /// Costs the prefix's length, and a look at each node of the subtree for its size. The stamps
    /// are those that removing the keys one by one would leave on the path.
    ///
    /// # Safety
    /// As for [`insert`](Self::insert).
    pub(crate) unsafe fn cut(
        &mut self,
        tree: &mut RawTree,
        prefix: &[u8],
        stamp: Stamp,
    ) -> (Link, u64) {
        // SAFETY: the caller's.
        let cut = unsafe { self.cut_off(tree, prefix, stamp) };
        tree.grow(self.take_grown());
        cut
    }

    /// See [`cut`](Self::cut).
    unsafe fn cut_off(&mut self, tree: &mut RawTree, prefix: &[u8], stamp: Stamp) -> (Link, u64) {
        // SAFETY: as for `remove`: every node on the way is made ours before it is written, and the
        // subtree, which is only read, is live until the caller gives it up.
        unsafe {
            let (cut, _) = tree.covering(prefix);
            if cut.is_null() {
                return (cut, 0);
            }
            let gone = keys(cut);
            tree.below = stamp;
            tree.len -= gone;
            let bytes = self.count_subtree_gone(cut);
            if cut == tree.root {
                tree.root = ptr::null_mut();
                tree.structure = stamp;
                return (cut, bytes);
            }
            let mut link: *mut Link = &raw mut tree.root;
            let mut structure: *mut Stamp = &raw mut tree.structure;
            let mut rest = prefix;
            loop {
                let mine = self.own_inner(link, 0, false);
                (*mine).below = stamp;
                set_keys(mine, keys(mine) - gone);
                let path = &rest[key_bytes(mine).len()..];
                let below = child_link(mine, path[0]);
                if *below == cut {
                    remove_child(mine, path[0]);
                    self.settle(tree.id, tree.kind, link, structure, stamp);
                    return (cut, bytes);
                }
                link = below;
                structure = &raw mut (*mine.cast::<Inner>()).structure;
                rest = &path[1..];
            }
        }
    }
}
