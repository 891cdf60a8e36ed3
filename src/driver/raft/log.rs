//! A Raft log in one `redb` file: entries by Raft's index, and a few named values beside them.
//!
//! ```text
//! table "entries": index: u64 -> | crc32: u32 | entry |
//! table "values":  name       -> | crc32: u32 | value |
//! ```
//!
//! **Promises.** Edits take effect in the order they are asked for. Each is answered when it is on
//! the disk; those that are asked for meanwhile share the next fsync. Entries can be read as soon
//! as [`append`](LogFile::append) has returned. After the first error nothing is written any more:
//! nobody knows what a failed fsync has left, until the file is opened again.
//!
//! **The one data structure** is [`Recent`]: the end of the log in memory, with all that is not on
//! the disk yet, so that replication and the state machine do not read the disk.
//!
//! **Invariants.** Entries follow each other without a gap. What [`Recent`] has is what the file
//! has, or will have; below its first entry the file has all that was not purged.

use super::{Blocking, NodeError, decode, log_index};
use crate::driver::answer::answer;
use crate::driver::disk::table::{
    SEAL, builder, database_error, guard, seal, storage_error, unseal, write,
};
use crate::driver::disk::{DiskError, files};
use redb::{Database, ReadableDatabase, TableDefinition, WriteTransaction};
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

const ENTRIES: TableDefinition<u64, &[u8]> = TableDefinition::new("entries");
const VALUES: TableDefinition<&str, &[u8]> = TableDefinition::new("values");
/// The file's name in a node's directory.
pub(in super::super) const FILE: &str = "raft.redb";
/// The values that the drivers put.
pub(in super::super) const VOTE: &str = "vote";
pub(in super::super) const COMMITTED: &str = "committed";
pub(in super::super) const PURGED: &str = "purged";
const FORMAT: &str = "format";
const FORMAT_1: &[u8] = b"highwater raft log 1";
/// How much of the end of the log stays in memory when it is on the disk.
const RECENT_BYTES: usize = 8 << 20;
/// So many entries are read at once where bytes are counted.
const READ_AT_ONCE: u64 = 8;
/// At most so many edits go into one transaction.
const EDITS_AT_ONCE: usize = 1024;

/// A change of the log.
#[derive(Debug)]
enum Edit {
    /// Entries, and the number of the edit.
    Append(Vec<(u64, Arc<[u8]>)>, u64),
    /// Removes this entry and all after it.
    Truncate(u64),
    /// Removes this entry and all before it.
    Purge(u64),
    Put(&'static str, Vec<u8>),
}

/// Told when an edit is on the disk, or cannot be.
pub(in super::super) type Done = Box<dyn FnOnce(Result<(), NodeError>) + Send>;

struct Job {
    edits: Vec<Edit>,
    done: Done,
}

/// A handle of an open log; the last one to go closes it.
#[derive(Clone, Debug)]
pub(in super::super) struct LogFile(Arc<Handle>);

#[derive(Debug)]
struct Handle {
    shared: Arc<Shared>,
    writer: Option<(Sender<Job>, JoinHandle<()>)>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        if let Some((jobs, thread)) = self.writer.take() {
            drop(jobs);
            let _ = thread.join();
        }
        self.shared.close();
    }
}

struct Shared {
    path: PathBuf,
    /// `None` when it is closed.
    db: Mutex<Option<Arc<Database>>>,
    recent: Mutex<Recent>,
    /// Values that may be lost: they go with the next transaction.
    lazy: Mutex<BTreeMap<&'static str, Vec<u8>>>,
    failed: Mutex<Option<String>>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

/// The end of the log in memory.
#[derive(Debug, Default)]
struct Recent {
    /// Each with the number of the edit that appended it.
    entries: BTreeMap<u64, (u64, Arc<[u8]>)>,
    bytes: usize,
    /// Counts the edits that appended.
    edits: u64,
    /// Those up to here are on the disk.
    written: u64,
    /// The first and the last entry there is, here or on the disk.
    bounds: Option<(u64, u64)>,
}

impl Recent {
    /// Appends entries; the number of this edit.
    fn append(&mut self, entries: &[(u64, Arc<[u8]>)]) -> Result<u64, String> {
        self.edits += 1;
        for (index, entry) in entries {
            let (first, last) = self.bounds.unwrap_or((*index, index.wrapping_sub(1)));
            if *index != last.wrapping_add(1) {
                return Err(format!("entry {index} cannot follow entry {last}"));
            }
            self.bounds = Some((first, *index));
            self.bytes += entry.len();
            self.entries.insert(*index, (self.edits, Arc::clone(entry)));
        }
        Ok(self.edits)
    }

    fn truncate(&mut self, from: u64) {
        let gone = self.entries.split_off(&from);
        self.bytes -= gone.values().map(|(_, entry)| entry.len()).sum::<usize>();
        self.bounds = self
            .bounds
            .filter(|&(first, _)| first < from)
            .map(|(first, last)| (first, last.min(from - 1)));
    }

    fn purge(&mut self, through: u64) {
        while let Some(entry) = self.entries.first_entry()
            && *entry.key() <= through
        {
            self.bytes -= entry.remove().1.len();
        }
        self.bounds = self
            .bounds
            .filter(|&(_, last)| last > through)
            .map(|(first, last)| (first.max(through + 1), last));
    }

    /// Lets go of what is on the disk and beyond the limit.
    fn shrink(&mut self) {
        while self.bytes > RECENT_BYTES
            && let Some(entry) = self.entries.first_entry()
            && entry.get().0 <= self.written
        {
            self.bytes -= entry.remove().1.len();
        }
    }
}

impl LogFile {
    /// Opens the log of a node, or makes it, and checks all of it.
    pub(in super::super) fn open(dir: &Path, blocking: Blocking) -> Result<Self, NodeError> {
        fs::create_dir_all(dir).map_err(|e| DiskError::io(dir, "create", e))?;
        let path = &dir.join(FILE);
        guard(path, || {
            if !path
                .try_exists()
                .map_err(|e| DiskError::io(path, "look for", e))?
            {
                let unfinished = files::unfinished(path);
                let db = builder()
                    .create(&unfinished)
                    .map_err(|e| database_error(path, e))?;
                begin(path, &db)?;
                db.close().map_err(|e| database_error(path, e))?;
                files::publish(&unfinished, path)?;
            }
            let db = builder().open(path).map_err(|e| database_error(path, e))?;
            Self::with(path, db, blocking)
        })
    }

    /// On a disk of a simulation's making.
    #[cfg(test)]
    pub(in super::super) fn on(
        disk: impl redb::StorageBackend,
        blocking: Blocking,
    ) -> Result<Self, NodeError> {
        let path = Path::new("a disk of a test");
        let new = disk.len().is_ok_and(|len| len == 0);
        let db = builder()
            .create_with_backend(disk)
            .map_err(|e| database_error(path, e))?;
        if new {
            begin(path, &db)?;
        }
        Self::with(path, db, blocking)
    }

    fn with(path: &Path, db: Database, blocking: Blocking) -> Result<Self, NodeError> {
        let bounds = check(path, &db)?;
        let shared = Arc::new(Shared {
            path: path.to_owned(),
            db: Mutex::new(Some(Arc::new(db))),
            recent: Mutex::new(Recent {
                bounds,
                ..Recent::default()
            }),
            lazy: Mutex::new(BTreeMap::new()),
            failed: Mutex::new(None),
        });
        let writer = match blocking {
            Blocking::Inline => None,
            Blocking::Threads => {
                let (jobs, taken) = channel();
                let thread = thread::Builder::new()
                    .name("highwater-log".to_owned())
                    .spawn({
                        let shared = Arc::clone(&shared);
                        move || shared.serve(&taken)
                    })
                    .map_err(|e| DiskError::io(path, "start a thread for", e))?;
                Some((jobs, thread))
            }
        };
        Ok(LogFile(Arc::new(Handle { shared, writer })))
    }

    /// The first and the last entry there is.
    pub(in super::super) fn bounds(&self) -> Option<(u64, u64)> {
        lock(&self.0.shared.recent).bounds
    }

    /// Entries of a range, in order, as far as they are there.
    pub(in super::super) fn read(&self, range: Range<u64>) -> Result<Vec<Arc<[u8]>>, NodeError> {
        let shared = &self.0.shared;
        let (mut found, until) = {
            let recent = lock(&shared.recent);
            let Some((first, last)) = recent.bounds else {
                return Ok(Vec::new());
            };
            let range = range.start.max(first)..range.end.min(last.saturating_add(1));
            if range.is_empty() {
                return Ok(Vec::new());
            }
            let found: Vec<_> = recent
                .entries
                .range(range.clone())
                .map(|(_, (_, entry))| Arc::clone(entry))
                .collect();
            let until = range.end - found.len() as u64;
            (found, range.start..until)
        };
        if until.is_empty() {
            return Ok(found);
        }
        let mut older = shared.read(until)?;
        older.append(&mut found);
        Ok(older)
    }

    /// The first entries of a range, as many as have no more than `bytes` together, and at least
    /// one if any is there.
    pub(in super::super) fn read_some(
        &self,
        range: Range<u64>,
        bytes: usize,
    ) -> Result<Vec<Arc<[u8]>>, NodeError> {
        let (mut found, mut size) = (Vec::new(), 0);
        let mut from = range.start;
        while from < range.end {
            // A step may read too much, but not much.
            let until = range.end.min(from.saturating_add(READ_AT_ONCE));
            let step = self.read(from..until)?;
            let whole = step.len() as u64 == until - from;
            for entry in step {
                size += entry.len();
                if size > bytes && !found.is_empty() {
                    return Ok(found);
                }
                found.push(entry);
            }
            if !whole {
                break;
            }
            from = until;
        }
        Ok(found)
    }

    /// A named value, as it was last put.
    pub(in super::super) fn get(&self, name: &'static str) -> Result<Option<Vec<u8>>, NodeError> {
        let shared = &self.0.shared;
        if let Some(value) = lock(&shared.lazy).get(name) {
            return Ok(Some(value.clone()));
        }
        guard(&shared.path, || {
            let db = shared.db()?;
            Ok(value(&shared.path, &db, name)?)
        })
    }

    /// A named value that [`encode`](super::encode) made.
    pub(in super::super) fn decoded<T: DeserializeOwned>(
        &self,
        name: &'static str,
    ) -> Result<Option<T>, NodeError> {
        let bytes = self.get(name)?;
        bytes.map(|bytes| decode(name, &bytes)).transpose()
    }

    /// Appends entries. They can be read when this returns.
    pub(in super::super) fn append(&self, entries: Vec<(u64, Vec<u8>)>, done: Done) {
        let entries: Vec<(u64, Arc<[u8]>)> = entries
            .into_iter()
            .map(|(index, entry)| (index, entry.into()))
            .collect();
        let appended = lock(&self.0.shared.recent).append(&entries);
        match appended {
            Ok(number) => self.edit(vec![Edit::Append(entries, number)], done),
            Err(why) => done(Err(NodeError::foreign("what is appended to the log", &why))),
        }
    }

    /// Removes an entry and all after it.
    pub(in super::super) async fn truncate(&self, from: u64) -> Result<(), NodeError> {
        lock(&self.0.shared.recent).truncate(from);
        self.wait(vec![Edit::Truncate(from)]).await
    }

    /// Removes an entry and all before it, and puts a value along with that.
    pub(in super::super) async fn purge(
        &self,
        through: u64,
        name: &'static str,
        value: Vec<u8>,
    ) -> Result<(), NodeError> {
        lock(&self.0.shared.recent).purge(through);
        self.wait(vec![Edit::Purge(through), Edit::Put(name, value)])
            .await
    }

    /// Puts a named value.
    pub(in super::super) async fn put(
        &self,
        name: &'static str,
        value: Vec<u8>,
    ) -> Result<(), NodeError> {
        self.wait(vec![Edit::Put(name, value)]).await
    }

    /// Puts a named value, and blocks until it is on the disk.
    pub(in super::super) fn put_blocking(
        &self,
        name: &'static str,
        value: Vec<u8>,
    ) -> Result<(), NodeError> {
        let (giver, asked) = answer();
        let done = Box::new(move |result| giver.give(result));
        self.edit(vec![Edit::Put(name, value)], done);
        asked.wait().unwrap_or_else(|| Err(self.0.shared.failure()))
    }

    /// Puts a named value that may be lost: it is on the disk with the next edit.
    pub(in super::super) fn put_lazily(&self, name: &'static str, value: Vec<u8>) {
        lock(&self.0.shared.lazy).insert(name, value);
    }

    async fn wait(&self, edits: Vec<Edit>) -> Result<(), NodeError> {
        let (giver, asked) = answer();
        self.edit(edits, Box::new(move |result| giver.give(result)));
        asked.await.unwrap_or_else(|| Err(self.0.shared.failure()))
    }

    fn edit(&self, edits: Vec<Edit>, done: Done) {
        let job = Job { edits, done };
        match &self.0.writer {
            Some((jobs, _)) => {
                if let Err(refused) = jobs.send(job) {
                    (refused.0.done)(Err(self.0.shared.failure()));
                }
            }
            None => self.0.shared.perform(vec![job]),
        }
    }
}

impl Shared {
    fn serve(&self, jobs: &Receiver<Job>) {
        while let Ok(job) = jobs.recv() {
            let waiting = jobs.try_iter().take(EDITS_AT_ONCE - 1);
            self.perform(std::iter::once(job).chain(waiting).collect());
        }
    }

    /// Does jobs in one transaction, and answers them.
    fn perform(&self, jobs: Vec<Job>) {
        let written = match &*lock(&self.failed) {
            Some(why) => Err(NodeError::Failed { why: why.clone() }),
            None => Ok(()),
        };
        let written = written.and_then(|()| guard(&self.path, || self.write(&jobs)));
        if let Err(error) = &written {
            lock(&self.failed).get_or_insert_with(|| error.to_string());
        }
        let mut written = Some(written);
        for Job { done, .. } in jobs {
            // The first is told all of it, the others what is left to say.
            done(
                written
                    .take()
                    .unwrap_or_else(|| match &*lock(&self.failed) {
                        Some(why) => Err(NodeError::Failed { why: why.clone() }),
                        None => Ok(()),
                    }),
            );
        }
    }

    fn write(&self, jobs: &[Job]) -> Result<(), NodeError> {
        let db = self.db()?;
        let lazy = std::mem::take(&mut *lock(&self.lazy));
        let edits = || jobs.iter().flat_map(|job| &job.edits);
        write(&self.path, &db, |txn| {
            for (name, value) in &lazy {
                put(txn, name, value)?;
            }
            edits().try_for_each(|edit| apply(txn, edit))
        })?;
        let mut recent = lock(&self.recent);
        for edit in edits() {
            if let Edit::Append(_, number) = edit {
                recent.written = *number;
            }
        }
        recent.shrink();
        Ok(())
    }

    fn read(&self, range: Range<u64>) -> Result<Vec<Arc<[u8]>>, NodeError> {
        guard(&self.path, || {
            let db = self.db()?;
            let mut found = Vec::new();
            scan(&self.path, &db, range, |_, entry| found.push(entry.into()))?;
            Ok(found)
        })
    }

    fn db(&self) -> Result<Arc<Database>, NodeError> {
        lock(&self.db).clone().ok_or_else(|| self.failure())
    }

    fn failure(&self) -> NodeError {
        let why = lock(&self.failed).clone();
        NodeError::Failed {
            why: why.unwrap_or_else(|| "it is closed".to_owned()),
        }
    }

    /// Closes the file in order, with the values that could have been lost.
    fn close(&self) {
        if !lock(&self.lazy).is_empty() && lock(&self.failed).is_none() {
            self.perform(Vec::new());
        }
        if let Some(db) = lock(&self.db).take().and_then(Arc::into_inner) {
            // An unclean close is what the next opening repairs.
            let _ = guard(&self.path, || {
                db.close().map_err(|e| database_error(&self.path, e))
            });
        }
    }
}

fn begin(path: &Path, db: &Database) -> Result<(), DiskError> {
    write(path, db, |txn| {
        txn.open_table(ENTRIES)?;
        put(txn, FORMAT, FORMAT_1)
    })
}

fn apply(txn: &WriteTransaction, edit: &Edit) -> Result<(), redb::Error> {
    match edit {
        Edit::Append(entries, _) => {
            let mut table = txn.open_table(ENTRIES)?;
            for (index, entry) in entries {
                let mut slot = table.insert_reserve(index, entry.len() + SEAL)?;
                seal(&index.to_be_bytes(), entry, slot.as_mut());
            }
        }
        Edit::Truncate(from) => {
            txn.open_table(ENTRIES)?.retain_in(*from.., |_, _| false)?;
        }
        Edit::Purge(through) => {
            txn.open_table(ENTRIES)?
                .retain_in(..=*through, |_, _| false)?;
        }
        Edit::Put(name, value) => put(txn, name, value)?,
    }
    Ok(())
}

fn put(txn: &WriteTransaction, name: &str, value: &[u8]) -> Result<(), redb::Error> {
    let mut sealed = vec![0; value.len() + SEAL];
    seal(name.as_bytes(), value, &mut sealed);
    txn.open_table(VALUES)?.insert(name, &sealed[..])?;
    Ok(())
}

fn value(path: &Path, db: &Database, name: &str) -> Result<Option<Vec<u8>>, DiskError> {
    let failed = |e: redb::Error| storage_error(path, e);
    let txn = db.begin_read().map_err(|e| failed(e.into()))?;
    let table = txn.open_table(VALUES).map_err(|e| failed(e.into()))?;
    let Some(sealed) = table.get(name).map_err(|e| failed(e.into()))? else {
        return Ok(None);
    };
    let wrong = || DiskError::damaged(path, None, format!("the checksum of its {name} is wrong"));
    let value = unseal(name.as_bytes(), sealed.value()).ok_or_else(wrong)?;
    Ok(Some(value.to_vec()))
}

/// Hands the entries of a range to `each`, in order.
fn scan(
    path: &Path,
    db: &Database,
    range: Range<u64>,
    mut each: impl FnMut(u64, &[u8]),
) -> Result<(), DiskError> {
    let failed = |e: redb::Error| storage_error(path, e);
    let txn = db.begin_read().map_err(|e| failed(e.into()))?;
    let table = txn.open_table(ENTRIES).map_err(|e| failed(e.into()))?;
    let mut previous: Option<u64> = None;
    for item in table.range(range).map_err(|e| failed(e.into()))? {
        let (key, sealed) = item.map_err(|e| failed(e.into()))?;
        let index = key.value();
        let at = Some(log_index(index));
        if let Some(previous) = previous.replace(index)
            && previous + 1 != index
        {
            let what = format!("entry {previous} comes before it: those between are missing");
            return Err(DiskError::damaged(path, at, what));
        }
        let entry = unseal(&index.to_be_bytes(), sealed.value())
            .ok_or_else(|| DiskError::damaged(path, at, "its checksum is wrong"))?;
        each(index, entry);
    }
    Ok(())
}

/// Reads all there is; the first and the last entry.
fn check(path: &Path, db: &Database) -> Result<Option<(u64, u64)>, DiskError> {
    match value(path, db, FORMAT)? {
        Some(format) if format == FORMAT_1 => {}
        _ => {
            let what = "it is no Raft log of a format that this program reads";
            return Err(DiskError::damaged(path, None, what));
        }
    }
    let mut bounds: Option<(u64, u64)> = None;
    scan(path, db, 0..u64::MAX, |index, _| {
        bounds = Some((bounds.map_or(index, |(first, _)| first), index));
    })?;
    Ok(bounds)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
