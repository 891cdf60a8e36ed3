//! [`KeyBuf`]: the buffer keys are encoded into.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};

/// Encoded key bytes: a buffer that allocates only beyond [`KeyBuf::INLINE`] bytes.
///
/// Buffers compare by their bytes, which is the order of the keys encoded in them.
///
/// It is made for the stack of a look-up. Where many keys are kept, a `Box<[u8]>` of
/// [`as_bytes`](KeyBuf::as_bytes) is smaller.
// An array and not a `SmallVec`: its bounds are known at compile time, so that appending a column is
// a few instructions, which makes encoding a composite key more than twice as fast.
#[derive(Clone)]
pub struct KeyBuf {
    /// The number of bytes. They are in `inline` if they fit there, and in `heap` otherwise.
    len: usize,
    inline: [u8; KeyBuf::INLINE],
    /// Empty while the bytes fit into `inline`.
    heap: Vec<u8>,
}

impl KeyBuf {
    /// How many bytes a buffer holds without an allocation.
    pub const INLINE: usize = 128;

    /// An empty buffer.
    #[inline]
    pub const fn new() -> Self {
        KeyBuf {
            len: 0,
            inline: [0; KeyBuf::INLINE],
            heap: Vec::new(),
        }
    }

    /// Appends one byte.
    #[inline]
    pub fn push(&mut self, byte: u8) {
        self.extend(&[byte]);
    }

    /// Appends `bytes` as they are.
    #[inline]
    pub fn extend(&mut self, bytes: &[u8]) {
        let end = self.len + bytes.len();
        match self.inline.get_mut(self.len..end) {
            Some(room) => {
                room.copy_from_slice(bytes);
                self.len = end;
            }
            None => self.extend_heap(bytes),
        }
    }

    #[cold]
    fn extend_heap(&mut self, bytes: &[u8]) {
        if self.len <= KeyBuf::INLINE {
            self.heap.reserve(self.len + bytes.len());
            self.heap.extend_from_slice(&self.inline[..self.len]);
        }
        self.heap.extend_from_slice(bytes);
        self.len = self.heap.len();
    }

    /// The bytes appended so far.
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        self.inline.get(..self.len).unwrap_or(&self.heap)
    }

    /// How many bytes there are.
    #[inline]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no bytes.
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Takes out all bytes; keeps the memory.
    #[inline]
    pub fn clear(&mut self) {
        self.len = 0;
        self.heap.clear();
    }

    /// How many bytes of memory it has beside itself.
    pub(crate) fn reserved(&self) -> usize {
        self.heap.capacity()
    }

    /// Keeps the first `len` bytes; does nothing if there are no more than that.
    #[inline]
    pub(crate) fn truncate(&mut self, len: usize) {
        if len >= self.len {
            return;
        }
        if self.len > KeyBuf::INLINE {
            if len > KeyBuf::INLINE {
                self.heap.truncate(len);
            } else {
                self.inline[..len].copy_from_slice(&self.heap[..len]);
                self.heap.clear();
            }
        }
        self.len = len;
    }

    #[inline]
    fn as_bytes_mut(&mut self) -> &mut [u8] {
        self.inline.get_mut(..self.len).unwrap_or(&mut self.heap)
    }

    /// Replaces every byte from `start` on by its complement.
    #[inline]
    pub(super) fn complement_from(&mut self, start: usize) {
        for byte in self.as_bytes_mut().iter_mut().skip(start) {
            *byte = !*byte;
        }
    }

    /// Adds one to the last byte, which is not `FF`.
    #[inline]
    pub(super) fn increment_last(&mut self) {
        if let Some(last) = self.as_bytes_mut().last_mut() {
            *last += 1;
        }
    }
}

impl Default for KeyBuf {
    #[inline]
    fn default() -> Self {
        KeyBuf::new()
    }
}

impl PartialEq for KeyBuf {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for KeyBuf {}

impl PartialOrd for KeyBuf {
    #[inline]
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for KeyBuf {
    #[inline]
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl Hash for KeyBuf {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

impl fmt::Debug for KeyBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyBuf(b\"{}\")", self.as_bytes().escape_ascii())
    }
}

impl AsRef<[u8]> for KeyBuf {
    #[inline]
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl From<&[u8]> for KeyBuf {
    #[inline]
    fn from(bytes: &[u8]) -> Self {
        let mut buf = KeyBuf::new();
        buf.extend(bytes);
        buf
    }
}
