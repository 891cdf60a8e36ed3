//! openraft's log storage on a [`LogFile`].

use super::{Blocking, NodeError, error};
use crate::driver::raft::log::{COMMITTED, LogFile, PURGED, VOTE};
use crate::driver::raft::{BYTES_AT_ONCE, decode, encode, indexes};
use futures_core::Stream;
use openraft_next::alias::{LogIdOf, VoteOf};
use openraft_next::entry::RaftEntry;
use openraft_next::storage::{IOFlushed, RaftLogStorage};
use openraft_next::vote::{RaftLeaderId, RaftVote};
use openraft_next::{LogState, OptionalSend, RaftLogReader, RaftTypeConfig};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::VecDeque;
use std::fmt::{self, Debug};
use std::io;
use std::marker::PhantomData;
use std::ops::{Range, RangeBounds};
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};

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

impl<T: RaftTypeConfig> LogStore<T>
where
    T::Vote: Serialize + DeserializeOwned,
{
    pub(super) fn open(id: &T::NodeId, dir: &Path, blocking: Blocking) -> Result<Self, NodeError> {
        let file = LogFile::open(dir, blocking)?;
        // Raft lets nobody lead a term that he has not just been elected in, but openraft does: with
        // the committed entries that are noted, and the linearizable reads that go with those. What
        // is noted is not synced. (So does `Config::enable_leader_restore`, which is on.)
        if let Some(vote) = file.decoded::<VoteOf<T>>(VOTE)?
            && vote.is_committed()
            && vote.leader_id().node_id() == id
        {
            let vote = VoteOf::<T>::from_leader_id(vote.leader_id().clone(), false);
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
    LogIdOf<T>: DeserializeOwned,
{
    fn entries(&self, range: Range<u64>) -> Result<Vec<T::Entry>, NodeError> {
        let entries = self.file.read(range)?;
        let entries = entries.iter();
        entries.map(|bytes| decode("an entry", bytes)).collect()
    }

    fn some_entries(&self, range: Range<u64>) -> Result<Vec<T::Entry>, NodeError> {
        let entries = self.file.read_some(range, BYTES_AT_ONCE)?;
        let entries = entries.iter();
        entries.map(|bytes| decode("an entry", bytes)).collect()
    }

    fn state(&self) -> Result<LogState<T>, NodeError> {
        let last_purged_log_id: Option<LogIdOf<T>> = self.file.decoded(PURGED)?;
        let last = match self.file.bounds() {
            Some((_, last)) => self.entries(last..last.saturating_add(1))?.pop(),
            None => None,
        };
        Ok(LogState {
            last_log_id: last
                .map(|entry| entry.log_id())
                .or_else(|| last_purged_log_id.clone()),
            last_purged_log_id,
        })
    }
}

impl<T: RaftTypeConfig> RaftLogReader<T> for LogStore<T>
where
    T::Entry: DeserializeOwned,
    LogIdOf<T>: DeserializeOwned,
    T::Vote: DeserializeOwned,
{
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<T::Entry>, io::Error> {
        self.entries(indexes(&range)).map_err(error)
    }

    /// What is sent to a node at once: bounded by bytes too, for a network has its limits.
    async fn limited_get_log_entries(
        &mut self,
        start: u64,
        end: u64,
    ) -> Result<Vec<T::Entry>, io::Error> {
        self.some_entries(start..end).map_err(error)
    }

    /// What is applied: read as it is asked for.
    async fn entries_stream<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> impl Stream<Item = Result<T::Entry, io::Error>> + OptionalSend {
        Entries {
            log: self.clone(),
            rest: indexes(&range),
            read: VecDeque::new(),
        }
    }

    async fn read_vote(&mut self) -> Result<Option<VoteOf<T>>, io::Error> {
        self.file.decoded(VOTE).map_err(error)
    }
}

/// Entries of a range, a few at a time.
struct Entries<T: RaftTypeConfig> {
    log: LogStore<T>,
    rest: Range<u64>,
    read: VecDeque<T::Entry>,
}

impl<T: RaftTypeConfig> Unpin for Entries<T> {}

impl<T: RaftTypeConfig> Stream for Entries<T>
where
    T::Entry: DeserializeOwned,
    LogIdOf<T>: DeserializeOwned,
{
    type Item = Result<T::Entry, io::Error>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if this.read.is_empty() && !this.rest.is_empty() {
            match this.log.some_entries(this.rest.clone()) {
                Ok(entries) => {
                    this.rest.start = match entries.last() {
                        Some(last) => last.index().saturating_add(1),
                        None => this.rest.end,
                    };
                    this.read.extend(entries);
                }
                Err(why) => {
                    this.rest.start = this.rest.end;
                    return Poll::Ready(Some(Err(error(why))));
                }
            }
        }
        Poll::Ready(this.read.pop_front().map(Ok))
    }
}

impl<T: RaftTypeConfig> RaftLogStorage<T> for LogStore<T>
where
    T::Entry: Serialize + DeserializeOwned,
    LogIdOf<T>: Serialize + DeserializeOwned,
    T::Vote: Serialize + DeserializeOwned,
{
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<T>, io::Error> {
        self.state().map_err(error)
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &VoteOf<T>) -> Result<(), io::Error> {
        let bytes = encode(VOTE, vote).map_err(error)?;
        self.file.put(VOTE, bytes).await.map_err(error)
    }

    /// Not synced: what is lost of it is only applied later, when the leader says again that it
    /// is committed.
    async fn save_committed(&mut self, committed: Option<LogIdOf<T>>) -> Result<(), io::Error> {
        let bytes = encode(COMMITTED, &committed).map_err(error)?;
        self.file.put_lazily(COMMITTED, bytes);
        Ok(())
    }

    /// It may have been noted with an edit before the one that has the entry: then it is none.
    async fn read_committed(&mut self) -> Result<Option<LogIdOf<T>>, io::Error> {
        let committed = self.file.decoded::<Option<LogIdOf<T>>>(COMMITTED);
        let last = self.file.bounds().map(|(_, last)| last);
        let committed = committed.map_err(error)?.flatten();
        Ok(committed.filter(|id| last.is_some_and(|last| id.index() <= last)))
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<T>) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = T::Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let encoded = entries
            .into_iter()
            .map(|entry| Ok((entry.index(), encode("an entry", &entry)?)));
        let entries = encoded.collect::<Result<_, _>>().map_err(error)?;
        let done = |result: Result<(), NodeError>| callback.io_completed(result.map_err(error));
        self.file.append(entries, Box::new(done));
        Ok(())
    }

    async fn truncate_after(&mut self, last: Option<LogIdOf<T>>) -> Result<(), io::Error> {
        let from = last.map_or(0, |last| last.index().saturating_add(1));
        self.file.truncate(from).await.map_err(error)
    }

    async fn purge(&mut self, log_id: LogIdOf<T>) -> Result<(), io::Error> {
        let bytes = encode(PURGED, &log_id).map_err(error)?;
        let purged = self.file.purge(log_id.index(), PURGED, bytes).await;
        purged.map_err(error)
    }
}
