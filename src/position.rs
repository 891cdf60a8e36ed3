//! Where in the log something is: [`LogIndex`], [`HistoryId`], [`Position`].
//!
//! Types of their own, so that a log index is never mixed up with a table's index, with a count,
//! or with the internal generation counter of the trees.

use std::fmt;

/// A Raft-style log index: the number of the log entry that made a commit.
///
/// `LogIndex(0)` is "before everything"; the first entry of a log is 1.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    serde::Serialize,
    serde::Deserialize,
)]
#[serde(transparent)]
pub struct LogIndex(pub u64);

impl LogIndex {
    /// Before everything.
    pub const ZERO: LogIndex = LogIndex(0);

    /// The index after this one.
    #[must_use]
    pub const fn next(self) -> LogIndex {
        LogIndex(self.0 + 1)
    }
}

impl fmt::Display for LogIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<u64> for LogIndex {
    fn from(index: u64) -> Self {
        LogIndex(index)
    }
}

/// Which history a log index belongs to.
///
/// Comes from the driver or from a log entry, and travels in images; it is never made up by a
/// store. A store that nobody told has [`HistoryId::UNNAMED`].
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    serde::Serialize,
    serde::Deserialize,
)]
#[serde(transparent)]
pub struct HistoryId(pub u128);

impl HistoryId {
    /// The history of a store that was given no other.
    pub const UNNAMED: HistoryId = HistoryId(0);

    /// The history of every fork ([`Store::fork`](crate::Store::fork)): of no log, so that a
    /// position in it says nothing to a store.
    pub const FORK: HistoryId = HistoryId(u128::MAX);
}

impl fmt::Display for HistoryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// A log index together with the history it belongs to.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize,
)]
pub struct Position {
    /// The history.
    pub history: HistoryId,
    /// The index within it.
    pub index: LogIndex,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.index, self.history)
    }
}
