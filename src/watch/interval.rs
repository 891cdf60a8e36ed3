//! An interval tree: which half-open ranges of byte strings contain a key.
//!
//! An AVL tree in an arena, ordered by lower and then upper bound; each node knows which node at
//! or below it reaches furthest, so that whole subtrees that end before a key are passed over.
//! With `n` distinct ranges, insertion and removal compare `O(log n)` keys; finding the `h` ranges
//! that contain a key visits `O(log n)` nodes and the ancestors of the `h`, so at most
//! `O((1 + h) log n)`. Where it recurses, the depth is that of an AVL tree of fewer than 2^32
//! nodes: at most 46.
use super::slab::{NIL, Slab};
use smallvec::SmallVec;
use std::cmp::Ordering;

/// More nodes than any way down has, so that none needs the heap.
const DEPTH: usize = 48;
/// A way down: nodes, and whether each was left by its left child.
type Path = SmallVec<[(u32, bool); DEPTH]>;

/// A map from ranges to `T` whose entries have a number.
pub(super) struct IntervalTree<T> {
    nodes: Slab<Node<T>>,
    root: u32,
}

struct Node<T> {
    lo: Box<[u8]>,
    /// `None`: no upper bound.
    hi: Option<Box<[u8]>>,
    left: u32,
    right: u32,
    /// The node at or below this one with the greatest upper bound.
    furthest: u32,
    height: u8,
    value: T,
}

/// Compares upper bounds.
fn cmp_hi(a: Option<&[u8]>, b: Option<&[u8]>) -> Ordering {
    match (a, b) {
        (Some(a), Some(b)) => a.cmp(b),
        (a, b) => a.is_none().cmp(&b.is_none()),
    }
}

impl<T: Default> IntervalTree<T> {
    pub(super) fn new() -> Self {
        IntervalTree {
            nodes: Slab::new(),
            root: NIL,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    pub(super) fn value_mut(&mut self, id: u32) -> &mut T {
        &mut self.nodes[id].value
    }

    /// The range that has this number.
    pub(super) fn range(&self, id: u32) -> (&[u8], Option<&[u8]>) {
        let node = &self.nodes[id];
        (&node.lo, node.hi.as_deref())
    }

    /// The number of the range `lo <= key < hi`, which is added if need be.
    pub(super) fn find_or_insert(&mut self, lo: Box<[u8]>, hi: Option<Box<[u8]>>) -> u32 {
        let mut path = Path::new();
        let mut at = self.root;
        while at != NIL {
            let node = &self.nodes[at];
            at = match lo
                .cmp(&node.lo)
                .then_with(|| cmp_hi(hi.as_deref(), node.hi.as_deref()))
            {
                Ordering::Less => {
                    path.push((at, true));
                    node.left
                }
                Ordering::Greater => {
                    path.push((at, false));
                    node.right
                }
                Ordering::Equal => return at,
            };
        }
        let node = Node {
            lo,
            hi,
            left: NIL,
            right: NIL,
            furthest: NIL,
            height: 1,
            value: T::default(),
        };
        let id = self.nodes.insert(node);
        self.nodes[id].furthest = id;
        self.relink(path, id);
        id
    }

    pub(super) fn remove(&mut self, id: u32) {
        let mut path = Path::new();
        let mut at = self.root;
        while at != id {
            let (node, wanted) = (&self.nodes[at], &self.nodes[id]);
            let left = wanted
                .lo
                .cmp(&node.lo)
                .then_with(|| cmp_hi(wanted.hi.as_deref(), node.hi.as_deref()))
                .is_lt();
            path.push((at, left));
            at = if left { node.left } else { node.right };
        }
        let Node { left, right, .. } = self.nodes[id];
        let heir = if left == NIL {
            right
        } else if right == NIL {
            left
        } else {
            let (heir, right) = self.take_least(right);
            self.nodes[heir].left = left;
            self.nodes[heir].right = right;
            self.balance(heir)
        };
        self.nodes.remove(id);
        self.relink(path, heir);
    }

    /// Calls `found` with the number of each range that contains `key`.
    pub(super) fn containing(&self, key: &[u8], mut found: impl FnMut(u32)) {
        let reaches = |id: u32| self.nodes[id].hi.as_deref().is_none_or(|hi| key < hi);
        let mut pending = SmallVec::<[u32; DEPTH]>::new();
        let mut at = self.root;
        loop {
            while at != NIL && reaches(self.nodes[at].furthest) {
                let node = &self.nodes[at];
                // Nothing to the right of a node that begins after the key can contain it.
                if *node.lo <= *key {
                    if reaches(at) {
                        found(at);
                    }
                    pending.push(node.right);
                }
                at = node.left;
            }
            match pending.pop() {
                Some(right) => at = right,
                None => return,
            }
        }
    }

    /// Puts `child` in its place at the end of `path`, and restores balance and what nodes know of
    /// their subtrees upward, as far as anything changes.
    fn relink(&mut self, path: Path, mut child: u32) {
        for (parent, left) in path.into_iter().rev() {
            let node = &mut self.nodes[parent];
            *(if left {
                &mut node.left
            } else {
                &mut node.right
            }) = child;
            let before = (node.height, node.furthest);
            child = self.balance(parent);
            let node = &self.nodes[child];
            if child == parent && (node.height, node.furthest) == before {
                return;
            }
        }
        self.root = child;
    }

    /// Takes the least node out of a subtree: that node, and what the subtree has become.
    fn take_least(&mut self, at: u32) -> (u32, u32) {
        let Node { left, right, .. } = self.nodes[at];
        if left == NIL {
            return (at, right);
        }
        let (least, left) = self.take_least(left);
        self.nodes[at].left = left;
        (least, self.balance(at))
    }

    fn height(&self, id: u32) -> u8 {
        if id == NIL { 0 } else { self.nodes[id].height }
    }

    /// Brings what `id` knows of its subtree up to date.
    fn update(&mut self, id: u32) {
        let Node { left, right, .. } = self.nodes[id];
        let mut furthest = id;
        for child in [left, right] {
            if child != NIL {
                let candidate = self.nodes[child].furthest;
                let hi = |id: u32| self.nodes[id].hi.as_deref();
                if cmp_hi(hi(candidate), hi(furthest)).is_gt() {
                    furthest = candidate;
                }
            }
        }
        let height = 1 + self.height(left).max(self.height(right));
        let node = &mut self.nodes[id];
        node.furthest = furthest;
        node.height = height;
    }

    /// Updates `id`, whose children are in balance and differ in height by at most two, and
    /// rotates if they differ by two; returns the subtree's root.
    fn balance(&mut self, id: u32) -> u32 {
        let Node { left, right, .. } = self.nodes[id];
        if self.height(left) > self.height(right) + 1 {
            let Node {
                left: outer,
                right: inner,
                ..
            } = self.nodes[left];
            if self.height(inner) > self.height(outer) {
                self.nodes[id].left = self.rotate_left(left);
            }
            self.rotate_right(id)
        } else if self.height(right) > self.height(left) + 1 {
            let Node {
                left: inner,
                right: outer,
                ..
            } = self.nodes[right];
            if self.height(inner) > self.height(outer) {
                self.nodes[id].right = self.rotate_right(right);
            }
            self.rotate_left(id)
        } else {
            self.update(id);
            id
        }
    }

    fn rotate_left(&mut self, id: u32) -> u32 {
        let up = self.nodes[id].right;
        self.nodes[id].right = self.nodes[up].left;
        self.nodes[up].left = id;
        self.update(id);
        self.update(up);
        up
    }

    fn rotate_right(&mut self, id: u32) -> u32 {
        let up = self.nodes[id].left;
        self.nodes[id].left = self.nodes[up].right;
        self.nodes[up].right = id;
        self.update(id);
        self.update(up);
        up
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    type Range = (Box<[u8]>, Option<Box<[u8]>>);

    impl<T: Default> IntervalTree<T> {
        /// Checks order, balance and `furthest` below `id`; returns the height and the keys.
        fn check(&self, id: u32, keys: &mut Vec<Range>) -> u8 {
            if id == NIL {
                return 0;
            }
            let node = &self.nodes[id];
            let from = keys.len();
            let left = self.check(node.left, keys);
            keys.push((node.lo.clone(), node.hi.clone()));
            let right = self.check(node.right, keys);
            assert!(left.abs_diff(right) <= 1);
            assert_eq!(node.height, 1 + left.max(right));
            let furthest = self.nodes[node.furthest].hi.as_deref();
            let greatest = keys[from..]
                .iter()
                .map(|key| key.1.as_deref())
                .max_by(|a, b| cmp_hi(*a, *b));
            assert_eq!(Some(furthest), greatest);
            node.height
        }
    }

    #[derive(Clone, Debug)]
    enum Op {
        Insert(Vec<u8>, Option<Vec<u8>>),
        Remove(prop::sample::Index),
        Stab(Vec<u8>),
    }

    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec(prop_oneof![0..4u8, Just(255)], 0..5)
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            4 => (bytes(), prop::option::weighted(0.8, bytes())).prop_map(|(lo, hi)| Op::Insert(lo, hi)),
            2 => any::<prop::sample::Index>().prop_map(Op::Remove),
            2 => bytes().prop_map(Op::Stab),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        #[test]
        fn finds_what_a_list_finds(ops in prop::collection::vec(op(), 1..150)) {
            let mut tree = IntervalTree::<()>::new();
            let mut model: BTreeMap<u32, (Vec<u8>, Option<Vec<u8>>)> = BTreeMap::new();
            for op in ops {
                match op {
                    Op::Insert(lo, hi) => {
                        let id = tree.find_or_insert(lo.clone().into(), hi.clone().map(Into::into));
                        let range = (lo, hi);
                        if let Some((&old, _)) = model.iter().find(|(_, at)| **at == range) {
                            prop_assert_eq!(old, id);
                        } else {
                            prop_assert_eq!(model.insert(id, range), None);
                        }
                    }
                    Op::Remove(which) if !model.is_empty() => {
                        let id = *which.get(&model.keys().copied().collect::<Vec<_>>());
                        model.remove(&id);
                        tree.remove(id);
                    }
                    Op::Remove(_) => {}
                    Op::Stab(key) => {
                        let mut found = Vec::new();
                        tree.containing(&key, |id| found.push(id));
                        found.sort_unstable();
                        let naive: Vec<u32> = model
                            .iter()
                            .filter(|(_, (lo, hi))| {
                                *lo <= key && hi.as_ref().is_none_or(|hi| key < *hi)
                            })
                            .map(|(id, _)| *id)
                            .collect();
                        prop_assert_eq!(found, naive);
                    }
                }
                let mut keys = Vec::new();
                tree.check(tree.root, &mut keys);
                prop_assert_eq!(keys.len(), model.len());
                assert!(keys.is_sorted_by(|a, b| {
                    a.0.cmp(&b.0).then_with(|| cmp_hi(a.1.as_deref(), b.1.as_deref())).is_lt()
                }));
            }
            for id in model.into_keys() {
                tree.remove(id);
            }
            prop_assert!(tree.is_empty());
            prop_assert_eq!(tree.root, NIL);
        }
    }

    #[test]
    fn many_ranges_stay_shallow() {
        let mut tree = IntervalTree::<()>::new();
        for n in 0..20_000u32 {
            let lo = n.to_be_bytes();
            tree.find_or_insert(lo.into(), Some((n + 3).to_be_bytes().into()));
        }
        assert!(tree.nodes[tree.root].height <= 20);
        let mut found = 0;
        tree.containing(&10_000u32.to_be_bytes(), |_| found += 1);
        assert_eq!(found, 3);
    }
}
