//! [`PrefixesOf`]: the records whose keys are prefixes of something.

use std::fmt;
use std::iter::{Flatten, FusedIterator};
use std::vec;

use super::rows::TreeOf;
use crate::key::{ByteRange, HasPrefixes, KeyBuf, successor};
use crate::schema::{Row, Table};
use crate::tree;
use crate::watch::Scope;

/// Records with keys that are prefixes of a text or an address, from the shortest prefix to the longest, or
/// with `rev` the other way round: what [`TableReader::prefixes_of`](crate::TableReader::prefixes_of) and
/// [`IndexReader::prefixes_of`](crate::IndexReader::prefixes_of) find.
#[must_use = "iterators do nothing unless they are used"]
pub struct PrefixesOf<'a, T: Table>(Flatten<vec::IntoIter<tree::Range<'a, Row<T>>>>);

impl<'a, T: Table> PrefixesOf<'a, T> {
    pub(super) fn new<K>(of: TreeOf<'a>, whole: &impl HasPrefixes<K>) -> Self {
        let keys = prefixes::<T, K>(of, whole, Which::All);
        let entries = keys
            .iter()
            .rev()
            .map(|key| of.tree().prefix(key.as_bytes()));
        PrefixesOf(entries.collect::<Vec<_>>().into_iter().flatten())
    }
}

/// Which prefixes are wanted.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    All,
    Longest,
}

/// A look-up of prefixes watches so many keys each by itself.
const EACH: usize = 256;

/// The keys that are prefixes of `whole`, from the longest to the shortest.
pub(super) fn prefixes<T: Table, K>(
    of: TreeOf<'_>,
    whole: &impl HasPrefixes<K>,
    which: Which,
) -> Vec<KeyBuf> {
    let tree = of.tree::<T>();
    let mut text = KeyBuf::new();
    if of.view.tracker().is_none()
        && let Some(terminator) = whole.as_content(&mut text)
    {
        let text = text.as_bytes();
        let lengths = tree.prefixes(text, terminator).into_iter().rev();
        // Not in the midst of an escaped zero.
        let keys = lengths.filter(|&len| text[..len].last() != Some(&0));
        let keys = keys.map(|len| {
            let mut key = KeyBuf::from(&text[..len]);
            key.extend(terminator);
            key
        });
        let most = match which {
            Which::All => usize::MAX,
            Which::Longest => 1,
        };
        return keys.take(most).collect();
    }
    let unique = of.is_unique::<T>();
    let mut found = Vec::new();
    // The greatest entry up to the candidate that was sought last; none: there is none at all.
    let mut below: Option<Vec<u8>> = Some(Vec::new());
    let mut sought = false;
    // What is found, and the absence of every other key, is watched: each by itself up to a number, then
    // as the range of all keys that are left to look at.
    let mut watched = 0;
    let (mut lowest, mut greatest) = (KeyBuf::new(), None);
    whole.for_each_prefix(&mut |key| {
        watched += 1;
        if watched <= EACH {
            of.track(&if unique {
                Scope::Point(key.clone())
            } else {
                Scope::Prefix(key.clone())
            });
        } else {
            greatest.get_or_insert_with(|| successor(key.as_bytes()));
            lowest.clone_from(key);
        }
        let bytes = key.as_bytes();
        let Some(last) = &mut below else { return false };
        if sought && bytes > last.as_slice() {
            return false;
        }
        let hi = successor(bytes);
        let mut range = tree.range(&[], hi.as_ref().map(KeyBuf::as_bytes));
        sought = true;
        if range.next_back().is_none() {
            below = None;
            return false;
        }
        range.back_key(last);
        if last.starts_with(bytes) {
            found.push(key.clone());
        }
        which == Which::Longest && !found.is_empty()
    });
    if let Some(hi) = greatest {
        of.track(&Scope::Range(ByteRange { lo: lowest, hi }));
    }
    found
}

impl<T: Table> Clone for PrefixesOf<'_, T> {
    fn clone(&self) -> Self {
        PrefixesOf(self.0.clone())
    }
}

impl<T: Table> fmt::Debug for PrefixesOf<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrefixesOf").finish_non_exhaustive()
    }
}

impl<'a, T: Table> Iterator for PrefixesOf<'a, T> {
    type Item = &'a Row<T>;

    fn next(&mut self) -> Option<&'a Row<T>> {
        self.0.next()
    }
}

impl<T: Table> DoubleEndedIterator for PrefixesOf<'_, T> {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.0.next_back()
    }
}

impl<T: Table> FusedIterator for PrefixesOf<'_, T> {}
