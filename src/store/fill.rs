//! Filling the empty trees of a table with many rows at once.
//!
//! A tree's entries are gathered, sorted, and the tree is built of them bottom-up, beside the
//! transaction, on as many threads as are allowed. Only when all trees of the table are there does
//! the transaction take them over: user code, and whatever fails, comes before.

use std::panic::resume_unwind;
use std::thread;

use super::core::Root;
use super::entries::{Entries, Repeated};
use super::error::{KeyText, WriteError};
use super::keys::{append_entry_key, check_len, index_keys, not_unique};
use super::operate::same;
use crate::key::{Key, KeyBuf, KeySink};
use crate::schema::{Row, Table};
use crate::sync::{AtomicUsize, Ordering};
use crate::tree::Stamp;
use crate::version::{Edition, Site};

/// Why rows are not taken in: the number of the row that has no place beside those before it, the
/// tree that has none for it, and the error.
type Fault = (usize, usize, WriteError);

/// The one that inserting row by row, tree by tree, would have met first.
fn earlier(a: Option<Fault>, b: Option<Fault>) -> Option<Fault> {
    a.into_iter()
        .chain(b)
        .min_by_key(|(number, tree, _)| (*number, *tree))
}

/// Rows for a table that has none, with their primary keys.
pub(super) struct Batch<T> {
    rows: Vec<Row<T>>,
    /// The primary keys, end to end, and where each ends.
    keys: Vec<u8>,
    ends: Vec<usize>,
}

impl<T: Table> Batch<T> {
    pub(super) fn new() -> Self {
        Batch {
            rows: Vec::new(),
            keys: Vec::new(),
            ends: Vec::new(),
        }
    }

    /// Adds a row, which has this primary key.
    pub(super) fn push(&mut self, key: &[u8], row: Row<T>) {
        self.keys.extend_from_slice(key);
        self.ends.push(self.keys.len());
        self.rows.push(row);
    }

    /// The primary key that was added last.
    pub(super) fn last_key(&self) -> Option<&[u8]> {
        let (_, before) = self.ends.split_last()?;
        let start = before.last().copied().unwrap_or_default();
        Some(&self.keys[start..])
    }

    fn iter(&self) -> impl Iterator<Item = (&[u8], &Row<T>)> {
        let mut start = 0;
        self.ends.iter().zip(&self.rows).map(move |(&end, row)| {
            let key = &self.keys[std::mem::replace(&mut start, end)..end];
            (key, row)
        })
    }

    /// The rows, in the order they were added.
    pub(super) fn into_rows(self) -> Vec<Row<T>> {
        self.rows
    }

    /// Fills the table's trees, which must be empty, on up to `threads` threads. An error is that
    /// of the first row, by number, that has no place; after one, or a panic of user code, the
    /// edition is as it was.
    pub(super) fn fill(
        &self,
        edition: &mut Edition<Root>,
        base: usize,
        stamp: Stamp,
        threads: usize,
    ) -> Result<(), (usize, WriteError)> {
        let trees = 1 + T::INDEXES.len();
        let next = AtomicUsize::new(0);
        let work = |mut site: Site| {
            let mut first = None;
            loop {
                let which = next.fetch_add(1, Ordering::Relaxed);
                if which >= trees {
                    return (site, first);
                }
                match self.gather(which) {
                    Ok(mut entries) => site.build(base + which, entries.drain(), stamp),
                    Err((number, error)) => first = earlier(first, Some((number, which, error))),
                }
            }
        };
        let mut sites: Vec<Site> = (0..threads.clamp(1, trees))
            .map(|_| edition.site())
            .collect();
        let results = thread::scope(|scope| {
            let mine = sites.pop();
            // Without a thread there is one fewer.
            let spawn = |site| {
                thread::Builder::new()
                    .spawn_scoped(scope, || work(site))
                    .ok()
            };
            let others: Vec<_> = sites.drain(..).filter_map(spawn).collect();
            let mut results: Vec<_> = mine.into_iter().map(work).collect();
            for other in others {
                results.push(other.join().unwrap_or_else(|panic| resume_unwind(panic)));
            }
            results
        });
        let (sites, faults): (Vec<Site>, Vec<_>) = results.into_iter().unzip();
        if let Some((number, _, error)) = faults.into_iter().fold(None, earlier) {
            return Err((number, error));
        }
        for site in sites {
            edition.adopt(site);
        }
        Ok(())
    }

    /// The entries of one of the trees, sorted (0: the primary one).
    fn gather(&self, which: usize) -> Result<Entries<T>, (usize, WriteError)> {
        let mut entries = Entries::new();
        let mut fault = None;
        for (number, (primary, row)) in self.iter().enumerate() {
            let gathered = match which.checked_sub(1) {
                None => check_len(T::NAME, None, primary.len())
                    .map(|()| entries.push(primary, row.clone())),
                Some(i) => gather_index(i, primary, row, &mut entries),
            };
            if let Err(error) = gathered {
                fault = Some((number, error));
                break;
            }
        }
        entries.sort();
        // An entry that is there already was gathered before what is too long. It may also be of an
        // index that is not unique, if an encoding does not delimit itself.
        if let Some(Repeated { key, holder, row }) = entries.repeated() {
            let number = self.rows.iter().position(|other| same(row, other));
            let error = match which.checked_sub(1) {
                None => WriteError::AlreadyExists {
                    table: T::NAME.into(),
                    key: KeyText::new(key, T::Key::show),
                },
                Some(i) => not_unique(i, key, holder),
            };
            fault = number.map(|number| (number, error));
        }
        fault.map_or(Ok(entries), Err)
    }
}

/// Adds the entries of a row in index number `i`.
fn gather_index<T: Table>(
    i: usize,
    primary: &[u8],
    row: &Row<T>,
    entries: &mut Entries<T>,
) -> Result<(), WriteError> {
    let index = &T::INDEXES[i];
    let (mut keys, mut entry) = (KeySink::new(), KeyBuf::new());
    index_keys::<T>(i, row, &mut keys);
    for key in keys.iter() {
        entry.clear();
        append_entry_key(index.unique, key, primary, &mut entry);
        check_len(T::NAME, Some(index.name), entry.len())?;
        entries.push(entry.as_bytes(), row.clone());
    }
    Ok(())
}
