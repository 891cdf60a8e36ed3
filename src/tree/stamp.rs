//! The log index of a query, from the stamps of the nodes it touches.
//!
//! A node has two: `below`, the last change at or below it, and `structure`, the last change of
//! its own slot or of its set of edges. From them follow, without a look at the records:
//!
//! * a prefix: `below` of the node that covers it; if no key has the prefix, `structure` of the
//!   deepest node on its path;
//! * an absent key: `structure` of the deepest node on its path;
//! * a range: the latest `below` of the subtrees it covers and `structure` of the nodes its
//!   bounds run through.
//!
//! Such an index is never earlier than the last change of what is covered, deletions included,
//! and never falls; it may be later, when something changed beside it. A leaf has no `structure`:
//! its `below` serves, which is never smaller.

use super::children::{byte_at, child_at, child_link, first_place, next_place};
use super::node::{Inner, Link, OWN, birth, is_leaf, key_bytes, own};
use super::{RawTree, Stamp, Tree, Value};

/// The stamps of one node, or of the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NodeStamp {
    /// The last change at or below it.
    pub(crate) below: Stamp,
    /// The last change of its own slot or edges; a leaf has none.
    pub(crate) structure: Option<Stamp>,
}

/// Which part of a bound is still ahead of a walk: nothing if the path has left it already.
type Ahead<'b> = Option<&'b [u8]>;

/// Where a node stands relative to a range.
enum Stand<'b> {
    Outside,
    Covered,
    Boundary(Ahead<'b>, Ahead<'b>),
}

/// Follows one byte along a bound. `Ok(None)`: the path has left it upwards or downwards as it
/// must to be inside; `Err`: the path is outside.
fn follow(ahead: Ahead<'_>, byte: u8, inside: std::cmp::Ordering) -> Result<Ahead<'_>, ()> {
    let Some(bound) = ahead else { return Ok(None) };
    // A path that goes on where the bound ends is greater than it.
    let order = bound
        .first()
        .map_or(std::cmp::Ordering::Greater, |b| byte.cmp(b));
    match order {
        std::cmp::Ordering::Equal => Ok(Some(&bound[1..])),
        order if order == inside => Ok(None),
        _ => Err(()),
    }
}

fn stand<'b>(bytes: &[u8], mut lo: Ahead<'b>, mut hi: Ahead<'b>) -> Stand<'b> {
    for &byte in bytes {
        match (
            follow(lo, byte, std::cmp::Ordering::Greater),
            follow(hi, byte, std::cmp::Ordering::Less),
        ) {
            (Ok(l), Ok(h)) => (lo, hi) = (l, h),
            _ => return Stand::Outside,
        }
        if lo.is_none() && hi.is_none() {
            return Stand::Covered;
        }
    }
    // Exactly at the lower bound, all below is at least it; exactly at the upper, nothing is less.
    if hi.is_some_and(<[u8]>::is_empty) {
        Stand::Outside
    } else if hi.is_none() && lo.is_none_or(<[u8]>::is_empty) {
        Stand::Covered
    } else {
        Stand::Boundary(lo, hi)
    }
}

impl<V: Value> Tree<'_, V> {
    /// The index of the absence of `key`.
    pub(crate) fn absent_stamp(self, key: &[u8]) -> Stamp {
        self.path_stamp(key, false)
    }

    /// The index of the set of keys that begin with `prefix`.
    pub(crate) fn prefix_stamp(self, prefix: &[u8]) -> Stamp {
        if prefix.is_empty() {
            return self.raw.below;
        }
        self.path_stamp(prefix, true)
    }

    /// Walks along `path`. Where it ends within an edge, the node below covers it.
    fn path_stamp(self, path: &[u8], covering: bool) -> Stamp {
        let mut structure = self.raw.structure;
        let mut node = self.raw.root;
        let mut rest = path;
        if node.is_null() {
            return structure;
        }
        // SAFETY: every node reached from the root is live while the view is.
        unsafe {
            loop {
                let bytes = key_bytes(node);
                if covering && bytes.starts_with(rest) {
                    return (*node).below;
                }
                let Some(after) = rest.strip_prefix(bytes) else {
                    return structure;
                };
                if is_leaf(node) {
                    return (*node).below;
                }
                structure = (*node.cast::<Inner>()).structure;
                let Some((&byte, after)) = after.split_first() else {
                    return structure;
                };
                let link = child_link(node, byte);
                if link.is_null() {
                    return structure;
                }
                node = *link;
                rest = after;
            }
        }
    }

    /// The index of the range of keys `lo <= key`, and `key < hi` if there is a `hi`.
    pub(crate) fn range_stamp(self, lo: &[u8], hi: Option<&[u8]>) -> Stamp {
        if lo.is_empty() && hi.is_none() {
            return self.raw.below;
        }
        let mut latest = self.raw.structure;
        // At most two nodes a level are boundaries; the others are covered or outside.
        let mut open: Vec<(Link, Ahead<'_>, Ahead<'_>)> = Vec::new();
        if !self.raw.root.is_null() {
            open.push((self.raw.root, Some(lo), hi));
        }
        while let Some((node, lo, hi)) = open.pop() {
            // SAFETY: every node reached from the root is live while the view is.
            unsafe {
                match stand(key_bytes(node), lo, hi) {
                    Stand::Outside => {}
                    Stand::Covered => latest = latest.max((*node).below),
                    Stand::Boundary(..) if is_leaf(node) => latest = latest.max((*node).below),
                    Stand::Boundary(lo, hi) => {
                        let inner = node.cast::<Inner>();
                        latest = latest.max((*inner).structure);
                        // The own key is in the range unless the lower bound goes on.
                        let own = own(node);
                        if !own.is_null() && lo.is_none_or(<[u8]>::is_empty) {
                            latest = latest.max((*own).below);
                        }
                        let mut at = next_place(node, OWN);
                        while let Some(place) = at {
                            let byte = [byte_at(node, place)];
                            let child = child_at(node, place);
                            match stand(&byte, lo, hi) {
                                // An edge that ends exactly at the upper bound: nothing below is less.
                                Stand::Outside => {}
                                Stand::Covered => latest = latest.max((*child).below),
                                Stand::Boundary(lo, hi) => open.push((child, lo, hi)),
                            }
                            at = next_place(node, place);
                        }
                    }
                }
            }
        }
        latest
    }

    /// The stamps of the header and of every node, parents before children, in key order.
    pub(crate) fn stamps(self) -> Vec<NodeStamp> {
        let raw = self.raw;
        let mut all = vec![NodeStamp {
            below: raw.below,
            structure: Some(raw.structure),
        }];
        let mut open: Vec<Link> = Vec::new();
        if !raw.root.is_null() {
            open.push(raw.root);
        }
        while let Some(node) = open.pop() {
            // SAFETY: every node reached from the root is live while the view is.
            unsafe {
                let structure = (!is_leaf(node)).then(|| (*node.cast::<Inner>()).structure);
                all.push(NodeStamp {
                    below: (*node).below,
                    structure,
                });
                push_children(node, &mut open);
            }
        }
        all
    }
}

/// Pushes what is right below a node, so that the first is popped first.
unsafe fn push_children(node: Link, open: &mut Vec<Link>) {
    // SAFETY: the caller's: `node` and all below it are live.
    unsafe {
        if is_leaf(node) {
            return;
        }
        let from = open.len();
        let mut at = Some(first_place(node));
        while let Some(place) = at {
            open.push(child_at(node, place));
            at = next_place(node, place);
        }
        open[from..].reverse();
    }
}

impl RawTree {
    /// Gives the nodes these stamps, in the order of [`Tree::stamps`]. False if they are not as
    /// many, not of the right sort, or not possible: `structure` and the children's `below` must
    /// not be later than `below`, and nothing later than `max`. False also if a node is not younger
    /// than the floor. The stamps are then a mix of old and new.
    ///
    /// # Safety
    /// Every node of this tree is live; those younger than `floor` are seen by nobody else.
    pub(crate) unsafe fn set_stamps(
        &mut self,
        stamps: &[NodeStamp],
        max: Stamp,
        floor: u64,
    ) -> bool {
        let mut stamps = stamps.iter().copied();
        let Some(NodeStamp {
            below,
            structure: Some(structure),
        }) = stamps.next()
        else {
            return false;
        };
        if structure > below || below > max {
            return false;
        }
        self.below = below;
        self.structure = structure;
        let mut open: Vec<(Link, Stamp)> = Vec::new();
        if !self.root.is_null() {
            open.push((self.root, below));
        }
        let mut children = Vec::new();
        while let Some((node, above)) = open.pop() {
            let Some(stamp) = stamps.next() else {
                return false;
            };
            if stamp.below > above || stamp.structure.is_some_and(|s| s > stamp.below) {
                return false;
            }
            // SAFETY: the caller's: the node is live, and if it is younger than the floor, seen by
            // nobody else. What is below a node is no younger, so each is asked.
            unsafe {
                if birth(node) <= floor {
                    return false;
                }
                match (is_leaf(node), stamp.structure) {
                    (true, None) => {}
                    (false, Some(structure)) => (*node.cast::<Inner>()).structure = structure,
                    _ => return false,
                }
                (*node).below = stamp.below;
                push_children(node, &mut children);
            }
            open.extend(children.drain(..).map(|child| (child, stamp.below)));
        }
        stamps.next().is_none()
    }
}

/// The tree a leaf says it belongs to, for the checker.
#[cfg(any(all(test, not(loom)), debug_assertions))]
pub(super) unsafe fn tree_of(leaf: Link) -> u16 {
    // SAFETY: the caller's: `leaf` is a live leaf.
    unsafe { super::node::layout(leaf).tree() }
}
