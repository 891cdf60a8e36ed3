//! Memory for nodes: chunks, behind a small stock of what was just freed.
//!
//! A commit frees about as many nodes, of the same sizes, as it makes. They are kept in lists by
//! size, the last freed first, so that the next commit gets memory that is still in the cache, and
//! neither of the two goes to the pages that the memory is of. Each size has a bound of its own: one
//! for all would be used up by sizes that were freed once and that nobody asks for.
//!
//! Of each size there are two lists. When the one in front is full the other one goes back to the
//! chunks, as a whole, so that their pages are fetched together, and the full one takes its place.
//!
//! With `--cfg unpooled` there is no stock, so that a sanitizer sees every use after free.

use super::chunks::{CLASSES, Chunks, class, rounded, size_of_class};
use super::free::Free;
use super::prefetch;
use std::mem;
use std::ptr::{self, NonNull};

/// The most bytes in one list, but for the two blocks that there may always be.
const BOUND: usize = 8 << 10;

/// Free blocks of one size, the last freed first.
#[derive(Clone, Copy, Debug)]
struct List {
    first: *mut Free,
    len: usize,
}

impl List {
    const EMPTY: List = List {
        first: ptr::null_mut(),
        len: 0,
    };

    fn is_full(self, size: usize) -> bool {
        self.len >= 2 && self.len * size >= BOUND
    }
}

/// What is kept of one size.
#[derive(Clone, Copy, Debug)]
struct Stock {
    front: List,
    /// Empty, or full.
    back: List,
}

/// A bounded stock of freed memory. One writer at a time has it.
#[derive(Debug)]
pub(super) struct Pool {
    /// By class; blocks without one are not kept.
    stocks: [Stock; CLASSES],
    chunks: Chunks,
}

impl Default for Pool {
    fn default() -> Self {
        let empty = Stock {
            front: List::EMPTY,
            back: List::EMPTY,
        };
        Pool {
            stocks: [empty; CLASSES],
            chunks: Chunks::default(),
        }
    }
}

impl Pool {
    /// Uninitialized memory for `size` bytes, not zero.
    #[inline]
    pub(super) fn take(&mut self, size: usize) -> NonNull<u8> {
        let size = rounded(size);
        if let Some(Stock { front, back }) = self.stocks.get_mut(class(size)) {
            if front.first.is_null() {
                mem::swap(front, back);
            }
            if let Some(free) = NonNull::new(front.first) {
                // SAFETY: what is on a list is a free block of that size, put there by `give`.
                let (block, next) = unsafe { Free::take(free, size) };
                prefetch::first_of(next);
                front.first = next;
                front.len -= 1;
                return block;
            }
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
        match self.stocks.get_mut(class(size)) {
            Some(Stock { front, back }) if !cfg!(unpooled) => {
                if front.is_full(size) {
                    let old = mem::replace(back, mem::replace(front, List::EMPTY));
                    give_back(&mut self.chunks, old, size);
                }
                // SAFETY: the block is ours, and of this size.
                front.first = unsafe { Free::put(block, size, front.first) }.as_ptr();
                front.len += 1;
            }
            // SAFETY: the caller's.
            _ => unsafe { self.chunks.give(block, size) },
        }
    }
}

/// Gives all blocks of a list back to the chunks.
#[cold]
fn give_back(chunks: &mut Chunks, list: List, size: usize) {
    let mut next = list.first;
    while let Some(free) = NonNull::new(next) {
        // SAFETY: what is on a list is a free block of a page of these chunks, for larger ones have no
        // list.
        unsafe {
            Chunks::expect(free.cast());
            next = free.as_ref().next;
        }
    }
    let mut next = list.first;
    while let Some(free) = NonNull::new(next) {
        // SAFETY: what is on a list is a free block of this size, which came from the chunks.
        unsafe {
            let (block, after) = Free::take(free, size);
            next = after;
            chunks.give(block, size);
        }
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
        self.chunks.absorb(mem::take(&mut other.chunks));
    }

    /// Gives what is kept back to the chunks.
    pub(super) fn flush(&mut self) {
        for (class, stock) in self.stocks.iter_mut().enumerate() {
            let size = size_of_class(class);
            give_back(
                &mut self.chunks,
                mem::replace(&mut stock.front, List::EMPTY),
                size,
            );
            give_back(
                &mut self.chunks,
                mem::replace(&mut stock.back, List::EMPTY),
                size,
            );
        }
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
