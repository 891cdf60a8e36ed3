//! [`Explain`]: what a query reads.

use std::fmt;

use super::error::KeyText;
use super::rows::TreeOf;
use super::track;
use crate::key::{ByteRange, KeyBuf, successor};
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
    range: ByteRange,
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
        Explain {
            table: T::NAME,
            index: of.index_name::<T>(),
            entries,
            range,
        }
    }
}

impl fmt::Display for Explain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Explain {
            table,
            index,
            entries,
            range: ByteRange { lo, hi },
        } = self;
        let index = index.unwrap_or("primary key");
        write!(f, "{table}.{index}: {entries} entries, ")?;
        let text = |key: &KeyBuf| KeyText::new(key.as_bytes());
        if lo.is_empty() && hi.is_none() {
            f.write_str("all there are")
        } else if *hi == successor(lo.as_bytes()) {
            write!(f, "those that begin with {}", text(lo))
        } else {
            write!(f, "from {}", text(lo))?;
            match hi {
                Some(hi) => write!(f, " to before {}", text(hi)),
                None => Ok(()),
            }
        }
    }
}
