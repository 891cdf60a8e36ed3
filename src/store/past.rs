//! The recent past: versions that are retained for [`Store::as_of`].
//!
//! A ring of versions that were the newest once, oldest first: the same trees with a payload of
//! their own, which has no window of changes, so that a version of the past pins what it shows and
//! no more. The writer adds to it at the moment it publishes and takes away what is beyond the
//! limits, a few with each commit; the lock is held for that, and for look-ups.

use std::collections::VecDeque;
use std::error::Error;
use std::fmt;
use std::time::{Duration, Instant};

use super::core::{Core, Root};
use super::query::Mark;
use super::snapshot::Snapshot;
use super::store::Store;
use super::view::Schema;
use crate::position::{HistoryId, LogIndex, Position};
use crate::sync::{Mutex, lock};
use crate::version::Version;

/// How much of the past a store retains for [`Store::as_of`]: snapshots that were the newest once,
/// until one of the limits is passed. By default there are none: name those that are wanted.
///
/// Old ones go with the commits that come after, at most eight with each, so that after a large
/// commit, or when many become too old at once, the limits hold again only some commits later.
/// [`Store::collect`] lets all of them go.
///
/// ```
/// use highwater::{StoreOptions, Retention};
/// use std::time::Duration;
///
/// let options = StoreOptions {
///     retain: Some(Retention {
///         versions: 10_000,
///         age: Duration::from_secs(60),
///         bytes: 64 << 20,
///     }),
///     ..StoreOptions::default()
/// };
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// How many snapshots, beside the newest.
    pub versions: usize,
    /// For how long after it was replaced.
    pub age: Duration,
    /// How many bytes of nodes they pin, which the newest does not need. The records themselves,
    /// which are the program's own values, are not counted.
    pub bytes: u64,
}

impl Default for Retention {
    /// Everything.
    fn default() -> Self {
        Retention {
            versions: usize::MAX,
            age: Duration::MAX,
            bytes: u64::MAX,
        }
    }
}

/// Why there is no snapshot of an index.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum AsOfError {
    /// It is of the past, of which the store retains nothing.
    NothingRetained {
        /// The index that was asked for.
        wanted: LogIndex,
        /// The one position there is a snapshot of, which is the newest.
        newest: Position,
    },
    /// It is of before what is retained.
    Compacted {
        /// The index that was asked for.
        wanted: LogIndex,
        /// The oldest position there is a snapshot of.
        oldest: Position,
    },
    /// There never was a snapshot of it: it is inside a batch, which is published as a whole, in a
    /// gap that the log left, or was skipped by a restore.
    Unpublished {
        /// The index that was asked for.
        wanted: LogIndex,
        /// The last index before it that was published.
        before: LogIndex,
        /// The first index after it that was.
        after: LogIndex,
    },
    /// It is not applied yet.
    NotApplied {
        /// The index that was asked for.
        wanted: LogIndex,
        /// The index that is applied.
        applied: LogIndex,
    },
    /// It is of another history than the one the store holds now.
    OtherHistory {
        /// The history that was asked for.
        wanted: HistoryId,
        /// The history that the store holds.
        now: HistoryId,
    },
}

impl fmt::Display for AsOfError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AsOfError::NothingRetained { wanted, newest } => write!(
                f,
                "log index {wanted} is not retained, only the newest snapshot is there, of {newest}: \
                 set StoreOptions::retain to read the past"
            ),
            AsOfError::Compacted { wanted, oldest } => write!(
                f,
                "log index {wanted} is no longer retained, the oldest position that is: {oldest}; raise \
                 StoreOptions::retain to keep more"
            ),
            AsOfError::Unpublished {
                wanted,
                before,
                after,
            } => write!(
                f,
                "log index {wanted} was never published by itself: ask for {before}, the last before \
                 it, or {after}, the first after it"
            ),
            AsOfError::NotApplied { wanted, applied } => {
                write!(
                    f,
                    "log index {wanted} is not applied yet, only {applied}: wait for it"
                )
            }
            AsOfError::OtherHistory { wanted, now } => write!(
                f,
                "a snapshot of history {wanted} was asked for, but the store now holds history {now}: \
                 what was before is no longer there"
            ),
        }
    }
}

impl Error for AsOfError {}

/// How many retained versions one commit lets go.
const STEP: usize = 8;

/// A version that was the newest.
struct Kept {
    version: Version<Root>,
    /// Bytes that it pins and the version after it does not need.
    bytes: u64,
    replaced: Instant,
}

impl Kept {
    /// Their order: lines of events follow each other, and within one the index never falls.
    fn place(&self) -> (u64, LogIndex) {
        let root = self.version.payload();
        (root.line, root.position.index)
    }
}

#[derive(Default)]
struct Ring {
    kept: VecDeque<Kept>,
    bytes: u64,
}

/// The retained versions of one store.
pub(crate) struct Past {
    /// None: nothing is retained.
    limits: Option<Retention>,
    ring: Mutex<Ring>,
}

impl fmt::Debug for Past {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Past")
            .field("limits", &self.limits)
            .field("versions", &self.held().0)
            .finish_non_exhaustive()
    }
}

impl Past {
    pub(super) fn new(limits: Option<Retention>) -> Self {
        Past {
            limits,
            ring: Mutex::new(Ring::default()),
        }
    }

    /// Whether anything is retained.
    pub(super) fn retains(&self) -> bool {
        self.limits.is_some()
    }

    /// How many versions there are, and the bytes they pin.
    pub(super) fn held(&self) -> (usize, u64) {
        let ring = lock(&self.ring);
        (ring.kept.len(), ring.bytes)
    }

    /// Adds what is the newest version until `now`, when one of that line takes its place, and lets go
    /// of a few that are beyond the limits. Right before that happens: whoever looks in between finds
    /// the same in both places.
    pub(super) fn add(&self, version: Version<Root>, bytes: u64, line: u64, now: Instant) {
        let mut ring = lock(&self.ring);
        ring.bytes += bytes;
        ring.kept.push_back(Kept {
            version,
            bytes,
            replaced: now,
        });
        self.expire(&mut ring, line, now, STEP);
    }

    /// Lets go of what is beyond the limits at the time of a version of that line, up to `most` of
    /// it; says whether that was all. The versions are dropped, which runs nothing.
    fn expire(&self, ring: &mut Ring, line: u64, now: Instant, most: usize) -> bool {
        let Some(limits) = &self.limits else {
            return true;
        };
        for _ in 0..most {
            let Some(oldest) = ring.kept.front() else {
                return true;
            };
            let beyond = ring.kept.len() > limits.versions
                || ring.bytes > limits.bytes
                || now.saturating_duration_since(oldest.replaced) > limits.age
                || oldest.version.payload().line != line;
            if !beyond {
                return true;
            }
            ring.bytes -= oldest.bytes;
            ring.kept.pop_front();
        }
        false
    }

    /// Lets go of all that is beyond the limits.
    pub(super) fn collect(&self, core: &Core) {
        let line = core.current().payload().line;
        while !self.expire(&mut lock(&self.ring), line, Instant::now(), 64 * STEP) {}
    }

    fn find(&self, core: &Core, mark: Mark) -> Result<Version<Root>, AsOfError> {
        let ring = lock(&self.ring);
        let newest = core.current();
        let root = newest.payload();
        let (wanted, line) = (mark.index(), root.line);
        let Position {
            history,
            index: applied,
        } = root.position;
        if let Some(of) = mark.history()
            && of != history
        {
            return Err(AsOfError::OtherHistory {
                wanted: of,
                now: history,
            });
        }
        if wanted == applied {
            return Ok(newest);
        }
        if wanted > applied {
            return Err(AsOfError::NotApplied { wanted, applied });
        }
        let after = ring
            .kept
            .partition_point(|kept| kept.place() <= (line, wanted));
        let next = ring
            .kept
            .get(after)
            .map_or(root.position, |kept| kept.version.payload().position);
        let before = after.checked_sub(1).map(|at| &ring.kept[at]);
        match before.filter(|kept| kept.place().0 == line) {
            None if !self.retains() => Err(AsOfError::NothingRetained {
                wanted,
                newest: root.position,
            }),
            None => Err(AsOfError::Compacted {
                wanted,
                oldest: next,
            }),
            Some(kept) if kept.place().1 == wanted => Ok(kept.version.clone()),
            Some(kept) => Err(AsOfError::Unpublished {
                wanted,
                before: kept.place().1,
                after: next.index,
            }),
        }
    }
}

impl<S: Schema> Store<S> {
    /// The snapshot of exactly this index, which is the newest one's or a retained one's
    /// ([`StoreOptions::retain`](crate::StoreOptions::retain)); never one of another index that is near.
    ///
    /// A bare index is one of the history that the store holds now. What was before a restore to
    /// another history, or to an earlier index of the same, is no longer found. O(log retained).
    ///
    /// ```
    /// use highwater::{AsOfError, LogIndex, StoreOptions, Retention, Schema, Store, Table};
    /// use serde::{Deserialize, Serialize};
    ///
    /// #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
    /// struct Node {
    ///     #[primary_key]
    ///     name: String,
    /// }
    ///
    /// #[derive(Schema)]
    /// struct Cluster {
    ///     nodes: Node,
    /// }
    ///
    /// let retain = Some(Retention { versions: 1, ..Retention::default() });
    /// let store = Store::<Cluster>::with_options(StoreOptions { retain, ..StoreOptions::default() });
    /// for name in ["a", "b"] {
    ///     let mut txn = store.write()?;
    ///     txn.nodes_mut().insert(Node { name: name.into() })?;
    ///     txn.commit()?;
    /// }
    /// assert_eq!(store.as_of(LogIndex(2))?.nodes().len(), 2);
    /// assert_eq!(store.as_of(LogIndex(1))?.nodes().len(), 1);
    /// assert!(matches!(store.as_of(LogIndex(0)), Err(AsOfError::Compacted { .. })));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn as_of(&self, at: impl Into<Mark>) -> Result<Snapshot<S>, AsOfError> {
        let core = self.core();
        core.past.find(core, at.into()).map(Snapshot::new)
    }
}
