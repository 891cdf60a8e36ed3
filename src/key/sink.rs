//! [`KeySink`]: the index keys of one row.

use super::KeyBuf;
use smallvec::SmallVec;

/// Index keys of one row, gathered in one buffer.
///
/// Allocates only for more than eight keys or [`KeyBuf::INLINE`] bytes in all, and keeps what it
/// allocated when cleared.
#[derive(Debug, Default, Clone)]
pub struct KeySink {
    buf: KeyBuf,
    /// Where each key ends in `buf`; it begins where the one before ends.
    ends: SmallVec<[usize; 8]>,
}

impl KeySink {
    /// A sink without keys.
    #[inline]
    pub fn new() -> Self {
        KeySink::default()
    }

    /// Adds one key: what `write` appends.
    ///
    /// # Panics
    ///
    /// If `write` takes bytes out instead.
    #[doc(hidden)]
    #[inline]
    pub fn push(&mut self, write: impl FnOnce(&mut KeyBuf)) {
        let start = self.buf.len();
        write(&mut self.buf);
        assert!(
            self.buf.len() >= start,
            "an implementation of `Key` took bytes out of its buffer"
        );
        self.ends.push(self.buf.len());
    }

    /// How many keys there are.
    #[inline]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are no keys.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Takes out all keys; keeps the memory.
    #[inline]
    pub fn clear(&mut self) {
        self.buf.clear();
        self.ends.clear();
    }

    /// How many bytes of memory it has beside itself, but for a few.
    pub(crate) fn reserved(&self) -> usize {
        self.buf.reserved() + self.ends.capacity() * size_of::<usize>()
    }

    /// The keys, in the order they were added or sorted into.
    #[inline]
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> + '_ {
        let mut start = 0;
        self.ends
            .iter()
            .map(move |&end| &self.buf.as_bytes()[std::mem::replace(&mut start, end)..end])
    }

    /// Sorts the keys and takes out duplicates. O(n) if there is nothing to do.
    pub fn sort_dedup(&mut self) {
        if self.iter().is_sorted_by(|a, b| a < b) {
            return;
        }
        let mut sorted = KeySink::new();
        let mut keys: SmallVec<[&[u8]; 8]> = self.iter().collect();
        keys.sort_unstable();
        keys.dedup();
        for key in keys {
            sorted.push(|buf| buf.extend(key));
        }
        *self = sorted;
    }
}
