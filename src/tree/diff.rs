//! What is different between two versions of a tree.
//!
//! Versions share the nodes that are the same in both, so a pair of equal links ends the walk. What
//! differs is walked in both trees at once, in key order. Nodes need not begin and end at the same
//! bytes in both: one that was split or merged is met in the middle of its prefix.

use super::children::{byte_at, child_at, first_place, next_place};
use super::node::{Leaf, Link, OWN, common, is_leaf, key_bytes, own};
use super::read::value;
use super::{Tree, Value};
use std::cmp::Ordering;
use std::collections::VecDeque;
use std::marker::PhantomData;

/// A part of the two trees that may differ.
#[derive(Clone, Copy, Debug)]
enum Part {
    /// At and below a node of the older, nothing of the newer.
    Before(Link),
    /// The other way round.
    After(Link),
    /// At and below two nodes, of each all but the first bytes of its prefix or remainder.
    Both([Link; 2], [usize; 2]),
    /// Two leaves of one key.
    Same([Link; 2]),
}

/// The differences between two versions of a tree, in key order, from either end: for each key the
/// value in the older and in the newer one, at least one of them, and not the same.
pub(crate) struct Diff<'a, V> {
    /// In key order.
    open: VecDeque<Part>,
    /// What the part that is being looked at is made of, in key order.
    parts: Vec<Part>,
    /// How many parts were looked at.
    #[cfg(test)]
    pub(crate) looked_at: usize,
    values: PhantomData<&'a V>,
}

impl<V> Clone for Diff<'_, V> {
    fn clone(&self) -> Self {
        Diff {
            open: self.open.clone(),
            parts: Vec::new(),
            ..*self
        }
    }
}

// SAFETY: a shared borrow of nodes that nobody writes and of values that are `Sync`.
unsafe impl<V: Sync> Send for Diff<'_, V> {}
// SAFETY: as above.
unsafe impl<V: Sync> Sync for Diff<'_, V> {}

/// The leaf of the key that ends where the bytes of a node end.
unsafe fn ending(node: Link) -> Link {
    // SAFETY: the caller's: `node` is live.
    unsafe { if is_leaf(node) { node } else { own(node) } }
}

/// Calls `f` for each child of a node with its byte, in order. Leaves have none.
unsafe fn for_each_child(node: Link, mut f: impl FnMut(u8, Link)) {
    // SAFETY: the caller's: `node` is live.
    unsafe {
        if is_leaf(node) {
            return;
        }
        let mut at = next_place(node, OWN);
        while let Some(place) = at {
            f(byte_at(node, place), child_at(node, place));
            at = next_place(node, place);
        }
    }
}

impl<V> Diff<'_, V> {
    /// Pushes what is right below a node that only one tree has.
    ///
    /// # Safety
    /// `node` is a live inner node.
    unsafe fn open(&mut self, node: Link, part: fn(Link) -> Part) {
        // SAFETY: the caller's.
        unsafe {
            let mut at = Some(first_place(node));
            while let Some(place) = at {
                self.parts.push(part(child_at(node, place)));
                at = next_place(node, place);
            }
        }
    }

    /// Compares two nodes, from those bytes on, and pushes the parts that may differ.
    ///
    /// # Safety
    /// Both nodes are live, and the bytes are not more than they have.
    unsafe fn compare(&mut self, nodes: [Link; 2], used: [usize; 2]) {
        let [a, b] = nodes;
        // SAFETY: the caller's; what is below live nodes is live.
        unsafe {
            let rest = [&key_bytes(a)[used[0]..], &key_bytes(b)[used[1]..]];
            let shared = common(rest[0], rest[1]);
            match (rest[0].get(shared), rest[1].get(shared)) {
                (Some(byte), Some(other)) => {
                    self.parts.extend([Part::Before(a), Part::After(b)]);
                    if byte > other {
                        self.parts.reverse();
                    }
                }
                (None, Some(&byte)) => {
                    let rest = used[1] + shared + 1;
                    self.open_beside(a, Part::Before, byte, b, Part::After, |child| {
                        Part::Both([child, b], [0, rest])
                    });
                }
                (Some(&byte), None) => {
                    let rest = used[0] + shared + 1;
                    self.open_beside(b, Part::After, byte, a, Part::Before, |child| {
                        Part::Both([a, child], [rest, 0])
                    });
                }
                (None, None) => self.open_both(a, b),
            }
        }
    }

    /// Pushes, in order, what is at the end of `node`'s bytes and below, of which the other tree has
    /// only `other`, where `byte` leads.
    unsafe fn open_beside(
        &mut self,
        node: Link,
        part: fn(Link) -> Part,
        byte: u8,
        other: Link,
        other_part: fn(Link) -> Part,
        both: impl Fn(Link) -> Part,
    ) {
        // SAFETY: the caller's: both nodes are live.
        unsafe {
            let own = ending(node);
            if !own.is_null() {
                self.parts.push(part(own));
            }
            let mut left = Some(other);
            for_each_child(node, |at, child| {
                if at >= byte
                    && let Some(other) = left.take()
                {
                    if at == byte {
                        self.parts.push(both(child));
                        return;
                    }
                    self.parts.push(other_part(other));
                }
                self.parts.push(part(child));
            });
            self.parts.extend(left.map(other_part));
        }
    }

    /// Pushes, in order, what is at the end of two nodes' bytes and below, and may differ.
    unsafe fn open_both(&mut self, a: Link, b: Link) {
        // SAFETY: the caller's: both nodes are live.
        unsafe {
            let own = [ending(a), ending(b)];
            match own.map(|leaf| !leaf.is_null()) {
                [true, true] if own[0] != own[1] => self.parts.push(Part::Same(own)),
                [true, false] => self.parts.push(Part::Before(own[0])),
                [false, true] => self.parts.push(Part::After(own[1])),
                _ => {}
            }
            let first = |node| {
                if is_leaf(node) {
                    None
                } else {
                    next_place(node, OWN)
                }
            };
            let (mut at, mut to) = (first(a), first(b));
            loop {
                let order = match (at, to) {
                    (Some(x), Some(y)) => byte_at(a, x).cmp(&byte_at(b, y)),
                    (Some(_), None) => Ordering::Less,
                    (None, Some(_)) => Ordering::Greater,
                    (None, None) => return,
                };
                let next = |node: Link, place: &mut Option<u16>| {
                    let here = (*place)?;
                    *place = next_place(node, here);
                    Some(child_at(node, here))
                };
                match order {
                    Ordering::Less => self.parts.extend(next(a, &mut at).map(Part::Before)),
                    Ordering::Greater => self.parts.extend(next(b, &mut to).map(Part::After)),
                    Ordering::Equal => {
                        let pair = next(a, &mut at).zip(next(b, &mut to));
                        let differ = pair.filter(|(x, y)| x != y);
                        self.parts
                            .extend(differ.map(|(x, y)| Part::Both([x, y], [0, 0])));
                    }
                }
            }
        }
    }
}

impl<'a, V: Value> Diff<'a, V> {
    /// What differs, if a part is one key; else `parts` is what it is made of.
    fn look(&mut self, part: Part) -> Option<(Option<&'a V>, Option<&'a V>)> {
        #[cfg(test)]
        {
            self.looked_at += 1;
        }
        // SAFETY: every node reached from the two roots lives for 'a, and leaves hold a `V`.
        unsafe {
            match part {
                Part::Before(leaf) if is_leaf(leaf) => return Some((Some(value(leaf)), None)),
                Part::After(leaf) if is_leaf(leaf) => return Some((None, Some(value(leaf)))),
                Part::Before(node) => self.open(node, Part::Before),
                Part::After(node) => self.open(node, Part::After),
                Part::Both(nodes, used) => self.compare(nodes, used),
                Part::Same([a, b]) => {
                    let slot = |leaf: Link| (*leaf.cast::<Leaf>()).value.0;
                    if slot(a) != slot(b) {
                        return Some((Some(value(a)), Some(value(b))));
                    }
                }
            }
        }
        None
    }
}

impl<'a, V: Value> Iterator for Diff<'a, V> {
    type Item = (Option<&'a V>, Option<&'a V>);

    fn next(&mut self) -> Option<Self::Item> {
        while let Some(part) = self.open.pop_front() {
            if let Some(found) = self.look(part) {
                return Some(found);
            }
            for part in self.parts.drain(..).rev() {
                self.open.push_front(part);
            }
        }
        None
    }
}

impl<V: Value> DoubleEndedIterator for Diff<'_, V> {
    fn next_back(&mut self) -> Option<Self::Item> {
        while let Some(part) = self.open.pop_back() {
            if let Some(found) = self.look(part) {
                return Some(found);
            }
            self.open.extend(self.parts.drain(..));
        }
        None
    }
}

impl<V: Value> std::iter::FusedIterator for Diff<'_, V> {}

impl<'a, V: Value> Tree<'a, V> {
    /// What is different here from an older version: O(what differs), whichever versions they are.
    pub(crate) fn diff(self, older: Tree<'a, V>) -> Diff<'a, V> {
        let open = match [older.raw.root, self.raw.root] {
            [a, b] if a == b => None,
            [a, b] if a.is_null() => Some(Part::After(b)),
            [a, b] if b.is_null() => Some(Part::Before(a)),
            nodes => Some(Part::Both(nodes, [0, 0])),
        };
        Diff {
            open: open.into_iter().collect(),
            parts: Vec::new(),
            #[cfg(test)]
            looked_at: 0,
            values: PhantomData,
        }
    }
}
