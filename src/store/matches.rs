//! [`Matches`]: index look-ups intersected and united.
//!
//! The records with one key of an index are there in the order of their primary keys. So sets of
//! such are walked together ([`Walk`]), and nothing is gathered.

use std::collections::VecDeque;
use std::fmt;
use std::iter::FusedIterator;
use std::mem;
use std::sync::Arc;

use super::cursor::{Cursor, CursorError};
use super::erased::scope_stamp;
use super::explain::Explain;
use super::rows::{Checksum, TreeOf, query_index};
use super::walk::{Part, Term, Walk};
use crate::key::{ByteRange, KeyBuf};
use crate::position::LogIndex;
use crate::schema::{Row, Table};
use crate::watch::Scope;

/// The records that match a key of an index
/// ([`IndexReader::matching`](crate::IndexReader::matching)), those of a part of the table
/// ([`TableReader::matching`](crate::TableReader::matching)), or several such sets met: by primary key,
/// from either end, each once.
///
/// ```
/// # use highwater::{Schema, Store, Table};
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
/// # pub struct Service {
/// #     #[primary_key] pub id: u32,
/// #     #[index] pub node: String,
/// #     #[index(each)] pub tags: Vec<String>,
/// # }
/// # #[derive(Schema)]
/// # pub struct Catalog { services: Service }
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let store = Store::<Catalog>::new();
/// # let mut txn = store.write()?;
/// # for id in 0..8 {
/// #     let tags = if id % 2 == 0 { vec!["even".to_owned()] } else { vec![] };
/// #     txn.services_mut().insert(Service { id, node: format!("n{}", id % 3), tags })?;
/// # }
/// # txn.commit()?;
/// let db = store.snapshot();
/// let (nodes, tags) = (db.services().node_index(), db.services().tags_index());
/// let found = nodes.matching("n0").or(nodes.matching("n1")).and(tags.matching("even"));
/// assert_eq!(found.map(|service| service.id).collect::<Vec<_>>(), [0, 4, 6]);
/// let odd = db.services().matching(..).and_not(tags.matching("even"));
/// assert_eq!(odd.map(|service| service.id).collect::<Vec<_>>(), [1, 3, 5, 7]);
/// # Ok(())
/// # }
/// ```
///
/// Any number of sets can meet, nested in any way: nothing recurses. Cost: of an intersection, in the
/// records of the smallest set, each sought in the others; of a union of n sets, in all their records,
/// each with O(log n) comparisons; of a difference, in the records of what it is taken from. A tracked
/// reader counts it as reading all of each set. How to follow such a set says
/// [`Store::feed_of`](crate::Store::feed_of).
#[must_use = "iterators do nothing unless they are used"]
pub struct Matches<'a, T: Table> {
    terms: VecDeque<Term<'a>>,
    front: Option<Box<Walk<'a, T>>>,
    back: Option<Box<Walk<'a, T>>>,
    /// What `next` is to find is at least this; what `next_back` is to find, below that.
    from: KeyBuf,
    to: Option<KeyBuf>,
    /// Whether `next`, and `next_back`, has said that there is no more.
    ended: [bool; 2],
}

impl<'a, T: Table> Matches<'a, T> {
    /// The records with a key of an index.
    pub(super) fn of_key(of: TreeOf<'a>, key: KeyBuf) -> Self {
        let scope = if of.is_unique::<T>() {
            Scope::Point(key.clone())
        } else {
            Scope::Prefix(key.clone())
        };
        Matches::new(Part { of, scope, key })
    }

    /// A part of the tree by primary key.
    pub(super) fn of_part(of: TreeOf<'a>, scope: Scope) -> Self {
        let key = KeyBuf::new();
        Matches::new(Part { of, scope, key })
    }

    fn new(part: Part<'a>) -> Self {
        part.of.track(&part.scope);
        Matches::over(VecDeque::from([Term::Part(Arc::new(part))]))
    }

    fn over(terms: VecDeque<Term<'a>>) -> Self {
        Matches {
            terms,
            front: None,
            back: None,
            from: KeyBuf::new(),
            to: None,
            ended: [false; 2],
        }
    }

    fn meet(self, other: Self, how: Term<'a>) -> Self {
        let (mut terms, mut others) = (self.terms, other.terms);
        // What is shorter is moved, so that many sets can be met one by one in any order.
        if terms.len() < others.len() {
            while let Some(term) = terms.pop_back() {
                others.push_front(term);
            }
            mem::swap(&mut terms, &mut others);
        } else {
            terms.append(&mut others);
        }
        terms.push_back(how);
        Matches::over(terms)
    }

    /// Those that match both. Begins anew, whatever either has yielded.
    pub fn and(self, other: Self) -> Self {
        self.meet(other, Term::And)
    }

    /// Those that match one of the two, or both. Begins anew, whatever either has yielded.
    pub fn or(self, other: Self) -> Self {
        self.meet(other, Term::Or)
    }

    /// Those that match this and not the other. Begins anew, whatever either has yielded.
    pub fn and_not(self, other: Self) -> Self {
        self.meet(other, Term::Not)
    }

    /// The look-ups, in the order they were written.
    fn parts(&self) -> impl Iterator<Item = &Part<'a>> {
        self.terms.iter().filter_map(|term| match term {
            Term::Part(part) => Some(&**part),
            Term::And | Term::Or | Term::Not => None,
        })
    }

    /// The log index of the query as a whole: of the latest of its look-ups. At least 1.
    pub fn log_index(&self) -> LogIndex {
        let stamps = self.parts().map(|Part { of, scope, .. }| {
            of.track(scope);
            scope_stamp(of.tree::<T>(), scope)
        });
        query_index(stamps.max().unwrap_or_default())
    }

    /// What each of its look-ups reads, and how many entries that has: O(key length) for each.
    pub fn explain(&self) -> Vec<Explain> {
        self.parts()
            .map(|part| Explain::new::<T>(part.of, &part.scope))
            .collect()
    }

    /// The place that `next` has got to: where the next page begins, as [`Rows::cursor`] says.
    ///
    /// [`Rows::cursor`]: crate::Rows::cursor
    pub fn cursor(&self) -> Option<Cursor> {
        let key = self.from.as_bytes().split_last().map(|(_, key)| key);
        self.cursor_at(false, key)
    }

    /// The place that `next_back` has got to, for pages in falling order.
    pub fn cursor_back(&self) -> Option<Cursor> {
        self.cursor_at(true, self.to.as_ref().map(KeyBuf::as_bytes))
    }

    fn cursor_at(&self, back: bool, key: Option<&[u8]>) -> Option<Cursor> {
        if self.ended[usize::from(back)] {
            return None;
        }
        let position = self.parts().next()?.of.position();
        let key = key.map(<[u8]>::to_vec);
        Some(Cursor::new(position, self.query_id(), back, key))
    }

    fn query_id(&self) -> u32 {
        let mut checksum = Checksum::new();
        // The places of rows are other keys.
        checksum.bytes(Some(b"matches"));
        for term in &self.terms {
            match term {
                Term::Part(part) => checksum.part::<T>(part.of, &part.scope),
                Term::And => checksum.bytes(Some(b"and")),
                Term::Or => checksum.bytes(Some(b"or")),
                Term::Not => checksum.bytes(Some(b"not")),
            }
        }
        checksum.finish()
    }

    /// The rest after the place of a cursor, which came from the same look-ups met in the same way, in
    /// this snapshot or another one, as [`Rows::resume`] says. Begins anew otherwise: of two cursors the
    /// later counts.
    ///
    /// [`Rows::resume`]: crate::Rows::resume
    pub fn resume(self, cursor: &Cursor) -> Result<Self, CursorError> {
        let Some(part) = self.parts().next() else {
            return Ok(self);
        };
        let all = ByteRange::default();
        let rest = cursor.rest(part.of.position(), self.query_id(), all)?;
        Ok(Matches {
            from: rest.lo,
            to: rest.hi,
            ..Matches::over(self.terms)
        })
    }
}

impl<T: Table> Clone for Matches<'_, T> {
    /// The copy goes on from the same place.
    fn clone(&self) -> Self {
        Matches {
            terms: self.terms.clone(),
            front: self.front.clone(),
            back: self.back.clone(),
            from: self.from.clone(),
            to: self.to.clone(),
            ended: self.ended,
        }
    }
}

impl<T: Table> fmt::Debug for Matches<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Matches").finish_non_exhaustive()
    }
}

impl<'a, T: Table> Iterator for Matches<'a, T> {
    type Item = &'a Row<T>;

    fn next(&mut self) -> Option<&'a Row<T>> {
        let walk = self
            .front
            .get_or_insert_with(|| Box::new(Walk::new(self.terms.iter(), false)));
        let found = walk.seek(Some((self.from.as_bytes(), false)));
        let found = found.filter(|(_, key)| self.to.as_ref().is_none_or(|to| key < to));
        self.ended[0] = found.is_none();
        let (row, key) = found?;
        self.from.clone_from(key);
        self.from.push(0);
        Some(row)
    }
}

impl<T: Table> DoubleEndedIterator for Matches<'_, T> {
    fn next_back(&mut self) -> Option<Self::Item> {
        let walk = self
            .back
            .get_or_insert_with(|| Box::new(Walk::new(self.terms.iter(), true)));
        let found = walk.seek(self.to.as_ref().map(|to| (to.as_bytes(), true)));
        let found = found.filter(|(_, key)| *key >= self.from);
        self.ended[1] = found.is_none();
        let (row, key) = found?;
        self.to = Some(key.clone());
        Some(row)
    }
}

impl<T: Table> FusedIterator for Matches<'_, T> {}
