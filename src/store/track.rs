//! What a closure reads of a tracked snapshot.
//!
//! A query is recorded with its whole range when it is made and narrowed, when its iterator is
//! dropped, to what was yielded from either end. An iterator that is forgotten so costs
//! precision, never a wake-up.

use super::core::{Root, Tables};
use crate::key::{ByteRange, KeyBuf};
use crate::sync::{Mutex, MutexGuard, lock};
use crate::tree::Stamp;
use crate::version::Version;
use crate::watch::{Interest, Scope};

/// One query: what of it was read. Two parts if it was read from both ends.
#[derive(Debug)]
struct Read {
    tree: usize,
    parts: [Option<Scope>; 2],
}

/// The reads of one run of a closure.
#[derive(Debug, Default)]
pub(super) struct Tracker(Mutex<Vec<Read>>);

/// A query's place in the record.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slot(usize);

/// Something that was read, and its index at that time.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) interest: Interest,
    pub(super) stamp: Stamp,
}

impl Tracker {
    fn reads(&self) -> MutexGuard<'_, Vec<Read>> {
        lock(&self.0)
    }

    /// Records a query's whole scope.
    pub(super) fn read(&self, tree: usize, scope: Scope) -> Slot {
        let mut reads = self.reads();
        reads.push(Read {
            tree,
            parts: [Some(scope), None],
        });
        Slot(reads.len() - 1)
    }

    /// Puts what was read in the place of a query's whole scope.
    pub(super) fn narrow(&self, slot: Slot, parts: [Option<Scope>; 2]) {
        if let Some(read) = self.reads().get_mut(slot.0) {
            read.parts = parts;
        }
    }

    /// What was read, each with its index in `version`.
    pub(super) fn finish(&self, version: &Version<Root>, tables: &Tables) -> Vec<Seen> {
        let reads = std::mem::take(&mut *self.reads());
        let interests = reads.into_iter().flat_map(|Read { tree, parts }| {
            parts
                .into_iter()
                .flatten()
                .map(move |scope| Interest { tree, scope })
        });
        interests
            .map(|interest| Seen {
                stamp: stamp(version, tables, &interest),
                interest,
            })
            .collect()
    }
}

/// The index of what `interest` covers.
pub(super) fn stamp(version: &Version<Root>, tables: &Tables, interest: &Interest) -> Stamp {
    let (table, _) = tables.of_tree(interest.tree);
    tables[table].stamp(version, interest.tree, &interest.scope)
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
