//! The change sets of the most recent entries, as part of a root.

use std::sync::{Arc, OnceLock};

use super::ChangeSet;
use crate::position::LogIndex;

/// A chunk is closed once it holds this many changes.
const CHUNK_CHANGES: usize = 4_096;
/// A window gives up its oldest chunks while it holds more changes than this.
const MAX_CHANGES: usize = 16 * CHUNK_CHANGES;
/// Into how many chunks the wanted number of entries is cut: the list that is copied when a
/// chunk closes stays short.
const CHUNKS: usize = 16;

/// Places for change sets, filled from the front, each once.
type Slots = Arc<[OnceLock<Arc<ChangeSet>>]>;

/// A closed chunk.
#[derive(Clone, Debug)]
struct Span {
    slots: Slots,
    len: usize,
    changes: usize,
}

impl Span {
    fn sets(&self) -> impl DoubleEndedIterator<Item = &Arc<ChangeSet>> + Clone {
        self.slots[..self.len].iter().filter_map(OnceLock::get)
    }

    fn last_index(&self) -> LogIndex {
        self.sets()
            .next_back()
            .map_or(LogIndex::ZERO, |set| set.index())
    }
}

/// The change sets of the most recent entries. A value: appending makes another window, in O(1)
/// and three reference counts, that shares all but the newest change set with this one.
#[derive(Clone, Debug)]
pub(crate) struct Window {
    /// Every change after this index is here.
    floor: LogIndex,
    full: Arc<[Span]>,
    tail: Span,
    /// How many entries to keep at least.
    entries: usize,
    /// How many chunks were closed for their changes, before they had as many entries as there is room
    /// for: so many times the floor may have moved on by more than entries say.
    heavy: u64,
}

fn slots(entries: usize) -> Slots {
    let len = (entries / CHUNKS).clamp(4, 4_096);
    (0..len).map(|_| OnceLock::new()).collect()
}

impl Window {
    /// An empty window of a store at `floor` that is to keep about `entries` entries.
    pub(crate) fn new(floor: LogIndex, entries: usize) -> Self {
        let entries = entries.max(1);
        let tail = Span {
            slots: slots(entries),
            len: 0,
            changes: 0,
        };
        Window {
            floor,
            full: Arc::from([]),
            tail,
            entries,
            heavy: 0,
        }
    }

    /// An empty window with the same settings, of a store restored at `floor`.
    pub(crate) fn restarted(&self, floor: LogIndex) -> Self {
        Window::new(floor, self.entries)
    }

    /// A window that has nothing and knows nothing, for a root that is no longer the newest.
    pub(crate) fn stripped(&self) -> Self {
        Window {
            floor: LogIndex(u64::MAX),
            full: Arc::default(),
            tail: Span {
                slots: Arc::default(),
                len: 0,
                changes: 0,
            },
            entries: self.entries,
            heavy: self.heavy,
        }
    }

    /// The least index after which this window has everything.
    pub(crate) fn floor(&self) -> LogIndex {
        self.floor
    }

    /// Whether it has given up more since that one than the number of entries in between says.
    pub(crate) fn was_pushed_since(&self, earlier: &Window) -> bool {
        self.heavy != earlier.heavy
    }

    /// How many entries it is to keep.
    pub(crate) fn entries(&self) -> usize {
        self.entries
    }

    /// This window and `set` after it. Only the one writer calls it, on the newest window.
    #[must_use]
    pub(crate) fn append(&self, set: Arc<ChangeSet>) -> Window {
        let mut next = self.clone();
        let heavy = next.tail.changes >= CHUNK_CHANGES;
        next.heavy += u64::from(heavy);
        let full = heavy || next.tail.len == next.tail.slots.len();
        // An append whose root was never published leaves its slot set: such a chunk is closed.
        let spoilt = !full && next.tail.slots[next.tail.len].get().is_some();
        if full || spoilt {
            next.close_chunk();
        }
        next.tail.changes += set.count();
        // The slot is free: checked above, or the chunk is new.
        let _ = next.tail.slots[next.tail.len].set(set);
        next.tail.len += 1;
        next
    }

    /// Moves the tail to the list, and gives up what is beyond the limits but for the newest
    /// closed chunk: a follower has time to read even the largest entry.
    fn close_chunk(&mut self) {
        let fresh = Span {
            slots: slots(self.entries),
            len: 0,
            changes: 0,
        };
        let closed = std::mem::replace(&mut self.tail, fresh);
        let spans = || self.full.iter().chain(std::iter::once(&closed));
        let mut entries: usize = spans().map(|span| span.len).sum();
        let mut changes: usize = spans().map(|span| span.changes).sum();
        let mut drop = 0;
        for span in self.full.iter() {
            if entries - span.len < self.entries && changes <= MAX_CHANGES {
                break;
            }
            entries -= span.len;
            changes -= span.changes;
            self.floor = span.last_index();
            drop += 1;
        }
        self.full = self.full[drop..]
            .iter()
            .cloned()
            .chain(std::iter::once(closed.clone()))
            .collect();
    }

    /// The change sets after `index`, in order; none if some of them are no longer here.
    pub(crate) fn after(&self, index: LogIndex) -> Option<impl Iterator<Item = &Arc<ChangeSet>>> {
        if index < self.floor {
            return None;
        }
        let closed = self.full.partition_point(|span| span.last_index() <= index);
        let spans = self.full[closed..]
            .iter()
            .chain(std::iter::once(&self.tail));
        let sets = spans.flat_map(move |span| {
            let from = span.slots[..span.len]
                .partition_point(|slot| slot.get().is_none_or(|set| set.index() <= index));
            span.slots[from..span.len].iter().filter_map(OnceLock::get)
        });
        Some(sets)
    }
}
