//! Reads that see every write that was answered before them.

use super::log_index;
use crate::position::LogIndex;
use crate::store::{Schema, Snapshot, Store, WaitError};
use openraft::error::{CheckIsLeaderError, RaftError};
use openraft::{LogIdOptionExt, Raft, RaftTypeConfig};
use std::fmt;
use std::future::Future;

/// Why a read could not be linearizable.
#[derive(Debug)]
#[non_exhaustive]
pub enum LinearizableError<T: RaftTypeConfig> {
    /// This node is not the leader, which the error names if it is known, or cannot reach enough
    /// of the others.
    Leader(RaftError<T::NodeId, CheckIsLeaderError<T::NodeId, T::Node>>),
    /// The store has not come so far in time, or takes no more entries.
    Wait(WaitError),
}

impl<T: RaftTypeConfig> fmt::Display for LinearizableError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LinearizableError::Leader(error) => error.fmt(f),
            LinearizableError::Wait(error) => error.fmt(f),
        }
    }
}

impl<T: RaftTypeConfig> std::error::Error for LinearizableError<T> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            LinearizableError::Leader(error) => Some(error),
            LinearizableError::Wait(error) => Some(error),
        }
    }
}

/// The log index that a linearizable read has to wait for (the read-index of Raft's section 6.4):
/// all writes answered before this was called are at or below it. The leader only, which makes
/// sure that it is the leader: a round trip to the others, and no entry in the log.
///
/// A follower asks the leader for it over the program's own network, and then waits with
/// [`Store::snapshot_at_least`].
pub async fn read_index<T: RaftTypeConfig>(
    raft: &Raft<T>,
) -> Result<LogIndex, RaftError<T::NodeId, CheckIsLeaderError<T::NodeId, T::Node>>> {
    let (read, _) = raft.get_read_log_id().await?;
    Ok(read.index().map_or(LogIndex::ZERO, log_index))
}

/// A snapshot that has every write answered before this was called. The leader only. `until` is
/// how long to wait for the store, a timer of the program's executor.
pub async fn linearizable<S: Schema, T: RaftTypeConfig>(
    raft: &Raft<T>,
    store: &Store<S>,
    until: impl Future<Output = ()>,
) -> Result<Snapshot<S>, LinearizableError<T>> {
    let index = read_index(raft).await.map_err(LinearizableError::Leader)?;
    let snapshot = store.snapshot_at_least_async(index, until).await;
    snapshot.map_err(LinearizableError::Wait)
}
