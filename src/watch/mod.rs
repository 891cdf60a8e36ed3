//! Who waits for which key range of which tree, or for which log index; waking them.
//!
//! **Promises.** A [`Watch`] fires once, when a key it covers has changed after the version it was
//! registered as having seen: whether anybody waited at that moment or not, in any interleaving of
//! commits, registrations and drops. Nothing else fires it but a restore, the end of the store,
//! [`Watch::fire`], for a watch of more than 4096 regions any change of the prefixes that those
//! have in common, and for one of who follows changes ([`Watches::register_follower`]) that changes
//! of before are pushed out of what is kept. Watches that are joined ([`WatchSet`]) fire as one.
//! An [`IndexWaiter`] fires when its index is reached, at every restore (an index that was passed may
//! be ahead again: whoever waits looks), or when the store ends. A waiter is less than 200 bytes (a
//! watch of one point about 180), no thread and no task. With nobody registered a commit pays a fence
//! and a load.
//!
//! **May not know** records, versions, or how a commit is made: it is told what was published and
//! which keys that changed ([`ChangedKeys`]), and for which trees that matters it asks.
//!
//! **The one structure.** Each tree has a [`Registry`]: points and prefixes by hash, other ranges
//! in an interval tree, all in arenas. A changed key costs one look-up, one for each length of
//! prefix that is in use, and one in the interval tree: independent of the number of points and
//! prefixes watched, logarithmic in the number of distinct other ranges, and linear in what fires.
//! Index waiters are in one ordered map. A watch knows the numbers of its members in the
//! registries, so that it is taken out as fast as it is found.
//!
//! **Invariants.**
//! - No thread holds two locks of this room at once, so there is no lock order to keep.
//! - No foreign code runs under a lock: changed keys are gathered in a buffer before the registry
//!   is locked; wakers are cloned, called and dropped with no lock held. A waker that runs its task
//!   at once, which registers again, or commits, meets no lock of its own thread.
//! - A registry's member keeps its number until it is taken out. Firing only unlinks it; whoever
//!   gets the list of a watch's places from it (the commit that fires it, or its drop, or its
//!   registration if it was fired half-way, or who makes it a part of a set) takes the members out,
//!   or files them again, and nobody else does.
//! - The counts of a registry are raised before its lock is released by who adds, and lowered only
//!   after members were taken out: they are never below the number of armed members.
//!
//! **Memory ordering.** What must not happen: a commit sees no watch, and the watcher does not see
//! the commit, and sleeps. This is the store-buffering shape, publish then ask against register
//! then look, and neither acquire and release nor the registry's lock forbid it, because who sees a
//! count of zero takes no lock. So both sides have a sequentially consistent fence between their
//! write and their read: [`Watches::published`] (called after the root's store) begins with one,
//! [`Watches::register_seen`] and [`Watches::register_index`] end with one, after which the caller
//! looks at the root once more. The two fences are ordered. If the commit's comes first, the second look
//! reads that root or a later one, and the caller decides by what it finds. If the registration's
//! comes first, the commit reads the raised counts, and takes the lock after the registration's
//! critical section (it read a value that was written inside it), so that it finds the member.
//! Between the members of one watch in several trees each is found, or not, by itself; one that is
//! found fires the watch. Later commits order after this one, and the same holds for each of them.
//!
//! That a woken reader sees the change needs no fence: the root's store comes before the signal's
//! lock is taken to set its flag, and the reader reads the flag under that lock.
//!
//! `end` needs no fence either: it closes each registry under its lock, and a registration that
//! comes later to one that is closed fires at once.
mod bytes;
mod handle;
mod index;
mod interval;
mod key_table;
#[cfg(all(test, loom))]
mod loom_tests;
mod region;
mod registry;
mod set;
mod signal;
mod slab;
#[cfg(all(test, not(loom)))]
mod tests;

pub(crate) use handle::IndexWaiter;
pub use handle::Watch;
pub(crate) use region::{MAX_REGIONS, Region, coarsened};
pub use set::WatchSet;

use crate::key::{ByteRange, KeyBuf};
use crate::position::{HistoryId, LogIndex, Position};
use crate::sync::{AtomicUsize, Mutex, Ordering, fence, lock};
use handle::{Place, Places, Shared};
use index::{IndexRegistry, Wanted};
use registry::Registry;
use signal::{Signal, wake};
use smallvec::SmallVec;
use std::fmt;
use std::sync::Arc;

/// A part of a tree's key space.
#[derive(Clone, Debug)]
pub(crate) enum Scope {
    /// One key, present or absent.
    Point(KeyBuf),
    /// Keys that begin so; empty: the whole tree.
    Prefix(KeyBuf),
    /// Any other range.
    Range(ByteRange),
}

/// The keys a published commit changed, tree by tree; asked only for trees that are watched.
pub(crate) trait ChangedKeys {
    /// Calls `f` with each key of the tree that was added, replaced or removed. Repetition does no
    /// harm. Runs with no lock of this room held.
    fn for_each(&self, tree: usize, f: &mut dyn FnMut(&[u8]));

    /// The number of the published version, if the store numbers its versions: strictly rising,
    /// never rewound, not by a restore either. Watches registered as having seen it, or a later
    /// one, are passed over: what they read had these changes in it.
    fn version(&self) -> u64 {
        u64::MAX
    }

    /// Whether changes of before were pushed out of what is kept for who follows them.
    fn pushes_others_out(&self) -> bool {
        false
    }
}

/// How many registries are not of a tree's keys: what is pushed out, the keys of no tree, the driver's
/// word.
const OTHERS: usize = 3;

/// Why a store answers no more waiters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    Closed,
    Halted(Arc<str>),
}

/// Every waiter of one store.
pub(crate) struct Watches {
    /// Watches and index waiters that were not taken out yet: what a commit looks at first.
    live: AtomicUsize,
    /// How many members each tree's registry has.
    armed: Box<[AtomicUsize]>,
    /// One for each tree, one for watches that cover no key of any, and a last one for those who wait
    /// for the driver's word.
    trees: Box<[Mutex<Registry>]>,
    /// How many there are in `indexes`.
    waiting: AtomicUsize,
    indexes: Mutex<IndexRegistry>,
    ended: Mutex<Option<Ended>>,
}

impl Watches {
    pub(crate) fn new(trees: usize) -> Arc<Self> {
        Arc::new(Watches {
            live: AtomicUsize::new(0),
            armed: (0..trees + OTHERS).map(|_| AtomicUsize::new(0)).collect(),
            trees: (0..trees + OTHERS)
                .map(|_| Mutex::new(Registry::new()))
                .collect(),
            waiting: AtomicUsize::new(0),
            indexes: Mutex::new(IndexRegistry::new()),
            ended: Mutex::new(None),
        })
    }

    /// To be called after the root is published, with no lock held. Fires the watches that cover a
    /// changed key and wakes the index waiters up to `position.index` or of another history.
    ///
    /// Wakers run on this thread. Calls for several commits may overlap; a call that comes late,
    /// after the publish of another history, may wake that history's index waiters early.
    pub(crate) fn published(&self, position: Position, changes: &dyn ChangedKeys) {
        fence(Ordering::SeqCst);
        if self.live.load(Ordering::Relaxed) == 0 {
            return;
        }
        if self.waiting.load(Ordering::Relaxed) > 0 {
            self.wake_indexes(|indexes| indexes.take_reached(position));
        }
        let version = changes.version();
        let mut hits = Vec::new();
        let mut keys = Keys::default();
        let pushed = self.pushed();
        if changes.pushes_others_out() && self.armed[pushed].load(Ordering::Relaxed) > 0 {
            lock(&self.trees[pushed]).hit_all(&mut hits);
        }
        let (of_trees, _others) = self.armed.split_at(pushed);
        for (tree, armed) in of_trees.iter().enumerate() {
            if armed.load(Ordering::Relaxed) == 0 {
                continue;
            }
            changes.for_each(tree, &mut |key| {
                keys.push(key);
                if keys.is_full() {
                    self.meet(tree, version, &mut keys, &mut hits);
                }
            });
            self.meet(tree, version, &mut keys, &mut hits);
        }
        self.fire(hits);
    }

    /// To be called after a restored root is published, with no lock held: fires every watch and
    /// wakes every index waiter, for an index that was passed may be ahead again.
    pub(crate) fn restored(&self) {
        fence(Ordering::SeqCst);
        if self.live.load(Ordering::Relaxed) == 0 {
            return;
        }
        self.wake_indexes(IndexRegistry::take_all);
        let mut hits = Vec::new();
        for registry in &self.trees {
            lock(registry).hit_all(&mut hits);
        }
        self.fire(hits);
    }

    /// Fires every watch and every index waiter, and from now on each at its registration. The
    /// first reason given is the one that stays.
    pub(crate) fn end(&self, why: Ended) {
        lock(&self.ended).get_or_insert(why);
        let mut hits = Vec::new();
        for registry in &self.trees {
            let mut registry = lock(registry);
            registry.close();
            registry.hit_all(&mut hits);
        }
        self.wake_indexes(|indexes| {
            indexes.close();
            indexes.take_all()
        });
        self.fire(hits);
    }

    /// Registers a watch for what a reader of version `seen` (see [`ChangedKeys::version`]) has
    /// read. Ends with a sequentially consistent fence, after which the caller takes its second
    /// look at the newest version, and fires the watch itself if that shows a change.
    ///
    /// With no regions at all it fires at a restore or at the end of the store.
    pub(crate) fn register_seen(
        self: &Arc<Self>,
        regions: impl IntoIterator<Item = (usize, Region)>,
        seen: u64,
    ) -> Watch {
        self.register_filed(region::filed(regions), seen)
    }

    fn register_filed(self: &Arc<Self>, mut regions: Vec<(usize, Region)>, seen: u64) -> Watch {
        let shared = Arc::new(Shared::new());
        if regions.is_empty() {
            regions.push((self.idle(), Region::whole()));
        }
        self.live.fetch_add(1, Ordering::Relaxed);
        let (places, closed) = self.insert(regions, seen, &shared);
        self.file(&shared, places);
        let watch = Watch {
            shared,
            watches: Arc::clone(self),
        };
        if closed {
            watch.fire();
        }
        fence(Ordering::SeqCst);
        watch
    }

    /// Registers a watch for a part of a tree, for one who follows its changes: it also fires when changes
    /// of before are pushed out of what is kept. As for [`register_seen`](Self::register_seen).
    pub(crate) fn register_follower(self: &Arc<Self>, part: (usize, Region), seen: u64) -> Watch {
        let mut regions = region::filed([part]);
        regions.push((self.pushed(), Region::whole()));
        self.register_filed(regions, seen)
    }

    /// Registers a watch for the driver's next word. The caller looks at the last one afterwards, under
    /// the lock that it is written under.
    pub(crate) fn register_contact(self: &Arc<Self>) -> Watch {
        self.register_filed(vec![(self.contact(), Region::whole())], u64::MAX)
    }

    /// To be called after the driver's word was written, with no lock held.
    ///
    /// Who registers looks at the word afterwards, and both are done under that word's lock: so
    /// either that look comes after the write, or its registration is seen here.
    pub(crate) fn contacted(&self) {
        let tree = self.contact();
        if self.armed[tree].load(Ordering::Relaxed) == 0 {
            return;
        }
        let mut hits = Vec::new();
        lock(&self.trees[tree]).hit_all(&mut hits);
        self.fire(hits);
    }

    /// The number that stands for changes that are pushed out of what is kept: the first that is not a
    /// tree's.
    fn pushed(&self) -> usize {
        self.trees.len() - OTHERS
    }

    /// The number that stands for the keys of no tree.
    fn idle(&self) -> usize {
        self.trees.len() - 2
    }

    /// The number that stands for the driver's word.
    fn contact(&self) -> usize {
        self.trees.len() - 1
    }

    /// Registers a waiter for `index` of `history`. Ends with a sequentially consistent fence, after
    /// which the caller looks at the newest position again (and may drop the waiter).
    pub(crate) fn register_index(
        self: &Arc<Self>,
        history: HistoryId,
        index: LogIndex,
    ) -> IndexWaiter {
        let signal = Arc::new(Signal::new());
        let wanted = {
            let mut indexes = lock(&self.indexes);
            let wanted = indexes.insert(history, index, &signal);
            if wanted.is_some() {
                self.live.fetch_add(1, Ordering::Relaxed);
                self.waiting.fetch_add(1, Ordering::Relaxed);
            }
            wanted
        };
        let waiter = IndexWaiter {
            signal,
            wanted,
            watches: Arc::clone(self),
        };
        if wanted.is_none() {
            // Nobody has polled it: there is no task to wake.
            let _ = waiter.signal.fire();
        }
        fence(Ordering::SeqCst);
        waiter
    }

    /// Why it ended, if it has.
    pub(crate) fn ended(&self) -> Option<Ended> {
        lock(&self.ended).clone()
    }

    /// How many watches and index waiters are armed. One that is being fired or dropped may count.
    pub(crate) fn len(&self) -> usize {
        self.live.load(Ordering::Relaxed)
    }

    /// Meets gathered keys of a tree with its registry. The lock is let go between batches, so that
    /// a large commit does not keep readers from registering.
    fn meet(&self, tree: usize, version: u64, keys: &mut Keys, hits: &mut Vec<Arc<Shared>>) {
        if !keys.ends.is_empty() {
            let mut registry = lock(&self.trees[tree]);
            for key in keys.iter() {
                registry.hit(key, version, hits);
            }
        }
        keys.clear();
    }

    /// Fires watches and takes them out of the registries.
    fn fire(&self, hits: Vec<Arc<Shared>>) {
        if hits.is_empty() {
            return;
        }
        wake(
            hits.iter()
                .filter_map(|shared| shared.signal.fire())
                .collect::<Vec<_>>(),
        );
        for shared in hits {
            self.withdraw(&shared);
        }
    }

    /// Wakes the index waiters that `take` takes out.
    fn wake_indexes(&self, take: impl FnOnce(&mut IndexRegistry) -> Vec<Arc<Signal>>) {
        let taken = {
            let mut indexes = lock(&self.indexes);
            let taken = take(&mut indexes);
            self.gone(taken.len());
            taken
        };
        wake(
            taken
                .iter()
                .filter_map(|signal| signal.fire())
                .collect::<Vec<_>>(),
        );
    }

    /// Takes a watch out of the registries, if nobody else does.
    fn withdraw(&self, shared: &Arc<Shared>) {
        if let Some(places) = shared.withdraw() {
            self.take_out(&places);
        }
    }

    /// Adds members to the registries; says which they are, and whether one of the registries is
    /// closed.
    fn insert(
        &self,
        regions: Vec<(usize, Region)>,
        seen: u64,
        shared: &Arc<Shared>,
    ) -> (Places, bool) {
        let mut places = Places::with_capacity(regions.len());
        let mut closed = false;
        let mut regions = regions.into_iter().peekable();
        while let Some(&(tree, _)) = regions.peek() {
            let mut registry = lock(&self.trees[tree]);
            closed |= registry.is_closed();
            let number = u32::try_from(tree).expect("a schema has at most 16,384 trees");
            while let Some((_, region)) = regions.next_if(|region| region.0 == tree) {
                let member = registry.insert(region, seen, shared);
                places.push(Place {
                    tree: number,
                    member,
                });
            }
            self.armed[tree].store(registry.len(), Ordering::Relaxed);
        }
        (places, closed)
    }

    /// Ends a registration, or takes it back if the watch was withdrawn meanwhile.
    fn file(&self, shared: &Shared, places: Places) {
        if let Err(places) = shared.file(places) {
            self.take_out(&places);
        }
    }

    /// Takes out the members of one watch, which so is none any more.
    fn take_out(&self, places: &[Place]) {
        self.remove(places);
        self.live.fetch_sub(1, Ordering::Relaxed);
    }

    /// Takes out members.
    fn remove(&self, places: &[Place]) {
        self.with_each(places, |registry, place| {
            registry.remove(place.member);
        });
    }

    /// Goes to the members of one watch, tree by tree.
    fn with_each(&self, places: &[Place], mut f: impl FnMut(&mut Registry, Place)) {
        for of_tree in places.chunk_by(|a, b| a.tree == b.tree) {
            let tree = of_tree[0].tree as usize;
            let mut registry = lock(&self.trees[tree]);
            for place in of_tree {
                f(&mut registry, *place);
            }
            self.armed[tree].store(registry.len(), Ordering::Relaxed);
        }
    }

    /// Makes the members of one watch those of another, which fires if that had fired. The first one is
    /// the caller's, and is none any more.
    fn join(&self, from: &Arc<Shared>, into: &Arc<Shared>) {
        let fired = match (from.reopen(), into.reopen()) {
            (Some(moved), Some(mut places)) => {
                let mut armed = true;
                self.with_each(&moved, |registry, place| {
                    armed &= registry.adopt(place.member, into);
                });
                // What of it was fired is taken out with the rest.
                places.extend(moved);
                from.withdraw();
                self.live.fetch_sub(1, Ordering::Relaxed);
                self.file(into, places);
                !armed
            }
            (Some(moved), None) => {
                self.take_out(&moved);
                from.withdraw();
                false
            }
            (None, Some(places)) => {
                self.file(into, places);
                true
            }
            (None, None) => false,
        };
        if fired {
            self.fire(vec![Arc::clone(into)]);
        }
    }

    /// Makes a watch of more than `most` regions one of at most half as many, and says of how many it
    /// is now. What it covered is covered at every moment.
    fn coarsen(&self, shared: &Arc<Shared>, most: usize) -> usize {
        let Some(mut places) = shared.reopen() else {
            return 0;
        };
        let mut regions = Vec::with_capacity(places.len());
        let mut oldest = u64::MAX;
        let mut armed = true;
        places.sort_unstable_by_key(|place| place.tree);
        self.with_each(&places, |registry, place| {
            match registry.region(place.member) {
                Some((region, seen)) => {
                    oldest = oldest.min(seen);
                    regions.push((place.tree as usize, region));
                }
                None => armed = false,
            }
        });
        if armed {
            let coarse = region::coarsened(region::filed(regions), most / 2);
            // A commit that is being told of may have been seen by some and not by others.
            let (coarser, _) = self.insert(coarse, oldest, shared);
            self.remove(&places);
            places = coarser;
        }
        let count = places.len();
        self.file(shared, places);
        if !armed {
            // Its signal is on its way.
            self.fire(vec![Arc::clone(shared)]);
        }
        count
    }

    fn withdraw_index(&self, wanted: Wanted) {
        let mut indexes = lock(&self.indexes);
        if indexes.remove(wanted) {
            self.gone(1);
        }
    }

    /// Counts index waiters that were taken out. Called with `indexes` locked.
    fn gone(&self, count: usize) {
        self.live.fetch_sub(count, Ordering::Relaxed);
        self.waiting.fetch_sub(count, Ordering::Relaxed);
    }
}

impl fmt::Debug for Watches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watches")
            .field("trees", &self.pushed())
            .field("live", &self.len())
            .field("ended", &self.ended())
            .finish_non_exhaustive()
    }
}

/// Changed keys, gathered before the registry is locked.
///
/// Those of a commit of a few records take no memory from the allocator.
#[derive(Default)]
struct Keys {
    bytes: SmallVec<[u8; 256]>,
    ends: SmallVec<[usize; 8]>,
}

impl Keys {
    fn push(&mut self, key: &[u8]) {
        self.bytes.extend_from_slice(key);
        self.ends.push(self.bytes.len());
    }

    fn is_full(&self) -> bool {
        self.ends.len() >= 256
    }

    fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let mut start = 0;
        self.ends
            .iter()
            .map(move |&end| &self.bytes[std::mem::replace(&mut start, end)..end])
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }
}
