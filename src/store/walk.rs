//! Walking sets of records that are all in the order of the primary key, met in any way, without
//! gathering them.
//!
//! Each set knows its head: the first record at or beyond where it was last sought. To seek a set is to
//! seek parts of it. Of an intersection each part is sought at what the one before is at, until all are
//! at one record; a union keeps its parts in a heap by their heads; of a difference, what is left is
//! sought beyond each record that is taken out. Bounds only go one way, so that a part which is far
//! enough already is not touched.
//!
//! However sets are nested, nothing recurses: [`Walk::seek`] keeps what it is in the midst of on a stack
//! of its own.

use super::rows::TreeOf;
use super::track;
use crate::key::KeyBuf;
use crate::schema::{Row, Table};
use crate::tree;
use crate::watch::Scope;
use std::cmp::Ordering;
use std::mem;
use std::sync::Arc;

/// A part of one tree whose entries are in the order of the primary key.
pub(super) struct Part<'a> {
    pub(super) of: TreeOf<'a>,
    pub(super) scope: Scope,
    /// What the entries begin with; the primary key follows.
    pub(super) key: KeyBuf,
}

impl Part<'_> {
    /// Whether it is the one record with a key of a unique index: its entry is that key alone.
    fn is_one<T: Table>(&self) -> bool {
        self.of.which > 0 && self.of.is_unique::<T>()
    }
}

/// How sets are made of others: as they were written, each after those that it is made of.
#[derive(Clone)]
pub(super) enum Term<'a> {
    Part(Arc<Part<'a>>),
    And,
    Or,
    Not,
}

/// A record and its primary key.
pub(super) type Found<'a, T> = (&'a Row<T>, KeyBuf);

/// The key that a set is sought at, and whether it is sought beyond that.
pub(super) type Place<'k> = Option<(&'k [u8], bool)>;

/// The walk over a part, and what it has found last.
struct Leaf<'a, T: Table> {
    part: Arc<Part<'a>>,
    rows: Option<tree::Range<'a, Row<T>>>,
    found: Option<Found<'a, T>>,
}

impl<T: Table> Clone for Leaf<'_, T> {
    fn clone(&self) -> Self {
        Leaf {
            part: Arc::clone(&self.part),
            rows: self.rows.clone(),
            found: self.found.clone(),
        }
    }
}

impl<'a, T: Table> Leaf<'a, T> {
    /// Goes on to the first record that is there or further on.
    fn seek(&mut self, back: bool, place: Place<'_>) {
        let found = |row: &'a Row<T>| {
            let mut key = KeyBuf::new();
            row.encode_key(&mut key);
            (row, key)
        };
        let is_there = |(_, key): &Found<'a, T>| is_at(key.as_bytes(), place, back);
        if self.part.is_one::<T>() {
            let row = self.part.of.tree::<T>().get(self.part.key.as_bytes());
            self.found = row.map(found).filter(is_there);
            return;
        }
        let step = |rows: &mut tree::Range<'a, Row<T>>| {
            let row = if back { rows.next_back() } else { rows.next() };
            row.map(found)
        };
        // Often the next one will do; if not, a search costs less than the steps in between.
        if let Some(rows) = &mut self.rows {
            self.found = step(rows);
            if self.found.as_ref().is_none_or(is_there) {
                return;
            }
        }
        let mut rows = self.part.entries(back, place);
        self.found = step(&mut rows);
        self.rows = Some(rows);
    }
}

impl<'a> Part<'a> {
    /// The entries from a place on.
    fn entries<T: Table>(&self, back: bool, place: Place<'_>) -> tree::Range<'a, Row<T>> {
        let mut range = track::range_of(&self.scope);
        if let Some((key, beyond)) = place {
            let mut entry = self.key.clone();
            entry.extend(key);
            if beyond != back {
                // The least after it.
                entry.push(0);
            }
            if back {
                range.hi = Some(match range.hi {
                    Some(hi) => hi.min(entry),
                    None => entry,
                });
            } else {
                range.lo = range.lo.max(entry);
            }
        }
        if range.is_empty() {
            return tree::Range::empty();
        }
        let hi = range.hi.as_ref().map(KeyBuf::as_bytes);
        self.of.tree().range(range.lo.as_bytes(), hi)
    }
}

/// Whether a walk that has got to `key` is at a place, or further on.
fn is_at(key: &[u8], place: Place<'_>, back: bool) -> bool {
    place.is_none_or(|(place, beyond)| {
        let order = if back { place.cmp(key) } else { key.cmp(place) };
        order.is_gt() || (order.is_eq() && !beyond)
    })
}

/// Where a set stands.
#[derive(Clone, Copy)]
enum Head {
    /// It was not sought yet.
    Fresh,
    /// At what this leaf has found.
    At(usize),
    /// There are no more.
    Ended,
}

/// What a set is made of. Sets are known by their numbers.
#[derive(Clone)]
enum Kind {
    Leaf(usize),
    /// Two sets or more.
    And(Vec<usize>),
    /// Two sets or more: a heap, with the one first that has got least far.
    Or(Vec<usize>),
    /// What is in the first and not in the second, and the key that was taken out last.
    Not([usize; 2], Vec<u8>),
}

impl Kind {
    fn as_and(&mut self) -> Option<&mut Vec<usize>> {
        match self {
            Kind::And(parts) => Some(parts),
            _ => None,
        }
    }

    fn as_or(&mut self) -> Option<&mut Vec<usize>> {
        match self {
            Kind::Or(parts) => Some(parts),
            _ => None,
        }
    }
}

#[derive(Clone)]
struct Node {
    kind: Kind,
    head: Head,
}

/// Where a set is sought.
#[derive(Clone, Copy)]
enum Bound {
    /// Where the whole is.
    Given,
    /// At the head of this set.
    Head(usize),
    /// Beyond what this set, a difference, has taken out last.
    Beyond(usize),
}

/// A set that is being sought.
#[derive(Clone, Copy)]
struct Frame {
    set: usize,
    bound: Bound,
    /// Which of its parts was sought last.
    part: Option<usize>,
    /// Of an intersection: how many of its parts are at the head of one of them.
    alike: usize,
    leader: usize,
}

impl Frame {
    fn new(set: usize, bound: Bound) -> Self {
        Frame {
            set,
            bound,
            part: None,
            alike: 0,
            leader: set,
        }
    }
}

/// A walk over sets that meet, one way.
pub(super) struct Walk<'a, T: Table> {
    back: bool,
    leaves: Vec<Leaf<'a, T>>,
    nodes: Vec<Node>,
    /// The sets that are being sought, each a part of the one before; none between two calls.
    stack: Vec<Frame>,
    place: Vec<u8>,
}

impl<T: Table> Clone for Walk<'_, T> {
    fn clone(&self) -> Self {
        Walk {
            back: self.back,
            leaves: self.leaves.clone(),
            nodes: self.nodes.clone(),
            stack: Vec::new(),
            place: Vec::new(),
        }
    }
}

impl<'a, T: Table> Walk<'a, T> {
    /// A walk over the set that the terms make up.
    pub(super) fn new<'t>(terms: impl Iterator<Item = &'t Term<'a>>, back: bool) -> Self
    where
        'a: 't,
    {
        let mut walk = Walk {
            back,
            leaves: Vec::new(),
            nodes: Vec::new(),
            stack: Vec::new(),
            place: Vec::new(),
        };
        let mut sets = Vec::new();
        for term in terms {
            let made = if let Term::Part(part) = term {
                walk.leaves.push(Leaf {
                    part: Arc::clone(part),
                    rows: None,
                    found: None,
                });
                Kind::Leaf(walk.leaves.len() - 1)
            } else {
                let mut pop = || sets.pop().expect("a term comes after its two sets");
                let (b, a) = (pop(), pop());
                match term {
                    Term::And => walk.intersection(a, b),
                    Term::Or => Kind::Or(walk.joined(a, b, Kind::as_or)),
                    Term::Not | Term::Part(_) => walk.difference(a, b),
                }
            };
            sets.push(walk.push(made));
        }
        walk
    }

    fn push(&mut self, kind: Kind) -> usize {
        let head = Head::Fresh;
        self.nodes.push(Node { kind, head });
        self.nodes.len() - 1
    }

    /// Two sets, or, if they are of the kind that they are to make, what they are made of.
    fn joined(
        &mut self,
        a: usize,
        b: usize,
        of_kind: fn(&mut Kind) -> Option<&mut Vec<usize>>,
    ) -> Vec<usize> {
        let mut parts = |set: usize| match of_kind(&mut self.nodes[set].kind) {
            Some(parts) => mem::take(parts),
            None => vec![set],
        };
        let (mut all, mut more) = (parts(a), parts(b));
        if all.len() < more.len() {
            mem::swap(&mut all, &mut more);
        }
        all.append(&mut more);
        all
    }

    /// What is in both. What is to be taken out of either is taken out last: it is looked for where all
    /// others meet, not at each record of one of them.
    fn intersection(&mut self, a: usize, b: usize) -> Kind {
        let split = |set: usize| match self.nodes[set].kind {
            Kind::Not([all, without], _) => (all, Some(without)),
            _ => (set, None),
        };
        let ((a, without_a), (b, without_b)) = (split(a), split(b));
        let both = Kind::And(self.joined(a, b, Kind::as_and));
        let without = match (without_a, without_b) {
            (Some(a), Some(b)) => {
                let either = Kind::Or(self.joined(a, b, Kind::as_or));
                self.push(either)
            }
            (Some(one), None) | (None, Some(one)) => one,
            (None, None) => return both,
        };
        Kind::Not([self.push(both), without], Vec::new())
    }

    /// What is in `a` and not in `b`.
    fn difference(&mut self, a: usize, b: usize) -> Kind {
        let Kind::Not([all, without], _) = self.nodes[a].kind else {
            return Kind::Not([a, b], Vec::new());
        };
        let without = self.joined(without, b, Kind::as_or);
        Kind::Not([all, self.push(Kind::Or(without))], Vec::new())
    }

    /// The first record at a place or further on. Places are further on from call to call.
    pub(super) fn seek(&mut self, given: Place<'_>) -> Option<&Found<'a, T>> {
        let whole = self.nodes.len() - 1;
        // None, unless a record's key has panicked.
        self.stack.clear();
        self.stack.push(Frame::new(whole, Bound::Given));
        while let Some(frame) = self.stack.pop() {
            if let Some((frame, part)) = self.step(frame, given) {
                self.stack.extend([frame, part]);
            }
        }
        match self.nodes[whole].head {
            Head::At(leaf) => self.leaves[leaf].found.as_ref(),
            Head::Fresh | Head::Ended => None,
        }
    }

    /// Goes on with a set: puts its head where it is sought, or says which part is to be sought first.
    fn step(&mut self, mut frame: Frame, given: Place<'_>) -> Option<(Frame, Frame)> {
        let set = frame.set;
        if frame.part.is_none() && self.is_far(set, frame.bound, given) {
            return None;
        }
        let next = match self.nodes[set].kind {
            Kind::Leaf(leaf) => Err(self.seek_leaf(leaf, frame.bound, given)),
            Kind::And(_) => self.step_and(&mut frame),
            Kind::Or(_) => {
                let first = self.first_of(set);
                if self.is_far(first, frame.bound, given) {
                    Err(self.nodes[first].head)
                } else {
                    frame.part = Some(0);
                    Ok((first, frame.bound))
                }
            }
            Kind::Not([all, without], _) => self.step_not(&mut frame, all, without),
        };
        match next {
            Ok((part, bound)) => Some((frame, Frame::new(part, bound))),
            Err(head) => {
                self.nodes[set].head = head;
                None
            }
        }
    }

    fn seek_leaf(&mut self, leaf: usize, bound: Bound, given: Place<'_>) -> Head {
        let mut key = mem::take(&mut self.place);
        key.clear();
        let place = self.place(bound, given).map(|(at, beyond)| {
            key.extend_from_slice(at);
            beyond
        });
        let of_leaf = &mut self.leaves[leaf];
        of_leaf.seek(self.back, place.map(|beyond| (&key[..], beyond)));
        self.place = key;
        match of_leaf.found {
            Some(_) => Head::At(leaf),
            None => Head::Ended,
        }
    }

    /// Each part is sought at the head of the one that has got furthest, until all are there.
    fn step_and(&self, frame: &mut Frame) -> Result<(usize, Bound), Head> {
        let Kind::And(parts) = &self.nodes[frame.set].kind else {
            return Err(Head::Ended);
        };
        let Some(at) = frame.part else {
            frame.part = Some(0);
            return Ok((parts[0], frame.bound));
        };
        let head = self.nodes[parts[at]].head;
        if !matches!(head, Head::At(_)) {
            return Err(head);
        }
        if frame.alike > 0 && self.key(parts[at]) == self.key(frame.leader) {
            frame.alike += 1;
        } else {
            (frame.alike, frame.leader) = (1, parts[at]);
        }
        if frame.alike == parts.len() {
            return Err(head);
        }
        let next = (at + 1) % parts.len();
        frame.part = Some(next);
        Ok((parts[next], Bound::Head(frame.leader)))
    }

    /// What is left is sought beyond each record that is taken out.
    fn step_not(
        &mut self,
        frame: &mut Frame,
        all: usize,
        without: usize,
    ) -> Result<(usize, Bound), Head> {
        let head = self.nodes[all].head;
        match frame.part {
            None => {
                frame.part = Some(0);
                Ok((all, frame.bound))
            }
            Some(0) if matches!(head, Head::At(_)) => {
                frame.part = Some(1);
                Ok((without, Bound::Head(all)))
            }
            Some(1) if self.key(without) == self.key(all) => {
                let key = self.key(all).unwrap_or_default().to_vec();
                if let Kind::Not(_, taken_out) = &mut self.nodes[frame.set].kind {
                    *taken_out = key;
                }
                frame.part = Some(0);
                Ok((all, Bound::Beyond(frame.set)))
            }
            Some(_) => Err(head),
        }
    }

    /// The part of a union that has got least far. Of its heap only the first may be out of place.
    fn first_of(&mut self, set: usize) -> usize {
        let Kind::Or(parts) = &mut self.nodes[set].kind else {
            return set;
        };
        let mut parts = mem::take(parts);
        let mut at = 0;
        loop {
            let below = [2 * at + 1, 2 * at + 2].into_iter();
            let below = below.filter(|&child| child < parts.len());
            let least = below.min_by(|&a, &b| self.compare(parts[a], parts[b]));
            match least {
                Some(least) if self.compare(parts[least], parts[at]).is_lt() => {
                    parts.swap(least, at);
                    at = least;
                }
                _ => break,
            }
        }
        let first = parts[0];
        self.nodes[set].kind = Kind::Or(parts);
        first
    }

    /// Which of two sets has got less far.
    fn compare(&self, a: usize, b: usize) -> Ordering {
        let rank = |set: usize| match self.nodes[set].head {
            Head::Fresh => 0,
            Head::At(_) => 1,
            Head::Ended => 2,
        };
        rank(a).cmp(&rank(b)).then_with(|| {
            let order = self.key(a).cmp(&self.key(b));
            if self.back { order.reverse() } else { order }
        })
    }

    /// The key that a set's head is at.
    fn key(&self, set: usize) -> Option<&[u8]> {
        let Head::At(leaf) = self.nodes[set].head else {
            return None;
        };
        self.leaves[leaf]
            .found
            .as_ref()
            .map(|(_, key)| key.as_bytes())
    }

    fn place<'k>(&'k self, bound: Bound, given: Place<'k>) -> Place<'k> {
        match bound {
            Bound::Given => given,
            Bound::Head(set) => self.key(set).map(|key| (key, false)),
            Bound::Beyond(set) => match &self.nodes[set].kind {
                Kind::Not(_, taken_out) => Some((taken_out, true)),
                _ => None,
            },
        }
    }

    /// Whether a set need not be sought: it has ended, or is there or further on.
    fn is_far(&self, set: usize, bound: Bound, given: Place<'_>) -> bool {
        match self.nodes[set].head {
            Head::Fresh => false,
            Head::Ended => true,
            Head::At(_) => self
                .key(set)
                .is_some_and(|key| is_at(key, self.place(bound, given), self.back)),
        }
    }
}
