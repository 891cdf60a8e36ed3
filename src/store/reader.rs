//! Reads of one table or index, and the iterator over what a query finds.
#![expect(
    clippy::needless_pass_by_value,
    reason = "keys are given as what can look one up, by value or by reference"
)]

use std::fmt;
use std::marker::PhantomData;

use super::erased::scope_stamp;
use super::track::{self, Slot};
use super::view::RawView;
use crate::key::{AsKey, AsPrefix, ByteRange, KeyBounds, KeyBuf, Leading, TextKey};
use crate::position::LogIndex;
use crate::schema::{Row, Table};
use crate::tree::{self, Stamp, Tree};
use crate::watch::Scope;

/// Reads of one table. Generated readers (`ServiceReader<'a>`) are `Copy` newtypes that deref to
/// it.
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

/// A longest-prefix look-up watches each key that would be a better answer, if its text is this much
/// longer than the answer, in bytes.
const EACH_LENGTH: usize = 256;

/// An answer's index is at least 1, so that a client that hands it back never asks from 0 again.
fn query_index(stamp: Stamp) -> LogIndex {
    LogIndex(stamp.max(1))
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

fn everything() -> Scope {
    Scope::Prefix(KeyBuf::new())
}

impl<'a, T: Table> TableReader<'a, T> {
    pub(super) fn new(view: &'a RawView, table: usize, base: usize) -> Self {
        TableReader {
            view,
            table,
            base,
            record: PhantomData,
        }
    }

    fn tree(&self) -> Tree<'a, Row<T>> {
        self.view.tree(self.base)
    }

    /// Looks `key` up in tree number `tree`.
    fn point(&self, tree: usize, key: KeyBuf) -> Option<&'a Row<T>> {
        let found = self.view.tree::<Row<T>>(tree).get(key.as_bytes());
        if let Some(tracker) = self.view.tracker() {
            tracker.read(tree, Scope::Point(key));
        }
        found
    }

    /// The record with this key.
    pub fn get(&self, key: impl AsKey<T::Key>) -> Option<&'a Row<T>> {
        self.point(self.base, encoded(key))
    }

    /// Whether there is a record with this key.
    pub fn contains(&self, key: impl AsKey<T::Key>) -> bool {
        self.get(key).is_some()
    }

    /// Number of records. O(1).
    pub fn len(&self) -> usize {
        if let Some(tracker) = self.view.tracker() {
            tracker.read(self.base, everything());
        }
        usize::try_from(self.tree().len()).unwrap_or(usize::MAX)
    }

    /// Whether there is no record.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All records, by primary key.
    pub fn iter(&self) -> Rows<'a, T> {
        Rows::new(self.view, self.base, everything())
    }

    /// Records whose key is within the bounds.
    pub fn range(&self, bounds: impl KeyBounds<T::Key>) -> Rows<'a, T> {
        Rows::new(self.view, self.base, encoded_range(bounds))
    }

    /// Records whose key begins with `prefix`.
    pub fn prefix(&self, prefix: impl AsPrefix<T::Key>) -> Rows<'a, T> {
        Rows::new(self.view, self.base, encoded_prefix(prefix))
    }

    /// Records whose key's first columns are these.
    pub fn leading<M>(&self, columns: impl Leading<T::Key, M>) -> Rows<'a, T> {
        Rows::new(self.view, self.base, encoded_leading(columns))
    }

    /// The record with the least key.
    pub fn first(&self) -> Option<&'a Row<T>> {
        self.iter().next()
    }

    /// The record with the greatest key.
    pub fn last(&self) -> Option<&'a Row<T>> {
        self.iter().next_back()
    }

    /// The record whose key is the longest prefix of `text`.
    ///
    /// A watch of it covers the absence of every longer one: each length by itself, up to 256
    /// bytes; beyond, all keys between the shortest that would do and the text.
    pub fn longest_prefix(&self, text: impl AsPrefix<T::Key>) -> Option<&'a Row<T>>
    where
        T::Key: TextKey,
    {
        let mut query = KeyBuf::new();
        text.encode_prefix(&mut query);
        let query = query.as_bytes();
        let found = self.tree().longest_prefix(query, T::Key::TERMINATOR);
        if let Some(tracker) = self.view.tracker() {
            // The record found, and the absence of every longer one.
            let key = |len: usize| {
                let mut key = KeyBuf::new();
                key.extend(&query[..len]);
                key.extend(T::Key::TERMINATOR);
                key
            };
            let shortest = found.map_or(0, |(len, _)| len);
            if query.len() - shortest <= EACH_LENGTH {
                for len in shortest..=query.len() {
                    tracker.read(self.base, Scope::Point(key(len)));
                }
            } else {
                // They are among the keys from the shortest to the text itself.
                let mut hi = key(query.len());
                hi.push(0);
                let range = ByteRange {
                    lo: key(shortest),
                    hi: Some(hi),
                };
                tracker.read(self.base, Scope::Range(range));
            }
        }
        found.map(|(_, row)| row)
    }

    /// The index of a look-up of `key`: the record's modify index; for an absent one, an index
    /// that is no earlier than its deletion and does not fall. At least 1.
    pub fn index_of(&self, key: impl AsKey<T::Key>) -> LogIndex {
        let scope = Scope::Point(encoded(key));
        let stamp = scope_stamp(self.tree(), &scope);
        if let Some(tracker) = self.view.tracker() {
            tracker.read(self.base, scope);
        }
        query_index(stamp)
    }

    /// The index of the whole table: of the last change of any of its records. At least 1.
    pub fn index(&self) -> LogIndex {
        self.iter().index()
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
        self.point(self.base + 1 + i, encoded(key))
    }
}

/// Reads of one secondary index with keys `K`.
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
    fn rows(&self, scope: Scope) -> Rows<'a, T> {
        Rows::new(self.table.view, self.table.base + 1 + self.i, scope)
    }

    /// Records with exactly this key, by primary key.
    pub fn get(&self, key: impl AsKey<K>) -> Rows<'a, T> {
        // Keys are self-delimiting: the entries that begin with one are the entries of that key.
        self.rows(Scope::Prefix(encoded(key)))
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

    /// The record with the least key.
    pub fn first(&self) -> Option<&'a Row<T>> {
        self.iter().next()
    }

    /// The record with the greatest key.
    pub fn last(&self) -> Option<&'a Row<T>> {
        self.iter().next_back()
    }

    /// The index of the whole index: of the last change of any record in it. At least 1.
    pub fn index(&self) -> LogIndex {
        self.iter().index()
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

/// What has been read through a tracked iterator.
#[derive(Debug)]
struct Reading {
    slot: Slot,
    /// A record was yielded by `next`, by `next_back`.
    front: bool,
    back: bool,
    /// One of them said that there is no more.
    exhausted: bool,
}

/// Records in key order, from either end.
///
/// Yields `&'a Row<T>`; `.cloned()` makes handles to keep.
#[must_use = "iterators do nothing unless they are used"]
pub struct Rows<'a, T: Table> {
    range: tree::Range<'a, Row<T>>,
    view: &'a RawView,
    tree: usize,
    scope: Scope,
    reading: Option<Reading>,
}

impl<'a, T: Table> Rows<'a, T> {
    fn new(view: &'a RawView, tree: usize, scope: Scope) -> Self {
        let rows = view.tree::<Row<T>>(tree);
        let tracker = view.tracker();
        let range = match &scope {
            // What a tracked iterator yields must have its full key.
            Scope::Prefix(prefix) if tracker.is_none() => rows.prefix(prefix.as_bytes()),
            scope => {
                let range = track::range_of(scope);
                if range.is_empty() {
                    tree::Range::empty()
                } else {
                    rows.range(range.lo.as_bytes(), range.hi.as_ref().map(KeyBuf::as_bytes))
                }
            }
        };
        let reading = tracker.map(|tracker| Reading {
            slot: tracker.read(tree, scope.clone()),
            front: false,
            back: false,
            exhausted: false,
        });
        Rows {
            range,
            view,
            tree,
            scope,
            reading,
        }
    }

    /// The log index of this query as a whole, whatever has been yielded: no earlier than the last
    /// change of a record in it, never falling. At least 1.
    pub fn index(&self) -> LogIndex {
        if let Some(tracker) = self.view.tracker() {
            tracker.read(self.tree, self.scope.clone());
        }
        let tree = self.view.tree::<Row<T>>(self.tree);
        query_index(scope_stamp(tree, &self.scope))
    }
}

impl<T: Table> Clone for Rows<'_, T> {
    /// The copy goes on from the same place. In a tracked query it counts as reading everything.
    fn clone(&self) -> Self {
        if let Some(tracker) = self.view.tracker() {
            tracker.read(self.tree, self.scope.clone());
        }
        Rows {
            range: self.range.clone(),
            view: self.view,
            tree: self.tree,
            scope: self.scope.clone(),
            reading: None,
        }
    }
}

impl<T: Table> fmt::Debug for Rows<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rows")
            .field("view", self.view)
            .field("tree", &self.tree)
            .field("scope", &self.scope)
            .finish_non_exhaustive()
    }
}

impl<'a, T: Table> Iterator for Rows<'a, T> {
    type Item = &'a Row<T>;

    fn next(&mut self) -> Option<&'a Row<T>> {
        let row = self.range.next();
        if let Some(reading) = &mut self.reading {
            reading.front |= row.is_some();
            reading.exhausted |= row.is_none();
        }
        row
    }
}

impl<T: Table> DoubleEndedIterator for Rows<'_, T> {
    fn next_back(&mut self) -> Option<Self::Item> {
        let row = self.range.next_back();
        if let Some(reading) = &mut self.reading {
            reading.back |= row.is_some();
            reading.exhausted |= row.is_none();
        }
        row
    }
}

impl<T: Table> Drop for Rows<'_, T> {
    fn drop(&mut self) {
        let (Some(reading), Some(tracker)) = (&self.reading, self.view.tracker()) else {
            return;
        };
        if reading.exhausted {
            return;
        }
        let range = track::range_of(&self.scope);
        let mut key = Vec::new();
        let mut parts = [None, None];
        if reading.front {
            self.range.front_key(&mut key);
            parts[0] = Some(track::up_to(&range, &key));
        }
        if reading.back {
            self.range.back_key(&mut key);
            parts[1] = Some(track::from(&range, &key));
        }
        tracker.narrow(reading.slot, parts);
    }
}
