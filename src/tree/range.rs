//! The values of a range of keys, from either end.
//!
//! A [`Range`] is two ends that walk towards each other. Where a whole subtree is walked, an end is
//! only sought when it is first asked for; one that has gone some way in a large subtree looks
//! [`Ahead`].

use super::ahead::Ahead;
use super::cursor::{Backward, Cursor, Forward, Way};
use super::node::{Link, keys};
use super::read::value;
use super::{Tree, Value, prefetch};
use std::cmp::Ordering;
use std::marker::PhantomData;

/// After so many leaves a walk looks ahead: most end before.
const SHORT: u8 = 8;
/// Of a subtree with no more leaves all is asked for at the walk's first step instead.
const SMALL: u64 = prefetch::NEAREST as u64;

/// So many nodes beside the way of each end are looked at to say how many values are left.
const NEAR: usize = 16;

/// One end of a range.
#[derive(Clone, Debug)]
enum End {
    /// At the end of the whole subtree; not sought yet.
    Whole(Link),
    /// At a leaf that is still to be yielded.
    Next(Cursor),
    /// At the leaf that was yielded last, after so many moves.
    Yielded(Cursor, u8),
    /// Far beyond where it began.
    Ahead(Box<Ahead>),
    Exhausted,
}

impl End {
    /// Where it stands, if that is a leaf that has been yielded.
    #[inline]
    fn yielded(&self) -> Option<Link> {
        match self {
            End::Yielded(cursor, _) => Some(cursor.leaf),
            End::Ahead(ahead) => Some(ahead.last()),
            End::Whole(_) | End::Next(_) | End::Exhausted => None,
        }
    }

    /// Moves by one leaf.
    #[inline]
    fn go<W: Way>(&mut self) -> Option<Link> {
        if let End::Ahead(ahead) = self {
            return ahead.next::<W>();
        }
        self.go_near::<W>()
    }

    /// The same of one that does not look ahead yet.
    fn go_near<W: Way>(&mut self) -> Option<Link> {
        match self {
            End::Yielded(cursor, moves) if *moves < SHORT => {
                if *moves == 0 {
                    look_around::<W>(cursor);
                }
                *moves += 1;
                return cursor.go::<W>().then_some(cursor.leaf);
            }
            // SAFETY: the root is a node of the version that is borrowed.
            End::Yielded(cursor, _) if unsafe { keys(cursor.root()) } <= SMALL => {
                return cursor.go::<W>().then_some(cursor.leaf);
            }
            _ => {}
        }
        match std::mem::replace(self, End::Exhausted) {
            End::Whole(root) => *self = End::Yielded(Cursor::of_first::<W>(root), 0),
            End::Next(cursor) => *self = End::Yielded(cursor, 0),
            End::Yielded(cursor, _) => {
                let mut ahead = Box::new(Ahead::of::<W>(cursor));
                let leaf = ahead.next::<W>();
                *self = End::Ahead(ahead);
                return leaf;
            }
            End::Ahead(_) | End::Exhausted => {}
        }
        self.yielded()
    }

    /// How many leaves of the subtree are not to be yielded any more on this side, if that is near.
    fn passed<W: Way>(&self) -> Option<u64> {
        match self {
            End::Whole(_) => Some(0),
            End::Next(cursor) => cursor.passed::<W>(NEAR),
            End::Yielded(cursor, _) => cursor.passed::<W>(NEAR).map(|passed| passed + 1),
            End::Ahead(ahead) => ahead.passed::<W>(NEAR),
            End::Exhausted => None,
        }
    }

    /// The root of the walk, while there is something to be yielded.
    fn root(&self) -> Option<Link> {
        match self {
            End::Whole(root) => Some(*root),
            End::Next(cursor) | End::Yielded(cursor, _) => Some(cursor.root()),
            End::Ahead(ahead) => Some(ahead.root()),
            End::Exhausted => None,
        }
    }

    /// The key of the leaf that was yielded last, from the root of the walk on.
    fn key(&self, back: bool, out: &mut Vec<u8>) {
        match self {
            End::Yielded(cursor, _) => cursor.key(out),
            End::Ahead(ahead) => Cursor::of_rank(ahead.root(), ahead.rank(back)).key(out),
            End::Whole(_) | End::Next(_) | End::Exhausted => {}
        }
    }
}

/// At the first move of a walk: asks for what is nearest to the subtree's root, and for what comes
/// next. Not earlier, since many walks end at the first leaf.
fn look_around<W: Way>(cursor: &Cursor) {
    let (Some(root), Some(last)) = (cursor.path.first(), cursor.path.last()) else {
        return;
    };
    // SAFETY: as for all blocks of `Cursor`.
    unsafe {
        prefetch::below(root.node);
        let next = W::next(last.node, last.place);
        prefetch::children_from::<W>(last.node, next, usize::from(SHORT));
    }
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

    /// The key that `next` yielded last, from the root of the walk on, written to `out`. Without
    /// meaning once `next` has said that there is no more; empty if it was not asked yet.
    pub(crate) fn front_key(&self, out: &mut Vec<u8>) {
        out.clear();
        self.front.key(false, out);
    }

    /// The same for `next_back`.
    pub(crate) fn back_key(&self, out: &mut Vec<u8>) {
        out.clear();
        self.back.key(true, out);
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
            End::Yielded(cursor, _) => (cursor.root(), cursor.rank() + 1),
            End::Ahead(ahead) => (ahead.root(), ahead.rank(false) + 1),
            End::Exhausted => return None,
        };
        let to = match &self.back {
            // SAFETY: the root is a node of the version that is borrowed.
            End::Whole(root) => unsafe { keys(*root) },
            End::Next(cursor) => cursor.rank() + 1,
            End::Yielded(cursor, _) => cursor.rank(),
            End::Ahead(ahead) => ahead.rank(true),
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
        *end = End::Yielded(cursor, 0);
        Some(leaf)
    }

    /// Moves an end by one leaf and says which; marks the walk done where the ends meet.
    #[inline]
    fn step<W: Way>(near: &mut End, far: &End, done: &mut bool) -> Option<Link> {
        if *done {
            return None;
        }
        let leaf = near.go::<W>();
        if leaf.is_none() || far.yielded() == leaf {
            // There are no more, or the other end has yielded this one.
            *near = End::Exhausted;
            *done = true;
            return None;
        }
        if let End::Next(cursor) = far
            && leaf == Some(cursor.leaf)
        {
            // This is the last.
            *done = true;
        }
        leaf
    }
}

impl<'a, V: Value> Iterator for Range<'a, V> {
    type Item = &'a V;

    #[inline]
    fn next(&mut self) -> Option<&'a V> {
        let leaf = Self::step::<Forward>(&mut self.front, &self.back, &mut self.done)?;
        // SAFETY: the leaf is one of the tree's, which has values `V` and is borrowed for 'a.
        Some(unsafe { value(leaf) })
    }

    /// As far as that is known without a search: exact of a whole subtree, as long as neither end has
    /// gone far.
    fn size_hint(&self) -> (usize, Option<usize>) {
        let Some(root) = self.front.root().filter(|_| !self.done) else {
            return (0, Some(0));
        };
        // SAFETY: the root is a node of the version that is borrowed.
        let all = unsafe { keys(root) };
        let front = self.front.passed::<Forward>();
        let back = self.back.passed::<Backward>();
        let most = all.saturating_sub(front.unwrap_or(0) + back.unwrap_or(0));
        let is_exact = front.is_some() && back.is_some();
        let count = |n| usize::try_from(n).unwrap_or(usize::MAX);
        (if is_exact { count(most) } else { 0 }, Some(count(most)))
    }

    fn nth(&mut self, n: usize) -> Option<&'a V> {
        let leaf = self.skip_to(n, false)?;
        // SAFETY: as for `next`.
        Some(unsafe { value(leaf) })
    }
}

impl<'a, V: Value> DoubleEndedIterator for Range<'a, V> {
    fn next_back(&mut self) -> Option<&'a V> {
        let leaf = Self::step::<Backward>(&mut self.back, &self.front, &mut self.done)?;
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
