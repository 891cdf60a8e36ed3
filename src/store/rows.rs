//! [`Rows`]: the iterator over what a query finds.

use std::fmt;
use std::iter::FusedIterator;

use super::cursor::{Cursor, CursorError};
use super::erased::scope_stamp;
use super::explain::Explain;
use super::track::{self, Slot};
use super::view::RawView;
use crate::key::KeyBuf;
use crate::position::{LogIndex, Position};
use crate::schema::{Row, Table};
use crate::tree::{self, Stamp};
use crate::watch::{Region, Scope};

/// An answer's index is at least 1, so that a client that hands it back never asks from 0 again.
pub(super) fn query_index(stamp: Stamp) -> LogIndex {
    LogIndex(stamp.max(1))
}

/// One of the trees of a table.
#[derive(Clone, Copy)]
pub(super) struct TreeOf<'a> {
    pub(super) view: &'a RawView,
    /// Its number in the store.
    pub(super) id: usize,
    /// 0: by primary key; else 1 + the index's number.
    pub(super) which: usize,
}

impl<'a> TreeOf<'a> {
    pub(super) fn tree<T: Table>(self) -> tree::Tree<'a, Row<T>> {
        self.view.tree(self.id)
    }

    /// The index's name, unless it is the primary one.
    pub(super) fn index_name<T: Table>(self) -> Option<&'static str> {
        let i = self.which.checked_sub(1)?;
        Some(T::INDEXES[i].name)
    }

    /// Whether an entry's key is the key alone, without a primary key after it.
    pub(super) fn is_unique<T: Table>(self) -> bool {
        self.which
            .checked_sub(1)
            .is_none_or(|i| T::INDEXES[i].unique)
    }

    /// The position of the snapshot.
    pub(super) fn position(self) -> Position {
        self.view.version().payload().position
    }

    /// Records that `scope` is read, if reads are recorded.
    pub(super) fn track(self, scope: &Scope) {
        if let Some(tracker) = self.view.tracker() {
            tracker.read(self.view.version(), self.id, scope);
        }
    }

    /// The same of an iterator, which will say how much of it.
    fn open(self, scope: &Scope) -> Option<Slot> {
        let tracker = self.view.tracker()?;
        tracker.open(self.view.version(), self.id, scope)
    }
}

/// What tells a query apart from others.
pub(super) struct Checksum(crc32fast::Hasher);

impl Checksum {
    pub(super) fn new() -> Self {
        Checksum(crc32fast::Hasher::new())
    }

    /// Adds bytes, or that there are none, so that they are told apart from what is added after.
    pub(super) fn bytes(&mut self, bytes: Option<&[u8]>) {
        let len = bytes.map_or(0, |bytes| bytes.len() as u64 + 1);
        self.0.update(&len.to_le_bytes());
        self.0.update(bytes.unwrap_or_default());
    }

    /// Adds a part of a tree.
    pub(super) fn part<T: Table>(&mut self, of: TreeOf<'_>, scope: &Scope) {
        let range = track::range_of(scope);
        self.bytes(Some(T::NAME.as_bytes()));
        self.bytes(of.index_name::<T>().map(str::as_bytes));
        self.bytes(Some(range.lo.as_bytes()));
        self.bytes(range.hi.as_ref().map(KeyBuf::as_bytes));
    }

    pub(super) fn finish(self) -> u32 {
        self.0.finalize()
    }
}

/// How far one end of a walk has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    /// Nothing was asked for.
    Fresh,
    /// It has yielded a record.
    Yielded,
    /// It has said that there is no more.
    Ended,
}

impl Side {
    #[inline]
    fn after<T>(row: Option<&T>) -> Self {
        if row.is_some() {
            Side::Yielded
        } else {
            Side::Ended
        }
    }
}

/// Records in key order, from either end.
///
/// Yields `&'a Row<T>`; `.cloned()` makes handles to keep. `count`, `nth` (and with it `skip`) and
/// `last` go straight there, whatever they pass: O(key length), with up to 256 steps a byte. `size_hint` is
/// exact of all of a table or index, and of a key or prefix, while neither end has gone far, so that
/// `collect` allocates once; elsewhere, where it would take a search, it is a bound, and in a tracked reader,
/// which would not count it as reading, it tells nothing. So there is no `len`: that is `count`.
#[must_use = "iterators do nothing unless they are used"]
pub struct Rows<'a, T: Table> {
    range: tree::Range<'a, Row<T>>,
    of: TreeOf<'a>,
    scope: Scope,
    /// Where it goes on from, if `scope` is the rest of a query.
    resumed: Option<Cursor>,
    front: Side,
    back: Side,
    /// The walk is over the subtree of a prefix: it knows its keys from there on.
    subtree: bool,
    /// Where it is recorded what is read, if it is.
    slot: Option<Slot>,
}

impl<'a, T: Table> Rows<'a, T> {
    pub(super) fn new(of: TreeOf<'a>, scope: Scope) -> Self {
        let rows = of.tree::<T>();
        let slot = of.open(&scope);
        let (range, subtree) = match &scope {
            // What a tracked iterator yields must have its full key.
            Scope::Prefix(prefix) if slot.is_none() => (rows.prefix(prefix.as_bytes()), true),
            scope => {
                let range = track::range_of(scope);
                let range = if range.is_empty() {
                    tree::Range::empty()
                } else {
                    rows.range(range.lo.as_bytes(), range.hi.as_ref().map(KeyBuf::as_bytes))
                };
                (range, false)
            }
        };
        Rows {
            range,
            of,
            scope,
            resumed: None,
            front: Side::Fresh,
            back: Side::Fresh,
            subtree,
            slot,
        }
    }

    /// The log index of this query as a whole, whatever has been yielded: no earlier than the last
    /// change of a record in it, never falling. At least 1.
    pub fn log_index(&self) -> LogIndex {
        self.of.track(&self.scope);
        query_index(scope_stamp(self.of.tree::<T>(), &self.scope))
    }

    /// Which index the query reads, which part of it, and how many entries that has, whatever has
    /// been yielded. O(key length), as `count`. A tracked reader does not count this as reading.
    pub fn explain(&self) -> Explain {
        Explain::new::<T>(self.of, &self.scope)
    }

    /// The place that `next` has got to: where the next page begins. Nothing once `next` has said
    /// that there is no more; after the last record but before that, the page that follows is empty.
    ///
    /// The page after it is the same query's [`resume`](Self::resume) of this cursor, in this
    /// snapshot or any later one.
    ///
    /// ```
    /// # use highwater::{Cursor, Schema, Store, Table};
    /// # use serde::{Deserialize, Serialize};
    /// # #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
    /// # pub struct Node { #[primary_key] pub name: String }
    /// # #[derive(Schema)]
    /// # pub struct Cluster { nodes: Node }
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let store = Store::<Cluster>::new();
    /// # let mut txn = store.write()?;
    /// # for name in ["a", "b", "c"] { txn.nodes_mut().insert(Node { name: name.into() })?; }
    /// # txn.commit()?;
    /// let snapshot = store.snapshot();
    /// let mut page = snapshot.nodes().iter();
    /// assert_eq!(page.by_ref().take(2).count(), 2);
    /// let token: String = page.cursor().ok_or("no more")?.to_string();
    ///
    /// let next = store.snapshot();
    /// let next = next.nodes().iter().resume(&token.parse()?)?;
    /// assert_eq!(next.map(|node| node.name.as_str()).collect::<Vec<_>>(), ["c"]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn cursor(&self) -> Option<Cursor> {
        self.cursor_at(false)
    }

    /// The place that `next_back` has got to, for pages in falling order: what is resumed from it
    /// is to be read with `next_back`, or `rev`, again.
    pub fn cursor_back(&self) -> Option<Cursor> {
        self.cursor_at(true)
    }

    /// The tree that the query reads, which of its table's that is, and what of it.
    pub(super) fn part(&self) -> (usize, usize, Region) {
        (self.of.id, self.of.which, Region::of(&self.scope))
    }

    fn cursor_at(&self, back: bool) -> Option<Cursor> {
        let mut key = Vec::new();
        let side = if back {
            self.range.back_key(&mut key);
            self.back
        } else {
            self.range.front_key(&mut key);
            self.front
        };
        let key = match side {
            Side::Ended => return None,
            Side::Fresh => {
                let resumed = self
                    .resumed
                    .as_ref()
                    .filter(|cursor| cursor.is_back() == back);
                resumed.and_then(Cursor::key).map(<[u8]>::to_vec)
            }
            Side::Yielded => {
                if let (Scope::Prefix(prefix), true) = (&self.scope, self.subtree) {
                    let prefix = prefix.as_bytes();
                    let depth = self.of.tree::<T>().depth_of(prefix);
                    key.splice(0..0, prefix[..depth].iter().copied());
                }
                Some(key)
            }
        };
        Some(Cursor::new(self.of.position(), self.query_id(), back, key))
    }

    fn query_id(&self) -> u32 {
        self.resumed.as_ref().map_or_else(
            || {
                let mut checksum = Checksum::new();
                checksum.part::<T>(self.of, &self.scope);
                checksum.finish()
            },
            Cursor::query,
        )
    }

    /// The rest of this query after the place of a cursor, which came from the same query of the
    /// same table, which is resumed once; what has been yielded does not matter.
    ///
    /// The snapshot need not be the cursor's: records that were added or deleted since are there or
    /// not, and each is yielded on one page at most. One that is older than the cursor can lack what
    /// earlier pages had; [`Cursor::position`] says what to wait for.
    pub fn resume(self, cursor: &Cursor) -> Result<Self, CursorError> {
        let range = track::range_of(&self.scope);
        let range = cursor.rest(self.of.position(), self.query_id(), range)?;
        let mut rest = Rows::new(self.of, Scope::Range(range));
        rest.resumed = Some(cursor.clone());
        Ok(rest)
    }
}

impl<T: Table> Clone for Rows<'_, T> {
    /// The copy goes on from the same place. In a tracked query it counts as reading everything.
    fn clone(&self) -> Self {
        self.of.track(&self.scope);
        Rows {
            range: self.range.clone(),
            of: self.of,
            scope: self.scope.clone(),
            resumed: self.resumed.clone(),
            front: self.front,
            back: self.back,
            subtree: self.subtree,
            slot: None,
        }
    }
}

impl<T: Table> fmt::Debug for Rows<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rows")
            .field("view", self.of.view)
            .field("tree", &self.of.id)
            .field("scope", &self.scope)
            .finish_non_exhaustive()
    }
}

impl<'a, T: Table> Iterator for Rows<'a, T> {
    type Item = &'a Row<T>;

    fn next(&mut self) -> Option<&'a Row<T>> {
        let row = self.range.next();
        self.front = Side::after(row);
        row
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        if self.slot.is_some() {
            return (0, None);
        }
        self.range.size_hint()
    }

    fn nth(&mut self, n: usize) -> Option<&'a Row<T>> {
        let row = self.range.nth(n);
        self.front = Side::after(row);
        row
    }

    fn count(mut self) -> usize {
        // All that was left has been read.
        self.front = Side::Ended;
        usize::try_from(self.range.len()).unwrap_or(usize::MAX)
    }

    fn last(mut self) -> Option<&'a Row<T>> {
        self.next_back()
    }
}

impl<T: Table> DoubleEndedIterator for Rows<'_, T> {
    fn next_back(&mut self) -> Option<Self::Item> {
        let row = self.range.next_back();
        self.back = Side::after(row);
        row
    }

    fn nth_back(&mut self, n: usize) -> Option<Self::Item> {
        let row = self.range.nth_back(n);
        self.back = Side::after(row);
        row
    }
}

impl<T: Table> FusedIterator for Rows<'_, T> {}

impl<T: Table> Drop for Rows<'_, T> {
    fn drop(&mut self) {
        let (Some(slot), Some(tracker)) = (self.slot, self.of.view.tracker()) else {
            return;
        };
        let version = self.of.view.version();
        if self.front == Side::Ended || self.back == Side::Ended {
            tracker.close(version, slot, None);
            return;
        }
        let range = track::range_of(&self.scope);
        let mut key = Vec::new();
        let mut parts = [None, None];
        if self.front == Side::Yielded {
            self.range.front_key(&mut key);
            parts[0] = Some(track::up_to(&range, &key));
        }
        if self.back == Side::Yielded {
            self.range.back_key(&mut key);
            parts[1] = Some(track::from(&range, &key));
        }
        tracker.close(version, slot, Some(parts));
    }
}
