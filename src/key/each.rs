//! [`Each`]: collections whose items are index keys.

use super::{AsKey, Key};
use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::sync::Arc;

/// A collection whose items are index keys, for `#[index(each)]`.
///
/// A record has one entry in such an index for each distinct item. The items of a `BTreeMap` are its
/// entries, pairs of key and value: `leading` finds by the key alone. The order of the items does not
/// matter to the index. It does matter to a replicated store that the record itself is the same on
/// every replica: prefer `BTreeSet` to `HashSet`, whose items are serialized in an order of its own.
#[diagnostic::on_unimplemented(
    message = "the items of `{Self}` cannot be indexed",
    label = "not a collection of keys",
    note = "`#[index(each)]` takes `Vec`, `VecDeque`, `BTreeSet`, `BTreeMap`, `Option`, `Box<[T]>`, `Arc<[T]>` or \
            an array, of keys, and in local tables `HashSet`; use `#[index]` for a single key"
)]
pub trait Each {
    /// The type of the items.
    type Item: Key;

    /// How an item is lent: encoded as the item is.
    type Form<'a>: AsKey<Self::Item>
    where
        Self: 'a;

    /// Calls `f` with each item.
    fn for_each_key<'a>(&'a self, f: &mut dyn FnMut(Self::Form<'a>));
}

macro_rules! each {
    ($([$($generics:tt)*] $collection:ty),* $(,)?) => {$(
        impl<K: Key, $($generics)*> Each for $collection {
            type Item = K;
            type Form<'a>
                = &'a K
            where
                Self: 'a;

            #[inline]
            fn for_each_key<'a>(&'a self, f: &mut dyn FnMut(&'a K)) {
                self.iter().for_each(f);
            }
        }
    )*};
}
each!(
    [] Vec<K>,
    [] VecDeque<K>,
    [] BTreeSet<K>,
    [S] HashSet<K, S>,
    [] Option<K>,
    [] Box<[K]>,
    [] Arc<[K]>,
    [const N: usize] [K; N],
);

impl<K: Key, V: Key> Each for BTreeMap<K, V> {
    type Item = (K, V);
    type Form<'a>
        = (&'a K, &'a V)
    where
        Self: 'a;

    #[inline]
    fn for_each_key<'a>(&'a self, f: &mut dyn FnMut((&'a K, &'a V))) {
        self.iter().for_each(f);
    }
}

/// A value that may be absent, for `#[index(sparse)]`. Implemented for `Option`s of keys.
#[diagnostic::on_unimplemented(
    message = "a `{Self}` is never absent",
    label = "not an `Option` of a key",
    note = "`sparse` leaves records out of an index whose field is `None`: it takes an `Option` of a key; for \
            records of another sort use `when = path`"
)]
pub trait Sparse {
    /// The type of the value.
    type Item: Key;

    /// The value, if it is there.
    fn present(&self) -> Option<&Self::Item>;
}

impl<K: Key> Sparse for Option<K> {
    type Item = K;

    #[inline]
    fn present(&self) -> Option<&K> {
        self.as_ref()
    }
}
