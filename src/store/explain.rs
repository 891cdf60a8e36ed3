//! [`Explain`]: what a query reads.

use std::fmt;

use super::error::KeyText;
use super::rows::TreeOf;
use super::track;
use crate::key::{ByteRange, Key, KeyBuf, Show, successor};
use crate::schema::Table;
use crate::watch::Scope;

/// Which part of which index a query reads: [`Rows::explain`](crate::Rows::explain).
///
/// Shown as, for example, `services.node: 3 entries, those that begin with "n1"`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Explain {
    /// The table.
    pub table: &'static str,
    /// The index; none for the primary key.
    pub index: Option<&'static str>,
    /// How many entries the query can yield, which is how many it passes at most.
    pub entries: usize,
    keys: Keys,
}

/// The keys that a query reads.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Keys {
    All,
    Beginning(KeyText),
    Between(KeyText, Option<KeyText>),
}

impl Explain {
    pub(super) fn new<T: Table>(of: TreeOf<'_>, scope: &Scope) -> Self {
        let range = track::range_of(scope);
        let tree = of.tree::<T>();
        let entries = if range.is_empty() {
            0
        } else {
            let hi = range.hi.as_ref().map(KeyBuf::as_bytes);
            let entries = tree.range(range.lo.as_bytes(), hi).len();
            usize::try_from(entries).unwrap_or(usize::MAX)
        };
        let (first, second) = match of.which.checked_sub(1) {
            None => (T::Key::show as Show, None),
            Some(i) => (T::INDEXES[i].show, Some(T::Key::show as Show)),
        };
        let text = |key: &KeyBuf| KeyText::beginning(key.as_bytes(), first, second);
        let ByteRange { lo, hi } = &range;
        let keys = if lo.is_empty() && hi.is_none() {
            Keys::All
        } else if *hi == successor(lo.as_bytes()) {
            Keys::Beginning(text(lo))
        } else {
            Keys::Between(text(lo), hi.as_ref().map(text))
        };
        Explain {
            table: T::NAME,
            index: of.index_name::<T>(),
            entries,
            keys,
        }
    }
}

impl fmt::Display for Explain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Explain {
            table,
            index,
            entries,
            keys,
        } = self;
        let index = index.unwrap_or("primary key");
        let noun = if *entries == 1 { "entry" } else { "entries" };
        write!(f, "{table}.{index}: {entries} {noun}, ")?;
        match keys {
            Keys::All => f.write_str("all there are"),
            Keys::Beginning(key) => write!(f, "those that begin with {key}"),
            Keys::Between(lo, None) => write!(f, "from {lo}"),
            Keys::Between(lo, Some(hi)) => write!(f, "from {lo} to before {hi}"),
        }
    }
}
