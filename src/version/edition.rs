//! The one writer's private successor of the newest version.

use super::core::{Versions, Writer};
use super::marks::{LOOK_AGAIN, Mark};
use super::reclaim::{Block, Trash, give_up};
use super::record::Version;
use super::site::Site;
use crate::tree::{Edits, Link, NodeStamp, RawTree, Stamp, Tree, Value, prefetch, size};
use std::fmt;

/// Nodes that a publish frees in any case, besides twice what it retires.
const STEP: usize = 128;

/// In builds with debug assertions each publish checks trees of up to this many keys: enough for
/// every shape of node, without making a large store slow.
#[cfg(debug_assertions)]
const CHECKED: u64 = 300;

/// Trees that are being edited in private. Dropped unpublished, it leaves nothing behind but what somebody
/// has a snapshot of.
pub(crate) struct Edition<P: Send + Sync + 'static> {
    pub(super) versions: Versions<P>,
    /// Taken out when the slot is given back.
    pub(super) writer: Option<Box<Writer<P>>>,
    base: Option<Version<P>>,
    /// A generation after all nodes of the base and before all that are made here: that of a copy of
    /// the base, if one is kept. Every edition takes one, whether it does or is dropped.
    between: u64,
    pub(super) trees: Box<[RawTree]>,
    /// Nodes of the floor or older that were given up with all below them, and the bytes of all those.
    pub(super) deep: Vec<Link>,
    pub(super) deep_bytes: u64,
    /// Oldest first.
    pub(super) marks: Vec<Mark<P>>,
    /// With so many, all are looked at.
    pub(super) look_again_at: usize,
    /// Payloads of its snapshots that nobody had any more.
    pub(super) forgotten: Vec<P>,
}

// SAFETY: the raw pointers in it are nodes that only the holder of the writer's slot, which moves
// with the edition, may write or free; values and payload are `Send`.
unsafe impl<P: Send + Sync + 'static> Send for Edition<P> {}
// SAFETY: a shared edition only gives out views of trees with `Sync` values.
unsafe impl<P: Send + Sync + 'static> Sync for Edition<P> {}

impl<P: Send + Sync + 'static> Edition<P> {
    pub(super) fn new(versions: Versions<P>, mut writer: Box<Writer<P>>) -> Self {
        let base = versions.current();
        let trees = headers_in(
            std::mem::take(&mut writer.reclaimer.spare.trees),
            &base.record().trees,
        );
        let between = writer.generation + 1;
        writer.generation += 2;
        writer.edits.generation = writer.generation;
        writer.edits.floor = base.record().generation;
        Edition {
            versions,
            writer: Some(writer),
            base: Some(base),
            between,
            trees,
            deep: Vec::new(),
            deep_bytes: 0,
            marks: Vec::new(),
            look_again_at: LOOK_AGAIN,
            forgotten: Vec::new(),
        }
    }

    pub(super) fn writer(&mut self) -> &mut Writer<P> {
        self.writer.as_mut().expect("held until the edition ends")
    }

    pub(super) fn edits(&self) -> &Edits {
        &self
            .writer
            .as_ref()
            .expect("held until the edition ends")
            .edits
    }

    /// The headers of the working trees.
    pub(super) fn headers(&self) -> Box<[RawTree]> {
        self.trees.iter().map(RawTree::share).collect()
    }

    /// A place to build trees for this edition.
    pub(crate) fn site(&self) -> Site {
        Site::new(self.edits().beside(), self.headers())
    }

    /// Takes over the trees that were built in a place that was made since the newest mark.
    ///
    /// # Panics
    /// If it was made before, or if one of the trees is not empty here.
    pub(crate) fn adopt(&mut self, site: Site) {
        assert!(
            site.generation() == self.edits().generation
                && site
                    .built()
                    .iter()
                    .all(|&id| self.trees[id].root().is_null()),
            "trees are built for the edition as it is"
        );
        let edits = &mut self
            .writer
            .as_mut()
            .expect("held until the edition ends")
            .edits;
        for (id, tree) in site.give(edits) {
            self.trees[id] = tree;
        }
    }

    /// Says that it is this thread's now.
    pub(crate) fn hand_over(&self) {
        self.versions.core().hand_over();
    }

    /// The version it began from.
    pub(crate) fn base(&self) -> &Version<P> {
        self.base.as_ref().expect("held until the edition ends")
    }

    /// A view of the working state of tree number `id`.
    ///
    /// # Panics
    /// If it does not hold values `V`: a fault of this crate, never of its user.
    #[inline]
    pub(crate) fn tree<V: Value>(&self, id: usize) -> Tree<'_, V> {
        // SAFETY: working nodes are only written or freed through `&mut self`.
        unsafe { self.trees[id].view() }
    }

    /// Asks for all that changing these entries will read: trees and keys.
    pub(crate) fn prefetch<'k>(&self, entries: impl Iterator<Item = (usize, &'k [u8])>) {
        // SAFETY: working nodes are only written or freed through `&mut self`.
        unsafe { prefetch(entries.map(|(id, key)| (&self.trees[id], key))) }
    }

    /// Adds or replaces. Stamps never fall from call to call.
    pub(crate) fn insert<V: Value>(&mut self, id: usize, key: &[u8], value: V, stamp: Stamp) {
        let writer = self.writer.as_mut().expect("held until the edition ends");
        // SAFETY: these are this edition's trees; nodes younger than the floor were made by it,
        // after every savepoint and version that is left, so nobody else sees them.
        unsafe { self.trees[id].insert(&mut writer.edits, key, value, stamp) }
    }

    /// Removes; false if the key is absent, and nothing is touched then.
    pub(crate) fn remove(&mut self, id: usize, key: &[u8], stamp: Stamp) -> bool {
        let writer = self.writer.as_mut().expect("held until the edition ends");
        // SAFETY: as for `insert`.
        unsafe { writer.edits.remove(&mut self.trees[id], key, stamp) }
    }

    /// Removes every key that begins with `prefix`. They are not looked for one by one: it takes a look
    /// at each node below the prefix.
    pub(crate) fn cut(&mut self, id: usize, prefix: &[u8], stamp: Stamp) {
        let writer = self.writer.as_mut().expect("held until the edition ends");
        // SAFETY: as for `insert`. The subtree is given up at once.
        let (cut, bytes) = unsafe { writer.edits.cut(&mut self.trees[id], prefix, stamp) };
        if !cut.is_null() {
            self.deep_bytes += bytes - self.give_up(vec![cut]);
        }
    }

    /// Puts an empty tree in the place of tree number `id`. The old one is given up whole, in O(1)
    /// plus what this edition had changed in it.
    pub(crate) fn reset(&mut self, id: usize, stamp: Stamp) {
        let (root, bytes) = (self.trees[id].root(), self.trees[id].bytes());
        self.trees[id] = self.trees[id].emptied(stamp);
        if !root.is_null() {
            self.deep_bytes += bytes - self.give_up(vec![root]);
        }
    }

    /// Gives up these nodes, which the working trees no longer hold, and all below them: frees
    /// what nobody else can see, and notes the rest. Returns the bytes that it freed.
    fn give_up(&mut self, nodes: Vec<Link>) -> u64 {
        let writer = self.writer.as_mut().expect("held until the edition ends");
        let (floor, edits) = (writer.edits.floor, &mut writer.edits);
        let kinds = self.versions.core().kinds.as_ref();
        // SAFETY: given-up nodes are live; those younger than the floor were made by this edition and
        // are seen by nobody else.
        unsafe { give_up(nodes, floor, edits, kinds, &mut self.deep) }
    }

    /// Gives the nodes of a tree these stamps, in the order of [`Tree::stamps`]; see
    /// [`RawTree::set_stamps`]. False also unless the tree was [`reset`](Self::reset) in this
    /// edition, without a mark since: other nodes are not only ours.
    pub(crate) fn set_stamps(&mut self, id: usize, stamps: &[NodeStamp], max: Stamp) -> bool {
        let floor = self.writer().edits.floor;
        // SAFETY: working nodes are live, and those younger than the floor were made by this
        // edition and are seen by nobody else.
        unsafe { self.trees[id].set_stamps(stamps, max, floor) }
    }

    pub(super) fn roots(&self) -> Vec<Link> {
        self.trees
            .iter()
            .map(RawTree::root)
            .filter(|root| !root.is_null())
            .collect()
    }

    /// Publishes this as the newest version and gives the writer's slot back.
    ///
    /// Nothing in it can panic between taking the retired nodes and publishing. The caller drops
    /// the trash when it holds nothing.
    pub(crate) fn publish(self, payload: P) -> Trash<P> {
        self.publish_over(payload, None, |_, _| ())
    }

    /// The same, and `keep` is given a version with the trees of the one before and another payload,
    /// right before the new one is published. With it, how many bytes of nodes it pins that the new
    /// one does not need. `keep` must not panic.
    pub(crate) fn publish_keeping(
        self,
        payload: P,
        past: P,
        keep: impl FnOnce(Version<P>, u64),
    ) -> Trash<P> {
        self.publish_over(payload, Some(past), keep)
    }

    fn publish_over(
        mut self,
        payload: P,
        past: Option<P>,
        keep: impl FnOnce(Version<P>, u64),
    ) -> Trash<P> {
        #[cfg(debug_assertions)]
        self.check(CHECKED);
        let handed = self.hand_to_snapshots(past.is_some());
        let mut writer = self.writer.take().expect("held until the edition ends");
        let base = self.base.take().expect("held until the edition ends");
        let trees = std::mem::take(&mut self.trees);
        let generation = writer.generation;
        let next = self
            .versions
            .record(&mut writer, generation, trees, payload);
        let retired = writer.edits.retired.len() + handed.retired;
        let core = self.versions.core();
        let past = past.map(|payload| {
            let trees = base.record().trees.iter().map(RawTree::share).collect();
            let past = self
                .versions
                .record(&mut writer, self.between, trees, payload);
            core.live.add(&past);
            // SAFETY: retired nodes are live.
            let nodes = writer
                .edits
                .retired
                .iter()
                .map(|&node| unsafe { size(node) });
            (
                past,
                nodes.sum::<usize>() as u64 + self.deep_bytes + handed.bytes,
            )
        });
        let reclaimer = &mut writer.reclaimer;
        reclaimer.payloads.extend(self.forgotten.drain(..));
        let entries = std::mem::take(&mut reclaimer.spare.entries);
        let (retired_nodes, floor) = (&writer.edits.retired, reclaimer.floor());
        // SAFETY: retired nodes are live.
        let block = unsafe { Block::of(retired_nodes, &self.deep, floor, entries) };
        writer.edits.clear_retired();
        writer.reclaimer.born(&next);
        // Who needs a node longest, in the order of generations, has it on its list: the base, its
        // copy, or a snapshot of an edition that was dropped since.
        let last = core.live.add_after(&next, handed.before);
        // SAFETY: it is live, and only the holder of the writer's slot touches dead lists.
        unsafe { last.as_ref().inherit(block) };
        if let Some((past, pinned)) = past {
            keep(past, pinned);
        }
        drop(core.swap(next));
        drop(base);
        let trash = settle(&self.versions, &mut writer, retired);
        core.exit(writer);
        trash
    }

    /// Tests every invariant of every working tree of up to `largest` keys.
    #[cfg(any(all(test, not(loom)), debug_assertions))]
    pub(super) fn check(&self, largest: u64) {
        let generation = self
            .writer
            .as_ref()
            .expect("held until the edition ends")
            .generation;
        for tree in self.trees.iter().filter(|tree| tree.len() <= largest) {
            // SAFETY: the working nodes are live.
            unsafe { tree.check(generation) };
        }
    }
}

/// Copies of these headers: in this memory, if it is of as many.
fn headers_in(mut memory: Box<[RawTree]>, headers: &[RawTree]) -> Box<[RawTree]> {
    if memory.len() != headers.len() {
        return headers.iter().map(RawTree::share).collect();
    }
    for (to, header) in memory.iter_mut().zip(headers) {
        *to = header.share();
    }
    memory
}

/// A bounded part of the work that is waiting, and all the trash there is.
fn settle<P: Send + Sync + 'static>(
    versions: &Versions<P>,
    writer: &mut Writer<P>,
    retired: usize,
) -> Trash<P> {
    let core = versions.core();
    core.exhume(&mut writer.reclaimer);
    let Writer {
        edits, reclaimer, ..
    } = writer;
    reclaimer.work_off(edits, &core.live, &core.kinds, 2 * retired + STEP);
    reclaimer.trash(edits)
}

impl<P: Send + Sync + 'static> Drop for Edition<P> {
    fn drop(&mut self) {
        if self.writer.is_none() {
            return;
        }
        let floor = self.base().record().generation;
        let roots = self.leave_snapshots();
        let mut writer = self.writer.take().expect("held until the edition ends");
        writer.edits.clear_retired();
        writer.reclaimer.payloads.extend(self.forgotten.drain(..));
        writer.reclaimer.unborn(floor, roots);
        self.base = None;
        let trash = settle(&self.versions, &mut writer, 0);
        self.versions.core().exit(writer);
        drop(trash);
    }
}

impl<P: Send + Sync + 'static> fmt::Debug for Edition<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Edition")
            .field("trees", &self.trees)
            .field("marks", &self.marks.len())
            .finish_non_exhaustive()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::super::Versions;
    use crate::tree::{RawTree, SPARE};
    use std::sync::Arc;

    #[test]
    fn the_memory_that_a_large_commit_needed_is_not_kept() {
        let versions = Versions::new(vec![RawTree::empty::<Arc<u64>>(0)], ());
        let keys = 4 * SPARE as u64;
        for stamp in 1..=2 {
            let mut edition = versions.edit();
            for key in 0..keys {
                edition.insert(0, &key.to_be_bytes(), Arc::new(stamp), stamp);
            }
            let retired = edition.writer.as_ref().map(|it| it.edits.retired.len());
            assert_eq!(retired > Some(2 * SPARE), stamp == 2);
            drop(edition.publish(()));
        }
        let edition = versions.edit();
        let kept = edition
            .writer
            .as_ref()
            .map(|it| it.edits.retired.capacity());
        assert!(kept <= Some(SPARE), "{kept:?}");
    }
}
