//! The driver for `openraft` 0.9: a replicated store.
//!
//! Every entry that Raft commits is applied, in order and without a gap; one that is missing, or
//! cannot be applied, stops the node and halts its store, while reads go on. A batch is published once
//! (twice, where what was in the log at the start ends in it), before anybody is answered. An image is
//! taken of a snapshot, in O(1), so that no entry waits for it; it is written to a file, and installed
//! from a file beside the state that readers go on reading. One that is older than the state is refused.
//!
//! The network between nodes is the program's own. A node has a directory:
//!
//! | file | holds |
//! |---|---|
//! | `raft.redb` | the log: entries, vote, what is committed, what was purged |
//! | `image-` + index | the newest image |
//!
//! # Use
//!
//! ```
//! use highwater::openraft::{ImageFile, NodeOptions, Request, Response, open};
//! # use highwater::{Schema, Table, WriteError, WriteTxn};
//! # use highwater::fsm::{Command, Context};
//! # use serde::{Deserialize, Serialize};
//! #
//! # #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
//! # pub struct Note {
//! #     #[primary_key]
//! #     pub name: String,
//! #     pub text: String,
//! # }
//! #
//! # #[derive(Debug, Schema)]
//! # pub struct Notes {
//! #     notes: Note,
//! # }
//! #
//! # #[derive(Clone, Debug, Serialize, Deserialize)]
//! # pub enum Write {
//! #     Put { name: String, text: String },
//! # }
//! #
//! # impl Command<Notes> for Write {
//! #     type Reply = ();
//! #     type Error = WriteError;
//! #
//! #     fn apply(self, _: &Context, txn: &mut WriteTxn<Notes>) -> Result<(), WriteError> {
//! #         let Write::Put { name, text } = self;
//! #         txn.notes_mut().upsert(Note { name, text }).map(drop)
//! #     }
//! # }
//!
//! // `Write` is a `Command<Notes>`; openraft is the crate of that name, 0.9.
//! openraft::declare_raft_types!(
//!     pub Types:
//!         D = Request<Write>,
//!         R = Response<(), WriteError>,
//!         NodeId = u64,
//!         Node = openraft::BasicNode,
//!         SnapshotData = ImageFile,
//! );
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir()?;
//! # let dir = dir.path();
//! let (log, machine) = open::<Notes, Write, Types>(&1, dir, NodeOptions::default())?;
//! let store = machine.store().clone();
//! // let raft = openraft::Raft::new(1, config, network, log, machine).await?;
//! // let written = raft.client_write(Request::from(&Proposal::new(&write, now, seed)?)).await?;
//! // let snapshot = store.snapshot_at_least(written.data.index, deadline)?;
//! # drop((log, machine, store));
//! # Ok(())
//! # }
//! ```
//!
//! A read that must see every write answered before it asks the leader for [`read_index`], and
//! waits on its own node with [`Store::snapshot_at_least`](crate::Store::snapshot_at_least); on the
//! leader [`linearizable`] does both.
//!
//! A read on any node that may be so much behind and no more ([`ReadMode::MaxStale`]) needs to know
//! how far the others are: where the program's network hands an append request of the leader to
//! Raft, it calls [`Store::note_committed`](crate::Store::note_committed) with the leader's commit
//! index in it, as a position in the log's history.
//!
//! [`ReadMode::MaxStale`]: crate::ReadMode::MaxStale
//!
//! **Retries.** A client whose write was not answered does not know whether it was applied. It
//! sends it again safely in a session: see [`Proposal::in_session`](crate::fsm::Proposal::in_session).
//!
//! **openraft's features.** This driver turns on `serde` (its types are stored with their own
//! encoding) and `storage-v2`. It works with and without `generic-snapshot-data`.

mod file;
mod log;
mod machine;
mod read;

pub use super::disk::DiskError;
pub use super::raft::{
    Blocking, NodeError, NodeOptions, Request, Response, SnapshotBuilder, log_index,
};
pub use file::ImageFile;
pub use log::LogStore;
pub use machine::StateMachine;
pub use read::{LinearizableError, linearizable, read_index};

use crate::fsm::Command;
use crate::store::Schema;
use ::openraft::{AnyError, Entry, RaftTypeConfig};
use std::path::Path;

/// What a type configuration has to be for a store of schema `S` with commands `C`. There is
/// nothing to implement: whatever has these types is one.
pub trait NodeTypes<S: Schema, C: Command<S>>:
    RaftTypeConfig<
        D = Request<C>,
        R = Response<C::Reply, C::Error>,
        Entry = Entry<Self>,
        SnapshotData = ImageFile,
    >
{
}

impl<T, S: Schema, C: Command<S>> NodeTypes<S, C> for T where
    T: RaftTypeConfig<
            D = Request<C>,
            R = Response<C::Reply, C::Error>,
            Entry = Entry<T>,
            SnapshotData = ImageFile,
        >
{
}

/// What openraft is given: a node's log, and its state machine.
pub type Node<S, C, T> = (LogStore<T>, StateMachine<S, C, T>);

/// Opens the directory of the node `id`, which is made if it is not there: its log, and its state
/// machine with the newest image restored. Raft applies what the log has beyond that.
///
/// A node that led does not lead when it is opened again, before it is elected anew: openraft would
/// let it, with what it remembers of the committed entries, which is less than it had told.
///
/// Cost: reading the log and the image.
pub fn open<S: Schema, C: Command<S>, T: NodeTypes<S, C>>(
    id: &T::NodeId,
    dir: impl AsRef<Path>,
    options: NodeOptions,
) -> Result<Node<S, C, T>, NodeError> {
    let dir = dir.as_ref();
    // Makes the directory, and fails if another has it open.
    let log = LogStore::open(id, dir, options.blocking)?;
    let machine = StateMachine::open(dir, options, log.last())?;
    Ok((log, machine))
}

fn any(error: &NodeError) -> AnyError {
    AnyError::new(error)
}
