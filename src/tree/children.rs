//! The children of an inner node: found, added, removed, and walked in order.

use super::cursor::{Forward, Way};
use super::node::{
    Kind, LANE, Link, OWN, Place, add_children, bytes, children as count, is_leaf, kind, layout,
    links, one_child_less, own,
};
use std::ptr;

/// The bytes that have a child, in order: of a `Sorted`.
#[inline]
unsafe fn sorted<'a>(node: Link) -> &'a [u8] {
    // SAFETY: the caller's: `node` is a live `Sorted`; `count` is at most its room.
    unsafe { std::slice::from_raw_parts(bytes(node), count(node)) }
}

/// The links by byte, null where there is no child: of a `Full`.
#[inline]
unsafe fn by_byte<'a>(node: Link) -> &'a mut [Link; 256] {
    // SAFETY: the caller's, as for `table`.
    unsafe { &mut *links(node).cast() }
}

/// Which of [`LANE`] bytes are equal to `byte`: a bit for each.
///
/// # Safety
/// `bytes` is followed by as many that are initialized.
#[inline]
unsafe fn equal(bytes: *const u8, byte: u8) -> u32 {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the caller's; every machine of this kind has these instructions.
    unsafe {
        use std::arch::x86_64::{
            _mm_cmpeq_epi8, _mm_loadu_si128, _mm_movemask_epi8, _mm_set1_epi8,
        };
        let bytes = _mm_loadu_si128(bytes.cast());
        let equal = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(byte.cast_signed()));
        _mm_movemask_epi8(equal).cast_unsigned()
    }
    #[cfg(not(target_arch = "x86_64"))]
    // SAFETY: the caller's.
    unsafe {
        equal_portable(bytes, byte)
    }
}

/// The same on any machine.
#[cfg(any(test, not(target_arch = "x86_64")))]
unsafe fn equal_portable(bytes: *const u8, byte: u8) -> u32 {
    // SAFETY: the caller's.
    let bytes = unsafe { bytes.cast::<[u8; LANE]>().read() };
    (0..)
        .zip(bytes)
        .fold(0, |equal, (i, other)| equal | u32::from(other == byte) << i)
}

/// Which of more bytes than are compared at once are equal to `byte`, but for the first of them.
///
/// # Safety
/// As for [`equal`], of each lane.
unsafe fn equal_beyond(bytes: *const u8, byte: u8, count: usize) -> u64 {
    let lanes = (LANE..count).step_by(LANE);
    // SAFETY: the caller's.
    lanes.fold(0, |found, from| {
        found | u64::from(unsafe { equal(bytes.add(from), byte) }) << from
    })
}

/// Where the link of byte `byte`'s child stands; null if it has none.
#[inline]
pub(super) unsafe fn child_link(node: Link, byte: u8) -> *mut Link {
    // SAFETY: the caller's: `node` is a live inner node. A `Sorted` is at least as long as what is
    // compared: behind its bytes are the links, two at least, and where there are more bytes than
    // are compared at once, many more.
    unsafe {
        if kind(node) == Kind::Sorted {
            let count = count(node);
            let mut equal = u64::from(equal(bytes(node), byte));
            if count > LANE {
                equal |= equal_beyond(bytes(node), byte, count);
            }
            equal &= (1 << count) - 1;
            if equal == 0 {
                return ptr::null_mut();
            }
            return links(node).add(equal.trailing_zeros() as usize);
        }
        let link = links(node).add(usize::from(byte));
        if (*link).is_null() {
            ptr::null_mut()
        } else {
            link
        }
    }
}

/// Adds a child for a byte that has none. There must be room.
pub(super) unsafe fn add_child(node: Link, byte: u8, child: Link) {
    // SAFETY: the caller's: `node` is a live inner node that nobody else sees, with room.
    unsafe {
        let at = match kind(node) {
            Kind::Sorted => sorted(node).iter().take_while(|&&b| b < byte).count(),
            _ => count(node),
        };
        put_child(node, byte, child, at);
    }
}

/// Adds a child for a byte that is greater than all that have one. There must be room.
pub(super) unsafe fn append_child(node: Link, byte: u8, child: Link) {
    // SAFETY: the caller's, as for `add_child`.
    unsafe { put_child(node, byte, child, count(node)) }
}

/// Adds a child at a place, which is of no matter but in a `Sorted`.
unsafe fn put_child(node: Link, byte: u8, child: Link, at: usize) {
    // SAFETY: the caller's, as for `add_child`; `at` is at most `count`.
    unsafe {
        let count = count(node);
        let links = links(node);
        debug_assert!(count < layout(node).room());
        match kind(node) {
            Kind::Sorted => {
                let bytes = bytes(node);
                ptr::copy(bytes.add(at), bytes.add(at + 1), count - at);
                ptr::copy(links.add(at), links.add(at + 1), count - at);
                bytes.add(at).write(byte);
                links.add(at).write(child);
            }
            _ => by_byte(node)[usize::from(byte)] = child,
        }
        add_children(node, 1);
    }
}

/// Gives a node without children all those of another. There must be room.
pub(super) unsafe fn append_all(node: Link, from: Link) {
    // SAFETY: the caller's: both are live inner nodes, and nobody else sees the first.
    unsafe {
        if kind(node) == Kind::Sorted && kind(from) == Kind::Sorted {
            let count = count(from);
            ptr::copy_nonoverlapping(bytes(from), bytes(node), count);
            ptr::copy_nonoverlapping(links(from), links(node), count);
            add_children(node, count);
            return;
        }
        let mut at = next_place(from, OWN);
        while let Some(place) = at {
            append_child(node, byte_at(from, place), child_at(from, place));
            at = next_place(from, place);
        }
    }
}

/// Takes a child that is there out.
pub(super) unsafe fn remove_child(node: Link, byte: u8) {
    // SAFETY: the caller's: `node` is a live inner node that nobody else sees, and has the child.
    unsafe {
        let count = count(node);
        let links = links(node);
        match kind(node) {
            Kind::Sorted => {
                let at = sorted(node).iter().take_while(|&&b| b != byte).count();
                debug_assert!(at < count);
                let bytes = bytes(node);
                ptr::copy(bytes.add(at + 1), bytes.add(at), count - at - 1);
                ptr::copy(links.add(at + 1), links.add(at), count - at - 1);
            }
            _ => by_byte(node)[usize::from(byte)] = ptr::null_mut(),
        }
        one_child_less(node);
    }
}

/// Whether a node has become much too large for its children: some room is left free, so that a
/// node does not go back and forth.
pub(super) unsafe fn worth_shrinking(node: Link) -> bool {
    // SAFETY: the caller's: `node` is a live inner node.
    unsafe {
        let count = count(node);
        match kind(node) {
            Kind::Full => count <= 48,
            _ => count < layout(node).room() / 2,
        }
    }
}

/// The first place after `place` that has a child.
#[inline]
pub(super) unsafe fn next_place(node: Link, place: Place) -> Option<Place> {
    // SAFETY: the caller's: `node` is a live inner node and `place` one of its places.
    unsafe {
        if kind(node) == Kind::Sorted {
            return (usize::from(place) < count(node)).then_some(place + 1);
        }
        let children = by_byte(node);
        (place..256)
            .find(|&b| !children[usize::from(b)].is_null())
            .map(|b| b + 1)
    }
}

/// The last place before `place`, the own leaf's included; `place` may be [`END`].
#[inline]
pub(super) unsafe fn prev_place(node: Link, place: Place) -> Option<Place> {
    // SAFETY: the caller's: `node` is a live inner node and `place` one of its places or `END`.
    unsafe {
        let own = || (!own(node).is_null()).then_some(OWN);
        if place == OWN {
            return None;
        }
        let before = if kind(node) == Kind::Sorted {
            let last = Place::try_from(count(node)).unwrap_or(END);
            Some((place - 1).min(last)).filter(|&p| p > 0)
        } else {
            let children = by_byte(node);
            (0..(place - 1).min(256))
                .rev()
                .find(|&b| !children[usize::from(b)].is_null())
                .map(|b| b + 1)
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
        match kind(node) {
            Kind::Sorted => {
                let places = (1..).zip(sorted(node));
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
        match kind(node) {
            Kind::Sorted => sorted(node)[usize::from(place) - 1],
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
            return own(node);
        }
        *links(node).add(usize::from(place) - 1)
    }
}

/// The first place of a node: its own leaf's, or its first child's.
#[inline]
pub(super) unsafe fn first_place(node: Link) -> Place {
    // SAFETY: the caller's: `node` is a live inner node, and those have at least one child.
    unsafe {
        if own(node).is_null() {
            next_place(node, OWN).expect("an inner node has children")
        } else {
            OWN
        }
    }
}

/// Calls `f` for every node right below an inner node, in the order of a walk.
#[inline]
pub(super) unsafe fn children_in_order<W: Way>(node: Link, mut f: impl FnMut(Link)) {
    // SAFETY: the caller's: `node` is a live inner node.
    unsafe {
        let mut place = Some(W::first(node));
        while let Some(at) = place {
            f(child_at(node, at));
            place = W::next(node, at);
        }
    }
}

/// Calls `f` for every node right below `node`.
pub(crate) unsafe fn for_each_below(node: Link, f: impl FnMut(Link)) {
    // SAFETY: the caller's: `node` is live.
    unsafe {
        if !is_leaf(node) {
            children_in_order::<Forward>(node, f);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::node::{Layout, children, free, keys, new_inner, set_keys, size};
    use super::super::pool::Pool;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn keys_and_children_are_counted_beside_each_other() {
        let mut pool = Pool::default();
        // SAFETY: the node is live until it is freed, and nobody else sees it. Its children are none
        // that anybody follows.
        unsafe {
            let node = new_inner(&mut pool, 1, 1, b"k", Layout::fitting(256, true));
            for count in [1, u64::from(u32::MAX), 1 << 32, (1 << 39) - 1] {
                set_keys(node, count);
                for byte in 0..=255 {
                    add_child(node, byte, node);
                }
                assert_eq!((keys(node), children(node)), (count, 256));
                set_keys(node, count - 1);
                for byte in 0..=255 {
                    remove_child(node, byte);
                }
                assert_eq!((keys(node), children(node)), (count - 1, 0));
            }
            let size = size(node);
            free(&mut pool, node, size);
        }
    }

    proptest! {
        #[test]
        fn both_ways_to_compare_agree(bytes in any::<[u8; LANE]>(), at in 0..LANE) {
            for byte in [bytes[at], bytes[at].wrapping_add(1)] {
                // SAFETY: there are as many bytes.
                let (one, other) =
                    unsafe { (equal(bytes.as_ptr(), byte), equal_portable(bytes.as_ptr(), byte)) };
                prop_assert_eq!(one, other);
                let expected = (0..LANE).filter(|&i| bytes[i] == byte).map(|i| 1_u32 << i).sum::<u32>();
                prop_assert_eq!(one, expected);
            }
        }
    }
}
