//! The driver for `openraft` 0.10, which is a pre-release: a replicated store.
//!
//! It keeps the promises of the driver for 0.9 (feature `openraft`), with the same files in a
//! node's directory. What differs is what openraft's traits let it do better: entries can be read
//! before they are on the disk, so that appends share an fsync; answers are sent as soon as the
//! batch is published; and it runs on any runtime, simulated ones too ([`Blocking::Inline`]).
//!
//! The version is pinned, because pre-releases change their interface. Files of one are not
//! promised to be read by the next.
//!
//! A bound on staleness ([`ReadMode::MaxStale`](crate::ReadMode::MaxStale)) is told by the program:
//! its network calls [`Store::note_committed`](crate::Store::note_committed) with the commit
//! index of each append request, as a position in the log's history.
//!
//! # Use
//!
//! ```
//! use highwater::openraft_next::{NodeOptions, Request, Response, open};
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
//! # use openraft_next as openraft;
//!
//! // `Write` is a `Command<Notes>`; openraft is the crate of that name, 0.10.
//! openraft::declare_raft_types!(
//!     pub Types:
//!         D = Request<Write>,
//!         R = Response<(), WriteError>,
//! #       AsyncRuntime = openraft_rt_sim::SimRuntime,
//! );
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir()?;
//! # let dir = dir.path();
//! let (log, machine) = open::<Notes, Write, Types>(&1, dir, NodeOptions::default())?;
//! let store = machine.store().clone();
//! // let raft = openraft::Raft::new(1, config, network, log, machine).await?;
//! # drop((log, machine, store));
//! # Ok(())
//! # }
//! ```

mod file;
mod log;
mod machine;
mod read;

pub use super::disk::DiskError;
pub use super::raft::{
    Blocking, NodeError, NodeOptions, Request, Response, SnapshotBuilder, log_index,
};
pub use file::{ImageFile, Inbox};
pub use log::LogStore;
pub use machine::StateMachine;
pub use read::{LinearizableError, linearizable, read_index};

use crate::fsm::Command;
use crate::store::Schema;
use openraft_next::RaftTypeConfig;
use openraft_next::alias::{DefaultEntryOf, EntryPayloadOf};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io;
use std::path::Path;

/// What a type configuration has to be for a store of schema `S` with commands `C`. There is
/// nothing to implement: whatever has these types is one.
pub trait NodeTypes<S: Schema, C: Command<S>>:
    RaftTypeConfig<
        D = Request<C>,
        R = Response<C::Reply, C::Error>,
        Payload = EntryPayloadOf<Self>,
        Entry = DefaultEntryOf<Self>,
    >
{
}

impl<T, S: Schema, C: Command<S>> NodeTypes<S, C> for T where
    T: RaftTypeConfig<
            D = Request<C>,
            R = Response<C::Reply, C::Error>,
            Payload = EntryPayloadOf<T>,
            Entry = DefaultEntryOf<T>,
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
) -> Result<Node<S, C, T>, NodeError>
where
    T::Vote: Serialize + DeserializeOwned,
{
    let dir = dir.as_ref();
    // Makes the directory, and fails if another has it open.
    let log = LogStore::open(id, dir, options.blocking)?;
    let machine = StateMachine::open(dir, options, log.last())?;
    Ok((log, machine))
}

fn error(error: NodeError) -> io::Error {
    io::Error::other(error)
}
