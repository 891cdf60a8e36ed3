//! Byte strings by hash, with the hashes of all prefixes of a key in one pass over it.
//!
//! The hash is the standard library's keyed one, so that whoever chooses the keys cannot choose
//! the collisions. It is always fed whole words and then what is left with its length: what a
//! string hashes to does not depend on which of its prefixes were asked for.
use super::slab::{KEPT, NIL, Slab};
use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher, Hasher, RandomState};

/// A hash map from byte strings to `T` whose entries have a number.
pub(super) struct KeyTable<T> {
    /// The first of the groups of each hash.
    firsts: HashMap<u64, u32, BuildHasherDefault<Hashed>>,
    groups: Slab<Group<T>>,
}

struct Group<T> {
    key: Box<[u8]>,
    hash: u64,
    /// The next group of the same hash.
    next: u32,
    value: T,
}

impl<T: Default> KeyTable<T> {
    pub(super) fn new() -> Self {
        KeyTable {
            firsts: HashMap::default(),
            groups: Slab::new(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    pub(super) fn find(&self, hash: u64, key: &[u8]) -> Option<u32> {
        let mut at = self.firsts.get(&hash).copied().unwrap_or(NIL);
        while at != NIL {
            let group = &self.groups[at];
            if *group.key == *key {
                return Some(at);
            }
            at = group.next;
        }
        None
    }

    /// The number of the key, which is added if need be, and whether it was.
    pub(super) fn find_or_insert(&mut self, hash: u64, key: Box<[u8]>) -> (u32, bool) {
        if let Some(id) = self.find(hash, &key) {
            return (id, false);
        }
        let next = self.firsts.get(&hash).copied().unwrap_or(NIL);
        let id = self.groups.insert(Group {
            key,
            hash,
            next,
            value: T::default(),
        });
        self.firsts.insert(hash, id);
        (id, true)
    }

    /// Returns the key that had this number.
    pub(super) fn remove(&mut self, id: u32) -> Box<[u8]> {
        let Group {
            key, hash, next, ..
        } = self.groups.remove(id);
        let first = self.firsts[&hash];
        if first != id {
            let mut at = first;
            while self.groups[at].next != id {
                at = self.groups[at].next;
            }
            self.groups[at].next = next;
        } else if next != NIL {
            self.firsts.insert(hash, next);
        } else {
            self.firsts.remove(&hash);
            if self.firsts.is_empty() && self.firsts.capacity() > KEPT {
                self.firsts = HashMap::default();
            }
        }
        key
    }

    pub(super) fn value_mut(&mut self, id: u32) -> &mut T {
        &mut self.groups[id].value
    }
}

/// Hands on what is a good hash already.
#[derive(Default)]
struct Hashed(u64);

impl Hasher for Hashed {
    fn write(&mut self, _: &[u8]) {
        unreachable!("only whole hashes are hashed");
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn finish(&self) -> u64 {
        self.0
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
        while self.fed + WORD <= len {
            let mut word = [0; WORD];
            word.copy_from_slice(&self.key[self.fed..self.fed + WORD]);
            self.state.write_u64(u64::from_le_bytes(word));
            self.fed += WORD;
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
            assert_eq!(table.remove(id), keys[gone]);
            assert_eq!(table.find(7, &keys[gone]), None);
        }
        assert!(table.is_empty());
    }
}
