//! Counting keys, and finding the n-th, without a walk over them.
//!
//! Each inner node counts the keys at and below it. A key's rank, the number of keys before it, is
//! the sum over the nodes that its path leaves on the left; the key of a rank is found on the way
//! down. Both look at the children along one path: O(depth x fan-out), whatever lies between.

use super::children::{child_at, first_place, next_place};
use super::cursor::{Cursor, Frame, Way};
use super::node::{Link, Place, is_leaf, keys};

/// How many keys are below `node` before the child at `place`, its own key included.
unsafe fn before(node: Link, place: Place) -> u64 {
    // SAFETY: the caller's: `node` is a live inner node, and its children are live.
    unsafe {
        let mut sum = 0;
        let mut at = Some(first_place(node));
        while let Some(other) = at.filter(|&other| other < place) {
            sum += keys(child_at(node, other));
            at = next_place(node, other);
        }
        sum
    }
}

// SAFETY of both blocks: the nodes on and below a cursor's path are live and not written for as long
// as it lives (see `cursor.rs`).
impl Cursor {
    /// How many leaves there are before this one, from the root of the walk on.
    pub(super) fn rank(&self) -> u64 {
        let frames = self.path.iter();
        // SAFETY: see above.
        unsafe { frames.map(|frame| before(frame.node, frame.place)).sum() }
    }

    /// How many leaves a walk passes from the root on before it comes to this one, unless that takes a
    /// look at more nodes beside the path than `most`.
    pub(super) fn passed<W: Way>(&self, mut most: usize) -> Option<u64> {
        let mut sum = 0;
        for frame in &self.path {
            // SAFETY: see above; the walk comes to each place of the path.
            unsafe {
                let mut place = W::first(frame.node);
                while place != frame.place {
                    most = most.checked_sub(1)?;
                    sum += keys(child_at(frame.node, place));
                    place = W::next(frame.node, place)?;
                }
            }
        }
        Some(sum)
    }

    /// The leaf that has `rank` others before it. There must be one.
    pub(super) fn of_rank(root: Link, mut rank: u64) -> Cursor {
        let mut cursor = Cursor::new();
        let mut node = root;
        // SAFETY: see above; `rank` is less than what the node counts, so a child has it.
        unsafe {
            while !is_leaf(node) {
                let mut place = first_place(node);
                let mut child = child_at(node, place);
                while keys(child) <= rank {
                    rank -= keys(child);
                    place = next_place(node, place).expect("the node counts as many");
                    child = child_at(node, place);
                }
                cursor.path.push(Frame { node, place });
                node = child;
            }
        }
        cursor.leaf = node;
        cursor
    }
}
