//! Keys of fixed width: integers, `bool`, `char`, log indexes.

use super::columns::by_from_str;
use super::shown::{debug, display};
use super::{AsKey, Encoded, Key, KeyBuf, TextColumns, Unread};
use crate::position::LogIndex;
use std::num::{NonZero, Wrapping};

/// A value of these types is itself a look-up form.
macro_rules! by_value {
    ($($key:ty),* $(,)?) => {$(
        impl AsKey<$key> for $key {
            #[inline]
            fn encode_as(&self, out: &mut KeyBuf) {
                self.encode(out);
            }
        }
    )*};
}
pub(super) use by_value;

macro_rules! unsigned {
    ($($int:ty),*) => {$(
        impl Key for $int {
            #[inline]
            fn encode(&self, out: &mut KeyBuf) {
                out.extend(&self.to_be_bytes());
            }

            by_from_str!();

            fn show(encoded: &mut Encoded<'_>, out: &mut String) -> Option<()> {
                display(&<$int>::from_be_bytes(encoded.take()?), out)
            }
        }
    )*};
}
unsigned!(u16, u32, u64, u128);

impl Key for u8 {
    #[inline]
    fn encode(&self, out: &mut KeyBuf) {
        out.push(*self);
    }

    by_from_str!();

    #[inline]
    fn encode_all(items: &[Self], out: &mut KeyBuf) {
        out.extend(items);
    }

    fn show(encoded: &mut Encoded<'_>, out: &mut String) -> Option<()> {
        let [byte] = encoded.take()?;
        display(&byte, out)
    }
}

// Flipping the sign bit maps MIN..=MAX onto 0..=MAX of the unsigned type in order.
macro_rules! signed {
    ($($int:ty),*) => {$(
        impl Key for $int {
            #[inline]
            fn encode(&self, out: &mut KeyBuf) {
                (self.cast_unsigned() ^ (1 << (<$int>::BITS - 1))).encode(out);
            }

            by_from_str!();

            fn show(encoded: &mut Encoded<'_>, out: &mut String) -> Option<()> {
                let flipped = <$int>::from_be_bytes(encoded.take()?);
                display(&(flipped ^ <$int>::MIN), out)
            }
        }
    )*};
}
signed!(i8, i16, i32, i64, i128);

/// Encoded as 64 bits, so that replicas of any word size agree.
impl Key for usize {
    #[inline]
    fn encode(&self, out: &mut KeyBuf) {
        (*self as u64).encode(out);
    }

    by_from_str!();

    fn show(encoded: &mut Encoded<'_>, out: &mut String) -> Option<()> {
        u64::show(encoded, out)
    }
}

/// Encoded as 64 bits, so that replicas of any word size agree.
impl Key for isize {
    #[inline]
    fn encode(&self, out: &mut KeyBuf) {
        (*self as i64).encode(out);
    }

    by_from_str!();

    fn show(encoded: &mut Encoded<'_>, out: &mut String) -> Option<()> {
        i64::show(encoded, out)
    }
}

impl Key for bool {
    #[inline]
    fn encode(&self, out: &mut KeyBuf) {
        out.push(u8::from(*self));
    }

    by_from_str!();

    fn show(encoded: &mut Encoded<'_>, out: &mut String) -> Option<()> {
        match encoded.take()? {
            [0] => display(&false, out),
            [1] => display(&true, out),
            _ => None,
        }
    }
}

impl Key for char {
    #[inline]
    fn encode(&self, out: &mut KeyBuf) {
        let [_, scalar @ ..] = u32::from(*self).to_be_bytes();
        out.extend(&scalar);
    }

    by_from_str!();

    fn show(encoded: &mut Encoded<'_>, out: &mut String) -> Option<()> {
        let [a, b, c] = encoded.take()?;
        debug(&char::from_u32(u32::from_be_bytes([0, a, b, c]))?, out)
    }
}

impl Key for LogIndex {
    #[inline]
    fn encode(&self, out: &mut KeyBuf) {
        self.0.encode(out);
    }

    fn encode_columns(columns: &mut TextColumns<'_>, out: &mut KeyBuf) -> Result<(), Unread> {
        u64::encode_columns(columns, out)
    }

    fn show(encoded: &mut Encoded<'_>, out: &mut String) -> Option<()> {
        u64::show(encoded, out)
    }
}

by_value!(
    u8, u16, u32, u64, u128, usize, i8, i16, i32, i64, i128, isize, bool, char, LogIndex
);

macro_rules! non_zero {
    ($($int:ty),*) => {$(
        impl Key for NonZero<$int> {
            #[inline]
            fn encode(&self, out: &mut KeyBuf) {
                self.get().encode(out);
            }

            by_from_str!();

            fn show(encoded: &mut Encoded<'_>, out: &mut String) -> Option<()> {
                <$int>::show(encoded, out)
            }
        }
        by_value!(NonZero<$int>);
    )*};
}
non_zero!(
    u8, u16, u32, u64, u128, usize, i8, i16, i32, i64, i128, isize
);

impl<K: Key> Key for Wrapping<K> {
    #[inline]
    fn encode(&self, out: &mut KeyBuf) {
        self.0.encode(out);
    }

    fn encode_columns(columns: &mut TextColumns<'_>, out: &mut KeyBuf) -> Result<(), Unread> {
        K::encode_columns(columns, out)
    }

    fn show(encoded: &mut Encoded<'_>, out: &mut String) -> Option<()> {
        K::show(encoded, out)
    }
}

impl<K, Q: AsKey<K>> AsKey<Wrapping<K>> for Wrapping<Q> {
    #[inline]
    fn encode_as(&self, out: &mut KeyBuf) {
        self.0.encode_as(out);
    }
}
