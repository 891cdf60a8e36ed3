//! Asking for memory before it is needed.
//!
//! A look-up in a large tree waits for one cache miss a level, each of which depends on the one
//! before. Those of several look-ups do not depend on one another: [`prefetch`] walks them
//! together, a level of all at a time, so that their misses overlap. Most nodes are asked for whole,
//! since who edits them copies them; of a large one, which takes 33 lines, first the link that leads on,
//! then the rest. It changes nothing but the time that what follows takes.

use super::RawTree;
use super::children::{child_at, child_link, for_each_below};
use super::cursor::Way;
use super::node::{Kind, Leaf, Link, Place, children, is_leaf, key_bytes, key_len, kind, links};
use smallvec::SmallVec;

/// Bytes of a cache line.
const LINE: usize = 64;

/// Asks for one line.
#[inline]
fn line<T>(address: *const T, offset: usize) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch reads nothing and cannot fault, whatever the address.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(address.cast::<i8>().wrapping_add(offset));
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (address, offset);
}

/// Asks for the lines of a node behind its first, which the caller is about to read.
#[inline]
pub(super) fn rest_of(node: Link) {
    line(node, LINE);
    line(node, 2 * LINE);
}

/// Asks for what one look at a node, or at a value, reads: mostly all of it.
#[inline]
pub(super) fn whole<T>(address: *const T) {
    line(address, 0);
    line(address, LINE);
    line(address, 2 * LINE);
}

/// The same of what one of many looks reads, when as many misses as there may be are under way: every
/// second line, since what fetches one mostly fetches its neighbour, too.
#[inline]
pub(super) fn in_pairs<T>(address: *const T) {
    line(address, 0);
    line(address, 2 * LINE);
}

/// Asks for all links of a large node.
///
/// # Safety
/// `node` is a live `Full`.
#[inline]
unsafe fn links_of(node: Link) {
    // SAFETY: the caller's.
    let links = unsafe { links(node) };
    for at in (0..256 * size_of::<Link>()).step_by(LINE) {
        line(links, at);
    }
}

/// Asks for the first line of what is looked at later.
#[inline]
pub(crate) fn first_of<T>(address: *const T) {
    line(address, 0);
}

/// Asks for the first lines of the next children of a node, so many at most.
///
/// # Safety
/// `node` is a live inner node, `place` one of its places.
#[inline]
pub(super) unsafe fn children_from<W: Way>(node: Link, mut place: Option<Place>, most: usize) {
    for _ in 0..most {
        let Some(at) = place else { return };
        // SAFETY: the caller's.
        unsafe {
            first_of(child_at(node, at));
            place = W::next(node, at);
        }
    }
}

/// Looks at a node that a walk will come to, and asks for what it reads next: of a leaf its value,
/// of an inner node the rest.
///
/// # Safety
/// `node` is live.
#[inline]
pub(super) unsafe fn look(node: Link) {
    // SAFETY: the caller's.
    unsafe {
        if is_leaf(node) {
            whole((*node.cast::<Leaf>()).value.0);
        } else {
            rest_of(node);
        }
    }
}

/// How many nodes below one are asked for at most.
pub(super) const NEAREST: usize = 64;

/// Looks at all nodes below an inner one, level by level, until a level would be too many.
///
/// # Safety
/// `node` is a live inner node, and all below it are live.
pub(super) unsafe fn below(node: Link) {
    let mut level: SmallVec<[Link; NEAREST]> = SmallVec::new();
    level.push(node);
    let mut left = NEAREST;
    // SAFETY: the caller's.
    unsafe {
        loop {
            // Its own leaf, if it has one, is one more.
            let count = |node: &Link| 1 + children(*node);
            let below: usize = level.iter().map(count).sum();
            if below == 0 || below > left {
                return;
            }
            left -= below;
            let mut next = SmallVec::new();
            for &node in &level {
                for_each_below(node, |child| {
                    line(child, 0);
                    next.push(child);
                });
            }
            next.retain(|node| {
                look(*node);
                !is_leaf(*node)
            });
            level = next;
        }
    }
}

/// How many paths are walked together: more would push one another out of the cache.
const TOGETHER: usize = 16;

/// Walks to these keys, [`TOGETHER`] at a time, and asks for the values that are found.
///
/// # Safety
/// The nodes of the trees live, and are not written meanwhile.
pub(crate) unsafe fn prefetch<'a>(entries: impl Iterator<Item = (&'a RawTree, &'a [u8])>) {
    let mut entries = entries.filter(|(tree, _)| !tree.root().is_null());
    loop {
        let mut paths: SmallVec<[Path; TOGETHER]> = entries
            .by_ref()
            .take(TOGETHER)
            .map(|(tree, rest)| Path {
                node: tree.root(),
                rest,
                asked: false,
            })
            .collect();
        if paths.is_empty() {
            return;
        }
        for path in &paths {
            whole(path.node);
        }
        while !paths.is_empty() {
            // SAFETY: the caller's: all that is reached from a root is live.
            paths.retain(|path| unsafe { path.step() });
        }
    }
}

/// A walk on its way.
struct Path<'a> {
    /// Where it stands.
    node: Link,
    /// What is left of its key.
    rest: &'a [u8],
    /// Whether the link that leads on, far from the node's head, was asked for.
    asked: bool,
}

impl Path<'_> {
    /// One level down, of a large node in two steps; false at the end.
    ///
    /// # Safety
    /// The node and all below it are live.
    #[inline]
    unsafe fn step(&mut self) -> bool {
        // SAFETY: the caller's.
        unsafe {
            let node = self.node;
            if is_leaf(node) {
                whole((*node.cast::<Leaf>()).value.0);
                return false;
            }
            let large = kind(node) == Kind::Full;
            if large && !self.asked {
                if let Some(byte) = self.rest.get(key_len(node)) {
                    first_of(links(node).add(usize::from(*byte)));
                }
                self.asked = true;
                return true;
            }
            self.asked = false;
            let Some([byte, after @ ..]) = self.rest.strip_prefix(key_bytes(node)) else {
                return false;
            };
            let link = child_link(node, *byte);
            if link.is_null() {
                return false;
            }
            self.node = *link;
            self.rest = after;
            whole(self.node);
            // All of it is copied.
            if large {
                links_of(node);
            }
            true
        }
    }
}
