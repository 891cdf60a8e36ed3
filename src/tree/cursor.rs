//! Walking a tree in key order, from either end.
//!
//! A [`Cursor`] is the path from a subtree's root to one leaf: a stack of places, bounded by the
//! key's length. A [`Range`] is two of them that walk towards each other; where a whole subtree is
//! walked, an end is only sought when it is first asked for.

use super::children::{END, byte_at, child_at, first_place, next_place, place_from, prev_place};
use super::node::{Link, OWN, Place, is_leaf, key_bytes, keys};
use super::read::value;
use super::{Tree, Value, prefetch};
use smallvec::SmallVec;
use std::cmp::Ordering;
use std::marker::PhantomData;

/// How many children a walk asks for at once: the misses of one do not wait for another's.
const AHEAD: u8 = 16;

#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    pub(super) node: Link,
    pub(super) place: Place,
    /// How many more steps have what they lead to asked for.
    ahead: u8,
}

impl Frame {
    pub(super) fn new(node: Link, place: Place) -> Self {
        Frame {
            node,
            place,
            ahead: 0,
        }
    }

    /// Moves to the next place in the walk's direction; false if there is none.
    #[inline]
    fn step(&mut self, next: unsafe fn(Link, Place) -> Option<Place>) -> bool {
        // SAFETY: a frame is on the path of a cursor, and all below it is live (see `Cursor`).
        unsafe {
            let Some(place) = next(self.node, self.place) else {
                return false;
            };
            self.place = place;
            if self.ahead == 0 {
                self.ask(next);
            }
            self.ahead -= 1;
            true
        }
    }

    /// Asks for what the next steps lead to: of some, which are here or on their way already, for what
    /// is read of them next; of some more behind them, for themselves.
    #[inline]
    fn ask(&mut self, next: unsafe fn(Link, Place) -> Option<Place>) {
        self.ahead = AHEAD;
        let mut at = Some(self.place);
        // SAFETY: as for `step`.
        unsafe {
            for _ in 0..AHEAD {
                let Some(place) = at else { return };
                prefetch::look(child_at(self.node, place));
                at = next(self.node, place);
            }
            for _ in 0..AHEAD {
                let Some(place) = at else { return };
                prefetch::first_of(child_at(self.node, place));
                at = next(self.node, place);
            }
        }
    }

    /// Before the walk goes down: asks for the children of the node that comes after that, if there
    /// is one beside it.
    #[inline]
    fn ask_beside(&self, next: unsafe fn(Link, Place) -> Option<Place>, first: Place) {
        // SAFETY: as for `step`.
        unsafe {
            let Some(place) = next(self.node, self.place) else {
                return;
            };
            let beside = child_at(self.node, place);
            if is_leaf(beside) {
                return;
            }
            let mut at = next(beside, first);
            for _ in 0..AHEAD {
                let Some(place) = at else { return };
                prefetch::first_of(child_at(beside, place));
                at = next(beside, place);
            }
        }
    }
}

/// The path to a leaf.
#[derive(Clone, Debug)]
pub(super) struct Cursor {
    pub(super) path: SmallVec<[Frame; 10]>,
    pub(super) leaf: Link,
    /// At the end of a subtree all of which is to be walked, and not moved yet.
    fresh: bool,
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
            fresh: false,
        }
    }

    /// Where the walk began: the path is there as long as the cursor is at a leaf.
    fn root(&self) -> Link {
        self.path.first().map_or(self.leaf, |frame| frame.node)
    }

    /// Before a move: if it is the first, asks for what is nearest to the subtree's root. Not
    /// earlier, since many walks end at the first leaf.
    #[inline]
    fn look_around(&mut self) {
        if std::mem::take(&mut self.fresh)
            && let Some(root) = self.path.first()
        {
            // SAFETY: see above.
            unsafe { prefetch::below(root.node) };
        }
    }

    /// After the walk has gone down: asks for what is there.
    #[inline]
    fn ask_below(&mut self, next: unsafe fn(Link, Place) -> Option<Place>) {
        if let Some(frame) = self.path.last_mut() {
            frame.ask(next);
        }
    }

    fn down_first(&mut self, mut node: Link) {
        // SAFETY: see above.
        unsafe {
            while !is_leaf(node) {
                let place = first_place(node);
                self.path.push(Frame::new(node, place));
                node = child_at(node, place);
            }
        }
        self.leaf = node;
    }

    fn down_last(&mut self, mut node: Link) {
        // SAFETY: see above; an inner node has something below it, so there is a last place.
        unsafe {
            while !is_leaf(node) {
                let place = prev_place(node, END).expect("an inner node is never empty");
                self.path.push(Frame::new(node, place));
                node = child_at(node, place);
            }
        }
        self.leaf = node;
    }

    /// To the next leaf; false at the end.
    #[inline]
    fn advance(&mut self) -> bool {
        self.go(next_place, OWN, Cursor::down_first)
    }

    /// To the leaf before; false at the beginning.
    fn retreat(&mut self) -> bool {
        self.go(prev_place, END, Cursor::down_last)
    }

    /// To the leaf that comes next in a direction, which begins in each node at `from`.
    #[inline]
    fn go(
        &mut self,
        next: unsafe fn(Link, Place) -> Option<Place>,
        from: Place,
        down: fn(&mut Cursor, Link),
    ) -> bool {
        self.look_around();
        while let Some(frame) = self.path.last_mut() {
            if frame.step(next) {
                // SAFETY: see above.
                unsafe {
                    let child = child_at(frame.node, frame.place);
                    if is_leaf(child) {
                        self.leaf = child;
                    } else {
                        frame.ask_beside(next, from);
                        down(self, child);
                        self.ask_below(next);
                    }
                }
                return true;
            }
            self.path.pop();
        }
        false
    }

    /// The first leaf whose key is at least `bound`.
    fn at_least(root: Link, bound: &[u8]) -> Option<Cursor> {
        let mut cursor = Cursor::new();
        let mut node = root;
        let mut rest = bound;
        // SAFETY: see above.
        unsafe {
            loop {
                if is_leaf(node) {
                    cursor.leaf = node;
                    return (key_bytes(node) >= rest || cursor.advance()).then_some(cursor);
                }
                match meet(key_bytes(node), rest) {
                    Meets::AtLeast => {
                        cursor.down_first(node);
                        return Some(cursor);
                    }
                    Meets::Below => return cursor.advance().then_some(cursor),
                    Meets::Inside(used) => {
                        let byte = rest[used];
                        match place_from(node, byte) {
                            None => return cursor.advance().then_some(cursor),
                            Some((place, exact)) => {
                                cursor.path.push(Frame::new(node, place));
                                let child = child_at(node, place);
                                if !exact {
                                    cursor.down_first(child);
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
    fn before(root: Link, bound: &[u8]) -> Option<Cursor> {
        let mut cursor = Cursor::new();
        let mut node = root;
        let mut rest = bound;
        // SAFETY: see above.
        unsafe {
            loop {
                if is_leaf(node) {
                    cursor.leaf = node;
                    return (key_bytes(node) < rest || cursor.retreat()).then_some(cursor);
                }
                match meet(key_bytes(node), rest) {
                    Meets::AtLeast => return cursor.retreat().then_some(cursor),
                    Meets::Below => {
                        cursor.down_last(node);
                        return Some(cursor);
                    }
                    Meets::Inside(used) => {
                        let byte = rest[used];
                        let (place, exact) = place_from(node, byte).unwrap_or((END, false));
                        cursor.path.push(Frame::new(node, place));
                        if !exact {
                            return cursor.retreat().then_some(cursor);
                        }
                        node = child_at(node, place);
                        rest = &rest[used + 1..];
                    }
                }
            }
        }
    }

    /// Where the leaf stands relative to another cursor's of the same root.
    fn order(&self, other: &Cursor) -> Ordering {
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
    fn key(&self, out: &mut Vec<u8>) {
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

/// One end of a range.
#[derive(Clone, Debug)]
enum End {
    /// At the end of the whole subtree; not sought yet.
    Whole(Link),
    /// At a leaf that is still to be yielded.
    Next(Cursor),
    /// At the leaf that was yielded last.
    Yielded(Cursor),
    Exhausted,
}

/// The values of a range of keys, in key order, from either end.
#[derive(Debug)]
pub(crate) struct Range<'a, V> {
    front: End,
    back: End,
    done: bool,
    values: PhantomData<&'a V>,
}

impl<V> Clone for Range<'_, V> {
    fn clone(&self) -> Self {
        Range {
            front: self.front.clone(),
            back: self.back.clone(),
            done: self.done,
            values: PhantomData,
        }
    }
}

// SAFETY: a range is a shared borrow of nodes that nobody writes and of values that are `Sync`.
unsafe impl<V: Sync> Send for Range<'_, V> {}
// SAFETY: as above.
unsafe impl<V: Sync> Sync for Range<'_, V> {}

impl<V> Range<'_, V> {
    /// A walk over nothing.
    pub(crate) fn empty() -> Self {
        Range {
            front: End::Exhausted,
            back: End::Exhausted,
            done: true,
            values: PhantomData,
        }
    }

    fn whole(root: Link) -> Self {
        if root.is_null() {
            return Self::empty();
        }
        Range {
            front: End::Whole(root),
            back: End::Whole(root),
            done: false,
            values: PhantomData,
        }
    }

    /// The key that `next` yielded last, from the root of the walk on, written to `out`. Empty if
    /// there was none, or the walk has come to its end.
    pub(crate) fn front_key(&self, out: &mut Vec<u8>) {
        out.clear();
        if let End::Yielded(cursor) = &self.front {
            cursor.key(out);
        }
    }

    /// The same for `next_back`.
    pub(crate) fn back_key(&self, out: &mut Vec<u8>) {
        out.clear();
        if let End::Yielded(cursor) = &self.back {
            cursor.key(out);
        }
    }

    /// The root of the walk, and the ranks below it of what is still to be yielded; nothing if that
    /// is nothing.
    fn left(&self) -> Option<(Link, std::ops::Range<u64>)> {
        if self.done {
            return None;
        }
        let (root, from) = match &self.front {
            End::Whole(root) => (*root, 0),
            End::Next(cursor) => (cursor.root(), cursor.rank()),
            End::Yielded(cursor) => (cursor.root(), cursor.rank() + 1),
            End::Exhausted => return None,
        };
        let to = match &self.back {
            // SAFETY: the root is a node of the version that is borrowed.
            End::Whole(root) => unsafe { keys(*root) },
            End::Next(cursor) => cursor.rank() + 1,
            End::Yielded(cursor) => cursor.rank(),
            End::Exhausted => return None,
        };
        (from < to).then_some((root, from..to))
    }

    /// How many values are still to be yielded: O(depth), none is passed.
    pub(crate) fn len(&self) -> u64 {
        self.left().map_or(0, |(_, ranks)| ranks.end - ranks.start)
    }

    /// Goes on to the leaf that is `n` after what `next` would yield, or with `back` before what
    /// `next_back` would.
    fn skip_to(&mut self, n: usize, back: bool) -> Option<Link> {
        let n = n as u64;
        let found = self
            .left()
            .filter(|(_, ranks)| n < ranks.end - ranks.start)
            .map(|(root, ranks)| {
                let rank = if back {
                    ranks.end - 1 - n
                } else {
                    ranks.start + n
                };
                self.done = n + 1 == ranks.end - ranks.start;
                Cursor::of_rank(root, rank)
            });
        let end = if back {
            &mut self.back
        } else {
            &mut self.front
        };
        let Some(cursor) = found else {
            self.done = true;
            *end = End::Exhausted;
            return None;
        };
        let leaf = cursor.leaf;
        *end = End::Yielded(cursor);
        Some(leaf)
    }

    /// Moves an end by one leaf and says which; marks the walk done where the ends meet.
    #[inline]
    fn step(
        near: &mut End,
        far: &End,
        done: &mut bool,
        seek: fn(&mut Cursor, Link),
        walk: fn(&mut Cursor) -> bool,
    ) -> Option<Link> {
        if *done {
            return None;
        }
        let leaf = if let End::Yielded(cursor) = &mut *near {
            if !walk(cursor) {
                *near = End::Exhausted;
                *done = true;
                return None;
            }
            cursor.leaf
        } else {
            let cursor = match std::mem::replace(near, End::Exhausted) {
                End::Whole(root) => {
                    let mut cursor = Cursor::new();
                    seek(&mut cursor, root);
                    cursor.fresh = true;
                    cursor
                }
                End::Next(cursor) | End::Yielded(cursor) => cursor,
                End::Exhausted => return None,
            };
            let leaf = cursor.leaf;
            *near = End::Yielded(cursor);
            leaf
        };
        match far {
            // The other end has yielded this one.
            End::Yielded(cursor) if cursor.leaf == leaf => {
                *near = End::Exhausted;
                *done = true;
                None
            }
            // This is the last.
            End::Next(cursor) if cursor.leaf == leaf => {
                *done = true;
                Some(leaf)
            }
            _ => Some(leaf),
        }
    }
}

impl<'a, V: Value> Iterator for Range<'a, V> {
    type Item = &'a V;

    #[inline]
    fn next(&mut self) -> Option<&'a V> {
        let leaf = Self::step(
            &mut self.front,
            &self.back,
            &mut self.done,
            Cursor::down_first,
            Cursor::advance,
        )?;
        // SAFETY: the leaf is one of the tree's, which has values `V` and is borrowed for 'a.
        Some(unsafe { value(leaf) })
    }

    fn nth(&mut self, n: usize) -> Option<&'a V> {
        let leaf = self.skip_to(n, false)?;
        // SAFETY: as for `next`.
        Some(unsafe { value(leaf) })
    }
}

impl<'a, V: Value> DoubleEndedIterator for Range<'a, V> {
    fn next_back(&mut self) -> Option<&'a V> {
        let leaf = Self::step(
            &mut self.back,
            &self.front,
            &mut self.done,
            Cursor::down_last,
            Cursor::retreat,
        )?;
        // SAFETY: the leaf is one of the tree's, which has values `V` and is borrowed for 'a.
        Some(unsafe { value(leaf) })
    }

    fn nth_back(&mut self, n: usize) -> Option<&'a V> {
        let leaf = self.skip_to(n, true)?;
        // SAFETY: as for `next_back`.
        Some(unsafe { value(leaf) })
    }
}

impl<V: Value> std::iter::FusedIterator for Range<'_, V> {}

impl<'a, V: Value> Tree<'a, V> {
    /// Every value.
    pub(crate) fn iter(self) -> Range<'a, V> {
        Range::whole(self.raw.root)
    }

    /// The values of keys that begin with `prefix`. The keys that `front_key` gives then begin at
    /// the subtree, not at the tree's root.
    pub(crate) fn prefix(self, prefix: &[u8]) -> Range<'a, V> {
        // SAFETY: the tree is borrowed for 'a.
        Range::whole(unsafe { self.raw.covering(prefix) }.0)
    }

    /// How many bytes of `prefix` lead to the subtree that [`prefix`](Self::prefix) walks: what is
    /// before the keys that its walk gives.
    pub(crate) fn depth_of(self, prefix: &[u8]) -> usize {
        // SAFETY: as for `prefix`.
        unsafe { self.raw.covering(prefix).1 }
    }

    /// The values of keys `lo <= key`, and `key < hi` if there is a `hi`.
    pub(crate) fn range(self, lo: &[u8], hi: Option<&[u8]>) -> Range<'a, V> {
        let root = self.raw.root;
        if root.is_null() || hi.is_some_and(|hi| lo >= hi) {
            return Range::empty();
        }
        let mut range = Range::whole(root);
        if !lo.is_empty() {
            let Some(cursor) = Cursor::at_least(root, lo) else {
                return Range::empty();
            };
            range.front = End::Next(cursor);
        }
        if let Some(hi) = hi {
            let Some(cursor) = Cursor::before(root, hi) else {
                return Range::empty();
            };
            if let End::Next(front) = &range.front
                && front.order(&cursor) == Ordering::Greater
            {
                return Range::empty();
            }
            range.back = End::Next(cursor);
        }
        range
    }
}
