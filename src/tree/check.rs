//! Testing every structural invariant of a tree.

use super::RawTree;
use super::children::{byte_at, child_at, child_link, for_each_below, next_place, worth_shrinking};
use super::node::{
    Inner, Link, OWN, birth, children, is_leaf, key_bytes, keys as keys_of, layout, own, size,
};
use super::stamp::tree_of;

impl RawTree {
    /// Panics, saying what is wrong, if an invariant of this tree does not hold. Visits every node.
    ///
    /// # Safety
    /// Every node of this version is live.
    pub(crate) unsafe fn check(&self, generation: u64) {
        assert!(
            self.structure <= self.below,
            "header: structure after below"
        );
        let (mut keys, mut bytes) = (0, 0);
        let mut open: Vec<(Link, u64, u64, usize)> = Vec::new();
        if !self.root.is_null() {
            open.push((self.root, generation, self.below, 0));
        }
        while let Some((node, born, below, depth)) = open.pop() {
            // SAFETY: the caller's: every node is live.
            unsafe {
                assert!(birth(node) <= born, "a node is older than its child");
                assert!((*node).below <= below, "a child changed after its parent");
                bytes += size(node) as u64;
                let depth = depth + key_bytes(node).len();
                assert!(u16::try_from(depth).is_ok(), "a path is longer than a key");
                if is_leaf(node) {
                    assert_eq!(tree_of(node), self.id, "a leaf of another tree");
                    keys += 1;
                    continue;
                }
                let inner = node.cast::<Inner>();
                let leaf = own(node);
                let own = usize::from(!leaf.is_null());
                let children = children(node);
                assert!((*inner).structure <= (*node).below, "structure after below");
                assert!(
                    children >= 1 && children + own >= 2,
                    "an inner node with one way on"
                );
                assert!(children <= layout(node).room(), "more children than room");
                if own == 1 {
                    assert!(is_leaf(leaf) && key_bytes(leaf).is_empty());
                }
                let (mut seen, mut keys_below) = (0, 0);
                for_each_below(node, |child| {
                    seen += 1;
                    keys_below += keys_of(child);
                    open.push((child, birth(node), (*node).below, depth + 1));
                });
                assert_eq!(seen, children + own, "a child that cannot be reached");
                assert_eq!(
                    keys_of(node),
                    keys_below,
                    "a node counts other keys than there are"
                );
                let mut last = None;
                let mut at = next_place(node, OWN);
                while let Some(place) = at {
                    let byte = byte_at(node, place);
                    assert!(last < Some(byte), "children out of order");
                    let link = child_link(node, byte);
                    assert_eq!(*link, child_at(node, place), "two ways disagree");
                    last = Some(byte);
                    at = next_place(node, place);
                }
                assert!(!worth_shrinking(node), "a node that should have shrunk");
            }
        }
        assert_eq!(
            keys, self.len,
            "the header counts other keys than there are"
        );
        assert_eq!(
            bytes, self.bytes,
            "the header counts other bytes than there are"
        );
    }
}
