//! Walking the values of a tree from the one that changed last.
//!
//! No structure is kept for it: `below` of a node is never earlier than the last change of a value
//! at or below it. So the node with the latest `below` is opened first, of all that border on what
//! was opened; a leaf whose value says it is as late as all that is left is next. Where values were
//! deleted `below` is later than what is left, and costs a look. What is not later than wanted is
//! never opened.

use super::children::{child_at, first_place, next_place};
use super::node::{Link, Place, is_leaf};
use super::read::value;
use super::{Stamp, Tree, Value};
use smallvec::SmallVec;
use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::marker::PhantomData;

/// A node that is not opened, or a leaf whose value's own stamp is known.
#[derive(Clone, Debug)]
struct Open {
    latest: Stamp,
    /// `latest` is the value's. It does not count in the order: what has the same path is the same leaf.
    exact: bool,
    node: Link,
    /// The places that lead to it: their order is that of the keys.
    path: SmallVec<[Place; 12]>,
}

impl Open {
    /// What is greatest is next: the latest; of as late ones the first by key, since what is below a node
    /// is after all that is before the node. So of nodes that are as late only one path is opened.
    fn rank(&self) -> (Stamp, Reverse<&[Place]>) {
        (self.latest, Reverse(&self.path))
    }
}

impl PartialEq for Open {
    fn eq(&self, other: &Self) -> bool {
        self.rank() == other.rank()
    }
}

impl Eq for Open {}

impl PartialOrd for Open {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Open {
    fn cmp(&self, other: &Self) -> Ordering {
        self.rank().cmp(&other.rank())
    }
}

/// The values of a tree that changed after a stamp, the latest first; those of one stamp by key.
#[derive(Debug)]
pub(crate) struct Newest<'a, V> {
    open: BinaryHeap<Open>,
    since: Stamp,
    stamp: fn(&V) -> Stamp,
    /// How many nodes and leaves were looked at.
    #[cfg(test)]
    pub(crate) looked_at: usize,
    values: PhantomData<&'a V>,
}

impl<V> Clone for Newest<'_, V> {
    fn clone(&self) -> Self {
        Newest {
            open: self.open.clone(),
            ..*self
        }
    }
}

// SAFETY: it is a shared borrow of nodes that nobody writes and of values that are `Sync`.
unsafe impl<V: Sync> Send for Newest<'_, V> {}
// SAFETY: as above.
unsafe impl<V: Sync> Sync for Newest<'_, V> {}

impl<V> Newest<'_, V> {
    fn push(&mut self, node: Link, path: SmallVec<[Place; 12]>) {
        // SAFETY: the nodes below the root of a borrowed tree are live.
        let latest = unsafe { (*node).below };
        if latest > self.since {
            self.open.push(Open {
                latest,
                exact: false,
                node,
                path,
            });
        }
    }
}

impl<'a, V: Value> Tree<'a, V> {
    /// The values that changed after `since`, the latest first. `stamp` says when a value changed
    /// last: what it was inserted with, or earlier.
    pub(crate) fn newest(self, since: Stamp, stamp: fn(&V) -> Stamp) -> Newest<'a, V> {
        let mut newest = Newest {
            open: BinaryHeap::new(),
            since,
            stamp,
            #[cfg(test)]
            looked_at: 0,
            values: PhantomData,
        };
        if !self.raw.root.is_null() {
            newest.push(self.raw.root, SmallVec::new());
        }
        newest
    }
}

impl<'a, V: Value> Iterator for Newest<'a, V> {
    type Item = &'a V;

    fn next(&mut self) -> Option<&'a V> {
        while let Some(mut open) = self.open.pop() {
            #[cfg(test)]
            {
                self.looked_at += 1;
            }
            // SAFETY: every node reached from the root is live for 'a, and a leaf of this tree
            // holds a `V`.
            unsafe {
                if is_leaf(open.node) {
                    let found: &'a V = value(open.node);
                    if open.exact {
                        return Some(found);
                    }
                    open.latest = (self.stamp)(found);
                    open.exact = true;
                    if open.latest > self.since {
                        self.open.push(open);
                    }
                    continue;
                }
                let mut at = Some(first_place(open.node));
                while let Some(place) = at {
                    let mut path = open.path.clone();
                    path.push(place);
                    self.push(child_at(open.node, place), path);
                    at = next_place(open.node, place);
                }
            }
        }
        None
    }
}
