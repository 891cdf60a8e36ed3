//! Changing a tree: insert and remove, by path copying, or in place where nobody else can look.
//!
//! A node born after [`Edits::floor`] is seen by this transaction alone and is edited in place;
//! any other is copied, and the old one retired. Both operations walk down once, making every
//! node on the path their own; they never recurse, and they touch no child beside the path. A new key
//! is counted in the nodes of the path once it is known to be new; one that goes, on the way down.
//!
//! Stamps: every node on the path gets `below`; `structure` goes to the node whose own slot or
//! set of edges changed, and to the parent of a node that was split or merged (the header is the
//! root's parent). A split keeps the old part's stamps; a merge keeps the later `below` of the
//! two. A leaf has no `structure`: its `below`, never smaller, stands in for it.

use super::children::{
    add_child, byte_at, child_at, child_link, first_place, for_each_below, remove_child,
    worth_shrinking,
};
use super::node::{
    Inner, KINDS, Layout, Leaf, Link, Pieces, Slot, birth, children, common, copy_inner,
    copy_whole, fitting, free, is_leaf, key_bytes, keys, kind, layout, new_inner, new_inner_with,
    new_leaf, own, own_link, set_birth, set_keys, size,
};
use super::pool::Pool;
use super::{Garbage, GarbageList, RawTree, Stamp, ValueKind};
use smallvec::SmallVec;
use std::ptr;

/// The inner nodes on the path to a key: rarely more.
type Above = SmallVec<[Link; 16]>;

/// How many retired nodes there is memory kept for, from one commit to the next.
pub(crate) const SPARE: usize = 1024;

/// What one transaction does to the trees of a store.
#[derive(Debug, Default)]
pub(crate) struct Edits {
    /// The birth of nodes made now.
    pub(crate) generation: u64,
    /// The newest generation that a version or a savepoint can still see.
    pub(crate) floor: u64,
    /// Nodes of the floor or older that the working trees no longer need.
    pub(crate) retired: Vec<Link>,
    /// Values whose leaves are gone, to be dropped when the engine is consistent.
    pub(crate) garbage: GarbageList,
    /// Nodes made less nodes freed, by kind, and their bytes.
    nodes: [isize; KINDS],
    bytes: isize,
    /// By how many bytes the tree that is being edited has grown.
    grown: isize,
    pool: Pool,
}

/// The memory of all versions of a store together.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    /// Nodes by kind: leaves, then inner nodes by their room.
    pub(crate) nodes: [usize; KINDS],
    /// What the nodes take.
    pub(crate) bytes: usize,
    /// What was asked of the allocator for them.
    pub(crate) reserved: usize,
}

impl Edits {
    /// Whether `node` may be edited in place.
    unsafe fn owns(&self, node: Link) -> bool {
        // SAFETY: the caller's: `node` is live.
        unsafe { birth(node) > self.floor }
    }

    /// What there is in memory now.
    pub(crate) fn usage(&self) -> Usage {
        Usage {
            nodes: self.nodes.map(isize::cast_unsigned),
            bytes: self.bytes.cast_unsigned(),
            reserved: self.pool.reserved(),
        }
    }

    /// Counts a node that was made for the tree that is being edited.
    unsafe fn count_new(&mut self, node: Link) -> Link {
        // SAFETY: the caller's: `node` is live.
        unsafe {
            self.nodes[kind(node) as usize] += 1;
            let size = size(node).cast_signed();
            self.bytes += size;
            self.grown += size;
        }
        node
    }

    /// Counts a node that the tree that is being edited no longer has.
    unsafe fn count_gone(&mut self, node: Link) {
        // SAFETY: the caller's: `node` is live.
        self.grown -= unsafe { size(node) }.cast_signed();
    }

    /// Counts a node and all below it that the tree that is being edited no longer has. Their bytes.
    pub(super) unsafe fn count_subtree_gone(&mut self, node: Link) -> u64 {
        let before = self.grown;
        let mut nodes = vec![node];
        while let Some(node) = nodes.pop() {
            // SAFETY: the caller's: the subtree is live.
            unsafe {
                self.count_gone(node);
                for_each_below(node, |below| nodes.push(below));
            }
        }
        before.abs_diff(self.grown) as u64
    }

    /// A new leaf of the tree that is being edited.
    pub(super) unsafe fn leaf(
        &mut self,
        tree: u16,
        below: Stamp,
        bytes: Pieces<'_>,
        value: Slot,
    ) -> Link {
        // SAFETY: a new leaf is live.
        unsafe {
            let node = new_leaf(&mut self.pool, self.generation, below, tree, bytes, value);
            self.count_new(node)
        }
    }

    /// A new inner node of it, with these children, which are in order.
    pub(super) unsafe fn inner(
        &mut self,
        stamp: Stamp,
        prefix: &[u8],
        own: Link,
        children: &[(u8, Link)],
    ) -> Link {
        // SAFETY: the caller's: own leaf and children are live and hang nowhere else. A new node is
        // live.
        unsafe {
            let node = new_inner_with(
                &mut self.pool,
                self.generation,
                stamp,
                prefix,
                own,
                children,
            );
            self.count_new(node)
        }
    }

    /// A new inner node of it for two to hang below, which have so many keys: both by a byte, or one
    /// as its own leaf.
    unsafe fn fork(&mut self, stamp: Stamp, prefix: &[u8], both: bool, keys: u64) -> Link {
        let layout = Layout::fitting(1 + usize::from(both), !both);
        // SAFETY: a new node is live, and nobody else sees it.
        unsafe {
            let node = new_inner(&mut self.pool, self.generation, stamp, prefix, layout);
            set_keys(node, keys);
            self.count_new(node)
        }
    }

    /// By how many bytes the tree that is being edited has grown since it was asked last.
    pub(super) fn take_grown(&mut self) -> isize {
        std::mem::take(&mut self.grown)
    }

    /// An empty one of the same generation, for another thread to make nodes with.
    pub(crate) fn beside(&self) -> Edits {
        Edits {
            generation: self.generation,
            floor: self.floor,
            ..Edits::default()
        }
    }

    /// Takes over what one [`beside`](Self::beside) this has made.
    pub(crate) fn absorb(&mut self, other: Edits) {
        debug_assert!(other.retired.is_empty() && other.garbage.is_empty());
        for (nodes, others) in self.nodes.iter_mut().zip(other.nodes) {
            *nodes += others;
        }
        self.bytes += other.bytes;
        self.pool.absorb(other.pool);
    }

    /// What was retired is taken over: the memory of a few is kept.
    pub(crate) fn clear_retired(&mut self) {
        self.retired.clear();
        self.retired.shrink_to(SPARE);
    }

    /// Keeps no memory that is not in use, but for what the chunks keep.
    pub(crate) fn give_back(&mut self) {
        self.pool.flush();
    }

    /// Frees a node's memory; a leaf's value must have been moved out.
    pub(crate) unsafe fn release(&mut self, node: Link) {
        // SAFETY: the caller's: `node` is live and nobody refers to it any more.
        unsafe {
            self.nodes[kind(node) as usize] -= 1;
            let size = size(node);
            self.bytes -= size.cast_signed();
            free(&mut self.pool, node, size);
        }
    }

    /// Frees a node that nobody refers to; a leaf's value becomes garbage.
    pub(crate) unsafe fn destroy(&mut self, node: Link, kinds: &[&'static ValueKind]) {
        // SAFETY: the caller's. A leaf names the tree that its value was made for.
        unsafe {
            if is_leaf(node) {
                let of = kinds[usize::from(layout(node).tree())];
                self.destroy_as(node, of);
            } else {
                self.release(node);
            }
        }
    }

    /// The same of a node of a tree with such values.
    pub(super) unsafe fn destroy_as(&mut self, node: Link, of: &'static ValueKind) {
        // SAFETY: the caller's: `node` is live and nobody refers to it any more, so its value has
        // no other owner.
        unsafe {
            if is_leaf(node) {
                let value = (*node.cast::<Leaf>()).value;
                self.garbage.push(Garbage::new(value, of));
            }
            self.release(node);
        }
    }

    /// An inner node is no longer in the working tree (its children may be, elsewhere).
    unsafe fn retire_inner(&mut self, node: Link) {
        // SAFETY: the caller's: `node` is live and unlinked. If this transaction owns it, nobody
        // else has ever seen it.
        unsafe {
            self.count_gone(node);
            if self.owns(node) {
                self.release(node);
            } else {
                self.retired.push(node);
            }
        }
    }

    /// A leaf with its value is no longer in the working tree.
    unsafe fn retire_leaf(&mut self, node: Link, of: &'static ValueKind) {
        // SAFETY: as for `retire_inner`; the value of an owned leaf has no other owner.
        unsafe {
            self.count_gone(node);
            if self.owns(node) {
                self.garbage
                    .push(Garbage::new((*node.cast::<Leaf>()).value, of));
                self.release(node);
            } else {
                self.retired.push(node);
            }
        }
    }

    /// A leaf's value for a new leaf in its place: moved out if the leaf is ours, else cloned.
    unsafe fn take_value(&mut self, node: Link, of: &'static ValueKind) -> Slot {
        // SAFETY: the caller's: `node` is a live leaf of a tree with values `of`, and unlinked.
        unsafe {
            let value = (*node.cast::<Leaf>()).value;
            self.count_gone(node);
            if self.owns(node) {
                self.release(node);
                value
            } else {
                let copy = (of.clone)(value);
                self.retired.push(node);
                copy
            }
        }
    }

    /// The inner node at `link` made ours, with room for `extra` more children, and if it is asked
    /// for, a place for an own leaf.
    pub(super) unsafe fn own_inner(
        &mut self,
        link: *mut Link,
        extra: usize,
        with_own: bool,
    ) -> Link {
        // SAFETY: the caller's: `link` is in the header or in a node of ours, and points to a
        // live inner node.
        unsafe {
            let node = *link;
            let new = if self.owns(node) {
                let old = layout(node);
                let children = children(node) + extra;
                let with_own = with_own || old.has_own();
                if children <= old.room() && with_own == old.has_own() {
                    // What is below it may be younger by now; births never rise on the way down.
                    set_birth(node, self.generation);
                    return node;
                }
                Layout::growing(children, with_own)
            } else {
                let new = fitting(node, extra, with_own);
                if new == layout(node) {
                    *link = self.replace_by_copy(node);
                    return *link;
                }
                new
            };
            self.replace_inner(link, &Pieces::from(key_bytes(node)), new)
        }
    }

    /// A copy of a node that others see, for its place; the old one is retired.
    unsafe fn replace_by_copy(&mut self, node: Link) -> Link {
        // SAFETY: the caller's: `node` is live, not ours, and is being unlinked.
        unsafe {
            let size = size(node);
            self.nodes[kind(node) as usize] += 1;
            self.bytes += size.cast_signed();
            self.retired.push(node);
            copy_whole(&mut self.pool, node, size, self.generation)
        }
    }

    /// Puts a copy with another prefix or layout in the place of the inner node at `link`.
    unsafe fn replace_inner(
        &mut self,
        link: *mut Link,
        prefix: &Pieces<'_>,
        layout: Layout,
    ) -> Link {
        // SAFETY: as for `own_inner`. The prefix may be the old node's own: it is read before
        // the old node is given up.
        unsafe {
            let node = *link;
            let copy = copy_inner(&mut self.pool, node, self.generation, prefix, layout);
            self.count_new(copy);
            *link = copy;
            self.retire_inner(node);
            copy
        }
    }

    /// Puts a leaf with another value in the place of the leaf at `link`.
    unsafe fn replace_value(
        &mut self,
        link: *mut Link,
        of: &'static ValueKind,
        value: Slot,
        stamp: Stamp,
    ) {
        // SAFETY: the caller's: `link` is in the header or in a node of ours and points to a live
        // leaf of a tree with values `of`.
        unsafe {
            let old = *link;
            if self.owns(old) {
                let leaf = old.cast::<Leaf>();
                self.garbage.push(Garbage::new((*leaf).value, of));
                (*leaf).value = value;
                (*old).below = stamp;
            } else {
                let leaf = self.replace_by_copy(old);
                (*leaf.cast::<Leaf>()).value = value;
                (*leaf).below = stamp;
                *link = leaf;
            }
        }
    }

    /// The leaf at `link` remade with other key bytes, value and stamp the same.
    unsafe fn remake_leaf(
        &mut self,
        old: Link,
        tree: u16,
        of: &'static ValueKind,
        below: Stamp,
        bytes: &[u8],
    ) -> Link {
        // SAFETY: the caller's: `old` is a live leaf that is being unlinked. Its bytes, which
        // `bytes` may be a part of, are copied before it is given up; the value is in two places
        // only until then.
        unsafe {
            let made = self.leaf(
                tree,
                below,
                Pieces::from(bytes),
                (*old.cast::<Leaf>()).value,
            );
            let value = self.take_value(old, of);
            (*made.cast::<Leaf>()).value = value;
            made
        }
    }

    /// Adds `key`, or replaces its value.
    ///
    /// # Safety
    /// `tree` is a working tree of this transaction: every node of it is live, and those born
    /// after the floor are seen by nobody else. `value` is of the tree's kind.
    pub(crate) unsafe fn insert(
        &mut self,
        tree: &mut RawTree,
        key: &[u8],
        value: Slot,
        stamp: Stamp,
    ) {
        let mut above = Above::new();
        // SAFETY: the caller's. What `put` notes was made ours on the way.
        unsafe {
            if self.put(tree, key, value, stamp, &mut above) {
                tree.len += 1;
                for node in above {
                    set_keys(node, keys(node) + 1);
                }
            }
        }
        tree.grow(self.take_grown());
    }

    /// See [`insert`](Self::insert). True if the key is new; `above` are then the inner nodes that
    /// do not count it yet.
    unsafe fn put(
        &mut self,
        tree: &mut RawTree,
        key: &[u8],
        value: Slot,
        stamp: Stamp,
        above: &mut Above,
    ) -> bool {
        let (id, of) = (tree.id, tree.kind);
        let mut link: *mut Link = &raw mut tree.root;
        let mut structure: *mut Stamp = &raw mut tree.structure;
        let mut rest = key;
        tree.below = stamp;
        // SAFETY: `link` and `structure` point into the header, or into a node that was made ours
        // one step before; so writing through them is seen by nobody else. Nodes reached through
        // them are live by the contract. Each node that is replaced is unlinked in the same step
        // and then given up.
        unsafe {
            loop {
                let node = *link;
                if node.is_null() {
                    *link = self.leaf(id, stamp, Pieces::from(rest), value);
                    *structure = stamp;
                    return true;
                }
                let bytes = key_bytes(node);
                let k = common(bytes, rest);
                if is_leaf(node) {
                    if k == bytes.len() && k == rest.len() {
                        self.replace_value(link, of, value, stamp);
                        return false;
                    }
                    // The edge is split (unless the new key only goes on where the old one ends).
                    let mid = self.fork(stamp, &rest[..k], k < bytes.len() && k < rest.len(), 2);
                    if k < bytes.len() {
                        *structure = stamp;
                    }
                    let below = (*node).below;
                    let edge = bytes.get(k).copied();
                    let after = bytes.get(k + 1..).unwrap_or(&[]);
                    let old = self.remake_leaf(node, id, of, below, after);
                    hang(mid, edge, old);
                    let after = rest.get(k + 1..).unwrap_or(&[]);
                    let new = self.leaf(id, stamp, Pieces::from(after), value);
                    hang(mid, rest.get(k).copied(), new);
                    *link = mid;
                    return true;
                }
                if k < bytes.len() {
                    let mid = self.fork(stamp, &bytes[..k], k < rest.len(), keys(node) + 1);
                    let edge = bytes[k];
                    let rest_of_old = Pieces::from(&bytes[k + 1..]);
                    let old = self.replace_inner(link, &rest_of_old, fitting(node, 0, false));
                    add_child(mid, edge, old);
                    let after = rest.get(k + 1..).unwrap_or(&[]);
                    let new = self.leaf(id, stamp, Pieces::from(after), value);
                    hang(mid, rest.get(k).copied(), new);
                    *link = mid;
                    *structure = stamp;
                    return true;
                }
                rest = &rest[k..];
                let Some((&byte, after)) = rest.split_first() else {
                    let node = self.own_inner(link, 0, true);
                    (*node).below = stamp;
                    let own = own_link(node);
                    let new = (*own).is_null();
                    if new {
                        *own = self.leaf(id, stamp, Pieces::from(rest), value);
                        (*node.cast::<Inner>()).structure = stamp;
                        above.push(node);
                    } else {
                        self.replace_value(own, of, value, stamp);
                    }
                    return new;
                };
                if child_link(node, byte).is_null() {
                    let node = self.own_inner(link, 1, false);
                    let new = self.leaf(id, stamp, Pieces::from(after), value);
                    add_child(node, byte, new);
                    (*node).below = stamp;
                    (*node.cast::<Inner>()).structure = stamp;
                    above.push(node);
                    return true;
                }
                let node = self.own_inner(link, 0, false);
                (*node).below = stamp;
                above.push(node);
                link = child_link(node, byte);
                structure = &raw mut (*node.cast::<Inner>()).structure;
                rest = after;
            }
        }
    }

    /// Removes `key`; false if it is absent, and nothing is touched then.
    ///
    /// # Safety
    /// As for [`insert`](Self::insert).
    pub(crate) unsafe fn remove(&mut self, tree: &mut RawTree, key: &[u8], stamp: Stamp) -> bool {
        // SAFETY: the caller's.
        let found = unsafe { self.take_out(tree, key, stamp) };
        tree.grow(self.take_grown());
        found
    }

    /// See [`remove`](Self::remove).
    unsafe fn take_out(&mut self, tree: &mut RawTree, key: &[u8], stamp: Stamp) -> bool {
        // SAFETY: as for `insert`; `parent` is the link of a node of ours once it is set.
        unsafe {
            if super::read::find(tree.root, key).is_none() {
                return false;
            }
            let of = tree.kind;
            let mut link: *mut Link = &raw mut tree.root;
            let mut structure: *mut Stamp = &raw mut tree.structure;
            let mut parent: Option<(*mut Link, *mut Stamp, u8)> = None;
            let mut rest = key;
            tree.below = stamp;
            tree.len -= 1;
            loop {
                let node = *link;
                if is_leaf(node) {
                    let Some((above, above_structure, byte)) = parent else {
                        tree.root = ptr::null_mut();
                        tree.structure = stamp;
                        self.retire_leaf(node, of);
                        return true;
                    };
                    remove_child(*above, byte);
                    self.retire_leaf(node, of);
                    self.settle(tree.id, of, above, above_structure, stamp);
                    return true;
                }
                let mine = self.own_inner(link, 0, false);
                (*mine).below = stamp;
                set_keys(mine, keys(mine) - 1);
                rest = &rest[key_bytes(mine).len()..];
                let Some((&byte, after)) = rest.split_first() else {
                    let own = ptr::replace(own_link(mine), ptr::null_mut());
                    self.retire_leaf(own, of);
                    self.settle(tree.id, of, link, structure, stamp);
                    return true;
                };
                parent = Some((link, structure, byte));
                link = child_link(mine, byte);
                structure = &raw mut (*mine.cast::<Inner>()).structure;
                rest = after;
            }
        }
    }

    /// Brings the inner node at `link`, which has just lost a key or a child, back into shape.
    /// `structure` is its parent's.
    pub(super) unsafe fn settle(
        &mut self,
        tree: u16,
        of: &'static ValueKind,
        link: *mut Link,
        structure: *mut Stamp,
        stamp: Stamp,
    ) {
        // SAFETY: the caller's: the node at `link` is ours, and so is what `link` and `structure`
        // are in.
        unsafe {
            let node = *link;
            let inner = node.cast::<Inner>();
            (*inner).structure = stamp;
            match (children(node), own(node).is_null()) {
                // Only the own key is left: a leaf again.
                (0, false) => {
                    *link = self.remake_leaf(own(node), tree, of, stamp, key_bytes(node));
                    self.retire_inner(node);
                }
                // An inner node with one child and no key is merged with the child.
                (1, true) => {
                    let place = first_place(node);
                    let edge = byte_at(node, place);
                    let mut child = child_at(node, place);
                    let below = (*child).below.max((*node).below);
                    let bytes = Pieces(key_bytes(node), Some(edge), key_bytes(child));
                    if is_leaf(child) {
                        let value = (*child.cast::<Leaf>()).value;
                        let made = self.leaf(tree, below, bytes, value);
                        let value = self.take_value(child, of);
                        (*made.cast::<Leaf>()).value = value;
                        *link = made;
                    } else {
                        let layout = fitting(child, 0, false);
                        let made = self.replace_inner(&raw mut child, &bytes, layout);
                        (*made).below = below;
                        *link = made;
                    }
                    *structure = stamp;
                    self.retire_inner(node);
                }
                _ => {
                    if worth_shrinking(node) {
                        let prefix = Pieces::from(key_bytes(node));
                        self.replace_inner(link, &prefix, fitting(node, 0, false));
                    }
                }
            }
        }
    }
}

/// Hangs a node below `mid`: by a byte, or as its own leaf.
unsafe fn hang(mid: Link, edge: Option<u8>, node: Link) {
    // SAFETY: the caller's: `mid` is a fresh fork, which has room for it.
    unsafe {
        match edge {
            Some(byte) => add_child(mid, byte, node),
            None => *own_link(mid) = node,
        }
    }
}
