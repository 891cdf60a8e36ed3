//! openraft's state machine on a store.

use super::{ImageFile, NodeError, NodeOptions, NodeTypes, SnapshotBuilder, any};
use crate::driver::disk::DiskError;
use crate::driver::raft::images::Image;
use crate::driver::raft::machine::Machine;
use crate::driver::raft::{decode, encode, log_index};
use crate::fsm::{Command, LogEntry};
use crate::store::{Schema, Store};
use openraft::storage::RaftStateMachine;
use openraft::{
    EntryPayload, ErrorSubject, ErrorVerb, LogId, OptionalSend, RaftSnapshotBuilder,
    RaftTypeConfig, Snapshot as RaftSnapshot, SnapshotMeta, StorageError, StorageIOError,
    StoredMembership,
};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::Path;
use tokio::io::AsyncWriteExt;

const APPLIED: &str = "the applied entry and the membership";

/// What Raft keeps with the data: the driver's state.
#[derive(Clone, Serialize, Deserialize)]
#[serde(bound = "")]
struct RaftState<T: RaftTypeConfig> {
    applied: Option<LogId<T::NodeId>>,
    membership: StoredMembership<T::NodeId, T::Node>,
}

impl<T: RaftTypeConfig> RaftState<T> {
    fn decode(bytes: &[u8]) -> Result<Self, NodeError> {
        if bytes.is_empty() {
            return Ok(RaftState {
                applied: None,
                membership: StoredMembership::default(),
            });
        }
        decode(APPLIED, bytes)
    }

    fn meta(self) -> SnapshotMeta<T::NodeId, T::Node> {
        SnapshotMeta {
            snapshot_id: match &self.applied {
                Some(applied) => format!("{applied}"),
                None => "empty".to_owned(),
            },
            last_log_id: self.applied,
            last_membership: self.membership,
        }
    }
}

/// A store that Raft drives.
pub struct StateMachine<S: Schema, C, T: RaftTypeConfig> {
    machine: Machine<S, C>,
    /// As the store has it.
    state: RaftState<T>,
}

impl<S: Schema, C, T: RaftTypeConfig> fmt::Debug for StateMachine<S, C, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StateMachine")
            .field("machine", &self.machine)
            .field("applied", &self.state.applied)
            .finish_non_exhaustive()
    }
}

impl<S: Schema, C: Command<S>, T: NodeTypes<S, C>> StateMachine<S, C, T> {
    pub(super) fn open(
        dir: &Path,
        options: NodeOptions,
        log: Option<u64>,
    ) -> Result<Self, NodeError> {
        let machine = Machine::<S, C>::open(dir, options, log)?;
        let snapshot = machine.store().snapshot();
        let state = RaftState::decode(snapshot.driver_state().unwrap_or_default())?;
        Ok(StateMachine { machine, state })
    }
}

impl<S: Schema, C, T: RaftTypeConfig> StateMachine<S, C, T> {
    /// Takes logs with gaps, which openraft's own test suite makes up. Raft makes none.
    #[doc(hidden)]
    #[must_use]
    pub fn with_gaps(mut self) -> Self {
        self.machine.allow_gaps();
        self
    }

    /// The store: to read, wait, follow and fork. Writing and restoring are the node's
    /// ([`StoreError::Driven`](crate::StoreError::Driven)).
    pub fn store(&self) -> &Store<S> {
        self.machine.store()
    }
}

fn snapshot_error<N: openraft::NodeId>(verb: ErrorVerb) -> impl Fn(NodeError) -> StorageError<N> {
    move |error| StorageIOError::new(ErrorSubject::Snapshot(None), verb, any(&error)).into()
}

fn sending<T: RaftTypeConfig<SnapshotData = ImageFile>>(
    (image, file): (Image, std::fs::File),
) -> Result<RaftSnapshot<T>, NodeError> {
    Ok(RaftSnapshot {
        meta: RaftState::<T>::decode(&image.driver)?.meta(),
        snapshot: Box::new(ImageFile::sending(image.path, file)),
    })
}

impl<S, T> RaftSnapshotBuilder<T> for SnapshotBuilder<S>
where
    S: Schema,
    T: RaftTypeConfig<SnapshotData = ImageFile>,
{
    async fn build_snapshot(&mut self) -> Result<RaftSnapshot<T>, StorageError<T::NodeId>> {
        let built = self.build().await.and_then(sending);
        built.map_err(snapshot_error(ErrorVerb::Write))
    }
}

impl<S: Schema, C: Command<S>, T: NodeTypes<S, C>> RaftStateMachine<T> for StateMachine<S, C, T> {
    type SnapshotBuilder = SnapshotBuilder<S>;

    async fn applied_state(
        &mut self,
    ) -> Result<
        (
            Option<LogId<T::NodeId>>,
            StoredMembership<T::NodeId, T::Node>,
        ),
        StorageError<T::NodeId>,
    > {
        Ok((self.state.applied.clone(), self.state.membership.clone()))
    }

    async fn apply<I>(&mut self, entries: I) -> Result<Vec<T::R>, StorageError<T::NodeId>>
    where
        I: IntoIterator<Item = T::Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut state = self.state.clone();
        let mut batch = Vec::new();
        for entry in entries {
            let index = log_index(entry.log_id.index);
            state.applied = Some(entry.log_id.clone());
            batch.push(match entry.payload {
                EntryPayload::Blank => LogEntry::empty(index),
                EntryPayload::Normal(request) => {
                    LogEntry::from_bytes(index, request.bytes().to_vec())
                }
                EntryPayload::Membership(membership) => {
                    state.membership = StoredMembership::new(Some(entry.log_id), membership);
                    LogEntry::empty(index)
                }
            });
        }
        let Some(last) = state.applied.clone() else {
            return Ok(Vec::new());
        };
        let driver = encode(APPLIED, &state);
        let applied = driver.and_then(|driver| self.machine.apply(batch, driver));
        let responses = applied.map_err(|error| StorageIOError::apply(last, any(&error)))?;
        self.state = state;
        Ok(responses)
    }

    async fn get_snapshot_builder(&mut self) -> SnapshotBuilder<S> {
        self.machine.builder()
    }

    async fn begin_receiving_snapshot(
        &mut self,
    ) -> Result<Box<ImageFile>, StorageError<T::NodeId>> {
        let path = self.machine.unfinished();
        let file = ImageFile::receiving(path.clone()).await;
        file.map(Box::new)
            .map_err(|e| DiskError::io(&path, "create", e).into())
            .map_err(snapshot_error(ErrorVerb::Write))
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta<T::NodeId, T::Node>,
        mut snapshot: Box<ImageFile>,
    ) -> Result<(), StorageError<T::NodeId>> {
        let failed = snapshot_error(ErrorVerb::Write);
        let path = snapshot.path().to_owned();
        let flushed = snapshot.flush().await;
        flushed.map_err(|e| failed(DiskError::io(&path, "write", e).into()))?;
        let image = self.machine.install(path).await.map_err(&failed)?;
        self.state = RaftState::decode(&image.driver).map_err(&failed)?;
        if self.state.applied != meta.last_log_id {
            let why = format!(
                "it is of {:?}, not of {:?}",
                self.state.applied, meta.last_log_id
            );
            return Err(failed(NodeError::foreign("the image", &why)));
        }
        Ok(())
    }

    async fn get_current_snapshot(
        &mut self,
    ) -> Result<Option<RaftSnapshot<T>>, StorageError<T::NodeId>> {
        let newest = self.machine.newest();
        let newest = newest.and_then(|newest| newest.map(sending).transpose());
        newest.map_err(snapshot_error(ErrorVerb::Read))
    }
}
