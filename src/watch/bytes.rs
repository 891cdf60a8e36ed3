//! A key of a registry: short ones take no memory of their own.

use std::ops::Deref;

/// As many bytes as fit in the size of a boxed slice and its tag.
const INLINE: usize = 22;

/// A byte string that is kept for long, in great number.
pub(super) enum Bytes {
    Inline { len: u8, bytes: [u8; INLINE] },
    Boxed(Box<[u8]>),
}

impl From<Box<[u8]>> for Bytes {
    fn from(key: Box<[u8]>) -> Self {
        match u8::try_from(key.len()) {
            Ok(len) if key.len() <= INLINE => {
                let mut bytes = [0; INLINE];
                bytes[..key.len()].copy_from_slice(&key);
                Bytes::Inline { len, bytes }
            }
            _ => Bytes::Boxed(key),
        }
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Bytes::Inline { len, bytes } => &bytes[..usize::from(*len)],
            Bytes::Boxed(key) => key,
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn short_and_long_are_what_they_were() {
        for len in [0, 1, INLINE - 1, INLINE, INLINE + 1, 300] {
            let key: Vec<u8> = (0..=255).cycle().take(len).collect();
            let kept = Bytes::from(Box::from(&key[..]));
            assert_eq!(*kept, key);
            assert_eq!(matches!(kept, Bytes::Inline { .. }), len <= INLINE);
        }
        assert_eq!(size_of::<Bytes>(), 24);
    }
}
