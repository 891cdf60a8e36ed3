//! What a query is given instead of a key: [`AsKey`], [`AsPrefix`], [`HasPrefixes`], [`Leading`],
//! [`KeyBounds`].

use super::{Key, KeyBuf, MAX_KEY_LEN, TextKey};
use std::ops::{Bound, Range, RangeFrom, RangeFull, RangeInclusive, RangeTo, RangeToInclusive};

/// A form in which a key of type `K` can be looked up, encoded as that key is.
///
/// `&K` for every `K`, `K` itself, and borrowed forms: `&str` for text, `&[u8]` for bytes, tuples,
/// arrays and `Option`s of such forms for tuples, arrays and `Option`s. Integer literals take the
/// type of the key.
#[diagnostic::on_unimplemented(
    message = "a key of type `{K}` cannot be looked up by `{Self}`",
    label = "expected `&{K}`, `{K}`, or a borrowed form of it",
    note = "borrowed forms are `&str` for text, `&[u8]` for bytes, and tuples, arrays and `Option`s of such forms",
    note = "to give only the first columns of a composite key, use `leading`: of the table for its primary key, \
            of `x_index()` for what `by_x` looks up"
)]
pub trait AsKey<K: ?Sized> {
    /// Appends what [`Key::encode`] appends for the key that `self` stands for.
    fn encode_as(&self, out: &mut KeyBuf);
}

impl<K: Key + ?Sized> AsKey<K> for &K {
    #[inline]
    fn encode_as(&self, out: &mut KeyBuf) {
        K::encode(self, out);
    }
}

/// The beginning of a key: text for text, bytes for bytes, arrays of bytes and `Uuid`.
///
/// For a composite key: the beginning of its first column (`"we"`), or a tuple of exact columns and
/// the beginning of the next (`("web", "n")`).
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no prefix of a key of type `{K}`",
    label = "expected the beginning of a `{K}`",
    note = "text keys have prefixes of type `&str`; bytes keys, arrays of bytes and `Uuid` of type `&[u8]`; other \
            keys have none",
    note = "the first digits of a `Uuid` are a range: `range(\"4f1\".parse::<highwater::key::UuidPrefix>()?)`",
    note = "composite keys have tuples of exact columns and a prefix of the next as prefixes; for whole \
            columns only, use `leading`"
)]
pub trait AsPrefix<K: ?Sized> {
    /// Appends what the encodings of exactly those keys begin with that begin with `self`.
    fn encode_prefix(&self, out: &mut KeyBuf);
}

/// The first columns of a composite key, exactly: `"web"` or `("web", 3)` for
/// `(String, u32, String)`.
///
/// `M` is a marker that tells the numbers of columns apart; it is always inferred.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not the first columns of a key of type `{K}`",
    label = "expected look-up forms of the first columns of `{K}`",
    note = "give the first column alone (`\"web\"`) or a tuple of the first columns (`(\"web\", 3)`), fewer than \
            the key has; to give all, use `get`"
)]
pub trait Leading<K: ?Sized, M> {
    /// The type of the column after these.
    type Next;

    /// Appends the encodings of the columns.
    fn encode_leading(&self, out: &mut KeyBuf);
}

/// Something that keys of type `K` can be prefixes of: text for text keys, bytes for bytes keys, an
/// address or a network for networks (`IpNet`, with the feature `ipnet`).
///
/// A network is a prefix of an address or network if it contains it and its own address has no bits
/// beyond its prefix (`10.0.0.0/8`, not `10.1.2.3/8`).
#[diagnostic::on_unimplemented(
    message = "no key of type `{K}` is a prefix of `{Self}`",
    label = "expected what a `{K}` can be the beginning of",
    note = "text keys are prefixes of text, bytes keys of bytes, networks of addresses and networks; other keys of \
            nothing"
)]
pub trait HasPrefixes<K: ?Sized> {
    /// Calls `f` with the encoding of every key that is a prefix of `self`, from the longest to the
    /// shortest, which is from the greatest to the least, until it returns true. Those that are too long
    /// to be stored may be missing, and other byte strings that no key begins with may be among them.
    fn for_each_prefix(&self, f: &mut dyn FnMut(&KeyBuf) -> bool);

    /// If it is text or bytes: appends it without its end, and says what ends a key.
    #[doc(hidden)]
    fn as_content(&self, _out: &mut KeyBuf) -> Option<&'static [u8]> {
        None
    }
}

#[diagnostic::do_not_recommend]
impl<K: TextKey, Q: AsPrefix<K>> HasPrefixes<K> for Q {
    fn for_each_prefix(&self, f: &mut dyn FnMut(&KeyBuf) -> bool) {
        let mut key = KeyBuf::new();
        self.encode_prefix(&mut key);
        // Nothing longer is stored, whatever is asked for.
        for len in (0..=key.len().min(MAX_KEY_LEN)).rev() {
            key.truncate(len);
            // Not in the midst of an escaped zero.
            if key.as_bytes().last() == Some(&0) {
                continue;
            }
            key.extend(K::TERMINATOR);
            if f(&key) {
                return;
            }
        }
    }

    fn as_content(&self, out: &mut KeyBuf) -> Option<&'static [u8]> {
        self.encode_prefix(out);
        Some(K::TERMINATOR)
    }
}

/// Marks an implementation of [`Leading`] for `N` columns.
#[doc(hidden)]
#[derive(Debug)]
pub enum Columns<const N: usize> {}

/// The bounds of a range of keys of type `K`: `a..b`, `a..=b`, `a..`, `..b`, `..=b`, `..`, or a pair
/// of `Bound`s, over anything that can look up a `K` (`"a".."f"` for text).
///
/// A range whose start is above its end is empty.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a range of keys of type `{K}`",
    label = "expected a range of `{K}`",
    note = "give `a..b`, `a..=b`, `a..`, `..b`, `..=b`, `..` or `(Bound, Bound)` with what `get` takes: `{K}`, \
            `&{K}`, or a borrowed form of it"
)]
pub trait KeyBounds<K: ?Sized> {
    /// Appends the key of the lower bound, if there is one, and says of which kind it is.
    fn encode_start(&self, out: &mut KeyBuf) -> Bound<()>;

    /// Appends the key of the upper bound, if there is one, and says of which kind it is.
    fn encode_end(&self, out: &mut KeyBuf) -> Bound<()>;
}

impl<K: ?Sized> KeyBounds<K> for RangeFull {
    #[inline]
    fn encode_start(&self, _out: &mut KeyBuf) -> Bound<()> {
        Bound::Unbounded
    }

    #[inline]
    fn encode_end(&self, _out: &mut KeyBuf) -> Bound<()> {
        Bound::Unbounded
    }
}

/// The pair of bounds all ranges come down to.
#[inline]
fn encode_bound<K: ?Sized, Q: AsKey<K>>(bound: Bound<&Q>, out: &mut KeyBuf) -> Bound<()> {
    bound.map(|key| key.encode_as(out))
}

macro_rules! ranges {
    ($($range:ty),*) => {$(
        impl<K: ?Sized, Q: AsKey<K>> KeyBounds<K> for $range {
            #[inline]
            fn encode_start(&self, out: &mut KeyBuf) -> Bound<()> {
                encode_bound(std::ops::RangeBounds::start_bound(self), out)
            }

            #[inline]
            fn encode_end(&self, out: &mut KeyBuf) -> Bound<()> {
                encode_bound(std::ops::RangeBounds::end_bound(self), out)
            }
        }
    )*};
}
ranges!(
    Range<Q>,
    RangeInclusive<Q>,
    RangeFrom<Q>,
    RangeTo<Q>,
    RangeToInclusive<Q>,
    (Bound<Q>, Bound<Q>)
);
