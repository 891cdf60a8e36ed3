//! Looking keys up: exactly, and by longest prefix.

use super::children::child_link;
use super::node::{Leaf, Link, is_leaf, key_bytes, own};
use super::{RawTree, Tree, Value, prefetch};
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

    /// The value of the longest stored key that is `query[..n]` followed by `terminator`, for
    /// some `n`, and that `n`. The terminator must not occur within the query.
    pub(crate) fn longest_prefix(self, query: &[u8], terminator: &[u8]) -> Option<(usize, &'a V)> {
        let mut node = self.raw.root;
        let mut used = 0;
        let mut best = None;
        if node.is_null() {
            return None;
        }
        // SAFETY: as for `get`: every node reached from the root is live for 'a.
        unsafe {
            loop {
                let bytes = key_bytes(node);
                if is_leaf(node) {
                    if let Some(text) = bytes.strip_suffix(terminator)
                        && query[used..].starts_with(text)
                    {
                        best = Some((used + text.len(), value(node)));
                    }
                    return best;
                }
                if let Some((n, leaf)) = ends_at(node, &query[used..], terminator) {
                    best = Some((used + n, value(leaf)));
                }
                if !query[used..].starts_with(bytes) {
                    return best;
                }
                used += bytes.len();
                let Some(&byte) = query.get(used) else {
                    return best;
                };
                let link = child_link(node, byte);
                if link.is_null() {
                    return best;
                }
                node = *link;
                used += 1;
            }
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

/// The leaf whose key, from below `node`'s prefix on, is exactly `key`.
unsafe fn below(node: Link, key: &[u8]) -> Option<Link> {
    // SAFETY: the caller's: `node` is a live inner node, and so is all below it.
    unsafe {
        match key.split_first() {
            None => {
                let own = own(node);
                (!own.is_null()).then_some(own)
            }
            Some((&byte, after)) => {
                let link = child_link(node, byte);
                if link.is_null() {
                    None
                } else {
                    find(*link, after)
                }
            }
        }
    }
}

/// The longest `n` for which `query[..n] ++ terminator` is a key below `node` that leaves the
/// query's path within or right after `node`'s prefix.
unsafe fn ends_at(node: Link, query: &[u8], terminator: &[u8]) -> Option<(usize, Link)> {
    // SAFETY: the caller's: `node` is a live inner node, and so is all below it.
    unsafe {
        let bytes = key_bytes(node);
        let shared = bytes.iter().zip(query).take_while(|(a, b)| a == b).count();
        let from = bytes.len().saturating_sub(terminator.len());
        (from..=shared).rev().find_map(|n| {
            let inside = terminator.strip_prefix(&bytes[n..])?;
            below(node, inside).map(|leaf| (n, leaf))
        })
    }
}
