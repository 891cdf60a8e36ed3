//! [`ReadSession`]: reads that never go back behind what one reader has seen.

use std::error::Error;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::str::FromStr;
use std::task::Poll;
use std::time::Instant;

use serde::de::{Deserialize, Deserializer};
use serde::ser::{Serialize, Serializer};

use super::error::WaitError;
use super::query::{Answer, Mark};
use super::read::{ReadError, ReadMode};
use super::snapshot::Snapshot;
use super::store::Store;
use super::view::Schema;
use crate::position::{HistoryId, LogIndex, Position};

/// The highest position that one reader has seen, of what it has read and of what it has written:
/// its reads never show anything older, on whichever replica.
///
/// It is a small value, that travels as text (`to_string`, `parse`, serde: `7@2a`, an index and
/// a history; no secret, not protected against being made up) with the requests of a client, say in
/// a header or a cookie. Each replica waits until it is as far, and hands it back with what it
/// has answered.
///
/// It has nothing to do with the sessions in which commands are applied once
/// ([`fsm`](crate::fsm)).
///
/// ```
/// use highwater::{LogIndex, ReadMode, ReadSession, Schema, Store, Table};
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
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// // One replica writes, and tells its client.
/// let leader = Store::<Cluster>::new();
/// let mut txn = leader.write()?;
/// txn.nodes_mut().insert(Node { name: "n1".into() })?;
/// let mut session = ReadSession::new();
/// session.observe(txn.commit()?)?;
/// let token: String = session.to_string();
///
/// // Another one, which the client asks next, has not come so far yet.
/// let follower = Store::<Cluster>::new();
/// let mut session: ReadSession = token.parse()?;
/// let soon = Instant::now() + Duration::from_millis(1);
/// assert!(session.read(&follower, ReadMode::Any, soon).is_err());
///
/// follower.advance_to(LogIndex(3))?;
/// let snapshot = session.read(&follower, ReadMode::Any, soon)?;
/// assert_eq!((snapshot.index(), session.to_string()), (LogIndex(3), "3@0".to_owned()));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ReadSession {
    index: LogIndex,
    /// None as long as only bare indexes were seen.
    history: Option<HistoryId>,
}

impl ReadSession {
    /// One that has seen nothing.
    pub const fn new() -> Self {
        ReadSession {
            index: LogIndex::ZERO,
            history: None,
        }
    }

    /// What a reader has to wait for so as not to go back.
    pub fn mark(&self) -> Mark {
        match self.history {
            None => Mark::Index(self.index),
            Some(history) => Mark::Position(Position {
                history,
                index: self.index,
            }),
        }
    }

    /// Takes note of what was seen: the index of a write, the position of a snapshot, an answer
    /// (`&answer`). One that is older than what it has seen already changes nothing.
    ///
    /// A bare index counts as one of the history that it has seen; before it has seen any, of that
    /// of the store where it reads next.
    ///
    /// Errors: [`WaitError::HistoryChanged`] if the position is of another history than before. Then
    /// nothing that was seen is there any more, and the session is as it was; who goes on with the
    /// new history begins a new session.
    pub fn observe(&mut self, seen: impl Into<Mark>) -> Result<(), WaitError> {
        let seen = seen.into();
        if let Some(now) = seen.history() {
            let began = *self.history.get_or_insert(now);
            if began != now {
                return Err(WaitError::HistoryChanged { began, now });
            }
        }
        self.index = self.index.max(seen.index());
        Ok(())
    }

    /// A snapshot such as `mode` wants it ([`Store::read`]) that has all the session has seen; takes
    /// note of it. What the same store answers after that, blocking queries included, is no
    /// older.
    ///
    /// With [`ReadMode::Exactly`] an index of before what it has seen is an error.
    pub fn read<S: Schema>(
        &mut self,
        store: &Store<S>,
        mode: impl Into<ReadMode>,
        deadline: Instant,
    ) -> Result<Snapshot<S>, ReadError> {
        let mode = self.not_before(mode.into())?;
        loop {
            let seen = store.snapshot_at_least(self.mark(), deadline)?;
            let history = seen.position().history;
            let snapshot = match mode {
                ReadMode::Any => seen,
                mode => store.read(mode, deadline)?,
            };
            if self.takes(history, snapshot.position()) {
                return Ok(snapshot);
            }
        }
    }

    /// The same on any executor. `until`: any timer.
    pub async fn read_async<S: Schema>(
        &mut self,
        store: &Store<S>,
        mode: impl Into<ReadMode>,
        until: impl Future<Output = ()>,
    ) -> Result<Snapshot<S>, ReadError> {
        let mode = self.not_before(mode.into())?;
        let mut until = pin!(until);
        let mut over = false;
        // There are several waits, and a future is not polled again after it was ready.
        let mut until = poll_fn(|context| {
            over = over || until.as_mut().poll(context).is_ready();
            if over { Poll::Ready(()) } else { Poll::Pending }
        });
        loop {
            let seen = store
                .snapshot_at_least_async(self.mark(), &mut until)
                .await?;
            let history = seen.position().history;
            let snapshot = match mode {
                ReadMode::Any => seen,
                mode => store.read_async(mode, &mut until).await?,
            };
            if self.takes(history, snapshot.position()) {
                return Ok(snapshot);
            }
        }
    }

    /// Takes note of a snapshot's position, unless the store has gone back since it was found to be
    /// far enough in `history`: that of the session, if it has one.
    fn takes(&mut self, history: HistoryId, read: Position) -> bool {
        let taken = read.history == history && read.index >= self.index;
        if taken {
            *self = ReadSession {
                index: read.index,
                history: Some(history),
            };
        }
        taken
    }

    fn not_before(&self, mode: ReadMode) -> Result<ReadMode, ReadError> {
        if let ReadMode::Exactly(mark) = mode
            && mark.index() < self.index
        {
            return Err(ReadError::BeforeSession {
                wanted: mark.index(),
                seen: self.index,
            });
        }
        Ok(mode)
    }
}

impl From<&ReadSession> for Mark {
    fn from(session: &ReadSession) -> Self {
        session.mark()
    }
}

impl<R> From<&Answer<R>> for Mark {
    fn from(answer: &Answer<R>) -> Self {
        Mark::Position(answer.position)
    }
}

/// The text is no token of a [`ReadSession`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ParseReadSessionError;

impl fmt::Display for ParseReadSessionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "this is no token of a read session: a log index, or one with its history, as 7@2a",
        )
    }
}

impl Error for ParseReadSessionError {}

impl fmt::Display for ReadSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.history {
            None => self.index.fmt(f),
            Some(history) => write!(f, "{}@{:x}", self.index, history.0),
        }
    }
}

impl FromStr for ReadSession {
    type Err = ParseReadSessionError;

    fn from_str(text: &str) -> Result<Self, ParseReadSessionError> {
        let (index, history) = match text.split_once('@') {
            None => (text, None),
            Some((index, history)) => (index, Some(history)),
        };
        // `parse` and `from_str_radix` would take a sign.
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !digits(index) || !history.is_none_or(digits) {
            return Err(ParseReadSessionError);
        }
        let index = LogIndex(index.parse().map_err(|_| ParseReadSessionError)?);
        let history = history
            .map(|text| u128::from_str_radix(text, 16).map(HistoryId))
            .transpose()
            .map_err(|_| ParseReadSessionError)?;
        Ok(ReadSession { index, history })
    }
}

impl Serialize for ReadSession {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ReadSession {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
