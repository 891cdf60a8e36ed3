//! The sessions of clients: what makes a retried command one command.
//!
//! A client opens a session by an entry of the log, numbers its commands, and sends each again
//! until it is answered. The state machine keeps the answers, so that what was applied is not
//! applied again (Ongaro, "Consensus: bridging theory and practice", 2014, section 6.3).
//!
//! **The one data structure** is [`Sessions`]: two persistent maps, sessions by id and ids by the
//! time they expire at. Each commit hands on a changed copy, which shares all but what changed.
//!
//! **Invariants.** Every session is in both maps. An answer's sequence number is above its
//! session's `floor`, the answers are no more than its window. There are at most [`MAX_SESSIONS`].
//!
//! All of this is part of what replicas must agree on: the constants cannot change without a
//! change of the envelope's format.

use super::Entry;
use crate::position::LogIndex;
use rpds::{RedBlackTreeMapSync, RedBlackTreeSetSync};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// The most sessions there are at once: the one that would expire first makes room for another.
pub const MAX_SESSIONS: usize = 16_384;
/// The widest window of a session.
pub const MAX_WINDOW: u32 = 1024;
/// At most so many expired sessions are removed with each entry.
const REMOVED_AT_ONCE: usize = 64;

/// Names a session: the log index of the entry that opened it.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default,
)]
#[serde(transparent)]
pub struct SessionId(pub u64);

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Which command of which client: what is the same however often it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RequestId {
    /// The client's session.
    pub session: SessionId,
    /// Counts the session's commands, from 1. They may arrive in any order within its window.
    pub sequence: u64,
    /// The client has the answers of all commands up to this one, and will not ask for them
    /// again. 0 if it does not say.
    pub answered: u64,
}

/// How a session is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionOptions {
    /// It ends when the log's clock has gone on for so long without a command in it. Whole
    /// milliseconds count.
    pub ttl: Duration,
    /// How far a client may be ahead of a command it is still waiting for: the last `window`
    /// sequence numbers are remembered. At least 1, at most [`MAX_WINDOW`].
    pub window: u32,
}

impl Default for SessionOptions {
    /// Ten minutes, 128 sequence numbers.
    fn default() -> Self {
        SessionOptions {
            ttl: Duration::from_mins(10),
            window: 128,
        }
    }
}

/// Why a command was not applied in its session. It changed nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum SessionError {
    /// No session has this id: it was never opened, was closed, or has expired. If the command
    /// was sent before, it may have been applied then.
    Unknown {
        /// The id.
        session: SessionId,
    },
    /// The answer is not kept any more, and with it whether the command was applied.
    Forgotten {
        /// The session.
        session: SessionId,
        /// The command's.
        sequence: u64,
        /// All up to this one are forgotten.
        through: u64,
    },
    /// The command was applied before. Its answer is not of a type of this program.
    Unreadable {
        /// Where it was applied.
        index: LogIndex,
        /// What is wrong with the answer.
        why: String,
    },
}

impl fmt::Display for SessionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SessionError::Unknown { session } => write!(
                f,
                "there is no session {session}, or it has expired; open another, and find out \
                 whether what was sent in it was applied"
            ),
            SessionError::Forgotten {
                session,
                sequence,
                through,
            } => write!(
                f,
                "session {session} has forgotten its commands up to {through}, so it cannot tell \
                 whether {sequence} was applied"
            ),
            SessionError::Unreadable { index, why } => write!(
                f,
                "the command was applied by entry {index}; its answer cannot be read: {why}"
            ),
        }
    }
}

impl std::error::Error for SessionError {}

/// What is known of a command before it is applied.
#[derive(Debug)]
pub(super) enum Known {
    /// It is to be applied.
    New,
    Answered(Arc<Answer>),
}

/// The first answer to a command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Answer {
    pub(super) index: LogIndex,
    /// The encoded `Result` of reply and error.
    #[serde(with = "bytes")]
    pub(super) bytes: Vec<u8>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Session {
    ttl_ms: u64,
    window: u64,
    /// The log's clock at which it ends.
    expires_ms: u64,
    /// Nothing is known of sequence numbers up to this one.
    floor: u64,
    answers: RedBlackTreeMapSync<u64, Arc<Answer>>,
}

impl Session {
    /// The highest sequence number that has an answer.
    fn highest(&self) -> u64 {
        self.answers.last().map_or(0, |(highest, _)| *highest)
    }

    /// Forgets all up to `sequence`.
    fn forget(&mut self, sequence: u64) {
        self.floor = self.floor.max(sequence);
        while let Some((&first, _)) = self.answers.first()
            && first <= self.floor
        {
            self.answers.remove_mut(&first);
        }
    }
}

/// All sessions there are. A value: a clone shares everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sessions {
    by_id: RedBlackTreeMapSync<u64, Arc<Session>>,
    by_expiry: RedBlackTreeSetSync<(u64, u64)>,
}

impl Sessions {
    /// Opens a session, named by the entry that does it.
    pub(super) fn open(&mut self, entry: &Entry, ttl_ms: u64, window: u32) -> SessionId {
        while self.len() >= MAX_SESSIONS {
            let Some(&(_, first)) = self.by_expiry.first() else {
                break;
            };
            self.remove(first);
        }
        let id = entry.index().0;
        let ttl_ms = ttl_ms.max(1);
        let session = Session {
            ttl_ms,
            window: u64::from(window.clamp(1, MAX_WINDOW)),
            expires_ms: entry.time_ms().saturating_add(ttl_ms),
            floor: 0,
            answers: RedBlackTreeMapSync::new_sync(),
        };
        self.put(id, session);
        SessionId(id)
    }

    /// Ends a session.
    pub(super) fn close(&mut self, entry: &Entry, id: SessionId) -> Result<(), SessionError> {
        self.alive(entry, id)?;
        self.remove(id.0);
        Ok(())
    }

    /// Puts a session's end off.
    pub(super) fn renew(&mut self, entry: &Entry, id: SessionId) -> Result<(), SessionError> {
        let mut session = Session::clone(self.alive(entry, id)?);
        let expires_ms = entry.time_ms().saturating_add(session.ttl_ms);
        // Not with every command: an eighth of its time may be missing.
        if expires_ms.saturating_sub(session.expires_ms) >= session.ttl_ms.div_ceil(8) {
            self.remove(id.0);
            session.expires_ms = expires_ms;
            self.put(id.0, session);
        }
        Ok(())
    }

    /// Whether a command is to be applied, or was; renews its session.
    pub(super) fn look(&mut self, entry: &Entry, id: RequestId) -> Result<Known, SessionError> {
        self.renew(entry, id.session)?;
        let session = self.alive(entry, id.session)?;
        if let Some(answer) = session.answers.get(&id.sequence) {
            return Ok(Known::Answered(Arc::clone(answer)));
        }
        if id.sequence <= session.floor {
            return Err(SessionError::Forgotten {
                session: id.session,
                sequence: id.sequence,
                through: session.floor,
            });
        }
        Ok(Known::New)
    }

    /// Keeps the answer to a command that was new.
    pub(super) fn answered(&mut self, id: RequestId, answer: Answer) {
        let Some(session) = self.by_id.get_mut(&id.session.0) else {
            return;
        };
        let session = Arc::make_mut(session);
        session.answers.insert_mut(id.sequence, Arc::new(answer));
        session.forget(session.highest().saturating_sub(session.window));
        // A client that says it has an answer before it was given is wrong, and is not believed.
        session.forget(id.answered.min(id.sequence - 1));
    }

    /// Removes what has expired, not too much at once.
    pub(super) fn expire(&mut self, clock_ms: u64) {
        for _ in 0..REMOVED_AT_ONCE {
            match self.by_expiry.first() {
                Some(&(at, id)) if at <= clock_ms => self.remove(id),
                _ => return,
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        self.by_id.size()
    }

    fn alive(&self, entry: &Entry, id: SessionId) -> Result<&Session, SessionError> {
        self.by_id
            .get(&id.0)
            .filter(|session| session.expires_ms > entry.time_ms())
            .map(AsRef::as_ref)
            .ok_or(SessionError::Unknown { session: id })
    }

    fn put(&mut self, id: u64, session: Session) {
        self.by_expiry.insert_mut((session.expires_ms, id));
        self.by_id.insert_mut(id, Arc::new(session));
    }

    fn remove(&mut self, id: u64) {
        if let Some(session) = self.by_id.get(&id) {
            self.by_expiry.remove_mut(&(session.expires_ms, id));
            self.by_id.remove_mut(&id);
        }
    }

    /// As they are written to an image.
    pub(super) fn to_stored(&self) -> Vec<Stored> {
        let stored = |(id, session): (&u64, &Arc<Session>)| Stored {
            id: *id,
            ttl_ms: session.ttl_ms,
            window: session.window,
            expires_ms: session.expires_ms,
            floor: session.floor,
            answers: session
                .answers
                .iter()
                .map(|(sequence, answer)| (*sequence, Answer::clone(answer)))
                .collect(),
        };
        self.by_id.iter().map(stored).collect()
    }

    /// The error says what cannot be.
    pub(super) fn from_stored(stored: Vec<Stored>) -> Result<Self, String> {
        let mut sessions = Sessions::default();
        for Stored {
            id,
            ttl_ms,
            window,
            expires_ms,
            floor,
            answers,
        } in stored
        {
            let mut session = Session {
                ttl_ms,
                window,
                expires_ms,
                floor,
                answers: RedBlackTreeMapSync::new_sync(),
            };
            for (sequence, answer) in answers {
                if sequence <= session.highest().max(floor) {
                    return Err(format!("session {id}: answers out of order at {sequence}"));
                }
                session.answers.insert_mut(sequence, Arc::new(answer));
            }
            let widest = u64::from(MAX_WINDOW);
            if !(1..=widest).contains(&window) || session.highest().saturating_sub(window) > floor {
                return Err(format!("session {id}: a window of {window} cannot be"));
            }
            if ttl_ms == 0 || sessions.by_id.contains_key(&id) {
                return Err(format!(
                    "session {id} is there twice, or has no time to live"
                ));
            }
            sessions.put(id, session);
        }
        if sessions.len() > MAX_SESSIONS {
            return Err(format!("{} sessions are too many", sessions.len()));
        }
        Ok(sessions)
    }
}

/// A session in an image.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Stored {
    id: u64,
    ttl_ms: u64,
    window: u64,
    expires_ms: u64,
    floor: u64,
    answers: Vec<(u64, Answer)>,
}

/// A `Vec<u8>` as `MessagePack` bytes.
mod bytes {
    use serde::de::{Deserializer, Error, Visitor};
    use std::fmt;

    pub(super) fn serialize<S: serde::Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_bytes(bytes)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        struct Bytes;
        impl Visitor<'_> for Bytes {
            type Value = Vec<u8>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes")
            }

            fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
                Ok(bytes.to_vec())
            }
        }
        from.deserialize_bytes(Bytes)
    }
}

#[cfg(test)]
mod tests;
