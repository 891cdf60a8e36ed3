//! [`ReadMode`]: which snapshot a reader is content with, and the one way to get it.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::time::{Duration, Instant};

use super::contact::Fresh;
use super::error::WaitError;
use super::past::AsOfError;
use super::query::{Mark, race};
use super::snapshot::Snapshot;
use super::store::Store;
use super::view::Schema;
use crate::position::{HistoryId, LogIndex, Position};
use crate::watch::Watch;

/// Which snapshot a reader is content with: for [`Store::read`].
///
/// An index or a position by itself stands for `AtLeast` it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReadMode {
    /// The newest one here, whatever its age.
    Any,
    /// One that has all up to here: waited for, if it is not applied yet.
    AtLeast(Mark),
    /// The one of exactly this index: waited for, if it is not applied yet; otherwise it must be
    /// retained ([`Store::as_of`]).
    Exactly(Mark),
    /// One that has all that was committed so long before the read began, wherever it was committed.
    /// Only the driver knows ([`Store::note_committed`]): until it has said something that is new
    /// enough, and the store has caught up with it, the read waits. With `Duration::ZERO` it waits
    /// for a word of after the read began, which for a leader that was confirmed then is a
    /// linearizable read.
    MaxStale(Duration),
}

impl<M: Into<Mark>> From<M> for ReadMode {
    fn from(mark: M) -> Self {
        ReadMode::AtLeast(mark.into())
    }
}

/// Why there is no snapshot as it was wanted.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ReadError {
    /// The wait for an index ended without it.
    Wait(WaitError),
    /// There is no snapshot of exactly that index.
    AsOf(AsOfError),
    /// The deadline passed, and the driver has not said anything new enough.
    Stale {
        /// How stale the snapshot might have been.
        allowed: Duration,
        /// How long before the deadline the driver's last word was; none if there was none.
        heard: Option<Duration>,
    },
    /// A [`ReadSession`](crate::ReadSession) was asked for exactly an index of before what it has
    /// seen.
    BeforeSession {
        /// The index that was asked for.
        wanted: LogIndex,
        /// The highest index that the session has seen.
        seen: LogIndex,
    },
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReadError::Wait(error) => error.fmt(f),
            ReadError::AsOf(error) => error.fmt(f),
            ReadError::Stale { allowed, heard } => {
                write!(
                    f,
                    "what is here may be more than {allowed:?} behind: the log's leader was "
                )?;
                match heard {
                    Some(ago) => write!(f, "last heard of {ago:?} ago"),
                    None => f.write_str("not heard of yet"),
                }?;
                f.write_str("; try again, or elsewhere")
            }
            ReadError::BeforeSession { wanted, seen } => write!(
                f,
                "log index {wanted} is before {seen}, which this session has seen already: read it \
                 without the session"
            ),
        }
    }
}

impl Error for ReadError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            ReadError::Wait(error) => Some(error),
            ReadError::AsOf(error) => Some(error),
            ReadError::Stale { .. } | ReadError::BeforeSession { .. } => None,
        }
    }
}

impl From<WaitError> for ReadError {
    fn from(error: WaitError) -> Self {
        ReadError::Wait(error)
    }
}

impl From<AsOfError> for ReadError {
    fn from(error: AsOfError) -> Self {
        ReadError::AsOf(error)
    }
}

/// What is to be done next for a read of limited staleness.
enum Step {
    /// Wait for this position.
    For(Position),
    /// Wait for the driver's next word.
    Word(Watch),
}

impl<S: Schema> Store<S> {
    /// A snapshot such as `mode` wants it: at once if there is one, otherwise as soon as there is,
    /// and at the deadline an error that says what was missing.
    ///
    /// ```
    /// use highwater::{LogIndex, ReadMode, Schema, Store, Table};
    /// use serde::{Deserialize, Serialize};
    /// use std::time::{Duration, Instant};
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
    /// let store = Store::<Cluster>::new();
    /// store.note_authority();
    /// let mut txn = store.write()?;
    /// txn.nodes_mut().insert(Node { name: "n1".into() })?;
    /// let written = txn.commit()?;
    ///
    /// let deadline = Instant::now() + Duration::from_secs(1);
    /// assert!(store.read(ReadMode::Any, deadline).is_ok());
    /// assert!(store.read(written, deadline)?.index() >= written);
    /// assert_eq!(store.read(ReadMode::Exactly(written.into()), deadline)?.index(), written);
    /// assert!(store.read(ReadMode::MaxStale(Duration::ZERO), deadline).is_ok());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn read(
        &self,
        mode: impl Into<ReadMode>,
        deadline: Instant,
    ) -> Result<Snapshot<S>, ReadError> {
        match mode.into() {
            ReadMode::Any => Ok(self.snapshot()),
            ReadMode::AtLeast(mark) => Ok(self.snapshot_at_least(mark, deadline)?),
            ReadMode::Exactly(mark) => {
                let mark = self.bound(mark);
                match self.as_of(mark) {
                    Err(AsOfError::NotApplied { .. }) => {
                        let reached = self.snapshot_at_least(mark, deadline)?;
                        self.exactly(mark, reached)
                    }
                    found => Ok(found?),
                }
            }
            ReadMode::MaxStale(allowed) => {
                let since = Instant::now().checked_sub(allowed);
                loop {
                    match self.fresher(since)? {
                        Step::For(position) => {
                            return Ok(self.snapshot_at_least(position, deadline)?);
                        }
                        Step::Word(watch) if !watch.wait(deadline) => {
                            return self.stale(allowed, since, deadline);
                        }
                        Step::Word(_) => {}
                    }
                }
            }
        }
    }

    /// The same on any executor. `until`: any timer, e.g. `tokio::time::sleep(limit)`.
    pub async fn read_async(
        &self,
        mode: impl Into<ReadMode>,
        until: impl Future<Output = ()>,
    ) -> Result<Snapshot<S>, ReadError> {
        match mode.into() {
            ReadMode::Any => Ok(self.snapshot()),
            ReadMode::AtLeast(mark) => Ok(self.snapshot_at_least_async(mark, until).await?),
            ReadMode::Exactly(mark) => {
                let mark = self.bound(mark);
                match self.as_of(mark) {
                    Err(AsOfError::NotApplied { .. }) => {
                        let reached = self.snapshot_at_least_async(mark, until).await?;
                        self.exactly(mark, reached)
                    }
                    found => Ok(found?),
                }
            }
            ReadMode::MaxStale(allowed) => {
                let since = Instant::now().checked_sub(allowed);
                let mut until = pin!(until);
                loop {
                    match self.fresher(since)? {
                        Step::For(position) => {
                            return Ok(self.snapshot_at_least_async(position, until).await?);
                        }
                        Step::Word(watch) => {
                            if !race(watch, until.as_mut()).await {
                                return self.stale(allowed, since, Instant::now());
                            }
                        }
                    }
                }
            }
        }
    }

    /// The mark as one of the history it is of now.
    fn bound(&self, mark: Mark) -> Mark {
        let history = mark.history().unwrap_or_else(|| self.position().history);
        Mark::Position(Position {
            history,
            index: mark.index(),
        })
    }

    /// What was waited for, if `reached` is not past it.
    fn exactly(&self, mark: Mark, reached: Snapshot<S>) -> Result<Snapshot<S>, ReadError> {
        if reached.index() == mark.index() {
            Ok(reached)
        } else {
            Ok(self.as_of(mark)?)
        }
    }

    /// What to wait for, for all that was committed at `since`.
    fn fresher(&self, since: Option<Instant>) -> Result<Step, WaitError> {
        let core = self.core();
        let look = |history: HistoryId| match core.contact.fresh(history, since) {
            Fresh::From(index) => Some(Step::For(Position { history, index })),
            Fresh::Unknown(_) => None,
        };
        if let Some(step) = look(self.position().history) {
            return Ok(step);
        }
        // Looked, registered, and looked again: what is said from now on fires the watch.
        let watch = core.watches.register_contact();
        if let Some(step) = look(self.position().history) {
            return Ok(step);
        }
        match core.watches.ended() {
            Some(ended) => Err(ended.into()),
            None => Ok(Step::Word(watch)),
        }
    }

    /// At the deadline: the last look.
    fn stale(
        &self,
        allowed: Duration,
        since: Option<Instant>,
        now: Instant,
    ) -> Result<Snapshot<S>, ReadError> {
        let Position { history, .. } = self.position();
        match self.core().contact.fresh(history, since) {
            Fresh::From(index) => Ok(self.snapshot_at_least(Position { history, index }, now)?),
            Fresh::Unknown(heard) => Err(ReadError::Stale {
                allowed,
                heard: heard.map(|at| now.saturating_duration_since(at)),
            }),
        }
    }
}
