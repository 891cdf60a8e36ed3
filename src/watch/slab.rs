//! An arena of numbered slots: insertion and removal in constant time, numbers reused.
//!
//! The slots are in chunks that never move, so that a large arena is never copied to grow, and has no
//! more room than it needs.

/// The number of no slot.
pub(super) const NIL: u32 = u32::MAX;
/// Emptied arenas up to this many slots keep their memory.
pub(super) const KEPT: usize = 64;
/// How many slots a chunk has; the first one grows up to that.
const CHUNK: usize = 1024;

/// An arena. Its memory is given back when its last slot is emptied.
pub(super) struct Slab<T> {
    chunks: Vec<Vec<Slot<T>>>,
    /// The first of the chain of free slots.
    free: u32,
    len: usize,
}

enum Slot<T> {
    Full(T),
    Free { next: u32 },
}

impl<T> Slab<T> {
    pub(super) fn new() -> Self {
        Slab {
            chunks: Vec::new(),
            free: NIL,
            len: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn slot(&self, id: u32) -> &Slot<T> {
        &self.chunks[id as usize / CHUNK][id as usize % CHUNK]
    }

    fn slot_mut(&mut self, id: u32) -> &mut Slot<T> {
        &mut self.chunks[id as usize / CHUNK][id as usize % CHUNK]
    }

    /// A new slot at the end.
    fn push(&mut self, value: T) -> u32 {
        if self.chunks.last().is_none_or(|last| last.len() == CHUNK) {
            let room = if self.chunks.is_empty() { 4 } else { CHUNK };
            self.chunks.push(Vec::with_capacity(room));
        }
        let before = (self.chunks.len() - 1) * CHUNK;
        let last = self.chunks.last_mut().expect("one was just pushed");
        let id = u32::try_from(before + last.len())
            .ok()
            .filter(|id| *id != NIL);
        last.push(Slot::Full(value));
        id.expect("fewer than 2^32 - 1 watches of one tree")
    }

    pub(super) fn insert(&mut self, value: T) -> u32 {
        self.len += 1;
        if self.free == NIL {
            return self.push(value);
        }
        let id = self.free;
        match std::mem::replace(self.slot_mut(id), Slot::Full(value)) {
            Slot::Free { next } => self.free = next,
            Slot::Full(_) => unreachable!("slot {id} is on the free chain"),
        }
        id
    }

    /// Panics if the slot is free, as does indexing.
    pub(super) fn remove(&mut self, id: u32) -> T {
        let next = self.free;
        match std::mem::replace(self.slot_mut(id), Slot::Free { next }) {
            Slot::Full(value) => {
                self.free = id;
                self.len -= 1;
                if self.len == 0 && self.chunks[0].capacity() > KEPT {
                    *self = Slab::new();
                }
                value
            }
            Slot::Free { .. } => unreachable!("slot {id} is in use"),
        }
    }

    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        let slots = self.chunks.iter_mut().flatten();
        slots.filter_map(|slot| match slot {
            Slot::Full(value) => Some(value),
            Slot::Free { .. } => None,
        })
    }
}

impl<T> std::ops::Index<u32> for Slab<T> {
    type Output = T;
    fn index(&self, id: u32) -> &T {
        match self.slot(id) {
            Slot::Full(value) => value,
            Slot::Free { .. } => unreachable!("slot {id} is in use"),
        }
    }
}

impl<T> std::ops::IndexMut<u32> for Slab<T> {
    fn index_mut(&mut self, id: u32) -> &mut T {
        match self.slot_mut(id) {
            Slot::Full(value) => value,
            Slot::Free { .. } => unreachable!("slot {id} is in use"),
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_reused_and_memory_is_given_back() {
        let mut slab = Slab::new();
        let ids: Vec<u32> = (0..5000).map(|n| slab.insert(n)).collect();
        for &id in &ids[..500] {
            slab.remove(id);
        }
        for n in 0..500 {
            assert!(slab.insert(n) < 500, "{n}");
        }
        assert_eq!(slab.len(), 5000);
        assert_eq!(slab.values_mut().count(), 5000);
        for id in ids {
            slab.remove(id);
        }
        assert!(slab.is_empty());
        assert_eq!(slab.chunks.capacity(), 0);
    }
}
