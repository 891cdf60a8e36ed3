//! The way to one leaf, and from there to the next in key order, in either direction.
//!
//! A [`Cursor`] is the path from a subtree's root to one leaf: a stack of places, bounded by the
//! key's length.

use super::children::{END, byte_at, child_at, first_place, next_place, place_from, prev_place};
use super::node::{Link, OWN, Place, is_leaf, key_bytes};
use smallvec::SmallVec;
use std::cmp::Ordering;

/// A direction of a walk.
pub(super) trait Way {
    /// The place after `place`.
    ///
    /// # Safety
    /// `node` is a live inner node and `place` one of its places.
    unsafe fn next(node: Link, place: Place) -> Option<Place>;

    /// The place where it comes into a node.
    ///
    /// # Safety
    /// `node` is a live inner node.
    unsafe fn first(node: Link) -> Place;
}

/// Rising keys.
#[derive(Debug)]
pub(super) enum Forward {}

/// Falling keys.
#[derive(Debug)]
pub(super) enum Backward {}

impl Way for Forward {
    #[inline]
    unsafe fn next(node: Link, place: Place) -> Option<Place> {
        // SAFETY: the caller's.
        unsafe { next_place(node, place) }
    }

    #[inline]
    unsafe fn first(node: Link) -> Place {
        // SAFETY: the caller's.
        unsafe { first_place(node) }
    }
}

impl Way for Backward {
    #[inline]
    unsafe fn next(node: Link, place: Place) -> Option<Place> {
        // SAFETY: the caller's.
        unsafe { prev_place(node, place) }
    }

    #[inline]
    unsafe fn first(node: Link) -> Place {
        // SAFETY: the caller's; an inner node has something below it, so there is a last place.
        unsafe { prev_place(node, END).expect("an inner node is never empty") }
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    pub(super) node: Link,
    pub(super) place: Place,
}

/// The path to a leaf.
#[derive(Clone, Debug)]
pub(super) struct Cursor {
    pub(super) path: SmallVec<[Frame; 10]>,
    pub(super) leaf: Link,
}

/// How the keys of a node compare with the rest of a bound.
enum Meets {
    /// All are smaller.
    Below,
    /// All are at least the bound.
    AtLeast,
    /// The bound goes on, with these bytes, below the node.
    Inside(usize),
}

/// Compares an inner node's prefix with the rest of a bound.
fn meet(prefix: &[u8], rest: &[u8]) -> Meets {
    let shared = prefix.iter().zip(rest).take_while(|(a, b)| a == b).count();
    match (prefix.get(shared), rest.get(shared)) {
        (None, Some(_)) => Meets::Inside(shared),
        (Some(a), Some(b)) if a < b => Meets::Below,
        _ => Meets::AtLeast,
    }
}

// SAFETY of all blocks below: a cursor is made from the root of a version that is borrowed for as
// long as the cursor lives (see `Range`), so every node on or below its path is live, and none is
// written.
impl Cursor {
    pub(super) fn new() -> Self {
        Cursor {
            path: SmallVec::new(),
            leaf: std::ptr::null_mut(),
        }
    }

    /// To the first leaf of a subtree that a walk comes to.
    pub(super) fn of_first<W: Way>(root: Link) -> Self {
        let mut cursor = Cursor::new();
        cursor.down::<W>(root);
        cursor
    }

    /// Where the walk began: the path is there as long as the cursor is at a leaf.
    pub(super) fn root(&self) -> Link {
        self.path.first().map_or(self.leaf, |frame| frame.node)
    }

    fn push(&mut self, node: Link, place: Place) {
        self.path.push(Frame { node, place });
    }

    fn down<W: Way>(&mut self, mut node: Link) {
        // SAFETY: see above.
        unsafe {
            while !is_leaf(node) {
                let place = W::first(node);
                self.push(node, place);
                node = child_at(node, place);
            }
        }
        self.leaf = node;
    }

    /// To the leaf that comes next; false, and no path, if there is none.
    pub(super) fn go<W: Way>(&mut self) -> bool {
        while let Some(frame) = self.path.last_mut() {
            // SAFETY: see above.
            unsafe {
                if let Some(place) = W::next(frame.node, frame.place) {
                    frame.place = place;
                    let child = child_at(frame.node, place);
                    self.down::<W>(child);
                    return true;
                }
            }
            self.path.pop();
        }
        false
    }

    /// The first leaf whose key is at least `bound`.
    pub(super) fn at_least(root: Link, bound: &[u8]) -> Option<Cursor> {
        let mut cursor = Cursor::new();
        let mut node = root;
        let mut rest = bound;
        // SAFETY: see above.
        unsafe {
            loop {
                if is_leaf(node) {
                    cursor.leaf = node;
                    return (key_bytes(node) >= rest || cursor.go::<Forward>()).then_some(cursor);
                }
                match meet(key_bytes(node), rest) {
                    Meets::AtLeast => {
                        cursor.down::<Forward>(node);
                        return Some(cursor);
                    }
                    Meets::Below => return cursor.go::<Forward>().then_some(cursor),
                    Meets::Inside(used) => {
                        let byte = rest[used];
                        match place_from(node, byte) {
                            None => return cursor.go::<Forward>().then_some(cursor),
                            Some((place, exact)) => {
                                cursor.push(node, place);
                                let child = child_at(node, place);
                                if !exact {
                                    cursor.down::<Forward>(child);
                                    return Some(cursor);
                                }
                                node = child;
                                rest = &rest[used + 1..];
                            }
                        }
                    }
                }
            }
        }
    }

    /// The last leaf whose key is smaller than `bound`.
    pub(super) fn before(root: Link, bound: &[u8]) -> Option<Cursor> {
        let mut cursor = Cursor::new();
        let mut node = root;
        let mut rest = bound;
        // SAFETY: see above.
        unsafe {
            loop {
                if is_leaf(node) {
                    cursor.leaf = node;
                    return (key_bytes(node) < rest || cursor.go::<Backward>()).then_some(cursor);
                }
                match meet(key_bytes(node), rest) {
                    Meets::AtLeast => return cursor.go::<Backward>().then_some(cursor),
                    Meets::Below => {
                        cursor.down::<Backward>(node);
                        return Some(cursor);
                    }
                    Meets::Inside(used) => {
                        let byte = rest[used];
                        let (place, exact) = place_from(node, byte).unwrap_or((END, false));
                        cursor.push(node, place);
                        if !exact {
                            return cursor.go::<Backward>().then_some(cursor);
                        }
                        node = child_at(node, place);
                        rest = &rest[used + 1..];
                    }
                }
            }
        }
    }

    /// Where the leaf stands relative to another cursor's of the same root.
    pub(super) fn order(&self, other: &Cursor) -> Ordering {
        let places = |cursor: &Cursor| {
            cursor
                .path
                .iter()
                .map(|f| f.place)
                .collect::<SmallVec<[Place; 16]>>()
        };
        places(self).cmp(&places(other))
    }

    /// The leaf's key from the root of the walk on.
    pub(super) fn key(&self, out: &mut Vec<u8>) {
        out.clear();
        // SAFETY: see above.
        unsafe {
            for frame in &self.path {
                out.extend_from_slice(key_bytes(frame.node));
                if frame.place != OWN {
                    out.push(byte_at(frame.node, frame.place));
                }
            }
            out.extend_from_slice(key_bytes(self.leaf));
        }
    }
}
