//! One node of the tree: its layouts, its allocation, its children.
//!
//! A [`Link`] is a pointer to a [`Head`], with which every node begins; the head's kind says how
//! the rest is laid out. A leaf holds what is left of its key and one value, bitwise, in a
//! [`Slot`]. An inner node holds its compressed path (`prefix`), an `own` leaf for the key that
//! ends exactly here, and 1 to 256 children by their next byte, in one of four layouts:
//!
//! | kind | children by | room |
//! |---|---|---|
//! | `Node4`, `Node16` | sorted bytes beside the links | 4, 16 |
//! | `Node48` | a table of 256 places | 48 |
//! | `Node256` | the byte itself | 256 |
//!
//! The key bytes (a leaf's remainder, an inner node's prefix) stand behind the fixed part, in the
//! same allocation; their length never changes in the life of a node.
//!
//! Every function here is `unsafe` for one reason: the link must point to a live node, and for
//! those that write, no one else may see the node. `edit.rs` and `version/` keep that.

use super::Stamp;
use super::chunks::rounded;
use super::pool::Pool;
use std::mem::{offset_of, size_of};
use std::ptr::{self, NonNull};

/// A value of a leaf, bitwise. Which type it is, the tree's [`ValueKind`](super::ValueKind) says.
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub(crate) struct Slot(pub(super) *const ());

/// What every node begins with.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Head {
    /// The birth in the upper 56 bits, the kind in the lower 8.
    tag: u64,
    /// The log index of the last change at or below this node.
    pub(crate) below: Stamp,
}

/// A pointer to a node; null where there is none.
pub(crate) type Link = *mut Head;

/// The bits of a tag that are the kind.
const KIND: u64 = 0xff;

/// How a node is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    Leaf = 0,
    Node4 = 1,
    Node16 = 2,
    Node48 = 3,
    Node256 = 4,
}

/// How many kinds there are.
pub(super) const KINDS: usize = 5;

#[repr(C)]
pub(super) struct Leaf {
    head: Head,
    pub(super) value: Slot,
    /// The tree it belongs to: says how its value is dropped.
    pub(super) tree: u16,
    len: u16,
    bytes: [u8; 0],
}

#[repr(C)]
pub(super) struct Inner {
    head: Head,
    /// The log index of the last change of the own slot or of the set of child edges.
    pub(super) structure: Stamp,
    /// A leaf with an empty remainder: the key that ends here. Null if none does.
    pub(super) own: Link,
    pub(super) count: u16,
    prefix_len: u16,
}

#[repr(C)]
struct Node4 {
    inner: Inner,
    keys: [u8; 4],
    children: [Link; 4],
}

#[repr(C)]
struct Node16 {
    inner: Inner,
    keys: [u8; 16],
    children: [Link; 16],
}

/// `places[b]` is 0 where byte `b` has no child, else 1 + its place in `children`.
#[repr(C)]
struct Node48 {
    inner: Inner,
    places: [u8; 256],
    children: [Link; 48],
}

#[repr(C)]
struct Node256 {
    inner: Inner,
    children: [Link; 256],
}

const LEAF_FIXED: usize = offset_of!(Leaf, bytes);

/// Where in a node a walk stands: 0 at the own leaf, else 1 + the child's place (`Node4`,
/// `Node16`) or 1 + its byte (`Node48`, `Node256`). Places are in key order.
pub(super) type Place = u16;
pub(super) const OWN: Place = 0;

impl Kind {
    fn of(tag: u64) -> Kind {
        match tag & KIND {
            0 => Kind::Leaf,
            1 => Kind::Node4,
            2 => Kind::Node16,
            3 => Kind::Node48,
            _ => Kind::Node256,
        }
    }

    /// The bytes before the key bytes.
    const fn fixed(self) -> usize {
        match self {
            Kind::Leaf => LEAF_FIXED,
            Kind::Node4 => size_of::<Node4>(),
            Kind::Node16 => size_of::<Node16>(),
            Kind::Node48 => size_of::<Node48>(),
            Kind::Node256 => size_of::<Node256>(),
        }
    }

    pub(super) const fn room(self) -> usize {
        match self {
            Kind::Leaf => 0,
            Kind::Node4 => 4,
            Kind::Node16 => 16,
            Kind::Node48 => 48,
            Kind::Node256 => 256,
        }
    }

    /// The smallest inner layout with room for `children`.
    pub(super) const fn fitting(children: usize) -> Kind {
        match children {
            0..=4 => Kind::Node4,
            5..=16 => Kind::Node16,
            17..=48 => Kind::Node48,
            _ => Kind::Node256,
        }
    }
}

/// Allocates a node and sets its head. The rest is uninitialized.
unsafe fn allocate(
    pool: &mut Pool,
    kind: Kind,
    key_bytes: usize,
    birth: u64,
    below: Stamp,
) -> Link {
    let node = pool.take(kind.fixed() + key_bytes).cast::<Head>();
    // SAFETY: freshly allocated, large and aligned enough for a head.
    unsafe {
        node.write(Head {
            tag: birth << 8 | kind as u64,
            below,
        });
    }
    node.as_ptr()
}

/// The bytes a node takes.
pub(super) unsafe fn size(node: Link) -> usize {
    // SAFETY: the caller's: `node` is live.
    unsafe { rounded(kind(node).fixed() + key_bytes(node).len()) }
}

/// Gives the node's memory back. Its value, if it is a leaf, is not dropped.
pub(super) unsafe fn free(pool: &mut Pool, node: Link) {
    // SAFETY: the caller's: `node` is live, so not null, and nobody else refers to it. The size is
    // the one it was allocated with, since neither its kind nor the length of its key bytes ever
    // changes.
    unsafe { pool.give(NonNull::new_unchecked(node.cast()), size(node)) }
}

pub(crate) unsafe fn kind(node: Link) -> Kind {
    // SAFETY: the caller's: `node` is live.
    Kind::of(unsafe { (*node).tag })
}

pub(crate) unsafe fn birth(node: Link) -> u64 {
    // SAFETY: the caller's: `node` is live.
    unsafe { (*node).tag >> 8 }
}

pub(super) unsafe fn set_birth(node: Link, birth: u64) {
    // SAFETY: the caller's: `node` is live and seen by nobody else.
    unsafe { (*node).tag = birth << 8 | (*node).tag & KIND }
}

pub(super) unsafe fn is_leaf(node: Link) -> bool {
    // SAFETY: the caller's: `node` is live.
    unsafe { (*node).tag & KIND == Kind::Leaf as u64 }
}

/// A leaf's remainder or an inner node's prefix.
#[inline]
pub(super) unsafe fn key_bytes<'a>(node: Link) -> &'a [u8] {
    // SAFETY: the caller's: `node` is live for 'a. Its kind says which layout it has, and that
    // many bytes were written behind the fixed part when it was made.
    unsafe {
        let kind = kind(node);
        let len = match kind {
            Kind::Leaf => (*node.cast::<Leaf>()).len,
            _ => (*node.cast::<Inner>()).prefix_len,
        };
        std::slice::from_raw_parts(node.cast::<u8>().add(kind.fixed()), usize::from(len))
    }
}

/// The key bytes of a new node, in up to three pieces: (before, edge byte, after).
#[derive(Clone, Copy)]
pub(super) struct Pieces<'a>(
    pub(super) &'a [u8],
    pub(super) Option<u8>,
    pub(super) &'a [u8],
);

impl Pieces<'_> {
    fn len(&self) -> usize {
        self.0.len() + usize::from(self.1.is_some()) + self.2.len()
    }

    unsafe fn write(&self, mut to: *mut u8) {
        // SAFETY: the caller's: `to` has room for `len()` bytes of a fresh allocation, which
        // therefore overlaps neither piece.
        unsafe {
            ptr::copy_nonoverlapping(self.0.as_ptr(), to, self.0.len());
            to = to.add(self.0.len());
            if let Some(byte) = self.1 {
                to.write(byte);
                to = to.add(1);
            }
            ptr::copy_nonoverlapping(self.2.as_ptr(), to, self.2.len());
        }
    }
}

impl<'a> From<&'a [u8]> for Pieces<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Pieces(bytes, None, &[])
    }
}

/// Length of the common beginning.
#[inline]
pub(super) fn common(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(x, y)| x == y).count()
}

fn as_len(len: usize) -> u16 {
    u16::try_from(len).expect("keys are at most 65,535 bytes long")
}

/// A new leaf.
pub(super) unsafe fn new_leaf(
    pool: &mut Pool,
    birth: u64,
    below: Stamp,
    tree: u16,
    bytes: Pieces<'_>,
    value: Slot,
) -> Link {
    let len = bytes.len();
    // SAFETY: every field but the head, which `allocate` wrote, is written here; the key bytes
    // have `len` bytes of room behind the fixed part.
    unsafe {
        let node = allocate(pool, Kind::Leaf, len, birth, below);
        let leaf = node.cast::<Leaf>();
        ptr::addr_of_mut!((*leaf).value).write(value);
        ptr::addr_of_mut!((*leaf).tree).write(tree);
        ptr::addr_of_mut!((*leaf).len).write(as_len(len));
        bytes.write(node.cast::<u8>().add(LEAF_FIXED));
        node
    }
}

/// A new inner node without children.
pub(super) unsafe fn new_inner(pool: &mut Pool, birth: u64, stamp: Stamp, prefix: &[u8]) -> Link {
    // SAFETY: `allocate` wrote the head and `init_inner` writes all the rest that a node without
    // children has.
    unsafe {
        let node = allocate(pool, Kind::Node4, prefix.len(), birth, stamp);
        init_inner(
            node,
            Kind::Node4,
            stamp,
            ptr::null_mut(),
            &Pieces::from(prefix),
        );
        node
    }
}

/// A new inner node with these children, which are in order, and its own leaf, if there is one.
pub(super) unsafe fn new_inner_with(
    pool: &mut Pool,
    birth: u64,
    stamp: Stamp,
    prefix: &[u8],
    own: Link,
    children: &[(u8, Link)],
) -> Link {
    let kind = Kind::fitting(children.len());
    // SAFETY: `allocate` wrote the head and `init_inner` the rest of a node without children, which
    // has room for these.
    unsafe {
        let node = allocate(pool, kind, prefix.len(), birth, stamp);
        init_inner(node, kind, stamp, own, &Pieces::from(prefix));
        for &(byte, child) in children {
            append_child(node, byte, child);
        }
        node
    }
}

/// Writes the fixed part of a fresh inner node as one without children, and its prefix.
unsafe fn init_inner(node: Link, kind: Kind, structure: Stamp, own: Link, prefix: &Pieces<'_>) {
    // SAFETY: the caller's: `node` was allocated for `kind` and `prefix.len()` and is not shared.
    unsafe {
        let inner = node.cast::<Inner>();
        ptr::addr_of_mut!((*inner).structure).write(structure);
        ptr::addr_of_mut!((*inner).own).write(own);
        ptr::addr_of_mut!((*inner).count).write(0);
        ptr::addr_of_mut!((*inner).prefix_len).write(as_len(prefix.len()));
        match kind {
            Kind::Node4 => ptr::addr_of_mut!((*node.cast::<Node4>()).keys).write([0; 4]),
            Kind::Node16 => ptr::addr_of_mut!((*node.cast::<Node16>()).keys).write([0; 16]),
            Kind::Node48 => {
                ptr::addr_of_mut!((*node.cast::<Node48>()).places).write([0; 256]);
            }
            Kind::Node256 => {
                ptr::addr_of_mut!((*node.cast::<Node256>()).children).write([ptr::null_mut(); 256]);
            }
            Kind::Leaf => unreachable!("a leaf is no inner node"),
        }
        prefix.write(node.cast::<u8>().add(kind.fixed()));
    }
}

/// A copy of an inner node, children and stamps the same, with another birth, prefix and layout,
/// which must have room for the children.
pub(super) unsafe fn copy_inner(
    pool: &mut Pool,
    node: Link,
    birth: u64,
    prefix: &Pieces<'_>,
    new: Kind,
) -> Link {
    // SAFETY: the caller's: `node` is a live inner node. The copy's fixed part is written whole:
    // bytewise if the layout is the same, else by `init_inner` and one `append_child` a child.
    unsafe {
        let from = node.cast::<Inner>();
        let old = kind(node);
        let copy = allocate(pool, new, prefix.len(), birth, (*node).below);
        if new == old {
            ptr::copy_nonoverlapping(
                node.cast::<u8>().add(size_of::<Head>()),
                copy.cast::<u8>().add(size_of::<Head>()),
                old.fixed() - size_of::<Head>(),
            );
            (*copy.cast::<Inner>()).prefix_len = as_len(prefix.len());
            prefix.write(copy.cast::<u8>().add(new.fixed()));
        } else {
            init_inner(copy, new, (*from).structure, (*from).own, prefix);
            let mut at = next_place(node, OWN);
            while let Some(place) = at {
                append_child(copy, byte_at(node, place), child_at(node, place));
                at = next_place(node, place);
            }
        }
        copy
    }
}

/// The bytes that have a child, sorted, and the children beside them: of `Node4` and `Node16`.
#[inline]
unsafe fn sorted<'a>(node: Link, kind: Kind) -> (&'a [u8], *mut Link) {
    // SAFETY: the caller's: `node` is a live `Node4` or `Node16`; `count` is at most its room.
    unsafe {
        let count = usize::from((*node.cast::<Inner>()).count);
        let (keys, children) = if kind == Kind::Node4 {
            let n = node.cast::<Node4>();
            (
                ptr::addr_of!((*n).keys).cast::<u8>(),
                ptr::addr_of_mut!((*n).children).cast(),
            )
        } else {
            let n = node.cast::<Node16>();
            (
                ptr::addr_of!((*n).keys).cast(),
                ptr::addr_of_mut!((*n).children).cast(),
            )
        };
        (std::slice::from_raw_parts(keys, count), children)
    }
}

/// Where the link of byte `byte`'s child stands; null if it has none.
#[inline]
pub(super) unsafe fn child_link(node: Link, byte: u8) -> *mut Link {
    // SAFETY: the caller's: `node` is a live inner node. `places` holds 0 or 1 + a place below 48.
    unsafe {
        match kind(node) {
            Kind::Node4 => {
                let n = node.cast::<Node4>();
                let count = usize::from((*n).inner.count);
                for i in 0..count {
                    if (*n).keys[i] == byte {
                        return ptr::addr_of_mut!((*n).children).cast::<Link>().add(i);
                    }
                }
                ptr::null_mut()
            }
            Kind::Node16 => {
                let n = node.cast::<Node16>();
                // One comparison of 16 bytes: the compiler makes a vector instruction of it.
                let keys = (*n).keys;
                let mut equal = 0u32;
                for (i, &key) in keys.iter().enumerate() {
                    equal |= u32::from(key == byte) << i;
                }
                equal &= (1 << (*n).inner.count) - 1;
                if equal == 0 {
                    return ptr::null_mut();
                }
                ptr::addr_of_mut!((*n).children)
                    .cast::<Link>()
                    .add(equal.trailing_zeros() as usize)
            }
            Kind::Node48 => {
                let n = node.cast::<Node48>();
                match (*n).places[usize::from(byte)] {
                    0 => ptr::null_mut(),
                    place => ptr::addr_of_mut!((*n).children)
                        .cast::<Link>()
                        .add(usize::from(place) - 1),
                }
            }
            _ => {
                let n = node.cast::<Node256>();
                let link = ptr::addr_of_mut!((*n).children)
                    .cast::<Link>()
                    .add(usize::from(byte));
                if (*link).is_null() {
                    ptr::null_mut()
                } else {
                    link
                }
            }
        }
    }
}

/// Adds a child for a byte that has none. There must be room.
pub(super) unsafe fn add_child(node: Link, byte: u8, child: Link) {
    // SAFETY: the caller's: `node` is a live inner node that nobody else sees, with room.
    unsafe {
        let kind = kind(node);
        if let Kind::Node4 | Kind::Node16 = kind {
            let (keys, _) = sorted(node, kind);
            let at = keys.iter().take_while(|&&key| key < byte).count();
            put_child(node, kind, byte, child, at);
        } else {
            append_child(node, byte, child);
        }
    }
}

/// Adds a child for a byte that is greater than all that have one. There must be room.
unsafe fn append_child(node: Link, byte: u8, child: Link) {
    // SAFETY: the caller's, as for `add_child`.
    unsafe {
        put_child(
            node,
            kind(node),
            byte,
            child,
            usize::from((*node.cast::<Inner>()).count),
        );
    }
}

/// Adds a child before the one at `at`; of no matter where the layout is not sorted.
unsafe fn put_child(node: Link, kind: Kind, byte: u8, child: Link, at: usize) {
    // SAFETY: the caller's, as for `add_child`; `at` is at most `count`.
    unsafe {
        let inner = node.cast::<Inner>();
        let count = usize::from((*inner).count);
        debug_assert!(count < kind.room());
        match kind {
            Kind::Node4 | Kind::Node16 => {
                let (keys, children) = sorted(node, kind);
                let keys = keys.as_ptr().cast_mut();
                ptr::copy(keys.add(at), keys.add(at + 1), count - at);
                ptr::copy(children.add(at), children.add(at + 1), count - at);
                keys.add(at).write(byte);
                children.add(at).write(child);
            }
            Kind::Node48 => {
                let n = node.cast::<Node48>();
                // Places are kept without holes, so the next free one is `count`.
                let place = u8::try_from(count + 1).expect("a node of 48 is full at 48");
                (*n).places[usize::from(byte)] = place;
                ptr::addr_of_mut!((*n).children)
                    .cast::<Link>()
                    .add(count)
                    .write(child);
            }
            _ => (*node.cast::<Node256>()).children[usize::from(byte)] = child,
        }
        (*inner).count += 1;
    }
}

/// Takes a child that is there out.
pub(super) unsafe fn remove_child(node: Link, byte: u8) {
    // SAFETY: the caller's: `node` is a live inner node that nobody else sees, and has the child.
    unsafe {
        let kind = kind(node);
        let inner = node.cast::<Inner>();
        let count = usize::from((*inner).count);
        match kind {
            Kind::Node4 | Kind::Node16 => {
                let (keys, children) = sorted(node, kind);
                let at = keys.iter().take_while(|&&key| key != byte).count();
                debug_assert!(at < count);
                let keys = keys.as_ptr().cast_mut();
                ptr::copy(keys.add(at + 1), keys.add(at), count - at - 1);
                ptr::copy(children.add(at + 1), children.add(at), count - at - 1);
            }
            Kind::Node48 => {
                let n = node.cast::<Node48>();
                let place = std::mem::take(&mut (*n).places[usize::from(byte)]);
                let children = ptr::addr_of_mut!((*n).children).cast::<Link>();
                if usize::from(place) != count {
                    // The last one moves into the hole.
                    children
                        .add(usize::from(place) - 1)
                        .write(children.add(count - 1).read());
                    let places = &mut (*n).places;
                    let last = places.iter_mut().find(|p| usize::from(**p) == count);
                    *last.expect("every place belongs to a byte") = place;
                }
            }
            _ => (*node.cast::<Node256>()).children[usize::from(byte)] = ptr::null_mut(),
        }
        (*inner).count -= 1;
    }
}

/// The layout to shrink to, if the node has become much too large for its children: half of the
/// next smaller layout's room is left free, so that a node does not go back and forth.
pub(super) unsafe fn worth_shrinking(node: Link) -> bool {
    // SAFETY: the caller's: `node` is a live inner node.
    unsafe {
        let count = (*node.cast::<Inner>()).count;
        match kind(node) {
            Kind::Node256 => count <= 36,
            Kind::Node48 => count <= 12,
            Kind::Node16 => count <= 3,
            _ => false,
        }
    }
}

/// The first place after `place` that has a child.
#[inline]
pub(super) unsafe fn next_place(node: Link, place: Place) -> Option<Place> {
    // SAFETY: the caller's: `node` is a live inner node and `place` one of its places.
    unsafe {
        match kind(node) {
            Kind::Node4 | Kind::Node16 => {
                (place < (*node.cast::<Inner>()).count).then_some(place + 1)
            }
            Kind::Node48 => {
                let places = &(*node.cast::<Node48>()).places;
                (place..256)
                    .find(|&b| places[usize::from(b)] != 0)
                    .map(|b| b + 1)
            }
            _ => {
                let children = &(*node.cast::<Node256>()).children;
                (place..256)
                    .find(|&b| !children[usize::from(b)].is_null())
                    .map(|b| b + 1)
            }
        }
    }
}

/// The last place before `place`, the own leaf's included; `place` may be [`END`].
#[inline]
pub(super) unsafe fn prev_place(node: Link, place: Place) -> Option<Place> {
    // SAFETY: the caller's: `node` is a live inner node and `place` one of its places or `END`.
    unsafe {
        let inner = node.cast::<Inner>();
        let own = || (!(*inner).own.is_null()).then_some(OWN);
        if place == OWN {
            return None;
        }
        let before = match kind(node) {
            Kind::Node4 | Kind::Node16 => Some((place - 1).min((*inner).count)).filter(|&p| p > 0),
            Kind::Node48 => {
                let places = &(*node.cast::<Node48>()).places;
                (0..(place - 1).min(256))
                    .rev()
                    .find(|&b| places[usize::from(b)] != 0)
                    .map(|b| b + 1)
            }
            _ => {
                let children = &(*node.cast::<Node256>()).children;
                (0..(place - 1).min(256))
                    .rev()
                    .find(|&b| !children[usize::from(b)].is_null())
                    .map(|b| b + 1)
            }
        };
        before.or_else(own)
    }
}

/// A place after every child.
pub(super) const END: Place = 258;

/// The place of the first child whose byte is at least `byte`, and whether it is that very byte.
pub(super) unsafe fn place_from(node: Link, byte: u8) -> Option<(Place, bool)> {
    // SAFETY: the caller's: `node` is a live inner node.
    unsafe {
        let kind = kind(node);
        match kind {
            Kind::Node4 | Kind::Node16 => {
                let (keys, _) = sorted(node, kind);
                let places = (1..).zip(keys);
                let mut from = places.filter(|&(_, &key)| key >= byte);
                from.next().map(|(place, &key)| (place, key == byte))
            }
            _ => next_place(node, Place::from(byte)).map(|p| (p, p == Place::from(byte) + 1)),
        }
    }
}

/// The byte of the child at a place.
pub(super) unsafe fn byte_at(node: Link, place: Place) -> u8 {
    // SAFETY: the caller's: `node` is a live inner node with a child at `place`.
    unsafe {
        let kind = kind(node);
        match kind {
            Kind::Node4 | Kind::Node16 => sorted(node, kind).0[usize::from(place) - 1],
            _ => u8::try_from(place - 1).expect("a place of a byte"),
        }
    }
}

/// The node at a place: a child, or at [`OWN`] the own leaf.
#[inline]
pub(super) unsafe fn child_at(node: Link, place: Place) -> Link {
    // SAFETY: the caller's: `node` is a live inner node with a node at `place`.
    unsafe {
        if place == OWN {
            return (*node.cast::<Inner>()).own;
        }
        let at = usize::from(place) - 1;
        match kind(node) {
            Kind::Node4 => (*node.cast::<Node4>()).children[at],
            Kind::Node16 => (*node.cast::<Node16>()).children[at],
            Kind::Node48 => {
                let n = node.cast::<Node48>();
                (*n).children[usize::from((*n).places[at]) - 1]
            }
            _ => (*node.cast::<Node256>()).children[at],
        }
    }
}

/// The first place of a node: its own leaf's, or its first child's.
#[inline]
pub(super) unsafe fn first_place(node: Link) -> Place {
    // SAFETY: the caller's: `node` is a live inner node, and those have at least one child.
    unsafe {
        if (*node.cast::<Inner>()).own.is_null() {
            next_place(node, OWN).expect("an inner node has children")
        } else {
            OWN
        }
    }
}

/// Calls `f` for every node right below `node`.
pub(crate) unsafe fn for_each_below(node: Link, mut f: impl FnMut(Link)) {
    // SAFETY: the caller's: `node` is live.
    unsafe {
        if is_leaf(node) {
            return;
        }
        let mut at = Some(first_place(node));
        while let Some(place) = at {
            f(child_at(node, place));
            at = next_place(node, place);
        }
    }
}
