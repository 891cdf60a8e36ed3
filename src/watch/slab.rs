//! An arena of numbered slots: insertion and removal in constant time, numbers reused.

/// The number of no slot.
pub(super) const NIL: u32 = u32::MAX;
/// Emptied arenas up to this many slots keep their memory.
pub(super) const KEPT: usize = 64;

/// An arena. Its memory is given back when its last slot is emptied.
pub(super) struct Slab<T> {
    slots: Vec<Slot<T>>,
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
            slots: Vec::new(),
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

    pub(super) fn insert(&mut self, value: T) -> u32 {
        self.len += 1;
        if self.free == NIL {
            let id = u32::try_from(self.slots.len()).ok().filter(|id| *id != NIL);
            let id = id.expect("fewer than 2^32 - 1 watches of one tree");
            self.slots.push(Slot::Full(value));
            return id;
        }
        let id = self.free;
        match std::mem::replace(&mut self.slots[id as usize], Slot::Full(value)) {
            Slot::Free { next } => self.free = next,
            Slot::Full(_) => unreachable!("slot {id} is on the free chain"),
        }
        id
    }

    /// Panics if the slot is free, as does indexing.
    pub(super) fn remove(&mut self, id: u32) -> T {
        let slot = &mut self.slots[id as usize];
        match std::mem::replace(slot, Slot::Free { next: self.free }) {
            Slot::Full(value) => {
                self.free = id;
                self.len -= 1;
                if self.len == 0 && self.slots.capacity() > KEPT {
                    *self = Slab::new();
                }
                value
            }
            Slot::Free { .. } => unreachable!("slot {id} is in use"),
        }
    }

    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.slots.iter_mut().filter_map(|slot| match slot {
            Slot::Full(value) => Some(value),
            Slot::Free { .. } => None,
        })
    }
}

impl<T> std::ops::Index<u32> for Slab<T> {
    type Output = T;
    fn index(&self, id: u32) -> &T {
        match &self.slots[id as usize] {
            Slot::Full(value) => value,
            Slot::Free { .. } => unreachable!("slot {id} is in use"),
        }
    }
}

impl<T> std::ops::IndexMut<u32> for Slab<T> {
    fn index_mut(&mut self, id: u32) -> &mut T {
        match &mut self.slots[id as usize] {
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
        let ids: Vec<u32> = (0..1000).map(|n| slab.insert(n)).collect();
        for &id in &ids[..500] {
            slab.remove(id);
        }
        for n in 0..500 {
            assert!(slab.insert(n) < 500);
        }
        assert_eq!(slab.len(), 1000);
        assert_eq!(slab.values_mut().count(), 1000);
        for id in ids {
            slab.remove(id);
        }
        assert!(slab.is_empty());
        assert_eq!(slab.slots.capacity(), 0);
    }
}
