//! [`Matches`]: index look-ups intersected and united.
//!
//! The records with one key of an index are there in the order of their primary keys. So sets of
//! such are walked together, each seeking what the others are at, and nothing is gathered.

use std::fmt;
use std::iter::FusedIterator;

use super::erased::scope_stamp;
use super::explain::Explain;
use super::rows::{TreeOf, query_index};
use crate::key::{KeyBuf, successor};
use crate::position::LogIndex;
use crate::schema::{Row, Table};
use crate::tree;
use crate::watch::Scope;

/// The records that match a key of an index
/// ([`IndexReader::matching`](crate::IndexReader::matching)), or several such sets met: by primary
/// key, from either end, each once.
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
/// # Ok(())
/// # }
/// ```
///
/// Cost: of an intersection, in the records of the smaller set, each seeking in the others; of a
/// union, in all. A tracked reader counts it as reading all of each set.
#[must_use = "iterators do nothing unless they are used"]
pub struct Matches<'a, T: Table> {
    set: Set<'a, T>,
    /// What `next` is to find is at least this; what `next_back` is to find, below that.
    from: KeyBuf,
    to: Option<KeyBuf>,
}

/// A record and its primary key.
type Found<'a, T> = (&'a Row<T>, KeyBuf);

enum Set<'a, T: Table> {
    Key(Box<Lookup<'a, T>>),
    And(Box<[Set<'a, T>; 2]>),
    Or(Box<[Set<'a, T>; 2]>),
    Not(Box<[Set<'a, T>; 2]>),
}

impl<T: Table> Clone for Set<'_, T> {
    fn clone(&self) -> Self {
        match self {
            Set::Key(lookup) => Set::Key(lookup.clone()),
            Set::And(sets) => Set::And(sets.clone()),
            Set::Or(sets) => Set::Or(sets.clone()),
            Set::Not(sets) => Set::Not(sets.clone()),
        }
    }
}

/// The records with one key, and how far each end of the walk over them has got.
struct Lookup<'a, T: Table> {
    of: TreeOf<'a>,
    key: KeyBuf,
    front: Walk<'a, T>,
    back: Walk<'a, T>,
}

impl<T: Table> Clone for Lookup<'_, T> {
    fn clone(&self) -> Self {
        Lookup {
            of: self.of,
            key: self.key.clone(),
            front: self.front.clone(),
            back: self.back.clone(),
        }
    }
}

/// A walk, and what it yielded last.
struct Walk<'a, T> {
    range: Option<tree::Range<'a, Row<T>>>,
    last: Option<Found<'a, T>>,
}

impl<T> Clone for Walk<'_, T> {
    fn clone(&self) -> Self {
        Walk {
            range: self.range.clone(),
            last: self.last.clone(),
        }
    }
}

impl<'a, T: Table> Walk<'a, T> {
    fn new() -> Self {
        Walk {
            range: None,
            last: None,
        }
    }

    fn found(&mut self, row: Option<&'a Row<T>>) -> Option<&Found<'a, T>> {
        self.last = row.map(|row| (row, primary_key::<T>(row)));
        self.last.as_ref()
    }
}

fn primary_key<T: Table>(row: &T) -> KeyBuf {
    let mut key = KeyBuf::new();
    row.encode_key(&mut key);
    key
}

impl<'a, T: Table> Lookup<'a, T> {
    fn scope(&self) -> Scope {
        if self.of.is_unique::<T>() {
            Scope::Point(self.key.clone())
        } else {
            Scope::Prefix(self.key.clone())
        }
    }

    /// The one record with the key of a unique index.
    fn only(&self) -> Option<Found<'a, T>> {
        let row = self.of.tree::<T>().get(self.key.as_bytes())?;
        Some((row, primary_key::<T>(row)))
    }

    /// The entries of the key whose primary key is at least `from` and below `to`.
    fn entries(&self, from: &[u8], to: Option<&[u8]>) -> tree::Range<'a, Row<T>> {
        let entry = |primary: &[u8]| {
            let mut key = self.key.clone();
            key.extend(primary);
            key
        };
        let hi = match to {
            Some(to) => Some(entry(to)),
            None => successor(self.key.as_bytes()),
        };
        let hi = hi.as_ref().map(KeyBuf::as_bytes);
        self.of.tree::<T>().range(entry(from).as_bytes(), hi)
    }

    fn at_least(&mut self, bound: &[u8]) -> Option<Found<'a, T>> {
        let enough = |(_, key): &&Found<'a, T>| key.as_bytes() >= bound;
        if self.of.is_unique::<T>() {
            return self.only().filter(|found| enough(&found));
        }
        if let Some(last) = self.front.last.as_ref().filter(enough) {
            return Some(last.clone());
        }
        // Often the next one will do; if not, a search costs less than the steps in between.
        if let Some(range) = &mut self.front.range {
            let row = range.next();
            let found = self.front.found(row)?;
            if enough(&found) {
                return Some(found.clone());
            }
        }
        let mut range = self.entries(bound, None);
        let row = range.next();
        self.front.range = Some(range);
        self.front.found(row).cloned()
    }

    fn before(&mut self, bound: Option<&[u8]>) -> Option<Found<'a, T>> {
        let enough = |(_, key): &&Found<'a, T>| bound.is_none_or(|bound| key.as_bytes() < bound);
        if self.of.is_unique::<T>() {
            return self.only().filter(|found| enough(&found));
        }
        if let Some(last) = self.back.last.as_ref().filter(enough) {
            return Some(last.clone());
        }
        if let Some(range) = &mut self.back.range {
            let row = range.next_back();
            let found = self.back.found(row)?;
            if enough(&found) {
                return Some(found.clone());
            }
        }
        let mut range = self.entries(&[], bound);
        let row = range.next_back();
        self.back.range = Some(range);
        self.back.found(row).cloned()
    }
}

impl<'a, T: Table> Set<'a, T> {
    /// The first record whose primary key is at least `bound`. Bounds rise from call to call.
    fn at_least(&mut self, bound: &[u8]) -> Option<Found<'a, T>> {
        match self {
            Set::Key(lookup) => lookup.at_least(bound),
            Set::And(sets) => {
                let [a, b] = &mut **sets;
                let mut first = a.at_least(bound)?;
                loop {
                    let second = b.at_least(first.1.as_bytes())?;
                    if second.1 == first.1 {
                        return Some(first);
                    }
                    first = a.at_least(second.1.as_bytes())?;
                    if second.1 == first.1 {
                        return Some(first);
                    }
                }
            }
            Set::Or(sets) => {
                let [a, b] = &mut **sets;
                match (a.at_least(bound), b.at_least(bound)) {
                    (Some(a), Some(b)) => Some(if b.1 < a.1 { b } else { a }),
                    (a, b) => a.or(b),
                }
            }
            Set::Not(sets) => {
                let [a, b] = &mut **sets;
                let mut found = a.at_least(bound)?;
                while b
                    .at_least(found.1.as_bytes())
                    .is_some_and(|other| other.1 == found.1)
                {
                    found.1.push(0);
                    found = a.at_least(found.1.as_bytes())?;
                }
                Some(found)
            }
        }
    }

    /// The last record whose primary key is below `bound`. Bounds fall from call to call.
    fn before(&mut self, bound: Option<&[u8]>) -> Option<Found<'a, T>> {
        match self {
            Set::Key(lookup) => lookup.before(bound),
            Set::And(sets) => {
                let [a, b] = &mut **sets;
                let mut first = a.before(bound)?;
                loop {
                    let second = b.before(Some(up_to(&first.1).as_bytes()))?;
                    if second.1 == first.1 {
                        return Some(first);
                    }
                    first = a.before(Some(up_to(&second.1).as_bytes()))?;
                    if second.1 == first.1 {
                        return Some(first);
                    }
                }
            }
            Set::Or(sets) => {
                let [a, b] = &mut **sets;
                match (a.before(bound), b.before(bound)) {
                    (Some(a), Some(b)) => Some(if b.1 > a.1 { b } else { a }),
                    (a, b) => a.or(b),
                }
            }
            Set::Not(sets) => {
                let [a, b] = &mut **sets;
                let mut found = a.before(bound)?;
                while b
                    .before(Some(up_to(&found.1).as_bytes()))
                    .is_some_and(|other| other.1 == found.1)
                {
                    found = a.before(Some(found.1.as_bytes()))?;
                }
                Some(found)
            }
        }
    }

    /// Puts both ends of its walks at the beginning: after that bounds only rise, or fall.
    fn restart(&mut self) {
        match self {
            Set::Key(lookup) => {
                lookup.front = Walk::new();
                lookup.back = Walk::new();
            }
            Set::And(sets) | Set::Or(sets) | Set::Not(sets) => {
                sets.iter_mut().for_each(Set::restart);
            }
        }
    }

    fn for_each_lookup(&self, f: &mut dyn FnMut(&Lookup<'a, T>)) {
        match self {
            Set::Key(lookup) => f(lookup),
            Set::And(sets) | Set::Or(sets) | Set::Not(sets) => {
                sets.iter().for_each(|set| set.for_each_lookup(f));
            }
        }
    }
}

/// The bound that `key` is the last below.
fn up_to(key: &KeyBuf) -> KeyBuf {
    let mut bound = key.clone();
    bound.push(0);
    bound
}

impl<'a, T: Table> Matches<'a, T> {
    pub(super) fn new(of: TreeOf<'a>, key: KeyBuf) -> Self {
        let lookup = Lookup {
            of,
            key,
            front: Walk::new(),
            back: Walk::new(),
        };
        of.track(&lookup.scope());
        Matches::over(Set::Key(Box::new(lookup)))
    }

    fn over(set: Set<'a, T>) -> Self {
        Matches {
            set,
            from: KeyBuf::new(),
            to: None,
        }
    }

    fn meet(self, other: Self, how: fn(Box<[Set<'a, T>; 2]>) -> Set<'a, T>) -> Self {
        let mut set = how(Box::new([self.set, other.set]));
        set.restart();
        Matches::over(set)
    }

    /// Those that match both. Begins anew, whatever either has yielded.
    pub fn and(self, other: Self) -> Self {
        self.meet(other, Set::And)
    }

    /// Those that match one of the two, or both. Begins anew, whatever either has yielded.
    pub fn or(self, other: Self) -> Self {
        self.meet(other, Set::Or)
    }

    /// Those that match this and not the other. Begins anew, whatever either has yielded.
    pub fn and_not(self, other: Self) -> Self {
        self.meet(other, Set::Not)
    }

    /// The log index of the query as a whole: of the latest of its look-ups. At least 1.
    pub fn log_index(&self) -> LogIndex {
        let mut latest = 0;
        self.set.for_each_lookup(&mut |lookup| {
            let scope = lookup.scope();
            lookup.of.track(&scope);
            latest = latest.max(scope_stamp(lookup.of.tree::<T>(), &scope));
        });
        query_index(latest)
    }

    /// What each of its look-ups reads, and how many entries that has. Counts them: O(entries).
    pub fn explain(&self) -> Vec<Explain> {
        let mut all = Vec::new();
        self.set
            .for_each_lookup(&mut |lookup| all.push(Explain::new::<T>(lookup.of, &lookup.scope())));
        all
    }
}

impl<T: Table> Clone for Matches<'_, T> {
    /// The copy goes on from the same place.
    fn clone(&self) -> Self {
        Matches {
            set: self.set.clone(),
            from: self.from.clone(),
            to: self.to.clone(),
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
        let (row, mut key) = self.set.at_least(self.from.as_bytes())?;
        if self.to.as_ref().is_some_and(|to| key >= *to) {
            return None;
        }
        key.push(0);
        self.from = key;
        Some(row)
    }
}

impl<T: Table> DoubleEndedIterator for Matches<'_, T> {
    fn next_back(&mut self) -> Option<Self::Item> {
        let (row, key) = self.set.before(self.to.as_ref().map(KeyBuf::as_bytes))?;
        if key < self.from {
            return None;
        }
        self.to = Some(key);
        Some(row)
    }
}

impl<T: Table> FusedIterator for Matches<'_, T> {}
