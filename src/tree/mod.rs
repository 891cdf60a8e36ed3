//! The persistent adaptive radix tree.
//!
//! An ordered map from byte strings to pointer-sized values, after Leis, Kemper and Neumann, "The
//! Adaptive Radix Tree" (ICDE 2013), made persistent by path copying. Any number of versions of a
//! tree share nodes; there are no reference counts between nodes, so copying a node is a copy of
//! its bytes, and nodes are freed by `version/`, which knows who may still look.
//!
//! **Promises.** Any byte strings are legal keys (up to 65,535 bytes), prefixes of one another
//! and the empty one included. Look-ups, walks and edits cost the key's length and never recurse.
//! Queries have log indexes of their own (`stamp.rs`) that are never earlier than the last
//! change of what they cover, never fall, and depend on the sequence of edits alone.
//!
//! **May not know**: tables, the log, threads. Its callers see to it that a node is written only
//! while nobody else can reach it.
//!
//! **The one structure** is the node (`node.rs`). [`RawTree`], the header, is the root's parent:
//! it carries stamps of its own and outlives the last key.
//!
//! **Invariants**, which `check.rs` tests after every step of the tests of `version/`, and at every
//! publish of a build with debug assertions (of small trees): an inner node
//! has two children, or one and an own leaf; the key bytes on every path add up to the key; a
//! node's birth is at least its children's; `structure <= below`, and no child's `below` is
//! larger than its parent's; an inner node counts the keys at and below it.
//!
//! **Soundness.** A [`Tree`] borrows a version (or the working trees of a transaction) for as long
//! as it and all references it gives out live; a version's nodes are not written and not freed
//! while it is held. That is the fact behind the `unsafe` blocks of the readers.

mod ahead;
mod build;
#[cfg(any(all(test, not(loom)), debug_assertions))]
mod check;
mod children;
mod chunks;
mod cursor;
mod cut;
mod diff;
mod edit;
mod entries;
mod free;
#[cfg(test)]
mod memory_tests;
mod newest;
mod node;
mod pool;
mod prefetch;
mod range;
mod rank;
mod read;
mod stamp;

pub(crate) use children::for_each_below;
pub(crate) use diff::Diff;
pub(crate) use edit::{Edits, SPARE, Usage};
pub(crate) use newest::Newest;
pub(crate) use node::{Link, birth, size};
pub(crate) use prefetch::{first_of, prefetch};
pub(crate) use range::Range;
pub(crate) use stamp::NodeStamp;

use node::Slot;
use smallvec::SmallVec;
use std::any::TypeId;
use std::fmt;
use std::marker::PhantomData;
use std::mem::{ManuallyDrop, align_of, size_of};
use std::ptr;

/// A log index on a node, as the tree sees it: a number that never falls.
pub(crate) type Stamp = u64;

/// Where many nodes or values are gone through, each is asked for so many before it is looked at.
pub(crate) const SOON: usize = 8;

/// What a leaf may hold: a value of a pointer's size and alignment (checked when the program is
/// compiled).
pub(crate) trait Value: Clone + Send + Sync + 'static {}

/// How to clone and drop the values of a tree, and which type they are.
#[derive(Debug)]
pub(crate) struct ValueKind {
    type_id: fn() -> TypeId,
    name: fn() -> &'static str,
    clone: unsafe fn(Slot) -> Slot,
    drop: unsafe fn(Slot),
}

struct KindOf<V>(PhantomData<V>);

impl<V: Value> KindOf<V> {
    const FITS: () =
        assert!(size_of::<V>() == size_of::<Slot>() && align_of::<V>() <= align_of::<Slot>());
    const KIND: &'static ValueKind = &ValueKind {
        type_id: TypeId::of::<V>,
        name: std::any::type_name::<V>,
        // SAFETY: `ValueKind`s are only called with slots of their own tree, which hold a `V`.
        clone: |slot| unsafe { Slot::of(V::clone(&*(&raw const slot).cast::<V>())) },
        // SAFETY: the same, and the caller gives the value up.
        drop: |slot| unsafe { drop(ptr::read((&raw const slot).cast::<V>())) },
    };
}

impl Slot {
    fn of<V: Value>(value: V) -> Slot {
        let () = KindOf::<V>::FITS;
        let value = ManuallyDrop::new(value);
        // SAFETY: `V` has a slot's size and at most its alignment (`FITS`); the value moves.
        unsafe { ptr::read((&raw const value).cast::<Slot>()) }
    }
}

/// A value that no leaf holds any more. Dropping it drops the value: user code runs.
#[derive(Debug)]
pub(crate) struct Garbage {
    value: Slot,
    kind: &'static ValueKind,
}

/// Values to be dropped.
#[derive(Debug, Default)]
pub(crate) struct GarbageList(
    /// As many as an operation replaces, mostly.
    SmallVec<[Garbage; 8]>,
);

impl GarbageList {
    fn push(&mut self, garbage: Garbage) {
        self.0.push(garbage);
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Drop for GarbageList {
    fn drop(&mut self) {
        let mut values = std::mem::take(&mut self.0).into_iter();
        while let Some(garbage) = values.next() {
            if let Some(soon) = values.as_slice().get(SOON) {
                prefetch::whole(soon.value.0);
            }
            drop(garbage);
        }
    }
}

impl Garbage {
    /// # Safety
    /// `value` is of this kind, and the caller gives it up.
    unsafe fn new(value: Slot, kind: &'static ValueKind) -> Self {
        Garbage { value, kind }
    }
}

impl Drop for Garbage {
    fn drop(&mut self) {
        // SAFETY: by the contract of `new` it is ours to drop, and this happens once.
        unsafe { (self.kind.drop)(self.value) }
    }
}

// SAFETY: a garbage value is a `Value`, which is `Send` and `Sync`.
unsafe impl Send for Garbage {}
// SAFETY: as above.
unsafe impl Sync for Garbage {}

/// The header of one version of a tree. It owns nothing: `version/` frees the nodes.
pub(crate) struct RawTree {
    root: Link,
    below: Stamp,
    structure: Stamp,
    len: u64,
    /// What its nodes take.
    bytes: u64,
    id: u16,
    kind: &'static ValueKind,
}

// SAFETY: a header is data and a pointer to nodes that are written only while one thread can
// reach them; the values in them are `Send` and `Sync`.
unsafe impl Send for RawTree {}
// SAFETY: as above.
unsafe impl Sync for RawTree {}

impl RawTree {
    /// An empty tree with values `V`, whose stamps begin at `stamp`.
    pub(crate) fn empty<V: Value>(stamp: Stamp) -> Self {
        RawTree {
            root: ptr::null_mut(),
            below: stamp,
            structure: stamp,
            len: 0,
            bytes: 0,
            id: 0,
            kind: KindOf::<V>::KIND,
        }
    }

    /// Says which place of its store this tree has: leaves carry it.
    pub(crate) fn set_id(&mut self, id: u16) {
        debug_assert!(self.root.is_null());
        assert!(usize::from(id) < node::TREES, "a leaf can name its tree");
        self.id = id;
    }

    pub(crate) fn kind(&self) -> &'static ValueKind {
        self.kind
    }

    /// How many keys it holds.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// What its nodes take, those it shares with other versions included.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Its nodes take so much more now.
    fn grow(&mut self, bytes: isize) {
        self.bytes = self.bytes.wrapping_add_signed(bytes as i64);
    }

    pub(crate) fn root(&self) -> Link {
        self.root
    }

    /// The same header with no key, to begin anew.
    pub(crate) fn emptied(&self, stamp: Stamp) -> Self {
        RawTree {
            root: ptr::null_mut(),
            below: stamp,
            structure: stamp,
            len: 0,
            bytes: 0,
            ..*self
        }
    }

    /// A second header of the same version.
    pub(crate) fn share(&self) -> Self {
        RawTree { ..*self }
    }

    fn assert_holds<V: Value>(&self) {
        assert!(
            (self.kind.type_id)() == TypeId::of::<V>(),
            "tree {} holds {}, not {}",
            self.id,
            (self.kind.name)(),
            std::any::type_name::<V>(),
        );
    }

    /// A view of this tree.
    ///
    /// # Safety
    /// The nodes of this version live, and are not written, for as long as the borrow lasts.
    #[inline]
    pub(crate) unsafe fn view<V: Value>(&self) -> Tree<'_, V> {
        self.assert_holds::<V>();
        Tree {
            raw: self,
            values: PhantomData,
        }
    }

    /// Adds or replaces.
    ///
    /// # Safety
    /// As for [`Edits::insert`].
    pub(crate) unsafe fn insert<V: Value>(
        &mut self,
        edits: &mut Edits,
        key: &[u8],
        value: V,
        stamp: Stamp,
    ) {
        self.assert_holds::<V>();
        // SAFETY: the caller's; the value is of the tree's kind.
        unsafe { edits.insert(self, key, Slot::of(value), stamp) }
    }
}

impl fmt::Debug for RawTree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawTree")
            .field("id", &self.id)
            .field("len", &self.len)
            .field("below", &self.below)
            .field("structure", &self.structure)
            .finish_non_exhaustive()
    }
}

/// A read view of one version of one tree.
#[derive(Debug)]
pub(crate) struct Tree<'a, V> {
    raw: &'a RawTree,
    values: PhantomData<&'a V>,
}

impl<V> Clone for Tree<'_, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<V> Copy for Tree<'_, V> {}

impl<V: Value> Tree<'_, V> {
    /// How many keys it holds.
    pub(crate) fn len(self) -> u64 {
        self.raw.len
    }
}
