//! Entries of one tree, gathered to be sorted: keys end to end, and a row for each.

use crate::key::MAX_KEY_LEN;
use crate::schema::Row;

const _: () = assert!(MAX_KEY_LEN <= u16::MAX as usize);

/// How many bytes of a key an entry holds.
const HEAD: usize = size_of::<u64>();
/// How far ahead entries are looked at for what they share.
const AHEAD: usize = 64;

struct Entry<T> {
    /// Bytes of the key from where the entries that are being sorted begin to differ: so that
    /// sorting them does not go to the keys.
    head: u64,
    /// Where the key is; in the order in which they were added.
    start: usize,
    len: u16,
    /// How many bytes of the key are in `head`, and one more if that is not all.
    rest: u16,
    row: Row<T>,
}

impl<T> Entry<T> {
    fn key<'b>(&self, bytes: &'b [u8]) -> &'b [u8] {
        &bytes[self.start..][..usize::from(self.len)]
    }

    /// Takes the head from the key's byte `depth` on.
    fn look(&mut self, bytes: &[u8], depth: usize) {
        let rest = &self.key(bytes)[depth..];
        let mut head = [0; HEAD];
        let len = rest.len().min(HEAD);
        head[..len].copy_from_slice(&rest[..len]);
        self.head = u64::from_be_bytes(head);
        // At most one more than a head.
        self.rest = u16::try_from(rest.len().min(HEAD + 1)).unwrap_or_default();
    }
}

pub(super) struct Entries<T> {
    bytes: Vec<u8>,
    list: Vec<Entry<T>>,
}

impl<T> Entries<T> {
    pub(super) fn new() -> Self {
        Entries {
            bytes: Vec::new(),
            list: Vec::new(),
        }
    }

    /// Adds an entry, whose key is within the limit.
    pub(super) fn push(&mut self, key: &[u8], row: Row<T>) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(key);
        // So that also an empty key has a place of its own.
        self.bytes.push(0);
        self.list.push(Entry {
            head: 0,
            start,
            len: u16::try_from(key.len()).expect("a key within the limit"),
            rest: 0,
            row,
        });
    }

    /// Sorts them by key; those with one key in the order they were added. The work is in the bytes
    /// of the keys: where heads are equal, the bytes behind decide, of which each is looked at a few
    /// times at most.
    pub(super) fn sort(&mut self) {
        // Entries that are equal up to a depth.
        let mut open = vec![(0..self.list.len(), 0)];
        while let Some((range, depth)) = open.pop() {
            let entries = &mut self.list[range.clone()];
            let depth = depth + shared(entries, &self.bytes, depth);
            for entry in &mut *entries {
                entry.look(&self.bytes, depth);
            }
            entries.sort_unstable_by_key(|entry| (entry.head, entry.rest, entry.start));
            let mut from = range.start;
            let alike = |a: &Entry<T>, b: &Entry<T>| (a.head, a.rest) == (b.head, b.rest);
            for run in entries.chunk_by(alike) {
                let to = from + run.len();
                if run.len() > 1 && usize::from(run[0].rest) > HEAD {
                    open.push((from..to, depth + HEAD));
                }
                from = to;
            }
        }
    }

    /// Of sorted entries that have the key of one added before them, the one added first.
    pub(super) fn repeated(&self) -> Option<Repeated<'_, T>> {
        let alike = |a: &Entry<T>, b: &Entry<T>| a.key(&self.bytes) == b.key(&self.bytes);
        let pairs = self
            .list
            .windows(2)
            .filter(|pair| alike(&pair[0], &pair[1]));
        let pair = pairs.min_by_key(|pair| pair[1].start)?;
        Some(Repeated {
            key: pair[0].key(&self.bytes),
            holder: &pair[0].row,
            row: &pair[1].row,
        })
    }

    /// Takes them out, in order.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = (&[u8], Row<T>)> {
        let bytes = &self.bytes;
        let entries = self.list.drain(..);
        entries.map(|entry| (entry.key(bytes), entry.row))
    }
}

/// A key that two rows have.
pub(super) struct Repeated<'a, T> {
    pub(super) key: &'a [u8],
    /// The row that has it already.
    pub(super) holder: &'a Row<T>,
    pub(super) row: &'a Row<T>,
}

/// How many bytes, up to [`AHEAD`], all keys have in common from byte `depth` on.
fn shared<T>(entries: &[Entry<T>], bytes: &[u8], depth: usize) -> usize {
    let Some((first, others)) = entries.split_first() else {
        return 0;
    };
    let first = &first.key(bytes)[depth..];
    let most = first.len().min(AHEAD);
    others.iter().fold(most, |shared, entry| {
        let pairs = first[..shared].iter().zip(&entry.key(bytes)[depth..]);
        pairs.take_while(|(a, b)| a == b).count()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::position::LogIndex;
    use proptest::prelude::*;

    fn key() -> impl Strategy<Value = Vec<u8>> {
        let few = prop::sample::select(vec![0_u8, 1, 255]);
        prop_oneof![
            prop::collection::vec(few, 0..25),
            (0..300_usize).prop_map(|len| vec![0; len]),
            prop::collection::vec(any::<u8>(), 0..10),
        ]
    }

    proptest! {
        #[test]
        fn sorts_by_key_then_in_the_order_added(
            shared in key(),
            keys in prop::collection::vec(key(), 0..80),
        ) {
            let mut entries = Entries::new();
            let mut expected = Vec::new();
            for (n, key) in keys.iter().enumerate() {
                let key = [&shared[..], key].concat();
                entries.push(&key, Row::new(n, LogIndex(1), LogIndex(1)));
                expected.push((key, n));
            }
            let seen = |key: &Vec<u8>, n| expected[..n].iter().position(|(other, _)| other == key);
            let again = expected.iter().find_map(|(key, n)| Some((seen(key, *n)?, *n)));
            entries.sort();
            prop_assert_eq!(entries.repeated().map(|r| (**r.holder, **r.row)), again);
            expected.sort();
            let sorted = entries.drain().map(|(key, row)| (key.to_vec(), *row));
            prop_assert_eq!(sorted.collect::<Vec<_>>(), expected);
        }
    }
}
