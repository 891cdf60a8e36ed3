//! Looking keys up: exactly, and those that are prefixes of others.

use super::children::child_link;
use super::node::{Leaf, Link, common, is_leaf, key_bytes, own};
use super::{RawTree, Tree, Value, prefetch};
use smallvec::SmallVec;
use std::ptr;

/// The leaf of `key` below `node`.
///
/// # Safety
/// `node` is null, or it and all below it are live.
#[inline]
pub(super) unsafe fn find(mut node: Link, key: &[u8]) -> Option<Link> {
    let mut rest = key;
    // SAFETY: by the contract every node reached from `node` is live.
    unsafe {
        if node.is_null() {
            return None;
        }
        loop {
            // Which of its lines will be read is only known when the first is here: ask for all.
            prefetch::rest_of(node);
            let bytes = key_bytes(node);
            if is_leaf(node) {
                return (bytes == rest).then_some(node);
            }
            rest = rest.strip_prefix(bytes)?;
            let Some((&byte, after)) = rest.split_first() else {
                let own = own(node);
                return (!own.is_null()).then_some(own);
            };
            let link = child_link(node, byte);
            if link.is_null() {
                return None;
            }
            node = *link;
            rest = after;
        }
    }
}

/// The value in a leaf.
///
/// # Safety
/// `leaf` is a leaf of a tree with values `V`, live for `'a`.
#[inline]
pub(super) unsafe fn value<'a, V: Value>(leaf: Link) -> &'a V {
    // SAFETY: the slot of such a leaf holds a `V` bitwise (`Slot::of`), and it is only written
    // while nobody else can see the leaf.
    unsafe { &*(&raw const (*leaf.cast::<Leaf>()).value).cast::<V>() }
}

impl<'a, V: Value> Tree<'a, V> {
    /// The value of exactly this key.
    #[inline]
    pub(crate) fn get(self, key: &[u8]) -> Option<&'a V> {
        // SAFETY: a `Tree<'a, V>` is only made for a tree of values `V` whose nodes live for 'a.
        unsafe { find(self.raw.root, key).map(|leaf| value(leaf)) }
    }

    /// The lengths `n`, rising, for which keys begin with `query[..n]` and the terminator after that. The
    /// terminator is not empty, and does not occur within the query. O(depth).
    pub(crate) fn prefixes(self, query: &[u8], terminator: &[u8]) -> SmallVec<[usize; 8]> {
        let mut found = SmallVec::new();
        let mut node = self.raw.root;
        let mut used = 0;
        if node.is_null() {
            return found;
        }
        // SAFETY: as for `get`: every node reached from the root is live for 'a.
        unsafe {
            loop {
                let bytes = key_bytes(node);
                let shared = common(bytes, &query[used..]);
                // Such a key parts from the query within the terminator: no further back than that is long.
                for n in (shared + 1).saturating_sub(terminator.len())..=shared {
                    if goes_on(node, &bytes[n..], terminator) {
                        found.push(used + n);
                    }
                }
                if shared < bytes.len() || is_leaf(node) {
                    return found;
                }
                used += shared;
                let Some(&byte) = query.get(used) else {
                    return found;
                };
                let link = child_link(node, byte);
                if link.is_null() {
                    return found;
                }
                node = *link;
                used += 1;
            }
        }
    }
}

/// Whether keys of `node` whose bytes are left from `rest` on begin with `wanted` from there.
///
/// # Safety
/// `node` and all below it are live.
unsafe fn goes_on(mut node: Link, mut rest: &[u8], mut wanted: &[u8]) -> bool {
    // SAFETY: the caller's.
    unsafe {
        loop {
            if rest.starts_with(wanted) {
                return true;
            }
            let Some([byte, after @ ..]) = wanted.strip_prefix(rest) else {
                return false;
            };
            if is_leaf(node) {
                return false;
            }
            let link = child_link(node, *byte);
            if link.is_null() {
                return false;
            }
            node = *link;
            rest = key_bytes(node);
            wanted = after;
        }
    }
}

impl RawTree {
    /// The root of the subtree of keys that begin with `prefix`, null if there are none, and how
    /// many bytes of it lead there.
    ///
    /// # Safety
    /// The nodes of this version are live, and not written meanwhile.
    pub(super) unsafe fn covering(&self, prefix: &[u8]) -> (Link, usize) {
        let nowhere = (ptr::null_mut(), 0);
        let mut node = self.root;
        let mut rest = prefix;
        if node.is_null() {
            return nowhere;
        }
        // SAFETY: the caller's: every node reached from the root is live.
        unsafe {
            loop {
                let bytes = key_bytes(node);
                if bytes.starts_with(rest) {
                    return (node, prefix.len() - rest.len());
                }
                let Some([byte, after @ ..]) = rest.strip_prefix(bytes) else {
                    return nowhere;
                };
                if is_leaf(node) {
                    return nowhere;
                }
                let link = child_link(node, *byte);
                if link.is_null() {
                    return nowhere;
                }
                node = *link;
                rest = after;
            }
        }
    }
}
