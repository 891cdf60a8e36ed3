//! Reads of one table or index.
#![expect(
    clippy::needless_pass_by_value,
    reason = "keys are given as what can look one up, by value or by reference"
)]

use std::fmt;
use std::marker::PhantomData;
use std::time::SystemTime;

use super::changed_since::ChangedSince;
use super::erased::scope_stamp;
use super::matches::Matches;
use super::prefixes::{PrefixesOf, Which, prefixes};
use super::rows::{Rows, TreeOf, query_index};
use super::view::RawView;
use crate::key::{
    AsKey, AsPrefix, ByteRange, HasPrefixes, KeyBounds, KeyBuf, Leading, first_millisecond,
};
use crate::position::LogIndex;
use crate::schema::{Row, Table};
use crate::tree::Tree;
use crate::watch::Scope;

/// Reads of one table. Generated readers (`ServiceReader<'a>`) are `Copy` newtypes that deref to
/// it.
///
/// Cost of a look-up, and of making a query: O(key length), however many records there are. What a query
/// finds is read as it is iterated.
pub struct TableReader<'a, T> {
    view: &'a RawView,
    table: usize,
    base: usize,
    record: PhantomData<fn() -> T>,
}

impl<T> Clone for TableReader<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for TableReader<'_, T> {}

impl<T> fmt::Debug for TableReader<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TableReader")
            .field("view", self.view)
            .field("table", &self.table)
            .finish_non_exhaustive()
    }
}

fn encoded<K: ?Sized>(key: impl AsKey<K>) -> KeyBuf {
    let mut out = KeyBuf::new();
    key.encode_as(&mut out);
    out
}

fn encoded_prefix<K: ?Sized>(prefix: impl AsPrefix<K>) -> Scope {
    let mut out = KeyBuf::new();
    prefix.encode_prefix(&mut out);
    Scope::Prefix(out)
}

fn encoded_leading<K: ?Sized, M>(columns: impl Leading<K, M>) -> Scope {
    let mut out = KeyBuf::new();
    columns.encode_leading(&mut out);
    Scope::Prefix(out)
}

fn encoded_range<K: ?Sized>(bounds: impl KeyBounds<K>) -> Scope {
    Scope::Range(ByteRange::from_bounds(&bounds))
}

fn encoded_columns<K: ?Sized, M, L: Leading<K, M>>(
    columns: L,
    bounds: impl KeyBounds<L::Next>,
) -> Scope {
    let mut prefix = KeyBuf::new();
    columns.encode_leading(&mut prefix);
    Scope::Range(ByteRange::within(&prefix, &bounds))
}

pub(super) fn everything() -> Scope {
    Scope::Prefix(KeyBuf::new())
}

impl<'a, T> TableReader<'a, T> {
    pub(super) fn new(view: &'a RawView, table: usize, base: usize) -> Self {
        TableReader {
            view,
            table,
            base,
            record: PhantomData,
        }
    }
}

impl<'a, T: Table> TableReader<'a, T> {
    /// Tree number `which` of the table.
    fn of(&self, which: usize) -> TreeOf<'a> {
        TreeOf {
            view: self.view,
            id: self.base + which,
            which,
        }
    }

    /// The table's tree, all of it read.
    pub(super) fn whole(&self) -> Tree<'a, Row<T>> {
        self.of(0).track(&everything());
        self.of(0).tree()
    }

    /// Looks `key` up in tree number `which` of the table.
    fn point(&self, which: usize, key: KeyBuf) -> Option<&'a Row<T>> {
        let of = self.of(which);
        let found = of.tree::<T>().get(key.as_bytes());
        if self.view.tracker().is_some() {
            of.track(&Scope::Point(key));
        }
        found
    }

    /// The record with this key.
    pub fn get(&self, key: impl AsKey<T::Key>) -> Option<&'a Row<T>> {
        self.point(0, encoded(key))
    }

    /// Whether there is a record with this key.
    pub fn contains(&self, key: impl AsKey<T::Key>) -> bool {
        self.get(key).is_some()
    }

    /// Number of records. O(1).
    pub fn len(&self) -> usize {
        entries::<T>(self.of(0))
    }

    /// Whether there is no record.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All records, by primary key.
    pub fn iter(&self) -> Rows<'a, T> {
        Rows::new(self.of(0), everything())
    }

    /// Records whose key is within the bounds.
    pub fn range(&self, bounds: impl KeyBounds<T::Key>) -> Rows<'a, T> {
        Rows::new(self.of(0), encoded_range(bounds))
    }

    /// Records whose key begins with `prefix`.
    pub fn prefix(&self, prefix: impl AsPrefix<T::Key>) -> Rows<'a, T> {
        Rows::new(self.of(0), encoded_prefix(prefix))
    }

    /// Records whose key's first columns are these.
    pub fn leading<M>(&self, columns: impl Leading<T::Key, M>) -> Rows<'a, T> {
        Rows::new(self.of(0), encoded_leading(columns))
    }

    /// Records whose key's first columns are these, and the next within the bounds.
    pub fn leading_range<M, L: Leading<T::Key, M>>(
        &self,
        columns: L,
        bounds: impl KeyBounds<L::Next>,
    ) -> Rows<'a, T> {
        Rows::new(self.of(0), encoded_columns(columns, bounds))
    }

    /// The records whose key is within the bounds, all of them with `..`, to be met with those that match
    /// keys of indexes.
    pub fn matching(&self, bounds: impl KeyBounds<T::Key>) -> Matches<'a, T> {
        Matches::of_part(self.of(0), encoded_range(bounds))
    }

    /// The same of records whose key begins with `prefix`.
    pub fn matching_prefix(&self, prefix: impl AsPrefix<T::Key>) -> Matches<'a, T> {
        Matches::of_part(self.of(0), encoded_prefix(prefix))
    }

    /// The same of records whose key's first columns are these.
    pub fn matching_leading<M>(&self, columns: impl Leading<T::Key, M>) -> Matches<'a, T> {
        Matches::of_part(self.of(0), encoded_leading(columns))
    }

    /// The record with the least key.
    pub fn first(&self) -> Option<&'a Row<T>> {
        self.iter().next()
    }

    /// The record with the greatest key.
    pub fn last(&self) -> Option<&'a Row<T>> {
        self.iter().next_back()
    }

    /// The records that changed after `index`, the latest first; with `LogIndex(0)` all. Deleted
    /// ones are in the feed, not here. A tracked reader counts it as reading the whole table.
    ///
    /// No index is kept for it: cost is in what is yielded and what was deleted since, not in what
    /// has not changed.
    pub fn changed_since(&self, index: LogIndex) -> ChangedSince<'a, T> {
        self.of(0).track(&everything());
        ChangedSince::new(
            self.of(0)
                .tree()
                .newest(index.0, |row| row.modify_index().0),
        )
    }

    /// The record whose key is the longest prefix of `whole`: of a text, of an address.
    ///
    /// A watch of it covers the absence of every longer one: the 256 longest each by itself, beyond
    /// those all keys in between.
    pub fn longest_prefix(&self, whole: impl HasPrefixes<T::Key>) -> Option<&'a Row<T>> {
        let key = prefixes::<T, T::Key>(self.of(0), &whole, Which::Longest).pop()?;
        self.of(0).tree().get(key.as_bytes())
    }

    /// The records whose keys are prefixes of `whole`, of a text, of an address: by primary key, which is
    /// from the shortest prefix to the longest.
    ///
    /// Cost: O(key length), and in what is found. A tracked reader counts it as reading all of them, and
    /// the absence of all others, as a [`longest_prefix`](Self::longest_prefix) that finds nothing.
    ///
    /// ```
    /// # use highwater::{Schema, Store, Table};
    /// # use serde::{Deserialize, Serialize};
    /// # #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
    /// # pub struct Rule { #[primary_key] pub path: String }
    /// # #[derive(Schema)]
    /// # pub struct Acl { rules: Rule }
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let store = Store::<Acl>::new();
    /// let mut txn = store.write()?;
    /// for path in ["/", "/a", "/a/b", "/b"] {
    ///     txn.rules_mut().insert(Rule { path: path.into() })?;
    /// }
    /// let rules = txn.rules();
    /// let nearest_first = rules.prefixes_of("/a/b/c").rev().map(|rule| rule.path.as_str());
    /// assert_eq!(nearest_first.collect::<Vec<_>>(), ["/a/b", "/a", "/"]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn prefixes_of(&self, whole: impl HasPrefixes<T::Key>) -> PrefixesOf<'a, T> {
        PrefixesOf::new::<T::Key>(self.of(0), &whole)
    }

    /// The log index of a look-up of `key`: the record's modify index; for an absent one, a log index
    /// that is no earlier than its deletion and does not fall. At least 1.
    pub fn log_index_of(&self, key: impl AsKey<T::Key>) -> LogIndex {
        let scope = Scope::Point(encoded(key));
        self.of(0).track(&scope);
        query_index(scope_stamp(self.of(0).tree::<T>(), &scope))
    }

    /// The log index of the whole table: of the last change of any of its records. At least 1.
    pub fn log_index(&self) -> LogIndex {
        self.iter().log_index()
    }

    /// For generated code: secondary index number `i` (position in `T::INDEXES`).
    #[doc(hidden)]
    pub fn secondary<K>(&self, i: usize) -> IndexReader<'a, T, K> {
        IndexReader {
            table: *self,
            i,
            key: PhantomData,
        }
    }

    /// For generated code: exact look-up in unique index number `i`.
    #[doc(hidden)]
    pub fn unique<K>(&self, i: usize, key: impl AsKey<K>) -> Option<&'a Row<T>> {
        self.point(1 + i, encoded(key))
    }
}

/// For generated code: what `#[expires]` brings, by the number of its index.
impl<'a, T: Table> TableReader<'a, T> {
    #[doc(hidden)]
    pub fn due(&self, i: usize, now: SystemTime) -> Rows<'a, T> {
        self.secondary::<SystemTime>(i).range(..=now)
    }

    #[doc(hidden)]
    pub fn next_due(
        &self,
        i: usize,
        deadline: fn(&T) -> Option<&SystemTime>,
    ) -> Option<SystemTime> {
        let first = self.secondary::<SystemTime>(i).first()?;
        deadline(first).copied().map(first_millisecond)
    }
}

/// How many entries a tree has.
fn entries<T: Table>(of: TreeOf<'_>) -> usize {
    of.track(&everything());
    usize::try_from(of.tree::<T>().len()).unwrap_or(usize::MAX)
}

/// Reads of one secondary index with keys `K`. Cost: as of a [`TableReader`].
pub struct IndexReader<'a, T, K> {
    table: TableReader<'a, T>,
    i: usize,
    key: PhantomData<fn() -> K>,
}

impl<T, K> Clone for IndexReader<'_, T, K> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T, K> Copy for IndexReader<'_, T, K> {}

impl<T, K> fmt::Debug for IndexReader<'_, T, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IndexReader")
            .field("table", &self.table)
            .field("index", &self.i)
            .finish_non_exhaustive()
    }
}

impl<'a, T: Table, K> IndexReader<'a, T, K> {
    fn of(&self) -> TreeOf<'a> {
        self.table.of(1 + self.i)
    }

    fn rows(&self, scope: Scope) -> Rows<'a, T> {
        Rows::new(self.of(), scope)
    }

    /// Number of entries: of pairs of a key and a record that has it. O(1).
    pub fn len(&self) -> usize {
        entries::<T>(self.of())
    }

    /// Whether no record is in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Records with exactly this key, by primary key.
    pub fn get(&self, key: impl AsKey<K>) -> Rows<'a, T> {
        // Keys are self-delimiting: the entries that begin with one are the entries of that key.
        self.rows(Scope::Prefix(encoded(key)))
    }

    /// The records with exactly this key, to be met with those of other keys and indexes.
    pub fn matching(&self, key: impl AsKey<K>) -> Matches<'a, T> {
        Matches::of_key(self.of(), encoded(key))
    }

    /// All records that have a key in this index, by that key, then by primary key; one that has
    /// several, several times.
    pub fn iter(&self) -> Rows<'a, T> {
        self.rows(everything())
    }

    /// Records with a key within the bounds.
    pub fn range(&self, bounds: impl KeyBounds<K>) -> Rows<'a, T> {
        self.rows(encoded_range(bounds))
    }

    /// Records with a key that begins with `prefix`.
    pub fn prefix(&self, prefix: impl AsPrefix<K>) -> Rows<'a, T> {
        self.rows(encoded_prefix(prefix))
    }

    /// Records with a key whose first columns are these.
    pub fn leading<M>(&self, columns: impl Leading<K, M>) -> Rows<'a, T> {
        self.rows(encoded_leading(columns))
    }

    /// Records with a key whose first columns are these, and the next within the bounds.
    pub fn leading_range<M, L: Leading<K, M>>(
        &self,
        columns: L,
        bounds: impl KeyBounds<L::Next>,
    ) -> Rows<'a, T> {
        self.rows(encoded_columns(columns, bounds))
    }

    /// The records with the longest key that is a prefix of `whole`: of a text, of an address.
    pub fn longest_prefix(&self, whole: impl HasPrefixes<K>) -> Rows<'a, T> {
        match prefixes::<T, K>(self.of(), &whole, Which::Longest).pop() {
            Some(key) => self.rows(Scope::Prefix(key)),
            None => self.rows(Scope::Range(ByteRange::none())),
        }
    }

    /// The records with keys that are prefixes of `whole`, from the shortest prefix to the longest, those of
    /// one key by primary key. As [`TableReader::prefixes_of`].
    pub fn prefixes_of(&self, whole: impl HasPrefixes<K>) -> PrefixesOf<'a, T> {
        PrefixesOf::new::<K>(self.of(), &whole)
    }

    /// The record with the least key.
    pub fn first(&self) -> Option<&'a Row<T>> {
        self.iter().next()
    }

    /// The record with the greatest key.
    pub fn last(&self) -> Option<&'a Row<T>> {
        self.iter().next_back()
    }

    /// The log index of the whole index: of the last change of any record in it. At least 1.
    pub fn log_index(&self) -> LogIndex {
        self.iter().log_index()
    }
}

impl<'a, T: Table> IntoIterator for &TableReader<'a, T> {
    type Item = &'a Row<T>;
    type IntoIter = Rows<'a, T>;

    fn into_iter(self) -> Rows<'a, T> {
        self.iter()
    }
}

impl<'a, T: Table, K> IntoIterator for &IndexReader<'a, T, K> {
    type Item = &'a Row<T>;
    type IntoIter = Rows<'a, T>;

    fn into_iter(self) -> Rows<'a, T> {
        self.iter()
    }
}
