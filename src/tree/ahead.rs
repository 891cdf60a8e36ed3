//! A long walk, which looks ahead.
//!
//! From one leaf to the next, a walk of a large tree would wait for the leaf's memory, and for its
//! value's, each time. [`Ahead`] goes on in batches instead, so that all of a batch is waited for at
//! once: it gathers small subtrees, which nodes count their keys for, asks for their nodes a level at
//! a time, and has their leaves ready, in order, long before they are yielded; values are asked
//! for a dozen leaves before. What it has ready is read from nodes that nobody writes, so looking ahead
//! changes nothing but the time a walk takes.
//!
//! It does not keep the path to the leaf that was yielded last. That is found by the leaf's rank, when
//! somebody asks.

use super::children::{child_at, children_in_order};
use super::cursor::{Cursor, Frame, Way};
use super::node::{Leaf, Link, Place, is_leaf, keys};
use super::prefetch;
use smallvec::SmallVec;
use std::ptr;

/// So many leaves are sought together, at most.
const BATCH: usize = 32;
/// The next batch is sought when no more are ready than these.
const LOW: usize = 16;
/// Room for what is ready, a batch and what was left, and for the leaf before.
const ROOM: usize = (BATCH + LOW + 1).next_power_of_two();
/// So many leaves are yielded between two looks at what is to be done.
const STRIDE: usize = 8;
/// A value is asked for so many leaves before it is yielded, or sooner.
const VALUES: usize = LOW - STRIDE;

/// A node, and the place of it that comes next.
#[derive(Clone, Copy, Debug)]
struct Turn {
    node: Link,
    place: Option<Place>,
}

/// Nodes in order: of a batch, so they are no more than its leaves.
#[derive(Clone, Copy, Debug)]
struct Nodes {
    nodes: [Link; BATCH],
    len: usize,
}

impl Nodes {
    const NONE: Nodes = Nodes {
        nodes: [ptr::null_mut(); BATCH],
        len: 0,
    };

    #[inline]
    fn push(&mut self, node: Link) {
        self.nodes[self.len] = node;
        self.len += 1;
    }

    fn as_slice(&self) -> &[Link] {
        &self.nodes[..self.len]
    }
}

/// The end of a walk from a leaf on.
#[derive(Clone, Debug)]
pub(super) struct Ahead {
    /// The leaf that it began behind.
    from: Cursor,
    /// On the way to what is sought next: nodes with more leaves than a batch, but for those it
    /// began in.
    path: SmallVec<[Turn; 10]>,
    /// The batch that is sought: its nodes are asked for.
    sought: Nodes,
    /// Leaves, by their numbers modulo `ROOM`: those before `at` were yielded, those before `end` are
    /// ready, and the values of those before `asked` are asked for.
    ready: [Link; ROOM],
    at: usize,
    asked: usize,
    end: usize,
    /// Where to look at what is to be done; no later than `end`.
    pause: usize,
}

// SAFETY of all blocks below: as for `Cursor`: what is reached from the walk's root is live, and none
// of it is written, for as long as the walk is.
impl Ahead {
    /// Goes on from a leaf that was yielded.
    pub(super) fn of<W: Way>(from: Cursor) -> Ahead {
        let turn = |frame: &Frame| Turn {
            node: frame.node,
            // SAFETY: see above.
            place: unsafe { W::next(frame.node, frame.place) },
        };
        Ahead {
            path: from.path.iter().map(turn).collect(),
            from,
            sought: Nodes::NONE,
            ready: [ptr::null_mut(); ROOM],
            at: 0,
            asked: 0,
            end: 0,
            pause: 0,
        }
    }

    /// The leaf that was yielded last.
    #[inline]
    pub(super) fn last(&self) -> Link {
        match self.at {
            0 => self.from.leaf,
            at => self.ready[(at - 1) % ROOM],
        }
    }

    /// Where the walk began.
    pub(super) fn root(&self) -> Link {
        self.from.root()
    }

    /// How many leaves the walk's root has before the one that was yielded last.
    pub(super) fn rank(&self, back: bool) -> u64 {
        let (from, yielded) = (self.from.rank(), self.at as u64);
        if back { from - yielded } else { from + yielded }
    }

    /// How many leaves the walk's root has up to the one that was yielded last, as
    /// [`passed`](Cursor::passed) says.
    pub(super) fn passed<W: Way>(&self, most: usize) -> Option<u64> {
        let before = self.from.passed::<W>(most)?;
        Some(before + 1 + self.at as u64)
    }

    #[inline]
    pub(super) fn next<W: Way>(&mut self) -> Option<Link> {
        if self.at == self.pause && !self.prepare::<W>() {
            return None;
        }
        let leaf = self.ready[self.at % ROOM];
        self.at += 1;
        Some(leaf)
    }

    /// Does what is to be done before more are yielded; false if there are no more.
    fn prepare<W: Way>(&mut self) -> bool {
        while self.end - self.at <= LOW && (self.sought.len > 0 || !self.path.is_empty()) {
            self.take::<W>();
            self.gather::<W>();
            self.open::<W>();
        }
        while self.asked < self.end.min(self.at + STRIDE + VALUES) {
            let leaf = self.ready[self.asked % ROOM].cast::<Leaf>();
            // SAFETY: see above; what is ready is leaves.
            unsafe { prefetch::in_pairs((*leaf).value.0) };
            self.asked += 1;
        }
        self.pause = self.end.min(self.at + STRIDE);
        self.at < self.end
    }

    /// What was sought is ready.
    fn take<W: Way>(&mut self) {
        while self.open::<W>() {}
        for &leaf in self.sought.as_slice() {
            self.ready[self.end % ROOM] = leaf;
            self.end += 1;
        }
        self.sought.len = 0;
    }

    /// Seeks the next subtrees, as many as have no more leaves than a batch.
    fn gather<W: Way>(&mut self) {
        let mut room = BATCH as u64;
        while let Some(turn) = self.path.last_mut() {
            let Some(place) = turn.place else {
                self.path.pop();
                continue;
            };
            // SAFETY: see above.
            unsafe {
                let node = child_at(turn.node, place);
                let keys = keys(node);
                if keys > BATCH as u64 {
                    turn.place = W::next(turn.node, place);
                    let place = Some(W::first(node));
                    self.path.push(Turn { node, place });
                    prefetch::children_from::<W>(node, place, BATCH);
                    continue;
                }
                if keys > room {
                    return;
                }
                room -= keys;
                turn.place = W::next(turn.node, place);
                self.sought.push(node);
            }
        }
    }

    /// Puts what is right below in the place of each inner node that is sought, and asks for it. False
    /// if all are leaves.
    fn open<W: Way>(&mut self) -> bool {
        // SAFETY: see above.
        unsafe {
            if self.sought.as_slice().iter().all(|&node| is_leaf(node)) {
                return false;
            }
            let mut opened = Nodes::NONE;
            for &node in self.sought.as_slice() {
                if is_leaf(node) {
                    opened.push(node);
                } else {
                    children_in_order::<W>(node, |below| {
                        prefetch::first_of(below);
                        opened.push(below);
                    });
                }
            }
            self.sought = opened;
            true
        }
    }
}
