//! openraft's state machine on a store.

use super::{ImageFile, Inbox, NodeError, NodeOptions, NodeTypes, SnapshotBuilder, error};
use crate::driver::raft::images::Image;
use crate::driver::raft::machine::Machine;
use crate::driver::raft::{decode, encode, log_index};
use crate::fsm::{Command, LogEntry};
use crate::store::{Schema, Store};
use futures_core::Stream;
use openraft_next::alias::{LogIdOf, SnapshotMetaOf, SnapshotOf, StoredMembershipOf};
use openraft_next::entry::RaftEntry;
use openraft_next::storage::{EntryResponder, RaftStateMachine};
use openraft_next::{EntryPayload, OptionalSend, RaftSnapshotBuilder, RaftTypeConfig};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::fs::File;
use std::future::poll_fn;
use std::io;
use std::path::Path;
use std::pin::Pin;

const APPLIED: &str = "the applied entry and the membership";
/// At most so many entries are published together.
const ENTRIES_AT_ONCE: usize = 1024;

/// What Raft keeps with the data: the driver's state.
#[derive(Serialize, Deserialize)]
#[serde(bound(
    serialize = "LogIdOf<T>: Serialize, StoredMembershipOf<T>: Serialize",
    deserialize = "LogIdOf<T>: DeserializeOwned, StoredMembershipOf<T>: DeserializeOwned"
))]
struct RaftState<T: RaftTypeConfig> {
    applied: Option<LogIdOf<T>>,
    membership: StoredMembershipOf<T>,
}

impl<T: RaftTypeConfig> Clone for RaftState<T> {
    fn clone(&self) -> Self {
        RaftState {
            applied: self.applied.clone(),
            membership: self.membership.clone(),
        }
    }
}

impl<T: RaftTypeConfig> RaftState<T>
where
    LogIdOf<T>: DeserializeOwned,
    StoredMembershipOf<T>: DeserializeOwned,
{
    fn decode(bytes: &[u8]) -> Result<Self, NodeError> {
        if bytes.is_empty() {
            return Ok(RaftState {
                applied: None,
                membership: StoredMembershipOf::<T>::default(),
            });
        }
        decode(APPLIED, bytes)
    }

    /// An image, as openraft wants it.
    fn sending((image, file): (Image, File)) -> Result<SnapshotOf<T, ImageFile>, NodeError> {
        let state = Self::decode(&image.driver)?;
        Ok(SnapshotOf::<T, ImageFile> {
            meta: SnapshotMetaOf::<T> {
                last_log_id: state.applied,
                last_membership: state.membership,
            },
            snapshot: ImageFile::sending(image.path, file),
        })
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

    /// Where the network layer puts the images it receives.
    pub fn inbox(&self) -> Inbox {
        Inbox(self.machine.images())
    }
}

impl<S: Schema, T: RaftTypeConfig> RaftSnapshotBuilder<T> for SnapshotBuilder<S>
where
    LogIdOf<T>: DeserializeOwned,
    StoredMembershipOf<T>: DeserializeOwned,
{
    type SnapshotData = ImageFile;

    async fn build_snapshot(&mut self) -> Result<SnapshotOf<T, ImageFile>, io::Error> {
        let built = self.build().await.and_then(RaftState::<T>::sending);
        built.map_err(error)
    }
}

impl<S: Schema, C: Command<S>, T: NodeTypes<S, C>> RaftStateMachine<T> for StateMachine<S, C, T> {
    type SnapshotData = ImageFile;
    type SnapshotBuilder = SnapshotBuilder<S>;

    async fn applied_state(
        &mut self,
    ) -> Result<(Option<LogIdOf<T>>, StoredMembershipOf<T>), io::Error> {
        Ok((self.state.applied.clone(), self.state.membership.clone()))
    }

    async fn apply<Strm>(&mut self, mut entries: Strm) -> Result<(), io::Error>
    where
        Strm: Stream<Item = Result<EntryResponder<T>, io::Error>> + Unpin + OptionalSend,
    {
        loop {
            let mut state = self.state.clone();
            let mut batch = Vec::new();
            let mut responders = Vec::new();
            while batch.len() < ENTRIES_AT_ONCE {
                let next = poll_fn(|cx| Pin::new(&mut entries).poll_next(cx)).await;
                let Some((entry, responder)) = next.transpose()? else {
                    break;
                };
                let id = entry.log_id();
                let index = log_index(id.index());
                batch.push(match entry.payload {
                    EntryPayload::Blank => LogEntry::empty(index),
                    EntryPayload::Normal(request) => {
                        LogEntry::from_bytes(index, request.bytes().to_vec())
                    }
                    EntryPayload::Membership(membership) => {
                        let id = Some(id.clone());
                        state.membership = StoredMembershipOf::<T>::new(id, membership);
                        LogEntry::empty(index)
                    }
                });
                state.applied = Some(id);
                responders.push(responder);
            }
            if batch.is_empty() {
                return Ok(());
            }
            let driver = encode(APPLIED, &state);
            let applied = driver.and_then(|driver| self.machine.apply(batch, driver));
            let responses = applied.map_err(error)?;
            self.state = state;
            for (responder, response) in responders.into_iter().zip(responses) {
                if let Some(responder) = responder {
                    responder.send(response);
                }
            }
        }
    }

    async fn get_snapshot_builder(&mut self) -> SnapshotBuilder<S> {
        self.machine.builder()
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMetaOf<T>,
        snapshot: ImageFile,
    ) -> Result<(), io::Error> {
        let image = self.machine.install(snapshot.path().to_owned()).await;
        self.state = image
            .and_then(|image| RaftState::decode(&image.driver))
            .map_err(error)?;
        if self.state.applied != meta.last_log_id {
            let why = format!(
                "it is of {:?}, not of {:?}",
                self.state.applied, meta.last_log_id
            );
            return Err(error(NodeError::foreign("the image", &why)));
        }
        Ok(())
    }

    async fn get_current_snapshot(
        &mut self,
    ) -> Result<Option<SnapshotOf<T, ImageFile>>, io::Error> {
        let newest = self.machine.newest();
        let newest = newest.and_then(|newest| newest.map(RaftState::<T>::sending).transpose());
        newest.map_err(error)
    }
}
