//! The core of a store: the published version, the stack of the dead, the writer's slot.

use super::cell::Cell;
use super::edition::Edition;
use super::live::Live;
use super::reclaim::{Reclaimer, Trash};
use super::record::{Record, Version};
use crate::sync::{
    AtomicPtr, AtomicUsize, Condvar, Mutex, MutexGuard, Ordering, fence, this_thread,
};
use crate::tree::{Edits, RawTree, Usage, ValueKind};
use std::fmt;
use std::ptr::{self, NonNull};

/// What only the holder of the writer's slot touches.
#[derive(Debug)]
pub(super) struct Writer<P: Send + Sync + 'static> {
    /// The last generation given out.
    pub(super) generation: u64,
    pub(super) edits: Edits,
    pub(super) reclaimer: Reclaimer<P>,
}

/// Nodes that one step of a collection frees.
const STEP: usize = 4096;

/// The one writer's place.
pub(super) struct Slot<P: Send + Sync + 'static> {
    /// Taken out while somebody writes.
    pub(super) writer: Option<Box<Writer<P>>>,
    /// The thread that has it.
    owner: Option<u64>,
    /// What there was in memory when it was last put back.
    usage: Usage,
    /// How many wait for it.
    waiting: usize,
    /// How often it was taken.
    turn: u64,
}

impl<P: Send + Sync + 'static> Slot<P> {
    fn take(&mut self) -> Option<Box<Writer<P>>> {
        let writer = self.writer.take()?;
        self.owner = Some(this_thread());
        self.turn += 1;
        Some(writer)
    }

    /// Whether this thread has it, and so would wait for itself.
    fn is_own(&self) -> bool {
        self.owner == Some(this_thread())
    }
}

/// Shared by all handles of a store and all its versions; outlives them.
pub(super) struct Core<P: Send + Sync + 'static> {
    published: Cell<P>,
    /// Records without handles, not yet taken by the writer.
    dead: AtomicPtr<Record<P>>,
    /// Store handles (an edition has one).
    stores: AtomicUsize,
    /// One for all store handles together, and one for each record that is not on the stack.
    holders: AtomicUsize,
    slot: Mutex<Slot<P>>,
    vacant: Condvar,
    pub(super) live: Live<P>,
    pub(super) kinds: Box<[&'static ValueKind]>,
    /// What a fork began from: held, because its trees share nodes with it.
    base: Option<Version<P>>,
}

impl<P: Send + Sync + 'static> Core<P> {
    /// Takes a record that lost its last handle. Runs nothing.
    ///
    /// # Safety
    /// The caller gives the record up, and `leave`s afterwards.
    pub(super) unsafe fn bury(&self, record: NonNull<Record<P>>) {
        let mut top = self.dead.load(Ordering::Relaxed);
        loop {
            // SAFETY: the record has no handle and is not on the stack yet, so only we see it.
            unsafe { record.as_ref() }
                .next
                .store(top, Ordering::Relaxed);
            match self.dead.compare_exchange_weak(
                top,
                record.as_ptr(),
                Ordering::Release,
                Ordering::Relaxed,
            ) {
                Ok(_) => return,
                Err(now) => top = now,
            }
        }
    }

    /// Hands every buried record to the reclaimer.
    pub(super) fn exhume(&self, reclaimer: &mut Reclaimer<P>) {
        if self.dead.load(Ordering::Relaxed).is_null() {
            return;
        }
        let mut record = self.dead.swap(ptr::null_mut(), Ordering::Acquire);
        while let Some(dead) = NonNull::new(record) {
            // SAFETY: what is on the stack has no handle and is ours alone once taken.
            unsafe {
                record = dead.as_ref().next.load(Ordering::Relaxed);
                reclaimer.died(dead, &self.live);
            }
        }
    }

    /// Ends a version of which this is the only handle, and which was not published; returns its payload.
    pub(super) fn forget(&self, version: Version<P>, reclaimer: &mut Reclaimer<P>) -> P {
        let record = version.into_record();
        // Not the last: an edition has a store handle.
        self.holders.fetch_sub(1, Ordering::Relaxed);
        // SAFETY: the only handle was given up, so nobody else reaches the record.
        unsafe { reclaimer.died(record, &self.live) };
        reclaimer.payloads.pop().expect("that of the record")
    }

    /// One holder less; the last one tears the core down. If it was a fork, and the last that held
    /// its base, this goes on with the core of that.
    ///
    /// # Safety
    /// The caller was counted in `holders` and does not use the core afterwards.
    pub(super) unsafe fn leave(mut core: NonNull<Core<P>>) {
        loop {
            // SAFETY: alive until the last holder has left, and we are one.
            let left = unsafe { core.as_ref() }
                .holders
                .fetch_sub(1, Ordering::Release);
            if left != 1 {
                return;
            }
            fence(Ordering::Acquire);
            // SAFETY: nobody else holds it: it came from a `Box` in `Versions::begin`.
            let mut last = *unsafe { Box::from_raw(core.as_ptr()) };
            let base = last.base.take();
            drop(last.tear_down());
            match base.and_then(Version::release) {
                Some(next) => core = next,
                None => return,
            }
        }
    }

    /// Frees every version and node; of a fork, those that it made. What is returned holds their
    /// values.
    fn tear_down(self) -> Trash<P> {
        let mut writer = self
            .lock()
            .take()
            .expect("no edition outlives its store handle");
        self.exhume(&mut writer.reclaimer);
        let Writer {
            edits, reclaimer, ..
        } = &mut *writer;
        reclaimer.finish(edits, &self.live, &self.kinds);
        // A test that has found it is let tell it.
        debug_assert!(
            writer.edits.usage().bytes == 0 || std::thread::panicking(),
            "nodes leaked"
        );
        writer.reclaimer.trash(&mut writer.edits)
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Slot<P>> {
        // Nothing that can panic runs under this lock, so it is never poisoned.
        self.slot
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Waits for the writer's slot; `None` if this thread has it.
    fn enter(&self) -> Option<Box<Writer<P>>> {
        let mut slot = self.lock();
        loop {
            if let Some(writer) = slot.take() {
                return Some(writer);
            }
            if slot.is_own() {
                return None;
            }
            slot = self.wait(slot);
        }
    }

    /// Says that this thread has the slot now.
    pub(super) fn hand_over(&self) {
        self.lock().owner = Some(this_thread());
    }

    /// The same for one who had the slot in turn number `last`: whoever waits comes first.
    fn enter_after(&self, last: u64) -> Box<Writer<P>> {
        let mut slot = self.lock();
        loop {
            if (slot.waiting == 0 || slot.turn != last)
                && let Some(writer) = slot.take()
            {
                return writer;
            }
            slot = self.wait(slot);
        }
    }

    fn wait<'a>(&self, mut slot: MutexGuard<'a, Slot<P>>) -> MutexGuard<'a, Slot<P>> {
        slot.waiting += 1;
        let mut slot = self
            .vacant
            .wait(slot)
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        slot.waiting -= 1;
        slot
    }

    /// Gives the writer's slot back; returns the number of the turn that ends.
    pub(super) fn exit(&self, writer: Box<Writer<P>>) -> u64 {
        let mut slot = self.lock();
        slot.usage = writer.edits.usage();
        slot.writer = Some(writer);
        slot.owner = None;
        let turn = slot.turn;
        // Who waits is counted under the lock. To wake nobody is a call of the system, too.
        let awaited = slot.waiting > 0;
        drop(slot);
        if awaited {
            self.vacant.notify_one();
        }
        turn
    }

    pub(super) fn swap(&self, version: Version<P>) -> Option<Version<P>> {
        self.published.swap(Some(version))
    }
}

/// A handle of a store's versions.
pub(crate) struct Versions<P: Send + Sync + 'static>(NonNull<Core<P>>);

// SAFETY: what a core holds is reached through atomics, a lock, or by the one writer; payloads and
// values are `Send` and `Sync`.
unsafe impl<P: Send + Sync + 'static> Send for Versions<P> {}
// SAFETY: as above.
unsafe impl<P: Send + Sync + 'static> Sync for Versions<P> {}

impl<P: Send + Sync + 'static> Versions<P> {
    /// A core whose first version has these trees.
    pub(crate) fn new(mut trees: Vec<RawTree>, payload: P) -> Self {
        for (id, tree) in trees.iter_mut().enumerate() {
            tree.set_id(u16::try_from(id).expect("a schema has at most 16,384 trees"));
        }
        let kinds = trees.iter().map(RawTree::kind).collect();
        Versions::begin(0, trees.into(), kinds, payload, None)
    }

    /// A core of its own, whose first version has the trees of this one, which it holds. O(number
    /// of trees).
    pub(crate) fn fork(base: &Version<P>, payload: P) -> Self {
        let record = base.record();
        let trees = record.trees.iter().map(RawTree::share).collect();
        // SAFETY: a version's core outlives it.
        let kinds = unsafe { record.core.as_ref() }.kinds.clone();
        Versions::begin(record.generation, trees, kinds, payload, Some(base.clone()))
    }

    /// A core whose first version has this generation.
    fn begin(
        generation: u64,
        trees: Box<[RawTree]>,
        kinds: Box<[&'static ValueKind]>,
        payload: P,
        base: Option<Version<P>>,
    ) -> Self {
        let core = NonNull::from(Box::leak(Box::new(Core {
            published: Cell::new(),
            dead: AtomicPtr::new(ptr::null_mut()),
            stores: AtomicUsize::new(1),
            holders: AtomicUsize::new(2),
            slot: Mutex::new(Slot {
                writer: None,
                owner: None,
                usage: Usage::default(),
                waiting: 0,
                turn: 0,
            }),
            vacant: Condvar::new(),
            live: Live::new(),
            kinds,
            base,
        })));
        let memory = Box::new_uninit();
        let first = Record::publishable(memory, core, generation, trees, payload);
        let mut reclaimer = Reclaimer::new(generation);
        let versions = Versions(core);
        reclaimer.born(&first);
        versions.core().live.add(&first);
        versions.core().exit(Box::new(Writer {
            generation,
            edits: Edits::default(),
            reclaimer,
        }));
        versions.core().swap(first);
        versions
    }

    pub(super) fn core(&self) -> &Core<P> {
        // SAFETY: the store handles together hold the core, and this is one of them.
        unsafe { self.0.as_ref() }
    }

    /// The newest published version. O(1), takes no lock.
    #[inline]
    pub(crate) fn current(&self) -> Version<P> {
        self.core()
            .published
            .load()
            .expect("published while a store handle lives")
    }

    /// The next version, private until it is published. Waits for the one writer's slot; `None` if
    /// that is this thread's already, which would wait for itself for ever.
    pub(crate) fn wait_to_edit(&self) -> Option<Edition<P>> {
        let writer = self.core().enter()?;
        Some(Edition::new(self.clone(), writer))
    }

    #[cfg(test)]
    pub(crate) fn edit(&self) -> Edition<P> {
        self.wait_to_edit().expect("this thread has no edition")
    }

    /// Whether this thread has the writer's slot, and so would wait for itself.
    pub(crate) fn is_editing_here(&self) -> bool {
        self.core().lock().is_own()
    }

    /// The same, or `None` if somebody is writing.
    pub(crate) fn try_edit(&self) -> Option<Edition<P>> {
        let writer = self.core().lock().take()?;
        Some(Edition::new(self.clone(), writer))
    }

    /// Frees all that no live version needs, a step at a time: whoever waits for the writer's slot
    /// gets it between two. Values are dropped while the slot is free. Does nothing if this thread has
    /// the slot: whatever it does next frees more than that.
    pub(crate) fn collect(&self) {
        let core = self.core();
        let Some(mut writer) = core.enter() else {
            return;
        };
        loop {
            core.exhume(&mut writer.reclaimer);
            let Writer {
                edits, reclaimer, ..
            } = &mut *writer;
            reclaimer.work_off(edits, &core.live, &core.kinds, STEP);
            let done = reclaimer.is_idle();
            if done {
                edits.give_back();
            }
            let trash = reclaimer.trash(edits);
            let turn = core.exit(writer);
            drop(trash);
            if done {
                return;
            }
            writer = core.enter_after(turn);
        }
    }

    /// The memory of all versions together, but for what the edition that is open, if one is, has
    /// changed so far.
    pub(crate) fn usage(&self) -> Usage {
        self.core().lock().usage
    }

    /// How many versions are held, the newest included, and what `look` finds in the oldest.
    pub(crate) fn live<R>(&self, look: impl FnOnce(&P) -> R) -> (usize, Option<R>) {
        self.core().live.held(look)
    }

    /// A record of this generation, for the cell or to keep.
    pub(super) fn record(
        &self,
        writer: &mut Writer<P>,
        generation: u64,
        trees: Box<[RawTree]>,
        payload: P,
    ) -> Version<P> {
        self.core().holders.fetch_add(1, Ordering::Relaxed);
        let memory = writer.reclaimer.spare.record.take();
        let memory = memory.unwrap_or_else(Box::new_uninit);
        Record::publishable(memory, self.0, generation, trees, payload)
    }
}

impl<P: Send + Sync + 'static> Clone for Versions<P> {
    fn clone(&self) -> Self {
        self.core().stores.fetch_add(1, Ordering::Relaxed);
        Versions(self.0)
    }
}

impl<P: Send + Sync + 'static> Drop for Versions<P> {
    fn drop(&mut self) {
        if self.core().stores.fetch_sub(1, Ordering::Release) == 1 {
            fence(Ordering::Acquire);
            drop(self.core().published.swap(None));
            // SAFETY: this was the last store handle, and they are one holder together.
            unsafe { Core::leave(self.0) }
        }
    }
}

impl<P: Send + Sync + 'static> fmt::Debug for Versions<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Versions").finish_non_exhaustive()
    }
}
