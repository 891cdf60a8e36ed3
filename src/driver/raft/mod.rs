//! What the drivers for the two versions of openraft share.
//!
//! **Promises.** A log that has said an entry or a vote is on the disk has it there after the
//! process or the machine has died. An image that has its name is whole, durable, and the newest.
//! Nothing here waits for an fsync on a thread that runs tasks; entries that are not in memory any
//! more are read from the disk there, a few at a time.
//!
//! **May not know.** The types of any version of openraft: entries, votes and memberships are
//! bytes here.
//!
//! **The data structures** are [`log::LogFile`], and [`machine::Machine`] with its
//! [`images::Images`].
//!
//! **Indexes.** openraft counts entries from 0, where the first membership is; a store is at 0
//! before its first entry. So an entry with Raft's index n has the log index n + 1.

mod error;
pub(super) mod images;
pub(super) mod log;
pub(super) mod machine;
pub(super) mod offload;
mod request;

pub use error::NodeError;
pub use machine::SnapshotBuilder;
pub use offload::Blocking;
pub use request::{Request, Response};

use crate::image::msgpack;
use crate::position::LogIndex;
use crate::store;
use serde::{Serialize, de::DeserializeOwned};
use std::ops::{Bound, Range, RangeBounds};

/// So many bytes of entries at most are sent to a node, or applied, at once; but one entry at least.
pub(super) const BYTES_AT_ONCE: usize = 4 << 20;

/// The log index of the entry that openraft counts as `raft_index`.
pub fn log_index(raft_index: u64) -> LogIndex {
    LogIndex(raft_index.saturating_add(1))
}

/// Settings of a node.
#[derive(Clone, Debug, Default)]
pub struct NodeOptions {
    /// Of its store. All nodes have the same history, which is the cluster's.
    pub store: store::StoreOptions,
    /// Where that which waits for the disk runs.
    pub blocking: Blocking,
}

/// openraft's types as bytes; `what` they are is for the error.
pub(super) fn encode<T: Serialize>(what: &'static str, value: &T) -> Result<Vec<u8>, NodeError> {
    rmp_serde::to_vec_named(value).map_err(|error| NodeError::foreign(what, &error))
}

pub(super) fn decode<T: DeserializeOwned>(
    what: &'static str,
    bytes: &[u8],
) -> Result<T, NodeError> {
    msgpack::check(bytes).map_err(|error| NodeError::foreign(what, &error))?;
    rmp_serde::from_slice(bytes).map_err(|error| NodeError::foreign(what, &error))
}

/// The indexes of a range of any kind.
pub(super) fn indexes(range: &impl RangeBounds<u64>) -> Range<u64> {
    let from = match range.start_bound() {
        Bound::Included(&from) => from,
        Bound::Excluded(&before) => before.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let until = match range.end_bound() {
        Bound::Included(&last) => last.saturating_add(1),
        Bound::Excluded(&until) => until,
        Bound::Unbounded => u64::MAX,
    };
    from..until
}
