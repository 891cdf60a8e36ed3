//! Memory for nodes: the allocator, behind a small stock of what was just freed.
//!
//! A commit frees about as many nodes, of the same sizes, as it makes. They are kept in lists by
//! size, the last freed first, so the next commit gets memory that is still in the cache and pays
//! the allocator nothing. The stock is bounded; what is beyond goes back to the allocator.
//!
//! With `--cfg unpooled` there is no stock, so that a sanitizer sees every use after free.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::ptr::{self, NonNull};

/// Sizes are rounded up to this; nodes are aligned to it.
const GRAIN: usize = 16;
/// The largest size that is kept.
const LARGEST: usize = 1024;
/// The most bytes that are kept.
const BOUND: usize = 1 << 20;

/// A free block; the next of its size.
struct Free {
    next: *mut Free,
}

/// A bounded stock of freed memory. One writer at a time has it.
#[derive(Debug)]
pub(super) struct Pool {
    lists: [*mut Free; LARGEST / GRAIN + 1],
    held: usize,
}

impl Default for Pool {
    fn default() -> Self {
        Pool {
            lists: [ptr::null_mut(); LARGEST / GRAIN + 1],
            held: 0,
        }
    }
}

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, GRAIN).expect("a node is smaller than isize::MAX")
}

/// What a node of `size` bytes takes.
pub(super) const fn rounded(size: usize) -> usize {
    size.next_multiple_of(GRAIN)
}

impl Pool {
    /// Uninitialized memory for `size` bytes, not zero.
    #[inline]
    pub(super) fn take(&mut self, size: usize) -> NonNull<u8> {
        let size = rounded(size);
        if let Some(list) = self.lists.get_mut(size / GRAIN)
            && let Some(free) = NonNull::new(*list)
        {
            // SAFETY: what is on a list is a free block of that size, put there by `give`.
            *list = unsafe { free.as_ref().next };
            self.held -= size;
            return free.cast();
        }
        let layout = layout(size);
        debug_assert!(size > 0);
        // SAFETY: no node has size zero.
        NonNull::new(unsafe { alloc(layout) }).unwrap_or_else(|| handle_alloc_error(layout))
    }

    /// Takes memory back.
    ///
    /// # Safety
    /// It came from a `take` of the same size, and is not used any more.
    #[inline]
    pub(super) unsafe fn give(&mut self, block: NonNull<u8>, size: usize) {
        let size = rounded(size);
        if size <= LARGEST && self.held + size <= BOUND && !cfg!(unpooled) {
            let list = &mut self.lists[size / GRAIN];
            let free = block.cast::<Free>();
            // SAFETY: the block is ours, and large and aligned enough for a pointer.
            unsafe { free.write(Free { next: *list }) };
            *list = free.as_ptr();
            self.held += size;
            return;
        }
        // SAFETY: `take` allocated it with this layout.
        unsafe { dealloc(block.as_ptr(), layout(size)) }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        for (class, list) in self.lists.iter().enumerate() {
            let mut block = *list;
            while let Some(free) = NonNull::new(block) {
                // SAFETY: what is on a list is a free block of that size.
                unsafe {
                    block = free.as_ref().next;
                    dealloc(free.as_ptr().cast(), layout(class * GRAIN));
                }
            }
        }
    }
}

// SAFETY: the blocks are nobody else's.
unsafe impl Send for Pool {}
// SAFETY: a shared pool can do nothing.
unsafe impl Sync for Pool {}
