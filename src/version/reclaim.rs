//! Freeing what no live version needs, in bounded steps.
//!
//! A dead list is a list of blocks, each labelled with the oldest and youngest birth in it, so
//! that a block is freed or handed on whole where the label decides. A block may hold *deep*
//! entries: a node that stands for itself and all below it, which is how a whole tree is given up
//! in O(1). A deep node that an older version needs is handed on as it is (what is below it is no
//! younger than itself, so that version needs it too); one that nobody needs is freed, and what is
//! right below it becomes entries.
//!
//! What a dropped edition made is found by walking down from its roots until older nodes are met.
//! Those belong to others and are only looked at; so that they are still there to look at, this
//! work goes before any other, and nothing else is freed until it is done. Where somebody has a snapshot of
//! such an edition, it is listed by node instead (`marks.rs`).
//!
//! In a fork all this ends at nodes that are not younger than its base. They belong to others, and
//! live for as long as the base is held, which is until after the fork's last node is freed.

use super::live::Live;
use super::record::{Record, Version};
use crate::tree::{
    Edits, GarbageList, Link, RawTree, SOON, SPARE, ValueKind, birth, first_of, for_each_below,
    size,
};
use smallvec::SmallVec;
use std::fmt;
use std::mem::MaybeUninit;
use std::ptr::NonNull;

/// A node on a dead list, alone or with all below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dead {
    Node(Link),
    Deep(Link),
}

impl Dead {
    fn link(self) -> Link {
        let (Dead::Node(node) | Dead::Deep(node)) = self;
        node
    }
}

/// Nodes that were retired together.
#[derive(Debug)]
pub(super) struct Block {
    entries: Vec<Dead>,
    oldest: u64,
    youngest: u64,
}

impl Block {
    fn new() -> Self {
        Block {
            entries: Vec::new(),
            oldest: u64::MAX,
            youngest: 0,
        }
    }

    fn push(&mut self, entry: Dead, born: u64) {
        self.oldest = self.oldest.min(born);
        self.youngest = self.youngest.max(born);
        self.entries.push(entry);
    }

    /// Of retired nodes, but for those that are not younger than `floor`, which belong to others; in
    /// this memory.
    pub(super) unsafe fn of(
        nodes: &[Link],
        deep: &[Link],
        floor: u64,
        entries: Vec<Dead>,
    ) -> Block {
        debug_assert!(entries.is_empty());
        let mut block = Block {
            entries,
            ..Block::new()
        };
        block.entries.reserve(nodes.len() + deep.len());
        let mut take = |node: Link, entry: Dead| {
            // SAFETY: the caller's: retired nodes are live until their list is worked off.
            let born = unsafe { birth(node) };
            if born > floor {
                block.push(entry, born);
            }
        };
        for (i, &node) in nodes.iter().enumerate() {
            if let Some(&soon) = nodes.get(i + SOON) {
                first_of(soon);
            }
            take(node, Dead::Node(node));
        }
        for &node in deep {
            take(node, Dead::Deep(node));
        }
        block
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    #[cfg(all(test, not(loom)))]
    pub(super) fn entries(&self) -> &[Dead] {
        &self.entries
    }
}

/// What the successor of a version no longer needed.
pub(super) type DeadList = SmallVec<[Block; 1]>;

/// The dead list of a version that died. A node on it is needed by the live versions that are as
/// young as the node and not younger than `until`, if there are any.
#[derive(Debug)]
struct Estate {
    until: u64,
    blocks: DeadList,
}

/// Nodes of an edition that was dropped: all that is younger than `floor`, at and below these, was
/// seen by nobody else.
#[derive(Debug)]
struct Unborn {
    floor: u64,
    nodes: Vec<Link>,
}

/// Memory of what died, for what is made next: a commit makes as much as it lets die.
pub(super) struct Spare<P: Send + Sync + 'static> {
    /// What a record was in.
    pub(super) record: Option<Box<MaybeUninit<Record<P>>>>,
    /// The headers that a record had.
    pub(super) trees: Box<[RawTree]>,
    /// A block's entries, none.
    pub(super) entries: Vec<Dead>,
}

/// The writer's record of what lives and what is to be freed.
pub(super) struct Reclaimer<P: Send + Sync + 'static> {
    /// Nodes that are not younger belong to what this is a fork of: they are never freed here.
    floor: u64,
    unborn: Vec<Unborn>,
    estates: Vec<Estate>,
    /// Payloads of dead versions, to be dropped with the trash.
    pub(super) payloads: SmallVec<[P; 1]>,
    /// The roots of the newest version, which nothing retires: for the end.
    newest: Vec<Link>,
    pub(super) spare: Spare<P>,
}

// SAFETY: records are reached by pointer, but only by the holder of the writer's slot, and what is
// in them is `Send` and `Sync`.
unsafe impl<P: Send + Sync + 'static> Send for Reclaimer<P> {}

impl<P: Send + Sync + 'static> Reclaimer<P> {
    /// Of a fork of a version with this generation; 0: of none.
    pub(super) fn new(floor: u64) -> Self {
        Reclaimer {
            floor,
            unborn: Vec::new(),
            estates: Vec::new(),
            payloads: SmallVec::new(),
            newest: Vec::new(),
            spare: Spare {
                record: None,
                trees: Box::default(),
                entries: Vec::new(),
            },
        }
    }

    /// The generation up to which nodes belong to others.
    pub(super) fn floor(&self) -> u64 {
        self.floor
    }

    /// A version that is about to be published.
    pub(super) fn born(&mut self, version: &Version<P>) {
        self.newest.clear();
        self.newest.extend(
            version
                .record()
                .trees
                .iter()
                .map(RawTree::root)
                .filter(|root| !root.is_null()),
        );
    }

    /// A version without handles: its dead list becomes work, its record is gone.
    ///
    /// # Safety
    /// Nobody else can reach the record.
    pub(super) unsafe fn died(&mut self, record: NonNull<Record<P>>, live: &Live<P>) {
        // SAFETY: the caller's; nobody looks at it in `live` now. Records come from a `Box`, which is
        // empty once the record is read from it.
        let record = unsafe {
            live.remove(record.as_ref().generation);
            let dead = record.read();
            self.spare.record = Some(Box::from_raw(record.as_ptr().cast()));
            dead
        };
        self.spare.trees = record.trees;
        let blocks = record.dead.into_inner();
        if !blocks.is_empty() {
            self.estates.push(Estate {
                until: record.generation,
                blocks,
            });
        }
        self.payloads.push(record.payload);
    }

    /// Gives up what nobody but a dropped edition has seen.
    pub(super) fn unborn(&mut self, floor: u64, nodes: Vec<Link>) {
        if !nodes.is_empty() {
            self.unborn.push(Unborn { floor, nodes });
        }
    }

    /// Frees everything: no version and no handle is left.
    pub(super) fn finish(
        &mut self,
        edits: &mut Edits,
        live: &Live<P>,
        kinds: &[&'static ValueKind],
    ) {
        debug_assert!(live.is_empty());
        self.work_off(edits, live, kinds, usize::MAX);
        free_unborn(
            &mut std::mem::take(&mut self.newest),
            self.floor,
            edits,
            kinds,
            &mut { usize::MAX },
        );
        debug_assert!(self.is_idle());
    }

    /// Whether nothing is left to work off.
    pub(super) fn is_idle(&self) -> bool {
        self.unborn.is_empty() && self.estates.is_empty()
    }

    /// Frees up to `budget` nodes, or hands as many nodes or blocks on.
    pub(super) fn work_off(
        &mut self,
        edits: &mut Edits,
        live: &Live<P>,
        kinds: &[&'static ValueKind],
        mut budget: usize,
    ) {
        while let Some(unborn) = self.unborn.last_mut() {
            free_unborn(&mut unborn.nodes, unborn.floor, edits, kinds, &mut budget);
            if !unborn.nodes.is_empty() {
                return;
            }
            self.unborn.pop();
        }
        while budget > 0
            && let Some(mut estate) = self.estates.pop()
        {
            while budget > 0
                && let Some(block) = estate.blocks.pop()
            {
                let bounds = (self.floor, estate.until);
                let mut rest = settle(bounds, block, edits, live, kinds, &mut budget);
                if !rest.is_empty() {
                    estate.blocks.push(rest);
                } else if (1..=SPARE).contains(&rest.entries.capacity()) {
                    self.spare.entries = std::mem::take(&mut rest.entries);
                }
            }
            if !estate.blocks.is_empty() {
                self.estates.push(estate);
            }
        }
    }

    /// What is left of the dead lists of versions that died.
    #[cfg(all(test, not(loom)))]
    pub(super) fn estates(&self) -> impl Iterator<Item = &DeadList> {
        self.estates.iter().map(|estate| &estate.blocks)
    }

    /// What is left of dropped editions: nodes, at and below which all that is younger is theirs.
    #[cfg(all(test, not(loom)))]
    pub(super) fn dropped(&self) -> impl Iterator<Item = (u64, &[Link])> {
        let unborn = self.unborn.iter();
        unborn.map(|unborn| (unborn.floor, &unborn.nodes[..]))
    }

    /// All that is waiting to be dropped.
    pub(super) fn trash(&mut self, edits: &mut Edits) -> Trash<P> {
        Trash {
            values: std::mem::take(&mut edits.garbage),
            payloads: std::mem::take(&mut self.payloads),
        }
    }
}

/// Frees what is in a block, or hands it on. Returns it with what the budget did not allow for.
/// Nodes that are not younger than the floor are in no block, and what is below them is no younger.
fn settle<P: Send + Sync + 'static>(
    (floor, until): (u64, u64),
    mut block: Block,
    edits: &mut Edits,
    live: &Live<P>,
    kinds: &[&'static ValueKind],
    budget: &mut usize,
) -> Block {
    // The newest live version that could need any of it.
    let heir = live.newest(until);
    if let Some((number, record)) = heir
        && block.youngest <= number
    {
        *budget -= 1;
        // SAFETY: the version is live, and only the writer touches its dead list.
        unsafe { record.as_ref().inherit(block) };
        return Block::new();
    }
    let mut handed = Block::new();
    while *budget > 0
        && let Some(entry) = block.entries.pop()
    {
        *budget -= 1;
        if let Some(soon) = block.entries.iter().nth_back(SOON) {
            first_of(soon.link());
        }
        let node = entry.link();
        // SAFETY: a node on a dead list is live until here. If no live version is in [its
        // birth, until], nobody can reach it any more; a deep one's children then become
        // entries before it goes.
        unsafe {
            let born = birth(node);
            if heir.is_some_and(|(number, _)| born <= number) {
                handed.push(entry, born);
                continue;
            }
            if let Dead::Deep(_) = entry {
                for_each_below(node, |below| {
                    let born = birth(below);
                    if born > floor {
                        block.push(Dead::Deep(below), born);
                    }
                });
            }
            edits.destroy(node, kinds);
        }
    }
    if let Some((_, record)) = heir
        && !handed.is_empty()
    {
        // SAFETY: as above.
        unsafe { record.as_ref().inherit(handed) };
    }
    block
}

/// Frees, at and below `nodes`, what is younger than `floor`, and notes in `others` what it meets of what
/// is older. Returns the bytes that it freed.
///
/// # Safety
/// The nodes are live, and nobody sees those that are younger than the floor.
pub(super) unsafe fn give_up(
    mut nodes: Vec<Link>,
    floor: u64,
    edits: &mut Edits,
    kinds: &[&'static ValueKind],
    others: &mut Vec<Link>,
) -> u64 {
    let mut freed = 0;
    while let Some(node) = nodes.pop() {
        // SAFETY: the caller's.
        unsafe {
            if birth(node) > floor {
                for_each_below(node, |below| nodes.push(below));
                freed += size(node) as u64;
                edits.destroy(node, kinds);
            } else {
                others.push(node);
            }
        }
    }
    freed
}

/// Frees, at and below `nodes`, what is younger than `floor`; what is older belongs to others.
pub(super) fn free_unborn(
    nodes: &mut Vec<Link>,
    floor: u64,
    edits: &mut Edits,
    kinds: &[&'static ValueKind],
    budget: &mut usize,
) {
    while *budget > 0
        && let Some(node) = nodes.pop()
    {
        *budget -= 1;
        // SAFETY: a node younger than the floor was seen by its edition alone, and is reached by
        // one path, so it is still live; older ones are not freed before this walk is done.
        unsafe {
            if birth(node) > floor {
                for_each_below(node, |below| nodes.push(below));
                edits.destroy(node, kinds);
            }
        }
    }
}

impl<P: Send + Sync + 'static> fmt::Debug for Reclaimer<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reclaimer")
            .field("estates", &self.estates.len())
            .finish_non_exhaustive()
    }
}

/// Values and payloads that nobody needs any more. Dropping it runs their destructors, which are
/// user code: hold no lock and no writer's slot.
#[must_use = "dropping it runs user code: choose where"]
#[derive(Debug)]
pub(crate) struct Trash<P> {
    #[expect(dead_code, reason = "held only to be dropped")]
    values: GarbageList,
    #[expect(dead_code, reason = "held only to be dropped")]
    payloads: SmallVec<[P; 1]>,
}
