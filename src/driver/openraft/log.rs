//! openraft's log storage on a [`LogFile`].

use super::{Blocking, NodeError, any};
use crate::driver::raft::log::{COMMITTED, LogFile, PURGED, VOTE};
use crate::driver::raft::{BYTES_AT_ONCE, decode, encode, indexes};
use openraft::storage::{LogFlushed, RaftLogStorage};
use openraft::{
    LogId, LogState, OptionalSend, RaftLogId, RaftLogReader, RaftTypeConfig, StorageError,
    StorageIOError, Vote,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt::{self, Debug};
use std::marker::PhantomData;
use std::ops::{Range, RangeBounds};
use std::path::Path;

/// A node's log, in a file. Clones are handles of the same log.
pub struct LogStore<T> {
    file: LogFile,
    types: PhantomData<fn() -> T>,
}

impl<T> Clone for LogStore<T> {
    fn clone(&self) -> Self {
        LogStore {
            file: self.file.clone(),
            types: PhantomData,
        }
    }
}

impl<T> LogStore<T> {
    /// The last entry.
    pub(super) fn last(&self) -> Option<u64> {
        self.file.bounds().map(|(_, last)| last)
    }
}

impl<T> fmt::Debug for LogStore<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LogStore").field(&self.file).finish()
    }
}

impl<T: RaftTypeConfig> LogStore<T> {
    pub(super) fn open(id: &T::NodeId, dir: &Path, blocking: Blocking) -> Result<Self, NodeError> {
        let file = LogFile::open(dir, blocking)?;
        // Raft lets nobody lead a term that he has not just been elected in, but openraft does: with
        // the committed entries that are noted, and the linearizable reads that go with those. What
        // is noted is not synced.
        if let Some(mut vote) = file.decoded::<Vote<T::NodeId>>(VOTE)?
            && vote.committed
            && vote.leader_id().voted_for().as_ref() == Some(id)
        {
            vote.committed = false;
            file.put_blocking(VOTE, encode(VOTE, &vote)?)?;
        }
        Ok(LogStore {
            file,
            types: PhantomData,
        })
    }
}

impl<T: RaftTypeConfig> LogStore<T>
where
    T::Entry: DeserializeOwned,
{
    fn entries(&self, from: u64, until: u64) -> Result<Vec<T::Entry>, NodeError> {
        let entries = self.file.read(from..until)?;
        let entries = entries.iter();
        entries.map(|bytes| decode("an entry", bytes)).collect()
    }

    fn state(&self) -> Result<LogState<T>, NodeError> {
        let last_purged_log_id: Option<LogId<T::NodeId>> = self.file.decoded(PURGED)?;
        let last = match self.file.bounds() {
            Some((_, last)) => self.entries(last, last.saturating_add(1))?.pop(),
            None => None,
        };
        Ok(LogState {
            last_log_id: last
                .map(|entry| entry.get_log_id().clone())
                .or_else(|| last_purged_log_id.clone()),
            last_purged_log_id,
        })
    }
}

fn reading<N: openraft::NodeId>(error: &NodeError) -> StorageError<N> {
    StorageIOError::read_logs(any(error)).into()
}

fn writing<N: openraft::NodeId>(error: &NodeError) -> StorageError<N> {
    StorageIOError::write_logs(any(error)).into()
}

impl<T: RaftTypeConfig> RaftLogReader<T> for LogStore<T>
where
    T::Entry: Serialize + DeserializeOwned,
{
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<T::Entry>, StorageError<T::NodeId>> {
        let Range { start, end } = indexes(&range);
        self.entries(start, end).map_err(|error| reading(&error))
    }

    /// What is sent to a node at once: bounded by bytes too, for a network has its limits.
    async fn limited_get_log_entries(
        &mut self,
        start: u64,
        end: u64,
    ) -> Result<Vec<T::Entry>, StorageError<T::NodeId>> {
        let entries = self.file.read_some(start..end, BYTES_AT_ONCE);
        let entries = entries.and_then(|entries| {
            let entries = entries.iter();
            entries.map(|bytes| decode("an entry", bytes)).collect()
        });
        entries.map_err(|error| reading(&error))
    }
}

impl<T: RaftTypeConfig> RaftLogStorage<T> for LogStore<T>
where
    T::Entry: Serialize + DeserializeOwned,
{
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<T>, StorageError<T::NodeId>> {
        self.state().map_err(|error| reading(&error))
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote<T::NodeId>) -> Result<(), StorageError<T::NodeId>> {
        let failed = |error| StorageIOError::write_vote(any(&error)).into();
        let bytes = encode(VOTE, vote).map_err(failed)?;
        self.file.put(VOTE, bytes).await.map_err(failed)
    }

    async fn read_vote(&mut self) -> Result<Option<Vote<T::NodeId>>, StorageError<T::NodeId>> {
        let vote = self.file.decoded(VOTE);
        vote.map_err(|error| StorageIOError::read_vote(any(&error)).into())
    }

    /// Not synced: what is lost of it is only applied later, when the leader says again that it
    /// is committed.
    async fn save_committed(
        &mut self,
        committed: Option<LogId<T::NodeId>>,
    ) -> Result<(), StorageError<T::NodeId>> {
        let bytes = encode(COMMITTED, &committed).map_err(|error| writing(&error))?;
        self.file.put_lazily(COMMITTED, bytes);
        Ok(())
    }

    /// It may have been noted with an edit before the one that has the entry: then it is none.
    async fn read_committed(
        &mut self,
    ) -> Result<Option<LogId<T::NodeId>>, StorageError<T::NodeId>> {
        let committed = self.file.decoded::<Option<LogId<T::NodeId>>>(COMMITTED);
        let last = self.file.bounds().map(|(_, last)| last);
        let committed = committed.map_err(|error| reading(&error))?.flatten();
        Ok(committed.filter(|id| last.is_some_and(|last| id.index <= last)))
    }

    async fn append<I>(
        &mut self,
        entries: I,
        callback: LogFlushed<T>,
    ) -> Result<(), StorageError<T::NodeId>>
    where
        I: IntoIterator<Item = T::Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let encoded = entries.into_iter().map(|entry| {
            let bytes = encode("an entry", &entry)?;
            Ok((entry.get_log_id().index, bytes))
        });
        let entries = encoded
            .collect::<Result<_, _>>()
            .map_err(|error| writing(&error))?;
        let done = |result: Result<(), NodeError>| {
            callback.log_io_completed(result.map_err(std::io::Error::other));
        };
        self.file.append(entries, Box::new(done));
        Ok(())
    }

    async fn truncate(&mut self, log_id: LogId<T::NodeId>) -> Result<(), StorageError<T::NodeId>> {
        self.file
            .truncate(log_id.index)
            .await
            .map_err(|error| writing(&error))
    }

    async fn purge(&mut self, log_id: LogId<T::NodeId>) -> Result<(), StorageError<T::NodeId>> {
        let bytes = encode(PURGED, &log_id).map_err(|error| writing(&error))?;
        let purged = self.file.purge(log_id.index, PURGED, bytes).await;
        purged.map_err(|error| writing(&error))
    }
}
