//! What a closure reads of a tracked snapshot.
//!
//! A query is recorded with its whole range when it is made and narrowed, when its iterator is
//! dropped, to what was yielded from either end. An iterator that is forgotten so costs
//! precision, never a wake-up.
//!
//! A closure may read a great deal: beyond a few thousand reads what lies close together is joined to
//! the prefix it has in common, while it reads on. The index of the answer is that of the reads
//! themselves all the same: it is taken before they are joined.

use std::mem;
use std::sync::Arc;

use super::core::{Root, Tables};
use crate::key::{ByteRange, KeyBuf};
use crate::sync::{Mutex, lock};
use crate::tree::Stamp;
use crate::version::Version;
use crate::watch::{MAX_REGIONS, Region, Scope, coarsened};

/// The reads of one run of a closure.
#[derive(Debug)]
pub(super) struct Tracker {
    tables: Arc<Tables>,
    reads: Mutex<Reads>,
}

/// A part of a tree that was read.
type Read = (usize, Region);

#[derive(Debug, Default)]
struct Reads {
    /// Since the last joining.
    fresh: Vec<Read>,
    /// Joined to what they have in common; their stamps are in `index`.
    joined: Vec<Read>,
    /// The latest stamp of what was joined.
    index: Stamp,
    /// Queries whose iterators are not dropped yet.
    open: Vec<Option<Read>>,
    /// Which places of `open` are free.
    free: Vec<usize>,
}

/// A query's place in the record.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slot(usize);

/// Something that was read, and its stamp at that time.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) tree: usize,
    pub(super) region: Region,
    pub(super) stamp: Stamp,
}

impl Tracker {
    pub(super) fn new(tables: Arc<Tables>) -> Self {
        Tracker {
            tables,
            reads: Mutex::default(),
        }
    }

    /// Records what was read of a tree of `version`.
    pub(super) fn read(&self, version: &Version<Root>, tree: usize, scope: &Scope) {
        let mut reads = lock(&self.reads);
        reads.add(version, &self.tables, (tree, Region::of(scope)));
    }

    /// Records a query's whole scope, for the time being. Nothing is kept open for one that comes after
    /// thousands of others whose iterators are not dropped yet: it counts as a whole.
    pub(super) fn open(&self, version: &Version<Root>, tree: usize, scope: &Scope) -> Option<Slot> {
        let mut reads = lock(&self.reads);
        let read = (tree, Region::of(scope));
        if let Some(place) = reads.free.pop() {
            reads.open[place] = Some(read);
            return Some(Slot(place));
        }
        if reads.open.len() >= MAX_REGIONS {
            reads.add(version, &self.tables, read);
            return None;
        }
        reads.open.push(Some(read));
        Some(Slot(reads.open.len() - 1))
    }

    /// Ends a query: what of it was read, if that is not all; two parts, if it was read from both ends.
    pub(super) fn close(
        &self,
        version: &Version<Root>,
        slot: Slot,
        parts: Option<[Option<Scope>; 2]>,
    ) {
        let mut reads = lock(&self.reads);
        let Some((tree, whole)) = reads.open.get_mut(slot.0).and_then(Option::take) else {
            return;
        };
        reads.free.push(slot.0);
        match parts {
            None => reads.add(version, &self.tables, (tree, whole)),
            Some(parts) => {
                for part in parts.iter().flatten() {
                    reads.add(version, &self.tables, (tree, Region::of(part)));
                }
            }
        }
    }

    /// What was read, each with its stamp in `version`, and the latest stamp of any of it: that may be
    /// earlier than the stamps of what was joined.
    pub(super) fn finish(self, version: &Version<Root>) -> (Vec<Seen>, Stamp) {
        let Tracker { tables, reads } = self;
        let mut reads = mem::take(&mut *lock(&reads));
        let forgotten = mem::take(&mut reads.open);
        reads.fresh.extend(forgotten.into_iter().flatten());
        let seen = |(tree, region): Read| Seen {
            stamp: stamp(version, &tables, tree, &region),
            tree,
            region,
        };
        let mut all: Vec<Seen> = reads.fresh.into_iter().map(seen).collect();
        let index = all
            .iter()
            .map(|seen| seen.stamp)
            .fold(reads.index, Stamp::max);
        all.extend(reads.joined.into_iter().map(seen));
        (all, index)
    }
}

impl Reads {
    fn add(&mut self, version: &Version<Root>, tables: &Tables, read: Read) {
        // Again and again the same is one read.
        if self.fresh.last() == Some(&read) {
            return;
        }
        self.fresh.push(read);
        if self.fresh.len() > MAX_REGIONS {
            self.join(version, tables);
        }
    }

    fn join(&mut self, version: &Version<Root>, tables: &Tables) {
        self.fresh.sort_unstable();
        self.fresh.dedup();
        if self.fresh.len() <= MAX_REGIONS / 2 {
            return;
        }
        for (tree, region) in &self.fresh {
            self.index = self.index.max(stamp(version, tables, *tree, region));
        }
        let mut all = mem::take(&mut self.joined);
        all.append(&mut self.fresh);
        self.joined = coarsened(all, MAX_REGIONS / 2);
    }
}

/// The stamp of what a region covers.
pub(super) fn stamp(
    version: &Version<Root>,
    tables: &Tables,
    tree: usize,
    region: &Region,
) -> Stamp {
    let (table, _) = tables.of_tree(tree);
    tables[table].stamp(version, tree, &region.scope())
}

/// The keys a scope covers, as a range.
pub(super) fn range_of(scope: &Scope) -> ByteRange {
    match scope {
        Scope::Point(key) => {
            let mut hi = key.clone();
            hi.push(0);
            ByteRange {
                lo: key.clone(),
                hi: Some(hi),
            }
        }
        Scope::Prefix(prefix) => ByteRange::prefix(prefix.as_bytes()),
        Scope::Range(range) => range.clone(),
    }
}

/// The part of `range` up to `last`, and that key.
pub(super) fn up_to(range: &ByteRange, last: &[u8]) -> Scope {
    let mut hi = KeyBuf::new();
    hi.extend(last);
    hi.push(0);
    Scope::Range(ByteRange {
        lo: range.lo.clone(),
        hi: Some(hi),
    })
}

/// The part of `range` from `first` on.
pub(super) fn from(range: &ByteRange, first: &[u8]) -> Scope {
    let mut lo = KeyBuf::new();
    lo.extend(first);
    Scope::Range(ByteRange {
        lo,
        hi: range.hi.clone(),
    })
}
