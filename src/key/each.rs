//! [`Each`]: collections whose items are index keys.

use super::Key;
use std::collections::{BTreeSet, HashSet, VecDeque};
use std::sync::Arc;

/// A collection whose items are index keys, for `#[index(each)]`.
///
/// A record has one entry in such an index for each distinct item. The order of the items does not
/// matter to the index. It does matter to a replicated store that the record itself is the same on
/// every replica: prefer `BTreeSet` to `HashSet`, whose items are serialized in an order of its own.
#[diagnostic::on_unimplemented(
    message = "the items of `{Self}` cannot be indexed",
    label = "not a collection of keys",
    note = "`#[index(each)]` takes `Vec`, `VecDeque`, `BTreeSet`, `HashSet`, `Option`, `Box<[T]>`, `Arc<[T]>` or an \
            array, of keys; use `#[index]` for a single key"
)]
pub trait Each {
    /// The type of the items.
    type Item: Key;

    /// Calls `f` with each item.
    fn for_each_key(&self, f: &mut dyn FnMut(&Self::Item));
}

macro_rules! each {
    ($([$($generics:tt)*] $collection:ty),* $(,)?) => {$(
        impl<K: Key, $($generics)*> Each for $collection {
            type Item = K;

            #[inline]
            fn for_each_key(&self, f: &mut dyn FnMut(&K)) {
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
