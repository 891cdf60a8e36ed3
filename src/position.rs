//! Where in the log something is: [`LogIndex`], [`HistoryId`], [`Position`].
//!
//! Types of their own, so that a log index is never mixed up with a table's index, with a count,
//! or with the internal generation counter of the trees.

use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::{BuildHasher, Hasher};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

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

    /// The index after this one. None is after the greatest, `u64::MAX`, which is its own next: no
    /// log comes to it, but an index from outside may be anything.
    #[must_use]
    pub const fn next(self) -> LogIndex {
        LogIndex(self.0.saturating_add(1))
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
///
/// Those whose upper 64 bits are all ones are reserved for forks ([`Store::fork`]): each fork has
/// one of its own, and no log may have one ([`is_fork`](Self::is_fork)).
///
/// [`Store::fork`]: crate::Store::fork
#[derive(
    Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(transparent)]
pub struct HistoryId(pub u128);

impl HistoryId {
    /// The history of a store that was given no other.
    pub const UNNAMED: HistoryId = HistoryId(0);

    /// Where those of forks begin.
    const FORKS: u128 = !0 << 64;

    /// Whether it is a fork's ([`Store::fork`](crate::Store::fork)), and so no log's. A driver that
    /// takes ids from outside refuses those.
    #[must_use]
    pub const fn is_fork(self) -> bool {
        self.0 >= Self::FORKS
    }

    /// One that no other fork has. They are counted from a random number on, so that one that has
    /// come from another process is not taken for one of this.
    pub(crate) fn of_new_fork() -> HistoryId {
        static NEXT: LazyLock<AtomicU64> =
            LazyLock::new(|| AtomicU64::new(RandomState::new().build_hasher().finish()));
        HistoryId(Self::FORKS | u128::from(NEXT.fetch_add(1, Ordering::Relaxed)))
    }
}

/// In hexadecimal, as it is displayed: `HistoryId(1f)`, `HistoryId(unnamed)`.
impl fmt::Debug for HistoryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HistoryId({self})")
    }
}

/// In hexadecimal; `unnamed` if it is that.
impl fmt::Display for HistoryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            HistoryId::UNNAMED => f.write_str("unnamed"),
            HistoryId(id) => write!(f, "{id:x}"),
        }
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

/// `7`; in a history that has a name, `7@1f`, with the history's id in hexadecimal.
impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.history {
            HistoryId::UNNAMED => self.index.fmt(f),
            history => write!(f, "{}@{history}", self.index),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_after_the_greatest_index() {
        assert_eq!(LogIndex::ZERO.next(), LogIndex(1));
        assert_eq!(LogIndex(u64::MAX - 1).next(), LogIndex(u64::MAX));
        assert_eq!(LogIndex(u64::MAX).next(), LogIndex(u64::MAX));
    }

    #[test]
    fn a_position_is_its_index_and_its_history_if_that_has_a_name() {
        let index = LogIndex(7);
        let at = |history| Position { history, index }.to_string();
        assert_eq!(at(HistoryId::UNNAMED), "7");
        assert_eq!(at(HistoryId(0x1f)), "7@1f");
        assert_eq!(HistoryId::UNNAMED.to_string(), "unnamed");
        assert_eq!(format!("{:?}", HistoryId(0x1f)), "HistoryId(1f)");
        assert_eq!(format!("{:?}", HistoryId::UNNAMED), "HistoryId(unnamed)");
    }
}
