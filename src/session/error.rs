//! [`SessionError`]: why a command was not applied in its session.

use super::SessionId;
use crate::position::LogIndex;
use serde::{Deserialize, Serialize};
use std::fmt;

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
