//! All sessions: two persistent maps.

use super::{Moment, RequestId, SessionError, SessionId};
use crate::position::LogIndex;
use rpds::{RedBlackTreeMapSync, RedBlackTreeSetSync};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The most sessions there are at once: the one that would expire first makes room for another.
pub const MAX_SESSIONS: usize = 16_384;
/// The widest window of a session.
pub const MAX_WINDOW: u32 = 1024;
/// At most so many expired sessions are removed with each entry.
const REMOVED_AT_ONCE: usize = 64;

/// What is known of a command before it is applied.
#[derive(Debug)]
pub(crate) enum Known {
    /// It is to be applied.
    New,
    Answered(Arc<Answer>),
}

/// The first answer to a command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Answer {
    pub(crate) index: LogIndex,
    /// The encoded `Result` of reply and error.
    #[serde(with = "bytes")]
    pub(crate) bytes: Vec<u8>,
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
pub(crate) struct Sessions {
    by_id: RedBlackTreeMapSync<u64, Arc<Session>>,
    by_expiry: RedBlackTreeSetSync<(u64, u64)>,
}

impl Sessions {
    /// Opens a session, named by the entry that does it.
    pub(crate) fn open(&mut self, at: Moment, ttl_ms: u64, window: u32) -> SessionId {
        while self.len() >= MAX_SESSIONS {
            let Some(&(_, first)) = self.by_expiry.first() else {
                break;
            };
            self.remove(first);
        }
        let id = at.index.0;
        let ttl_ms = ttl_ms.max(1);
        let session = Session {
            ttl_ms,
            window: u64::from(window.clamp(1, MAX_WINDOW)),
            expires_ms: at.time_ms.saturating_add(ttl_ms),
            floor: 0,
            answers: RedBlackTreeMapSync::new_sync(),
        };
        self.put(id, session);
        SessionId(id)
    }

    /// Ends a session.
    pub(crate) fn close(&mut self, at: Moment, id: SessionId) -> Result<(), SessionError> {
        self.alive(at, id)?;
        self.remove(id.0);
        Ok(())
    }

    /// Puts a session's end off.
    pub(crate) fn renew(&mut self, at: Moment, id: SessionId) -> Result<(), SessionError> {
        let mut session = Session::clone(self.alive(at, id)?);
        let expires_ms = at.time_ms.saturating_add(session.ttl_ms);
        // Not with every command: an eighth of its time may be missing.
        if expires_ms.saturating_sub(session.expires_ms) >= session.ttl_ms.div_ceil(8) {
            self.remove(id.0);
            session.expires_ms = expires_ms;
            self.put(id.0, session);
        }
        Ok(())
    }

    /// Whether a command is to be applied, or was; renews its session.
    pub(crate) fn look(&mut self, at: Moment, id: RequestId) -> Result<Known, SessionError> {
        self.renew(at, id.session)?;
        let session = self.alive(at, id.session)?;
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
    pub(crate) fn answered(&mut self, id: RequestId, answer: Answer) {
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
    pub(crate) fn expire(&mut self, clock_ms: u64) {
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

    fn alive(&self, at: Moment, id: SessionId) -> Result<&Session, SessionError> {
        self.by_id
            .get(&id.0)
            .filter(|session| session.expires_ms > at.time_ms)
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
    pub(super) id: u64,
    pub(super) ttl_ms: u64,
    pub(super) window: u64,
    pub(super) expires_ms: u64,
    pub(super) floor: u64,
    pub(super) answers: Vec<(u64, Answer)>,
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
