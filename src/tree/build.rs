//! Building a tree from keys in order, bottom-up: each node is made once, at its final size.
//!
//! The inner nodes that may still get children are those on the path of the key that came last:
//! [`Builder::open`], from the root down. How much the next key shares with the last says which of
//! them are complete; only then is a node's prefix known, and the node made. So the work is in the
//! bytes of the keys, whatever they are, and nothing recurses. The tree is the one that inserting
//! the keys one by one would have made, since its shape is a function of the keys.

use super::children::for_each_below;
use super::edit::Edits;
use super::node::{Link, common};
use super::{Garbage, RawTree, Slot, Stamp, Value, ValueKind};
use std::ptr;

/// An inner node that is not made yet.
struct Open {
    /// How many bytes of the key are above it and in its prefix.
    depth: usize,
    own: Link,
    /// Where its children begin in [`Builder::children`].
    children: usize,
}

/// A tree that is being built.
struct Builder<'e> {
    edits: &'e mut Edits,
    tree: u16,
    kind: &'static ValueKind,
    stamp: Stamp,
    /// The last key, and its value: its leaf is made when the next key says what is left of it.
    key: Vec<u8>,
    value: Option<Slot>,
    open: Vec<Open>,
    /// The children of the open nodes, each with its byte; those of the deepest are last.
    children: Vec<(u8, Link)>,
}

impl Builder<'_> {
    /// Adds a key, which must be greater than the last.
    fn push(&mut self, key: &[u8], value: Slot) {
        let shared = common(&self.key, key);
        if let Some(last) = self.value.replace(value) {
            self.close(last, shared);
        }
        self.key.truncate(shared);
        self.key.extend_from_slice(&key[shared..]);
    }

    /// Makes the last key's leaf, and the nodes that are complete now that the next key shares only
    /// `shared` bytes with it.
    fn close(&mut self, value: Slot, shared: usize) {
        let above = self.above(shared);
        let leaf = self.leaf(value, Some(above));
        self.hang(leaf, above);
        while let Some(node) = self.open.pop_if(|node| node.depth > shared) {
            let above = self.above(shared);
            let node = self.inner(&node, Some(above));
            self.hang(node, above);
        }
    }

    /// Makes all that is left. The root; null if there was no key.
    fn finish(mut self) -> Link {
        let Some(value) = self.value.take() else {
            return ptr::null_mut();
        };
        let above = self.open.last().map(|node| node.depth);
        let mut made = self.leaf(value, above);
        let mut above = above;
        while let Some(depth) = above {
            self.hang(made, depth);
            let node = self.open.pop().expect("the last was at this depth");
            above = self.open.last().map(|node| node.depth);
            made = self.inner(&node, above);
        }
        made
    }

    /// The depth of the node that what is complete hangs below.
    fn above(&self, shared: usize) -> usize {
        self.open
            .last()
            .map_or(shared, |node| node.depth.max(shared))
    }

    /// Where the bytes of a node begin that hangs below one of this depth.
    fn start(above: Option<usize>) -> usize {
        above.map_or(0, |depth| depth + 1)
    }

    fn leaf(&mut self, value: Slot, above: Option<usize>) -> Link {
        let rest = self.key.get(Self::start(above)..).unwrap_or(&[]);
        // SAFETY: the value is of this tree, and moves into the leaf.
        unsafe { self.edits.leaf(self.tree, self.stamp, rest.into(), value) }
    }

    fn inner(&mut self, node: &Open, above: Option<usize>) -> Link {
        let prefix = &self.key[Self::start(above)..node.depth];
        let children = &self.children[node.children..];
        // SAFETY: the children were made here and hang nowhere else.
        let made = unsafe { self.edits.inner(self.stamp, prefix, node.own, children) };
        self.children.truncate(node.children);
        made
    }

    /// Hangs a node on the path of the last key below the open node of this depth.
    fn hang(&mut self, made: Link, above: usize) {
        let node = match self.open.last_mut() {
            Some(node) if node.depth == above => node,
            _ => self.open.push_mut(Open {
                depth: above,
                own: ptr::null_mut(),
                children: self.children.len(),
            }),
        };
        match self.key.get(above) {
            Some(&byte) => self.children.push((byte, made)),
            None => node.own = made,
        }
    }
}

/// What was made of keys that were not in order is in nobody's tree.
impl Drop for Builder<'_> {
    fn drop(&mut self) {
        let own = self.open.iter().map(|node| node.own);
        let children = self.children.iter().map(|(_, child)| *child);
        let mut nodes: Vec<Link> = own.chain(children).filter(|node| !node.is_null()).collect();
        // SAFETY: these nodes, and what is below them, were made here and hang nowhere else; the
        // value is of this tree.
        unsafe {
            while let Some(node) = nodes.pop() {
                for_each_below(node, |below| nodes.push(below));
                self.edits.destroy_as(node, self.kind);
            }
            if let Some(value) = self.value.take() {
                self.edits.garbage.push(Garbage::new(value, self.kind));
            }
        }
    }
}

impl RawTree {
    /// Fills this tree, which must be empty, with keys in order, each once.
    ///
    /// # Panics
    /// If the tree is not empty, or the keys are not in order.
    ///
    /// # Safety
    /// As for [`RawTree::insert`].
    pub(crate) unsafe fn build<V: Value, K: AsRef<[u8]>>(
        &mut self,
        edits: &mut Edits,
        entries: impl Iterator<Item = (K, V)>,
        stamp: Stamp,
    ) {
        self.assert_holds::<V>();
        assert!(self.root.is_null(), "a tree to build is empty");
        let mut builder = Builder {
            edits,
            tree: self.id,
            kind: self.kind,
            stamp,
            key: Vec::new(),
            value: None,
            open: Vec::new(),
            children: Vec::new(),
        };
        let mut len = 0;
        for (key, value) in entries {
            let key = key.as_ref();
            assert!(
                len == 0 || &builder.key[..] < key,
                "the keys of a tree to build are in order"
            );
            builder.push(key, Slot::of(value));
            len += 1;
        }
        if len > 0 {
            self.root = builder.finish();
            self.below = stamp;
            self.structure = stamp;
            self.len = len;
            self.grow(edits.take_grown());
        }
    }
}
