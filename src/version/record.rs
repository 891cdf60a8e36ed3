//! One version: the record, and the counted handle to it.

use super::core::Core;
use super::reclaim::{Block, DeadList};
use crate::sync::{AtomicPtr, AtomicUsize, Ordering, fence};
use crate::tree::{RawTree, Tree, Value};
use std::cell::UnsafeCell;
use std::fmt;
use std::mem::{ManuallyDrop, MaybeUninit};
use std::ptr::{self, NonNull};

/// What a version is. Lives until its count is zero and the writer has taken it from the stack.
pub(crate) struct Record<P: Send + Sync + 'static> {
    refs: AtomicUsize,
    /// The core it belongs to, which outlives it.
    pub(super) core: NonNull<Core<P>>,
    pub(super) generation: u64,
    pub(super) trees: Box<[RawTree]>,
    pub(super) payload: P,
    /// What its successor no longer needed. Only the holder of the writer's slot touches it.
    pub(super) dead: UnsafeCell<DeadList>,
    /// The next record on the stack of the dead. Its order is the stack's.
    pub(super) next: AtomicPtr<Record<P>>,
}

impl<P: Send + Sync + 'static> Record<P> {
    /// Whether it has handles, now.
    pub(super) fn is_held(&self) -> bool {
        self.refs.load(Ordering::Relaxed) > 0
    }

    /// Puts nodes on its dead list.
    ///
    /// # Safety
    /// The caller has the writer's slot.
    pub(super) unsafe fn inherit(&self, block: Block) {
        if !block.is_empty() {
            // SAFETY: the caller's: nobody else touches dead lists.
            unsafe { (*self.dead.get()).push(block) };
        }
    }

    /// A record with one handle, in this memory.
    pub(super) fn publishable(
        memory: Box<MaybeUninit<Record<P>>>,
        core: NonNull<Core<P>>,
        generation: u64,
        trees: Box<[RawTree]>,
        payload: P,
    ) -> Version<P> {
        let record = Box::write(
            memory,
            Record {
                refs: AtomicUsize::new(1),
                core,
                generation,
                trees,
                payload,
                dead: UnsafeCell::new(DeadList::default()),
                next: AtomicPtr::new(ptr::null_mut()),
            },
        );
        Version(NonNull::from(Box::leak(record)))
    }
}

/// A handle of one immutable version.
pub(crate) struct Version<P: Send + Sync + 'static>(NonNull<Record<P>>);

// SAFETY: a handle gives shared access to trees and a payload that are `Sync`, and its release
// only counts and pushes, both atomically; destruction happens on another thread, so `P: Send`.
unsafe impl<P: Send + Sync + 'static> Send for Version<P> {}
// SAFETY: as above.
unsafe impl<P: Send + Sync + 'static> Sync for Version<P> {}

impl<P: Send + Sync + 'static> Version<P> {
    pub(super) fn record(&self) -> &Record<P> {
        // SAFETY: a record lives as long as it has a handle, and this is one.
        unsafe { self.0.as_ref() }
    }

    pub(super) fn as_ptr(&self) -> *mut Record<P> {
        self.0.as_ptr()
    }

    /// Gives the handle up. If it was the last, the record is buried; the core is returned then,
    /// which the caller is to leave.
    pub(super) fn release(self) -> Option<NonNull<Core<P>>> {
        let version = ManuallyDrop::new(self);
        let record = version.record();
        if record.refs.fetch_sub(1, Ordering::Release) != 1 {
            return None;
        }
        fence(Ordering::Acquire);
        let core = record.core;
        // SAFETY: the count is zero, so this was the last handle; the core is alive, since every
        // record that is not on its stack holds it.
        unsafe { core.as_ref().bury(version.0) };
        Some(core)
    }

    /// Whether there is no other handle of it: nor can there be one then, while this is not cloned.
    pub(super) fn is_only_handle(&self) -> bool {
        self.record().refs.load(Ordering::Acquire) == 1
    }

    /// Gives the handle up, which is the only one.
    pub(super) fn into_record(self) -> NonNull<Record<P>> {
        debug_assert!(self.is_only_handle());
        ManuallyDrop::new(self).0
    }

    pub(crate) fn payload(&self) -> &P {
        &self.record().payload
    }

    /// How many keys tree number `id` has, and the bytes of its nodes.
    pub(crate) fn size(&self, id: usize) -> (u64, u64) {
        let tree = &self.record().trees[id];
        (tree.len(), tree.bytes())
    }

    /// Tree number `id`.
    ///
    /// # Panics
    /// If it does not hold values `V`: a fault of this crate, never of its user.
    #[inline]
    pub(crate) fn tree<V: Value>(&self, id: usize) -> Tree<'_, V> {
        // SAFETY: the nodes of a published version are never written, and are freed only after
        // its last handle is gone; the view borrows this one.
        unsafe { self.record().trees[id].view() }
    }
}

impl<P: Send + Sync + 'static> From<&Version<P>> for NonNull<Record<P>> {
    fn from(version: &Version<P>) -> Self {
        version.0
    }
}

impl<P: Send + Sync + 'static> Clone for Version<P> {
    fn clone(&self) -> Self {
        self.record().refs.fetch_add(1, Ordering::Relaxed);
        Version(self.0)
    }
}

impl<P: Send + Sync + 'static> Drop for Version<P> {
    fn drop(&mut self) {
        if let Some(core) = Version(self.0).release() {
            // SAFETY: the record held the core, and is on its stack now.
            unsafe { Core::leave(core) }
        }
    }
}

impl<P: Send + Sync + 'static> fmt::Debug for Version<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Version")
            .field("generation", &self.record().generation)
            .finish_non_exhaustive()
    }
}

#[cfg(not(loom))]
// SAFETY: the pointer is that of the record, which stays where it is; `into_ptr` and `from_ptr`
// carry one count over; a `Version` is a pointer without a niche of its own tags, and records are
// aligned to 8 bytes.
unsafe impl<P: Send + Sync + 'static> arc_swap::RefCnt for Version<P> {
    type Base = Record<P>;

    fn into_ptr(me: Self) -> *mut Record<P> {
        let me = std::mem::ManuallyDrop::new(me);
        me.as_ptr()
    }

    fn as_ptr(me: &Self) -> *mut Record<P> {
        me.as_ptr()
    }

    unsafe fn from_ptr(ptr: *const Record<P>) -> Self {
        // SAFETY: the caller's: `ptr` came from `into_ptr`, so it is not null.
        Version(unsafe { NonNull::new_unchecked(ptr.cast_mut()) })
    }
}
