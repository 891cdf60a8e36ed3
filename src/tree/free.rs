//! A free block of memory for nodes.
//!
//! In builds with debug assertions a block is poisoned when it is freed: it begins with a tag that no
//! node has, which every look at a node checks for, and the rest is filled, which is checked when
//! the block is given out again. So a node that is read or written after it was freed is found, in
//! all tests, at the first touch or at the latest by the next that gets its memory.

#[cfg(debug_assertions)]
use super::node::FREED;
use std::ptr::NonNull;

/// What the rest of a poisoned block is filled with.
#[cfg(debug_assertions)]
const POISON: u8 = 0xdb;

/// What a free block begins with.
#[repr(C)]
pub(super) struct Free {
    /// Where a node has its tag.
    tag: u64,
    /// The next in its list.
    pub(super) next: *mut Free,
}

impl Free {
    /// Makes a free block of a block of this size.
    ///
    /// # Safety
    /// The block is the caller's, and large and aligned enough for a node of this size.
    #[inline]
    pub(super) unsafe fn put(block: NonNull<u8>, size: usize, next: *mut Free) -> NonNull<Free> {
        let free = block.cast::<Free>();
        #[cfg(debug_assertions)]
        // SAFETY: the caller's.
        unsafe {
            block.write_bytes(POISON, size);
            free.write(Free { tag: FREED, next });
        }
        #[cfg(not(debug_assertions))]
        // SAFETY: the caller's.
        unsafe {
            let _ = size;
            (&raw mut (*free.as_ptr()).next).write(next);
        }
        free
    }

    /// The block again, to be given out, and the next in its list.
    ///
    /// # Safety
    /// It is a free block of this size, which is taken off its list.
    #[inline]
    pub(super) unsafe fn take(free: NonNull<Free>, size: usize) -> (NonNull<u8>, *mut Free) {
        #[cfg(debug_assertions)]
        // SAFETY: the caller's; `put` wrote all of it.
        unsafe {
            let start = size_of::<Free>();
            let rest = free.cast::<u8>().add(start).as_ptr();
            let rest = std::slice::from_raw_parts(rest, size - start);
            assert!(
                free.as_ref().tag == FREED && rest.iter().all(|&byte| byte == POISON),
                "a node was written after it was freed"
            );
        }
        #[cfg(not(debug_assertions))]
        let _ = size;
        // SAFETY: the caller's.
        (free.cast(), unsafe { (*free.as_ptr()).next })
    }
}
