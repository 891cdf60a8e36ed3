//! The log: entries by index in one `redb` file.
//!
//! ```text
//! table "entries": index: u64   -> | crc32 of index and payload: u32 | payload |
//! table "about":   "head"       -> | format: u16 | history: u128 | cut through: u64 | crc32: u32 |
//! ```
//!
//! with integers big-endian; the payload is a proposal's bytes. *Cut through* is the last index
//! that may be missing at the front because an image has it.
//!
//! A batch is one transaction of [`disk::table`](crate::driver::disk), durable with one fsync.
//! Opening the log reads all of it: entries must follow each other without a gap.

use super::error::JournalError;
use crate::driver::disk::DiskError;
use crate::driver::disk::table::{
    SEAL, builder, database_error, guard, seal, storage_error, unseal, write,
};
use crate::position::{HistoryId, LogIndex};
use redb::{Database, ReadableDatabase, TableDefinition};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::rc::Rc;

const FORMAT: u16 = 1;
const ENTRIES: TableDefinition<u64, &[u8]> = TableDefinition::new("entries");
const ABOUT: TableDefinition<&str, &[u8]> = TableDefinition::new("about");
const HEAD: &str = "head";

/// An open log.
#[derive(Debug)]
pub(super) struct Log {
    path: PathBuf,
    db: Option<Database>,
    head: Head,
    /// The first entry that may still be there. Entries are contiguous from there to `last`.
    first: LogIndex,
    last: LogIndex,
}

/// What the log says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Head {
    history: HistoryId,
    cut_through: LogIndex,
}

/// An opened log, and what opening it met.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) log: Log,
    /// The newest commit was not intact: the log is as it was before it.
    pub(super) rolled_back: bool,
}

impl Log {
    pub(super) const NAME: &'static str = "journal.redb";

    /// Makes the file of a new, empty log.
    pub(super) fn create(path: &Path, history: HistoryId) -> Result<(), DiskError> {
        guard(path, || {
            let db = builder()
                .create(path)
                .map_err(|e| database_error(path, e))?;
            Self::begin(path, &db, history)?;
            db.close().map_err(|e| database_error(path, e))
        })
    }

    fn begin(path: &Path, db: &Database, history: HistoryId) -> Result<(), DiskError> {
        let head = Head {
            history,
            cut_through: LogIndex::ZERO,
        };
        write(path, db, |txn| {
            txn.open_table(ENTRIES)?;
            txn.open_table(ABOUT)?.insert(HEAD, &head.encode()[..])?;
            Ok(())
        })
    }

    /// A new log on a disk of the test's making.
    #[cfg(test)]
    pub(super) fn on(disk: impl redb::StorageBackend, history: HistoryId) -> Self {
        let path = PathBuf::from("disk of a test");
        let db = builder().create_with_backend(disk).unwrap();
        Self::begin(&path, &db, history).unwrap();
        let head = read_head(&path, &db).unwrap();
        Log {
            path,
            db: Some(db),
            head,
            first: LogIndex(1),
            last: LogIndex::ZERO,
        }
    }

    /// Opens the log and checks all of it.
    pub(super) fn open(path: &Path) -> Result<Opened, JournalError> {
        guard(path, || {
            // `redb` reports its progress as fractions, and a fall-back to the older commit as a
            // step of its own, between the first look (0) and a verified tree (0.6).
            let rolled_back = Rc::new(Cell::new(false));
            let seen = Rc::clone(&rolled_back);
            let db = builder()
                .set_repair_callback(move |session| {
                    let progress = session.progress();
                    if progress > 0.0 && progress < 0.6 {
                        seen.set(true);
                    }
                })
                .open(path)
                .map_err(|e| database_error(path, e))?;
            let head = read_head(path, &db)?;
            let mut log = Log {
                path: path.to_owned(),
                db: Some(db),
                head,
                first: head.cut_through.next(),
                last: head.cut_through,
            };
            log.check()?;
            Ok(Opened {
                log,
                rolled_back: rolled_back.get(),
            })
        })
    }

    /// Reads all entries, and finds the first and the last.
    fn check(&mut self) -> Result<(), JournalError> {
        let mut found: Option<(LogIndex, LogIndex)> = None;
        self.scan(LogIndex::ZERO, |index, _| {
            found = Some((found.map_or(index, |(first, _)| first), index));
            Ok(())
        })?;
        let Some((first, last)) = found else {
            return Ok(());
        };
        if first > self.head.cut_through.next() {
            return Err(self.damaged(
                Some(self.head.cut_through.next()),
                format!("the next entry is {first}: those before it are missing"),
            ));
        }
        self.first = first;
        self.last = last.max(self.head.cut_through);
        Ok(())
    }

    /// Hands every entry after `after` to `each`, in order.
    pub(super) fn replay(
        &self,
        after: LogIndex,
        each: impl FnMut(LogIndex, &[u8]) -> Result<(), JournalError>,
    ) -> Result<(), JournalError> {
        guard(&self.path, || self.scan(after, each))
    }

    fn scan(
        &self,
        after: LogIndex,
        mut each: impl FnMut(LogIndex, &[u8]) -> Result<(), JournalError>,
    ) -> Result<(), JournalError> {
        let failed = |e: redb::Error| storage_error(&self.path, e);
        let txn = self.db()?.begin_read().map_err(|e| failed(e.into()))?;
        let table = txn.open_table(ENTRIES).map_err(|e| failed(e.into()))?;
        let mut previous = None;
        let from = after.0.saturating_add(1);
        for item in table.range(from..).map_err(|e| failed(e.into()))? {
            let (key, value) = item.map_err(|e| failed(e.into()))?;
            let index = LogIndex(key.value());
            if let Some(previous) = previous.replace(index)
                && index != LogIndex::next(previous)
            {
                return Err(self.damaged(
                    Some(previous.next()),
                    format!("the next entry is {index}: those between are missing"),
                ));
            }
            let payload = unseal(&index.0.to_be_bytes(), value.value())
                .ok_or_else(|| self.damaged(Some(index), "its checksum is wrong".to_owned()))?;
            each(index, payload)?;
        }
        Ok(())
    }

    /// Appends entries, the first of which follows [`last`](Self::last). They are on the disk when
    /// this returns. Along with them goes a step of [`cut`](Self::cut).
    ///
    /// An error leaves it open whether the entries are in the log: it must be opened again.
    pub(super) fn append<'a>(
        &mut self,
        payloads: impl Iterator<Item = &'a [u8]>,
        cut: Option<Cut>,
    ) -> Result<(), JournalError> {
        let head = self.head;
        let mut last = self.last;
        let first = guard(&self.path, || {
            let db = self.db()?;
            let written = write(&self.path, db, |txn| {
                let mut table = txn.open_table(ENTRIES)?;
                for payload in payloads {
                    last = last.next();
                    let mut slot = table.insert_reserve(last.0, payload.len() + SEAL)?;
                    seal(&last.0.to_be_bytes(), payload, slot.as_mut());
                }
                match cut {
                    Some(cut) => {
                        let first = self.first.max(LogIndex(1));
                        let until = cut.step(first);
                        table.retain_in(first.0..until.0, |_, _| false)?;
                        let head = Head {
                            cut_through: cut.through,
                            ..head
                        };
                        txn.open_table(ABOUT)?.insert(HEAD, &head.encode()[..])?;
                        Ok(until)
                    }
                    None => Ok(self.first),
                }
            });
            written.map_err(JournalError::from)
        })?;
        self.first = first;
        self.last = last;
        if let Some(cut) = cut {
            self.head.cut_through = cut.through;
        }
        Ok(())
    }

    /// Whether entries up to `through` are still there.
    pub(super) fn holds(&self, through: LogIndex) -> bool {
        self.first <= through
    }

    /// Closes the file in order, so that it opens without a repair.
    pub(super) fn close(mut self) -> Result<(), DiskError> {
        let Some(db) = self.db.take() else {
            return Ok(());
        };
        guard(&self.path, || {
            db.close().map_err(|e| database_error(&self.path, e))
        })
    }

    pub(super) fn history(&self) -> HistoryId {
        self.head.history
    }

    pub(super) fn last(&self) -> LogIndex {
        self.last
    }

    /// The last index that may be missing at the front.
    pub(super) fn cut_through(&self) -> LogIndex {
        self.head.cut_through
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    fn db(&self) -> Result<&Database, JournalError> {
        self.db.as_ref().ok_or(JournalError::Closed)
    }

    fn damaged(&self, index: Option<LogIndex>, what: String) -> JournalError {
        JournalError::Damaged {
            path: self.path.clone(),
            index,
            what,
        }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        if let Some(db) = self.db.take() {
            // An unclean close is what the next opening repairs.
            let _ = catch_unwind(AssertUnwindSafe(|| drop(db)));
        }
    }
}

/// Entries that an image has, to be removed from the front, some at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cut {
    /// Through this index.
    pub(super) through: LogIndex,
    /// At most this many now.
    pub(super) at_most: u64,
}

impl Cut {
    /// The first entry that stays.
    fn step(self, first: LogIndex) -> LogIndex {
        LogIndex(first.0.saturating_add(self.at_most))
            .min(self.through.next())
            .max(first)
    }
}

impl Head {
    const BODY: usize = 26;

    fn encode(&self) -> [u8; Self::BODY + 4] {
        let mut bytes = [0; Self::BODY + 4];
        bytes[..2].copy_from_slice(&FORMAT.to_be_bytes());
        bytes[2..18].copy_from_slice(&self.history.0.to_be_bytes());
        bytes[18..26].copy_from_slice(&self.cut_through.0.to_be_bytes());
        let crc = crc32fast::hash(&bytes[..Self::BODY]);
        bytes[Self::BODY..].copy_from_slice(&crc.to_be_bytes());
        bytes
    }

    /// The format, and what it says if that is the one known here.
    fn decode(bytes: &[u8]) -> Option<(u16, Option<Head>)> {
        let (body, crc) = bytes.split_last_chunk::<4>()?;
        if u32::from_be_bytes(*crc) != crc32fast::hash(body) {
            return None;
        }
        let (format, rest) = body.split_first_chunk::<2>()?;
        let format = u16::from_be_bytes(*format);
        if format != FORMAT {
            return Some((format, None));
        }
        let (history, rest) = rest.split_first_chunk::<16>()?;
        let cut_through = LogIndex(u64::from_be_bytes(rest.try_into().ok()?));
        let history = HistoryId(u128::from_be_bytes(*history));
        Some((
            format,
            Some(Head {
                history,
                cut_through,
            }),
        ))
    }
}

fn read_head(path: &Path, db: &Database) -> Result<Head, JournalError> {
    let failed = |e: redb::Error| storage_error(path, e);
    let txn = db.begin_read().map_err(|e| failed(e.into()))?;
    let table = txn.open_table(ABOUT).map_err(|e| failed(e.into()))?;
    let value = table.get(HEAD).map_err(|e| failed(e.into()))?;
    let damaged = |what: &str| JournalError::Damaged {
        path: path.to_owned(),
        index: None,
        what: what.to_owned(),
    };
    let value = value.ok_or_else(|| damaged("it has no head"))?;
    match Head::decode(value.value()) {
        Some((_, Some(head))) => Ok(head),
        Some((found, None)) => Err(JournalError::Format {
            path: path.to_owned(),
            found,
            supported: FORMAT,
        }),
        None => Err(damaged("the checksum of its head is wrong")),
    }
}

#[cfg(test)]
mod tests;
