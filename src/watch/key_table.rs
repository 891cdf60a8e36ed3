//! Byte strings by hash, with the hashes of all prefixes of a key in one pass over it.
//!
//! The hash is the standard library's keyed one, so that whoever chooses the keys cannot choose
//! the collisions. It is always fed whole words and then what is left with its length: what a
//! string hashes to does not depend on which of its prefixes were asked for.
use super::bytes::Bytes;
use super::slab::{KEPT, NIL, Slab};
use std::hash::{BuildHasher, DefaultHasher, Hasher, RandomState};

/// A hash map from byte strings to `T` whose entries have a number.
///
/// Open addressing with linear probing: eight bytes a slot, of which between three eighths and three
/// quarters are in use. A slot has its entry's hash, so that a key that is not there costs one cache
/// miss.
pub(super) struct KeyTable<T> {
    /// A power of two, or nothing yet.
    slots: Box<[Slot]>,
    groups: Slab<Group<T>>,
}

#[derive(Clone, Copy)]
struct Slot {
    /// `NIL`, or the number of a group.
    id: u32,
    /// That one's hash.
    hash: u32,
}

const FREE: Slot = Slot { id: NIL, hash: 0 };

struct Group<T> {
    key: Bytes,
    /// The lower half of the key's hash, which tells its slot.
    hash: u32,
    value: T,
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "half of a good hash is a good hash"
)]
fn half(hash: u64) -> u32 {
    hash as u32
}

impl<T: Default> KeyTable<T> {
    pub(super) fn new() -> Self {
        KeyTable {
            slots: Box::default(),
            groups: Slab::new(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// The slot after this one.
    fn after(&self, slot: usize) -> usize {
        (slot + 1) & (self.slots.len() - 1)
    }

    /// Where the search for a hash begins.
    fn home(&self, hash: u32) -> usize {
        hash as usize & (self.slots.len() - 1)
    }

    pub(super) fn find(&self, hash: u64, key: &[u8]) -> Option<u32> {
        if self.slots.is_empty() {
            return None;
        }
        let hash = half(hash);
        let mut slot = self.home(hash);
        loop {
            let at = self.slots[slot];
            if at.id == NIL {
                return None;
            }
            if at.hash == hash && *self.groups[at.id].key == *key {
                return Some(at.id);
            }
            slot = self.after(slot);
        }
    }

    /// The number of the key, which is added if need be, and whether it was.
    pub(super) fn find_or_insert(&mut self, hash: u64, key: Box<[u8]>) -> (u32, bool) {
        if let Some(id) = self.find(hash, &key) {
            return (id, false);
        }
        if (self.groups.len() + 1) * 4 > self.slots.len() * 3 {
            self.resize((self.slots.len() * 2).max(8));
        }
        let hash = half(hash);
        let id = self.groups.insert(Group {
            key: key.into(),
            hash,
            value: T::default(),
        });
        self.place(hash, id);
        (id, true)
    }

    /// Puts a number into the first free slot for its hash.
    fn place(&mut self, hash: u32, id: u32) {
        let mut slot = self.home(hash);
        while self.slots[slot].id != NIL {
            slot = self.after(slot);
        }
        self.slots[slot] = Slot { id, hash };
    }

    fn resize(&mut self, len: usize) {
        let old = std::mem::replace(&mut self.slots, vec![FREE; len].into());
        for Slot { id, hash } in old.into_iter().filter(|slot| slot.id != NIL) {
            self.place(hash, id);
        }
    }

    /// Returns the key that had this number.
    pub(super) fn remove(&mut self, id: u32) -> Bytes {
        let Group { key, hash, .. } = self.groups.remove(id);
        let mut gap = self.home(hash);
        while self.slots[gap].id != id {
            gap = self.after(gap);
        }
        // What was pushed on by the one that goes takes its place, so that no search ends early.
        let mut slot = self.after(gap);
        while self.slots[slot].id != NIL {
            let home = self.home(self.slots[slot].hash);
            let distance = |from: usize| slot.wrapping_sub(from) & (self.slots.len() - 1);
            if distance(home) >= distance(gap) {
                self.slots[gap] = self.slots[slot];
                gap = slot;
            }
            slot = self.after(slot);
        }
        self.slots[gap] = FREE;
        if self.groups.is_empty() && self.slots.len() > 2 * KEPT {
            self.slots = Box::default();
        }
        key
    }

    pub(super) fn key(&self, id: u32) -> &[u8] {
        &self.groups[id].key
    }

    pub(super) fn value_mut(&mut self, id: u32) -> &mut T {
        &mut self.groups[id].value
    }
}

/// The hashes of a key's prefixes, to be asked for from short to long.
pub(super) struct PrefixHashes<'k> {
    key: &'k [u8],
    /// Has been fed `key[..fed]`, a whole number of words.
    state: DefaultHasher,
    fed: usize,
}

const WORD: usize = size_of::<u64>();

impl<'k> PrefixHashes<'k> {
    pub(super) fn new(seed: &RandomState, key: &'k [u8]) -> Self {
        PrefixHashes {
            key,
            state: seed.build_hasher(),
            fed: 0,
        }
    }

    /// The hash of the first `len` bytes; `len` may not be less than in the call before.
    pub(super) fn of(&mut self, len: usize) -> u64 {
        let words = len - len % WORD;
        if self.fed < words {
            self.state.write(&self.key[self.fed..words]);
            self.fed = words;
        }
        let rest = &self.key[self.fed..len];
        let mut word = [0; WORD];
        word[..rest.len()].copy_from_slice(rest);
        // Fewer than a word's bytes are left, so that the last one is free to say how many.
        let mut state = self.state.clone();
        state.write_u64(u64::from_le_bytes(word) | (rest.len() as u64) << (u64::BITS - 8));
        state.finish()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_hashes_alike_however_it_is_reached() {
        let seed = RandomState::new();
        let key: Vec<u8> = (0..40).collect();
        let mut on_the_way = PrefixHashes::new(&seed, &key);
        let mut hashes = std::collections::HashSet::new();
        for len in 0..=key.len() {
            let hash = on_the_way.of(len);
            assert_eq!(hash, PrefixHashes::new(&seed, &key[..len]).of(len));
            assert!(hashes.insert(hash));
        }
        // Zeros at the end count.
        assert_ne!(
            PrefixHashes::new(&seed, &[0; 3]).of(3),
            PrefixHashes::new(&seed, &[0; 4]).of(4)
        );
    }

    #[test]
    fn keys_of_one_hash_are_told_apart() {
        let mut table = KeyTable::<u32>::new();
        let keys: Vec<Box<[u8]>> = (0..5u8).map(|n| Box::from([n])).collect();
        for key in &keys {
            let (id, added) = table.find_or_insert(7, key.clone());
            assert!(added);
            *table.value_mut(id) = u32::from(key[0]);
        }
        for gone in [2, 4, 0, 3, 1] {
            let id = table.find(7, &keys[gone]).expect("is there");
            assert_eq!(*table.value_mut(id) as usize, gone);
            assert_eq!(table.find_or_insert(7, keys[gone].clone()), (id, false));
            assert_eq!(*table.remove(id), *keys[gone]);
            assert_eq!(table.find(7, &keys[gone]), None);
        }
        assert!(table.is_empty());
    }

    #[test]
    fn many_keys_come_and_go() {
        let seed = RandomState::new();
        let mut table = KeyTable::<u32>::new();
        let mut ids = std::collections::HashMap::new();
        let key = |n: u32| Box::<[u8]>::from(n.to_le_bytes());
        // Few different hashes, so that chains are long and wrap around.
        let hash = |n: u32| PrefixHashes::new(&seed, &n.to_le_bytes()).of(4) % 37;
        for round in 0..6_000_u32 {
            let n = round.wrapping_mul(2_654_435_761) % 300;
            if let Some(id) = ids.remove(&n) {
                assert_eq!(*table.remove(id), *key(n));
            } else {
                let (id, added) = table.find_or_insert(hash(n), key(n));
                assert!(added);
                ids.insert(n, id);
            }
            if round % 97 == 0 {
                for n in 0..300 {
                    assert_eq!(table.find(hash(n), &key(n)), ids.get(&n).copied());
                }
            }
        }
        for (_, id) in ids {
            table.remove(id);
        }
        assert!(table.is_empty() && table.slots.is_empty());
    }
}
