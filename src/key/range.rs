//! [`ByteRange`]: what every query comes down to, a half-open range of encoded keys.

use super::{KeyBounds, KeyBuf};
use std::ops::Bound;

/// A half-open range of encoded keys: `lo <= key`, and `key < hi` if there is a `hi`.
/// The default is every key.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct ByteRange {
    pub(crate) lo: KeyBuf,
    pub(crate) hi: Option<KeyBuf>,
}

impl ByteRange {
    /// No key.
    pub(crate) fn none() -> Self {
        ByteRange {
            lo: KeyBuf::new(),
            hi: Some(KeyBuf::new()),
        }
    }

    /// Every key that begins with `prefix`.
    pub(crate) fn prefix(prefix: &[u8]) -> Self {
        ByteRange {
            lo: KeyBuf::from(prefix),
            hi: successor(prefix),
        }
    }

    pub(crate) fn contains(&self, key: &[u8]) -> bool {
        self.lo.as_bytes() <= key && self.hi.as_ref().is_none_or(|hi| key < hi.as_bytes())
    }

    /// Whether no key at all can be in it.
    pub(crate) fn is_empty(&self) -> bool {
        self.hi.as_ref().is_some_and(|hi| *hi <= self.lo)
    }

    /// From bounds over typed keys; each key stands for every entry that begins with its encoding
    /// (keys are self-delimiting), so it serves unique and non-unique indexes alike.
    pub(crate) fn from_bounds<K: ?Sized, B: KeyBounds<K> + ?Sized>(bounds: &B) -> Self {
        ByteRange::within(&KeyBuf::new(), bounds)
    }

    /// The same of what follows `prefix`, which is whole columns.
    pub(crate) fn within<K: ?Sized, B: KeyBounds<K> + ?Sized>(prefix: &KeyBuf, bounds: &B) -> Self {
        let mut lo = prefix.clone();
        if let Bound::Excluded(()) = bounds.encode_start(&mut lo) {
            match successor(lo.as_bytes()) {
                Some(after) => lo = after,
                None => return ByteRange::none(),
            }
        }
        let mut end = prefix.clone();
        let hi = match bounds.encode_end(&mut end) {
            Bound::Included(()) | Bound::Unbounded => successor(end.as_bytes()),
            Bound::Excluded(()) => Some(end),
        };
        ByteRange { lo, hi }
    }
}

/// The smallest byte string greater than every string that begins with `prefix`; `None` if there is
/// none.
pub(crate) fn successor(prefix: &[u8]) -> Option<KeyBuf> {
    let last = prefix.iter().rposition(|byte| *byte != u8::MAX)?;
    let mut after = KeyBuf::from(&prefix[..=last]);
    after.increment_last();
    Some(after)
}
