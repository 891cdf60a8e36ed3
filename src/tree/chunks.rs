//! Memory for nodes from chunks of 2 MiB.
//!
//! A chunk is aligned to its size and cut into pages of 16 KiB; a page holds blocks of one size.
//! Nodes so lie close together, without the allocator's word before each, and a chunk can be
//! backed by one huge page of the machine: what a walk over a large tree waits for are cache and
//! TLB misses, and this takes most of the latter away. Where a block came from follows from its
//! address. An empty page serves any size again, and an empty chunk goes back to the allocator (one
//! is kept, so that a store at the border does not go back and forth).
//!
//! **Structure.** The first page of a chunk holds its [`Chunk`], with a [`Page`] for each of its
//! pages.
//!
//! **Invariants.** A page is in the list of its size if and only if it has a block in use and one
//! that is free; one without a block in use is in its chunk's list of free pages. A chunk is in
//! the list of chunks if and only if it has a free page.
//!
//! With `--cfg unpooled` every node comes from the allocator, so that a sanitizer sees every use
//! after free.

use super::free::Free;
use super::prefetch;
use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::mem::MaybeUninit;
use std::ptr::{self, NonNull};

/// Nodes are aligned to this, and the sizes of all are multiples of it.
const GRAIN: usize = 16;
/// So many bytes, of whatever.
pub(super) type Grain = [MaybeUninit<u64>; GRAIN / size_of::<u64>()];
/// Up to here sizes are rounded to the grain.
const SMALL: usize = 1024;
/// The sizes of larger ones are rounded up to this.
const COARSE: usize = 128;
/// The largest size that comes from a chunk.
const LARGEST: usize = 4096;
/// How many sizes come from chunks.
pub(super) const CLASSES: usize = SMALL / GRAIN + (LARGEST - SMALL) / COARSE;

const CHUNK: usize = 2 << 20;
const PAGE: usize = 16 << 10;
const PAGES: usize = CHUNK / PAGE;
/// A store that has come to this many chunks asks for huge pages for those that follow: a small
/// one does not take memory that it does not use.
const SMALL_STORE: usize = 4;

/// What a node of `size` bytes takes.
pub(super) const fn rounded(size: usize) -> usize {
    if size <= SMALL || size > LARGEST {
        size.next_multiple_of(GRAIN)
    } else {
        size.next_multiple_of(COARSE)
    }
}

/// The number of a rounded size; [`CLASSES`] if it does not come from a chunk.
pub(super) const fn class(rounded: usize) -> usize {
    if rounded <= SMALL {
        rounded / GRAIN - 1
    } else if rounded <= LARGEST {
        SMALL / GRAIN + (rounded - SMALL) / COARSE - 1
    } else {
        CLASSES
    }
}

/// The size that has this number.
pub(super) const fn size_of_class(class: usize) -> usize {
    if class < SMALL / GRAIN {
        (class + 1) * GRAIN
    } else {
        SMALL + (class + 1 - SMALL / GRAIN) * COARSE
    }
}

/// One page of a chunk.
#[derive(Debug)]
struct Page {
    /// Blocks that were given back.
    free: *mut Free,
    /// The next page in its chunk's list of free ones.
    next: *mut Page,
    /// Its place in the list of its size.
    at: usize,
    /// The size of its blocks.
    block: u16,
    /// How many are given out.
    used: u16,
    /// Where the blocks begin that were never given out, counted from the page's start.
    fresh: u16,
}

impl Page {
    fn is_full(&self) -> bool {
        self.free.is_null() && usize::from(self.fresh) + usize::from(self.block) > PAGE
    }
}

/// What the first page of a chunk holds.
#[derive(Debug)]
struct Chunk {
    /// Pages without a block in use.
    free: *mut Page,
    /// Its place in the list of chunks.
    at: usize,
    /// How many pages have blocks in use.
    used: usize,
    /// The pages from this one on were never used, and are not initialized.
    fresh: usize,
    pages: [MaybeUninit<Page>; PAGES],
}

const _: () = assert!(size_of::<Chunk>() <= PAGE && PAGE <= u16::MAX as usize);

/// What knows its place in a [`List`].
trait Listed {
    /// # Safety
    /// `this` is live.
    unsafe fn at(this: NonNull<Self>) -> *mut usize;
}

impl Listed for Page {
    unsafe fn at(this: NonNull<Self>) -> *mut usize {
        // SAFETY: the caller's.
        unsafe { &raw mut (*this.as_ptr()).at }
    }
}

impl Listed for Chunk {
    unsafe fn at(this: NonNull<Self>) -> *mut usize {
        // SAFETY: the caller's.
        unsafe { &raw mut (*this.as_ptr()).at }
    }
}

/// Pages or chunks with room. The last is used first.
#[derive(Debug)]
struct List<T>(Vec<NonNull<T>>);

impl<T: Listed> List<T> {
    fn push(&mut self, entry: NonNull<T>) {
        // SAFETY: what is listed is live, and only its owner sees it.
        unsafe { T::at(entry).write(self.0.len()) };
        self.0.push(entry);
    }

    fn remove(&mut self, entry: NonNull<T>) {
        // SAFETY: as for `push`, which wrote the place.
        let at = unsafe { T::at(entry).read() };
        self.0.swap_remove(at);
        if let Some(&moved) = self.0.get(at) {
            // SAFETY: as for `push`.
            unsafe { T::at(moved).write(at) };
        }
    }
}

/// Memory for the nodes of one store. One writer at a time has it.
#[derive(Debug)]
pub(super) struct Chunks {
    /// Pages by the size of their blocks.
    pages: [List<Page>; CLASSES],
    /// Chunks with a free page.
    vacant: List<Chunk>,
    /// How many chunks there are.
    count: usize,
    /// The bytes of blocks that came from the allocator, one by one.
    singles: usize,
}

impl Default for Chunks {
    fn default() -> Self {
        Chunks {
            pages: std::array::from_fn(|_| List(Vec::new())),
            vacant: List(Vec::new()),
            count: 0,
            singles: 0,
        }
    }
}

fn allocated(layout: Layout) -> NonNull<u8> {
    debug_assert!(layout.size() > 0);
    // SAFETY: neither a chunk nor a node has size zero.
    NonNull::new(unsafe { alloc(layout) }).unwrap_or_else(|| handle_alloc_error(layout))
}

fn single(rounded: usize) -> Layout {
    Layout::from_size_align(rounded, GRAIN).expect("a node is smaller than isize::MAX")
}

fn whole() -> Layout {
    Layout::from_size_align(CHUNK, CHUNK).expect("a chunk is a power of two")
}

/// Whether blocks of this size come from the allocator, one by one.
const fn is_single(rounded: usize) -> bool {
    rounded > LARGEST || cfg!(unpooled)
}

impl Chunks {
    /// Uninitialized memory for `size` bytes, not zero.
    #[inline]
    pub(super) fn take(&mut self, size: usize) -> NonNull<u8> {
        let size = rounded(size);
        if is_single(size) {
            self.singles += size;
            return allocated(single(size));
        }
        let page = match self.pages[class(size)].0.last() {
            Some(&page) => page,
            None => self.begin_page(size),
        };
        // SAFETY: a listed page is live and has room: a free block, or one behind the last that
        // was given out. A block is inside its page, which is inside its chunk.
        unsafe {
            let page_ptr = page.as_ptr();
            let block = if let Some(free) = NonNull::new((*page_ptr).free) {
                let (block, next) = Free::take(free, size);
                prefetch::first_of(next);
                (*page_ptr).free = next;
                block
            } else {
                let start = usize::from((*page_ptr).fresh);
                (*page_ptr).fresh += (*page_ptr).block;
                base(page).add(start)
            };
            (*page_ptr).used += 1;
            if page.as_ref().is_full() {
                self.pages[class(size)].remove(page);
            }
            block
        }
    }

    /// Takes memory back.
    ///
    /// # Safety
    /// It came from a `take` of the same size, and is not used any more.
    #[inline]
    pub(super) unsafe fn give(&mut self, block: NonNull<u8>, size: usize) {
        let size = rounded(size);
        if is_single(size) {
            self.singles -= size;
            // SAFETY: `take` allocated it with this layout.
            return unsafe { dealloc(block.as_ptr(), single(size)) };
        }
        // SAFETY: the block is ours, of this size. It is in a page of a live chunk, since it was taken
        // from one.
        unsafe {
            let page = page_of(block);
            let page_ptr = page.as_ptr();
            let was_full = page.as_ref().is_full();
            (*page_ptr).free = Free::put(block, size, (*page_ptr).free).as_ptr();
            (*page_ptr).used -= 1;
            let list = &mut self.pages[class(size)];
            if was_full {
                list.push(page);
            }
            if (*page_ptr).used == 0 {
                list.remove(page);
                self.end_page(page);
            }
        }
    }

    /// Asks for what a `give` of this block will read.
    ///
    /// # Safety
    /// The block is in a page of a live chunk.
    pub(super) unsafe fn expect(block: NonNull<u8>) {
        // SAFETY: the caller's.
        prefetch::first_of(unsafe { page_of(block) }.as_ptr());
    }

    /// The bytes it has from the allocator.
    pub(super) fn reserved(&self) -> usize {
        self.count * CHUNK + self.singles
    }

    /// How many chunks it has.
    #[cfg(all(test, not(unpooled)))]
    pub(super) fn chunks(&self) -> usize {
        self.count
    }

    /// Takes over all memory of another.
    pub(super) fn absorb(&mut self, mut other: Chunks) {
        for (pages, others) in self.pages.iter_mut().zip(&mut other.pages) {
            for page in others.0.drain(..) {
                pages.push(page);
            }
        }
        for chunk in other.vacant.0.drain(..) {
            self.vacant.push(chunk);
        }
        self.count += std::mem::take(&mut other.count);
        self.singles += std::mem::take(&mut other.singles);
    }

    /// A page for blocks of this size, in its list.
    #[cold]
    fn begin_page(&mut self, size: usize) -> NonNull<Page> {
        let chunk = match self.vacant.0.last() {
            Some(&chunk) => chunk,
            None => self.new_chunk(),
        };
        // SAFETY: a listed chunk is live and has a free page: one in its list, or one that was
        // never used.
        let page = unsafe {
            let chunk_ptr = chunk.as_ptr();
            let page = if let Some(page) = NonNull::new((*chunk_ptr).free) {
                (*chunk_ptr).free = page.as_ref().next;
                page
            } else {
                let at = (*chunk_ptr).fresh;
                (*chunk_ptr).fresh += 1;
                NonNull::new_unchecked((&raw mut (*chunk_ptr).pages[at]).cast::<Page>())
            };
            (*chunk_ptr).used += 1;
            if (*chunk_ptr).used == PAGES - 1 {
                self.vacant.remove(chunk);
            }
            page.write(Page {
                free: ptr::null_mut(),
                next: ptr::null_mut(),
                at: 0,
                block: u16::try_from(size).expect("blocks are smaller than a page"),
                used: 0,
                fresh: 0,
            });
            page
        };
        self.pages[class(size)].push(page);
        page
    }

    /// Gives a page without blocks in use back to its chunk.
    #[cold]
    fn end_page(&mut self, page: NonNull<Page>) {
        // SAFETY: the page is in no list, and its chunk is live.
        unsafe {
            let chunk = chunk_of(page);
            let chunk_ptr = chunk.as_ptr();
            (*page.as_ptr()).next = (*chunk_ptr).free;
            (*chunk_ptr).free = page.as_ptr();
            if (*chunk_ptr).used == PAGES - 1 {
                self.vacant.push(chunk);
            }
            (*chunk_ptr).used -= 1;
            if (*chunk_ptr).used == 0 && self.vacant.0.len() > 1 {
                self.vacant.remove(chunk);
                self.count -= 1;
                dealloc(chunk_ptr.cast(), whole());
            }
        }
    }

    /// A chunk without a page in use, in the list.
    fn new_chunk(&mut self) -> NonNull<Chunk> {
        let chunk = allocated(whole()).cast::<Chunk>();
        if self.count >= SMALL_STORE {
            advise_huge(chunk.cast());
        }
        // SAFETY: the memory is ours, large and aligned enough. All but the pages is written.
        unsafe {
            let chunk = chunk.as_ptr();
            (&raw mut (*chunk).free).write(ptr::null_mut());
            (&raw mut (*chunk).used).write(0);
            // The first page is the chunk's own.
            (&raw mut (*chunk).fresh).write(1);
        }
        self.count += 1;
        self.vacant.push(chunk);
        chunk
    }
}

/// The chunk that something in it belongs to.
///
/// # Safety
/// `inside` was made from a pointer to a live chunk.
unsafe fn chunk_of<T>(inside: NonNull<T>) -> NonNull<Chunk> {
    let chunk = inside.as_ptr().map_addr(|addr| addr & !(CHUNK - 1));
    // SAFETY: chunks are aligned to their size, and none is at address 0.
    unsafe { NonNull::new_unchecked(chunk.cast()) }
}

/// The page of a block.
///
/// # Safety
/// The block is one of a live chunk's.
unsafe fn page_of(block: NonNull<u8>) -> NonNull<Page> {
    // SAFETY: the page's number is below `PAGES`, and it was begun when the block was taken.
    unsafe {
        let chunk = chunk_of(block);
        let at = (block.addr().get() - chunk.addr().get()) / PAGE;
        NonNull::new_unchecked((&raw mut (*chunk.as_ptr()).pages[at]).cast())
    }
}

/// Where the memory of a page begins.
///
/// # Safety
/// The page is one of a live chunk's.
unsafe fn base(page: NonNull<Page>) -> NonNull<u8> {
    // SAFETY: the page's number is below `PAGES`, so its memory is inside the chunk.
    unsafe {
        let chunk = chunk_of(page);
        let first = (&raw const (*chunk.as_ptr()).pages).cast::<Page>();
        let at = page.as_ptr().cast_const().offset_from_unsigned(first);
        chunk.cast::<u8>().add(at * PAGE)
    }
}

/// Asks for a chunk to be one huge page. Advice: nothing depends on it.
fn advise_huge(chunk: NonNull<u8>) {
    #[cfg(target_os = "linux")]
    // SAFETY: the range is ours, and the advice does not change what is in it.
    unsafe {
        libc::madvise(chunk.as_ptr().cast(), CHUNK, libc::MADV_HUGEPAGE);
    }
    #[cfg(not(target_os = "linux"))]
    let _ = chunk;
}

impl Drop for Chunks {
    fn drop(&mut self) {
        // All nodes are gone, so at most the one chunk is left that is kept when it is empty.
        for chunk in &self.vacant.0 {
            // SAFETY: a listed chunk is live and ours.
            unsafe {
                debug_assert_eq!(chunk.as_ref().used, 0, "nodes leaked");
                dealloc(chunk.as_ptr().cast(), whole());
            }
        }
    }
}

// SAFETY: the memory is nobody else's.
unsafe impl Send for Chunks {}
// SAFETY: shared chunks can do nothing.
unsafe impl Sync for Chunks {}
