//! Memory for nodes: chunks, behind a small stock of what was just freed.
//!
//! A commit frees about as many nodes, of the same sizes, as it makes. They are kept in lists by
//! size, the last freed first, so the next commit gets memory that is still in the cache. The
//! stock is bounded; what is beyond goes back to the chunks.
//!
//! With `--cfg unpooled` there is no stock, so that a sanitizer sees every use after free.

use super::chunks::{CLASSES, Chunks, class, rounded, size_of_class};
use super::free::Free;
use std::ptr::{self, NonNull};

/// The most bytes that are kept.
const BOUND: usize = 256 << 10;

/// A bounded stock of freed memory. One writer at a time has it.
#[derive(Debug)]
pub(super) struct Pool {
    /// By class; blocks without one are not kept.
    lists: [*mut Free; CLASSES],
    held: usize,
    chunks: Chunks,
}

impl Default for Pool {
    fn default() -> Self {
        Pool {
            lists: [ptr::null_mut(); CLASSES],
            held: 0,
            chunks: Chunks::default(),
        }
    }
}

impl Pool {
    /// Uninitialized memory for `size` bytes, not zero.
    #[inline]
    pub(super) fn take(&mut self, size: usize) -> NonNull<u8> {
        let size = rounded(size);
        if let Some(list) = self.lists.get_mut(class(size))
            && let Some(free) = NonNull::new(*list)
        {
            // SAFETY: what is on a list is a free block of that size, put there by `give`.
            let (block, next) = unsafe { Free::take(free, size) };
            *list = next;
            self.held -= size;
            return block;
        }
        self.chunks.take(size)
    }

    /// Takes memory back.
    ///
    /// # Safety
    /// It came from a `take` of the same size, and is not used any more.
    #[inline]
    pub(super) unsafe fn give(&mut self, block: NonNull<u8>, size: usize) {
        let size = rounded(size);
        if let Some(list) = self.lists.get_mut(class(size))
            && self.held + size <= BOUND
            && !cfg!(unpooled)
        {
            // SAFETY: the block is ours, and of this size.
            *list = unsafe { Free::put(block, size, *list) }.as_ptr();
            self.held += size;
            return;
        }
        // SAFETY: the caller's.
        unsafe { self.chunks.give(block, size) }
    }
}

impl Pool {
    /// The bytes it has from the allocator, whether in use or not.
    pub(super) fn reserved(&self) -> usize {
        self.chunks.reserved()
    }

    /// Takes over all memory of another.
    pub(super) fn absorb(&mut self, mut other: Pool) {
        other.flush();
        self.chunks.absorb(std::mem::take(&mut other.chunks));
    }

    /// Gives what is kept back to the chunks.
    fn flush(&mut self) {
        for (class, list) in self.lists.iter_mut().enumerate() {
            let mut block = std::mem::replace(list, ptr::null_mut());
            while let Some(free) = NonNull::new(block) {
                // SAFETY: what is on a list is a free block of that class.
                unsafe {
                    let size = size_of_class(class);
                    let (taken, next) = Free::take(free, size);
                    block = next;
                    self.chunks.give(taken, size);
                }
            }
        }
        self.held = 0;
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.flush();
    }
}

// SAFETY: the blocks are nobody else's.
unsafe impl Send for Pool {}
// SAFETY: a shared pool can do nothing.
unsafe impl Sync for Pool {}
