//! One node of the tree: its layouts, its allocation, its children.
//!
//! A [`Link`] is a pointer to a [`Head`], with which every node begins; the head says how the rest
//! is laid out. A leaf holds what is left of its key and one value, bitwise, in a [`Slot`]. An inner
//! node holds its compressed path (`prefix`), 1 to 256 children by their next byte, in one of two
//! layouts, and behind them, if it needs it, a link to an own leaf, for the key that ends exactly
//! here:
//!
//! | kind | children by | room |
//! |---|---|---|
//! | `Sorted` | sorted bytes before the links | up to 63 |
//! | `Full` | the byte itself | 256 |
//!
//! Room is what a node needs: nearly all nodes are copies, and a copy is made to fit. Only one that
//! grows in place, within a transaction, gets room to spare. The key bytes (a leaf's remainder, an
//! inner node's prefix) are last; their length never changes in the life of a node, nor does its
//! layout.
//!
//! Every function here is `unsafe` for one reason: the link must point to a live node, and for
//! those that write, no one else may see the node. `edit.rs` and `version/` keep that.

use super::Stamp;
use super::children::{append_all, append_child};
use super::chunks::{Grain, rounded};
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
    /// The birth in the upper 48 bits (a million generations a second take nine years to come to
    /// their end), the [`Layout`] in the lower 16.
    tag: u64,
    /// The log index of the last change at or below this node.
    pub(crate) below: Stamp,
}

/// A pointer to a node; null where there is none.
pub(crate) type Link = *mut Head;

/// The bits of a tag that are the layout.
const LAYOUT: u32 = 16;

/// What sort of node it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    Leaf = 0,
    Sorted = 1,
    Full = 2,
}

/// How many kinds there are.
pub(super) const KINDS: usize = 3;

/// How a node is laid out: its kind, and, of a leaf, the number of its tree; of an inner node, for
/// how many children it has room, and whether it has a place for an own leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout(u16);

/// The bit of an inner node's layout that says whether it has a place for an own leaf. Below are its
/// kind and its room.
const OWN_BIT: u32 = 8;

/// Trees that a leaf can name.
pub(super) const TREES: usize = 1 << (LAYOUT - 2);

#[repr(C)]
pub(super) struct Leaf {
    head: Head,
    pub(super) value: Slot,
    len: u16,
    bytes: [u8; 0],
}

#[repr(C)]
pub(super) struct Inner {
    head: Head,
    /// The log index of the last change of the own slot or of the set of child edges.
    pub(super) structure: Stamp,
    prefix_len: u16,
    /// How many children it has, in the lower 9 bits, and the upper 7 of `keys`.
    children: u16,
    /// The lower bits of the number of keys at and below it: with those above 39, more than any
    /// memory has room for.
    keys: u32,
    /// `Sorted`: the bytes that have a child.
    bytes: [u8; 0],
}

const LEAF_FIXED: usize = offset_of!(Leaf, bytes);
const INNER_FIXED: usize = offset_of!(Inner, bytes);

/// The bits of [`Inner::children`] that count them; above are the upper bits of its keys.
const CHILDREN: u32 = 9;

/// Where every node says how many key bytes it has.
const KEY_LEN: usize = offset_of!(Leaf, len);
const _: () = assert!(KEY_LEN == offset_of!(Inner, prefix_len));

/// So many of a `Sorted`'s bytes are compared at once.
pub(super) const LANE: usize = 16;
/// The most children of a `Sorted`: with more, looking through the bytes would take too long. A mask
/// with a bit for each fits into a word, with one to spare.
const SORTED: usize = 4 * LANE - 1;

impl Layout {
    fn leaf(tree: u16) -> Layout {
        debug_assert!(usize::from(tree) < TREES);
        Layout(tree << 2 | Kind::Leaf as u16)
    }

    #[expect(clippy::cast_possible_truncation, reason = "room is at most 63")]
    fn inner(kind: Kind, room: usize, own: bool) -> Layout {
        debug_assert!(room <= SORTED);
        Layout(u16::from(own) << OWN_BIT | (room as u16) << 2 | kind as u16)
    }

    /// The smallest inner layout for so many children, and an own leaf or none.
    pub(super) fn fitting(children: usize, own: bool) -> Layout {
        match children {
            // What is compared at once must not be more than there is.
            0..=SORTED => Layout::inner(Kind::Sorted, children.max(2 - usize::from(own)), own),
            _ => Layout::inner(Kind::Full, 0, own),
        }
    }

    /// The same for a node that will get more of them.
    pub(super) fn growing(children: usize, own: bool) -> Layout {
        Layout::fitting((children + children / 2).min(SORTED).max(children), own)
    }

    pub(super) const fn kind(self) -> Kind {
        match self.0 & 0b11 {
            0 => Kind::Leaf,
            1 => Kind::Sorted,
            _ => Kind::Full,
        }
    }

    /// The tree of a leaf.
    pub(super) const fn tree(self) -> u16 {
        self.0 >> 2
    }

    /// For how many children there is room.
    pub(super) const fn room(self) -> usize {
        match self.kind() {
            Kind::Leaf => 0,
            Kind::Sorted => (self.0 >> 2 & 0x3f) as usize,
            Kind::Full => 256,
        }
    }

    /// Whether there is a place for an own leaf.
    pub(super) const fn has_own(self) -> bool {
        self.0 >> OWN_BIT & 1 == 1
    }

    /// Where the links of an inner node begin.
    #[inline]
    fn links(self) -> usize {
        usize::from(OFFSETS[usize::from(self.0) % OFFSETS.len()].links)
    }

    /// The bytes before the key bytes.
    #[inline]
    fn fixed(self) -> usize {
        usize::from(OFFSETS[usize::from(self.0) % OFFSETS.len()].fixed)
    }

    /// What is looked up instead of computed each time.
    #[expect(clippy::cast_possible_truncation, reason = "no node is as large")]
    const fn offsets(self) -> Offsets {
        let bytes = match self.kind() {
            Kind::Sorted => self.room(),
            Kind::Leaf | Kind::Full => 0,
        };
        let links = (INNER_FIXED + bytes).next_multiple_of(size_of::<Link>());
        let fixed = match self.kind() {
            Kind::Leaf => LEAF_FIXED,
            _ => links + (self.room() + self.has_own() as usize) * size_of::<Link>(),
        };
        Offsets {
            links: links as u16,
            fixed: fixed as u16,
        }
    }
}

/// Where in a node of some layout its links and its key bytes begin.
#[derive(Clone, Copy, Debug)]
struct Offsets {
    links: u16,
    fixed: u16,
}

/// By layout; the number of a leaf's tree is of no matter.
static OFFSETS: [Offsets; 1 << (OWN_BIT + 1)] = {
    let mut all = [Offsets { links: 0, fixed: 0 }; 1 << (OWN_BIT + 1)];
    let mut bits = 0;
    while bits < 1 << (OWN_BIT + 1) {
        all[bits as usize] = Layout(bits).offsets();
        bits += 1;
    }
    all
};

/// Where in a node a walk stands: 0 at the own leaf, else 1 + the child's place (`Sorted`) or 1 + its
/// byte (`Full`). Places are in key order.
pub(super) type Place = u16;
pub(super) const OWN: Place = 0;

/// The tag of what has been freed, in builds with debug assertions: no node is born so late.
#[cfg(debug_assertions)]
pub(super) const FREED: u64 = u64::MAX;

/// Allocates a node and sets its head. The rest is uninitialized.
unsafe fn allocate(
    pool: &mut Pool,
    layout: Layout,
    key_bytes: usize,
    birth: u64,
    below: Stamp,
) -> Link {
    debug_assert!(birth >> (u64::BITS - LAYOUT) == 0);
    let node = pool.take(layout.fixed() + key_bytes).cast::<Head>();
    // SAFETY: freshly allocated, large and aligned enough for a head.
    unsafe {
        node.write(Head {
            tag: birth << LAYOUT | u64::from(layout.0),
            below,
        });
    }
    node.as_ptr()
}

/// The bytes a node takes.
pub(crate) unsafe fn size(node: Link) -> usize {
    // SAFETY: the caller's: `node` is live.
    unsafe { rounded(layout(node).fixed() + key_bytes(node).len()) }
}

/// Gives the memory of a node of this [`size`] back. Its value, if it is a leaf, is not dropped.
pub(super) unsafe fn free(pool: &mut Pool, node: Link, size: usize) {
    // SAFETY: the caller's: `node` is live, so not null, and nobody else refers to it. The size is
    // the one it was allocated with, since neither its layout nor the length of its key bytes
    // ever changes.
    unsafe { pool.give(NonNull::new_unchecked(node.cast()), size) }
}

#[inline]
pub(super) unsafe fn layout(node: Link) -> Layout {
    // SAFETY: the caller's: `node` is live.
    let tag = unsafe { (*node).tag };
    #[cfg(debug_assertions)]
    assert!(tag != FREED, "a node is used after it was freed");
    Layout((tag & 0xffff) as u16)
}

#[inline]
pub(super) unsafe fn kind(node: Link) -> Kind {
    // SAFETY: the caller's: `node` is live.
    unsafe { layout(node).kind() }
}

pub(crate) unsafe fn birth(node: Link) -> u64 {
    // SAFETY: the caller's: `node` is live.
    unsafe { (*node).tag >> LAYOUT }
}

pub(super) unsafe fn set_birth(node: Link, birth: u64) {
    // SAFETY: the caller's: `node` is live and seen by nobody else.
    unsafe { (*node).tag = birth << LAYOUT | u64::from(layout(node).0) }
}

pub(super) unsafe fn is_leaf(node: Link) -> bool {
    // SAFETY: the caller's: `node` is live.
    unsafe { kind(node) == Kind::Leaf }
}

/// How many bytes a leaf's remainder or an inner node's prefix has.
#[inline]
pub(super) unsafe fn key_len(node: Link) -> usize {
    // SAFETY: the caller's: `node` is live, and every node has its length there.
    unsafe { usize::from(node.byte_add(KEY_LEN).cast::<u16>().read()) }
}

/// A leaf's remainder or an inner node's prefix.
#[inline]
pub(super) unsafe fn key_bytes<'a>(node: Link) -> &'a [u8] {
    // SAFETY: the caller's: `node` is live for 'a. That many bytes were written behind the fixed part
    // of its layout when it was made.
    unsafe {
        let bytes = node.cast::<u8>().add(layout(node).fixed());
        std::slice::from_raw_parts(bytes, key_len(node))
    }
}

/// The bytes of an inner node's layout: see [`Inner::bytes`].
#[inline]
pub(super) unsafe fn bytes(node: Link) -> *mut u8 {
    // SAFETY: the caller's: `node` is a live inner node.
    unsafe { node.cast::<u8>().add(INNER_FIXED) }
}

/// The links of an inner node's children, by place.
#[inline]
pub(super) unsafe fn links(node: Link) -> *mut Link {
    // SAFETY: the caller's: `node` is a live inner node. Links are aligned: see `Layout::links`.
    unsafe { node.cast::<u8>().add(layout(node).links()).cast() }
}

/// Where the link of the own leaf stands; null if there is no place for one.
#[inline]
pub(super) unsafe fn own_link(node: Link) -> *mut Link {
    // SAFETY: the caller's: `node` is a live inner node. The place is behind the children's.
    unsafe {
        let layout = layout(node);
        if layout.has_own() {
            links(node).add(layout.room())
        } else {
            ptr::null_mut()
        }
    }
}

/// The own leaf of an inner node: the key that ends here. Null if none does.
#[inline]
pub(super) unsafe fn own(node: Link) -> Link {
    // SAFETY: the caller's: `node` is a live inner node.
    unsafe {
        let link = own_link(node);
        if link.is_null() {
            ptr::null_mut()
        } else {
            *link
        }
    }
}

/// How many children an inner node has.
#[inline]
pub(super) unsafe fn children(node: Link) -> usize {
    // SAFETY: the caller's: `node` is a live inner node.
    unsafe { usize::from((*node.cast::<Inner>()).children & ((1 << CHILDREN) - 1)) }
}

/// An inner node has so many children more.
pub(super) unsafe fn add_children(node: Link, more: usize) {
    // SAFETY: the caller's: `node` is a live inner node that nobody else sees, with room.
    unsafe { (*node.cast::<Inner>()).children += u16::try_from(more).expect("256 at most") }
}

/// An inner node has one child less.
pub(super) unsafe fn one_child_less(node: Link) {
    // SAFETY: the caller's: `node` is a live inner node that nobody else sees, and had one.
    unsafe { (*node.cast::<Inner>()).children -= 1 }
}

/// How many keys there are at and below a node.
#[inline]
pub(super) unsafe fn keys(node: Link) -> u64 {
    // SAFETY: the caller's: `node` is live.
    unsafe {
        if is_leaf(node) {
            return 1;
        }
        let inner = node.cast::<Inner>();
        u64::from((*inner).children >> CHILDREN) << u32::BITS | u64::from((*inner).keys)
    }
}

/// Says how many keys there are at and below an inner node.
#[expect(clippy::cast_possible_truncation, reason = "cut into two on purpose")]
pub(super) unsafe fn set_keys(node: Link, keys: u64) {
    debug_assert!(keys >> (u32::BITS + u16::BITS - CHILDREN) == 0);
    // SAFETY: the caller's: `node` is a live inner node that nobody else sees.
    unsafe {
        let upper = (keys >> u32::BITS) as u16;
        let inner = node.cast::<Inner>();
        (*inner).children = upper << CHILDREN | (*inner).children & ((1 << CHILDREN) - 1);
        (*inner).keys = (keys & u64::from(u32::MAX)) as u32;
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
        // therefore overlaps neither piece. Mostly there is nothing to copy: a call for nothing takes
        // longer than to see that.
        unsafe {
            if !self.0.is_empty() {
                ptr::copy_nonoverlapping(self.0.as_ptr(), to, self.0.len());
                to = to.add(self.0.len());
            }
            if let Some(byte) = self.1 {
                to.write(byte);
                to = to.add(1);
            }
            if !self.2.is_empty() {
                ptr::copy_nonoverlapping(self.2.as_ptr(), to, self.2.len());
            }
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
        let node = allocate(pool, Layout::leaf(tree), len, birth, below);
        let leaf = node.cast::<Leaf>();
        ptr::addr_of_mut!((*leaf).value).write(value);
        ptr::addr_of_mut!((*leaf).len).write(as_len(len));
        bytes.write(node.cast::<u8>().add(LEAF_FIXED));
        node
    }
}

/// A new inner node without children.
pub(super) unsafe fn new_inner(
    pool: &mut Pool,
    birth: u64,
    stamp: Stamp,
    prefix: &[u8],
    layout: Layout,
) -> Link {
    // SAFETY: `allocate` wrote the head, and `init_inner` writes all the rest.
    unsafe {
        let node = allocate(pool, layout, prefix.len(), birth, stamp);
        init_inner(node, stamp, &Pieces::from(prefix));
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
    let layout = Layout::fitting(children.len(), !own.is_null());
    // SAFETY: the layout has room for these children, and for the own leaf if there is one.
    unsafe {
        let node = new_inner(pool, birth, stamp, prefix, layout);
        let mut below = 0;
        if !own.is_null() {
            *own_link(node) = own;
            below += 1;
        }
        for &(byte, child) in children {
            append_child(node, byte, child);
            below += keys(child);
        }
        set_keys(node, below);
        node
    }
}

/// Writes the fixed part of a fresh inner node as one without children, and its prefix.
unsafe fn init_inner(node: Link, structure: Stamp, prefix: &Pieces<'_>) {
    // SAFETY: the caller's: `node` was allocated with its layout and `prefix.len()` more, and is not
    // shared. Zeros are no child, or no own leaf, in every layout.
    unsafe {
        let fixed = layout(node).fixed();
        let inner = node.cast::<Inner>();
        ptr::addr_of_mut!((*inner).structure).write(structure);
        ptr::addr_of_mut!((*inner).prefix_len).write(as_len(prefix.len()));
        ptr::addr_of_mut!((*inner).children).write(0);
        ptr::addr_of_mut!((*inner).keys).write(0);
        bytes(node).write_bytes(0, fixed - INNER_FIXED);
        prefix.write(node.cast::<u8>().add(fixed));
    }
}

/// A copy of a node of this [`size`] that differs in its birth alone. A leaf's value is in both then:
/// the caller sees to it that one owns it.
#[inline]
pub(super) unsafe fn copy_whole(pool: &mut Pool, node: Link, size: usize, birth: u64) -> Link {
    debug_assert!(birth >> (u64::BITS - LAYOUT) == 0);
    let copy = pool.take(size).cast::<Head>().as_ptr();
    // SAFETY: the caller's: `node` is live and takes `size` bytes, a multiple of a grain's; the copy has
    // as many. Bytes behind the key bytes may be uninitialized, and are copied as such.
    unsafe {
        let (from, to) = (node.cast::<Grain>(), copy.cast::<Grain>());
        for at in 0..size / size_of::<Grain>() {
            to.add(at).write(from.add(at).read());
        }
        (*copy).tag = birth << LAYOUT | u64::from(layout(node).0);
    }
    copy
}

/// A copy of an inner node, children and stamps the same, with another birth, prefix and layout,
/// which must have room for the children, and for the own leaf if there is one.
pub(super) unsafe fn copy_inner(
    pool: &mut Pool,
    node: Link,
    birth: u64,
    prefix: &Pieces<'_>,
    new: Layout,
) -> Link {
    // SAFETY: the caller's: `node` is a live inner node. The copy's fixed part is written whole:
    // bytewise if the layout is the same, else by `init_inner` and what puts the links in.
    unsafe {
        let copy = allocate(pool, new, prefix.len(), birth, (*node).below);
        if new == layout(node) {
            ptr::copy_nonoverlapping(
                node.cast::<u8>().add(size_of::<Head>()),
                copy.cast::<u8>().add(size_of::<Head>()),
                new.fixed() - size_of::<Head>(),
            );
            (*copy.cast::<Inner>()).prefix_len = as_len(prefix.len());
            prefix.write(copy.cast::<u8>().add(new.fixed()));
        } else {
            init_inner(copy, (*node.cast::<Inner>()).structure, prefix);
            let leaf = own(node);
            if !leaf.is_null() {
                *own_link(copy) = leaf;
            }
            append_all(copy, node);
            set_keys(copy, keys(node));
        }
        copy
    }
}

/// The smallest layout for an inner node and `more` children, with a place for an own leaf if it
/// has one or is to get one.
pub(super) unsafe fn fitting(node: Link, more: usize, with_own: bool) -> Layout {
    // SAFETY: the caller's: `node` is a live inner node.
    unsafe { Layout::fitting(children(node) + more, with_own || !own(node).is_null()) }
}
